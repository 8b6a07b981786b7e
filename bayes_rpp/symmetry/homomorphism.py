"""Whether a function of the user's is a representation: rho(g h) = rho(g) rho(h), on every component of the group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from bayes_rpp.symmetry.exact import half_unit
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.matrices import real_matrices

Array = NDArray[np.float64]
TOLERANCE = 1e-6
PRECISION = 1e-9  # what a basis that is exact to 1e-10 can be found from
MAX_CALLS = 500  # on all elements of a finite group
MAX_NUMBERS = 50_000_000  # in all matrices that are compared
MAX_DIRECTIONS, MAX_WORDS, DRAWS = 6, 8, 24


def custom_matrix(rho: Callable[[Array], Any], g: Array, name: str) -> Array:
    """rho(g), checked.

    Raises:
        ValueError: if rho fails on g, or gives anything but a finite, real, square matrix.
    """
    try:
        value = rho(g.copy())
    except Exception as error:
        raise ValueError(
            f"rho of {name} must take one (d, d) matrix, got {type(error).__name__} for one of shape {g.shape}: {error}"
        ) from error
    m = real_matrices(value, f"rho(g) of {name}")
    if m.ndim != 2 or m.shape[0] != m.shape[1] or not np.isfinite(m).all():
        raise ValueError(f"rho of {name} must give a finite square matrix, got shape {m.shape} for one of {g.shape}")
    return m


def check_homomorphism(rho: Callable[[Array], Array], drho: Callable[[Array], Array], group: Group, name: str) -> None:
    """Raise ValueError unless rho is a representation, as far as it can be seen.

    Of a finite group up to 500 elements, all products of elements and generators are compared: that settles it. Of
    others, products of words in the generators, of random elements and of exp(t A) for several t, beyond half a turn;
    and drho(A) with rho(exp(A)) and with the commutators.
    """
    check = _Check(rho, group, name)
    size = check.size
    check.near(check(np.eye(group.dim)), np.eye(size), 1.0, "rho(I) = I")
    finite = group.order <= MAX_CALLS
    pairs = list(product(group.elements, group.discrete_generators) if finite else _pairs(group))
    most = max(DRAWS, MAX_NUMBERS // size**2)
    if len(pairs) > most:
        pairs = [pairs[k] for k in np.random.default_rng(0).permutation(len(pairs))[:most]]
    for g, h in pairs:
        check.product(g, h)
    directions = group.lie_algebra[: max(1, min(MAX_DIRECTIONS, 3000 // size**2))]  # logarithms take long
    for a in directions:
        check.near(rho(expm(a)), expm(drho(a)), 1.0, "rho(exp(A)) = exp(drho(A))")
    for a, b in islice(combinations(directions, 2), MAX_DIRECTIONS):
        x, y = drho(a), drho(b)
        check.near(drho(a @ b - b @ a), x @ y - y @ x, _size(x) * _size(y), "drho([A, B]) = [drho(A), drho(B)]")


def _size(m: Array) -> float:
    return float(np.abs(m).max(initial=1.0))


def _pairs(group: Group) -> Iterator[tuple[Array, Array]]:
    """Elements whose products are compared, of every component."""
    rng = np.random.default_rng(0)
    words = _words(group.discrete_generators)
    turns = [one for a in group.lie_algebra[:MAX_DIRECTIONS] for one in _turns(a)]
    yield from product(words, words)
    yield from ((t, t) for t in turns)
    draws = group.sample(2 * DRAWS, rng)
    yield from zip(draws[::2], draws[1::2], strict=True)
    others = [*turns, *draws]
    for word in words:
        for g in others[:: max(1, len(others) // DRAWS)]:
            yield word, g
            yield g, word
    order = rng.permutation(len(turns))
    yield from islice(zip(turns, (turns[k] for k in order), strict=True), DRAWS)


def _words(generators: Array) -> list[Array]:
    """Generators, their inverses, and products of two."""
    letters = [*generators, *np.linalg.inv(generators)]
    return [*letters, *(a @ b for a, b in combinations(letters[: len(generators)], 2))][:MAX_WORDS]


def _turns(a: Array) -> Iterator[Array]:
    """exp(t A) for several t: of what turns, through more than half a turn; of what stretches, not far."""
    values = np.linalg.eigvals(a)
    turn, stretch = np.abs(values.imag).max(), np.abs(values.real).max()
    for share in (0.05, 0.3, 0.45, 0.8):
        yield expm(min(2 * np.pi * share / max(turn, 1e-3), share / max(stretch, 1e-3)) * a)


class _Check:
    """Compares, and keeps what rho gave."""

    def __init__(self, rho: Callable[[Array], Array], group: Group, name: str) -> None:
        self._rho, self._group, self._name = rho, group, name
        self._known: dict[bytes, tuple[Array, float]] = {}
        self.size = len(rho(np.eye(group.dim)))
        self._probes = np.random.default_rng(0).normal(size=(self.size, 4))

    def __call__(self, g: Array) -> Array:
        return self._of(g)[0]

    def _of(self, g: Array) -> tuple[Array, float]:
        """rho(g), and the size of its entries."""
        key = np.ascontiguousarray(g).tobytes()
        if key not in self._known:
            m = self._rho(g)
            if len(m) != self.size:
                self._refuse(f"rho(I) is a matrix of size {self.size}, another rho(g) of size {len(m)}")
            if len(self._known) < 4 and not np.array_equal(m, self._rho(g)):
                self._refuse("rho(g) differs from call to call")
            self._known[key] = m, _size(m)
        return self._known[key]

    def product(self, g: Array, h: Array) -> None:
        (a, size_a), (b, size_b) = self._of(g), self._of(h)
        # On a few random vectors: as sure as the product of the matrices, and cheaper.
        found, wanted = self(g @ h) @ self._probes, a @ (b @ self._probes)
        self.near(found, wanted, size_a * size_b, "rho(g h) = rho(g) rho(h)")

    def near(self, found: Array, wanted: Array, size: float, law: str) -> None:
        off = float(np.abs(found - wanted).max(initial=0.0)) / max(size, _size(wanted))
        if off > TOLERANCE:
            self._refuse(f"it is off by {off:.1g} from {law}")
        if off > PRECISION and all(half_unit(m) > 0 for m, _ in self._known.values()):
            self._refuse(f"in single precision it is off by {off:.1g} from {law}; double precision would do")

    def _refuse(self, reason: str) -> None:
        raise ValueError(
            f"rho of {self._name} is no representation of {self._group}: {reason} (rho(I) = I and "
            "rho(g h) = rho(g) rho(h) must hold for all elements)"
        )
