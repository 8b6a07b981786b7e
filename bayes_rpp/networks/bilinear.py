"""The bilinear layer of the EMLP: h_j = sum_i W_ij(x) x_i, where each W_ij is linear in the features x themselves.

For terms i (input) and j (output), maps V_i -> V_j transform like V_j (x) V_i^*. Where the features hold copies x_R of
that type R, W_ij = Theta x_R is an equivariant choice with free numbers Theta (m_out x m_in x k), k <= min(copies of R,
dim R). Nothing here ever builds a matrix for each example: the contraction is done in the cheaper of two orders.

Where the features hold no type R for a product that the network needs, `Products` makes it without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bayes_rpp._arrays import Array, array_namespace, zeros
from bayes_rpp.networks.products import Product, Products, makes_by_maps
from bayes_rpp.networks.terms import signature
from bayes_rpp.priors.subspaces.base import Layout
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Representation, Term


@dataclass(frozen=True)
class Path:
    """One triple (out term, in term, type R of their maps) with the R copies it uses."""

    out: Term
    into: Term
    kind: Term
    axes: tuple[int, ...]  # from the index order of R to (out indices, in indices)
    shape: tuple[int, ...]  # of R's indices
    first: int
    count: int


def find_paths(layout: Layout, group: Group) -> list[Path]:
    """All triples of types among the features."""
    paths: list[Path] = []
    known = {t: signature(t, group) for t in layout.copies}
    for out in known:
        for into in known:
            wanted = signature(out + tuple(f.dualised for f in into), group)
            if not wanted:
                continue  # maps between equal scalars: the linear layer has them
            match = next((t for t, s in known.items() if Counter(s) == Counter(wanted)), None)
            if match is None:
                continue
            # The determinant's slot has size one and no axis of its own.
            have = [f for f in known[match] if f.kind != "det"]
            axes: list[int] = []
            for f in (f for f in wanted if f.kind != "det"):
                axes.append(next(k for k, h in enumerate(have) if h == f and k not in axes))
            copies, shape = layout.copies[match], tuple(f.size(group) for f in match if f.kind != "det")
            count = min(copies, layout.sizes[match])
            # Different paths start at different copies, so that all of them are used.
            first = (len(paths) * count) % (copies - count + 1)
            paths.append(Path(out, into, match, tuple(axes), shape, first, count))
    return paths


class Bilinear:
    """Bilinear map of features to features of the same representation.

    Args:
        products: those to be made directly, beside the paths through a type R.

    Attributes:
        shapes: of the free numbers, one (m_out, k * m_in) for each path, then one for each product.
        scale: of what it makes, beside its input.
    """

    scale = 0.1

    def __init__(self, rep: Representation, products: Sequence[Product] = ()) -> None:
        self.rep = rep
        self.layout = Layout(rep)
        self.paths = find_paths(self.layout, rep.group)
        copies = self.layout.copies
        self.products = Products(self.layout, products)
        self.shapes = [(copies[p.out], p.count * copies[p.into]) for p in self.paths] + self.products.shapes

    @staticmethod
    def makes(a: Term, b: Term, out: Term, features: Representation) -> bool:
        """Whether the layer makes all products of two types, without a product."""
        return makes_by_maps(a, b, out, features)

    def __call__(self, thetas: list[Array], x: Array) -> Array:
        """Features (..., rep.size) -> (..., rep.size)."""
        xp = array_namespace(x)
        lead = tuple(x.shape[:-1])
        x = x.reshape((-1, x.shape[-1]))
        n = x.shape[0]
        copies, sizes = self.layout.copies, self.layout.sizes
        features = {t: v.reshape((n, copies[t], sizes[t])) for t, v in self.layout.split(x, -1).items()}
        totals: dict[Term, Array] = {}
        for path, theta in zip(self.paths, thetas[: len(self.paths)], strict=True):
            a, b, k, p, q = copies[path.out], copies[path.into], path.count, sizes[path.out], sizes[path.into]
            maps = features[path.kind][:, path.first : path.first + k, :]
            if path.axes != tuple(range(len(path.axes))):
                maps = maps.reshape((n, k, *path.shape))
                maps = xp.permute_dims(maps, (0, 1, *[axis + 2 for axis in path.axes]))
            maps = maps.reshape((n, k, p, q))
            y = _contract(theta.reshape((a, k, b)), maps, features[path.into])
            totals[path.out] = totals[path.out] + y if path.out in totals else y
        for out, y in self.products(thetas[len(self.paths) :], features):
            totals[out] = totals[out] + y if out in totals else y
        parts = {
            t: totals[t].reshape((n, copies[t] * sizes[t])) if t in totals else zeros((n, copies[t] * sizes[t]), x)
            for t in copies
        }
        return self.layout.merge(parts, -1).reshape((*lead, self.rep.size))


def _contract(theta: Array, maps: Array, x: Array) -> Array:
    """y[n, a, p] = sum_(k, b, q) theta[a, k, b] maps[n, k, p, q] x[n, b, q], cheapest order first, all as products."""
    xp = array_namespace(theta)
    (a, k, b), (n, _, p, q) = theta.shape, maps.shape
    if k * b * p * q + a * k * b * p <= a * k * b * q + a * k * p * q:
        z = maps.reshape((n, k * p, q)) @ xp.matrix_transpose(x)
        z = xp.permute_dims(z.reshape((n, k, p, b)), (0, 2, 1, 3)).reshape((n * p, k * b))
        y = (z @ xp.matrix_transpose(theta.reshape((a, k * b)))).reshape((n, p, a))
        return xp.permute_dims(y, (0, 2, 1))
    u = xp.permute_dims(x, (0, 2, 1)).reshape((n * q, b)) @ xp.matrix_transpose(theta.reshape((a * k, b)))
    u = xp.permute_dims(u.reshape((n, q, a, k)), (0, 2, 3, 1)).reshape((n, a, k * q))
    return u @ xp.permute_dims(maps, (0, 1, 3, 2)).reshape((n, k * q, p))
