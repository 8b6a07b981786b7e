"""Models whose posteriors are known: in closed form, by quadrature, or from a long run of another program."""

import numpy as np
from scipy.special import expit

from bayes_rpp import EMLP, SO, Bernoulli, Gaussian, Group, Model, O, Prior, Scalar, Vector, testing
from bayes_rpp.networks import Network
from bayes_rpp.networks.network import Parameter
from bayes_rpp.subspaces import FullSubspace

NOISE = 0.3


class LinearProblem(testing.LinearProblem):
    """20 numbers, O(3)."""

    def __init__(self, sigma_b=0.2, parametrization=None, n=40, noise=NOISE):
        super().__init__(Scalar + Vector, Vector + Scalar, O(3), sigma_b, parametrization, n, noise)


class SmallLinearProblem(testing.LinearProblem):
    """6 numbers, SO(2): quick also where a gradient takes a millisecond."""

    def __init__(self, sigma_b=0.2, parametrization=None, n=12, noise=NOISE, sigma_a=1.0):
        super().__init__(Vector, Vector, SO(2), sigma_b, parametrization, n, noise, sigma_a)


class NestedProblem(testing.LinearProblem):
    """6 numbers, O(2) > reflections in the first axis > none."""

    def __init__(self, sigma_b=0.2, parametrization=None, n=12, noise=NOISE):
        mirror = Group(2, discrete_generators=[np.diag([1.0, -1.0])], name="mirror")
        sigmas = [1.0, 0.4]
        super().__init__(Vector, Vector, O(2), sigma_b, parametrization, n, noise, sigmas, [mirror])


class Slope(Network):
    """f(x) = w x: one number."""

    def __init__(self):
        super().__init__(1, 1, None)
        self.parameters["w"] = Parameter(FullSubspace((1, 1)))

    def __call__(self, params, x):
        return x * params["w"][..., 0]

    def config(self):
        return {}


class Funnel:
    """Neal's funnel in two numbers, cut a little by data: log sigma ~ N(0, 1), w ~ N(0, sigma^2), y = w x + noise.

    Attributes:
        expected: name -> posterior mean, by quadrature over log sigma, with w integrated out by hand.
    """

    def __init__(self):
        self.model = Model(
            Slope(),
            sigma_a=Prior("LogNormal", {"loc": 0.0, "scale": 1.0}),
            sigma_b=0.0,
            likelihood=Gaussian(2.0),
            scale=None,
        )
        self.x, self.y = np.array([[1.0], [1.0], [-1.0]]), np.array([[1.5], [0.2], [-0.6]])
        s = np.linspace(-7, 7, 20001)
        v = np.exp(2 * s)
        precision = (self.x**2).sum() / 4.0
        projected = (self.x * self.y).sum() / 4.0
        variance = 1 / (precision + 1 / v)
        mean = variance * projected
        log_evidence = 0.5 * np.log(variance / v) + 0.5 * mean * projected
        p = np.exp(log_evidence - 0.5 * s**2)
        p /= p.sum()
        self.expected = {
            "log sigma": p @ s,
            "log sigma squared": p @ s**2,
            "w": p @ mean,
            "w squared": p @ (variance + mean**2),
        }

    def quantities(self, post):
        s, w = np.log(post.samples["sigma_a"]), post.samples["w"][:, :, 0, 0]
        return {"log sigma": s, "log sigma squared": s**2, "w": w, "w squared": w**2}


class Logistic:
    """Log-odds W x + b with residual pathway priors; no closed form."""

    def __init__(self, n=60):
        rng = np.random.default_rng(2)
        self.net = EMLP(Vector, Scalar + Scalar, SO(2), layers=0)
        self.model = Model(self.net, sigma_a=1.0, sigma_b=1.5, likelihood=Bernoulli(), scale=None)
        self.x = rng.normal(size=(n, 2))
        truth = np.array([[1.0, -2.0], [0.5, 0.2]])
        self.y = (rng.random((n, 2)) < expit(self.x @ truth.T + 0.3)).astype(float)
