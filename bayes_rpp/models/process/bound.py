"""A GaussianProcess with its data, as a model function of the engines: numbers to infer, the evidence a factor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import array_namespace
from bayes_rpp._types import EngineName
from bayes_rpp.engines.base import get_engine
from bayes_rpp.models.data import check_data
from bayes_rpp.models.process.defaults import with_defaults
from bayes_rpp.models.process.laplace import evidence_of
from bayes_rpp.models.process.prior import FunctionPrior
from bayes_rpp.priors.hyper import Prior

LEAST = -1e25  # nats, far above the least float32


@dataclass(frozen=True, eq=False)
class BoundProcess:
    """What samplers take in place of a Model: it has numbers to infer, and no weights.

    Attributes:
        gp: with a distribution or a number for all that it has.
        x, y: the data, float64.
        level: of the averages over groups.
        points: (m,) rows of x that are inducing points, where the evidence is not exact.
    """

    gp: FunctionPrior
    x: NDArray
    y: NDArray
    level: int = 0
    points: NDArray | None = None
    evidence: Any = field(init=False)

    traceable = False
    infers_sigmas = True
    parametrization = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", evidence_of(self.gp, self.x, self.y, self.level, self.points))

    @staticmethod
    def of(gp: FunctionPrior, x: Any, y: Any) -> BoundProcess:
        x, y = check_data(gp, x, y)
        return BoundProcess(with_defaults(gp, x, y), x, y)

    @property
    def latents(self) -> dict[str, Prior]:
        return self.gp.latents

    @property
    def likelihood(self) -> Any:
        return self.gp.likelihood

    @property
    def priors(self) -> dict[str, Any]:
        return {}

    @property
    def sites(self) -> dict[str, Any]:
        return {}

    @property
    def key(self) -> tuple[Any, ...]:
        """Of programs: the data are part of them."""
        points = b"" if self.points is None else self.points.tobytes()
        digest = hashlib.sha256(self.x.tobytes() + self.y.tobytes() + points).hexdigest()
        return ("process", repr(self.gp), self.level, digest)

    def pyro(self, *data: Any, **options: Any) -> Any:
        return self._run("pyro")

    def numpyro(self, *data: Any, **options: Any) -> Any:
        return self._run("numpyro")

    def density(self, z: NDArray) -> tuple[float, NDArray]:
        """log p(y | x, numbers) and its gradient, by the logarithms z (k,) of the numbers."""
        return density(self.evidence, self.latents, z)

    def _run(self, name: EngineName) -> Any:
        engine = get_engine(name)
        numbers = [engine.sample(k, p.distribution(engine)) for k, p in self.latents.items()]
        z = engine.stack(numbers)
        value = engine.external(self.density, array_namespace(z).log(z))
        engine.factor("y", value)
        return value


def density(evidence: Any, names: Iterable[str], z: NDArray) -> tuple[float, NDArray]:
    """An evidence and its gradient by the logarithms z (k,) of the numbers of these names; minus infinity where the
    covariance is singular to rounding or overflows, and near to what engines can hold."""
    with np.errstate(all="ignore"):
        latents = dict(zip(names, np.exp(z).tolist(), strict=True))
        try:
            value, slopes = evidence(latents)
        except (np.linalg.LinAlgError, OverflowError):
            value, slopes = -np.inf, {}
    slope = np.array([slopes.get(k, np.nan) for k in latents])
    if not value > LEAST or not np.isfinite(slope).all():
        return -np.inf, np.zeros(len(z))
    return value, slope
