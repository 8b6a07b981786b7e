"""The contract of methods: a posterior of the model, on each engine, the same for the same seed."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Literal

import numpy as np

from bayes_rpp._imports import load_module
from bayes_rpp._types import EngineName
from bayes_rpp.engines.base import ENGINES
from bayes_rpp.inference.fit import fit
from bayes_rpp.inference.methods.base import Method
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.testing.arrays import pickled, same
from bayes_rpp.testing.problems import LinearProblem

FINDS = ("mode", "gaussian", "posterior", "nothing")
Z = 4.5  # standard errors of a mean of draws
CLOSE = 0.1  # posterior standard deviations, of a mode


def check_method(
    method: Method,
    finds: Literal["mode", "gaussian", "posterior", "nothing"] = "posterior",
    *,
    engines: Iterable[EngineName] | None = None,
    seed: int = 0,
) -> None:
    """Check that a method does what `fit` asks of it, on a linear model whose posterior is known.

    Samples by parameter name, (chain, draw, *shape), finite; the same for the same seed; a frozen dataclass
    that can be copied and pickled.

    Args:
        method: with numbers that suit six weights, twelve examples and noise of 0.3.
        finds: what its draws are checked against: "posterior", the exact mean and variances, within the Monte Carlo
            error of the draws; "gaussian", the same within a tenth of a standard deviation, of approximations that end
            near it; "mode", the most probable weights, within a tenth; "nothing" but the contract.
        engines: "pyro" and "numpyro". None: those that are installed.
        seed: of the fits.

    Raises:
        AssertionError: naming what does not hold.
        ValueError: if finds or engines are none of these.
    """
    if finds not in FINDS:
        raise ValueError(f"finds must be one of {', '.join(map(repr, FINDS))}, got {finds!r}")
    tried = [*filter(find_spec, ENGINES)] if engines is None else [*engines]
    if not tried:
        raise ValueError("engines must name an engine that is installed, got none; ['pyro'] would do")
    assert isinstance(method, Method), f"method must be a Method, got a {type(method).__name__}"
    for how, again in (("copy", copy.copy(method)), ("cloudpickle", pickled(method))):
        assert again == method, f"method must equal itself after {how}"
    assert method.count >= 1, f"count must be at least 1, got {method.count}"
    problem = LinearProblem()
    for engine in tried:
        first, second = (_fit(problem, method, engine, seed) for _ in range(2))
        for name, p in problem.net.parameters.items():
            a = first.samples[name]
            assert a.shape == (*a.shape[:2], *p.shape), f"samples[{name!r}] must be (chain, draw, *{p.shape})"
            assert a.dtype in (np.float32, np.float64), f"samples[{name!r}] must be floats, got {a.dtype}"
            assert np.isfinite(a).all(), f"samples[{name!r}] must be finite"
            same(second.samples[name], a, f"{name} of a second fit with the same seed in {engine}", 1e-6)
        assert first.engine == engine, f"the posterior must name its engine, {engine}, got {first.engine}"
        _check_found(problem, first, finds, engine)


def _fit(problem: LinearProblem, method: Method, engine: EngineName, seed: int) -> Posterior:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of short chains
        return fit(problem.model, problem.x, problem.y, method, engine=engine, seed=seed, progress=False)


def _check_found(problem: LinearProblem, post: Posterior, finds: str, engine: EngineName) -> None:
    theta, mean, deviation = problem.theta(post), problem.mean, np.sqrt(np.diag(problem.covariance))
    z = (theta - mean) / deviation
    if finds == "mode":
        assert np.abs(z).max() < CLOSE, (
            f"weights must be the mode, got {np.abs(z).max():.2g} deviations off in {engine}"
        )
    if finds == "gaussian":
        gap, ratio = np.abs(z.mean(axis=(0, 1))).max(), z.std(axis=(0, 1))
        assert gap < CLOSE, f"means must be exact within {CLOSE} deviations, got {gap:.2g} in {engine}"
        assert np.abs(ratio - 1).max() < CLOSE, f"deviations must be exact within {CLOSE}, got {ratio} in {engine}"
    if finds == "posterior":
        ess = load_module("arviz_stats.base").array_stats.ess
        for i in range(z.shape[-1]):
            for what, values, want in (("mean", z[..., i], 0.0), ("variance", z[..., i] ** 2, 1.0)):
                error = values.std() / np.sqrt(ess(values, method="mean"))
                off = abs(values.mean() - want) / error
                assert off < Z, f"the {what} of number {i} must be exact, got {off:.1f} standard errors off in {engine}"
