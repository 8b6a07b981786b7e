"""How far each symmetry is broken, as a size: the equivariance error (Eq. 2) of the model that bends, in percent; and
below which size a breaking stays unseen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rpp.analysis.candidates import Candidate
from bayes_rpp.analysis.equivariance import equal_tailed
from bayes_rpp.analysis.function_verdict import beyond, share
from bayes_rpp.analysis.scores import Score
from bayes_rpp.models.likelihoods import Gaussian, StudentT
from bayes_rpp.models.process.gaussian_process import GaussianProcess

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior

PRACTICAL = 0.01  # of Eq. 2: what is kept to less is a symmetry for all that one does with it
POINTS = 200
Posteriors = Mapping[tuple[str, str], "Posterior"]


@dataclass(frozen=True)
class ErrorInterval:
    """The equivariance error of a candidate's soft model, and its 90 % interval: the mean over x of each draw. The
    examples are a sample of x, so that each draw weighs them anew (Bayesian bootstrap, Rubin 1981)."""

    low: float
    middle: float
    high: float

    def with_error(self, own: float) -> ErrorInterval:
        """That of the function behind the data, from which the draws are off by `own` (`fit_error`): what they are off
        breaks the symmetry too, or hides a breaking, as a number of no known direction, so in quadrature."""
        return ErrorInterval(
            float(np.sqrt(max(self.low**2 - own**2, 0.0))), self.middle, float(min(np.hypot(self.high, own), 1.0))
        )

    @property
    def is_practical(self) -> bool:
        """Whether the symmetry is kept to 1 %, to the upper end of the interval."""
        return self.high < PRACTICAL

    def __str__(self) -> str:
        error = f"equivariance error {self.middle:.2g}, 90 %: {self.low:.2g} to {self.high:.2g}"
        return f"{percent(self.middle)} ({error})"


def percent(error: float) -> str:
    """Of an error from 0 to 1, with two digits."""
    if not np.isfinite(error):
        return "any size"
    return f"{float(f'{100 * error:.2g}'):g} %"


def soft_error(candidate: Candidate, posteriors: Posteriors) -> ErrorInterval | None:
    """Of the soft model; None where nothing bends, or several groups have a part each."""
    post = posteriors.get((candidate.name, "soft"))
    if post is None or candidate.is_mixed:
        return None
    errors = post.equivariance_error(post.x[:POINTS])
    weights = np.random.default_rng(0).dirichlet(np.ones(errors.shape[-1]), size=errors.shape[:-1])
    return ErrorInterval(*map(float, equal_tailed((weights * errors).sum(axis=-1), 0.9)))


def own_error(post: Posterior, score: Score) -> float:
    """The size below which a breaking stays unseen: a model's leave-one-out error s in units of Eq. 2,
    s / (sqrt(2) |y|).

    No function with the symmetry comes nearer to f than its equivariant part P f, where gx is as likely as x. So an
    error of s says that |f - P f| <= s, and with a = f(gx) and b = g f(x), of which the parts P f cancel, |a - b| is at
    most sqrt(2) s, beside |a| + |b| = 2 |y| (root mean squares). s is the standard deviation of a normal number whose
    log density is on average that of an output that was left out; noise of the data is in it. Infinite where the
    likelihood is of no such numbers.
    """
    size = float(np.sqrt(np.mean(np.square(post.y))))
    if not isinstance(post.model.likelihood, (Gaussian, StudentT)) or size == 0:
        return np.inf
    return float(np.exp(-score.elpd / post.y.size - 0.5) / np.sqrt(2 * np.pi) / (np.sqrt(2) * size))


def fit_error(post: Posterior, score: Score) -> float:
    """What remains of `own_error` without the noise of the likelihood: how far the fit is from the function behind the
    data, in units of Eq. 2; zero where the likelihood is of no such numbers."""
    own = own_error(post, score)
    if not np.isfinite(own):
        return 0.0
    likelihood: Any = post.model.likelihood
    zeros = np.zeros((post.chains, post.draws, 1, post.y.shape[1]))
    noise = np.mean(likelihood.variance(zeros, post.latents), dtype=np.float64)
    return float(np.sqrt(max(own**2 - noise / (2 * np.mean(np.square(post.y))), 0.0)))


def how_broken(candidate: Candidate, posteriors: Posteriors, error: ErrorInterval | None) -> str:
    """The size of what breaks it, in a sentence."""
    post = posteriors.get((candidate.name, "soft"))
    if post is None:
        return ""
    if candidate.is_mixed:
        return f"How broken: what lies beyond the sum is {share(beyond(post))} of the function, by mean squares."
    ratios = {layer: float(np.median(r)) for layer, r in post.asymmetry().items()}
    said = f"How broken: its soft model breaks it by {error}"
    if not ratios:  # no layer has maps both within the symmetry and outside
        return f"{said}."
    layer = max(ratios, key=lambda k: ratios[k])
    if isinstance(post.model, GaussianProcess):
        return f"{said}, and what lies beyond the symmetry is {share(beyond(post))} of the function, by mean squares."
    return f"{said}, and sigma_b / sigma_a is largest in {layer}, {ratios[layer]:.2g}."


def least_broken(broken: Iterable[tuple[str, ErrorInterval | None]]) -> Iterator[str]:
    """Which of those that do not hold comes nearest to it; those whose intervals meet are alike."""
    order = sorted(((error, name) for name, error in broken if error is not None), key=lambda one: one[0].middle)
    if len(order) < 2:
        return
    (first, _), *rest = order
    even = [name for error, name in order if error.low <= first.high]
    further = [f"{name} ({percent(error.middle)})" for error, name in rest if name not in even]
    verb = "are broken least, and about alike" if len(even) > 1 else "is broken least"
    yield f"{' and '.join(even)} {verb}, {percent(first.middle)}{'; then ' if further else ''}{', '.join(further)}."
