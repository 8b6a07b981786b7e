"""`sweep`: one fit for each of many priors and seeds, trained together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from bayes_rpp._given import described
from bayes_rpp._types import ArrayLike, EngineName, HasData
from bayes_rpp._warnings import warn_user
from bayes_rpp.engines.base import LOCK, check_engine
from bayes_rpp.inference.methods import MAP
from bayes_rpp.inference.methods.base import check_positive
from bayes_rpp.inference.optimise.mode import polished
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Checkpoint
from bayes_rpp.inference.run.parallel import check_executor, run_all, workers
from bayes_rpp.inference.run.rounding import warn_of_rounding
from bayes_rpp.inference.run.task import Task, check_method, run_task
from bayes_rpp.inference.sweep.cells import SIGMAS, Cell, Cells, joint_model, programs
from bayes_rpp.models.data import Data, check_data
from bayes_rpp.models.likelihoods import Bernoulli, Categorical
from bayes_rpp.models.model import Model
from bayes_rpp.priors.pathway import check_sigma
from bayes_rpp.symmetry.equivariance import Probe

Scores = Callable[[Posterior], Mapping[str, float]]
MEANINGS = {
    "loss": "-log p(y, W | x) / n, mean over the last epoch",
    "nll": "-log p(y | x, W) of a test example",
    "mse": "squared error of the mean on the test data",
    "error": "share of wrong classes on the test data",
    "equivariance_error": "|a - b| / (|a| + |b|), mean over the test points",
}


def sweep(
    model: Model,
    data: tuple[ArrayLike, ArrayLike] | HasData,
    method: MAP | None = None,
    *,
    sigma_a: Sequence[float] | float | None = None,
    sigma_b: Sequence[float] | float | None = None,
    seeds: Iterable[int] | int = (0,),
    test: tuple[ArrayLike, ArrayLike] | HasData | None = None,
    scores: Scores | None = None,
    engine: EngineName | None = None,
    progress: bool = True,
    memory: float = 4.0,
    checkpoint: Checkpoint | str | Path | None = None,
    executor: Executor | None = None,
) -> xr.Dataset:
    """Fit a model with each of a grid of priors and seeds, all as members of a few vectorised programs.

    Each cell gives what `fit(Model(net, sigma_a=a, sigma_b=b, ...), x, y, method, seed=s)` gives, up to rounding: it
    has the same initial values, order of data and learning rates. Cells where a sigma is 0 have fewer weights, and make
    up programs of their own.

    Args:
        model: network, likelihood and scale; its sigmas are kept where none are given here.
        data: a Dataset, or a pair (x, y) as in `fit`.
        method: MAP(...), without patience. None: MAP().
        sigma_a: numbers >= 0, in the model's units. None: the model's own.
        sigma_b: likewise.
        seeds: whole numbers >= 0, of initial values and the order of data: range(3) for three; 3 is seed 3.
        test: a Dataset or a pair to score each cell on.
        scores: a function of a cell's Posterior that returns numbers by name, to be kept as well.
        engine: as in `fit`.
        progress: whether to show a bar.
        memory: GB that cells trained together may take, by a rough estimate; more of them are trained in parts.
        checkpoint: a folder to keep the sweep in: the same call goes on where a stopped one was.
        executor: any concurrent.futures.Executor to train in, as in `fit`: at least one program for each worker. Cells
            are scored here.

    Returns:
        Dataset with the dimensions (sigma_a, sigma_b, seed), without a sigma that the model infers, or gives by
        parameter or by pathway. Variables: "loss", -log p(y, W | x) / n over the last epoch; with test, "nll" for each
        example, "mse" of the mean ("error", the share of wrong classes, with Categorical and Bernoulli) and
        "equivariance_error" (mean over the points, under the network's group); and what `scores` returns. NaN where a
        cell has no result.

    Warns:
        RuntimeWarning: naming the cells that have no result, and why: the loss became NaN or infinite, both sigmas are
            0, or `scores` raised an error.

    Raises:
        TypeError, ValueError: naming the argument that does not fit, and what would do; ValueError if no cell has a
            result.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model, got {described(model)}; Model(net, sigma_b=0.1) would do")
    method = _check_map(MAP() if method is None else method)
    x, y = _pair(model, data, "data")
    tested = None if test is None else _pair(model, test, "test")
    if scores is not None and not callable(scores):
        raise TypeError(f"scores must be a function of a Posterior that returns a dict of numbers, got {scores!r}")
    check_positive(memory, "memory", "4.0")
    if checkpoint is not None and not isinstance(checkpoint, (str, Path, Checkpoint)):
        raise TypeError(f"checkpoint must be a folder's path, got {checkpoint!r}")
    axes = {
        "sigma_a": _numbers("sigma_a", sigma_a, model.sigma_a),
        "sigma_b": _numbers("sigma_b", sigma_b, model.sigma_b.given),
        "seed": _check_seeds(seeds),
    }
    cells = [Cell(*c) for c in itertools.product(*axes.values())]
    check_executor(executor)
    engine = check_engine(engine, model.net.engines)
    warn_of_rounding(engine, x=x, y=y)
    run = _Sweep(model, x, y, method, engine, tested, scores)
    run.train(cells, float(memory), checkpoint, progress, executor)
    return run.dataset(axes, cells)


class _Sweep:
    """What the cells share, and what was found of each."""

    def __init__(
        self, model: Model, x: NDArray, y: NDArray, method: MAP, engine: str, test: Data | None, scores: Any
    ) -> None:
        self.model, self.x, self.y, self.method, self.engine = model, x, y, method, engine
        self.test, self.scores = test, scores
        self.found: dict[Cell, dict[str, float]] = {}
        self.reasons: dict[Cell, str] = {}
        net = model.net
        self._probe = None if test is None else Probe(test[0], net.rep_in, net.rep_out, net.group)

    def train(self, cells: list[Cell], memory: float, checkpoint: Any, progress: bool, executor: Any) -> None:
        batch = min(self.method.batch_size or len(self.x), len(self.x))
        most = len(cells) if executor is None else -(-len(cells) // workers(executor))
        tasks = []
        for number, part in enumerate(programs(self.model, cells, batch, memory, most)):
            try:
                joint = joint_model(self.model, part)
            except ValueError as error:  # both sigmas are 0
                self.reasons |= dict.fromkeys(part, str(error))
                continue
            if not joint.sites:
                self.reasons |= dict.fromkeys(part, "the prior fixes every weight at 0")
                continue
            kept = None if checkpoint is None else _folder(checkpoint, number)
            ours = Cells(**asdict(self.method), cells=part)
            tasks.append(
                Task(joint, self.x, self.y, ours, self.engine, 0, None, (_is_lost,), False, None, kept, memory=memory)
            )
        if executor is None:
            total = sum(task.method.count for task in tasks) * self.method.epochs
            with tqdm(total=total, desc="sweep", unit="epoch", disable=not progress) as bar, LOCK:
                for task in tasks:
                    advance = _Advance(bar, task.method.count)
                    self._measure_all(task, run_task(replace(task, callbacks=(advance, _is_lost))))
        else:
            found = run_all(executor, run_task, tasks, unit="program", label="sweep", progress=progress)
            for task, post in zip(tasks, found, strict=True):
                self._measure_all(task, post)
        if len(self.reasons) == len(cells) and not self.found:
            raise ValueError(f"no cell has a result: {self.reasons[cells[0]]}")

    def _measure_all(self, task: Task, post: Posterior) -> None:
        for member, cell in enumerate(task.method.cells):
            self._measure(cell, post, member)

    def _measure(self, cell: Cell, joint: Posterior, member: int) -> None:
        loss = joint.training["loss"][member]
        if not np.isfinite(loss).all():
            epoch = int(np.flatnonzero(~np.isfinite(loss))[0])
            self.reasons[cell] = f"the loss became {loss[epoch]} at epoch {epoch + 1}"
            return
        model, samples = cell.model(self.model), {k: v[:, member : member + 1] for k, v in joint.samples.items()}
        post = Posterior(
            model,
            polished(model, self.x, self.y, samples, self.method, self.engine)[0],
            x=self.x,
            y=self.y,
            training={"loss": loss[None]},
            method=repr(self.method),
            engine=self.engine,
            seed=cell.seed,
        )
        self.found[cell] = {"loss": float(loss[-1])}
        try:
            if self.test is not None:
                self.found[cell] |= self._on_test(post, *self.test)
            if self.scores is not None:
                self.found[cell] |= {str(k): float(v) for k, v in self.scores(post).items()}
        except Exception as error:  # of one cell, which must not lose the others
            self.reasons[cell] = f"scoring raised {type(error).__name__}: {error}"

    def _on_test(self, post: Posterior, x: NDArray, y: NDArray) -> dict[str, float]:
        assert self._probe is not None
        likelihood = post.model.likelihood
        f = post.outputs(x)
        mean = likelihood.mean(f)[0, 0]
        found = {"nll": float(-likelihood.predictive.log_prob(f, y, post.latents).mean())}
        if isinstance(likelihood, Categorical):
            found["error"] = float((likelihood.by_class(mean).argmax(axis=-1) != y).mean())
        elif isinstance(likelihood, Bernoulli):
            found["error"] = float(((mean > 0.5) != (y > 0.5)).mean())
        else:
            found["mse"] = float(np.nanmean((mean.astype(np.float64) - y) ** 2))
        return found | {"equivariance_error": float(post.measure(self._probe).mean())}

    def dataset(self, axes: dict[str, list[Any]], cells: list[Cell]) -> xr.Dataset:
        """The grid of what was found; warns of what was not."""
        if self.reasons:
            warn_user(self._complaint(len(cells)), RuntimeWarning)
        shape = tuple(len(values) for values in axes.values())
        dims = [k for k, values in axes.items() if values != [None]]
        left_out = tuple(i for i, values in enumerate(axes.values()) if values == [None])
        names = list(dict.fromkeys(name for found in self.found.values() for name in found))
        variables = {}
        for name in names:
            grid = np.array([self.found.get(c, {}).get(name, np.nan) for c in cells]).reshape(shape)
            variables[name] = (dims, grid.squeeze(axis=left_out), {"long_name": MEANINGS.get(name, name)})
        attributes = {
            "model": repr(self.model),
            "method": repr(self.method),
            "engine": self.engine,
            "examples": len(self.x),
            "test_examples": 0 if self.test is None else len(self.test[0]),
        }
        return xr.Dataset(variables, {k: axes[k] for k in dims}, attributes)

    def _complaint(self, count: int) -> str:
        by_reason: dict[str, list[Cell]] = {}
        for cell, reason in self.reasons.items():
            by_reason.setdefault(reason, []).append(cell)
        lines = [f"{reason}: {'; '.join(map(_named, cells))}" for reason, cells in by_reason.items()]
        return f"{len(self.reasons)} of {count} cells have no result, or not all of it. " + ". ".join(lines)


def _is_lost(progress: Any) -> bool:
    """A callback that ends a program in which no cell is left."""
    return not np.isfinite(progress.loss).any()


class _Advance:
    """A callback that moves the bar of all programs."""

    def __init__(self, bar: Any, members: int) -> None:
        self._bar, self._members = bar, members

    def __call__(self, progress: Any) -> None:
        self._bar.update(self._members)
        self._bar.set_postfix(loss=f"{np.nanmedian(progress.loss):.4g}", refresh=False)

    def resume(self, records: dict[str, dict[int, NDArray]]) -> None:
        self._bar.update(self._members * len(records["loss"]))


def _named(cell: Cell) -> str:
    sigmas = [f"{k}={getattr(cell, k):g}" for k in SIGMAS if getattr(cell, k) is not None]
    return ", ".join([*sigmas, f"seed={cell.seed}"])


def _folder(checkpoint: Checkpoint | str | Path, number: int) -> Checkpoint:
    """One for each program."""
    if isinstance(checkpoint, Checkpoint):
        return Checkpoint(Path(checkpoint.path) / f"program_{number}", checkpoint.every)
    return Checkpoint(Path(checkpoint) / f"program_{number}")


def _check_map(method: Any) -> MAP:
    check_method(method)
    if type(method) is not MAP:
        raise TypeError(f"method must be MAP(...), of which seeds=range(10) makes ten, got {type(method).__name__}")
    if method.patience is not None:
        raise ValueError(f"patience must be None, as a sweep has no validation data, got {method.patience}")
    return method


def _pair(model: Model, data: Any, name: str) -> Data:
    if hasattr(data, "x") and hasattr(data, "y"):
        data = (data.x, data.y)
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"{name} must be a Dataset or a pair (x, y), got a {type(data).__name__}")
    x, y = data
    return check_data(model, x, y, names=(f"{name} x", f"{name} y"))


def _numbers(name: str, values: Any, own: Any) -> list[Any]:
    """The numbers to sweep; [None] to keep what the model has where that is no single number."""
    if values is None:
        return [float(own)] if isinstance(own, (int, float, np.number)) else [None]
    try:
        values = [values] if np.ndim(values) == 0 else list(values)
    except ValueError as error:
        raise TypeError(f"{name} must be numbers >= 0, got {values!r}; [0.0, 0.1, 1.0] would do") from error
    values = [check_sigma(v, name) for v in values]
    if not values or not all(isinstance(v, float) for v in values) or len(set(values)) < len(values):
        raise ValueError(f"{name} must be different numbers >= 0, got {values!r}; [0.0, 0.1, 1.0] would do")
    return values


def _check_seeds(seeds: Any) -> list[int]:
    found = [seeds] if isinstance(seeds, (int, np.integer)) else list(seeds)
    if not found or any(isinstance(s, bool) or not isinstance(s, (int, np.integer)) or s < 0 for s in found):
        raise ValueError(f"seeds must be whole numbers >= 0, got {seeds!r}; range(3) would do")
    if len(set(found)) < len(found):
        raise ValueError(f"seeds must differ, got {seeds!r}, in which one comes twice")
    return [int(s) for s in found]
