"""The loop of the methods that sample, the same for both engines: chains, blocks, progress, resuming."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bayes_rpp._warnings import warn_user
from bayes_rpp.inference.optimise.training import TrainingError, initial_values
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning, summarize
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Arrays, Checkpoint, Store
from bayes_rpp.inference.run.finite import in_float32, why_not_finite
from bayes_rpp.inference.run.parallel import run_all
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task

BLOCK, SECONDS = 100, 1.0  # draws at a time: at most so many, and for about so long
SPREAD = 0.5  # of the logarithms of inferred numbers at the start: chains that start apart show whether they agree


class Sampler(Protocol):
    """What an engine provides: it holds one or more chains and advances them.

    Args:
        task: the fit to be done.
        sites: of the model, in the parametrization to sample.
        initial: site -> (chains, *shape).
        seeds: a number for each chain.
    """

    def __init__(self, task: Task, sites: Sites, initial: Values, seeds: list[int]) -> None: ...

    def is_finite(self) -> NDArray[np.bool_]:
        """(chains,) whether the log density and its gradient are, where each chain is."""
        ...

    def advance(self, count: int) -> tuple[Values, Values]:
        """The next draws, warm-up first: site -> (chains, count, *shape), statistic -> (chains, count)."""
        ...

    def state(self) -> Arrays:
        """All that the next draws depend on."""
        ...

    def restore(self, state: Arrays) -> None:
        """Go back to a `state()`, also one of another process."""
        ...


def sample(task: Task, sampler_type: type[Sampler], together: bool) -> Posterior:
    """Run all chains of HMC or NUTS: the posterior, with a warning where they cannot be trusted."""
    draws, stats = run_chains(task, sampler_type, together)
    post = task.posterior(draws, sample_stats=stats)
    warn_of_chains(post)
    return post


def warn_of_chains(post: Posterior) -> None:
    for message in summarize(post).warnings:
        warn_user(message, ConvergenceWarning)


def run_chains(task: Task, sampler_type: type[Sampler], together: bool) -> tuple[Values, Values]:
    """Run all chains of HMC or NUTS: weights and numbers by name, and statistics, (chains, draws, ...).

    Args:
        together: whether the engine can advance all chains in one batch.
    """
    method = task.method
    how = method.chain_method or ("vectorized" if together else "sequential")
    if task.executor is not None:
        how = "parallel"
    if how == "vectorized" or method.chains == 1:
        parts = [_chains(replace(task, chains=tuple(range(method.chains))), sampler_type)]
    else:
        tasks = [_alone(task, c, show=how == "sequential") for c in range(method.chains)]
        run = _parallel if how == "parallel" else _sequential
        parts = run(task, tasks, sampler_type)
    draws = {k: np.concatenate([p[0][k] for p in parts]) for k in parts[0][0]}
    stats = {k: np.concatenate([p[1][k] for p in parts]) for k in parts[0][1]}
    return Sites(task.model, task.parametrization).weights(draws), stats


def _alone(task: Task, chain: int, show: bool) -> Task:
    """The task of one chain."""
    kept = task.checkpoint and Checkpoint(Path(task.checkpoint.path) / f"chain_{chain}", task.checkpoint.every)
    return replace(task, chains=(chain,), checkpoint=kept, executor=None, progress=task.progress and show)


def _sequential(task: Task, tasks: list[Task], sampler_type: type[Sampler]) -> list[tuple[Values, Values]]:
    return [_chains(t, sampler_type) for t in tasks]


def _parallel(task: Task, tasks: list[Task], sampler_type: type[Sampler]) -> list[tuple[Values, Values]]:
    if task.executor is not None:
        return _submitted(task.executor, task, tasks, sampler_type)
    from loky import ProcessPoolExecutor  # workers that need no guard of the main module, as in notebooks

    cores = os.cpu_count() or 1
    threads = {"OMP_NUM_THREADS": str(max(1, cores // len(tasks)))}  # else the chains' threads wait for each other
    pool = ProcessPoolExecutor(max_workers=min(len(tasks), cores), env=threads)
    try:
        return _submitted(pool, task, tasks, sampler_type)
    finally:
        pool.shutdown(kill_workers=True)  # no worker has work left, unless this was interrupted


def _submitted(
    executor: Executor, task: Task, tasks: list[Task], sampler_type: type[Sampler]
) -> list[tuple[Values, Values]]:
    run = partial(_chains, sampler_type=sampler_type)
    label = type(task.method).__name__
    return run_all(executor, run, tasks, unit="chain", label=label, progress=task.progress)


def _chains(task: Task, sampler_type: type[Sampler]) -> tuple[Values, Values]:
    """Warm up and run the task's chains: draws and statistics, (chains, draws, ...)."""
    method = task.method
    seeds = np.random.SeedSequence(task.seed).spawn(method.chains)
    sites = Sites(task.model, task.parametrization)
    everyone = initial_values(sites, task, seeds, method.chains, spread=SPREAD)
    initial = {k: v[list(task.chains)] for k, v in everyone.items()}
    numbers = [int(seeds[c].generate_state(1)[0]) for c in task.chains]
    store = Store.of(task)
    kept: list[Arrays] = []
    done = 0
    saved = store.load() if store else None
    if saved is None:
        _check_start(task, sites.weights(initial))
    sampler = sampler_type(task, sites, initial, numbers)
    if saved is None and (lost := np.flatnonzero(~sampler.is_finite())).size:
        raise start_error(task, int(lost[0]))
    if store and saved is not None:
        sampler.restore({k.removeprefix("sampler/"): v for k, v in saved.items() if k.startswith("sampler/")})
        kept, done = store.blocks(), int(saved["done"])
    total = method.warmup + method.draws
    unsaved: list[Arrays] = []
    with tqdm(total=total, initial=done, desc=_label(task), unit="draw", disable=not task.progress) as bar:
        pace = _Pace()
        while done < total:
            warming = done < method.warmup
            count = min(pace.count, (method.warmup if warming else total) - done)
            draws, stats = pace.time(sampler.advance, count)
            done += count
            if not warming:
                unsaved.append({f"draw/{k}": v for k, v in draws.items()} | {f"stat/{k}": v for k, v in stats.items()})
            if store and (store.due() or done == total):
                block = _join(unsaved)
                store.save({f"sampler/{k}": v for k, v in sampler.state().items()} | {"done": np.array(done)}, block)
                kept, unsaved = kept + ([block] if block else []), []
            if task.progress:
                bar.set_postfix(_shown(warming, stats, kept + unsaved), refresh=False)  # for the line that follows
                bar.update(count)
    whole = _join(kept + unsaved) or {}
    return _under("draw/", whole), _under("stat/", whole)


def _check_start(task: Task, weights: Values) -> None:
    """Raise TrainingError, saying why, if the log density is not finite where a chain starts: none of its draws would
    be accepted."""
    if not task.model.sites:  # numbers alone
        return
    for c in range(len(task.chains)):
        if why := why_not_finite(task, weights, c):
            raise start_error(task, c, why)


def start_error(task: Task, chain: int, why: str = "") -> TrainingError:
    """For a chain of the task, by its place; without a reason where each part is finite by itself."""
    said = f"the log density is not finite at the start of chain {task.chains[chain]}: {why or in_float32(task)}"
    return TrainingError(said)


class _Pace:
    """How many draws to make at a time: more while they are fast. The draws do not depend on it."""

    def __init__(self) -> None:
        self.count = 1

    def time(self, function: Callable[[int], Any], count: int) -> Any:
        start = time.perf_counter()
        found = function(count)
        each = (time.perf_counter() - start) / count
        self.count = max(1, min(BLOCK, 2 * self.count, int(SECONDS / each)))
        return found


def _label(task: Task) -> str:
    name = type(task.method).__name__
    return name if len(task.chains) > 1 or task.method.chains == 1 else f"{name}, chain {task.chains[0]}"


def _shown(warming: bool, stats: Values, blocks: list[Arrays]) -> dict[str, str]:
    """The state of the chains, for the progress bar."""
    diverging = sum(int(b["stat/diverging"].sum()) for b in blocks)
    return {
        "phase": "warm-up" if warming else "sampling",
        "steps": f"{np.mean(stats['n_steps']):.0f}",
        "step size": f"{np.mean(stats['step_size']):.2g}",
        "divergences": str(diverging),
    }


def _join(blocks: list[Arrays]) -> Arrays | None:
    """Blocks one after the other along the draws."""
    return {k: np.concatenate([b[k] for b in blocks], axis=1) for k in blocks[0]} if blocks else None


def _under(prefix: str, arrays: Arrays) -> dict[str, NDArray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
