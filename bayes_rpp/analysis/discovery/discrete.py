"""Discrete symmetries that nobody named: which signed permutations of columns a function is equivariant under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag

from bayes_rpp._arrays import whole_number
from bayes_rpp._given import finite_array
from bayes_rpp.analysis.discovery.discrete_evidence import Judged, column_reps, judge
from bayes_rpp.analysis.discovery.discrete_search import KEPT, Screen, alike, search, singles, wholes
from bayes_rpp.analysis.discovery.discrete_words import Names, in_words
from bayes_rpp.models.process.evidence import GaussianEvidence
from bayes_rpp.symmetry.finite import list_elements
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep

Array = NDArray[np.float64]
NATS = 3.0  # by which the evidence must rise: odds of 20 to 1 of one, where each candidate is as likely as another
UNMOVED, LITTLE = 1e-6, 0.05  # share of the variance below which y does not depend on a column; or might not
UNKNOWN = 0.5  # variance of y that examples leave of the next, of 1, above which too little is known of f
EQUAL = 0.9  # correlation of columns from which a swap says little
ORDER = 400  # elements of the largest group whose evidence is computed


@dataclass(frozen=True)
class DiscreteSymmetries:
    """What `discrete_symmetries` finds.

    Attributes:
        found: of each generator (name in words, A_in (n, n), A_out (m, m), by how many nats the evidence rises,
            relative error of f(Px) = R f(x) of a fit without symmetry, 0 to about 1).
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

    One fit without symmetry screens flips, swaps, cyclic shifts and products of up to three disjoint ones; R is the
    best signed permutation of the columns of y. The best candidates are judged by the exact evidence of a
    `GaussianProcess` that is strictly equivariant, beside that of the free one. Only columns of like kind (similar size
    and distribution, in the units given) are swapped; flips are about 0 and tried where the data have both signs.
    Symmetries up to an offset or a scale of each column are not looked for, and a swap of columns that matter nearly
    alike is found where the data do not tell them apart.

    Args:
        x: (n, d_in); y: (n, d_out).
        columns, targets: names; None: column 1, ..., target 1, ....
        threshold: by how many nats the evidence must rise, beside the logarithm of the number of candidates (without
            products), one of which may be true.
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


def _found(x: Array, y: Array, names: Names, threshold: float, seed: int) -> DiscreteSymmetries:
    n = x.shape[1]
    free = judge([], x, y)
    exact = GaussianEvidence(free.post.model, free.post.x, free.post.y, free.post.level)
    conditional = exact.conditional(free.numbers)
    screen = Screen(lambda z: conditional.marginal(z).mean, x, seed)
    doubts = list(free.said)
    tried: list[tuple[str, float, float]] = []
    chosen: list[tuple[str, Array, Array, float, float]] = []
    elements: list[Array] = []

    def rise(whole: list[Array], name: str) -> float:
        found = judge(whole, x, y, free)
        doubts.extend(f"{name}: {said}" for said in found.said)
        return found.evidence - free.evidence

    log_left = -2 * exact.left_out(free.numbers).mean() / y.shape[1] - 1 - np.log(2 * np.pi)
    known = log_left < np.log(UNKNOWN) + np.log(y.var(axis=0)).mean()
    if not known:
        doubts.append("x says too little of y, beside its noise, for a symmetry to be seen")
    active = _active(screen, y, free, names[0], doubts, seed)
    like = alike(x) & np.outer(active, active)
    flips = np.flatnonzero(active & (x.min(axis=0) < 0) & (x.max(axis=0) > 0))
    first, further = list(singles(flips, like)), list(wholes(flips, like))
    pairs = search(screen, first, further) if known else []
    threshold += np.log(max(len(first) + len(further), 1))
    best = 0.0
    for error, p, r in pairs[:KEPT]:
        whole = block_diag(p, r)
        if elements and _holds(elements, whole):
            continue
        name = in_words(p, r, names)
        alone = rise([whole], name)
        tried.append((name, alone, error))
        if alone <= threshold:
            if alone > -threshold:
                doubts.append(f"{name}: the data do not say (evidence {alone:+.1f} nats)")
            continue
        if list_elements(np.stack([*elements, whole]), ORDER) is None:
            doubts.append(f"{name}: it makes more than {ORDER} elements with those found before, and is left out")
            continue
        now = rise([*elements, whole], name) if elements else alone
        if now < best:
            doubts.append(f"{name}: it holds by itself, but the evidence falls beside what was found before")
            continue
        best = now
        elements.append(whole)
        chosen.append((name, p, r, alone, error))
        if (alike_by := _correlation(x, p)) > EQUAL:
            doubts.append(
                f"{name}: the columns that change places are nearly equal (correlation {alike_by:.2f}), so that any "
                "smooth function hardly notices; this says little of y"
            )
    group = Group(n + y.shape[1], (), elements, name="discrete symmetries found")
    return DiscreteSymmetries(chosen, group, *column_reps(group, n), tried, list(dict.fromkeys(doubts)))


def _correlation(x: Array, p: Array) -> float:
    """Of columns with those, and signs, in whose places a signed permutation puts them: the least; 0 if none move."""
    moved = [i for i in range(len(p)) if p[i, i] == 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = [np.corrcoef(x[:, i], x @ p[i])[0, 1] for i in moved]
    return float(min(found)) if found and not (np.diag(p) < 0).any() else 0.0


def _holds(elements: list[Array], g: Array) -> bool:
    listed = list_elements(np.stack(elements), ORDER)
    return listed is not None and bool((np.abs(listed.matrices - g).max(axis=(1, 2)) < 1e-6).any())


def _active(
    screen: Screen, y: Array, free: Judged, names: list[str], doubts: list[str], seed: int
) -> NDArray[np.bool_]:
    """Columns on which y depends: by how far f moves where their values are shuffled, and, where that is little, by the
    evidence of a fit without the column."""
    x = screen.all
    found, rng = np.ones(x.shape[1], dtype=bool), np.random.default_rng([seed, 1])  # not the order of the screen
    for i, name in enumerate(names):
        z = screen.x.copy()
        z[:, i] = rng.permutation(z[:, i])
        moves = float((np.mean((screen.predict(z) - screen.f) ** 2, axis=0) / (2 * screen.size)).max())
        if moves < LITTLE:
            rest = np.delete(x, i, axis=1)
            found[i] = moves > UNMOVED and (
                rest.shape[1] == 0 or judge([], rest, y, kernel=free.post.model.kernel).evidence < free.evidence - NATS
            )
        if not found[i]:
            doubts.append(f"y does not depend on {name}, as far as these data say")
    return found


def _names(given: Sequence[str] | None, count: int, argument: str, word: str) -> list[str]:
    if given is None:
        return [f"{word} {k + 1}" for k in range(count)]
    if len(given) != count:
        raise ValueError(f"{argument} must have {count} names, got {len(given)}")
    return [str(v) for v in given]
