"""The training loop of the methods that optimise, the same for both engines: batches, progress, stopping, callbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bayes_rpp.inference.optimise.noises import at_first_errors
from bayes_rpp.inference.optimise.order import Batches, Best
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays, Store
from bayes_rpp.inference.run.finite import in_float32, why_not_finite
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.models.outputs import evaluate
from bayes_rpp.symmetry.equivariance import Probe

PROBE_POINTS = 32


class TrainingError(RuntimeError):
    """A loss or log density is NaN or infinite. `posterior` is the state after the last epoch that was finite, or
    None."""

    def __init__(self, message: str, posterior: Posterior | None = None) -> None:
        super().__init__(message)
        self.posterior = posterior


class Trainer(Protocol):
    """What an engine provides: it holds all members and optimises them together.

    Args:
        task: the fit to be done.
        sites: of the model, in the parametrization to optimise.
        initial: site -> (members, *shape).
        rates: learning rate of each step, in units of `sites.steps`.
    """

    def __init__(self, task: Task, sites: Sites, initial: Values, rates: NDArray) -> None: ...

    def epoch(self, batches: NDArray[np.int64]) -> NDArray:
        """One pass over row numbers (members, steps, batch size): loss / n, (members, steps)."""
        ...

    def values(self) -> Values:
        """Each member's centre, site -> (members, *shape)."""
        ...

    def draws(self) -> Values:
        """The posterior's draws, site -> (chain, draw, *shape)."""
        ...

    def state(self) -> Arrays:
        """All that the next epoch depends on, as arrays with leading dimension members."""
        ...

    def restore(self, state: Arrays) -> None:
        """Go back to a `state()`, also one of another process."""
        ...


@dataclass
class Progress:
    """What a callback sees at the end of an epoch. Returning True from a callback stops the training.

    A callback with a method `start(task)` has it called before the first epoch, one with `finish(progress)` after the
    last, and one with `resume(records)`, record name -> {epoch: (members,)}, where a stopped run goes on.

    Attributes:
        epoch, epochs: the one that ended, from 1, and how many there will be.
        loss: (members,) mean over the epoch of -log p(y, W | x) / n; with SVI, of -ELBO / n.
        validation_loss: (members,) -log p(y | W, x) / n on the validation data, or None.
        posterior: the members as they are now; with SVI, the centre of each guide.
    """

    task: Task
    epoch: int
    epochs: int
    loss: NDArray
    validation_loss: NDArray | None
    _run: _Run = field(repr=False)

    @cached_property
    def posterior(self) -> Posterior:
        """The members as they are at the end of this epoch, one draw each; made when first asked for."""
        return self._run.posterior(self._run.members())

    def record(self, name: str, value: NDArray) -> None:
        """Keep a number for each member, (members,), in the posterior's training record."""
        self._run.record(name, self.epoch, value)


Between = Callable[[int, Any], Mapping[str, NDArray]]


def train(
    task: Task,
    trainer_type: type[Trainer],
    between: Between | None = None,
    before: Callable[[Values], Values] | None = None,
) -> Posterior:
    """Optimise all members together; see MAP for what the method's numbers mean.

    Args:
        between: called after each epoch with its number and the trainer, which it may change; returns what to record.
        before: from where members would start, (members, ...), to where they do.

    Raises:
        TrainingError: if a loss is not finite, naming member, epoch and step.
    """
    method = task.method
    if method.patience is not None and task.validation is None:
        raise ValueError(
            f"patience must be None without validation data, got {method.patience}; fit(..., validation=(x, y)) would "
            "do"
        )
    run = _Run(task)
    for callback in task.callbacks:
        if hasattr(callback, "start"):
            callback.start(task)
    seeds = method.seeds(task.seed)
    batches = Batches(seeds, len(task.x), method.batch_size)
    rates = method.rates((batches.steps if task.stream is None else task.stream.steps) * method.epochs)
    initial = at_first_errors(run.sites, task, initial_values(run.sites, task, seeds, method.count))
    trainer = trainer_type(task, run.sites, before(initial) if before else initial, rates)
    run.current, best = trainer.values(), Best(method, trainer)
    store = Store.of(task)
    first = 1 + _resume(store, run, trainer, best)
    if first == 1 and task.weights is not None and task.validation:
        best.update(run.validation_loss(), trainer)  # a start that was given is an epoch to keep like any other
    batches.skip(first - 1)
    stop = best.is_over
    state = run.last_progress() if first > 1 else None
    with tqdm(
        total=method.epochs, initial=first - 1, desc=type(method).__name__, unit="epoch", disable=not task.progress
    ) as bar:
        for epoch in range(first, method.epochs + 1):
            if stop:
                break
            state = _epoch(epoch, run, trainer, batches, between)
            if state.validation_loss is not None:
                stop = best.update(state.validation_loss, trainer)
            answers = [callback(state) for callback in task.callbacks]
            stop = stop or any(isinstance(a, (bool, np.bool_)) and bool(a) for a in answers)
            if task.progress:
                bar.update()
                bar.set_postfix(run.summary(epoch, method.epochs, state.loss, state.validation_loss), refresh=False)
            if store and (store.due() or stop or epoch == method.epochs):
                store.save(_snapshot(epoch, stop, run, trainer, best))
    for callback in task.callbacks:
        if hasattr(callback, "finish") and state is not None:
            callback.finish(state)
    best.restore(trainer)
    return run.posterior(trainer.draws())


def _epoch(epoch: int, run: _Run, trainer: Trainer, batches: Batches, between: Between | None) -> Progress:
    """One pass over the data, recorded."""
    task = run.task
    losses = trainer.epoch(batches.next())
    _check_finite(losses, epoch, run, task)
    run.current = trainer.values()
    loss = losses.mean(axis=1)
    run.record("loss", epoch, loss)
    if between:
        for name, value in between(epoch, trainer).items():
            run.record(name, epoch, value)
        run.current = trainer.values()
    validation = run.validation_loss() if task.validation else None
    if validation is not None:
        run.record("validation_loss", epoch, validation)
    return Progress(task, epoch, task.method.epochs, loss, validation, run)


class _Run:
    """The state of one training: the members' values and what was recorded of them."""

    def __init__(self, task: Task) -> None:
        self.task = task
        method = task.method
        self.sites = Sites(task.model, task.parametrization, method.held(task.model), method.given())
        self.current: Values = {}
        self.records: dict[str, dict[int, NDArray]] = {}
        net = task.model.net
        points = task.x[:PROBE_POINTS]
        silent = net.group.is_trivial or not task.progress
        self._probe = None if silent else Probe(points, net.rep_in, net.rep_out, net.group)
        self._shown: dict[str, str] = {}

    def members(self) -> Values:
        """The members as draws of one chain."""
        return {k: v[None] for k, v in self.current.items()}

    def posterior(self, draws: Values) -> Posterior:
        task = self.task
        last = max((e for r in self.records.values() for e in r), default=0)
        training = {}
        for name, record in self.records.items():
            training[name] = np.full((task.method.count, last), np.nan)
            for epoch, value in record.items():
                training[name][:, epoch - 1] = value
        return task.posterior(self.sites.weights(draws), training=training)

    def record(self, name: str, epoch: int, value: NDArray) -> None:
        value = np.broadcast_to(np.asarray(value, dtype=np.float64), (self.task.method.count,))
        self.records.setdefault(name, {})[epoch] = value

    def last_progress(self) -> Progress:
        loss, validation = self.records["loss"], self.records.get("validation_loss", {})
        epoch = max(loss)
        return Progress(self.task, epoch, self.task.method.epochs, loss[epoch], validation.get(epoch), self)

    def validation_loss(self) -> NDArray:
        assert self.task.validation is not None
        x, y = self.task.validation
        samples = self.sites.weights(self.members())
        f = evaluate(self.task.model, samples, x)
        latents = {k: samples[k] for k in self.task.model.likelihood.latents}
        return -self.task.model.likelihood.log_prob(f, y, latents)[0].mean(axis=-1)

    def summary(self, epoch: int, epochs: int, loss: NDArray, validation: NDArray | None) -> dict[str, str]:
        """Medians over members, for the progress bar; the equivariance error at some 20 epochs only, as it costs."""
        self._shown["loss"] = f"{np.median(loss):.4g}"
        if validation is not None:
            self._shown["validation"] = f"{np.median(validation):.4g}"
        if self._probe and (epoch in (1, epochs) or epoch % max(1, epochs // 20) == 0):
            errors = self.posterior(self.members()).measure(self._probe)
            self._shown["equivariance error"] = f"{np.median(errors.mean(axis=-1)):.2g}"
        return self._shown


def initial_values(sites: Sites, task: Task, seeds: list[Any], count: int, spread: float = 0.0) -> Values:
    """Where members or chains start: at the weights of `init=`, or at draws from the prior."""
    if task.weights is not None:
        values = [sites.member(m).values({k: w[m] for k, w in task.weights.items()}) for m in range(count)]
    else:
        values = [sites.member(m).initial(np.random.default_rng(s), spread) for m, s in enumerate(seeds)]
    return {site: np.stack([v[site] for v in values]) for site in values[0]}


def _snapshot(epoch: int, stop: bool, run: _Run, trainer: Trainer, best: Best) -> Arrays:
    found = {f"trainer/{k}": v for k, v in trainer.state().items()}
    found |= {f"best/{k}": v for k, v in best.state.items()}
    for name, record in run.records.items():
        found[f"record/{name}"] = np.stack(list(record.values()))
        found[f"epochs/{name}"] = np.array(list(record))
    return found | {
        "epoch": np.array(epoch),
        "stop": np.array(stop),
        "since": best.since,
        "lowest": best.lowest,
    }


def _resume(store: Store | None, run: _Run, trainer: Trainer, best: Best) -> int:
    """Take up what the store holds; returns the last epoch that is done."""
    saved = store.load() if store else None
    if saved is None:
        return 0
    trainer.restore(_under("trainer/", saved))
    best.state, best.lowest, best.since = _under("best/", saved), saved["lowest"], saved["since"]
    for name, values in _under("record/", saved).items():
        run.records[name] = dict(zip(saved[f"epochs/{name}"].tolist(), values, strict=True))
    run.current = trainer.values()
    for callback in run.task.callbacks:
        if hasattr(callback, "resume"):
            callback.resume(run.records)
    return run.task.method.epochs if saved["stop"] else int(saved["epoch"])


def _under(prefix: str, saved: Arrays) -> Arrays:
    return {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}


def _check_finite(losses: NDArray, epoch: int, run: _Run, task: Task) -> None:
    if np.isfinite(losses).all() or task.method.fails_alone:
        return
    member, step = np.argwhere(~np.isfinite(losses))[0]
    if step == 0 and not run.records:
        why = why_not_finite(task, run.sites.weights(run.current), int(member)) or in_float32(task)
        raise TrainingError(f"the log density is not finite at the start of member {member}: {why}")
    raise TrainingError(
        f"the loss of member {member} became {losses[member, step]} at epoch {epoch}, step {step + 1} of "
        f"{losses.shape[1]}; a smaller learning_rate (now {task.method.rate}), or x and y scaled to about 1, "
        "would do. The state before this epoch is in this error's .posterior",
        run.posterior(run.members()) if run.records else None,
    )
