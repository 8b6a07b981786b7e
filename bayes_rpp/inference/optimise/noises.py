"""Where an inferred noise starts: from far below the first errors, gradients are so large at first that Adam, which
divides by their size, stands still for a thousand steps more."""

from __future__ import annotations

import numpy as np

from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.models.outputs import evaluate
from bayes_rpp.priors.hyper import Prior

ROWS = 100  # of the training data, to look at


def at_first_errors(sites: Sites, task: Task, values: Values) -> Values:
    """Values (members, ...) whose noises are no smaller than the errors of the first weights, root mean square; but for
    those that were given, or are found in another way than by Adam."""
    likelihood, known = task.model.likelihood, {*sites.given, *(task.weights or ())}
    free = [k for k in likelihood.latents if k not in known and np.any(sites.steps[k])]
    if not free:
        return values
    rows = np.linspace(0, len(task.x) - 1, min(ROWS, len(task.x))).astype(int)
    weights = sites.weights({k: v[None] for k, v in values.items()})
    errors = likelihood.errors(evaluate(task.model, weights, task.x[rows])[0], task.y[rows])
    numbers, found = int(np.isfinite(task.y).sum()), dict(values)
    for k in free:
        if k in errors:
            prior = likelihood.latents[k]
            each = [_start(float(v), float(e), prior, numbers) for v, e in zip(values[k], errors[k], strict=True)]
            found[k] = np.array(each)
    return found


def _start(value: float, error: float, prior: Prior, numbers: int) -> float:
    """The error where it is larger than the value, or as much of it as its prior, whose slope is to be no steeper than
    that of all the numbers y, allows."""
    while value < error < np.inf and abs(prior.log_prob(error)[1]) > numbers:
        error *= 0.5
    return error if value < error < np.inf else value
