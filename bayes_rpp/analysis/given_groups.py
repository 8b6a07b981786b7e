"""The groups of a comparison as they were given: single ones and lists of them, by name, from text, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

from bayes_rpp.networks.groups import is_chain
from bayes_rpp.symmetry.groups import Group, Trivial, product_group
from bayes_rpp.symmetry.parse import parse_group, parse_groups
from bayes_rpp.symmetry.representations import bind_rep

Groups = tuple[Group, ...]


def read_groups(groups: Any, rep_in: Any, rep_out: Any) -> dict[str, Groups]:
    """The groups of each candidate: one, or several of which none contains another.

    A Trivial group that has no factors becomes a product of Trivial groups, with the sizes of another candidate's
    factors, if the representations ask for them: `Vector.on(1)`. It leaves the same columns alone.

    Raises:
        TypeError, ValueError: naming the argument, where the candidates cannot be compared.
    """
    if not isinstance(groups, Mapping) or not groups:
        raise TypeError(f'groups must be a dict, got {groups!r}; {{"none": Trivial(3), "O(3)": O(3)}} would do')
    named = {name: _several(name, given) for name, given in groups.items()}
    sizes = next((tuple(f.dim for f in g.factors) for gs in named.values() for g in gs if g.factors), ())
    named = {name: tuple(_with_factors(g, sizes, rep_in, rep_out) for g in gs) for name, gs in named.items()}
    _check_columns(named, rep_in, rep_out)
    for name, gs in named.items():
        for large, small in permutations(gs, 2):
            if is_chain([large, small]):
                raise ValueError(
                    f"groups[{name!r}] must be a list of groups of which none contains another, got {large}, which "
                    f"contains {small}; a candidate for each would do, as the smaller one has a nested model then"
                )
    return named


def _several(name: Any, given: Any) -> Groups:
    given = parse_groups(given) if isinstance(given, str) else given
    several = isinstance(given, (list, tuple))
    found = tuple(parse_group(g) if isinstance(g, str) else g for g in (given if several else [given]))
    if not isinstance(name, str) or not all(isinstance(g, Group) for g in found):
        raise TypeError(f"groups must map names to Groups, got {name!r}: {given!r}; O(3), or a list, would do")
    if several and len(found) < 2:
        would = f"{found[0]} without a list" if found else "[SO(2) * Trivial(1), Trivial(1) * SO(2)]"
        raise ValueError(f"groups[{name!r}] must be a Group, or a list of two or more, got {given!r}; {would} would do")
    return found


def _check_columns(named: Mapping[str, Groups], rep_in: Any, rep_out: Any) -> None:
    first = None
    for name, gs in named.items():
        for k, group in enumerate(gs):
            label = f"groups[{name!r}]" + (f"[{k}]" if len(gs) > 1 else "")
            sizes = [bind_rep(rep, group, arg).size for arg, rep in (("rep_in", rep_in), ("rep_out", rep_out))]
            first = first or (label, group.dim, sizes)
            if (group.dim, sizes) != first[1:]:
                raise ValueError(
                    f"{label} must act on the columns that {first[0]} acts on, got R^{group.dim} with sizes {sizes} of "
                    f"rep_in and rep_out beside R^{first[1]} with {first[2]}; products with Trivial(k), such as SO(2) "
                    "* Trivial(1), which leave k axes alone, would do"
                )


def _with_factors(group: Group, sizes: tuple[int, ...], rep_in: Any, rep_out: Any) -> Group:
    if not sizes or group.factors or not group.is_trivial:
        return group
    try:
        for rep, name in ((rep_in, "rep_in"), (rep_out, "rep_out")):
            bind_rep(rep, group, name)
    except ValueError:  # it has no factors
        return product_group(*(Trivial(size) for size in sizes))
    return group
