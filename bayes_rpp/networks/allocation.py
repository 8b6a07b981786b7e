"""Hidden representations: how a width is shared out over types.

A hidden layer carries a function only if it holds the types that have to pass: those of the input and of the output,
and tensors between them, of which products are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import combinations_with_replacement
from itertools import product as cartesian
from math import comb

import numpy as np

from bayes_rpp.networks.mlp import check_width
from bayes_rpp.networks.products import hom_rank, is_near
from bayes_rpp.networks.terms import alike, is_moved, is_permutation
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, Representation, Scalar, T, Term, Vector, tensor_term

FEW = 8  # copies of a type that are kept whatever the width
SCALARS = 0.25  # of a width, at least, where the types that have to pass take all of it
MIXED = 0.5  # of a width for types of input and output with indices of several factors of a product
RANKS = 3  # of the tensors of products of groups, at most


def uniform_rep(channels: int, group: Group) -> Rep:
    """Share `channels` evenly over tensor ranks (Finzi, Welling, Wilson 2021, Section 5).

    While channels are left: R = the largest rank with (R+1) d^R <= channels; rank r <= R gets d^(R-r) copies. For
    groups of matrices that are not orthogonal, rank-r tensors are split binomially over T(k, r-k). A group without
    generators gets scalars, one of 1 x 1 matrices as many vectors as scalars. A product of groups of which several
    move something has tensors of each factor and their products, such as `Vector.on(0) * Vector.on(1)`, shared alike
    over these types in the order of their size.
    """
    channels = check_width(channels)
    return (
        _of_factors(channels, group) if sum(not f.is_trivial for f in group.factors) > 1 else _of_ranks(channels, group)
    )


def hidden_rep(channels: int, rep_in: Representation, rep_out: Representation) -> Rep:
    """A hidden representation of about `channels` entries that carries functions from rep_in to rep_out.

    It is that of `uniform_rep` where this holds each type of input and output as often as they do. Elsewhere they come
    first, each with as many copies as it has there, but at most as many as fit into `channels`, or 8; what is
    left of `channels`, or a quarter of it, is shared out as in `uniform_rep`. Outputs that take three factors of the
    input, as det(u, v, w) does, have products of two between. Representations of one factor of a product of groups, as
    in `Vector.on(0)`, have tensors of the factors; and types with indices of several, as in
    `Vector.on(0) * Vector.on(1)`, take half of the width, as what is said of each point passes through them alone.
    """
    channels, group = check_width(channels), rep_in.group
    if group.is_trivial:
        return channels * Scalar
    by_factor = any(f.on is not None for r in (rep_in, rep_out) for term in r.types for f in term)
    shared = _of_factors if by_factor else _of_ranks
    plain = shared(channels, group)
    copies: dict[Term, int] = {}
    sizes: dict[Term, int] = {}
    mixed = {t for rep in (rep_in, rep_out) for t in rep.types if len({f.on for f in t}) > 1 and is_moved(group, t)}
    for rep in (rep_in, rep_out):
        for term, where in rep.types.items():
            if is_moved(group, term):
                known = next((t for t in copies if alike(t, term, group)), term)
                fit = max(FEW, channels // where.shape[1])
                most = min(len(where), fit)
                if term in mixed:
                    most = max(most, int(MIXED * channels / len(mixed)) // where.shape[1])
                copies[known] = max(copies.get(known, 0), most)
                sizes[known] = where.shape[1]
    for term in _between(rep_in, rep_out):
        if not any(alike(t, term, group) for t in copies):
            copies[term], sizes[term] = 1, Rep(((term, 1),))(group).size
    if all(_copies(plain, term, group) >= n for term, n in copies.items()):
        return plain
    rest = max(channels - sum(n * sizes[t] for t, n in copies.items()), int(np.ceil(SCALARS * channels)))
    for term, count in shared(rest, group).terms:
        known = next((t for t in copies if alike(t, term, group)), term)
        copies[known] = copies.get(known, 0) + count
    ordered = sorted(copies.items(), key=lambda item: sizes.get(item[0]) or Rep(((item[0], 1),))(group).size)
    return Rep(tuple(ordered))


def _between(rep_in: Representation, rep_out: Representation) -> Iterator[Term]:
    """Products of two types of the input from which, with a third, outputs are made that two cannot make."""
    group, inputs = rep_in.group, list(rep_in.types)
    for out in rep_out.types:
        if not is_near(group, inputs, out):
            for a, b in combinations_with_replacement(inputs, 2):
                if any(hom_rank(group, (*a, *b), c, out) for c in inputs):
                    yield (*a, *b)
                    break


def _copies(rep: Rep, term: Term, group: Group) -> int:
    return sum(n for t, n in rep.terms if alike(t, term, group))


def _of_ranks(channels: int, group: Group) -> Rep:
    d = group.dim
    if group.is_trivial:
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


def _of_factors(channels: int, group: Group) -> Rep:
    """As by ranks, over the products of the factors' tensors: the K smallest types with K size_K <= channels get
    size_K / size copies each, until no channels are left."""
    types = sorted(_tensors(group), key=lambda found: found[0])
    copies = dict.fromkeys(range(len(types)), 0)
    while channels > 0:
        count = 1
        while count < len(types) and (count + 1) * types[count][0] <= channels:
            count += 1
        for k in range(count):
            more = types[count - 1][0] // types[k][0]
            copies[k] += more
            channels -= more * types[k][0]
    return reduce(lambda a, b: a + b, [n * types[k][1] for k, n in copies.items() if n])


def _tensors(group: Group) -> Iterator[tuple[int, Rep]]:
    """(size, type) of the products of tensors of the factors that move something, up to a rank of three."""
    choices = []
    for k, factor in enumerate(group.factors):
        if not factor.is_trivial:
            # Of permutations vectors alone: networks with T(2) of them end in worse modes.
            most = 1 if is_permutation(factor, tensor_term(1, 0)) else RANKS
            splits = [(p, 0) for p in range(most + 1)]
            if not factor.is_orthogonal:
                splits = [(p, r - p) for r in range(RANKS + 1) for p in range(r + 1)]
            choices.append([(p + q, factor.dim ** (p + q), T(p, q).on(k)) for p, q in splits])
    for combination in cartesian(*choices):
        if sum(rank for rank, _, _ in combination) <= RANKS:
            parts = [rep for rank, _, rep in combination if rank]
            yield int(np.prod([size for _, size, _ in combination])), reduce(lambda a, b: a * b, parts, Scalar)
