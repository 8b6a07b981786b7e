"""The training loop of the methods that optimise, the same for both engines: batches, progress, stopping, callbacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bayes_rpp.inference.posterior import Posterior, evaluate
from bayes_rpp.inference.sites import Sites, Values
from bayes_rpp.inference.task import Task
from bayes_rpp.symmetry.equivariance import Probe

PROBE_POINTS = 32


class TrainingError(RuntimeError):
    """The loss became NaN or infinite. `posterior` is the state after the last epoch that was finite, or None."""

    def __init__(self, message: str, posterior: Posterior | None) -> None:
        super().__init__(message)
        self.posterior = posterior


class Trainer(Protocol):
    """What an engine provides: it holds all members and optimises them together.

    Args:
        sites: of the model, in the parametrisation to optimise.
        x, y: all examples, (n, d_in) and (n, d_out).
        initial: site -> (members, *shape).
        rates: learning rate of each step, in units of `sites.steps`.
    """

    def __init__(self, sites: Sites, x: NDArray, y: NDArray, initial: Values, rates: NDArray) -> None: ...

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        """One pass over row numbers (members, steps, batch size): -log p(y, W | x) / n, (members, steps)."""
        ...

    def values(self) -> Values:
        """Site -> (members, *shape)."""
        ...


@dataclass
class Progress:
    """What a callback sees at the end of an epoch. Returning True from a callback stops the training.

    A callback with a method `start(task)` has it called before the first epoch, one with `finish(progress)` after the
    last.

    Attributes:
        epoch, epochs: the one that ended, from 1, and how many there will be.
        loss: (members,) mean over the epoch of -log p(y, W | x) / n.
        validation_loss: (members,) -log p(y | W, x) / n on the validation data, or None.
        posterior: the members as they are now.
    """

    task: Task
    epoch: int
    epochs: int
    loss: NDArray
    validation_loss: NDArray | None
    _run: _Run = field(repr=False)

    @cached_property
    def posterior(self) -> Posterior:
        return self._run.posterior(self._run.current)

    def record(self, name: str, value: NDArray) -> None:
        """Keep a number for each member, (members,), in the posterior's training record."""
        self._run.record(name, self.epoch, value)


def train(task: Task, trainer_type: type[Trainer]) -> Posterior:
    """Optimise all members together; see MAP for what the method's numbers mean.

    Raises:
        TrainingError: if a loss is not finite, naming member, epoch and step.
    """
    method = task.method
    if method.patience is not None and task.validation is None:
        raise ValueError(
            f"patience is {method.patience} but there is no validation data; fit(..., validation=(x, y)) would do"
        )
    run = _Run(task)
    if not run.sites.steps:
        raise ValueError(
            "model has nothing to infer: its priors fix every weight at 0 (no map between rep_in and rep_out "
            "is equivariant, and sigma_b is 0); a positive sigma_b would do"
        )
    for callback in task.callbacks:
        if hasattr(callback, "start"):
            callback.start(task)
    seeds = np.random.SeedSequence(task.seed).spawn(method.count)
    orders = [np.random.default_rng(s.spawn(1)[0]) for s in seeds]
    n = len(task.x)
    batch = min(method.batch_size or n, n)
    steps = n // batch
    initial = _initial(run.sites, task, seeds)
    rates = method.rates(steps * method.epochs)
    trainer = trainer_type(run.sites, task.x, task.y, initial, rates)
    run.current = run.best = initial
    lowest = np.full(method.count, np.inf)
    since = 0
    bar = tqdm(total=method.epochs, desc=type(method).__name__, unit="epoch", disable=not task.progress)
    with bar:
        for epoch in range(1, method.epochs + 1):
            order = np.stack([rng.permutation(n)[: steps * batch].reshape(steps, batch) for rng in orders])
            losses = trainer.epoch(order)
            _check_finite(losses, epoch, run, task)
            run.current = trainer.values()
            loss = losses.mean(axis=1)
            run.record("loss", epoch, loss)
            validation = run.validation_loss() if task.validation else None
            if validation is not None:
                run.record("validation_loss", epoch, validation)
            stop = False
            if method.patience is not None and validation is not None:
                better = validation < lowest
                lowest, run.best = np.where(better, validation, lowest), _choose(better, run.current, run.best)
                since = 0 if better.any() else since + 1
                stop = since >= method.patience
            state = Progress(task, epoch, method.epochs, loss, validation, run)
            for callback in task.callbacks:
                answer = callback(state)
                stop = stop or (isinstance(answer, (bool, np.bool_)) and bool(answer))
            if task.progress:
                bar.update()
                bar.set_postfix(run.summary(epoch, method.epochs, loss, validation), refresh=False)
            if stop:
                break
    for callback in task.callbacks:
        if hasattr(callback, "finish"):
            callback.finish(state)
    return run.posterior(run.current if method.patience is None else run.best)


class _Run:
    """The state of one training: the members' values and what was recorded of them."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.sites = Sites(task.model, task.model.parametrisation or "pathways")
        self.current: Values = {}
        self.best: Values = {}
        self.records: dict[str, dict[int, NDArray]] = {}
        net = task.model.net
        points = task.x[:PROBE_POINTS]
        trivial = not len(net.group.lie_algebra) and not len(net.group.discrete_generators)
        self._probe = None if trivial or not task.progress else Probe(points, net.rep_in, net.rep_out, net.group)
        self._shown: dict[str, str] = {}

    def posterior(self, values: Values) -> Posterior:
        samples = {k: np.asarray(w)[None] for k, w in self.sites.weights(values).items()}
        task = self.task
        last = max((e for r in self.records.values() for e in r), default=0)
        training = {}
        for name, record in self.records.items():
            training[name] = np.full((task.method.count, last), np.nan)
            for epoch, value in record.items():
                training[name][:, epoch - 1] = value
        return Posterior(
            task.model,
            samples,
            x=task.x,
            y=task.y,
            training=training,
            method=repr(task.method),
            engine=task.engine,
            seed=task.seed,
        )

    def record(self, name: str, epoch: int, value: NDArray) -> None:
        value = np.broadcast_to(np.asarray(value, dtype=np.float64), (self.task.method.count,))
        self.records.setdefault(name, {})[epoch] = value

    def validation_loss(self) -> NDArray:
        assert self.task.validation is not None
        x, y = self.task.validation
        samples = {k: w[None] for k, w in self.sites.weights(self.current).items()}
        f = evaluate(self.task.model, samples, x)
        latents = {k: samples[k] for k in self.task.model.likelihood.latents}
        return -self.task.model.likelihood.log_prob(f, y, latents)[0].mean(axis=-1)

    def summary(self, epoch: int, epochs: int, loss: NDArray, validation: NDArray | None) -> dict[str, str]:
        """Medians over members, for the progress bar; the equivariance error at some 20 epochs only, as it costs."""
        self._shown["loss"] = f"{np.median(loss):.4g}"
        if validation is not None:
            self._shown["validation"] = f"{np.median(validation):.4g}"
        if self._probe and (epoch in (1, epochs) or epoch % max(1, epochs // 20) == 0):
            errors = self.posterior(self.current).measure(self._probe)
            self._shown["equivariance error"] = f"{np.median(errors.mean(axis=-1)):.2g}"
        return self._shown


def _initial(sites: Sites, task: Task, seeds: list[Any]) -> Values:
    if task.weights is not None:
        members = [{k: w[m] for k, w in task.weights.items()} for m in range(task.method.count)]
        start = {k: np.asarray(p.start) for k, p in task.model.likelihood.latents.items()}
        values = [start | sites.values(w) for w in members]
    else:
        values = [sites.initial(np.random.default_rng(s)) for s in seeds]
    return {site: np.stack([v[site] for v in values]) for site in values[0]}


def _choose(which: NDArray, new: Values, old: Values) -> Values:
    return {k: np.where(which.reshape((-1,) + (1,) * (v.ndim - 1)), v, old[k]) for k, v in new.items()}


def _check_finite(losses: NDArray, epoch: int, run: _Run, task: Task) -> None:
    if np.isfinite(losses).all():
        return
    member, step = np.argwhere(~np.isfinite(losses))[0]
    raise TrainingError(
        f"the loss of member {member} became {losses[member, step]} at epoch {epoch}, step {step + 1} of "
        f"{losses.shape[1]}; a smaller learning_rate (now {task.method.learning_rate}), or x and y scaled to about 1, "
        "would do. The state before this epoch is in this error's .posterior",
        run.posterior(run.current) if run.records else None,
    )
