"""The numbers of a GaussianProcess with the highest evidence times prior, from several starts, by L-BFGS (scipy).

Starts are told apart on a part of the data, which costs little, and the best are followed on all of them. Where the
evidence of all is a bound by inducing points, the best one is followed on a larger part first, which is exact, and says
which points these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from tqdm import tqdm

from bayes_rpp.models.process.bound import density
from bayes_rpp.models.process.covariance import Covariance
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.models.process.inducing_points import inducing_count, inducing_points
from bayes_rpp.models.process.laplace import evidence_of
from bayes_rpp.priors.hyper import Prior
from bayes_rpp.priors.kernels.scalar import RBF, Polynomial

ROWS, FEW = 100, 20  # of a part of the data, at most and at least
LARGER, NUMBERS = 500, 1000  # rows of a larger one where all are too many, with up to so many numbers in y
SHORT, LONG = 30, 60  # iterations of L-BFGS, on a part and on all
KEPT, CLOSE = 2, 20.0  # starts that are followed, if they come within so many nats of the best
SMALL, FAR = 0.03, 2.5  # factors: of a pathway that is put aside, of longer lengthscales
RANGE = {
    "sigma": (1e-4, 1e2),
    "lengthscale": (1e-2, 1e3),
    "noise": (1e-3, 1e2),
    "": (1e-4, 1e3),
}  # of the typical values
HOPELESS = 1e25
BACK = (0.0, 0.25, 0.5, 1.0)  # towards the typical numbers, where the evidence is not finite

Latents = dict[str, float]


@dataclass
class Objective:
    """-log p(y | x, numbers) - log p(numbers), by the logarithms of the numbers, for scipy.

    Attributes:
        evaluations: so many so far.
    """

    gp: GaussianProcess
    evidence: Any
    evaluations: int = field(default=0, init=False)
    _last: tuple[NDArray, tuple[float, NDArray]] | None = field(default=None, init=False)

    def __call__(self, z: NDArray) -> tuple[float, NDArray]:
        if self._last is None or not np.array_equal(self._last[0], z):  # descents begin where others ended
            self._last = z.copy(), self._at(z)
        value, slope = self._last[1]
        return value, slope.copy()

    def _at(self, z: NDArray) -> tuple[float, NDArray]:
        self.evaluations += 1
        value, slope = density(self.evidence, self.gp.latents, z)
        for i, (number, prior) in enumerate(zip(np.exp(z).tolist(), self.gp.latents.values(), strict=True)):
            logp, by_log = prior.log_prob(number)
            value, slope[i] = value + logp, slope[i] + by_log
        if not np.isfinite(value) or not np.isfinite(slope).all():
            return HOPELESS, np.zeros(len(z))
        return -value, -slope


def maximize(
    gp: GaussianProcess,
    x: NDArray,
    y: NDArray,
    level: int,
    seed: int,
    given: Sequence[Mapping[str, float]] = (),
    progress: bool = False,
    steps: int = LONG,
) -> tuple[Latents, float, NDArray | None]:
    """The best numbers, the log evidence there, and the rows of x that are inducing points, if it is a bound.

    Args:
        given: numbers to start from in place of ours.
        steps: iterations of L-BFGS on all data.
    """
    if not gp.latents:
        evidence = evidence_of(gp, x, y, level)
        return {}, evidence({})[0], evidence.points
    typical, bounds = _typical(gp)
    wanted = [np.log([g.get(k, p.start) for k, p in gp.latents.items()]) for g in given]
    wanted = wanted or list(_starts(gp, typical))
    count = inducing_count(gp, len(x))
    words = "GaussianProcess" if count is None else f"GaussianProcess, up to {count:,} inducing points"
    with tqdm(total=len(wanted) + KEPT, desc=words, unit="start", disable=not progress) as bar:
        if len(wanted) > 1:
            part = _on_part(gp, x, y, level, seed, ROWS)
            found = []
            for start in wanted:
                found.append(_descend(part, start, bounds, SHORT))
                bar.update()
            wanted = _distinct(sorted(found, key=lambda r: r[0]))
        if count is None:
            points = None
        else:
            if not given:
                part = _on_part(gp, x, y, level, seed, max(ROWS, min(LARGER, NUMBERS // gp.rep_out.size)))
                wanted = [
                    min((_descend(part, start, bounds, SHORT, gently=True) for start in wanted), key=lambda r: r[0])[1]
                ]
            latents = dict(zip(gp.latents, np.exp(wanted[0]).tolist(), strict=True))
            points = inducing_points(Covariance(gp, x, level), latents, count, seed)
        whole = Objective(gp, evidence_of(gp, x, y, level, points))
        ends = []
        for start in wanted:
            ends.append(_descend(whole, _feasible(whole, start, typical), bounds, steps, gently=count is not None))
            bar.update()
    value, best = min(ends, key=lambda r: r[0])
    if value >= HOPELESS:
        raise ValueError(
            "model has no numbers at which the evidence of y is finite; a larger noise, and y and x of a size of about "
            "1, would do"
        )
    latents = dict(zip(gp.latents, np.exp(best).tolist(), strict=True))
    return latents, whole.evidence(latents)[0], points


def _on_part(gp: GaussianProcess, x: NDArray, y: NDArray, level: int, seed: int, rows: int) -> Objective:
    """The exact objective on some of the data, or all if these are few."""
    some = _some(gp, x, seed, rows)
    return Objective(gp, evidence_of(gp.replace(inducing=None), x[some], y[some], level))


def _feasible(objective: Objective, start: NDArray, typical: NDArray) -> NDArray:
    """The start, or as far towards the typical numbers as it takes: what is regular with a part of the data may be
    singular to rounding with all of them."""
    for share in BACK:
        z = start + share * (typical - start)
        if objective(z)[0] < HOPELESS:
            return z
    return start


def choose_kernel(gp: GaussianProcess, x: NDArray, y: NDArray, seed: int) -> GaussianProcess:
    """The same, where no kernel is given with the one of the highest evidence on a part of the data, from one start."""
    if "kernel" not in gp.open:
        return gp
    if not gp.latents:  # all numbers are given, and what they are of is the plain one
        return gp.replace(kernel=RBF())
    found = []
    for kernel in (RBF(), RBF() + Polynomial(degree=3, variance=Prior("HalfNormal", {"scale": 1.0}))):
        tried = gp.replace(kernel=kernel)
        start, bounds = _typical(tried)
        value, best = _descend(_on_part(tried, x, y, 0, seed, ROWS), start, bounds, SHORT)
        found.append((value - best.sum(), tried))  # a density of logarithms, which has no units
    return min(found, key=lambda f: f[0])[1]


def _descend(
    objective: Objective, start: NDArray, bounds: list[Any], steps: int, gently: bool = False
) -> tuple[float, NDArray]:
    """By L-BFGS.

    Args:
        gently: whether the first step is of a length of 1 at most, where the start is a good one already; otherwise it
            may lead to the bounds.
    """
    low, high = np.array(bounds).T
    start = np.clip(start, low, high)
    scale = max(1.0, float(np.linalg.norm(objective(start)[1]))) if gently else 1.0

    def scaled(z: NDArray) -> tuple[float, NDArray]:
        value, slope = objective(z)
        return value / scale, slope / scale

    found = minimize(
        scaled,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": steps, "maxfun": 2 * steps, "ftol": 1e-6 if gently else 1e-7, "gtol": 1e-4 / scale},
    )
    return float(found.fun) * scale, found.x


def _starts(gp: GaussianProcess, typical: NDArray) -> list[NDArray]:
    """All pathways alike and each by itself (the strict and the free corners), and all alike with longer
    lengthscales."""
    names = list(gp.latents)
    sigmas = [i for i, k in enumerate(names) if k.startswith("sigma")]
    scales = [i for i, k in enumerate(names) if k.startswith("lengthscale")]
    balances: list[int | None] = [None, *sigmas] if len(sigmas) > 1 else [None]
    found = []
    for alone, factor in [*((alone, 1.0) for alone in balances), (None, FAR)]:
        z = typical.copy()
        z[scales] += np.log(factor)
        if alone is not None:
            z[[i for i in sigmas if i != alone]] += np.log(SMALL)
        found.append(z)
    return found


def _distinct(found: list[tuple[float, NDArray]]) -> list[NDArray]:
    """The best, and the next one that ended elsewhere."""
    kept: list[NDArray] = []
    for value, z in found:
        if value < min(HOPELESS, found[0][0] + CLOSE) and all(np.abs(z - other).max() > 0.3 for other in kept):
            kept.append(z)
        if len(kept) == KEPT:
            break
    return kept or [found[0][1]]


def _some(gp: GaussianProcess, x: NDArray, seed: int, rows: int) -> NDArray:
    """Rows of a part of the data; fewer of energies with their forces, which say as much."""
    if gp.forces is not None:
        rows = max(FEW, rows // len(gp.forces.columns))
    return np.sort(np.random.default_rng(seed).permutation(len(x))[:rows])


def _typical(gp: GaussianProcess) -> tuple[NDArray, list[tuple[float, float]]]:
    """Logarithms of typical numbers, and the bounds of what is looked for."""
    found = np.log([p.start for p in gp.latents.values()])
    return found, [_range(k, t) for k, t in zip(gp.latents, found, strict=True)]


def _range(name: str, typical: float) -> tuple[float, float]:
    kind = next(k for k in RANGE if name.startswith(k))
    low, high = RANGE[kind]
    return typical + np.log(low), typical + np.log(high)
