"""Candidates for discrete symmetries: signed permutations of columns, and a screen of them by one free fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[np.float64]
ALIKE, APART = 2.0, 0.4  # ratio of sizes, and Kolmogorov's distance, up to which two columns are of like kind
SCREENED = 24  # examples at which products are looked at
KEPT, BEAM = 12, 24


def alike(x: Array) -> NDArray[np.bool_]:
    """(n, n) which columns of x are of like kind: of similar size, and similarly distributed."""
    size = np.sqrt(np.mean(x**2, axis=0))
    ordered = np.sort(x, axis=0)
    n, d = x.shape
    found = np.eye(d, dtype=bool)
    for i, j in combinations(range(d), 2):
        both = np.concatenate([ordered[:, i], ordered[:, j]])
        shares = [np.searchsorted(ordered[:, k], both, side="right") / n for k in (i, j)]
        close = np.abs(shares[0] - shares[1]).max() < APART
        low, high = sorted((size[i], size[j]))
        found[i, j] = found[j, i] = close and high <= ALIKE * low
    return found


def singles(flips: NDArray[np.int_], like: NDArray[np.bool_]) -> Iterator[Array]:
    """Flips of one column, and swaps of two, as they are, with both signs changed, and a quarter turn."""
    one = np.eye(len(like))
    for i in flips:
        g = one.copy()
        g[i, i] = -1
        yield g
    for i, j in zip(*np.nonzero(np.triu(like, 1)), strict=True):
        signs = [(1, 1), (-1, -1), (1, -1)] if {i, j} <= set(flips) else [(1, 1)]
        for a, b in signs:
            g = one.copy()
            g[[i, j], [i, j]] = 0
            g[i, j], g[j, i] = a, b
            yield g


def wholes(flips: NDArray[np.int_], like: NDArray[np.bool_]) -> Iterator[Array]:
    """All flips at once; cyclic shifts, reversals and exchanges of blocks of the columns of each kind."""
    d = len(like)
    if len(flips) > 1:
        yield np.diag([-1.0 if i in set(flips) else 1.0 for i in range(d)])
    for kind in {tuple(np.flatnonzero(row)) for row in like}:
        k = len(kind)
        if k < 3:
            continue
        for order in [*(np.roll(np.arange(k), s) for s in range(1, k // 2 + 1)), np.arange(k)[::-1]]:
            g = np.eye(d)
            g[list(kind), list(kind)] = 0
            g[np.array(kind)[order], list(kind)] = 1
            yield g


class Screen:
    """How far f(Px) is from R f(x), relative to how far f is from itself at unrelated examples.

    Args:
        predict: the free fit's mean, (k, n) -> (k, m).
        x: (n, d_in) training inputs; `all` has them, and x and f are of some of them.
        seed: of which examples it looks at.
    """

    def __init__(self, predict: Callable[[Array], Array], x: Array, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.predict, self.all, self.x = predict, x, x[rng.permutation(len(x))[: 4 * SCREENED]]
        self.f = predict(self.x)
        self.size = np.maximum(self.f.var(axis=0), 1e-300)

    def violations(self, elements: list[Array], few: bool = False) -> list[tuple[float, Array]]:
        """Of each P, the relative violation of f(Px) = R f(x), 0 where it holds and about 1 or more where nothing does,
        and R, the signed permutation of columns of y for which it is least."""
        x, f = (self.x[:SCREENED], self.f[:SCREENED]) if few else (self.x, self.f)
        moved = self.predict(np.concatenate([x @ p.T for p in elements])).reshape(len(elements), *f.shape)
        found = []
        for there in moved:
            r = self._best(f, there)
            found.append((float((np.mean((there - f @ r.T) ** 2, axis=0) / (2 * self.size)).mean()), r))
        return found

    def _best(self, f: Array, there: Array) -> Array:
        """The signed permutation R with the least |f(Px) - R f(x)|^2, by assignment."""
        plus = np.mean((there[:, :, None] - f[:, None, :]) ** 2, axis=0) / self.size
        minus = np.mean((there[:, :, None] + f[:, None, :]) ** 2, axis=0) / self.size
        rows, columns = linear_sum_assignment(np.minimum(plus, minus))
        r = np.zeros_like(plus)
        r[rows, columns] = np.where(plus <= minus, 1.0, -1.0)[rows, columns]
        return r


def search(screen: Screen, first: list[Array], further: list[Array]) -> list[tuple[float, Array, Array]]:
    """(violation, P, R) of the most promising elements: singles, wholes, then products of two and of three."""
    known: dict[bytes, tuple[float, Array, Array]] = {}

    def look(elements: list[Array], few: bool) -> None:
        fresh = {(np.round(g, 6) + 0.0).tobytes(): g for g in elements if not np.allclose(g, np.eye(len(g)))}
        fresh = {k: g for k, g in fresh.items() if k not in known}
        if fresh:
            values = screen.violations(list(fresh.values()), few)
            known.update({k: (v, g, r) for (k, g), (v, r) in zip(fresh.items(), values, strict=True)})

    look(first + further, False)
    frontier = sorted(known.values(), key=lambda c: c[0])[:BEAM]
    for _ in range(2):
        before = set(known)
        look([g @ h for _, g, _ in frontier for h in first if _apart(g, h)], True)
        frontier = sorted((c for k, c in known.items() if k not in before), key=lambda c: c[0])[:BEAM]
    best = sorted(known.values(), key=lambda c: c[0])[: 2 * KEPT]
    again = screen.violations([g for _, g, _ in best]) if best else []
    found = [(v, g, r) for (v, r), (_, g, _) in zip(again, best, strict=True)]
    return sorted(
        (c for c in found if c[0] < 0.5), key=lambda c: (round(c[0], 2), np.abs(c[1] - np.eye(len(c[1]))).sum())
    )


def _apart(g: Array, h: Array) -> bool:
    """Whether they move different coordinates."""
    one = np.eye(len(g))
    return not (((g != one).any(axis=0)) & ((h != one).any(axis=0))).any()
