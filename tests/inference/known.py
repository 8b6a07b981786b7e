"""A Bayesian linear model whose posterior is known in closed form."""

import numpy as np

from bayes_rpp import EMLP, Gaussian, Model, O, Scalar, Vector

NOISE = 0.3


class LinearProblem:
    """y = W x + b + noise, W and b with residual pathway priors.

    Attributes:
        mode: {parameter: W at the mode of the posterior, which is also its mean}.
    """

    def __init__(self, sigma_b=0.2, parametrisation=None, n=40, noise=NOISE):
        rng = np.random.default_rng(0)
        self.net = EMLP(Scalar + Vector, Vector + Scalar, O(3), layers=0)
        self.model = Model(
            self.net, sigma_a=1.0, sigma_b=sigma_b, likelihood=Gaussian(noise), parametrisation=parametrisation
        )
        self.x = rng.normal(size=(n, 4))
        truth = Model(self.net, sigma_a=1.0, sigma_b=0.2).priors["output.weight"].color(rng.normal(size=(4, 4)))
        self.y = self.x @ truth.T + 0.1 + NOISE * rng.normal(size=(n, 4))

    @property
    def mode(self):
        features = np.concatenate([np.kron(np.eye(4), self.x), np.kron(np.eye(4), np.ones((len(self.x), 1)))], axis=1)
        covariance = np.zeros((20, 20))
        covariance[:16, :16] = self.model.priors["output.weight"].covariance()
        covariance[16:, 16:] = self.model.priors["output.bias"].covariance()
        # C (C + s^2 (F^T F)^-1)^-1 ... in the form that a singular C (sigma_b = 0) allows.
        gain = covariance @ features.T
        theta = gain @ np.linalg.solve(features @ gain + NOISE**2 * np.eye(len(features)), self.y.T.reshape(-1))
        return {"output.weight": theta[:16].reshape(4, 4), "output.bias": theta[16:]}
