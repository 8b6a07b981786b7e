"""Products of two features as equivariant maps: y_j = sum_p theta_jp Q (x_a,p (x) x_b,p), Q of Hom(A (x) B, J).

The bilinear layer multiplies features through a third type, R = J (x) A^*, which the hidden layer must hold: T(3) for
two vectors to make a T(2). Where it does not, these products do without.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array, array_namespace
from bayes_rpp.engines.libraries import fixed, fixed_indices
from bayes_rpp.networks.terms import alike, is_permutation, signature
from bayes_rpp.priors.subspaces.base import Layout
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Factor, Representation, Term, term_name
from bayes_rpp.symmetry.solver import term_basis

LARGEST, SLOTS = 20_000, 8  # entries and tensor factors of a map A (x) B -> J that is looked at
ORDER = 200  # of finite groups whose characters are added up
LARGEST_BASIS = 100_000  # entries of a basis; above, a product is left out


@dataclass(frozen=True)
class Product:
    """Two types and what they make: the basis of Hom(A (x) B, J) as (d_a d_b, r d_j), for features of variance 1."""

    a: Term
    b: Term
    out: Term
    basis: NDArray


class Products:
    """Pairs of features, multiplied by each product; copies are paired one by one, the second list moved on by one.

    Attributes:
        shapes: of the free numbers, one (m_out, pairs * r) for each product.
    """

    def __init__(self, layout: Layout, products: Sequence[Product]) -> None:
        self.all = tuple(products)
        copies, sizes = layout.copies, layout.sizes
        self._sizes = sizes
        self.shapes: list[tuple[int, int]] = []
        self._pairs: list[tuple[NDArray, NDArray]] = []
        for p in products:
            ma, mb = copies[p.a], copies[p.b]
            count = max(ma, mb)
            # The next copy, as antisymmetric maps such as the cross product vanish on a copy and itself.
            self._pairs.append((np.arange(count) % ma, (np.arange(count) + 1) % mb))
            self.shapes.append((copies[p.out], count * (p.basis.shape[1] // sizes[p.out])))

    def taken_from(self, other: Products, thetas: Sequence[NDArray]) -> list[NDArray]:
        """The numbers of another network's products of the same features, under another group: the part of its maps
        that lies in ours."""
        theirs = {(p.a, p.b, p.out): (p, theta) for p, theta in zip(other.all, thetas, strict=True)}
        found = []
        for p, shape in zip(self.all, self.shapes, strict=True):
            if (p.a, p.b, p.out) not in theirs:
                found.append(np.zeros(shape))
                continue
            q, theta = theirs[p.a, p.b, p.out]
            d = self._sizes[p.out]
            ours, its = (b.reshape(len(b), -1, d) for b in (p.basis, q.basis))
            overlap = np.einsum("asd,ard->sr", its, ours) / d
            found.append((theta.reshape(len(theta), -1, len(overlap)) @ overlap).reshape(shape))
        return found

    def __call__(self, thetas: Sequence[Array], features: Mapping[Term, Array]) -> Iterator[tuple[Term, Array]]:
        """(type, (n, copies, size)) for each product, of features (n, copies, size) by type."""
        for product, theta, (first, second) in zip(self.all, thetas, self._pairs, strict=True):
            xp = array_namespace(theta)
            a, b = (
                xp.take(features[term], fixed_indices(copies, theta), axis=1)
                for term, copies in ((product.a, first), (product.b, second))
            )
            n, pairs = a.shape[:2]
            outer = (a[..., :, None] * b[..., None, :]).reshape((n, pairs, -1)) @ fixed(product.basis, a)
            d = features[product.out].shape[2]
            yield product.out, theta @ outer.reshape((n, pairs * (outer.shape[2] // d), d))


def makes_by_maps(a: Term, b: Term, out: Term, features: Representation, square: bool = False) -> bool:
    """Whether maps W(x) of features make these products: those of a third type R = J (x) A^* or J (x) B^*, which the
    features hold; with `square`, of as many rows as columns, or of one row."""
    group = features.group
    kinds = {_bag(signature(t, group)) for t in features.types}
    sizes = {t: w.shape[1] for t, w in features.types.items()}
    for one, other in ((a, b), (b, a)):
        if not signature(one, group):
            return True  # a map of the other alone, scaled
        wanted = signature((*out, *(f.dualised for f in one)), group)
        fits = not square or not signature(out, group) or sizes[out] == sizes[one]
        if (wanted and fits and _bag(wanted) in kinds) or not (wanted or signature(other, group)):
            return True
    return False


def needed_products(
    rep_in: Representation,
    rep_out: Representation,
    features: Representation,
    is_made: Callable[[Term, Term, Term, Representation], bool] = makes_by_maps,
) -> tuple[list[Product], list[str]]:
    """Products that functions of degree two from rep_in to rep_out, and invariants of the input, need and that the
    bilinear layer does not make of two types of the features (`is_made`); where no product of two types of the input
    gives a type of the output, those with the types between them. And the names of those that are too large."""
    group = features.group
    if group.is_trivial:
        return [], []
    known = list(features.types)
    inputs = [t for t in known if any(alike(t, i, group) for i in rep_in.types)]
    outputs = [t for t in known if not signature(t, group) or any(alike(t, o, group) for o in rep_out.types)]
    wanted: dict[tuple[Term, Term, Term], None] = {}
    for out in outputs:
        pairs = list(combinations_with_replacement(inputs, 2))
        if not is_near(group, inputs, out):
            pairs = [(a, b) for a in inputs for b in known if b not in inputs and hom_rank(group, a, b, out)]
            for b in dict.fromkeys(b for _, b in pairs):
                wanted |= dict.fromkeys((a, c, b) for a, c in combinations_with_replacement(inputs, 2))
        wanted |= dict.fromkeys((a, b, out) for a, b in pairs)
    found, left_out = list(_pointwise(features, [*rep_in.types, *rep_out.types])), []
    for a, b, out in wanted:
        if is_made(a, b, out, features):
            continue
        rank = hom_rank(group, a, b, out)
        d, da, db = (features.types[t].shape[1] for t in (out, a, b))
        if rank is None or rank * d * da * db > LARGEST_BASIS:  # of a finite group not even solved for
            if not all(is_permutation(group, t) for t in (a, b, out)):  # pointwise functions multiply those
                left_out.append(f"{term_name(a)} and {term_name(b)} to {term_name(out)}")
        elif rank:
            q = term_basis(group, out, (*a, *b)).reshape(d, da * db, rank)
            found.append(Product(a, b, out, np.sqrt(d) * q.transpose(1, 2, 0).reshape(da * db, -1)))
    return found, left_out


def _pointwise(features: Representation, ends: Sequence[Term]) -> Iterator[Product]:
    """Of types P (x) Q with indices of points, which are permuted, and of space: each point's own invariants, and their
    products with what that point has. Gates are one for all points, so that without these a network says the same of
    all of them."""
    group, known = features.group, list(features.types)
    for term in known:
        points, rest = (tuple(f for f in term if is_permutation(group, (f,)) == own) for own in (True, False))
        by_point = next((t for t in known if points and alike(t, points, group)), None)
        if by_point is None or not rest or not any(alike(term, end, group) for end in ends):
            continue
        sizes = [f.size(group) for f in term]
        order = sorted(range(len(term)), key=lambda k: term[k] in rest)
        n, d = (math.prod(f.size(group) for f in part) for part in (points, rest))
        if (n * d) ** 2 * n > LARGEST_BASIS:
            continue
        entries = np.arange(n * d).reshape(sizes).transpose(order).reshape(n, d)  # of a point
        forms = term_basis(group, (), (*rest, *rest)).reshape(d, d, -1)
        own, scaled = np.zeros((n * d, n * d, forms.shape[2], n)), np.zeros((n, n * d, 1, n * d))
        for k, mine in enumerate(entries):
            own[mine[:, None], mine, :, k] = forms
            scaled[k, mine, 0, mine] = 1.0
        if forms.shape[2]:
            yield Product(term, term, by_point, own.reshape((n * d) ** 2, -1))
        yield Product(by_point, term, term, scaled.reshape(n * n * d, -1))


def is_near(group: Group, inputs: Sequence[Term], out: Term) -> bool:
    """Whether there is an equivariant polynomial of degree one or two from the types of the input to a type."""
    pairs = [*((a, ()) for a in inputs), *combinations_with_replacement(inputs, 2)]
    return any(hom_rank(group, a, b, out) for a, b in pairs)


def hom_rank(group: Group, a: Term, b: Term, out: Term) -> int | None:
    """Of the equivariant maps A (x) B -> J; None where they are too large to be looked at."""
    factors = (*a, *b, *out)
    if _is_odd(group, factors):
        return 0
    if group.is_discrete and group.order <= ORDER:  # the mean of the characters, without a basis
        traces = [math.prod(float(np.trace(f.matrix(group, g))) for f in factors) for g in group.elements]
        return round(float(np.mean(traces)))
    if int(np.prod([f.size(group) for f in factors], dtype=np.int64)) > LARGEST or len(factors) > SLOTS:
        return None
    return term_basis(group, out, (*a, *b)).shape[1]


def _is_odd(group: Group, factors: Term) -> bool:
    """Whether -1, of a classical group that has it, changes the sign of the tensors, so that none is invariant."""
    if not group.classical or group.classical[0] not in ("O", "Sp", "Lorentz"):
        return False
    if any(f.kind not in ("vector", "det") or f.on is not None for f in factors):
        return False
    return sum(1 if f.kind == "vector" else group.dim for f in factors) % 2 == 1


def _bag(factors: tuple[Factor, ...]) -> frozenset[tuple[Factor, int]]:
    return frozenset(Counter(factors).items())
