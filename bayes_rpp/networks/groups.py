"""Several groups of one network: whether they are nested, the group that they generate, and linear layers for them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from bayes_rpp.networks.network import Parameter, bind
from bayes_rpp.priors.subspaces.base import EquivariantSubspace, Subspace
from bayes_rpp.priors.subspaces.nested import NestedSubspace
from bayes_rpp.priors.subspaces.sums import SumSubspace
from bayes_rpp.symmetry.groups import Group, Trivial, product_group
from bayes_rpp.symmetry.representations import Representation, Scalar, Vector

TOLERANCE = 1e-8  # of ranks of Lie algebras, whose largest entries are 1


def check_groups(group: Any, subgroups: Any = ()) -> tuple[Group, ...]:
    """One for each pathway, from the arguments of `EMLP`.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    inner = (subgroups,) if isinstance(subgroups, Group) else tuple(subgroups)
    if isinstance(group, (list, tuple)):
        if inner:
            raise ValueError("subgroups must be left out where group is a list, which may hold them, got both")
        return _checked(tuple(group))
    group = Trivial(1) if group is None else group
    if isinstance(group, Group):
        return (group, *_checked_subgroups(inner, group)) if inner else (group,)
    wanted = f"groups.parse_group({group!r})" if isinstance(group, str) else "O(3)"
    raise TypeError(f"group must be a Group or a list of groups, got {group!r}; {wanted} would do")


def _checked(groups: tuple[Any, ...]) -> tuple[Group, ...]:
    if not groups or not all(isinstance(g, Group) for g in groups):
        raise TypeError(f"group must be a Group or a list of groups, got {list(groups)!r}; O(3) would do")
    for k, g in enumerate(groups):
        if g.dim != groups[0].dim:
            raise ValueError(
                f"group must be a list of groups on the same R^dim, got {groups[0]} on R^{groups[0].dim} and {g} on "
                f"R^{g.dim}; SO(2) * Trivial(1) acts on R^3, as O(3) does, and would do"
            )
        same = next((h for h in groups[:k] if lies_in(g, h) and lies_in(h, g)), None)
        if same is not None:
            raise ValueError(
                f"group must be a list of groups with different maps, got {g} beside {same}; leave one out"
            )
    return groups


def _checked_subgroups(subgroups: tuple[Any, ...], group: Group) -> tuple[Group, ...]:
    for k, h in enumerate(subgroups):
        if not isinstance(h, Group):
            raise TypeError(f"subgroups[{k}] must be a Group, got {h!r}")
        if h.dim != group.dim:
            raise ValueError(f"subgroups[{k}] must act on R^{group.dim}, as group does, got R^{h.dim}")
        larger = group if k == 0 else subgroups[k - 1]
        if not lies_in(h, larger):
            raise ValueError(
                f"subgroups[{k}], {h}, does not lie in {larger}; each must lie in the one before it, and of others "
                "group=[...], a list, would do"
            )
        if lies_in(larger, h):
            raise ValueError(f"subgroups[{k}] must leave other maps than {larger}, got {h}; leave it out")
    return subgroups


def is_chain(groups: Sequence[Group]) -> bool:
    """Whether each group lies in the one before."""
    return all(lies_in(small, large) for large, small in itertools.pairwise(groups))


@lru_cache(maxsize=256)
def lies_in(small: Group, large: Group) -> bool:
    """Whether a group lies in another: on the algebra, and on the elements of a finite one or else on maps of tensors,
    whatever the network's representations are."""
    algebras = [g.lie_algebra.reshape(-1, g.dim**2) for g in (large, small)]
    if np.linalg.matrix_rank(np.concatenate(algebras), tol=TOLERANCE) > np.linalg.matrix_rank(
        algebras[0], tol=TOLERANCE
    ):
        return False
    if large.is_finite and large.listing is not None:
        return all((large.listing.images(h) >= 0).all() for h in small.discrete_generators)
    rep = Scalar + Vector + Vector**2
    inner, outer = (EquivariantSubspace(rep(g), rep(g)) for g in (large, small))
    return inner.rank <= outer.rank and _holds(inner, outer)


def _holds(inner: Subspace, outer: Subspace) -> bool:
    try:
        NestedSubspace([inner, outer])
    except ValueError:
        return False
    return True


def generated(groups: Sequence[Group]) -> Group:
    """The smallest group that holds all of them: that of all their generators. Of products of groups on the same spaces
    it is a product."""
    first = groups[0]
    if is_chain(groups):
        return first
    if all(g.factors and [f.dim for f in g.factors] == [f.dim for f in first.factors] for g in groups):
        return product_group(
            *(generated(tuple(dict.fromkeys(fs))) for fs in zip(*(g.factors for g in groups), strict=True))
        )
    largest = next((g for g in groups if all(lies_in(h, g) for h in groups)), None)
    if largest is not None:
        return largest
    algebra = np.concatenate([g.lie_algebra for g in groups])
    discrete = np.concatenate([g.discrete_generators for g in groups])
    return Group(first.dim, algebra, discrete, name=f"<{', '.join(map(str, groups))}>", exact=True)


def equivariant_parameters(
    name: str, rep_in: Representation, rep_out: Representation, groups: Sequence[Group]
) -> dict[str, Parameter]:
    """Weight and bias of a linear layer, with a subspace of maps for each group."""
    levels: dict[str, list[Subspace]] = {"weight": [], "bias": []}
    for k, g in enumerate(groups):
        into, out = rep_in, rep_out
        if g is not rep_out.group:
            into, out = (bind(r.rep, g, f"group[{k}]") for r in (rep_in, rep_out))
        levels["weight"].append(EquivariantSubspace(into, out))
        levels["bias"].append(EquivariantSubspace(None, out))
    nested = is_chain(groups)
    return {f"{name}.{k}": Parameter(_around(s, nested)) for k, s in levels.items()}


def _around(levels: list[Subspace], nested: bool) -> Subspace:
    if len(levels) == 1:
        return levels[0]
    if nested:
        return NestedSubspace(levels)
    found = SumSubspace(levels)
    # Where all groups leave the same maps, one subspace serves as every level.
    return levels[0] if all(s.rank == found.rank for s in levels) else found
