"""How well a posterior predicts held-out data: scores of the predictive distribution and its calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayes_rpp._numerics import rms
from bayes_rpp.inference.task import check_data
from bayes_rpp.likelihoods import Bernoulli, Categorical

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior import Posterior

LEVELS = (0.5, 0.9, 0.95)
BINS = 15  # of confidence, for ECE (Guo et al. 2017)
MIN_DRAWS = 200  # of y at each point, for quantiles; few members are asked several times


def predictive_metrics(post: Posterior, x: Any, y: Any, *, seed: int = 0) -> dict[str, float]:
    """Scores of the posterior predictive on (x, y), means over examples (and outputs, where not said otherwise).

    Args:
        x: (n, d_in).
        y: as in `fit`.
        seed: of the observations drawn for CRPS and coverage.

    Returns:
        nll: -log of the predictive density of an example, all outputs together; the mean over draws is inside the
            logarithm.
        For classes (Bernoulli, Categorical): accuracy; brier, the squared error of the probabilities (Brier 1950:
            summed over classes, so 0 to 2; for Bernoulli of the one probability); ece, the expected calibration error
            of the confidence in 15 bins.
        Else: rmse of the mean; crps, the continuous ranked probability score in the units of y; coverage_50, _90 and
            _95, the share of y inside of central predictive intervals; calibration_error, the mean distance of the
            coverage from its level over 5 %, 10 %, ..., 95 %.

    Raises:
        TypeError, ValueError: if x or y do not fit the model.
    """
    x, y = check_data(post.model, x, y)
    likelihood, latents = post.model.likelihood, post.latents
    f = post.outputs(x)
    logp = likelihood.log_prob(f, y, latents)
    draws = logp.shape[0] * logp.shape[1]
    found = {"nll": float(-(logsumexp(logp, axis=(0, 1)) - np.log(draws)).mean())}
    mean = likelihood.mean(f).mean(axis=(0, 1), dtype=np.float64)
    if isinstance(likelihood, (Bernoulli, Categorical)):
        return found | _class_scores(mean, y, isinstance(likelihood, Categorical))
    rng = np.random.default_rng(seed)
    repeats = -(-MIN_DRAWS // draws)
    samples = np.concatenate([likelihood.sample(rng, f, latents) for _ in range(repeats)], axis=0)
    return found | _interval_scores(mean, samples.reshape((-1, *y.shape)), y)


def _class_scores(p: NDArray, y: NDArray, one_of_many: bool) -> dict[str, float]:
    if one_of_many:
        truth = np.eye(p.shape[-1])[y[:, 0].astype(np.int64)]
        brier = ((p - truth) ** 2).sum(axis=-1).mean()
        confidence, right = p.max(axis=-1), p.argmax(axis=-1) == y[:, 0]
    else:
        brier = ((p - y) ** 2).mean()
        confidence, right = np.maximum(p, 1 - p).ravel(), ((p > 0.5) == (y > 0.5)).ravel()
    return {
        "accuracy": float(right.mean()),
        "brier": float(brier),
        "ece": expected_calibration_error(confidence, right),
    }


def expected_calibration_error(confidence: NDArray, right: NDArray, bins: int = BINS) -> float:
    """Mean distance between confidence and accuracy in bins of equal width (Guo et al. 2017, Eq. 5).

    Args:
        confidence: (n,) probability of the predicted class.
        right: (n,) whether it was right.
    """
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def _interval_scores(mean: NDArray, samples: NDArray, y: NDArray) -> dict[str, float]:
    y = y.astype(np.float64)
    found = {"rmse": float(rms(mean - y)), "crps": float(crps(samples, y).mean())}
    for level in LEVELS:
        found[f"coverage_{level * 100:.0f}"] = coverage(samples, y, level)
    levels = np.arange(0.05, 1.0, 0.05)
    found["calibration_error"] = float(np.mean([abs(coverage(samples, y, level) - level) for level in levels]))
    return found


def coverage(samples: NDArray, y: NDArray, level: float) -> float:
    """Share of the numbers y (...) inside of the central intervals of samples (draws, ...) at a level."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return float(((low <= y) & (y <= high)).mean())


def crps(samples: NDArray, y: NDArray) -> NDArray:
    """Continuous ranked probability score E|Y - y| - E|Y - Y'| / 2 of each number (Gneiting and Raftery 2007, Eq. 21).

    Args:
        samples: (draws, ...) of the predictive distribution; the spread is estimated without bias over pairs of draws.
        y: (...) what came.

    Returns:
        (...), in the units of y; lower is better.
    """
    n = len(samples)
    ordered = np.sort(samples, axis=0)
    weights = (2 * np.arange(1, n + 1) - n - 1).reshape((n,) + (1,) * y.ndim)
    spread = (weights * ordered).sum(axis=0) / max(n * (n - 1), 1)
    return np.abs(samples - y).mean(axis=0) - spread
