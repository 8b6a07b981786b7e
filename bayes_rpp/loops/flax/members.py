"""States of an nnx SoftModule as draws of a posterior: one network, and weights of it for each state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax import nnx
from numpy.typing import NDArray

from bayes_rpp._types import ArrayLike
from bayes_rpp.engines.flax import at, by_name
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.loops.shared import as_first, check_same, known_model
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.networks.soften.flax.soften import FlaxNetwork
from bayes_rpp.networks.soften.options import joined


def posterior_of(
    soft: Any, members: Sequence[Any], x: ArrayLike, y: ArrayLike, likelihood: Likelihood | None
) -> Posterior:
    """See `bayes_rpp.SoftModule.posterior`."""
    if isinstance(members, (Mapping, nnx.Module, nnx.State)):
        kind = type(members).__name__
        raise TypeError(f"members must be a list of nnx.States or SoftModules, got one {kind}; [it] would do")
    twins = [_twin(soft, m, f"members[{k}]") for k, m in enumerate(members)]
    if not twins:
        raise ValueError("members must be one state or more, got none; [nnx.state(soft)] would do")
    model = known_model(soft.model, likelihood)
    base = nnx.clone(soft.record.given)
    nnx.update(base, nnx.state(twins[0].module, nnx.BatchStat))
    net, samples = soft.record.network(base), dict[str, list[NDArray]]()
    for k, twin in enumerate(twins):
        weights = _as_first(net, twins[0].module, twin.module, twin.weights())
        _check(net, weights, twin, f"members[{k}]")
        for name, w in (weights | {s: np.asarray(v) for s, v in twin.sigmas.items()}).items():
            samples.setdefault(name, []).append(w)
    stacked = {name: np.stack(w)[None] for name, w in samples.items()}
    return Posterior(model.replace(net=net), stacked, x=x, y=y, method="SoftModule", engine="numpyro")  # type: ignore[arg-type]


def _twin(soft: Any, member: Any, name: str) -> Any:
    """A copy in this state, in evaluation mode."""
    state = nnx.state(member) if isinstance(member, nnx.Module) else member
    if not isinstance(state, nnx.State):
        raise TypeError(f"{name} must be an nnx.State or a SoftModule, got a {type(member).__name__}")
    twin = nnx.clone(soft)
    wanted, found = ({k: np.shape(v) for k, v in by_name(s).items()} for s in (nnx.state(twin), state))
    odd = [k for k in {**wanted, **found} if wanted.get(k) != found.get(k)]
    if odd:
        raise ValueError(f"{name} must be a state of this SoftModule, got one that differs in {', '.join(odd[:3])}")
    nnx.update(twin, state)
    twin.eval()
    return twin


def _as_first(net: FlaxNetwork, first: Any, module: Any, weights: dict[str, NDArray]) -> dict[str, NDArray]:
    """Weights with which the first state's running statistics do what this state's do."""
    changed = dict(weights)
    for path, norm in nnx.iter_graph(module):
        if not isinstance(norm, nnx.BatchNorm):
            continue
        path = ".".join(map(str, path))
        both = at(first, path), norm
        means = [np.asarray(n.mean[...], dtype=np.float64) for n in both]
        roots = [np.sqrt(np.asarray(n.var[...], dtype=np.float64) + n.epsilon) for n in both]
        if np.array_equal(means[0], means[1]) and np.array_equal(roots[0], roots[1]):
            continue
        scale, shift = joined(path, "scale"), joined(path, "bias")
        if scale not in weights or shift not in weights:
            raise ValueError(
                f"members must have the same running statistics of {path!r}, got others; a normalisation whose scale "
                "and shift are inferred, or one state at a time, would do"
            )
        w, b = (weights[k] + net.center[k] for k in (scale, shift))
        for k, v in zip((scale, shift), as_first(w, b, means, roots), strict=True):
            changed[k] = (v - net.center[k]).astype(np.float32)
    return changed


def _check(net: FlaxNetwork, weights: Mapping[str, NDArray], twin: Any, name: str) -> None:
    """The network with these weights must be the module in this state."""
    assert net.input_shape is not None
    x = np.random.default_rng(0).uniform(size=(2, *net.input_shape)).astype(np.float32)
    check_same(np.asarray(twin(x)).reshape(2, -1), net(weights, x.reshape(2, -1)), name)
