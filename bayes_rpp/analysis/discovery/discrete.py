"""Discrete symmetries that nobody named: which signed permutations of columns a function is equivariant under."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag
from scipy.sparse.csgraph import connected_components

from bayes_rpp._arrays import whole_number
from bayes_rpp._given import finite_array
from bayes_rpp.analysis.discovery.discrete_search import KEPT, Screen, alike, search, singles, wholes
from bayes_rpp.inference.fit import fit
from bayes_rpp.inference.methods import MAP
from bayes_rpp.models.process.evidence import GaussianEvidence
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.symmetry.finite import list_elements
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, Scalar

Array = NDArray[np.float64]
NATS = 5.0  # by which the evidence must rise
UNMOVED = 0.01  # share of the variance below which y is said not to depend on a column
NOISE = 0.5  # share of the variance above which too little is known of f
ORDER = 400  # elements of the largest group whose evidence is computed


@dataclass(frozen=True)
class Columns:
    """The block of a matrix that acts on columns start to stop, for `Rep.custom`."""

    start: int
    stop: int

    def __call__(self, g: Array) -> Array:
        return g[self.start : self.stop, self.start : self.stop]


@dataclass(frozen=True)
class DiscreteSymmetries:
    """What `discrete_symmetries` finds.

    Attributes:
        found: of each generator (name in words, A_in (n, n), A_out (m, m), by how many nats the evidence rises, relative
            error of f(Px) = R f(x) of a fit without symmetry, 0 to about 1).
        group: what they generate; rep_in, rep_out: how it acts on the columns of x and y.
        tried: a row (name, rise of the evidence in nats, error) of each candidate that was fitted.
        doubts: what could not be said, in words.
    """

    found: list[tuple[str, Array, Array, float, float]]
    group: Group
    rep_in: Rep
    rep_out: Rep
    tried: list[tuple[str, float, float]]
    doubts: list[str]

    def __str__(self) -> str:
        lines = [f"{name} (evidence +{nats:.1f} nats, error {error:.2g})" for name, _, _, nats, error in self.found]
        return "\n".join([*(lines or ["no discrete symmetry found"]), *(f"doubt: {d}" for d in self.doubts)])


def discrete_symmetries(
    x: ArrayLike,
    y: ArrayLike,
    *,
    columns: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    threshold: float = NATS,
    seed: int = 0,
) -> DiscreteSymmetries:
    """Signed permutations P, R with f(Px) = R f(x), for y = f(x) + noise.

    One fit without symmetry screens flips, swaps, cyclic shifts and products of up to three disjoint ones; R is the best
    signed permutation of the columns of y. The best candidates are judged by the exact evidence of a `GaussianProcess`
    that is strictly equivariant, beside that of the free one. Only columns of like kind (similar size and distribution,
    in the units given) are swapped; flips are about 0 and tried where the data have both signs. Symmetries up to an
    offset or a scale of each column are not looked for.

    Args:
        x: (n, d_in); y: (n, d_out).
        columns, targets: names; None: column 1, ..., target 1, ....
        threshold: by how many nats the evidence must rise.
        seed: of the examples that the screen looks at.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    x, y = (np.asarray(finite_array(v, name), dtype=np.float64) for v, name in ((x, "x"), (y, "y")))
    if len(x) != len(y) or len(x) < 10:
        raise ValueError(f"x and y must have the same number of examples, 10 or more, got {len(x)} and {len(y)}")
    whole_number(seed, "seed", 0)
    names = _names(columns, x.shape[1], "columns", "column"), _names(targets, y.shape[1], "targets", "target")
    return _found(x, y, names, threshold, seed)


def _found(x: Array, y: Array, names: tuple[list[str], list[str]], threshold: float, seed: int) -> DiscreteSymmetries:
    n = x.shape[1]
    free, post, order = _evidence([], x, y, None)
    numbers = {k: float(v.flat[0]) for k, v in post.samples.items() if k != "log_evidence"}
    conditional = GaussianEvidence(post.model, post.x, post.y, post.level).conditional(numbers)
    screen = Screen(lambda z: conditional.marginal(z[:, order]).mean, x, seed)
    doubts: list[str] = []
    tried: list[tuple[str, float, float]] = []
    chosen: list[tuple[str, Array, Array, float, float]] = []
    elements: list[Array] = []
    known = numbers.get("noise", 0.0) ** 2 < NOISE * float(y.var(axis=0).mean())
    if not known:
        doubts.append("x says too little of y, beside its noise, for a symmetry to be seen")
    active = _active(screen, names[0], doubts, seed)
    like = alike(x) & np.outer(active, active)
    flips = np.flatnonzero(active & (x.min(axis=0) < 0) & (x.max(axis=0) > 0))
    pairs = search(screen, list(singles(flips, like)), list(wholes(flips, like)), lambda g: (g, None)) if known else []
    best = free
    for error, p, r in pairs[:KEPT]:
        whole = block_diag(p, r)
        if elements and _holds(elements, whole):
            continue
        name = _words(p, r, names)
        alone = _evidence([whole], x, y, post.model.kernel)[0] - free
        tried.append((name, alone, error))
        if alone <= threshold:
            continue
        if list_elements(np.stack([*elements, whole]), ORDER) is None:
            doubts.append(f"{name}: it makes more than {ORDER} elements with those found before, and is left out")
            continue
        now = _evidence([*elements, whole], x, y, post.model.kernel)[0] if elements else free + alone
        if now < best:
            doubts.append(f"{name}: it holds by itself, but the evidence falls beside what was found before")
            continue
        best = now
        elements.append(whole)
        chosen.append((name, p, r, alone, error))
    group = Group(n + y.shape[1], (), elements, name="discrete symmetries found")
    return DiscreteSymmetries(chosen, group, *_reps(group, n), tried, doubts)


def _holds(elements: list[Array], g: Array) -> bool:
    listed = list_elements(np.stack(elements), ORDER)
    return listed is not None and bool((np.abs(listed.matrices - g).max(axis=(1, 2)) < 1e-6).any())


def _evidence(elements: list[Array], x: Array, y: Array, kernel: Any) -> tuple[float, Any, NDArray[np.int_]]:
    """The log evidence of what is strictly equivariant, its posterior, and the order in which it has columns of x,
    which puts those together that are mixed."""
    n = x.shape[1]
    order = np.argsort(_orbits(elements, n), kind="stable")
    to = np.concatenate([order, np.arange(n, n + y.shape[1])])
    group = Group(len(to), (), [g[np.ix_(to, to)] for g in elements])
    gp = GaussianProcess(*_reps(group, n), group, kernel=kernel, sigma_b=0.0, ard=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        post: Any = fit(gp, x[:, order], y, MAP(), progress=False)
    return float(post.log_evidence), post, order


def _orbits(elements: Sequence[Array] | Array, n: int) -> NDArray[np.int_]:
    mixed = sum((np.abs(g[:n, :n]) for g in elements), np.eye(n))
    return np.asarray(connected_components(mixed, directed=False)[1])


def _reps(group: Group, n: int) -> tuple[Rep, Rep]:
    """How it acts on columns of x, by runs of columns that it keeps, and on those of y."""
    orbits, runs, start = _orbits(group.discrete_generators, n), [], 0
    for k in range(1, n + 1):
        if not set(orbits[start:k]) & set(orbits[k:]):
            runs.append(Rep.custom(Columns(start, k), name=f"columns {start} to {k}"))
            start = k
    rep_in = runs[0]
    for run in runs[1:]:
        rep_in = rep_in + run
    if np.allclose([g[n:, n:] for g in group.discrete_generators], np.eye(group.dim - n)):
        return rep_in, (group.dim - n) * Scalar
    return rep_in, Rep.custom(Columns(n, group.dim), name="targets")


def _active(screen: Screen, names: list[str], doubts: list[str], seed: int) -> NDArray[np.bool_]:
    """Columns on which y depends, by how far f moves where their values are shuffled."""
    found, rng = np.zeros(screen.x.shape[1], dtype=bool), np.random.default_rng(seed)
    for i, name in enumerate(names):
        z = screen.x.copy()
        z[:, i] = rng.permutation(z[:, i])
        moves = np.mean((screen.predict(z) - screen.f) ** 2, axis=0) / (2 * screen.size)
        found[i] = moves.max() > UNMOVED
        if not found[i]:
            doubts.append(f"y does not depend on {name}, as far as these data say")
    return found


def _names(given: Sequence[str] | None, count: int, argument: str, word: str) -> list[str]:
    if given is None:
        return [f"{word} {k + 1}" for k in range(count)]
    if len(given) != count:
        raise ValueError(f"{argument} must have {count} names, got {len(given)}")
    return [str(v) for v in given]


def _words(p: Array, r: Array, names: tuple[list[str], list[str]]) -> str:
    def moves(g: Array, of: list[str]) -> str:
        sent = [(of[j], of[i], g[i, j]) for j in range(len(g)) for i in [int(np.abs(g[:, j]).argmax())]]
        return ", ".join(f"{a} -> {'-' if s < 0 else ''}{b}" for a, b, s in sent if a != b or s < 0)

    after = moves(r, names[1])
    return f"y does not change under {moves(p, names[0])}" if not after else f"{moves(p, names[0])} makes {after}"
