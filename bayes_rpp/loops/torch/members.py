"""States of a SoftModule as draws of a posterior: one network, and weights of it for each state."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bayes_rpp._types import ArrayLike
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.loops.shared import as_first, check_same, known_model
from bayes_rpp.loops.torch.examples import examples
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.networks.network import altered
from bayes_rpp.networks.soften.torch.checks import runs_as_one
from bayes_rpp.networks.soften.torch.network import TorchNetwork
from bayes_rpp.priors.subspaces.torch import copied

PREFIXES = ("_orig_mod.", "module.")  # of torch.compile, and of DataParallel
COUNTS = "num_batches_tracked"


def posterior_of(
    soft: Any, members: Sequence[Any], x: ArrayLike, y: ArrayLike, likelihood: Likelihood | None
) -> Posterior:
    """See `bayes_rpp.SoftModule.posterior`."""
    if not soft.takes_rows:
        raise TypeError(
            "posterior must be of a module that takes and returns one tensor of floating-point numbers, got one that "
            "does not; one that makes whole numbers of them, x.long(), would do"
        )
    if isinstance(members, (Mapping, nn.Module)):
        kind = type(members).__name__
        raise TypeError(f"members must be a list of state_dicts or SoftModules, got one {kind}; [it] would do")
    states = [_state(soft, m, f"members[{k}]") for k, m in enumerate(members)]
    if not states:
        raise ValueError("members must be one state_dict or more, got none; [soft.state_dict()] would do")
    model = known_model(soft.model, likelihood)
    twin = copy.deepcopy(soft).cpu().eval()
    samples: dict[str, list[NDArray]] = {}
    (example,), _ = examples(twin.module, soft.inputs)
    net, first = soft.net, states[0]
    for k, state in enumerate(states):
        twin.load_state_dict(state)
        if k == 0:
            net = _with_buffers(net, twin.module)
        weights = _as_first(net, twin.module, first, state, twin.weights())
        _check(net, weights, twin, example, f"members[{k}]")
        for name, w in (weights | {s: np.asarray(v) for s, v in twin.sigmas.items()}).items():
            samples.setdefault(name, []).append(w)
    able = replace(net.capabilities, vectorized=runs_as_one(net, example))
    model = model.replace(net=altered(net, capabilities=able))
    stacked = {name: np.stack(w)[None] for name, w in samples.items()}
    return Posterior(model, stacked, x=x, y=y, method="SoftModule", engine="pyro")  # type: ignore[arg-type]


def _state(soft: Any, member: Any, name: str) -> dict[str, torch.Tensor]:
    """A state_dict by this module's names."""
    state = member.state_dict() if isinstance(member, nn.Module) else member
    if not isinstance(state, Mapping):
        raise TypeError(f"{name} must be a state_dict or a SoftModule, got a {type(member).__name__}")
    wanted, found = soft.state_dict().keys(), dict(state)
    for prefix in PREFIXES:
        if found.keys() != wanted and all(k.startswith(prefix) for k in found):
            found = {k.removeprefix(prefix): v for k, v in found.items()}
    if found.keys() != wanted:
        odd = sorted(found.keys() ^ wanted)
        raise ValueError(f"{name} must be a state of this SoftModule, got one that differs in {', '.join(odd[:3])}")
    return found


def _with_buffers(net: TorchNetwork, module: nn.Module) -> TorchNetwork:
    """The network with the running statistics of a module, and what of it is frozen."""
    new, held = copied(net.module).cpu(), dict(module.named_buffers()) | dict(module.named_parameters())
    with torch.no_grad():
        for name, b in new.named_buffers():
            if name in held:
                b.copy_(held[name])
    return altered(net, module=new)


def _as_first(
    net: TorchNetwork,
    module: nn.Module,
    first: Mapping[str, torch.Tensor],
    state: Mapping[str, torch.Tensor],
    weights: dict[str, NDArray],
) -> dict[str, NDArray]:
    """Weights with which the first state's running statistics do what this state's do."""
    changed = dict(weights)
    for name in [n for n, _ in net.module.named_buffers() if f"module.{n}" in state and not n.endswith(COUNTS)]:
        if torch.equal(first[f"module.{name}"].cpu(), state[f"module.{name}"].cpu()):
            continue
        path, _, what = name.rpartition(".")
        norm: Any = module.get_submodule(path)
        scale, shift = f"{path}.weight".lstrip("."), f"{path}.bias".lstrip(".")
        if what not in ("running_mean", "running_var") or scale not in weights or shift not in weights:
            raise ValueError(
                f"members must have the same {name!r}, got others; a normalisation whose scale and shift are inferred, "
                "or one state at a time, would do"
            )
        if changed[scale] is not weights[scale]:
            continue  # done with the other of the two
        means, roots = [], []
        for s in (first, state):
            means.append(s[f"module.{path}.running_mean".replace("..", ".")].cpu().double().numpy())
            variance = s[f"module.{path}.running_var".replace("..", ".")].cpu().double().numpy()
            roots.append(np.sqrt(variance + norm.eps))
        w, b = (weights[k] + net.center[k] for k in (scale, shift))
        for key, v in zip((scale, shift), as_first(w, b, means, roots), strict=True):
            changed[key] = np.asarray(v - net.center[key], dtype=weights[key].dtype)
    return changed


@torch.no_grad()
def _check(net: TorchNetwork, weights: Mapping[str, NDArray], twin: nn.Module, x: Any, name: str) -> None:
    """The network with these weights must be the module in this state."""
    wanted = twin(x)
    tensors = {k: torch.as_tensor(w).to(wanted.dtype) for k, w in weights.items()}
    found = net(tensors, x.reshape(len(x), -1).to(wanted.dtype))
    check_same(wanted.reshape(len(x), -1).numpy(), found.numpy(), name)
