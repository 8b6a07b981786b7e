"""Stacking: weights of chains or members by how well their mixture predicts data that they were not fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from bayes_rpp._given import real_array
from bayes_rpp._types import ArrayLike, Float

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior

SHOWN = 10  # weights in words
LEAST = 1000  # draws of a stacked posterior: the weights are multiples of one in so many


def stacking_weights(log_scores: ArrayLike) -> Float[NDArray, " groups"]:
    """Weights of groups of draws, such as chains, ensemble members or models, whose mixture predicts best: w >= 0 that
    sum to one, with the highest sum_i log sum_k w_k exp(log_scores[i, k]) (Yao et al. 2018, "Using stacking to average
    Bayesian predictive distributions"). The sum is concave, so there is one optimum.

    Args:
        log_scores: (n, groups) log predictive density of each example under each group; of examples that the groups
            were not fitted to, or leave-one-out.

    Raises:
        TypeError, ValueError: if they are no (n, groups) numbers, or an example is impossible under all groups.
    """
    scores = real_array(log_scores, "log_scores").astype(np.float64)
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"log_scores must have shape (n, groups), got {scores.shape}")
    best = scores.max(axis=1, keepdims=True)
    if not np.isfinite(best).all():
        raise ValueError("log_scores must be finite for some group in each row, got NaN, or rows that are infinite")
    density = np.exp(scores - best)
    groups = density.shape[1]

    def loss(w: NDArray) -> tuple[float, NDArray]:
        mixed = np.maximum(density @ w, np.finfo(float).tiny)
        return -float(np.log(mixed).mean()), -(density / mixed[:, None]).mean(axis=0)

    found = minimize(
        loss,
        np.full(groups, 1 / groups),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * groups,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(groups)},
        options={"ftol": 1e-10, "maxiter": 1000},
    )
    w = np.clip(found.x, 0.0, None)
    return w / w.sum()


def stack(post: Posterior, x: ArrayLike, y: ArrayLike) -> Posterior:
    """See `Posterior.stack`."""
    chained = post.chains > 1
    if post.stored and not chained:
        raise ValueError(
            "the posterior must have several chains to weigh, got one of a GaussianProcess, whose draws are of equal "
            "weight; mixture, or NUTS(chains=4), would do"
        )
    scores = post.log_likelihood(x, y)  # (chain, draw, n)
    each = logsumexp(scores, axis=1) - np.log(post.draws) if chained else scores[0]
    if len(each) < 2:
        raise ValueError("the posterior must have several chains or members to weigh, got one of each; more would do")
    if post.center is not None:
        raise ValueError(
            "the posterior must have draws of the network itself, got linearized ones, each chain's around its own "
            "mode; Laplace(predictions='network') would do"
        )
    weights = stacking_weights(each.T)
    total = max(LEAST, post.chains * post.draws)
    # Systematic resampling: each group has its share of the draws up to one, and they are spread evenly over it.
    ends = np.round(np.cumsum(weights) * total).astype(int)
    counts = np.diff(ends, prepend=0)
    if chained:
        rows = [(c, d) for c, k in enumerate(counts) for d in np.arange(k) * post.draws // max(k, 1)]
    else:
        rows = [(0, d) for d, k in enumerate(counts) for _ in range(k)]
    chain, draw = np.array(rows).T
    shown = [f"{w:.3g}" if w > 0.5 / total else "0" for w in weights]
    shares = " ".join(shown) if len(shown) <= SHOWN else f"of {len(shown)}, {sum(w != '0' for w in shown)} above 0"
    return post.replace(
        samples={k: v[chain, draw][None] for k, v in post.samples.items()},
        sample_stats={},
        training={},
        method=f"{post.method}, stacked with weights {shares}",
    )
