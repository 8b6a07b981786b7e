"""Names of generators that commute: rotations, scalings, boosts, and what is neither."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.discovery.ideals import null_space
from bayes_rpp.symmetry.discovery.parts import (
    NOTHING,
    Part,
    Reading,
    cone,
    listed,
    number,
    quantile_degrees,
    span_degrees,
    vector,
)
from bayes_rpp.symmetry.discovery.snapping import blocks_of, near_fraction

Array = NDArray[np.float64]
ZERO = 1e-7
MULTIPLES = {1.0: "the same angle", 2.0: "twice the angle", 0.5: "half the angle", 3.0: "three times the angle"}


def name_commuting(basis: Array, reading: Reading) -> list[Part]:
    """Parts of an algebra of commuting matrices (c, n, n) that have eigenvectors.

    One for each circle, and one for each independent scaling; what turns and stretches at once is one part together.
    """
    weights = _weights(basis)  # (n, c): eigenvalues of the generators along each common eigenvector
    compact = null_space(weights.real, ZERO)
    split = null_space(weights.imag, ZERO)
    if len(compact) + len(split) < len(basis):
        if len(basis) == 1:
            return [_spiral(basis[0], reading)]
        words = f"{len(basis)} commuting generators that turn and stretch {reading.columns(_moved(basis))}"
        return [Part(f"an abelian algebra of dimension {len(basis)}", words, basis)]
    turning = _sparse(compact, weights.imag @ compact.T)
    stretching = _sparse(split, weights.real @ split.T)
    return [_rotation(np.tensordot(c, basis, 1), reading) for c in turning] + [
        _stretching(np.tensordot(c, basis, 1), reading) for c in stretching
    ]


def has_eigenvectors(basis: Array) -> bool:
    """Whether a generic element of commuting matrices is diagonalizable over C."""
    mixed = np.tensordot(np.random.default_rng(1).normal(size=len(basis)), basis, 1)
    return bool(np.linalg.cond(np.linalg.eig(mixed)[1]) < 1e6)


def _weights(basis: Array) -> NDArray[np.complex128]:
    mixed = np.tensordot(np.random.default_rng(1).normal(size=len(basis)), basis, 1)
    v = np.linalg.eig(mixed)[1]
    order = np.argsort(np.abs(v).argmax(axis=0), kind="stable")  # by the column that each is along
    v = v[:, order]
    return np.stack([np.diag(np.linalg.solve(v, one @ v)) for one in basis], axis=1)


def _sparse(coordinates: Array, weights: Array) -> Array:
    """A basis, in place of `coordinates` (r, c), with as many weights (m, r) of zero as there may be: the reduced
    echelon form."""
    r = len(coordinates)
    chosen: list[int] = []
    for row in range(len(weights)):
        if len(chosen) < r and np.linalg.matrix_rank(weights[[*chosen, row]], 1e-6) > len(chosen):
            chosen.append(row)
    return np.asarray(np.linalg.inv(weights[chosen]).T @ coordinates) if r else coordinates


def _moved(basis: Array) -> NDArray[np.int_]:
    size = np.abs(basis).sum(axis=0)
    return np.flatnonzero((size.sum(axis=0) > ZERO) | (size.sum(axis=1) > ZERO))


# --- rotations ------------------------------------------------------------------------------------------------------


def _rotation(a: Array, reading: Reading) -> Part:
    a = a / np.linalg.norm(a)
    if np.abs(a + a.T).max() > ZERO:
        return _stretched_rotation(a, reading)
    a = (a - a.T) / 2
    planes = [p for block in blocks_of(np.abs(a) > ZERO) for p in _planes(a, np.flatnonzero(block))]
    speeds = np.array([s for s, _ in planes])
    speeds = np.array([near_fraction(s, reading.tolerance) for s in speeds / speeds.max()])
    turns = np.stack([np.outer(p[1], p[0]) - np.outer(p[0], p[1]) for _, p in planes])
    exact = np.tensordot(speeds, turns, 1)
    exact = (exact - exact.T) / 2
    like = reading.like(exact)
    if len(planes) == 1 and len(found := _moved(exact[None])) == 3:
        return _about(exact, found, reading)
    reference = int(np.argmin(speeds))
    order = [reference, *[k for k in range(len(planes)) if k != reference]]
    said = [_plane_words(planes[k][1], reading) for k in order]
    ratios = [speeds[k] / speeds[reference] for k in order]
    errors = ["" if like is None else _ratio_error(like, turns[k], turns[reference]) for k in order]
    degrees = span_degrees(like, exact)
    words = f"rotation in {said[0]}" + "".join(
        f", and in {plane} at {_multiple(r)}{e}" for plane, r, e in zip(said[1:], ratios[1:], errors[1:], strict=True)
    )
    return Part("SO(2)", words + cone(degrees), exact[None] / np.abs(exact).max(), degrees=degrees)


def _multiple(ratio: float) -> str:
    return MULTIPLES.get(round(ratio, 9), f"{number(ratio)} times the angle")


def _ratio_error(like: Array, turn: Array, reference: Array) -> str:
    ratios = np.einsum("sab,ab->s", like, turn) / np.einsum("sab,ab->s", like, reference)
    return f" (± {ratios.std():.2g})" if ratios.std() > NOTHING else ""


def _planes(a: Array, columns: NDArray[np.int_]) -> list[tuple[float, Array]]:
    """Speeds and orthonormal bases (2, n) of the planes that an antisymmetric matrix turns among some columns."""
    n, part = len(a), a[np.ix_(columns, columns)]
    values, vectors = np.linalg.eigh(1j * part)
    found = []
    for k in np.flatnonzero(values > ZERO):
        pair = np.linalg.qr(np.stack([vectors[:, k].real, vectors[:, k].imag], axis=1))[0].T
        if len(columns) == 2:
            pair = np.eye(2)
        if pair[1] @ part @ pair[0] < 0:
            pair = pair[::-1]
        whole = np.zeros((2, n))
        whole[:, columns] = pair
        found.append((float(values[k]), whole))
    return found


def _plane_words(plane: Array, reading: Reading) -> str:
    columns = np.flatnonzero(np.abs(plane).max(axis=0) > ZERO)
    if len(columns) == 2:
        first = np.flatnonzero(plane[0])[0] == columns[0]
        return f"the plane of {reading.columns(columns if first else columns[::-1])}"
    return f"a tilted plane of {reading.columns(columns)}"


def _about(a: Array, columns: NDArray[np.int_], reading: Reading) -> Part:
    """A rotation of three columns about an axis that is tilted."""
    axis, sign = _axis(a[None], columns)[0], 1.0
    if axis[np.abs(axis).argmax()] < 0:
        sign = -1.0
    axis = sign * axis / np.linalg.norm(axis)
    degrees = None
    if (like := reading.like(a)) is not None:
        drawn = _axis(like, columns)
        degrees = quantile_degrees(drawn @ axis / np.linalg.norm(drawn, axis=1))
    whole = np.zeros(len(a))
    whole[columns] = axis
    where = "" if len(a) == 3 else f" in {reading.columns(columns)}"
    words = f"rotation about {vector(axis)}{where}{cone(degrees)}"
    return Part("SO(2)", words, sign * a[None] / np.abs(a).max(), axis=whole, degrees=degrees)


def _axis(a: Array, columns: NDArray[np.int_]) -> Array:
    b = a[:, columns[:, None], columns]
    b = (b - b.swapaxes(1, 2)) / 2
    return np.stack([b[:, 2, 1], b[:, 0, 2], b[:, 1, 0]], axis=1)


def _stretched_rotation(a: Array, reading: Reading) -> Part:
    like, columns = reading.like(a), _moved(a[None])
    degrees = span_degrees(like, a)
    if len(columns) == 2:
        i, j = columns
        if a[j, i] < 0:
            a = -a
        if abs(a[i, i]) < ZERO:
            units = math.sqrt(-a[i, j] / a[j, i])  # (x, units y) turns as on a circle
            words = f"rotation in the plane of {reading.columns(columns)}, column {reading.labels[j]} times {units:.2f}"
            return Part("SO(2)", words + cone(degrees), a[None], degrees=degrees)
    speeds = np.abs(np.linalg.eigvals(a).imag)
    speeds = np.sort(speeds[speeds > ZERO])[::2]
    ratios = "" if len(speeds) == 1 else f" at speeds {listed([number(s / speeds[0]) for s in speeds])}"
    words = (
        f"rotation of {reading.columns(columns)} along ellipses{ratios}, in coordinates that are tilted and stretched"
    )
    return Part("SO(2)", words + cone(degrees), a[None], degrees=degrees)


def _spiral(a: Array, reading: Reading) -> Part:
    values = np.linalg.eigvals(a)
    turn, stretch = values.imag.max(), values.real[np.abs(values.real).argmax()]
    words = f"rotation and scaling of {reading.columns(_moved(a[None]))} at once, by e^({stretch / turn:.2f} angle)"
    return Part("spiral", words, a[None])


# --- what stretches -------------------------------------------------------------------------------------------------


def _stretching(a: Array, reading: Reading) -> Part:
    if np.abs(a - np.diag(np.diag(a))).max() <= ZERO * np.abs(a).max():
        return _scaling(a, reading)
    values = np.linalg.eigvals(a).real
    values = values[np.abs(values) > ZERO * np.abs(values).max()]
    if len(values) == 2 and abs(values.sum()) <= 1e-6 * np.abs(values).max():
        return _boost(a, reading)
    ratios = sorted({round(v / np.abs(values).max(), 6) for v in values})
    exponents = listed([number(r) for r in ratios])
    words = f"scaling along tilted axes of {reading.columns(_moved(a[None]))}, exponents {exponents}"
    degrees = span_degrees(reading.like(a), a)
    return Part("scaling", words + cone(degrees), a[None] / np.abs(a).max(), degrees=degrees)


def _scaling(a: Array, reading: Reading) -> Part:
    exponents = np.diag(a) / np.diag(a)[np.abs(np.diag(a)).argmax()]
    exponents = np.array([near_fraction(e, reading.tolerance) for e in exponents])
    nearby = [Fraction(e).limit_denominator(4) for e in exponents]
    if all(abs(e - f) < 1e-12 for e, f in zip(exponents, nearby, strict=True)):
        exponents = exponents * math.lcm(*(f.denominator for f in nearby))
        exponents = np.round(exponents) / math.gcd(*np.round(exponents).astype(int).tolist())
    like, errors = reading.like(a), None
    if like is not None:
        top = int(np.abs(exponents).argmax())
        drawn = np.diagonal(like, axis1=1, axis2=2)
        errors = (drawn / drawn[:, top : top + 1] * exponents[top]).std(axis=0)
    moved = np.flatnonzero(np.abs(exponents) > 0)
    where = reading.columns(moved)
    worst = "" if errors is None or errors[moved].max() < NOTHING else f" ± {errors[moved].max():.2g}"
    if len(set(exponents[moved].tolist())) == 1 and len(moved) > 1:
        words = f"scaling of {where} alike{worst}"
    elif len(moved) == 1:
        words = f"scaling of {where}{worst}"
    else:
        values = [
            number(e) + ("" if errors is None or errors[i] < NOTHING else f" ± {errors[i]:.2g}")
            for i, e in zip(moved, exponents[moved], strict=True)
        ]
        words = f"scaling of {where} with exponents {listed(values)}"
    exact = np.diag(exponents)
    return Part("scaling", words, exact[None] / np.abs(exact).max(), exponents=exponents, errors=errors)


def _boost(a: Array, reading: Reading) -> Part:
    """SO(1, 1): t and one direction of space, x' = t w and t' = w x / speed^2."""
    degrees = span_degrees(reading.like(a), a)
    columns = _moved(a[None])
    outside = [np.abs(np.delete(np.delete(a, t, 0), t, 1)).max(initial=0.0) + abs(a[t, t]) for t in columns]
    t = int(columns[int(np.argmin(outside))])
    space = columns[columns != t]
    if min(outside) > ZERO * np.abs(a).max():
        words = f"boost of {reading.columns(columns)}, along tilted light cones"
        return Part("SO(1,1)", words + cone(degrees), a[None] / np.abs(a).max(), degrees=degrees)
    along = a[space, t]
    speed = math.sqrt(np.linalg.norm(along) / np.linalg.norm(a[t, space]))
    axis = np.zeros(len(a))
    axis[space] = along / np.linalg.norm(along) * np.sign(along[np.abs(along).argmax()])
    words = f"boost of {reading.columns([t, *space])}"
    if len(space) > 1:
        words += f" along {vector(axis[space])} of {reading.columns(space)}"
    if abs(speed - 1) > 1e-6:
        words += f", with speed {speed:.2f} (column {reading.labels[space[0]]} by column {reading.labels[t]})"
    return Part("SO(1,1)", words + cone(degrees), a[None] / np.abs(a).max(), axis=axis, degrees=degrees)
