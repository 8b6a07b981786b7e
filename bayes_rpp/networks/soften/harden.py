"""`harden`: a dense layer that was trained without a symmetry, moved towards it.

W -> P W + (1 - strength) (W - P W), with P the orthogonal projector on the equivariant maps: the nearest layer with
that share of its part outside of the symmetry. The other way round from `soften`, which adds that part.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from bayes_rpp.priors.subspaces.base import EquivariantSubspace
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, bind_rep


def harden(module: Any, group: Group, reps: Mapping[str, tuple[Rep, Rep]], *, strength: float = 1.0) -> Any:
    """Move linear layers of a torch module towards the maps that are equivariant under a group.

    Functions between the layers are as they are: a ReLU of the entries of a vector breaks what the layers keep, one of
    scalars or of a permutation's entries does not. Training goes on from there, or `soften` gives the layer its
    residual again.

    Args:
        module: torch.nn.Module; it is not changed.
        group: that acts.
        reps: path of an nn.Linear -> (representation of its input, of its output), such as {"0": (Vector, 8 * Vector)};
            layers that are not named stay.
        strength: between 0, the layers as they are, and 1, the nearest equivariant ones. Biases, too.

    Returns:
        A copy of the module.

    Raises:
        TypeError, ValueError: naming what does not fit.
    """
    if not any(base.__module__.startswith("torch.nn.") for base in type(module).__mro__):
        raise TypeError(f"module must be a torch.nn.Module, got a {type(module).__name__}")
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 <= strength <= 1:
        raise ValueError(f"strength must be between 0 and 1, got {strength!r}")
    if not isinstance(reps, Mapping) or not reps:
        raise TypeError(f"reps must be a dict of pairs of representations by layer, got {reps!r}; "
                        "{'0': (Vector, Vector)} would do")  # fmt: skip
    new, layers = deepcopy(module), dict(module.named_modules())
    for path, pair in reps.items():
        layer = layers.get(path)
        if type(layer).__name__ != "Linear" or layer is None:
            there = ", ".join(repr(p) for p, m in layers.items() if type(m).__name__ == "Linear") or "none"
            raise ValueError(f"reps must name layers nn.Linear, got {path!r}; there are {there}")
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"reps[{path!r}] must be a pair (of the input, of the output), got {pair!r}")
        rep_in, rep_out = (bind_rep(r, group, f"reps[{path!r}]") for r in pair)
        for what, rep, size in (("input", rep_in, layer.in_features), ("output", rep_out, layer.out_features)):
            if rep.size != size:
                raise ValueError(f"reps[{path!r}] must have size {size} of the layer's {what}, got {rep.size}")
        for name, p in new.get_submodule(path).named_parameters():
            subspace = EquivariantSubspace(rep_in if name == "weight" else None, rep_out)
            w = p.detach().cpu().double().numpy()
            moved = w + strength * (subspace.project(w) - w)
            p.data.copy_(p.data.new_tensor(moved))
    return new
