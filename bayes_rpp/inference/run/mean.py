"""Whether a fit has found anything: a warning where it predicts its own training data no better than their mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayes_rpp._warnings import warn_user
from bayes_rpp.inference.methods.optimisers import LONG
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.models.likelihoods import Gaussian, StudentT

ROWS = 50  # looked at
SHARE = 0.95  # of the variance of y
NO_BETTER = "the fit predicts the training data no better than their mean"


def warn_if_mean(post: Posterior, method: Any) -> None:
    """Of networks with Gaussian or Student's noise, after a fit that was meant to end at a mode: not after fewer than
    100 epochs or steps of warm-up, and not with patience, where the validation data speak."""
    short = any(0 < (getattr(method, name, None) or LONG) < LONG for name in ("epochs", "warmup"))
    if short or getattr(method, "patience", None) is not None:
        return
    if not isinstance(post.model.likelihood, (Gaussian, StudentT)) or len(post.x) < 2:
        return
    rows = np.linspace(0, len(post.x) - 1, min(ROWS, len(post.x))).astype(int)
    y = post.y[rows].astype(np.float64)
    seen = ~np.isnan(y)  # outputs that not all examples have
    mean = np.where(seen, y, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    left = float(((y - post.predict(post.x[rows], samples=False).mean)[seen] ** 2).sum())
    whole = float(((y - mean)[seen] ** 2).sum())
    if left > SHARE * whole > 0:
        warn_user(
            f"{NO_BETTER}: its residuals have {np.sqrt(left / whole):.2f} of the standard deviation of y. A smaller "
            "noise to start from, sigma_a near 1, more epochs or another seed would do, unless y is noise alone",
            ConvergenceWarning,
        )
