"""Reflections beside rotations that are known: whether SO(2) about an axis is O(2), and SO(3) is O(3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import null_space

from bayes_rpp._arrays import whole_number
from bayes_rpp._given import finite_array
from bayes_rpp.analysis.discovery.discrete_evidence import Judged, fitted
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.symmetry.averages import check_compact
from bayes_rpp.symmetry.discovery.cosets import element_at, extensions, is_inside, larger, left_fixed
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Pseudoscalar, Rep, Representation, Scalar, bind_rep

Array = NDArray[np.float64]
NATS = 5.0  # by which the evidence must rise


@dataclass(frozen=True)
class DiscreteExtensions:
    """What `discrete_extensions` finds.

    Attributes:
        found: of each further generator (name in words, matrix (d, d), by how many nats the evidence rises: by none
            where every function of the given group has it).
        group: the given one with them.
        rep_out: as given, or times the sign that y has.
        is_soft: whether the fits were soft, as the given group holds only roughly.
        tried: a row (name, rise of the evidence in nats) of each candidate; of what is hopeless at the numbers of the
            fit without it: there.
        doubts: what could not be said, in words.
    """

    found: list[tuple[str, Array, float]]
    group: Group
    rep_out: Rep
    is_soft: bool
    tried: list[tuple[str, float]]
    doubts: list[str]

    def __str__(self) -> str:
        why = "as all functions of the group have it", "evidence +{:.1f} nats"
        lines = [f"{name} ({why[nats > 0].format(nats)})" for name, _, nats in self.found]
        lines = lines or ["no reflection found"]
        return "\n".join([f"{self.group}, rep_out {self.rep_out}", *lines, *(f"doubt: {d}" for d in self.doubts)])


def discrete_extensions(
    x: ArrayLike,
    y: ArrayLike,
    *,
    rep_in: Rep,
    rep_out: Rep,
    group: Group,
    signs: bool = True,
    threshold: float = NATS,
    seed: int = 0,
) -> DiscreteExtensions:
    """Reflections and half turns under which y = f(x) + noise is equivariant, beside rotations that are known.

    Tried is what normalises the group and is not in it: -1, the reflection of what the rotations leave fixed (across
    the plane orthogonal to an axis), one of what they move (across a plane that contains the axis), and their product
    (a half turn about an orthogonal axis), without rotations -1 and a flip of each coordinate; each as it is, and with
    the other sign of y, as a torque or a dipole's field has it. It is judged by the evidence of a `GaussianProcess`
    that is strictly equivariant under the larger group, beside that of the given one; both are soft where the data are
    not strictly equivariant.

    Args:
        x: (n, d_in); y: (n, d_out).
        rep_in, rep_out: how the group acts on their columns. What is axial among the columns of x must be said, by
            `Pseudoscalar * Vector`.
        group: of orthogonal matrices (d, d), no product whose factors the representations name.
        signs: whether the other sign of y is tried; without it `rep_out` stays as it is.
        threshold: by how many nats the evidence must rise.
        seed: of the fits.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    x, y = (np.asarray(finite_array(v, name), dtype=np.float64) for v, name in ((x, "x"), (y, "y")))
    if not isinstance(group, Group):
        raise TypeError(f"group must be a Group, got a {type(group).__name__}; SO(3) would do")
    check_compact(group)
    whole_number(seed, "seed", 0)
    plain = Group(group.dim, group.lie_algebra, group.discrete_generators, name=group.name, exact=True)
    for rep, v, name, what in ((rep_in, x, "rep_in", "x"), (rep_out, y, "rep_out", "y")):
        if (size := bind_rep(rep, plain, name).size) != v.shape[1]:
            raise ValueError(f"{name} must have size {v.shape[1]}, the columns of {what}, got {rep} of size {size}")

    def fit_of(group: Group, rep_out: Rep, sigma_b: float | None, base: Judged | None = None) -> Judged:
        kernel = base.post.model.kernel if base else None
        gp = GaussianProcess(rep_in, rep_out, group, kernel=kernel, sigma_b=sigma_b)
        return fitted(gp, x, y, base, base.numbers if base else None, seed)

    strict, soft = fit_of(group, rep_out, 0.0), fit_of(group, rep_out, None)
    is_soft = soft.evidence > strict.evidence + threshold
    base, sigma_b = (soft, None) if is_soft else (strict, 0.0)
    doubts = [*base.said]
    if is_soft:
        doubts.append(f"y is not strictly equivariant under {group}; what is said is of the part that is")

    def rise(hs: list[Array], name: str, rep: Rep) -> float:
        judged = fit_of(larger(plain, hs), rep, sigma_b, base)
        doubts.extend(f"{name}: {said}" for said in judged.said)
        return judged.evidence - base.evidence

    characters, reps = _signs(plain)[: None if signs else 1], (rep_in(plain), rep_out(plain))
    rows: list[tuple[bool, float, str, Array, float]] = []  # implied, rise, name, h, sign
    for name, h in extensions(plain):
        for sign in sorted({c(h) for c, _ in characters}, reverse=True):
            words = name if sign > 0 else f"{name}, with the other sign of y"
            implied = _is_implied(h, sign, plain, *reps)
            by = next(rep for c, rep in characters if c(h) == sign)
            rows.append((implied, 0.0 if implied else rise([h], words, by * rep_out), words, h, sign))
    total, by = 0.0, Scalar
    chosen: list[tuple[str, Array, float, float]] = []
    for implied, nats, name, h, sign in sorted(rows, key=lambda row: row[:2], reverse=True):
        if is_inside(h, larger(plain, [c[1] for c in chosen])):
            continue
        if not (implied or nats > threshold):
            if nats > -threshold:
                doubts.append(f"{name}: the data do not say (evidence {nats:+.1f} nats)")
            continue
        pairs = [*((c[1], c[2]) for c in chosen), (h, sign)]
        fits = [rep for c, rep in characters if all(c(k) == s for k, s in pairs)]
        if fits and not implied:
            nats_together = rise([k for k, _ in pairs], name, fits[0] * rep_out) if chosen else nats
        else:
            nats_together = total
        if not fits or nats_together < total:
            doubts.append(f"{name}: it holds by itself, but not beside what was found before")
            continue
        total, by = nats_together, fits[0]
        chosen.append((name, h, sign, nats))
    return DiscreteExtensions(
        [(name, h, nats) for name, h, _, nats in chosen],
        larger(plain, [c[1] for c in chosen]) if chosen else group,
        rep_out if by == Scalar else by * rep_out,
        is_soft,
        [(name, nats) for _, nats, name, _, _ in rows],
        list(dict.fromkeys(doubts)),
    )


@dataclass(frozen=True)
class Determinant:
    """That of how a group acts on the span of orthonormal columns, which it keeps, for `Rep.custom`."""

    basis: tuple[tuple[float, ...], ...]

    def __call__(self, g: Array) -> Array:
        basis = np.array(self.basis)
        return np.round(np.linalg.det(basis.T @ g @ basis)).reshape(1, 1)


def _signs(group: Group) -> list[tuple[Callable[[Array], float], Rep]]:
    """The signs that y may have under what normalises the group, as functions and as representations."""
    fixed = left_fixed(group)
    found: list[tuple[Callable[[Array], float], Rep]] = [(lambda h: 1.0, Scalar), (_determinant, Pseudoscalar)]
    if 0 < fixed.shape[1] < group.dim:
        alone = Determinant(tuple(map(tuple, fixed.tolist())))
        rep = Rep.custom(alone, name="sign of what is fixed")
        found += [(lambda h: float(alone(h)[0, 0]), rep)]
        found += [(lambda h: float(alone(h)[0, 0]) * _determinant(h), Pseudoscalar * rep)]
    return found


def _determinant(h: Array) -> float:
    return float(np.sign(np.linalg.det(h)))


def _is_implied(h: Array, sign: float, group: Group, rep_in: Representation, rep_out: Representation) -> bool:
    """Whether every f that is equivariant under the group has f(hx) = sign h f(x), as one of its g has hx = gx, and
    g^-1 h leaves the values that f(x) may have: those that what leaves x does, too. At an x at random."""
    if group.is_discrete:
        return False
    x = np.random.default_rng(0).normal(size=rep_in.size)
    goal = rep_in.rho(h) @ x
    g = element_at(group.lie_algebra, lambda g: rep_in.rho(g) @ x - goal)
    if g is None:
        return False
    still = np.tensordot(null_space((rep_in.drho(group.lie_algebra) @ x).T).T, group.lie_algebra, 1)
    values = null_space(rep_out.drho(still).reshape(-1, rep_out.size)) if len(still) else np.eye(rep_out.size)
    moved = sign * rep_out.rho(g).T @ rep_out.rho(h) @ values
    return bool(np.abs(moved - values).max(initial=0.0) < 1e-5)
