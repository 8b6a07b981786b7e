"""`soften`: any module of torch or Flax with residual pathways, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bayes_rpp._warnings import warn_user
from bayes_rpp.networks.soften.doubts import warn_of_broken_symmetry, warn_of_nothing_soft
from bayes_rpp.networks.soften.module import ModuleNetwork
from bayes_rpp.networks.soften.options import Options, checked_shape
from bayes_rpp.priors.subspaces.base import Subspace
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep

Residual = Literal["dense", "local", "separable", "low-rank", "kernel"]


def soften(
    module: Any,
    input_shape: int | Sequence[int],
    *,
    centre: Literal["zero", "module"] | None = None,
    residual: Residual | Mapping[str, Residual] | None = None,
    subspaces: Mapping[str, Subspace] | None = None,
    skip: Sequence[str] = (),
    freeze: Sequence[str] = (),
    rep_in: Rep | None = None,
    rep_out: Rep | None = None,
    group: Group | None = None,
) -> ModuleNetwork:
    """Give every linear, convolutional or equivariant layer of a module its residual pathway.

    A softened layer has the weight W of all linear maps that its residual may be, with the subspace of those that the
    layer itself can be. Plain linear layers have no restriction of their own: theirs is the full space, unless
    `subspaces` says otherwise. Left alone are normalisation and embedding layers, attention and recurrent ones without
    a residual of tokens, what is not linear in its parameters or input, layers that share a parameter or are called
    with inputs of different shapes, and `skip`: their parameters are inferred as they are, with priors centred at the
    module's values. `print(net.table)` lists both, with the reasons. Modules are used in evaluation mode: no dropout,
    and running statistics as the module has them.

    Args:
        module: torch.nn.Module (runs in Pyro), or a Flax module, nnx or linen (runs in NumPyro). It is not changed.
            Linen modules hold no weights: `module.bind(variables)` brings them, else they are initialised with key 0.
        input_shape: of one example, without the batch, such as (3, 32, 32), or (32, 32, 3) in Flax; the module's output
            must be (n, outputs), or is flattened to that.
        centre: of the prior of softened layers and plain linear ones: "zero", or "module", the values that the module
            has, for one that is good already, as after training on these data or more. None: "module" where batch
            normalisation has seen data, so that the module is a trained one for certain, and "zero" otherwise.
        residual: of convolutions: "dense", any linear map from the whole input to the whole output (the default);
            "local", a kernel of its own at each position; "separable", a kernel that varies smoothly with position, and
            "low-rank", any map between slow waves over input and output, both of torch alone, with weights that are no
            more for larger images; "kernel", any other kernel, for steerable convolutions (their default). Or a dict of
            these by layer, in which a key may be a pattern. A linear layer of torch on tokens, (n, ..., features), has
            no residual of its own by default; otherwise it is a convolution of kernel size 1 over the tokens: "dense",
            any map between all of them, "local", a matrix for each. So are then the linear maps within attention and
            recurrent layers; that of a recurrent state is "local" where it would be "dense", and "separable" where it
            would be "low-rank", as no other step's state can reach it.
        subspaces: by parameter ("fc.weight"; a key may be a pattern), in place of the layer's own, of the same shape:
            an EquivariantSubspace for a plain linear layer, or a NestedSubspace.
        skip: patterns of layers, or of parts of the module, to leave alone. Those of a torch module that no gradient
            reaches, such as a backbone under `torch.no_grad`, stay as they are.
        freeze: patterns of layers of a torch module whose parameters stay as they are, as do those with
            `requires_grad=False`.
        rep_in, rep_out, group: how a group acts on the flattened input and output, for the equivariance error.

    Returns:
        ModuleNetwork, to be given to Model; `fit(..., init=net.initial)` starts from the module's weights.

    Warns:
        UserWarning: if nothing is soft, with the reasons; if batch normalisation has seen no data; or if the network is
            not equivariant where its residuals are zero, with the equivariance error (representations given).

    Raises:
        TypeError, ValueError: naming the argument that does not fit, a pattern that fits nothing, the layer whose
            weight would be too large, or what the module does that does not go with new layers.
    """
    homes = {base.__module__.split(".")[0] for base in type(module).__mro__}
    shape = checked_shape(input_shape)
    options = Options(residual, subspaces, skip, freeze)
    reps: dict[str, Any] = {"rep_in": rep_in, "rep_out": rep_out, "group": group, "centre": centre}
    if "torch" in homes:
        from bayes_rpp.networks.soften.torch.soften import soften as soften_torch

        return _looked_at(soften_torch(module, shape, options, **reps))
    if "flax" in homes:
        if freeze:
            raise ValueError(
                f"freeze must be empty for a Flax module, got {list(freeze)!r}; skip={list(freeze)!r}, "
                "whose parameters are inferred as they are, would do"
            )
        from bayes_rpp.networks.soften.flax.soften import soften as soften_flax

        return _looked_at(soften_flax(module, shape, options, **reps))
    raise TypeError(f"module must be a torch.nn.Module or a Flax module, got a {type(module).__name__}")


def _looked_at(net: ModuleNetwork) -> ModuleNetwork:
    """Raise ValueError unless each example has an output of its own; warn of what a user may not expect."""
    x = np.random.default_rng(0).uniform(size=(3, net.rep_in.size)).astype(np.float32)
    start = {k: w.astype(np.float32) for k, w in net.initial.items()}
    together, alone = net(start, x), net(start, x[:1])
    if np.abs(together[:1] - alone).max() > 1e-2 * max(1.0, np.abs(alone).max()):
        raise ValueError("module must map each example by itself, got an output that depends on the others")
    if net.untrained:
        warn_user(
            f"module has batch normalisation that has seen no data ({', '.join(net.untrained)}), which does nothing in "
            "evaluation mode; running the module over the data in training mode, or loading its state_dict, before "
            "soften, would do; and so would SoftModule, which trains them along"
        )
    if not warn_of_nothing_soft(net):
        warn_of_broken_symmetry(net)
    return net
