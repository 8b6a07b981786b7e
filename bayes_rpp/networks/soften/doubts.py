"""What a user of softened weights should know at once: that nothing is soft, or that what is left without residuals is
not symmetric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayes_rpp._warnings import warn_user
from bayes_rpp.networks.network import Network, Parameter
from bayes_rpp.networks.polynomials import strict_weights
from bayes_rpp.networks.soften.module import ModuleNetwork, Softened
from bayes_rpp.networks.soften.options import KERNELS, TOKENS
from bayes_rpp.symmetry.equivariance import Probe

POINTS, DRAWS = 16, 2
TOLERANCE = 1e-3  # of the equivariance error: modules may hold float32 constants
SHOWN = 3


def warn_of_nothing_soft(net: ModuleNetwork) -> bool:
    """Warn if no weight has a subspace smaller than all that it may be; returns whether."""
    if any(_is_soft(p) for p in net.parameters.values()):
        return False
    reasons = [f"{s.name or '(module)'} ({s.kind}): {_reason(s)}" for s in net.layers]
    more = f", and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    warn_user(
        "soften made nothing soft: no weight's residual could be more than what its layer is already, so the prior is "
        f"a plain Gaussian of the variance sigma_a^2 + sigma_b^2. {'; '.join(reasons[:SHOWN])}{more}. "
        f"{_would(net.layers, net.engines)} would do"
    )
    return True


def warn_of_broken_symmetry(net: Network, before: Network | None = None) -> None:
    """Warn if the network is not equivariant at weights within its most symmetric subspaces, as with sigma_b = 0.

    Args:
        before: what it was made of; no warning if that is not equivariant either.
    """
    error = strict_error(net)
    if error > TOLERANCE and (before is None or strict_error(before) <= TOLERANCE):
        warn_user(
            f"the network is not equivariant under {net.group} where its residuals are zero: with sigma_b = 0 its "
            f"equivariance error is {error:.2g}. A pointwise function such as ReLU of the entries of vectors, or a "
            "layer whose subspace is not one of equivariant maps, breaks the symmetry; functions of invariants, as "
            "gates are, and subspaces={name: EquivariantSubspace(...)} for plain layers would do"
        )


def strict_error(net: Network) -> float:
    """Mean equivariance error at weights drawn within the most symmetric subspaces; 0 without a group that acts."""
    group = net.group
    if group.is_trivial:
        return 0.0
    rng = np.random.default_rng(0)
    probe = Probe(rng.normal(size=(POINTS, net.rep_in.size)), net.rep_in, net.rep_out, group)
    found = []
    for _ in range(DRAWS):
        params = strict_weights(net, rng)
        try:
            found.append(float(probe.error(lambda x, params=params: net(params, x)).mean()))  # type: ignore[misc]
        except ValueError:  # not finite there
            continue
    return max(found, default=0.0)


def _is_soft(parameter: Parameter) -> bool:
    return parameter.subspace.levels[0].rank < parameter.subspace.size


def _reason(layer: Softened) -> str:
    if layer.subspace is None:
        return f"left alone, {layer.text}"
    return f"rank {layer.subspace.levels[0].rank} of {layer.subspace.size}, {layer.text.removeprefix('residual: ')}"


def _would(layers: Sequence[Softened], engines: Sequence[str]) -> str:
    if any(s.reason == KERNELS for s in layers):
        return "residual='local' or 'dense', for convolutions,"
    tokens = any(s.reason == TOKENS or s.note in ("attention", "recurrent", "part of attention") for s in layers)
    if tokens and "pyro" in engines:
        return "residual='local' or 'dense', or the smaller 'separable' and 'low-rank', for layers on tokens,"
    if any(s.reason == TOKENS for s in layers):
        return (
            "A convolution of kernel size 1 in place of the linear layer on tokens (the same function, but softened to "
            "any map of all tokens), or subspaces={name: Subspace}"
        )
    if any(s.note.startswith("skipped") for s in layers):
        return "Fewer layers in skip"
    return "A module with convolutions or equivariant layers, or subspaces={name: Subspace} for a plain linear one,"
