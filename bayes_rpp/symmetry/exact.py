"""Generators that are exact only nearly: rounded, or in single precision.

A rotation by 120 degrees typed with four decimals generates an infinite group, whose equivariant maps are fewer. What
double precision leaves is taken as it is; what single precision leaves is mended, to the exact matrix nearby; what is
further off, and yet so near that it must be rounded, is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.finite import list_elements

Array = NDArray[np.float64]
EXACT = 1e-12  # what double precision leaves
SINGLE = 1e-6  # what single precision leaves
NEAR = 2e-5  # more is meant in full precision
HAIR = 0.01  # more is meant in rounded numbers
HIGHEST = 24  # order of a matrix that is looked for
MAX_PAIRS = 30
LARGEST = 50  # dimension in which pairs are looked at
ESCAPE = ", or exact=True, if it is meant as it is"
MAX_ORDER = 1000  # of a group that is mended as a whole


def is_orthogonal(h: Array) -> bool:
    """Whether all of (k, d, d) are, up to double precision."""
    return bool(np.abs(h @ h.transpose(0, 2, 1) - np.eye(h.shape[-1])).max(initial=0.0) <= EXACT)


def is_skew(a: Array) -> bool:
    """Whether all of (k, d, d) are, up to double precision."""
    return bool(np.abs(a + a.transpose(0, 2, 1)).max(initial=0.0) <= EXACT)


def is_unimodular(h: Array) -> bool:
    """Whether all of (k, d, d) have determinant 1 or -1, up to double precision."""
    return all(_off_unit(one) <= _precision(one) for one in h)


def is_traceless(a: Array) -> bool:
    return bool(np.abs(np.trace(a, axis1=1, axis2=2)).max(initial=0.0) <= EXACT * a.shape[-1])


def exact_generators(h: Array, algebra: Array, name: str = "discrete_generators", escape: str = ESCAPE) -> Array:
    """Discrete generators (m, d, d), mended where they are exact to single precision only.

    Args:
        h: (m, d, d), invertible.
        algebra: (k, d, d), the Lie algebra; what it moves anyway need not be exact.
        name: of h, for errors.
        escape: what would do besides full precision, for errors.

    Raises:
        ValueError: if one, or a product of two, is nearly orthogonal, of finite order or of determinant one, and not
            exactly.
    """
    mended = np.array([_exact(one, f"{name}[{k}]", escape, algebra) for k, one in enumerate(h)]).reshape(h.shape)
    together = np.array_equal(mended, h)
    for i, j in islice(combinations(range(len(h)), 2), MAX_PAIRS if h.shape[-1] <= LARGEST else 0):
        product = mended[i] @ mended[j]
        if not is_integer(product):
            exact = _exact(product, f"the product of {name}[{i}] and {name}[{j}]", escape, algebra, orders_only=True)
            together &= distance(product, exact) <= EXACT
    if together or len(h) < 2 or len(algebra):
        return mended
    return _as_one_group(mended)


def is_integer(a: Array) -> bool:
    return bool((a == np.round(a)).all())


def distance(a: Array, b: Array) -> float:
    return float(np.abs(a - b).max() / max(1.0, np.abs(b).max()))


def _exact(h: Array, name: str, escape: str, algebra: Array, orders_only: bool = False) -> Array:
    if is_integer(h):
        return h
    near = _order(h) if orders_only else _nearest(h)
    if near is None or (len(algebra) and _moves_along(h, near.target, algebra)):
        return h
    off = distance(h, near.target)
    if off <= EXACT:
        return h
    if off <= SINGLE:
        return near.target
    i, j = np.unravel_index(np.abs(h - near.target).argmax(), h.shape)
    raise ValueError(
        f"{name} must be exact, got a matrix that is off by {off:.1g} from one {near.kind}: is it rounded? Entries in "
        f"full precision would do (at [{i}, {j}] {float(near.target[i, j])!r} is near, instead of "
        f"{float(h[i, j]):.12g}){escape}"
    )


@dataclass
class _Near:
    """A matrix nearby that is exact."""

    target: Array
    kind: str


def _nearest(h: Array) -> _Near | None:
    if _is_of_finite_order(h):
        return None  # in coordinates that are orthogonal, or nearly so
    unit = half_unit(h)
    u, s, vt = np.linalg.svd(h)
    rotation = np.asarray(u @ vt)
    hair = not unit and np.abs(s - 1).max() < HAIR / 10 and distance(h, np.eye(len(h))) > 30 * np.abs(s - 1).max()
    orthogonal = distance(h, rotation) <= SINGLE or hair or _rounds_to(h, rotation, 1.2 * unit)
    found = _order(rotation if orthogonal else h, unit)
    if found is not None:
        return found
    if orthogonal:
        return _Near(rotation, "that is orthogonal")
    off = _off_unit(h)
    target = h * math.exp(-np.linalg.slogdet(h)[1] / len(h))
    if off <= _precision(h) or distance(h, np.eye(len(h))) <= 30 * off:
        return None
    if off <= SINGLE or (unit < HAIR / 10 and _rounds_to(h, target, 1.2 * unit)):
        return _Near(target, "of determinant one")
    return None


def half_unit(a: Array) -> float:
    """Half a unit in the last place to which the entries are given: decimals, or the bits of a half or a bfloat16.

    0 where they are in full precision.
    """
    units = [0.5 * 10.0**-k for k in range(1, 11) if (np.round(a, k) == a).all()]
    mantissa = np.frexp(a)[0]
    units += [np.abs(a).max() * 2.0**-b for b in (8, 11, 24) if is_integer(mantissa * 2.0**b)]
    return float(max(units, default=0.0))


def _rounds_to(a: Array, target: Array, most: float) -> bool:
    """Whether entries differ by up to `most`, on the average of those that are no whole numbers."""
    return bool(np.linalg.norm(a - target) <= most * math.sqrt((a != np.round(a)).sum()))


def _off_unit(h: Array) -> float:
    return abs(float(np.linalg.slogdet(h)[1]))


def _precision(h: Array) -> float:
    return EXACT * len(h) + 1e-14 * float(np.linalg.cond(h))


def _order(h: Array, unit: float | None = None) -> _Near | None:
    """The matrix of finite order near h, if its order is no accident.

    A random rotation has a power k <= 24 as near to the identity as 0.01 / k in about one of 200 cases: in full
    precision it must be nearer, or turn by an angle that is rounded itself.
    """
    if _is_of_finite_order(h):
        return None
    unit = half_unit(h) if unit is None else unit
    stretch = float(np.linalg.norm(h, 2)) ** 2  # by which rounding moves eigenvalues; 1 of orthogonal ones
    values = np.linalg.eigvals(h)
    angles = np.angle(values) / (2 * np.pi)
    orders = np.zeros(len(values), dtype=int)
    for k in range(1, HIGHEST + 1):
        off = np.abs(values - np.exp(2j * np.pi * np.round(angles * k) / k))
        near = off <= (_slack(k, unit, stretch) if unit else SINGLE)
        if not unit:
            near |= (off <= _slack(k, 0.0, 1.0)) & [_is_rounded_turn(a, k) for a in angles]
        orders[(orders == 0) & near] = k
    order = math.lcm(*orders.tolist()) if orders.all() else 1
    if order == 1 or order > MAX_ORDER:
        return None
    target = _of_order(h, order)
    if target is None:
        return None
    most = 1.9 * unit * stretch if order == 2 else _slack(int(orders.max()), unit, stretch)
    if unit and not (distance(h, target) <= SINGLE or _rounds_to(h, target, most)):
        return None
    return _Near(target, f"whose power {order} is the identity")


def _is_of_finite_order(h: Array) -> bool:
    """Whether h has finite order up to double precision, each eigenvalue a root of 1 of order up to 400."""
    values = np.linalg.eigvals(h)
    noise = 1e-13 * float(np.linalg.norm(h, 2)) ** 2 * len(h)
    angles = np.angle(values) / (2 * np.pi)
    near = [Fraction(a).limit_denominator(400) for a in angles]
    if max(np.abs(np.abs(values) - 1).max(), np.abs(angles - np.array(near, dtype=float)).max()) > noise:
        return False
    order = math.lcm(*(a.denominator for a in near))
    return bool(np.abs(np.linalg.matrix_power(h, order) - np.eye(len(h))).max() < 1000 * noise * order)


def _slack(k: int, unit: float, stretch: float) -> float:
    rounded = 4 * unit * stretch
    return max(HAIR / max(k, 2) ** 2, rounded if rounded * k**2 <= 160 * HAIR else 0.0)


def _is_rounded_turn(angle: float, k: int) -> bool:
    """Whether an angle, in turns, is j / k of one, j not 0, up to the decimals in which it, or pi, was typed."""
    j = round(angle * k)
    scales = (2 * np.pi, 360.0, 2.0, 1.0, np.pi * k / j) if j else ()
    return any(abs(angle - j / k) * abs(s) <= 1.2 * half_decimal(angle * s) for s in scales)


def half_decimal(value: float) -> float:
    """Half a unit in the last of up to six decimals of a number; 0 where it has more, or none."""
    units = [0.5 * 10.0**-k for k in range(7) if abs(value - round(value, k)) <= 1e-12 * max(1.0, abs(value))]
    return units[0] if units and units[0] < 0.5 else 0.0


def _of_order(h: Array, order: int) -> Array | None:
    """A solution of g^order = I near h, by Newton's method; it commutes with h."""
    eye = np.eye(len(h))
    for _ in range(10):
        power = np.linalg.matrix_power(h, order)
        off = np.abs(power - eye).max()
        if not off < 1:
            return None
        h = h @ ((order + 1) * eye - power) / order
        if off < 1e-14 * order:
            return h
    return h if off < EXACT * order * max(1.0, np.abs(h).max() ** 2) else None


def span_of(a: Array) -> Array:
    """Orthonormal basis (r, d * d) of the span of (k, d, d)."""
    _, s, vt = np.linalg.svd(a.reshape(len(a), -1), full_matrices=False)
    return np.asarray(vt[s > 1e-9 * s.max()])


def outside(a: Array, span: Array) -> float:
    flat = a.ravel()
    return float(np.linalg.norm(flat - span.T @ (span @ flat)))


def _moves_along(h: Array, target: Array, algebra: Array) -> bool:
    """Whether the Lie algebra reaches one from the other anyway."""
    step = h @ np.linalg.inv(target) - np.eye(len(h))
    return outside(step, span_of(algebra)) < 0.1 * float(np.linalg.norm(step))


def _as_one_group(h: Array) -> Array:
    """Generators of a finite group, given to single precision, so that all their relations hold.

    g -> mean over x of F(g x) F(x)^-1 is nearer to a homomorphism than F, as near squared (Grove, Karcher, Ruh 1974).
    """
    for _ in range(4):
        found = list_elements(h, MAX_ORDER, tolerance=1e-4)
        if found is None:
            return h
        x = found.matrices
        images = np.array([x[found.images(one)] for one in h])
        h = (images @ np.linalg.inv(x)).mean(axis=1)
    return h
