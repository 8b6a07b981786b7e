"""Small problems for Laplace's method, and what is exact of them."""

import importlib

import numpy as np
from scipy.linalg import block_diag
from scipy.stats import multivariate_normal

from bayes_rpp import (
    EMLP,
    Gaussian,
    Group,
    Model,
    O,
    Prior,
    Vector,
    fit,
)
from bayes_rpp.inference.curvature.linearisation import Coordinates, Linearization
from tests.inference.known import NOISE, LinearProblem, NestedProblem, SmallLinearProblem

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(15, 2)), RNG.normal(size=(15, 2))
MIRROR = Group(2, discrete_generators=[np.diag([1.0, -1.0])], name="mirror")
PROBLEMS = {
    "linear": lambda: LinearProblem(),
    "strict": lambda: LinearProblem(sigma_b=0.0),
    "unstructured": lambda: SmallLinearProblem(sigma_a=0.0),
    "nested": lambda: NestedProblem(),
    "strict nested": lambda: NestedProblem(sigma_b=0.0),
}


def half_normal(scale):
    return Prior("HalfNormal", {"scale": scale})


def run(problem, method, engine="pyro", **options):
    return fit(problem.model, problem.x, problem.y, method, engine=engine, progress=False, **options)


def exact_evidence(problem, noise=NOISE):
    _, features, prior = problem._gain
    covariance = features @ prior @ features.T + noise**2 * np.eye(len(features))
    return multivariate_normal(np.zeros(len(features)), covariance).logpdf(problem.y.T.reshape(-1))


def linearized(model, engine, seed=0, x=X):
    names = list(model.net.parameters)
    coordinates = Coordinates(model, names)
    rng = np.random.default_rng(seed)
    weights = {k: p.color(rng.normal(size=p.shape)) for k, p in model.priors.items()}
    jacobian = importlib.import_module(f"bayes_rpp.inference.curvature.{engine}").jacobian(model.net, names)
    return Linearization(model, x, np.resize(Y, x.shape), weights, coordinates, jacobian)


def dense_prior(model):
    return block_diag(*(model.priors[k].covariance() for k in model.net.parameters))


def nonlinear(**options):
    net = EMLP(Vector, Vector, O(2), channels=6, layers=1, subgroups=[MIRROR])
    return Model(net, **{"sigma_a": [1.0, 0.4], "sigma_b": 0.2, "likelihood": Gaussian(0.5), **options})
