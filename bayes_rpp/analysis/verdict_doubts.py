"""What speaks against believing a verdict, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rpp.analysis.candidates import Candidate
from bayes_rpp.analysis.function_verdict import is_all_of
from bayes_rpp.analysis.scores import NATS, PARETO_K, Difference, Score, difference
from bayes_rpp.analysis.symmetric_part import is_capacity
from bayes_rpp.analysis.vanishing import must_vanish
from bayes_rpp.models.process.gaussian_process import GaussianProcess

if TYPE_CHECKING:
    from pandas import DataFrame

    from bayes_rpp.inference.posterior.posterior import Posterior

Key = tuple[str, str]
RHAT = 1.01
SETTLED = 1.25  # residuals in units of the noise; at the mode they are smaller than 1


def incapable(
    kept: tuple[str, ...],
    practical: tuple[str, ...],
    worse: Mapping[str, list[Key]],
    rivals: Mapping[str, dict[Key, Difference]],
    parts: Mapping[tuple[str, Key], Difference],
    candidates: Mapping[str, Candidate],
    posteriors: Mapping[Key, Posterior],
) -> Iterator[str]:
    """Strict models that are worse than others though their symmetry holds, or that lack simple functions at all."""
    functions = are_functions(posteriors)
    help_ = "more data would tell" if functions else "wider channels, more layers or more starts would do"
    for name, keys in worse.items():
        lacks = candidates[name].lacks
        if name in kept and keys and name not in practical:
            key = min(keys, key=lambda k: worth(rivals[name][k]))
            larger = next((other for other in kept if name in candidates[other].contains), None)
            if larger and not ((name, key) in parts and is_capacity(parts[name, key])):
                yield (
                    f"the strict model of {name} is worse than {named(key)} ({rivals[name][key]}), though {larger}, "
                    f"which contains it, holds: its fit ended in a poor mode, or it is too small: {lacks or help_}"
                )
                continue
            yield (
                f"the strict model of {name} cannot carry this function as well as {named(key)} ({rivals[name][key]}), "
                f"of which the part that has the symmetry predicts as well as the whole ({parts[name, key]}): "
                + (lacks or help_)
            )
        elif lacks:
            yield f"the strict model of {name} cannot carry all functions with its symmetry: {lacks}"


def doubts_of(
    best: str | None,
    kept: tuple[str, ...],
    candidates: Mapping[str, Candidate],
    posteriors: Mapping[Key, Posterior],
    scores: Mapping[Key, Score],
    rivals: Mapping[str, dict[Key, Difference]],
    table: DataFrame,
) -> Iterator[str]:
    """All but those of `incapable`, on the answer and on those that were rejected."""
    if best is not None:
        if must_vanish(posteriors[best, "strict"]):
            yield (
                f"{best} holds trivially: it makes the outputs vanish at these x, whatever the function, and y is zero "
                "up to noise; data in which y is not zero would tell more"
            )
        yield from _close(best, candidates, posteriors, scores)
        if candidates[best].same:
            same = ", ".join(candidates[best].same)
            models = "models" if are_functions(posteriors) else "networks"
            yield f"{best} and {same} allow the same linear maps here: these data and {models} cannot tell them apart"
    for name, found in rivals.items():
        for key, d in found.items():
            if d.disagree:
                yield f"evidence and LOO disagree on {name}, strict, against {named(key)}: {d}"
        worse = {key: d for key, d in found.items() if not d.disagree and d.net < -NATS}
        if name not in kept and worse and not any(other.loo_is_worse for other in found.values()):
            key, d = min(worse.items(), key=lambda item: worth(item[1]))
            yield f"{name} was rejected by the evidence alone; LOO sees no clear difference from {named(key)}: {d}"
    bad = {key: s for key, s in scores.items() if s.bad}
    if bad:
        key = max(bad, key=lambda k: bad[k].bad / len(bad[k].pareto_k))
        yield (
            f"Pareto k is above {PARETO_K} for {len(bad)} of {len(scores)} models, at worst for {bad[key].bad} of "
            f"{len(bad[key].pareto_k)} examples ({named(key)}): their LOO is too optimistic, its errors too small"
        )
    yield from _chains(posteriors)
    loose = [key for key, post in posteriors.items() if not is_settled(post)]
    if loose:
        yield (
            f"{', '.join(map(named, loose))}: the fit is not at its mode, and its scores cannot be trusted; more "
            "epochs or polish of Laplace help"
        )
    if not np.isfinite(table["log_evidence"]).any():
        yield "the method gives no evidence; LOO alone decided, which prefers larger models more than evidence does"
    noise = table["noise"].min()
    if np.isfinite(noise) and noise > 0.7:
        models, more = (
            ("functions", "More") if are_functions(posteriors) else ("networks", "Wider ones (channels=) or more")
        )
        yield (
            f"even the best fit leaves noise of {noise:.2f} of the size of y: the {models} explain little, and what "
            f"they cannot fit they cannot judge. {more} data may help"
        )


def _close(
    best: str, candidates: Mapping[str, Candidate], posteriors: Mapping[Key, Posterior], scores: Mapping[Key, Score]
) -> Iterator[str]:
    """Answers that the data hardly tell from the one given."""
    top = scores[best, "strict"]
    for name, c in candidates.items():
        if name == best or name in candidates[best].same:
            continue
        if c.is_mixed and is_all_of(c, candidates[best].group, posteriors[name, "strict"]):
            continue
        d = difference(top, scores[name, "strict"])
        if d.is_close and not (abs(d.evidence) > 10):
            more = "larger" if best in c.contains else "smaller" if name in candidates[best].contains else "other"
            kind = "sum" if c.is_mixed else "symmetry"
            yield f"{name}, a {more} {kind}, is within 2 standard errors: {best} against {name}, strict, {d}"


def _chains(posteriors: Mapping[Key, Posterior]) -> Iterator[str]:
    for key, post in posteriors.items():
        if post.sample_stats and post.chains > 1:
            worst = post.summary().table["r_hat"].max()
            if worst > RHAT:
                yield f"R-hat of {named(key)} is up to {worst:.2f}: its chains have not converged"


def is_settled(post: Posterior) -> bool:
    """Whether a Laplace posterior with tuned Gaussian noise has reached its mode: the residuals are no larger than the
    noise says. Elsewhere its evidence is extrapolated, and too high."""
    if post.center is None or "noise" not in post.samples:
        return True
    residual = np.sqrt(((post.model.net(post.center, post.x) - post.y) ** 2).mean())
    return bool(residual < SETTLED * post.samples["noise"].flat[0])


def are_functions(posteriors: Mapping[Key, Posterior]) -> bool:
    """Whether the models are Gaussian processes."""
    return any(isinstance(post.model, GaussianProcess) for post in posteriors.values())


def named(key: Key) -> str:
    """The candidate and its model, in words."""
    return f"{key[0]}, {key[1]}"


def worth(d: Difference) -> Any:
    """By how much a strict model is better: in evidence, or in leave-one-out predictions where there is none."""
    return d.net if np.isfinite(d.evidence) else d.elpd
