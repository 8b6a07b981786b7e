"""Reflections beside rotations that are known: whether SO(2) about an axis is O(2), and SO(3) is O(3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm, null_space
from scipy.optimize import least_squares

from bayes_rpp._arrays import whole_number
from bayes_rpp._given import finite_array
from bayes_rpp.analysis.discovery.discrete_evidence import Judged, fitted
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.symmetry.averages import check_compact
from bayes_rpp.symmetry.finite import list_elements
from bayes_rpp.symmetry.groups import Group, O
from bayes_rpp.symmetry.representations import Pseudoscalar, Rep, Representation, Scalar, bind_rep

Array = NDArray[np.float64]
NATS = 5.0  # by which the evidence must rise
FLIPPED = 6  # coordinates at most, whose flips are tried where there are no rotations
EXACTLY = 1e-12
STARTS = 12  # of the search for an element of a connected group
ORDER = 400  # elements of the discrete part, of which one is asked whether an element is among them


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
    fixed = _fixed(group)
    found: list[tuple[Callable[[Array], float], Rep]] = [(lambda h: 1.0, Scalar), (_determinant, Pseudoscalar)]
    if 0 < fixed.shape[1] < group.dim:
        alone = Determinant(tuple(map(tuple, fixed.tolist())))
        rep = Rep.custom(alone, name="sign of what is fixed")
        found += [(lambda h: float(alone(h)[0, 0]), rep)]
        found += [(lambda h: float(alone(h)[0, 0]) * _determinant(h), Pseudoscalar * rep)]
    return found


def _determinant(h: Array) -> float:
    return float(np.sign(np.linalg.det(h)))


def _fixed(group: Group) -> Array:
    """(d, k) orthonormal basis of what its algebra leaves as it is."""
    if group.is_discrete:
        return np.eye(group.dim)
    return np.asarray(null_space(group.lie_algebra.reshape(-1, group.dim)))


def extensions(group: Group) -> list[tuple[str, Array]]:
    """(name, h): reflections and half turns that normalise it, none in it, and none in another's coset."""
    one = np.eye(group.dim)
    fixed = _fixed(group)
    kept, plane = fixed @ fixed.T, "plane" if group.dim == 3 else "hyperplane"
    moved = one - kept
    found = [("-1", -one)]
    if group.is_discrete:
        flips = [(f"a flip of coordinate {i + 1}", one - 2 * np.outer(e, e)) for i, e in enumerate(one)]
        found += flips if 1 < group.dim <= FLIPPED else []
        return [(name, h) for name, h in found if normalizes(h, group) and not is_inside(h, group)]
    v = moved[np.diag(moved).argmax()]  # the coordinate that is moved most
    v = v / np.linalg.norm(v)
    mirror, flip = one - 2 * np.outer(v, v), one - 2 * kept
    if fixed.shape[1] == 1:
        axis = vector_words(fixed[:, 0])
        found = [
            (f"the reflection across the {plane} orthogonal to {axis}", flip),
            (f"the reflection across a {plane} that contains {axis}", mirror),
            (f"a half turn about an axis orthogonal to {axis}", flip @ mirror),
            *found,
        ]
    elif fixed.shape[1]:
        found += [
            ("-1 of what the rotations leave fixed", flip),
            ("a reflection of what the rotations move", mirror),
            ("both, -1 of what is fixed and a reflection of what is moved", flip @ mirror),
        ]
    else:
        found.append(("a reflection", mirror))
    kept_ones: list[tuple[str, Array]] = []
    for name, h in found:
        if normalizes(h, group) and not any(is_inside(h @ k, group) for k in (one, *(k for _, k in kept_ones))):
            kept_ones.append((name, h))
    return kept_ones


def vector_words(v: Array) -> str:
    """ "(0, 0, 1)", the first large entry positive."""
    v = v * np.sign(v[np.abs(v).argmax()])
    return f"({', '.join(f'{c + 0.0:.2g}' for c in np.round(v, 2))})"


def larger(group: Group, hs: Sequence[Array]) -> Group:
    """The group with further generators, by its usual name where it has one."""
    if not len(hs):
        return group
    d = group.dim
    algebra = group.lie_algebra.reshape(-1, d * d)
    if d > 1 and np.linalg.matrix_rank(algebra) == d * (d - 1) // 2 and any(np.linalg.det(h) < 0 for h in hs):
        return O(d)
    name = f"{group.name} and {len(hs)} of its reflections and half turns"
    if not len(group.lie_algebra) and not len(group.discrete_generators):
        name = f"{len(hs)} reflections and half turns" if len(hs) > 1 else f"Z(2) by {_kind(hs[0])}"
    if d == 3 and np.linalg.matrix_rank(algebra) == 1 and not len(group.discrete_generators):
        axis = _fixed(group)[:, 0]
        turned, reflected = (abs(hs[0] @ axis @ axis + 1) < 1e-6, np.linalg.det(hs[0]) < 0)
        kind = ["O(2)", "SO(2) x Z(2)", "O(2) by half turns", "O(2) x Z(2)"]
        which = 3 if len(hs) > 1 else 0 if not turned else 1 if reflected else 2
        name = f"{kind[which]} about {vector_words(axis)}"
    return Group(d, group.lie_algebra, [*group.discrete_generators, *hs], name=name)


def _kind(h: Array) -> str:
    """Of an orthogonal matrix that is its own inverse, by how many directions it turns round."""
    count = round((len(h) - np.trace(h)) / 2)
    return {len(h): "inversion", 2: "half turn", 1: "reflection"}.get(count, f"{count} flips")


def normalizes(h: Array, group: Group) -> bool:
    a = group.lie_algebra.reshape(-1, group.dim**2)
    b = (h @ group.lie_algebra @ h.T).reshape(a.shape)
    inside = np.abs(b - b @ np.linalg.pinv(a) @ a).max(initial=0.0) < 1e-8
    return bool(inside) and all(is_inside(h @ g @ h.T, group) for g in group.discrete_generators)


def is_inside(h: Array, group: Group, within: float = EXACTLY) -> bool:
    """Whether h is exp(A) g, of the algebra and the discrete generators, to half of a sum of squares of entries."""
    listed = list_elements(group.discrete_generators, ORDER) if len(group.discrete_generators) else None
    cosets = listed.matrices if listed else np.stack([np.eye(group.dim), *group.discrete_generators])
    return any(_is_connected(h @ g.T, group.lie_algebra, within) for g in cosets)


def _is_connected(h: Array, algebra: Array, within: float) -> bool:
    """Whether h is exp(A) for an A in the algebra."""
    d, one = len(h), np.eye(len(h))
    if np.linalg.det(h) < 0 or np.abs(h - one).max() < 1e-8:
        return bool(np.linalg.det(h) > 0)
    is_compact = np.array_equal(algebra, -algebra.swapaxes(1, 2))
    if not len(algebra) or (is_compact and np.linalg.matrix_rank(algebra.reshape(-1, d * d)) == d * (d - 1) // 2):
        return bool(len(algebra))
    return _element(algebra, lambda g: (g - h).ravel(), within) is not None


def _element(algebra: Array, gap: Callable[[Array], Array], within: float = EXACTLY) -> Array | None:
    """The g = exp(A) at which gap(g) is 0, if there is one."""
    for start in np.random.default_rng(0).normal(scale=np.pi, size=(STARTS, len(algebra))):
        found = least_squares(lambda t: gap(expm(np.tensordot(t, algebra, 1))), start, xtol=1e-12, ftol=1e-12)
        if found.cost < within:
            return np.asarray(expm(np.tensordot(found.x, algebra, 1)))
    return None


def _is_implied(h: Array, sign: float, group: Group, rep_in: Representation, rep_out: Representation) -> bool:
    """Whether every f that is equivariant under the group has f(hx) = sign h f(x), as one of its g has hx = gx, and
    g^-1 h leaves the values that f(x) may have: those that what leaves x does, too. At an x at random."""
    if group.is_discrete:
        return False
    x = np.random.default_rng(0).normal(size=rep_in.size)
    goal = rep_in.rho(h) @ x
    g = _element(group.lie_algebra, lambda g: rep_in.rho(g) @ x - goal)
    if g is None:
        return False
    still = np.tensordot(null_space((rep_in.drho(group.lie_algebra) @ x).T).T, group.lie_algebra, 1)
    values = null_space(rep_out.drho(still).reshape(-1, rep_out.size)) if len(still) else np.eye(rep_out.size)
    moved = sign * rep_out.rho(g).T @ rep_out.rho(h) @ values
    return bool(np.abs(moved - values).max(initial=0.0) < 1e-5)
