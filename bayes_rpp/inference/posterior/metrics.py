"""How well a posterior predicts held-out data: scores of the predictive distribution and its calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._numerics import rms
from bayes_rpp._types import ArrayLike
from bayes_rpp.inference.posterior.draws import Draws
from bayes_rpp.models.data import check_data
from bayes_rpp.models.likelihoods import Bernoulli, Categorical

LEVELS = (0.5, 0.9, 0.95)
LADDER = np.arange(0.05, 1.0, 0.05)
NUMBERS = 2**21  # of observations drawn at a time
BINS = 15  # of confidence, for ECE (Guo et al. 2017)
MIN_DRAWS = 200  # of y at each point, for quantiles; few members are asked several times


def predictive_metrics(post: Draws, x: ArrayLike, y: ArrayLike, *, seed: int = 0) -> dict[str, float]:
    """Scores of the posterior predictive on (x, y), means over examples (and outputs, where not said otherwise).

    Args:
        x: (n, d_in).
        y: as in `fit`.
        seed: of the observations drawn for CRPS and coverage, some 2 million at a time.

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
    likelihood = post.model.likelihood
    classes, rng = isinstance(likelihood, (Bernoulli, Categorical)), np.random.default_rng(seed)
    draws = post.chains * post.draws
    repeats = -(-MIN_DRAWS // draws)
    rows = max(1, NUMBERS // (draws * post.model.rep_out.size * (1 if classes else repeats)))
    losses, means, distances, shares = [], [], [], []
    for start in range(0, len(x), rows):  # quantiles need all draws at a row
        some = slice(start, start + rows)
        f, target = post.outputs(x[some]), y[some].astype(np.float64)
        losses.append(-post.log_predictive(x[some], y[some], f))
        means.append(likelihood.mean(f).mean(axis=(0, 1), dtype=np.float64))
        if not classes:
            samples = np.concatenate([likelihood.sample(rng, f, post.latents) for _ in range(repeats)], axis=0)
            seen = ~np.isnan(target)  # of outputs that not all examples have
            samples, target = samples.reshape((-1, *target.shape))[:, seen], target[seen]
            distances.append(crps(samples, target))
            shares.append(len(target) * _coverages(samples, target, np.array([*LEVELS, *LADDER])))
    found, mean = {"nll": float(np.concatenate(losses).mean())}, np.concatenate(means)
    if classes:
        if not isinstance(likelihood, Categorical):
            return found | class_scores(mean, y, one_of_many=False)
        places = likelihood.by_class(mean)  # each of them by itself
        return found | class_scores(places.reshape(-1, places.shape[-1]), y.reshape(-1, 1), one_of_many=True)
    seen = ~np.isnan(y)
    share = np.sum(shares, axis=0) / seen.sum()
    found["rmse"] = float(rms((mean - y)[seen]))
    found["crps"] = float(np.concatenate(distances).mean())
    found |= {f"coverage_{level * 100:.0f}": float(s) for level, s in zip(LEVELS, share, strict=False)}
    return found | {"calibration_error": float(np.abs(share[len(LEVELS) :] - LADDER).mean())}


def class_scores(p: NDArray, y: NDArray, one_of_many: bool) -> dict[str, float]:
    """Of probabilities: p (n, classes) and y (n, 1) of one of many, or p and y (n, columns) of each by itself."""
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


def coverage(samples: NDArray, y: NDArray, level: float) -> float:
    """Share of the numbers y (...) inside of the central intervals of samples (draws, ...) at a level."""
    return float(_coverages(samples, y, np.array([level]))[0])


def _coverages(samples: NDArray, y: NDArray, levels: NDArray) -> NDArray:
    """At several levels, from one look at the samples."""
    ends = np.quantile(samples, np.concatenate([(1 - levels) / 2, (1 + levels) / 2]), axis=0)
    low, high = ends[: len(levels)], ends[len(levels) :]
    return ((low <= y) & (y <= high)).reshape(len(levels), -1).mean(axis=1)


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
