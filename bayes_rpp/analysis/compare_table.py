"""The table of a comparison: scores, differences to the best, and how far each model breaks the symmetry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayes_rpp.analysis.candidates import Candidate
from bayes_rpp.analysis.outputs import errors_of
from bayes_rpp.analysis.scores import Score, difference
from bayes_rpp.inference.posterior.stacking import stacking_weights
from bayes_rpp.models.process.gaussian_process import GaussianProcess

if TYPE_CHECKING:
    from pandas import DataFrame

    from bayes_rpp.inference.posterior.posterior import Posterior

POINTS = 200  # at which the equivariance error is measured
Key = tuple[str, str]


def comparison_table(
    candidates: Mapping[str, Candidate],
    posteriors: Mapping[Key, Posterior],
    scores: Mapping[Key, Score],
    seconds: Mapping[Key, float],
) -> DataFrame:
    """A row for each (candidate, model); see `Comparison.table`."""
    from pandas import DataFrame, MultiIndex

    found = stacking_weights(np.stack([s.pointwise for s in scores.values()], axis=1))
    weights = dict(zip(scores, map(float, found), strict=True))
    most = max(scores.values(), key=lambda s: s.elpd)
    evidences = [s.log_evidence for s in scores.values()]
    highest = np.nanmax(evidences) if np.isfinite(evidences).any() else np.nan
    rows = []
    for key, post in posteriors.items():
        s, latents = scores[key], post.samples
        gap = difference(s, most)
        candidate = candidates[key[0]]
        model = post.model
        nothing = isinstance(model, GaussianProcess) and not any((*model.sigmas_a, model.sigma_b))
        asymmetry = {} if nothing else post.asymmetry(len(model.sigmas_a) - 1)
        ratios = [float(np.median(r)) for r in asymmetry.values()]
        rows.append(
            {
                "log_evidence": s.log_evidence,
                "d_evidence": s.log_evidence - highest,
                "elpd": s.elpd,
                "se": s.se,
                "d_elpd": gap.elpd,
                "d_se": gap.se,
                "p": s.effective,
                "pareto_k": float(s.pareto_k.max()),
                "bad_k": s.bad,
                "weight": weights[key],
                "noise": float(np.median(latents["noise"])) if "noise" in latents else np.nan,
                "sigma_ratio": max(ratios, default=0.0),
                "error": np.nan if candidate.is_mixed else _error(post, candidate),
                "seconds": seconds[key],
            }
        )
    index = MultiIndex.from_tuples(list(posteriors), names=["candidate", "model"])
    order = "log_evidence" if np.isfinite(highest) else "elpd"
    return DataFrame(rows, index=index).sort_values(order, ascending=False)


def _error(post: Posterior, candidate: Candidate) -> float:
    return float(np.median(errors_of(post, post.x[:POINTS], candidate.group).mean(axis=-1)))
