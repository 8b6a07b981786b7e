"""Posteriors around several modes of one model as one: mixtures of Laplace approximations (Eschenhagen et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayes_rpp.inference.outputs import centre_of
from bayes_rpp.inference.posterior import Posterior

MODES = 30.0  # nats: by less than this the evidence of a network may differ between two of its modes
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
        Posterior whose first chain is around the mode of the highest evidence, which is its `log_evidence`. The records
        of trainings are left out where there are several.

    Raises:
        TypeError, ValueError: if these are no posteriors, none, of different models, or only some have an evidence.
    """
    first, *others = best_modes(posteriors, within)
    if not others:
        return first
    kept = [first, *others]
    samples = {k: np.concatenate([p.samples[k] for p in kept]) for k in first.samples}
    centre = None
    if first.centre is not None:
        chains = [[centre_of(p.model, p.centre, c) for c in range(p.chains)] for p in kept]
        flat = [c for some in chains for c in some if c is not None]
        centre = {k: np.stack([c[k] for c in flat]) for k in first.centre}
    made: dict[str, Any] = {"method": first.method, "engine": first.engine, "seed": first.seed}
    return Posterior(first.model, samples, x=first.x, y=first.y, log_evidence=first.log_evidence, centre=centre, **made)


def best_modes(posteriors: Sequence[Posterior], within: float = MODES) -> list[Posterior]:
    """Those that `mixture` keeps, the highest evidence first."""
    if isinstance(posteriors, Posterior) or not all(isinstance(p, Posterior) for p in posteriors):
        raise TypeError(f"posteriors is {posteriors!r}; a list of Posterior would do")
    if not posteriors:
        raise ValueError("posteriors is empty; at least one would do")
    first = posteriors[0]
    for p in posteriors[1:]:
        if {k: v.shape[1:] for k, v in p.samples.items()} != {k: v.shape[1:] for k, v in first.samples.items()}:
            raise ValueError("posteriors are of different models or numbers of draws; fits of one model would do")
        if (p.centre is None) != (first.centre is None):
            raise ValueError("posteriors has linearised predictions beside others; one kind would do")
    if all(p.log_evidence is None for p in posteriors):
        return list(posteriors)
    found: list[tuple[float, Posterior]] = []
    for p in posteriors:
        if p.log_evidence is None:
            raise ValueError("posteriors has some without a log_evidence; fits of one method would do")
        if all(abs(p.log_evidence - value) >= SAME for value, _ in found):
            found.append((p.log_evidence, p))
    found.sort(key=lambda one: -one[0])
    return [p for value, p in found if value >= found[0][0] - within]
