"""Posteriors around several modes of one model as one: mixtures of Laplace approximations (Eschenhagen et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.models.outputs import centers

MODES = 30.0  # nats: by less than this the evidence of a network may differ between two of its modes
PROBES = 5  # examples by which models are compared
SAME = 0.01  # nats that the evidence of one mode may differ by when it is reached again


def mixture(posteriors: Sequence[Posterior], *, within: float = MODES) -> Posterior:
    """Posteriors of one model, such as Laplace's from several starts or seeds, as chains of equal weight of one.

    Networks have many modes. The evidence of a mode that was not well found is low, and predicts worse; those of about
    the same evidence predict better together than any of them alone.

    Args:
        posteriors: of models with the same parameters and numbers to infer, and of the same data.
        within: nats of log evidence below the highest, down to which modes are kept. Of those whose evidence is the
            same to 0.01 nats, one is. All are kept where methods give no evidence.

    Returns:
        Posterior whose first chain is around the mode of the highest evidence, which is its `log_evidence`. Where there
        are several, their records (`training`, `sample_stats`) are left out.

    Raises:
        TypeError, ValueError: if these are no posteriors, none, of different models or data, or only some have an
            evidence.
    """
    kept = best_modes(posteriors, within)
    first = kept[0]
    if len(kept) == 1:
        return first
    samples = {k: np.concatenate([p.samples[k] for p in kept]) for k in first.samples}
    center = None
    if first.center is not None:
        each = [centers(p.model, p.center, p.chains) for p in kept if p.center is not None]
        center = {k: np.concatenate([c[k] for c in each]) for k in first.center}
    made: dict[str, Any] = {"method": first.method, "engine": first.engine, "seed": first.seed}
    return Posterior(first.model, samples, x=first.x, y=first.y, log_evidence=first.log_evidence, center=center, **made)


def best_modes(posteriors: Sequence[Posterior], within: float = MODES) -> list[Posterior]:
    """Those that `mixture` keeps, the highest evidence first."""
    if not isinstance(posteriors, Sequence) or not all(isinstance(p, Posterior) for p in posteriors):
        raise TypeError(f"posteriors must be a list of Posterior, got {posteriors!r}")
    if not posteriors:
        raise ValueError("posteriors must have at least one, got none")
    if not within >= 0:
        raise ValueError(f"within must be a number >= 0, got {within!r}; {MODES:g} would do")
    for p in posteriors[1:]:
        _check_alike(posteriors[0], p)
    evidences = [p.log_evidence for p in posteriors]
    if all(value is None for value in evidences):
        return list(posteriors)
    found: list[tuple[float, Posterior]] = []
    for value, p in zip(evidences, posteriors, strict=True):
        if value is None or not math.isfinite(value):
            raise ValueError(
                f"posteriors must have finite evidences, got a log_evidence of {value}; fits of one method that ended "
                "would do"
            )
        if all(abs(value - other) >= SAME for other, _ in found):
            found.append((value, p))
    found.sort(key=lambda one: -one[0])
    return [p for value, p in found if value >= found[0][0] - within]


def _check_alike(first: Posterior, p: Posterior) -> None:
    """Raise ValueError unless chains of the two can stand in one posterior."""
    if {k: v.shape[1:] for k, v in p.samples.items()} != {k: v.shape[1:] for k, v in first.samples.items()}:
        raise ValueError("posteriors must be of one model and number of draws, got others; fits of one model would do")
    if not (np.array_equal(p.x, first.x) and np.array_equal(p.y, first.y)):
        raise ValueError(
            "posteriors must be of the same data, as evidences of others do not compare, got different ones; fits of "
            "the same would do"
        )
    weights = {k: first.samples[k][0, 0] for k in first.model.net.parameters}
    numbers = {k: first.samples[k][0, 0] for k in first.latents}
    here, there = (
        post.model.likelihood.log_prob(post.model.net(weights, first.x[:PROBES]), first.y[:PROBES], numbers)
        for post in (first, p)
    )
    if not np.allclose(here, there, rtol=1e-4, atol=1e-4, equal_nan=True):
        raise ValueError("posteriors must be of one network and likelihood, got others; fits of one model would do")
    if (p.center is None) != (first.center is None):
        raise ValueError("posteriors must have predictions of one kind, got linearized ones beside others")
