"""A model whose posterior is known in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._deprecation import renamed_arguments
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.models.likelihoods import Gaussian
from bayes_rpp.models.model import Model
from bayes_rpp.networks.emlp import EMLP
from bayes_rpp.symmetry.groups import SO, Group
from bayes_rpp.symmetry.representations import Rep, Vector

NOISE = 0.3  # of y


@renamed_arguments(parametrisation="parametrization")
class LinearProblem:
    """y = W x + b + noise, W and b with residual pathway priors: the posterior is Gaussian (Bishop 2006, Section 3.3).

    Args:
        rep_in, rep_out, group: as of EMLP; six weights by default.
        sigma_a, sigma_b, parametrization: as of Model.
        n: number of examples.
        noise: the model's, a number or a distribution; that of the data, and of the closed form, is 0.3.
        subgroups: as of EMLP.

    Attributes:
        model, x, y: to be given to `fit`; x is (n, columns), y (n, rows).
        net: the model's, one linear layer of W (rows, columns) and b (rows,).
        mean, covariance: of the posterior over theta = (vec W, b).
        mode: {parameter: W at the mode, which is also the mean}.
    """

    def __init__(
        self,
        rep_in: Rep = Vector,
        rep_out: Rep = Vector,
        group: Group | Sequence[Group] | None = None,
        sigma_b: Any = 0.2,
        parametrization: Any = None,
        n: int = 12,
        noise: Any = NOISE,
        sigma_a: Any = 1.0,
        subgroups: Sequence[Group] = (),
    ) -> None:
        rng, group = np.random.default_rng(0), SO(2) if group is None else group
        self.net = EMLP(rep_in, rep_out, group, layers=0, subgroups=subgroups)
        self.model = Model(
            self.net, sigma_a=sigma_a, sigma_b=sigma_b, likelihood=Gaussian(noise), parametrization=parametrization
        )
        self.rows, self.columns = self.net.rep_out.size, self.net.rep_in.size
        self.x = rng.normal(size=(n, self.columns))
        prior = Model(EMLP(rep_in, rep_out, self.net.group, layers=0), sigma_a=1.0, sigma_b=0.2).priors["output.weight"]
        truth = prior.color(rng.normal(size=(self.rows, self.columns)))
        self.y = self.x @ truth.T + 0.1 + NOISE * rng.normal(size=(n, self.rows))

    @property
    def _gain(self) -> tuple[NDArray, NDArray, NDArray]:
        eye, size = np.eye(self.rows), self.rows * self.columns
        features = np.concatenate([np.kron(eye, self.x), np.kron(eye, np.ones((len(self.x), 1)))], axis=1)
        prior = np.zeros((size + self.rows,) * 2)
        prior[:size, :size] = self.model.priors["output.weight"].covariance()
        prior[size:, size:] = self.model.priors["output.bias"].covariance()
        # C F^T (F C F^T + s^2 I)^-1: the form that a singular C (sigma_b = 0) allows.
        cross = prior @ features.T
        return np.linalg.solve(features @ cross + NOISE**2 * np.eye(len(features)), cross.T).T, features, prior

    @property
    def mean(self) -> NDArray:
        """Of theta, (rows * columns + rows,)."""
        return self._gain[0] @ self.y.T.reshape(-1)

    @property
    def covariance(self) -> NDArray:
        """Of theta, (k, k)."""
        gain, features, prior = self._gain
        return prior - gain @ features @ prior

    @property
    def mode(self) -> dict[str, NDArray]:
        """The mean as weights by parameter name, in their shapes."""
        size, mean = self.rows * self.columns, self.mean
        return {"output.weight": mean[:size].reshape(self.rows, self.columns), "output.bias": mean[size:]}

    def theta(self, post: Posterior) -> NDArray:
        """(chain, draw, number) of a posterior's draws."""
        lead = post.samples["output.weight"].shape[:2]
        parts = [post.samples[k].reshape((*lead, -1)) for k in ("output.weight", "output.bias")]
        return np.concatenate(parts, axis=-1).astype(np.float64)
