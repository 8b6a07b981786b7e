"""The evidence of a GaussianProcess whose likelihood is not Gaussian, by Laplace's approximation around the mode of f.

Rasmussen and Williams 2006, Section 3.4 and Algorithms 3.1, 3.3 and 5.1, with a matrix of curvatures for each example.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.likelihoods import Bernoulli, Categorical, Poisson
from bayes_rpp.models.normal import Normal
from bayes_rpp.models.process.conditional import Conditional
from bayes_rpp.models.process.covariance import Array, Covariance, Latents
from bayes_rpp.models.process.evidence import GaussianEvidence
from bayes_rpp.models.process.inducing import InducedEvidence
from bayes_rpp.models.process.inducing_points import inducing_count, inducing_points
from bayes_rpp.models.process.prior import FunctionPrior
from bayes_rpp.models.process.reduction import PriorCovariance, Reduction, prior_of
from bayes_rpp.models.process.slopes import ChainRule
from bayes_rpp.priors.kernels.averaged import Blocks

STEPS, ENOUGH = 100, 1e-12  # of Newton, and the gain at which they end
STEP = 1e-4  # of differences
CONCAVE = (Bernoulli, Categorical, Poisson)  # likelihoods with which there is one mode


def evidence_of(
    gp: FunctionPrior, x: NDArray, y: NDArray, level: int = 0, points: NDArray | None = None
) -> GaussianEvidence | LaplaceEvidence:
    """The exact evidence, its bound by inducing points, or Laplace's approximation, as the likelihood and the size ask
    for.

    Args:
        points: rows of x that are inducing points. None: where these are needed, as typical numbers tell.
    """
    if not isinstance(gp.likelihood, Normal):
        return LaplaceEvidence(gp, x, y, level)
    if points is None:
        if gp.forces is not None or (count := inducing_count(gp, len(x))) is None:
            return GaussianEvidence(gp, x, y, level)
        points = inducing_points(Covariance(gp, x, level), {k: p.start for k, p in gp.latents.items()}, count)
    return InducedEvidence(gp, x, y, level, points)


class LaplaceEvidence:
    """log p(y | x, numbers), approximately; as `GaussianEvidence`.

    Attributes:
        follows: whether the mode of f is looked for from the one before: quicker, and to rounding the same where there
            is one mode. Draws of chains are to depend on nothing before.
    """

    points: NDArray | None = None
    follows = False
    _before: Mode | None = None

    def __init__(self, gp: FunctionPrior, x: NDArray, y: NDArray, level: int = 0) -> None:
        self.gp, self.covariance, self._y = gp, Covariance(gp, x, level), y
        self._likelihood: Any = gp.likelihood

    def __call__(self, latents: Latents) -> tuple[float, dict[str, float]]:
        """The log evidence, and its derivative by the logarithm of each site."""
        prepared = self.covariance.own(latents)
        mode = self._mode(prior_of(self.covariance, prepared.total), self._numbers(latents), self._before)
        if self.follows and isinstance(self._likelihood, CONCAVE):
            self._before = mode
        slopes = ChainRule(self.covariance, latents, prepared).whole(self._weights(mode, latents))
        for name in self._likelihood.latents:
            slopes[name] = self._slope(mode, latents, name)
        return mode.evidence, slopes

    def conditional(self, latents: Latents) -> Conditional:
        """The posterior of f."""
        prepared = self.covariance.own(latents)
        mode = self._mode(prior_of(self.covariance, prepared.total), self._numbers(latents))
        weights, half = {None: mode.gradient.reshape(-1, 1)}, {None: mode.reduction.half}
        return Conditional(self.covariance, latents, prepared, True, weights, half)

    def left_out(self, latents: Latents) -> Array:
        """log p(y_i | all others) of each example, (n,): from the mode's cavity, a Gaussian whose expectation is by 64
        draws for each example."""
        prepared = self.covariance.own(latents)
        mode = self._mode(prior_of(self.covariance, prepared.total), self._numbers(latents))
        n, d = mode.f.shape
        own = mode.reduction.own()
        gain = np.linalg.solve(np.eye(d) - own @ mode.curvature, own)  # the cavity's covariance
        mean = mode.f - np.einsum("nab,nb->na", gain, mode.gradient)
        values, vectors = np.linalg.eigh(0.5 * (gain + gain.swapaxes(1, 2)))
        root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None]
        noise = np.random.default_rng(0).normal(size=(64, n, d))
        f = mean + np.einsum("nab,snb->sna", root, np.concatenate([noise, -noise]))
        logp = self._likelihood.log_prob(f + self.gp.offset, self._y, self._numbers(latents))
        return np.asarray(np.logaddexp.reduce(logp, axis=0) - np.log(len(f)))

    def _numbers(self, latents: Latents) -> dict[str, Any]:
        return {name: np.asarray(latents[name]) for name in self._likelihood.latents}

    def _mode(self, prior: PriorCovariance, numbers: dict[str, Any], near: Mode | None = None) -> Mode:
        """By Newton's steps, halved until the density grows; from one nearby, where it is known."""
        zero = np.zeros((len(self._y), self.gp.rep_out.size))
        starts = [(zero, zero)] if near is None else [(zero, zero), (near.gradient, prior.times(near.gradient))]
        densities = [self._log_prob(f, numbers) - 0.5 * float(np.vdot(a, f)) for a, f in starts]
        before, (a, f) = max(densities), starts[int(np.argmax(densities))]
        for _ in range(STEPS):
            at = f + self.gp.offset
            gradient, _ = self._likelihood.expansion(at, self._y, numbers)
            curvature = self._likelihood.steepness(at, self._y, numbers)
            b = np.einsum("nab,nb->na", curvature, f) + gradient
            step, size = b - prior.reduction(at, curvature)(prior.times(b)) - a, 1.0
            while True:
                tried = a + size * step
                g = prior.times(tried)
                with np.errstate(all="ignore"):  # a step may lead where rates overflow
                    now = self._log_prob(g, numbers) - 0.5 * float(np.vdot(tried, g))
                if now >= before or size < 1e-6:
                    break
                size /= 2
            a, f, gained, before = tried, g, now - before, now
            if gained < ENOUGH * max(1.0, abs(now)):
                break
        gradient, curvature = self._likelihood.expansion(f + self.gp.offset, self._y, numbers)
        reduction = prior.reduction(f + self.gp.offset, curvature)
        return Mode(prior, f, gradient, curvature, reduction, before - reduction.half_log_det)

    def _log_prob(self, f: Array, numbers: dict[str, Any]) -> float:
        return float(self._likelihood.log_prob(f + self.gp.offset, self._y, numbers).sum())

    def _weights(self, mode: Mode, latents: Latents) -> Blocks:
        """Derivatives of the evidence by the covariance of each part: explicit, and through the mode."""
        own, through = mode.reduction.own(), np.empty_like(mode.f)
        for j in range(mode.f.shape[1]):  # -1/2 d log|B| / df_j, from the derivative of the curvature
            ahead, behind = (
                self._likelihood.expansion(
                    mode.f + self.gp.offset + s * STEP * np.eye(mode.f.shape[1])[j], self._y, self._numbers(latents)
                )[1]
                for s in (1, -1)
            )
            through[:, j] = -0.5 * np.einsum("nab,nab->n", own, (ahead - behind) / (2 * STEP))
        return mode.reduction.by_part(mode.gradient, through - mode.reduction(mode.prior.times(through)))

    def _slope(self, mode: Mode, latents: Latents, name: str) -> float:
        """By the logarithm of one of the likelihood's numbers, by differences."""
        ends = []
        for sign in (1, -1):
            changed = {**latents, name: float(latents[name]) * float(np.exp(sign * STEP))}
            ends.append(self._mode(mode.prior, self._numbers(changed), mode).evidence)
        return (ends[0] - ends[1]) / (2 * STEP)


@dataclass(frozen=True)
class Mode:
    """The mode of f, and what follows.

    Attributes:
        f: (n, d); gradient: of the log-likelihood there; curvature: (n, d, d).
    """

    prior: PriorCovariance
    f: Array
    gradient: Array
    curvature: Array
    reduction: Reduction
    evidence: float
