"""The numbers of a GaussianProcess with the highest evidence times prior, from several starts, by scipy.

Starts are told apart on parts of the data, which cost little (L-BFGS), and the best are followed on larger parts, up to
all, in few steps, as a part's Hessian says what that of the next one is like (SLSQP). Where the evidence of all is a
bound by inducing points, these are chosen with the numbers that the last part has led to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, minimize
from tqdm import tqdm

from bayes_rpp.models.process.bound import density
from bayes_rpp.models.process.covariance import Covariance
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.models.process.inducing_points import inducing_count, inducing_points
from bayes_rpp.models.process.laplace import evidence_of
from bayes_rpp.priors.hyper import Prior
from bayes_rpp.priors.kernels.scalar import RBF, Polynomial

ROWS, FEW = 100, 20  # of the part of the data, at most and at least
LARGER, NUMBERS = 500, 1000  # rows of the largest part where all are too many, with up to so many numbers in y
SHORT, LONG = 20, 60  # iterations of rough descents, and of fine ones from the best start
ENOUGH = 0.01  # nats that an iteration gains at the end
STEP = 0.02  # of differences
# Starts that are followed, if they come within so many nats of the best, on large parts too, and not as near as one
# that has ended at the same place.
KEPT, CLOSE, CLOSER, SAME = 2, 20.0, 5.0, 1.0
SMALL, FAR = 0.03, 2.5  # factors: of a pathway that is put aside, of longer lengthscales
# Of the typical values.
RANGE = {"sigma": (1e-4, 1e2), "lengthscale": (1e-2, 1e3), "noise": (1e-3, 1e2), "": (1e-4, 1e3)}
# Kernels of distances alone become polynomials where lengthscales and sigmas are large together (the flat limit), with
# their cubic terms as 1 to the cube of the lengthscale.
FLAT, CUBIC = 1e4, 3
OF_KERNEL = ("lengthscale", "variance")
NOISE, MOSTLY = "noise", 0.5  # of y's deviation
OTHER = 1.5  # logarithms of the noise that are no more apart may be the same place
HOPELESS = 1e25
UNFINISHED = 9  # SLSQP's word for it
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

    def __post_init__(self) -> None:
        self.evidence.follows = True

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


@dataclass(frozen=True)
class Place:
    """Where a descent has come to.

    Attributes:
        value: of the objective; z: logarithms of the numbers.
        hessian: of the objective there, for each example; None where it is not known.
        is_rough: whether there may be some way to go.
    """

    value: float
    z: NDArray
    hessian: NDArray | None = None
    is_rough: bool = True


def maximize(
    gp: GaussianProcess,
    x: NDArray,
    y: NDArray,
    level: int,
    seed: int,
    given: Sequence[Mapping[str, float]] = (),
    progress: bool = False,
    known: Sequence[Place] = (),
) -> tuple[Latents, float, NDArray | None]:
    """The best numbers, the log evidence there, and the rows of x that are inducing points, if it is a bound.

    Args:
        given: numbers to start from in place of ours.
        known: what `choose_kernel` has found.
    """
    if not gp.latents:
        evidence = evidence_of(gp, x, y, level)
        return {}, evidence({})[0], evidence.points
    typical, bounds = _typical(gp)
    parts, middle = _parts(gp, len(x), seed)
    count, points = inducing_count(gp, len(x)), None
    places: list[Place] = []
    if given:
        starts = [np.log([g.get(k, p.start) for k, p in gp.latents.items()]) for g in given]
        rough = _exact(gp, x[parts[middle]], y[parts[middle]])  # which says how the evidence bends, on any level
        places = [_with_hessian(rough, Place(0.0, z), bounds) for z in starts]
        parts, middle = parts[-1:], middle - len(parts) + 1
    objectives = [_exact(gp, x[some], y[some], level) for some in (parts if count is None else parts[:-1])]
    fresh: list[list[NDArray]] = [[] for _ in parts]
    if not given:
        fresh[0] = _starts(gp, typical)[1 if known and middle == 0 else 0 :]
        fresh[middle] += [typical] if middle and not known else []
        fresh[middle] += [_noisy(gp, typical, y)] if NOISE in gp.latents else []
    words = "GaussianProcess" if count is None else f"GaussianProcess, up to {count:,} inducing points"
    with tqdm(total=len(parts), desc=words, unit="part", disable=not progress) as bar:
        for k in range(len(parts)):
            if count is not None and k == len(objectives):
                places = places[:1]
                latents = dict(zip(gp.latents, np.exp(places[0].z).tolist(), strict=True))
                points = inducing_points(Covariance(gp, x, level), latents, count, seed)
                objectives.append(Objective(gp, evidence_of(gp, x, y, level, points)))
            objective = objectives[k]
            bar.update()
            steps = [LONG, *[SHORT] * len(places)]
            found = [
                _fine(objective, _feasible(objective, p, typical), bounds, s)
                for p, s in zip(places, steps, strict=False)
            ]
            found += [_rough(objective, _feasible(objective, Place(0.0, z), typical), bounds) for z in fresh[k]]
            places = _distinct(gp, [*found, *(known if k == middle else ())], CLOSE if k <= middle else CLOSER)
            if k + 1 < len(parts) or any(p.is_rough for p in places):
                places = [_with_hessian(objective, p, bounds) for p in places]
            if k + 1 == len(parts):
                places = _distinct(gp, [_fine(objective, p, bounds, LONG) if p.is_rough else p for p in places])
    best = places[0]
    if best.value >= HOPELESS:
        raise ValueError(
            "model has no numbers at which the evidence of y is finite; a larger noise, and y and x of a size of about "
            "1, would do"
        )
    latents = dict(zip(gp.latents, np.exp(best.z).tolist(), strict=True))
    return latents, objective.evidence(latents)[0], points


def _exact(gp: GaussianProcess, x: NDArray, y: NDArray, level: int = 0) -> Objective:
    return Objective(gp, evidence_of(gp.replace(inducing=None), x, y, level))


def choose_kernel(
    gp: GaussianProcess, x: NDArray, y: NDArray, seed: int, given: Sequence[Mapping[str, float]] = ()
) -> tuple[GaussianProcess, list[Place]]:
    """The same, where no kernel is given with the one that numbers to start from are of, or else that of the highest
    evidence on a part of the data, from one start; and where that came to."""
    if "kernel" not in gp.open:
        return gp, []
    if not gp.latents:  # all numbers are given, and what they are of is the plain one
        return gp.replace(kernel=RBF()), []
    both = RBF(), RBF() + Polynomial(degree=3, variance=Prior("HalfNormal", {"scale": 1.0}))
    candidates = [gp.replace(kernel=kernel) for kernel in both]
    names = {name for numbers in given for name in numbers if name.startswith(OF_KERNEL)}
    if names and (same := [c for c in candidates if names <= c.latents.keys()]):
        return same[0], []
    parts, middle = _parts(gp, len(x), seed)
    some, found = parts[middle], []
    for tried in candidates:
        start, bounds = _typical(tried)
        place = _rough(_exact(tried, x[some], y[some]), Place(0.0, start), bounds)
        found.append((place.value - place.z.sum(), tried, [place]))  # a density of logarithms, which has no units
    return min(found, key=lambda f: f[0])[1:]


def _rough(objective: Objective, start: Place, bounds: list[Any]) -> Place:
    """A descent that knows nothing, by L-BFGS."""
    options = {"maxiter": SHORT, "maxfun": 2 * SHORT, "ftol": 1e-7, "gtol": 1e-4}
    z = np.clip(start.z, *np.array(bounds).T)
    found = minimize(objective, z, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return Place(float(found.fun), found.x)


def _fine(objective: Objective, start: Place, bounds: list[Any], steps: int) -> Place:
    """A descent to the end, from the Hessian of the start: by sequential quadratic programming (SLSQP), in variables
    whose Hessian is about 1."""
    low, high = np.array(bounds).T
    z, n = np.clip(start.z, low, high), len(objective.evidence.covariance.x)
    values, vectors = np.linalg.eigh(n * np.asarray(start.hessian))
    root = vectors / np.sqrt(np.maximum(np.abs(values), 1.0))
    seen = [(objective(z)[0], z)]

    def whitened(w: NDArray) -> tuple[float, NDArray]:
        at = np.clip(z + root @ w, low, high)
        value, slope = objective(at)
        seen.append((value, at))
        return value, root.T @ slope

    inside = LinearConstraint(root, low - z, high - z)
    options = {"maxiter": steps, "ftol": ENOUGH}
    found = minimize(whitened, np.zeros(len(z)), jac=True, method="SLSQP", constraints=[inside], options=options)
    value, at = min(seen, key=lambda one: one[0])  # SLSQP may end at a worse place than it has seen
    return Place(value, at, is_rough=found.status == UNFINISHED)


def _with_hessian(objective: Objective, place: Place, bounds: list[Any]) -> Place:
    """By differences of the gradient."""
    if place.hessian is not None:
        return place
    steps = np.where(place.z + STEP > np.array(bounds)[:, 1], -STEP, STEP)
    _, here = objective(place.z)
    rows = [(objective(place.z + np.eye(len(steps))[i] * step)[1] - here) / step for i, step in enumerate(steps)]
    found = np.array(rows) / len(objective.evidence.covariance.x)
    return replace(place, hessian=0.5 * (found + found.T))


def _feasible(objective: Objective, start: Place, typical: NDArray) -> Place:
    """The start, or as far towards the typical numbers as it takes: what is regular with a part of the data may be
    singular to rounding with all of them."""
    for share in BACK:
        z = start.z + share * (typical - start.z)
        if objective(z)[0] < HOPELESS:
            return replace(start, z=z)
    return start


def _starts(gp: GaussianProcess, typical: NDArray) -> list[NDArray]:
    """All pathways alike and each by itself (the strict and the free corners), and all alike with longer
    lengthscales, also on the way to the flat limit where there is one."""
    names = list(gp.latents)
    sigmas = [i for i, k in enumerate(names) if k.startswith("sigma")]
    scales = [i for i, k in enumerate(names) if k.startswith("lengthscale")]
    found = [typical.copy()]
    for alone in sigmas if len(sigmas) > 1 else ():
        found.append(typical.copy())
        found[-1][[i for i in sigmas if i != alone]] += np.log(SMALL)
    for power in (0, CUBIC) if _has_flat_limit(gp) else (0,):
        found.append(typical.copy())
        found[-1][scales] += np.log(FAR)
        found[-1][sigmas] += power * np.log(FAR)
    return found


def _noisy(gp: GaussianProcess, typical: NDArray, y: NDArray) -> NDArray:
    """Where half of y's deviation is noise: between no noise and nothing else, at which the others may end."""
    found = typical.copy()
    found[list(gp.latents).index(NOISE)] = np.log(MOSTLY * float(np.std(y)) or 1.0)
    return found


def _distinct(gp: GaussianProcess, found: list[Place], close: float = CLOSE) -> list[Place]:
    """The best, and the next one that ended elsewhere and comes within so many nats: at another value, or with another
    noise, as few rows are explained as well by none at all as by that of all."""
    found = sorted(found, key=lambda p: p.value)
    kept, noise = found[:1], [i for i, name in enumerate(gp.latents) if name == NOISE]
    for place in found[1:]:
        same = SAME if place.is_rough or kept[-1].is_rough or close < CLOSE else 2 * ENOUGH
        elsewhere = same < place.value - kept[-1].value or np.any(np.abs(place.z - kept[-1].z)[noise] > OTHER)
        if elsewhere and place.value < min(HOPELESS, found[0].value + close):
            kept.append(place)
        if len(kept) == KEPT:
            break
    return kept


def _parts(gp: GaussianProcess, n: int, seed: int) -> tuple[list[NDArray], int]:
    """Rows of parts of the data, each with about three times as many as the one before, the last of all, which alone
    has inducing points; and the place of the one that has up to ROWS, fewer of energies with their forces, which say as
    much."""
    order = np.random.default_rng(seed).permutation(n)
    rows = ROWS if gp.forces is None else max(FEW, ROWS // len(gp.forces.columns))
    sizes = [rows // 3] if 2 * (rows // 3) < n else []
    sizes += [rows] if rows < n else []
    while sizes and 6 * sizes[-1] <= n:
        sizes.append(3 * sizes[-1])
    if inducing_count(gp, n) is None:
        sizes.append(n)
        middle = min(1, len(sizes) - 1)
    else:
        most = max(rows, min(LARGER, NUMBERS // gp.rep_out.size))
        sizes = [size for size in sizes if size <= most] or [n]
        middle = min(1, len(sizes) - 1)
        sizes.append(n)
    return [np.sort(order[:size]) for size in sizes], middle


def _typical(gp: GaussianProcess) -> tuple[NDArray, list[tuple[float, float]]]:
    """Logarithms of typical numbers, and the bounds of what is looked for."""
    found = np.log([p.start for p in gp.latents.values()])
    ranges = RANGE | {"sigma": (RANGE["sigma"][0], FLAT)} if _has_flat_limit(gp) else RANGE
    limits = np.log([next(v for k, v in ranges.items() if name.startswith(k)) for name in gp.latents])
    return found, [(t + low, t + high) for t, (low, high) in zip(found.tolist(), limits.tolist(), strict=True)]


def _has_flat_limit(gp: GaussianProcess) -> bool:
    return all(leaf.stationary for leaf in gp.kernel.leaves)
