"""Members of an ensemble that lag behind its best one by more than chance: named, or trained from other starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._warnings import warn_user
from bayes_rpp.inference.optimise.members import part_of
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.task import Task

ERRORS = 3.0  # standard errors over the examples
LEAST = 0.1  # nats for each number in y
POINTS = 100


def lagging(scores: NDArray, columns: int) -> NDArray[np.bool_]:
    """(members,) whose log-likelihoods of examples, scores (members, n), lie behind the best member's by more than 3
    standard errors of the differences, and by more than 0.1 nats for each of the columns of y."""
    gaps = scores[scores.mean(axis=1).argmax()] - scores
    error = gaps.std(axis=1) / np.sqrt(gaps.shape[1])
    return np.asarray(gaps.mean(axis=1) > np.maximum(ERRORS * error, LEAST * columns))


def restarted(task: Task, post: Posterior, run: Callable[[Task], Posterior]) -> Posterior:
    """Members that lag, by the validation data or else those of the training, trained again from starts of their own,
    up to `restarts` times; the better one is kept. Callbacks see the first training alone."""
    x, y = task.validation or (task.x, task.y)
    before = post.log_likelihood(x, y)[0]
    for turn in range(1, task.method.restarts + 1):
        late = np.flatnonzero(lagging(before, y.shape[1]))
        if not len(late):
            break
        which = tuple(int(m) + turn * task.method.members for m in late)
        again = run(replace(part_of(task, which), callbacks=(), progress=task.progress))
        after = again.log_likelihood(x, y)[0]
        better = after.mean(axis=-1) > before[late].mean(axis=-1)
        post = _with(post, late[better], again, np.flatnonzero(better))
        before[late[better]] = after[better]
    return post


def warn_of_lagging(task: Task, post: Posterior) -> None:
    """Say so where members differ by more than chance in how well they predict the validation data."""
    if task.validation is None or post.draws < 2:
        return
    x, y = task.validation
    scores = post.log_likelihood(x, y)[0]
    late = lagging(scores, y.shape[1])
    if not late.any():
        return
    losses, errors = -scores.mean(axis=-1), ""
    if not task.model.net.group.is_trivial:
        found = post.equivariance_error(x[:POINTS])[0].mean(axis=-1)
        errors = f", their equivariance errors {_list(found)}"
    warn_user(
        f"{late.sum()} of {len(late)} members lag behind the best one by more than chance: their validation losses are "
        f"{_list(losses)}{errors}, and all count equally. DeepEnsemble(restarts=2), more epochs, or "
        "post.stack(x, y) would do",
        ConvergenceWarning,
    )


def _list(values: NDArray) -> str:
    return " ".join(f"{v:.2g}" for v in values)


def _with(post: Posterior, members: NDArray, other: Posterior, its: NDArray) -> Posterior:
    """A posterior in which members are those of another."""
    samples = {k: v.copy() for k, v in post.samples.items()}
    for k, v in samples.items():
        v[:, members] = other.samples[k][:, its]
    training = {}
    for k, record in post.training.items():
        theirs = other.training.get(k, np.full((other.draws, 0), np.nan))
        training[k] = np.full((len(record), max(record.shape[1], theirs.shape[1])), np.nan)
        training[k][:, : record.shape[1]] = record
        training[k][members] = np.nan
        training[k][members, : theirs.shape[1]] = theirs[its]
    return post.replace(samples=samples, training=training)
