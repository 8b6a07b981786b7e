"""Whether a fit has found anything: a warning where it predicts its own training data no better than their mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayes_rpp._warnings import warn_user
from bayes_rpp.inference.methods.optimisers import LONG
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.models.likelihoods import StudentT
from bayes_rpp.models.normal import Normal

ROWS = 50  # looked at
SYSTEMS = 20  # epochs, in place of LONG, where an example is a system with outputs of each particle
SHARE = 0.95  # of the variance of y
NO_BETTER = "the fit predicts the training data no better than their mean"


def warn_if_mean(post: Posterior, method: Any) -> None:
    """Of networks with normal or Student's noise, after a fit that was meant to end at a mode: not after fewer than
    100 epochs or steps of warm-up (20 for systems of particles), and not with patience, where the validation data
    speak. Energies and forces are each looked at."""
    least = SYSTEMS if post.model.net.capabilities.partial else LONG
    short = any(0 < (getattr(method, name, None) or least) < least for name in ("epochs", "warmup"))
    if short or getattr(method, "patience", None) is not None:
        return
    likelihood = post.model.likelihood
    if not isinstance(likelihood, (Normal, StudentT)) or len(post.x) < 2:
        return
    rows = np.linspace(0, len(post.x) - 1, min(ROWS, len(post.x))).astype(int)
    y = post.y[rows].astype(np.float64)
    seen = ~np.isnan(y)  # outputs that not all examples have
    mean = np.where(seen, y, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    error = np.where(seen, y - post.predict(post.x[rows], samples=False).mean, 0.0) ** 2
    spread = np.where(seen, y - mean, 0.0) ** 2
    for name, columns in _parts(likelihood).items():
        left, whole = float(error[:, columns].sum()), float(spread[:, columns].sum())
        if left > SHARE * whole > 0:
            what, more = f"the {name} of y" if name else "y", _more_steps(method, len(post.x))
            warn_user(
                f"{NO_BETTER}: its residuals have {np.sqrt(left / whole):.2f} of the standard deviation of {what}. A "
                f"smaller noise to start from, sigma_a near 1, {more} or another seed would do, unless y is noise "
                "alone",
                ConvergenceWarning,
            )
            return


def _parts(likelihood: Any) -> dict[str, slice]:
    """Name of what y consists of, such as energy and forces -> its columns."""
    parts = getattr(likelihood, "columns_of", {})
    return parts if len(parts) > 1 else {"": slice(None)}


def _more_steps(method: Any, examples: int) -> str:
    """How to get more steps of training."""
    batch = getattr(method, "batch_size", None) or examples
    return "more epochs" if batch < examples else f"more epochs, a batch_size below {examples} (now a step an epoch)"
