"""Scores of fitted models: log evidence, and PSIS-LOO with its standard error and Pareto k through ArviZ."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayes_rpp._imports import load_module
from bayes_rpp.analysis.outputs import outputs_of
from bayes_rpp.models.likelihoods import Gaussian

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior

MIN_DRAWS = 25  # of which PSIS takes the fifth of largest weight for its tail
PARETO_K = 0.7  # above, the estimate of that example cannot be trusted (Vehtari, Gelman and Gabry 2017)
MAX_LEVERAGE = 0.98  # of an example on its own prediction; noisy draws may give more than 1
FLAT = 1e-6  # of a log-likelihood: by less, draws differ by rounding
NATS = 3.0  # of evidence, odds of 20 to 1: "strong" (Kass and Raftery 1995)
ERRORS = 2.0  # standard errors of a difference


@dataclass(frozen=True)
class Score:
    """How well a model explains the data, and how well it predicts each example from the others.

    Attributes:
        log_evidence: log p(y | x) of the method; NaN where it gives none.
        elpd, se: expected log predictive density by PSIS-LOO, the sum over examples, and its standard error.
        pointwise: (n,) its parts.
        pareto_k: (n,) of each example.
        effective: the effective number of parameters.
        loo: as ArviZ gives it.
        cost: nats for numbers that were tuned where the evidence is exact given them, which weigh on comparisons.
    """

    log_evidence: float
    elpd: float
    se: float
    pointwise: NDArray = field(repr=False)
    pareto_k: NDArray = field(repr=False)
    effective: float
    loo: Any = field(repr=False)
    cost: float = 0.0

    @property
    def rank(self) -> float:
        """What models are ranked by: the log evidence less its cost, or else LOO."""
        return self.log_evidence - self.cost if np.isfinite(self.log_evidence) else self.elpd

    @property
    def bad(self) -> int:
        """Number of examples with Pareto k above 0.7."""
        return int((self.pareto_k > PARETO_K).sum())


@dataclass(frozen=True)
class Difference:
    """One model against another, first minus second.

    Attributes:
        evidence: of log evidences, in nats; NaN where one has none.
        elpd, se: of PSIS-LOO, and its standard error from the differences of each example.
        cost: nats for numbers that were tuned, likewise.
    """

    evidence: float
    elpd: float
    se: float
    cost: float = 0.0

    @property
    def is_worse(self) -> bool:
        """Whether the first is worse: by 3 nats of evidence, beyond what the numbers cost that the second has more;
        without an evidence by 2 standard errors of LOO. Modes of a network differ by more, so that a reason is to be
        found for it (`is_capacity`)."""
        return self.net < -NATS if np.isfinite(self.evidence) else self.loo_is_worse

    @property
    def net(self) -> float:
        """Of log evidences less costs."""
        return self.evidence - self.cost

    @property
    def loo_is_worse(self) -> bool:
        return self.elpd < -ERRORS * self.se

    @property
    def loo_is_better(self) -> bool:
        return self.elpd > ERRORS * self.se

    @property
    def disagree(self) -> bool:
        """Whether evidence and LOO point in different directions, both clearly."""
        return bool((self.net < -NATS and self.loo_is_better) or (self.net > NATS and self.loo_is_worse))

    @property
    def is_close(self) -> bool:
        """Whether LOO cannot tell the two apart: within 2 standard errors."""
        return abs(self.elpd) <= ERRORS * self.se

    def __str__(self) -> str:
        loo = f"LOO {self.elpd:+.1f} ± {self.se:.1f}"
        return f"log evidence {self.evidence:+.1f}, {loo}" if np.isfinite(self.evidence) else loo


def score(post: Posterior) -> Score:
    """The scores of a posterior on its training data.

    PSIS-LOO needs draws of the posterior: some hundreds for a Laplace posterior, more for correlated chains. Draws of
    one chain, such as Laplace's, count as independent. Where Pareto k is above 0.7, a Laplace posterior with Gaussian
    noise gives that example's value in closed form, as ArviZ's `reloo` does by fitting again. An example that all draws
    give the same likelihood, such as one at a fixed point of the group, has that likelihood as its value, and the
    smallest Pareto k.

    Raises:
        ValueError: if there are fewer than 25 draws, or a draw gives an example no probability.
    """
    arviz_stats, from_dict = load_module("arviz_stats"), load_module("arviz_base").from_dict
    f = None if post.center is None else outputs_of(post, post.x)
    logp = post.log_likelihood() if f is None else post.model.likelihood.predictive.log_prob(f, post.y, post.latents)
    logp = np.asarray(logp, dtype=np.float64)
    draws = logp[..., 0].size
    if draws < MIN_DRAWS:
        raise ValueError(
            f"posterior must have at least {MIN_DRAWS} draws, and better some hundreds, for PSIS-LOO, got {draws}; "
            "Laplace(draws=200) would do"
        )
    _check_probabilities(logp)
    shown, still = _varied(logp)
    groups = {"posterior": {"lp": shown.sum(axis=-1)}, "log_likelihood": {"y": shown}}
    tree = from_dict(groups, sample_dims=["chain", "draw"], dims={"y": ["example"]})
    independent = not post.sample_stats or bool(still.all())
    with warnings.catch_warnings():  # of Pareto k: it is in the table and in the verdict's doubts
        warnings.simplefilter("ignore")
        loo = arviz_stats.loo(tree, pointwise=True, reff=1.0 if independent else None)
    pointwise, k = np.asarray(loo.elpd_i, dtype=np.float64), np.asarray(loo.pareto_k, dtype=np.float64)
    if still.any():
        pointwise[still] = np.log(draws) - logsumexp(-logp[..., still], axis=(0, 1))
        k[still] = min(0.0, float(k[~still].min(initial=0.0)))
        _put(loo, pointwise, logp)
        loo.pareto_k.values[:] = k
    evidence = np.nan if post.log_evidence is None else float(post.log_evidence)
    bad = np.flatnonzero(k > PARETO_K)
    if len(bad) and f is not None and isinstance(post.model.likelihood, Gaussian):
        pointwise[bad] = _closed_form(post, f[:, :, bad], bad)
        _put(loo, pointwise, logp)
    return Score(evidence, float(loo.elpd), float(loo.se), pointwise, k, float(loo.p), loo)


def _check_probabilities(logp: NDArray) -> None:
    """Raise ValueError if a draw gives an example no probability, so that PSIS has no weights."""
    bad = ~np.isfinite(logp)
    if bad.any():
        rows = np.flatnonzero(bad.any(axis=(0, 1)))
        share, draws = int(bad[..., rows[0]].sum()), logp[..., 0].size
        raise ValueError(
            f"log p(y | x) is not finite at {len(rows)} of {logp.shape[-1]} examples (first: row {rows[0]}, in {share} "
            f"of {draws} draws), which so have no LOO; a likelihood that allows them, such as one with larger noise, "
            "or draws from chains that have converged, would do"
        )


def _varied(logp: NDArray) -> tuple[NDArray, NDArray]:
    """log p for ArviZ, whose fit of the tail fails where draws give an example the same, with other numbers there; and
    (n,) which those are: no weight stands out, and the plain mean over draws is what PSIS would give."""
    flat = logp.reshape(-1, logp.shape[-1])
    tail = int(np.ceil(min(0.2 * len(flat), 3 * np.sqrt(len(flat)))))  # of the largest weights, as PSIS takes them
    lowest = np.partition(flat, tail, axis=0)[: tail + 1]
    still = np.ptp(lowest, axis=0) <= FLAT * np.maximum(1.0, np.abs(lowest[0]))
    shown = logp.copy()
    shown[..., still] = np.random.default_rng(0).normal(size=(*logp.shape[:2], int(still.sum())))
    return shown, still


def _put(loo: Any, pointwise: NDArray, logp: NDArray) -> None:
    """Other values of examples into ArviZ's result."""
    loo.elpd_i.values[:] = pointwise
    loo.elpd, loo.se = pointwise.sum(), np.sqrt(len(pointwise) * pointwise.var())
    loo.p = (logsumexp(logp, axis=(0, 1)) - np.log(logp[..., 0].size) - pointwise).sum()


def _closed_form(post: Posterior, f: NDArray, examples: NDArray) -> NDArray:
    """`left_out` of some examples, by the outputs (chain, draw, n, d) of all draws there."""
    f = f.reshape(-1, *f.shape[2:])
    return left_out(f, f, post.y[examples], noise_of(post))


def noise_of(post: Posterior) -> float:
    """Of a posterior with Gaussian noise, the same in all draws."""
    likelihood: Any = post.model.likelihood
    return float(post.samples["noise"].flat[0] if "noise" in post.samples else likelihood.noise)


def left_out(g: NDArray, f: NDArray, y: NDArray, s: float) -> NDArray:
    """Leave-one-out log predictive densities by g, (n,), where y was fitted by f, both linear in Gaussian weights.

    With the covariances S of an example's f and C of its g with it, A = S / s^2, and means m, leaving it out moves the
    mean of g by -C (s^2 - S)^-1 (y - m_f), and its covariance by C (s^2 - S)^-1 C^T. With g = f the residual becomes
    (I - A)^-1 (y - m), its covariance s^2 (I - A)^-1 (Rasmussen and Williams 2006, Section 5.4.2).

    Args:
        g, f: (draws, n, d) outputs, whose moments count.
        y: (n, d); s: the noise.
    """
    gaps_f, gaps_g = ((h - h.mean(axis=0)) / s for h in (f, g))
    values, vectors = np.linalg.eigh(np.einsum("snd,sne->nde", gaps_f, gaps_f) / (len(f) - 1))
    values = np.clip(values, 0.0, MAX_LEVERAGE)
    inverse = np.einsum("nij,nj,nkj->nik", vectors, 1.0 / (1.0 - values), vectors)
    if g is f:
        cross = own = np.einsum("nij,nj,nkj->nik", vectors, values, vectors)
    else:
        cross, own = (np.einsum("snd,sne->nde", gaps_g, h) / (len(f) - 1) for h in (gaps_f, gaps_g))
    z = (y - g.mean(axis=0)) / s + np.einsum("nij,njk,nk->ni", cross, inverse, (y - f.mean(axis=0)) / s)
    covariance = np.eye(y.shape[1]) + own + cross @ inverse @ np.swapaxes(cross, 1, 2)
    squares = np.einsum("ni,ni->n", z, np.linalg.solve(covariance, z[..., None])[..., 0])
    return -0.5 * (squares + np.linalg.slogdet(covariance)[1] + y.shape[1] * np.log(2 * np.pi * s**2))


def difference(a: Score, b: Score) -> Difference:
    """Score a minus score b, of models fitted to the same examples."""
    gaps = a.pointwise - b.pointwise
    error = float(np.sqrt(len(gaps) * gaps.var(ddof=1))) if len(gaps) > 1 else np.nan
    return Difference(a.log_evidence - b.log_evidence, float(gaps.sum()), error, a.cost - b.cost)
