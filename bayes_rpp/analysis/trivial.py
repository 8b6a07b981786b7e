"""A Trivial group beside products of groups whose representations name the factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayes_rpp.symmetry.groups import Group, Trivial, product_group
from bayes_rpp.symmetry.representations import bind_rep


def with_trivial_factors(groups: Any, rep_in: Any, rep_out: Any) -> Any:
    """The candidates, in which a Trivial group that has no factors is a product of Trivial groups, with the sizes of
    another candidate's factors, if the representations ask for them: `Vector.on(1)`. It leaves the same columns alone.
    """
    if not isinstance(groups, Mapping):
        return groups
    sizes = next((tuple(f.dim for f in g.factors) for g in groups.values() if isinstance(g, Group) and g.factors), ())
    return {k: _with_factors(g, sizes, rep_in, rep_out) for k, g in groups.items()}


def _with_factors(group: Any, sizes: tuple[int, ...], rep_in: Any, rep_out: Any) -> Any:
    if not sizes or not isinstance(group, Group) or group.factors:
        return group
    if not group.is_trivial:
        return group
    try:
        for rep, name in ((rep_in, "rep_in"), (rep_out, "rep_out")):
            bind_rep(rep, group, name)
    except ValueError:  # it has no factors
        return product_group(*(Trivial(size) for size in sizes))
    return group
