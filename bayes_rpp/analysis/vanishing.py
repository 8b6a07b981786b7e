"""Candidates under which the outputs must vanish: no equivariant map from the inputs to the outputs but zero."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bayes_rpp.inference.fit import fit
from bayes_rpp.inference.laplace.laplace import RANGE
from bayes_rpp.inference.methods import Laplace, Method
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.mean import NO_BETTER
from bayes_rpp.models.model import Model
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.networks.polynomials import polynomials, strict_weights

DRAWS = 200
POINTS = 50
ZERO = 1e-6  # beside standardised y


def fit_candidate(model: Model | GaussianProcess, x: NDArray, y: NDArray, method: Method, **options: Any) -> Posterior:
    """`fit`, and where the prior fixes every weight at zero the posterior of that: f = 0, with the likelihood's numbers
    at their most probable values, as Laplace's evidence tunes them. A candidate that predicts no better than the
    mean is news for the verdict, not for the user to mend."""
    if model.sites or isinstance(model, GaussianProcess):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", re.escape(NO_BETTER), ConvergenceWarning)
            return fit(model, x, y, method, **options)
    likelihood, zeros = model.likelihood, np.zeros((len(x), model.net.rep_out.size))
    numbers = dict.fromkeys(likelihood.latents, 1.0)
    if numbers:
        start = np.log([p.start for p in likelihood.latents.values()])

        def negative(logs: NDArray) -> float:
            return -float(likelihood.log_prob(zeros, y, dict(zip(numbers, np.exp(logs), strict=True))).sum())

        best = minimize(negative, start, method="Nelder-Mead", bounds=[(s - RANGE, s + RANGE) for s in start])
        numbers = dict(zip(numbers, map(math.exp, best.x), strict=True))
    shape = (1, DRAWS)
    samples = {k: np.zeros((*shape, *p.shape), dtype=np.float32) for k, p in model.net.parameters.items()}
    samples |= {k: np.full(shape, v) for k, v in numbers.items()}
    evidence = float(likelihood.log_prob(zeros, y, numbers).sum()) if isinstance(method, Laplace) else None
    return Posterior(model, samples, x=x, y=y, log_evidence=evidence, method=repr(method))


def must_vanish(post: Posterior) -> bool:
    """Whether a symmetry makes all outputs at the data zero: those of its strict network whatever the weights, and of
    the equivariant polynomials of degree two, or three where there are none. False if some are too large to be sure."""
    if isinstance(post.model, GaussianProcess):
        return not any((*post.model.sigmas_a, post.model.sigma_b))  # as `FunctionCandidate` has found it
    net, rng, x = post.model.net, np.random.default_rng(0), post.x[:POINTS].astype(np.float64)
    if np.abs(net(strict_weights(net, rng), x)).max() > ZERO:
        return False
    made = polynomials(net.rep_in, net.rep_out, x, 2, rng)
    return all(values is not None and np.abs(values).max() <= ZERO for _, values in made)
