"""Invariant tensors of the classical groups in closed form (first fundamental theorems of invariant theory).

Pairings of slots (metric, symplectic form or contraction) and, for the determinant-one groups, one antisymmetric
symbol for each n slots span all invariants; a rank-revealing eigendecomposition of their Gram matrix orthonormalises.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from math import factorial, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.groups import minkowski_metric, symplectic_form

Array = NDArray[np.float64]
Pairs = tuple[tuple[int, int], ...]
MAX_CANDIDATE_ENTRIES = 40_000_000


def classical_invariants(family: str, n: int, dual: list[bool], dets: int) -> Array | None:
    """Invariants of V or V* for each slot (True: dual), times det^dets.

    Args:
        family: "O", "SO", "SL", "Sp" or "Lorentz"; n as in the group's name (d = n, for Sp d = 2n).

    Returns:
        (d^k, r) orthonormal, or None where the family is not known here or the list of candidates is too long.
    """
    k, d = len(dual), 2 * n if family == "Sp" else n
    if family not in ("O", "SO", "SL", "Sp", "Lorentz"):
        return None
    if family == "SL":
        return _special_linear(n, dual)
    odd = dets % 2 == 1 and family in ("O", "Lorentz")
    with_symbol = odd or family == "SO"
    count = 0 if odd else _double_factorial(k)
    if with_symbol and k >= n:
        count += (factorial(k) // factorial(n) // factorial(k - n)) * _double_factorial(k - n)
    if count == 0:
        return np.zeros((d**k, 0))
    if count > 4 * d**k or count * d**k > MAX_CANDIDATE_ENTRIES:
        return None
    metric = {"Lorentz": minkowski_metric(), "Sp": symplectic_form(n)}.get(family, np.eye(d))
    # An invariant bilinear form on V as a tensor of V* (x) V* is the metric, on V (x) V its inverse.
    forms: dict[tuple[bool, bool], Any] = {(False, False): np.linalg.inv(metric), (True, True): metric}

    def pairing(i: int, j: int) -> Array:
        if dual[i] != dual[j]:
            return np.eye(d)
        # For Sp, J^-1 = -J: the sign does not change the span.
        return forms[dual[i], dual[j]]

    candidates = []
    everything = tuple(range(k))
    if not odd:
        candidates += [_assemble(k, d, [(p, pairing(*p)) for p in pairs]) for pairs in _pairings(everything)]
    if with_symbol and k >= n:
        for chosen in combinations(everything, n):
            symbol = _levi_civita(n)
            for axis, slot in enumerate(chosen):
                if dual[slot]:  # lower an index; for O and SO the metric is the identity
                    symbol = np.moveaxis(np.tensordot(metric, symbol, (1, axis)), 0, axis)
            rest = tuple(s for s in everything if s not in chosen)
            for pairs in _pairings(rest):
                candidates.append(_assemble(k, d, [(chosen, symbol)] + [(p, pairing(*p)) for p in pairs]))
    return _orthonormal(candidates, d**k)


def _special_linear(n: int, dual: list[bool]) -> Array | None:
    """SL(n): each V is contracted with a V*; what is left over goes into antisymmetric symbols."""
    k = len(dual)
    up, down = [s for s in range(k) if not dual[s]], [s for s in range(k) if dual[s]]
    more, fewer = (up, down) if len(up) >= len(down) else (down, up)
    symbols, remainder = divmod(len(more) - len(fewer), n)
    if remainder:
        return np.zeros((n**k, 0))
    # ways to choose the symbols' slots, times ways to pair what is left
    count = factorial(len(more)) // (factorial(n) ** symbols * factorial(symbols))
    if count > 4 * n**k or count * n**k > MAX_CANDIDATE_ENTRIES:
        return None
    candidates = []
    for groups in _disjoint_groups(tuple(more), n, symbols):
        used = {s for g in groups for s in g}
        rest = [s for s in more if s not in used]
        for order in permutations(fewer):
            pieces: list[tuple[tuple[int, ...], Array]] = [(g, _levi_civita(n)) for g in groups]
            pieces += [((a, b), np.eye(n)) for a, b in zip(rest, order, strict=True)]
            candidates.append(_assemble(k, n, pieces))
    return _orthonormal(candidates, n**k)


def _double_factorial(k: int) -> int:
    """(k - 1)!!, the number of ways to pair k things; 0 for odd k."""
    return 0 if k % 2 else prod(range(1, k, 2))


def _pairings(slots: tuple[int, ...]) -> Iterator[Pairs]:
    if len(slots) % 2:
        return
    if not slots:
        yield ()
        return
    first = slots[0]
    for other in slots[1:]:
        rest = tuple(s for s in slots[1:] if s != other)
        for pairs in _pairings(rest):
            yield ((first, other), *pairs)


def _disjoint_groups(slots: tuple[int, ...], n: int, count: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Unordered choices of `count` disjoint n-subsets."""
    if count == 0:
        yield ()
        return
    for chosen in combinations(slots, n):
        later = tuple(s for s in slots if s > chosen[0] and s not in chosen)
        for others in _disjoint_groups(later, n, count - 1):
            yield (chosen, *others)


def _levi_civita(n: int) -> Array:
    symbol = np.zeros((n,) * n)
    for p in permutations(range(n)):
        inversions = sum(p[i] > p[j] for i in range(n) for j in range(i + 1, n))
        symbol[p] = (-1) ** inversions
    return symbol


def _assemble(k: int, d: int, pieces: list[tuple[tuple[int, ...], Array]]) -> Array:
    """Outer product of small tensors, each placed on its slots."""
    t = np.ones(())
    order: list[int] = []
    for slots, piece in pieces:
        t = np.multiply.outer(t, piece)
        order += slots
    return t.transpose(np.argsort(order)).reshape(d**k) if k else t.reshape(1)


def _orthonormal(candidates: list[Array], size: int) -> Array:
    if not candidates:
        return np.zeros((size, 0))
    c = np.stack(candidates, axis=1)
    if c.shape[1] <= c.shape[0]:
        values, vectors = np.linalg.eigh(c.T @ c)
        q = c @ vectors[:, values > 1e-9 * values[-1]]
    else:
        values, vectors = np.linalg.eigh(c @ c.T)
        q = vectors[:, values > 1e-9 * values[-1]]
    return np.linalg.qr(q)[0]
