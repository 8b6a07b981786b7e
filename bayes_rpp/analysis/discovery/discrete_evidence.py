"""How plausible it is that y has a finite symmetry: the evidence of functions that have it exactly."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from bayes_rpp.inference.fit import fit
from bayes_rpp.inference.methods import MAP
from bayes_rpp.inference.posterior.functions import EVIDENCE
from bayes_rpp.models.process.defaults import with_defaults
from bayes_rpp.models.process.evidence import GaussianEvidence
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.symmetry.discovery.described import Columns
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, Scalar

Array = NDArray[np.float64]
HOPELESS = 1.0  # nats for each example below the free fit, with its numbers, from which no others are looked for
NOISES = 0.0, 0.01, 0.03, 0.1  # least shares of y's size, as a free fit of few data may be without noise


@dataclass(frozen=True)
class Judged:
    """A fit of a `GaussianProcess`.

    Attributes:
        evidence: its logarithm; of what is hopeless at the numbers of the fit without symmetry: there.
        post: the posterior; None of what is hopeless.
        said: warnings of the fit.
    """

    evidence: float
    post: Any = None
    said: tuple[str, ...] = ()

    @property
    def numbers(self) -> dict[str, float]:
        return {k: float(v.flat[0]) for k, v in self.post.samples.items() if k != EVIDENCE}


def judge(elements: Sequence[Array], x: Array, y: Array, free: Judged | None = None, kernel: Any = None) -> Judged:
    """Fit functions that are strictly equivariant under elements (n + m, n + m), which act on the columns of x and y.

    Args:
        free: the fit without elements, whose kernel it takes, and from whose numbers it starts.
        kernel: where there is none; None: chosen by `fit`.
    """
    n = x.shape[1]
    order = np.argsort(orbits(elements, n), kind="stable")  # columns that are mixed stand together
    to = np.concatenate([order, np.arange(n, n + y.shape[1])])
    group = Group(len(to), (), [g[np.ix_(to, to)] for g in elements])
    kernel = free.post.model.kernel if free else kernel
    gp = GaussianProcess(*column_reps(group, n), group, kernel=kernel, sigma_b=0.0, ard=True)
    x, start = x[:, order], None
    if free:
        start = _start(free, gp, order)
    return fitted(gp, x, y, free, start)


def fitted(
    gp: GaussianProcess, x: Array, y: Array, beside: Judged | None = None, start: Any = None, seed: int = 0
) -> Judged:
    """A fit by MAP.

    Args:
        beside: a fit of the same data, beside which it may be hopeless.
        start: numbers to start from, and to see that.
    """
    if beside:
        evidence = GaussianEvidence(with_defaults(gp, x, y), x, y, beside.post.level)
        starts = [start | {"noise": max(start["noise"], share * float(y.std()))} for share in NOISES]
        there, start = max(((evidence(numbers)[0], numbers) for numbers in starts), key=lambda found: found[0])
        if there < beside.evidence - HOPELESS * len(x):
            return Judged(there)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        post: Any = fit(gp, x, y, MAP(), init=start, progress=False, seed=seed)
    for w in caught:
        if not issubclass(w.category, UserWarning):
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
    said = tuple(str(w.message) for w in caught if issubclass(w.category, UserWarning))
    return Judged(float(post.log_evidence), post, said)


def _start(free: Judged, gp: GaussianProcess, order: NDArray[np.int_]) -> dict[str, float]:
    """The numbers of the free fit; columns that share a lengthscale have the geometric mean of theirs."""
    scales = {k.partition(".")[0] for k in free.numbers if k.startswith("lengthscale")}
    found = {k: v for k, v in free.numbers.items() if not k.startswith("lengthscale")}
    for scale in scales:
        for kind, columns in gp.kinds.items():
            of = [np.log(free.numbers[f"{scale}.x{order[c]}"]) for c in columns]
            found[f"{scale}.{kind}"] = float(np.exp(np.mean(of)))
    return found


def orbits(elements: Sequence[Array] | Array, n: int) -> NDArray[np.int_]:
    mixed = sum((np.abs(g[:n, :n]) for g in elements), np.eye(n))
    return np.asarray(connected_components(mixed, directed=False)[1])


def column_reps(group: Group, n: int) -> tuple[Rep, Rep]:
    """How it acts on columns of x, by runs of columns that it keeps, and on those of y."""
    labels, runs, start = orbits(group.discrete_generators, n), [], 0
    for k in range(1, n + 1):
        if not set(labels[start:k]) & set(labels[k:]):
            runs.append(Rep.custom(Columns(start, k), name=f"columns {start} to {k}"))
            start = k
    rep_in = runs[0]
    for run in runs[1:]:
        rep_in = rep_in + run
    if all(np.array_equal(g[n:, n:], np.eye(group.dim - n)) for g in group.discrete_generators):
        return rep_in, (group.dim - n) * Scalar
    return rep_in, Rep.custom(Columns(n, group.dim), name="targets")
