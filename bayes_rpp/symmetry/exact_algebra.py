"""Lie algebras that are exact, as far as one can tell: as `exact.py` for discrete generators.

Rounded entries leave a generator that turns almost, or two that almost close: another algebra, with fewer invariants.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, islice

import numpy as np

from bayes_rpp.symmetry.exact import (
    ESCAPE,
    EXACT,
    HAIR,
    MAX_PAIRS,
    NEAR,
    SINGLE,
    Array,
    distance,
    half_decimal,
    half_unit,
    is_integer,
    is_skew,
    outside,
    span_of,
)

UNEVEN = 1e-3  # of the largest entry: what entries of a skew matrix that are rounded unevenly differ by


def exact_algebra(a: Array) -> Array:
    """Generators of a Lie algebra (k, d, d), mended where they are exact to single precision only.

    Raises:
        ValueError: if one is nearly skew or traceless, or two nearly close, and not exactly.
    """
    mended = np.array([_exact_direction(one, f"lie_algebra[{k}]") for k, one in enumerate(a)]).reshape(a.shape)
    if not is_integer(mended):
        _check_closed(mended)
    if len(mended) == 1:
        _check_frequencies(mended[0])
    return mended


def _exact_direction(a: Array, name: str) -> Array:
    if is_integer(a):
        return a
    size, unit, d = np.abs(a).max(), half_unit(a), len(a)
    skew = (a - a.T) / 2
    off = float(np.abs(a - skew).max() / size)
    # Rounding leaves a skew matrix skew, unless entries are cut or have more digits than others: not on the diagonal.
    uneven = unit and off <= UNEVEN and not np.diag(a).any()
    if off <= SINGLE or (off < NEAR and not unit) or uneven:
        return _mended(a, skew, off, name, "that is skew")
    turning, left = _turning(a)
    off = float(np.abs(a - turning).max() / size)
    damped = is_skew((a - np.diag(np.diag(a)))[None])  # by what stands on the diagonal
    if not damped and (off <= SINGLE or (unit < HAIR and left <= 2.1 * unit)):
        return _mended(a, turning, off, name, "whose eigenvalues are imaginary")
    target = a - np.eye(d) * np.trace(a) / d
    off = float(abs(np.trace(a)) / d / size)
    if off <= SINGLE or (off < NEAR and not unit) or (unit < HAIR and off * size * d <= 2.1 * unit):
        return _mended(a, target, off, name, "without trace")
    return a


def _turning(a: Array) -> tuple[Array, float]:
    """The matrix with the same eigenvectors that only turns, with the imaginary parts of the eigenvalues alone, and the
    largest real part; infinite for one that turns nothing, or hardly has eigenvectors."""
    values, vectors = np.linalg.eig(a)
    if not np.abs(values.imag).max() > 0.5 * np.abs(values).max() or np.linalg.cond(vectors) > 1e6:
        return np.full_like(a, np.inf), np.inf
    return np.real(vectors * (1j * values.imag) @ np.linalg.inv(vectors)), float(np.abs(values.real).max())


def _mended(a: Array, target: Array, off: float, name: str, kind: str) -> Array:
    if off <= EXACT:
        return a
    if off <= SINGLE:
        return target
    raise ValueError(
        f"{name} must be exact, got a matrix that is off by {off:.1g} from one {kind}: is it rounded? Entries in full "
        f"precision would do{ESCAPE}"
    )


def _check_frequencies(a: Array) -> None:
    """exp(t A) of one A turns planes at speeds whose ratios, small fractions or not, say what is invariant."""
    unit, values = half_unit(a / np.abs(a).max()), np.linalg.eigvals(a)
    speeds = np.unique(values.imag[values.imag > 0])
    for slow, fast in islice(combinations(speeds, 2), MAX_PAIRS):
        near = Fraction(slow / fast).limit_denominator(8)
        off, q = float(abs(slow / fast - near)), near.denominator
        typed = min(HAIR / 10 / q**2, 1.2 * max(half_decimal(slow), half_decimal(fast)) / fast)
        if near and 100 * EXACT < off < max(SINGLE, typed, 1.2 * unit if unit * q**2 < 5 * HAIR else 0.0):
            raise ValueError(
                f"lie_algebra[0] must be exact, got speeds of rotation whose ratio is off by {off:.1g} from {near}: is "
                f"it rounded? Entries in full precision would do{ESCAPE}"
            )


def _check_closed(a: Array) -> None:
    span = span_of(a)
    for i, j in islice(combinations(range(len(a)), 2), MAX_PAIRS):
        off = outside(a[i] @ a[j] - a[j] @ a[i], span) / float(np.linalg.norm(a[i]) * np.linalg.norm(a[j]))
        _refuse_hair(off, f"the commutator of lie_algebra[{i}] and lie_algebra[{j}]")


def check_normal(algebra: Array, h: Array) -> None:
    """Raise ValueError if a discrete generator keeps the Lie algebra only nearly."""
    if not len(algebra) or (is_integer(h) and is_integer(algebra)):
        return
    span = span_of(algebra)
    for k, one in enumerate(h):
        for i, turned in enumerate(islice(one @ algebra @ np.linalg.inv(one), MAX_PAIRS)):
            off = outside(turned, span) / float(np.linalg.norm(turned))
            if distance(one, np.eye(len(one))) > 30 * off:  # an element near the identity moves nothing far
                _refuse_hair(off, f"lie_algebra[{i}] transformed by discrete_generators[{k}]")


def _refuse_hair(off: float, what: str) -> None:
    if 100 * EXACT < off < HAIR:
        raise ValueError(
            f"{what} must lie in the span of lie_algebra, or far from it, got one that is off by {off:.1g}: are they "
            "rounded? Entries in full precision would do, or exact=True, if they are meant as they are"
        )
