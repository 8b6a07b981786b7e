"""Discrete symmetries beside the algebra that was found: flips, swaps, reflections and half turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from bayes_rpp.analysis.discovery.discrete import discrete_symmetries
from bayes_rpp.analysis.discovery.discrete_evidence import column_reps
from bayes_rpp.analysis.discovery.discrete_extensions import discrete_extensions
from bayes_rpp.symmetry.averages import check_compact
from bayes_rpp.symmetry.discovery.cosets import is_inside, normalizes
from bayes_rpp.symmetry.discovery.described import Named
from bayes_rpp.symmetry.groups import Group

Array = NDArray[np.float64]
Discrete: TypeAlias = tuple[str, Array, float]
NUMBERS, LEAST = 450, 60  # of y that are looked at, of so many examples at least: seconds
LARGEST = 12  # dimension of an algebra of columns as they are, beside which nothing is looked for: f is very simple
NEARLY = 0.01  # half of a sum of squares of entries: as well as generators are known
OF_THE_FIT = "y is not strictly equivariant"  # which the verdict says already


@dataclass(frozen=True)
class Beside:
    """What is beside an algebra.

    Attributes:
        found: (name in words, matrix, by how many nats the evidence rises) of each further generator.
        named: the algebra with the whole group and its representations.
        doubts: what could not be said, in words.
    """

    found: list[Discrete]
    named: Named
    doubts: list[str]


def discrete_beside(
    x: Array,
    y: Array,
    named: Named,
    are_known: bool,
    columns: Sequence[str] | None,
    targets: Sequence[str] | None,
    seed: int,
) -> Beside:
    """Those of some of the examples (n, d_in) and (n, d_out), in random order, in the units of `named`.

    Args:
        are_known: whether the representations were given; else the group acts on the columns of x and y together.
    """
    rows = max(LEAST, NUMBERS // y.shape[1])
    if are_known:
        return _reflections(x[:rows], y[:rows], named, seed)
    if len(named.generators) > LARGEST:
        return Beside([], named, [])
    return _of_columns(x[:rows], y[:rows], named, columns, targets, seed)


def _reflections(x: Array, y: Array, named: Named, seed: int) -> Beside:
    try:
        check_compact(named.group)
        found = discrete_extensions(
            x, y, rep_in=named.rep_in, rep_out=named.rep_out, group=named.group, signs=False, seed=seed
        )
    except ValueError:  # no group of orthogonal matrices, or representations that are not
        return Beside([], named, [f"reflections beside {named.group} were not looked for, as it has no average"])
    doubts = [d for d in found.doubts if not d.startswith(OF_THE_FIT)]
    if not found.found:
        return Beside([], named, doubts)
    return Beside(found.found, replace(named, group=found.group), doubts)


def _of_columns(
    x: Array, y: Array, named: Named, columns: Sequence[str] | None, targets: Sequence[str] | None, seed: int
) -> Beside:
    d, m = x.shape[1], y.shape[1]
    columns = columns or [f"x{i + 1}" for i in range(d)]  # as for the algebra
    targets = targets or (None if m == 1 else [f"y{i + 1}" for i in range(m)])
    all_found = discrete_symmetries(x, y, columns=columns, targets=targets, seed=seed)
    algebra = named.generators if len(named.generators) else np.zeros((0, d + m, d + m))
    group, doubts = Group(d + m, algebra, name=named.group.name, exact=True), list(all_found.doubts)
    found: list[Discrete] = []
    for name, p, r, nats, _ in all_found.found:
        whole = block_diag(p, r)
        if is_inside(whole, group, NEARLY):
            continue
        if not normalizes(whole, group):
            doubts.append(f"{name}: it holds by itself (evidence +{nats:.1f} nats), but not together with the rest")
            continue
        found.append((name, whole, nats))
        name = f"{named.group.name} with " if len(algebra) else ""
        name += f"{len(found)} discrete symmetr{'ies' if len(found) > 1 else 'y'} of columns"
        group = Group(d + m, algebra, [g for _, g, _ in found], name=name, exact=True)
    if not found:
        return Beside([], named, doubts)
    reps = (named.rep_in, named.rep_out) if len(algebra) else column_reps(group, d)
    return Beside(found, replace(named, group=group, rep_in=reps[0], rep_out=reps[1]), doubts)
