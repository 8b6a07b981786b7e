"""The contract of methods, and what fits say and keep: `rpp.inference`; `fit` and methods are in bayes_rpp itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.engines.compilation import cache_compilations
    from bayes_rpp.inference.methods import Method
    from bayes_rpp.inference.optimise.training import Progress, TrainingError
    from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning, Summary
    from bayes_rpp.inference.posterior.functions import FunctionPosterior
    from bayes_rpp.inference.posterior.metrics import predictive_metrics
    from bayes_rpp.inference.posterior.posterior import Prediction
    from bayes_rpp.inference.posterior.stacking import stacking_weights
    from bayes_rpp.inference.run.checkpoint import Checkpoint
    from bayes_rpp.inference.run.task import Task
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "engines.compilation": "cache_compilations",
            "inference.methods": "Method",
            "inference.optimise.training": "Progress TrainingError",
            "inference.posterior.diagnostics": "ConvergenceWarning Summary",
            "inference.posterior.functions": "FunctionPosterior",
            "inference.posterior.metrics": "predictive_metrics",
            "inference.posterior.posterior": "Prediction",
            "inference.posterior.stacking": "stacking_weights",
            "inference.run.checkpoint": "Checkpoint",
            "inference.run.task": "Task",
        },
    )

__all__ = [
    "Checkpoint", "ConvergenceWarning", "FunctionPosterior", "Method", "Prediction", "Progress", "Summary", "Task",
    "TrainingError", "cache_compilations", "predictive_metrics", "stacking_weights",
]  # fmt: skip
