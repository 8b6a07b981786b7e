"""Hidden representations: how a width is shared out over tensor ranks, and which terms permute their entries."""

from __future__ import annotations

from functools import reduce
from math import comb

import numpy as np

from bayes_rpp.networks.mlp import check_width
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, Scalar, T, Term, Vector


def uniform_rep(channels: int, group: Group) -> Rep:
    """Share `channels` evenly over tensor ranks (Finzi, Welling, Wilson 2021, Section 5).

    While channels are left: R = the largest rank with (R+1) d^R <= channels; rank r <= R gets d^(R-r) copies. For
    groups of matrices that are not orthogonal, rank-r tensors are split binomially over T(k, r-k). A group without
    generators gets scalars, one of 1 x 1 matrices as many vectors as scalars.
    """
    channels, d = check_width(channels), group.dim
    if not len(group.lie_algebra) and not len(group.discrete_generators):
        return channels * Scalar
    if d == 1:
        return (channels - channels // 2) * Scalar + (channels // 2) * Vector if channels > 1 else Scalar
    copies: dict[int, int] = {}
    while channels > 0:
        rank = 0
        while (rank + 2) * d ** (rank + 1) <= channels:
            rank += 1
        for r in range(rank + 1):
            copies[r] = copies.get(r, 0) + d ** (rank - r)
        channels -= (rank + 1) * d**rank
    parts = []
    for r, n in sorted(copies.items()):
        if group.is_orthogonal:
            parts.append(n * T(r))
            continue
        # A binomial share of n to each T(k, r-k), rounded so that the shares add up to n.
        shares = np.array([comb(r, k) for k in range(r + 1)]) / 2**r * n
        whole = np.floor(shares).astype(int)
        for k in np.argsort(whole - shares, kind="stable")[: n - whole.sum()]:
            whole[k] += 1
        parts += [int(m) * T(k, r - k) for k, m in enumerate(whole) if m]
    return reduce(lambda a, b: a + b, parts)


def is_permutation(group: Group, term: Term) -> bool:
    """Whether the group only permutes the entries of this term, so that any pointwise function is equivariant."""
    if not term:
        return True
    if not group.is_discrete:
        return False
    matrices = [f.matrix(group, h) for f in term for h in group.discrete_generators]
    return all(bool(np.isin(m, (0.0, 1.0)).all() and (m.sum(0) == 1).all() and (m.sum(1) == 1).all()) for m in matrices)
