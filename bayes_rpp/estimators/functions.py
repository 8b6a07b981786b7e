"""Functions in place of networks: for which data the estimators take a GaussianProcess, and which kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from bayes_rpp.inference.fit import fit
from bayes_rpp.inference.methods import MAP
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.models.likelihoods import Gaussian
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.models.process.irreducible import irreducible
from bayes_rpp.models.process.reduction import are_alike
from bayes_rpp.priors.hyper import PerLayer
from bayes_rpp.priors.kernels.scalar import Matern52
from bayes_rpp.symmetry.averages import ORTHOGONAL, haar_average, off_orthogonal
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep

# Up to which functions take about as long as an ensemble, or less (docs/results/estimators.md).
ROWS = {True: 2000, False: 1000}  # of the largest covariance matrix, of numbers and of classes
# Of classes that are alike, their number times the cube of that of examples; a lengthscale for each column takes so
# many times as long (docs/results/classifiers.md).
CLASSES, ARD = 2.5e10, 3
WORK = 3e7  # elements of the average over the group, times pairs of examples
COLUMNS = 20  # that may have a lengthscale each


def networks_alone(estimator: Any) -> dict[str, Any]:
    """Those of the parameters that have been set and mean nothing to functions."""
    found = {k: getattr(estimator, k, None) for k in ("channels", "layers", "temperature")}
    sigmas = {k: getattr(estimator, k) for k in ("sigma_a", "sigma_b")}
    by_layer = {k: v for k, v in sigmas.items() if isinstance(v, (PerLayer, Mapping))}
    return {k: v for k, v in found.items() if v is not None} | by_layer


def are_orthogonal(group: Group, *reps: Rep) -> bool:
    """Whether functions that are equivariant have a prior: the group is compact, and acts by orthogonal matrices."""
    return group.is_orthogonal and all(off_orthogonal(rep(group)) <= ORTHOGONAL for rep in reps)


def are_small(gp: GaussianProcess, n: int) -> bool:
    """Whether n examples are few enough, and the group is averaged over a closed set, not one drawn at random."""
    numbers, places = isinstance(gp.likelihood, Gaussian), irreducible([gp.rep_out]).places
    if are_alike(gp.likelihood, places):
        by_column = gp.group.is_trivial and 1 < gp.rep_in.size <= COLUMNS
        if gp.rep_out.size * n**3 * (ARD if by_column else 1) > CLASSES:
            return False
    elif n * (max(p.shape[1] for p in places.values()) if numbers else gp.rep_out.size) > ROWS[numbers]:
        return False
    average = haar_average(gp.group)
    return gp.group.is_trivial or (average.is_closed and len(average) * n**2 <= WORK)


def fit_functions(gp: GaussianProcess, x: NDArray, y: NDArray, engine: Any, seed: int) -> Posterior:
    """The posterior with the kernel of the highest evidence, less half of log n for each number (Schwarz 1978): RBF or,
    of numbers, Matern 5/2, and with a lengthscale for all columns or one for each; with a group the
    model's own, by kind of block.

    Args:
        x: (n, d_in); y: (n, columns), both of a size of about 1.
    """

    def fitted(gp: GaussianProcess, init: Any = None) -> tuple[float, GaussianProcess, Posterior]:
        post = fit(gp, x, y, MAP(), engine=engine, seed=seed, init=init, progress=False)
        return float(post.log_evidence or 0.0) - 0.5 * len(post.model.latents) * math.log(len(x)), gp, post

    best = fitted(gp)
    if gp.group.is_trivial:
        if isinstance(gp.likelihood, Gaussian):  # classes do not tell one kernel from the other
            best = max(best, fitted(gp.replace(kernel=Matern52())), key=_score)
        if 1 < x.shape[1] <= COLUMNS:
            _, gp, post = best
            start = {k: float(post.samples[k].flat[0]) for k in post.model.latents}
            shared = {c: start.pop(f"lengthscale.{kind}") for kind, cs in gp.kinds.items() for c in cs[:1]}
            of = {c: shared[cs[0]] for cs in gp.kinds.values() for c in cs}
            ard = gp.replace(ard=True)
            start |= {f"lengthscale.{kind}": of[cs[0]] for kind, cs in ard.kinds.items()}
            best = max(best, fitted(ard, start), key=_score)
    return best[2]


def _score(found: tuple[float, GaussianProcess, Posterior]) -> float:
    return found[0]
