"""What every benchmark returns, and how all of them measure."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bayes_rpp as rpp
from bayes_rpp.inference.optimise.training import initial_values
from bayes_rpp.inference.run.sites import Sites
from bayes_rpp.inference.run.task import Task


@dataclass(frozen=True)
class Row:
    """One number beside its target.

    Attributes:
        name: what was measured, against what.
        value: a ratio of two times of this run, or an absolute figure.
        target: what the value should be; None where it is only reported.
        least: whether the target is the smallest value that will do, rather than the largest.
        unit: of value and target; empty for ratios.
        figures: what the ratio was made of, each with its unit in its name.
    """

    name: str
    value: float
    target: float | None = None
    least: bool = False
    unit: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.least else self.value <= self.target

    def __str__(self) -> str:
        wanted = "" if self.target is None else f"{'>=' if self.least else '<='} {self.target:g}"
        figures = ", ".join(f"{k} {v:.3g}" for k, v in self.figures.items())
        met = {None: "", True: "yes", False: "**no**"}[self.met]
        return f"| {self.name} | {self.value:.3g} {self.unit}".rstrip() + f" | {wanted} | {met} | {figures} |"


def run(name: str, quick: bool) -> list[Row]:
    return getattr(import_module(f"benchmarks.{name}"), name)(quick)


def one_core() -> None:
    """How each library shares out several cores is not what is compared."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def medians(runs: Sequence[Callable[[], Any]], repeats: int = 9) -> list[float]:
    """CPU seconds that each takes, median of repeats in turn. On one core these are the seconds of an idle machine:
    what else runs on this one counts only by what it leaves of the caches, and falls on all alike."""
    times: list[list[float]] = [[] for _ in runs]
    for k in range(repeats + 1):
        for run, mine in zip(runs, times, strict=True):
            start = time.process_time()
            run()
            if k:  # the first warms up, compiles
                mine.append(time.process_time() - start)
    return [float(np.median(mine)) for mine in times]


def compiled(function: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """A call of a JAX function, compiled, that waits for the result."""
    import jax

    fast = jax.jit(function)
    return lambda: jax.block_until_ready(fast(*args))


def inertia(net: Callable[..., Any] = rpp.EMLP, group: Any = None, **options: Any) -> rpp.networks.Network:
    """A network for the inertia task; 384 channels and 3 layers if not told otherwise."""
    data = rpp.datasets.inertia(1)
    return net(data.rep_in, data.rep_out, group or data.group, **{"channels": 384, "layers": 3, **options})


class Training:
    """The trainer of `fit`, without the loop around it: all members take `steps` steps on batches of inertia data, or
    of other `data` (x, y)."""

    def __init__(
        self,
        net: rpp.networks.Network,
        engine: str = "numpyro",
        *,
        members: int = 1,
        batch: int = 500,
        steps: int = 5,
        data: tuple[NDArray, NDArray] | None = None,
        **options: Any,
    ) -> None:
        made, model = rpp.datasets.inertia(max(1000, batch)), rpp.Model(net, **options)
        x, y = data or (made.x, made.y)
        method = rpp.DeepEnsemble(members=members, batch_size=batch)
        task = Task(model, x, y, method, engine, 0, progress=False)
        sites = Sites(model, task.parametrization, method.held(model), method.given())
        start = initial_values(sites, task, method.seeds(0), members)
        trainer = import_module(f"bayes_rpp.inference.optimise.map.{engine}").Trainer
        self.trainer = trainer(task, sites, start, method.rates(10**6))
        rng = np.random.default_rng(0)
        orders = [[rng.permutation(len(x))[:batch] for _ in range(steps)] for _ in range(members)]
        self.batches: NDArray[np.int64] = np.array(orders)

    def __call__(self) -> None:
        self.trainer.epoch(self.batches)


def peak_memory() -> float:
    """The most that this process has taken so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def kept(file: Path, keys: Iterable[Sequence[Any]], measure: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    """What `measure(*key)` says of each key, with its key; lines of a file of an earlier run are not measured again."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    found = {tuple(line["key"]): line for line in lines}
    chosen = [tuple(key) for key in keys]
    for key in chosen:
        if key not in found:
            found[key] = {"key": list(key), **measure(*key)}
            print(found[key], flush=True)
            with file.open("a") as out:
                out.write(json.dumps(found[key]) + "\n")
    return [found[key] for key in chosen]
