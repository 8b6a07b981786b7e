"""The contract of likelihoods: one density, in numpy and on each engine, with its derivatives, moments and draws."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from bayes_rpp.engines.base import ENGINES, get_engine
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.testing.arrays import same

DRAWS = 40_000
STEP = 1e-5  # of finite differences


def check_likelihood(likelihood: Likelihood, outputs: int = 3, seed: int = 0) -> None:
    """Check that a likelihood does what methods, predictions and metrics ask of it.

    `sample` gives y that `check` takes; `log_prob` is the density of `distribution` on each engine that is installed;
    `expansion` has its gradient, and a curvature that is positive and, in expectation, the gradients' covariance;
    `mean` and `variance` are those of the samples, for y in columns like the outputs.

    Args:
        likelihood: with fixed or inferred numbers.
        outputs: of the network.
        seed: of the outputs and observations that are tried.

    Raises:
        AssertionError: naming what does not hold.
    """
    assert isinstance(likelihood, Likelihood), f"likelihood must be a Likelihood, got a {type(likelihood).__name__}"
    rng = np.random.default_rng(seed)
    numbers = {k: p.start * rng.uniform(0.5, 2.0) for k, p in likelihood.latents.items()}
    f, columns = rng.normal(size=(6, outputs)), likelihood.columns(outputs)
    y = likelihood.sample(rng, f, numbers)
    assert y.shape == (6, columns), f"sample must have shape {(6, columns)}, got {y.shape}"
    likelihood.check(y, outputs, "y")
    logp = likelihood.log_prob(f, y, numbers)
    assert logp.shape == (6,), f"log_prob must have shape (6,), got {logp.shape}"
    draws = np.stack([f, 0.5 * f])[:, None]  # (chain, draw, n, d)
    stacked = {k: np.full((2, 1), v) for k, v in numbers.items()}
    same(likelihood.log_prob(draws, y, stacked)[0, 0], logp, "log_prob of several draws", 1e-10)
    _check_engines(likelihood, f, y, numbers, logp)
    _check_expansion(likelihood, f, y, numbers)
    _check_moments(likelihood, f[:2], numbers, rng)
    again = type(likelihood)(**{k: getattr(likelihood, k) for k in likelihood.config()})
    assert again == likelihood, "a likelihood must be what its fields say: config() names them"


def _check_engines(likelihood: Likelihood, f: np.ndarray, y: np.ndarray, numbers: dict, logp: np.ndarray) -> None:
    for name in filter(find_spec, ENGINES):
        engine = get_engine(name)
        latents = {k: engine.array(np.array([v])) for k, v in numbers.items()}
        found = likelihood.distribution(engine, engine.array(f), latents)
        assert tuple(found.batch_shape) == (6,), f"distribution must have batch shape (6,) in {name}"
        observed = likelihood.observed(engine, engine.array(y))
        same(found.log_prob(observed), logp, f"log_prob of distribution in {name}", 1e-4)


def _check_expansion(likelihood: Likelihood, f: np.ndarray, y: np.ndarray, numbers: dict) -> None:
    slope, bend = likelihood.expansion(f, y, numbers)
    n, d = f.shape
    assert slope.shape == (n, d), f"expansion's gradient must have shape {(n, d)}, got {slope.shape}"
    assert bend.shape == (n, d, d), f"expansion's curvature must have shape {(n, d, d)}, got {bend.shape}"
    for i, step in enumerate(STEP * np.eye(d)):
        ends = [likelihood.log_prob(f + s * step, y, numbers) for s in (1, -1)]
        same(slope[:, i], (ends[0] - ends[1]) / (2 * STEP), f"expansion's gradient in output {i}", 1e-5)
    lowest = np.linalg.eigvalsh(bend).min()
    assert lowest > -1e-8 * max(1.0, np.abs(bend).max()), f"curvature must be positive, got an eigenvalue {lowest:.2g}"


def _check_moments(likelihood: Likelihood, f: np.ndarray, numbers: dict, rng: np.random.Generator) -> None:
    many = np.broadcast_to(f, (DRAWS, *f.shape))
    y = likelihood.sample(rng, many, numbers)
    flat, seen = np.ascontiguousarray(many).reshape(-1, f.shape[1]), y.reshape(-1, y.shape[-1])
    slope, bend = (a.reshape(DRAWS, *f.shape[:1], *a.shape[1:]) for a in likelihood.expansion(flat, seen, numbers))
    outer = slope[..., :, None] * slope[..., None, :]
    error = (outer - bend).std(axis=0) / np.sqrt(DRAWS)
    gap = np.abs((outer - bend).mean(axis=0))
    assert (gap < 6 * error + 1e-6).all(), "curvature must be the gradients' covariance in expectation (Fisher)"
    if y.shape[-1] != f.shape[-1]:
        return
    spread = np.sqrt(np.broadcast_to(likelihood.variance(f, numbers), f.shape))
    if np.isfinite(spread).all():
        gap = np.abs(y.mean(axis=0) - likelihood.mean(f))
        assert (gap < 6 * y.std(axis=0) / np.sqrt(DRAWS) + 1e-9).all(), "mean must be that of sample"
        same(y.std(axis=0) / spread, np.ones(f.shape), "variance, beside that of sample", 0.1)
