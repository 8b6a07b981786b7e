"""Finite groups: their elements from generators, and which of them a product is."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import frozen

Array = NDArray[np.float64]


class Listing:
    """Matrices that can be looked up, up to rounding: found by one random projection, then compared.

    Args:
        dim: d of the matrices (d, d).
        tolerance: by which two entries of the same matrix may differ.
    """

    def __init__(self, dim: int, tolerance: float = 1e-6) -> None:
        self.tolerance = tolerance
        self._direction = np.random.default_rng(0).normal(size=dim * dim) / dim
        self._matrices: list[Array] = []
        self._stacked: Array | None = None
        self._places: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._matrices)

    @property
    def matrices(self) -> Array:
        """(count, d, d), in the order in which they were added."""
        if self._stacked is None or len(self._stacked) < len(self):
            self._stacked = frozen(np.stack(self._matrices))
        return self._stacked

    def take(self, places: NDArray[np.int_]) -> Array:
        return self.matrices[places]

    def images(self, g: Array) -> NDArray[np.int_]:
        """Places of g x for all x that are listed, -1 where it is not: (count,)."""
        return self.find(g @ self.matrices)

    def find(self, g: Array) -> NDArray[np.int_]:
        """Places of matrices (k, d, d), -1 of those that are not listed: (k,)."""
        return np.array([self._find(one, cell) for one, cell in zip(g, self._cells(g), strict=True)], dtype=np.int64)

    def add(self, g: Array) -> Array:
        """Those of (k, d, d) that are new, which are listed now."""
        new = []
        for one, cell in zip(g, self._cells(g), strict=True):
            if self._find(one, cell) < 0:
                self._places.setdefault(round(cell), []).append(len(self._matrices))
                self._matrices.append(one)
                new.append(one)
        return np.array(new).reshape(-1, *g.shape[1:])

    def _cells(self, g: Array) -> list[float]:
        # Cells are wide enough that what is the same lies in the same one, or in the next.
        found: list[float] = (g.reshape(len(g), -1) @ self._direction / (100 * self.tolerance)).tolist()
        return found

    def _find(self, g: Array, cell: float) -> int:
        middle = round(cell)
        for key in (middle, middle + (1 if cell > middle else -1)):
            for place in self._places.get(key, ()):
                if np.abs(self._matrices[place] - g).max() <= self.tolerance:
                    return place
        return -1


class Permutations:
    """Permutation matrices, each kept as the row to which it sends each axis; as `Listing` else.

    Args:
        rows: (count, d), all different.
    """

    def __init__(self, rows: NDArray[np.int_]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def _places(self) -> dict[bytes, int]:
        return {row.tobytes(): place for place, row in enumerate(self._rows)}

    @cached_property
    def matrices(self) -> Array:
        return frozen(self.take(np.arange(len(self))))

    def take(self, places: NDArray[np.int_]) -> Array:
        rows = self._rows[places]
        found = np.zeros((*rows.shape, rows.shape[1]))
        found[np.arange(len(rows))[:, None], rows, np.arange(rows.shape[1])] = 1
        return found

    def images(self, g: Array) -> NDArray[np.int_]:
        if not is_permutation(g, 1e-6):
            return np.full(len(self), -1)
        return np.array([self._places.get(row.tobytes(), -1) for row in g.argmax(axis=0)[self._rows]])


def is_permutation(g: Array, tolerance: float = 0.0) -> bool:
    """Whether each matrix (..., d, d) has one 1 in each row and column, and zeros else."""
    ones = np.abs(g - 1) <= tolerance
    return bool((ones | (np.abs(g) <= tolerance)).all() and (ones.sum(-1) == 1).all() and (ones.sum(-2) == 1).all())


def list_elements(generators: Array, most: int, tolerance: float = 1e-6) -> Listing | Permutations | None:
    """All products of generators (m, d, d), the identity first; None of an infinite group, or of more than `most`."""
    if is_permutation(generators):
        return _list_permutations(generators.argmax(axis=1), most)
    d = generators.shape[-1]
    found = Listing(d, tolerance)
    if any(_is_endless(h, most) for h in generators):
        return None
    largest = 1e8 * max(1.0, np.abs(generators).max(initial=0.0))
    frontier = found.add(np.eye(d)[None])
    while len(frontier):
        parts = []
        for start in range(0, len(frontier), 1000):
            # Element by element, and of each generator by generator: what is met first is kept, in this order.
            products = (frontier[start : start + 1000, None] @ generators[None]).reshape(-1, d, d)
            if np.abs(products).max(initial=0.0) > largest:
                return None
            parts.append(found.add(products))
            if len(found) > most:
                return None
        frontier = np.concatenate(parts)
    return found


def _list_permutations(generators: NDArray[np.int_], most: int) -> Permutations | None:
    frontier = np.arange(generators.shape[-1])[None]
    found = {frontier.tobytes(): frontier[0]}
    while len(frontier):
        new = []
        for row in frontier[:, generators].reshape(-1, frontier.shape[1]):  # in the order of list_elements
            if found.setdefault(row.tobytes(), row) is row:
                new.append(row)
        if len(found) > most:
            return None
        frontier = np.array(new).reshape(-1, frontier.shape[1])
    return Permutations(np.stack(list(found.values())))


def _is_endless(h: Array, most: int) -> bool:
    """Whether no power up to `most` can be the identity, as the eigenvalues say; False where they leave it open.

    A contraction needs it: its powers come so near to each other that they look the same.
    """
    if (h == np.round(h)).all():
        return abs(abs(np.linalg.det(h)) - 1) > 1e-3
    values = np.linalg.eigvals(h)
    if np.abs(np.abs(values) - 1).max() > 1e-5:
        return True
    turns = np.arange(1, most + 1)[:, None] * (np.angle(values[values.imag > 0]) / (2 * np.pi))
    return bool(np.abs(turns - np.round(turns)).max(axis=1, initial=0.0).min() > 2e-6)
