"""Posteriors around several modes of one model as one: mixtures of Laplace approximations (Eschenhagen et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayes_rpp.inference.outputs import centre_of
from bayes_rpp.inference.posterior import Posterior


def mixture(posteriors: Sequence[Posterior]) -> Posterior:
    """Posteriors of one model and method, such as Laplace's around several modes, as the chains of one: with equal
    weights. Its log evidence is that of the first; the records of the trainings are left out."""
    first, *others = posteriors
    if not others:
        return first
    samples = {k: np.concatenate([p.samples[k] for p in posteriors]) for k in first.samples}
    centre = None
    if first.centre is not None:
        chains = [[centre_of(p.model, p.centre, c) for c in range(p.chains)] for p in posteriors]
        flat = [c for some in chains for c in some if c is not None]
        centre = {k: np.stack([c[k] for c in flat]) for k in first.centre}
    made: dict[str, Any] = {"method": first.method, "engine": first.engine, "seed": first.seed}
    return Posterior(first.model, samples, x=first.x, y=first.y, log_evidence=first.log_evidence, centre=centre, **made)
