"""The numbers of a GaussianProcess that are left out: broad distributions around the scale of the data."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.likelihoods import StudentT
from bayes_rpp.models.normal import EnergyForces, Gaussian, Normal
from bayes_rpp.models.process.prior import FunctionPrior
from bayes_rpp.priors.hyper import Prior

Prior_ = TypeVar("Prior_", bound=FunctionPrior)

LOGITS = 2.0  # the scale of log-odds and log rates
WIDTH = 1.0  # of the logarithm of a lengthscale
NOISE = 0.1  # of the scale of y
MEAN = 3.0  # likewise


def with_defaults(gp: Prior_, x: NDArray, y: NDArray) -> Prior_:
    """The same with a distribution or a number for all that was left out."""
    given = gp.config()
    changes: dict[str, Any] = {}
    continuous = isinstance(gp.likelihood, (Normal, StudentT))
    if given["offset"] is None and gp.mean is not None and continuous:
        changes["offset"] = (gp.constants @ np.mean(y, axis=0, dtype=np.float64)).tolist()
    if not gp.open:
        return gp.replace(**changes) if changes else gp
    size = scale_of(y if gp.forces is None else y[:, gp.forces.places]) if continuous else LOGITS
    of_energy = scale_of(y[:, :1]) if gp.forces is not None and gp.forces.energy else size
    broad = Prior("HalfCauchy", {"scale": size})
    sigmas = given["sigma_a"] if isinstance(given["sigma_a"], (list, tuple)) else [given["sigma_a"]] * len(gp.groups)
    changes["sigma_a"] = [broad if s is None else s for s in sigmas]
    if "sigma_b" in gp.open:
        changes["sigma_b"] = broad
    changes["lengthscale"] = lengthscales(gp, x) | {
        k: v for k, v in gp.by_kind(given["lengthscale"]).items() if v is not None
    }
    noise = Prior("HalfCauchy", {"scale": NOISE * size})
    if "noise" in gp.open:
        changes["likelihood"] = Gaussian(noise)
    if "noise.energy" in gp.open:
        changes["likelihood"] = EnergyForces(Prior("HalfCauchy", {"scale": NOISE * of_energy}), noise)
    if "mean_size" in gp.open:
        changes["mean_size"] = MEAN * of_energy
    return gp.replace(**changes)


def scale_of(y: NDArray) -> float:
    """The standard deviation of y around the means of its columns; of columns that do not vary, their size."""
    y = np.asarray(y, dtype=np.float64)
    spread = float(np.sqrt(np.mean(np.var(y, axis=0))))
    size = float(np.sqrt(np.mean(y**2)))
    return spread if spread > 1e-9 * size else size or 1.0


def lengthscales(gp: FunctionPrior, x: NDArray) -> dict[str, Prior]:
    """By kind, around the distance of two of the training inputs, as many kinds add up; of columns that do not vary,
    around their size."""
    found, x = {}, gp.seen(x)
    for name, columns in gp.kinds.items():
        spread = float(np.sqrt(2 * np.var(x[:, columns], axis=0, dtype=np.float64).sum()))
        size = float(np.sqrt(np.mean(np.square(x[:, columns], dtype=np.float64)))) or 1.0
        typical = (spread if spread > 1e-9 * size else size) * math.sqrt(len(gp.kinds))
        found[name] = Prior("LogNormal", {"loc": math.log(typical), "scale": WIDTH})
    return found
