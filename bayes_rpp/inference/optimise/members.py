"""A deep ensemble in parts: some of its members in each task of an executor."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.inference.methods import DeepEnsemble
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Checkpoint
from bayes_rpp.inference.run.parallel import divide, run_all, workers
from bayes_rpp.inference.run.task import Task, run_task


@dataclass(frozen=True)
class Members(DeepEnsemble):
    """Some of an ensemble's members, by number; those beyond `members` are further starts."""

    which: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return len(self.which)

    def seeds(self, seed: int) -> list[np.random.SeedSequence]:
        everyone = np.random.SeedSequence(seed).spawn(max(self.members, 1 + max(self.which)))
        return [everyone[m] for m in self.which]


def in_parts(task: Task) -> Posterior:
    """Train as many members in each task as make a task for each worker; the result is that of training all at once."""
    assert task.executor is not None
    tasks = [part_of(task, which) for which in divide(task.method.members, workers(task.executor))]
    label = type(task.method).__name__
    posts = run_all(task.executor, run_task, tasks, unit="task", label=label, progress=task.progress)
    samples = {k: np.concatenate([p.samples[k] for p in posts], axis=1) for k in posts[0].samples}
    epochs = max(p.training["loss"].shape[1] for p in posts)
    training = {k: np.concatenate([_padded(p.training[k], epochs) for p in posts]) for k in posts[0].training}
    records = {name: _by_epoch(record) for name, record in training.items()}
    for callback in task.callbacks:
        if hasattr(callback, "resume"):
            callback.resume(records)
    return task.posterior(samples, training=training)


def part_of(task: Task, which: tuple[int, ...]) -> Task:
    """The task of some members alone."""
    kept = task.checkpoint
    if kept is not None:
        kept = Checkpoint(Path(kept.path) / f"members_{which[0]}_to_{which[-1]}", kept.every)
    return replace(
        task,
        method=Members(**asdict(task.method), which=which),
        weights=task.weights and {k: w[list(which)] for k, w in task.weights.items()},
        callbacks=tuple(copy.copy(callback) for callback in task.callbacks),  # in threads they would share their state
        checkpoint=kept,
        executor=None,
        progress=False,
    )


def _padded(record: NDArray, epochs: int) -> NDArray:
    """Members that stopped earlier have no numbers for the epochs after it."""
    return np.pad(record, ((0, 0), (0, epochs - record.shape[1])), constant_values=np.nan)


def _by_epoch(record: NDArray) -> dict[int, NDArray]:
    return {int(e) + 1: record[:, e] for e in np.flatnonzero(~np.isnan(record).all(axis=0))}
