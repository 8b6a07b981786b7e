"""Trials, such as the fits of Figure 2, in processes side by side; what is done is kept row by row."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from bayes_rpp._files import replacing
from bayes_rpp._types import EngineName
from bayes_rpp.inference.fit import fit
from bayes_rpp.inference.methods import MAP
from bayes_rpp.inference.optimise.training import TrainingError
from bayes_rpp.reproduce.settings import METHODS, TEST, Setting

KEY = ["setting", "method", "trial"]
CHECKPOINT = "checkpoint"  # folder of what a stopped run needs
PROBES = 200  # test points at which the equivariance error is measured


@dataclass(frozen=True)
class Trial:
    """One fit: its seed is that of data, initial values and order."""

    setting: Setting
    method: str
    seed: int
    epochs: int
    engine: EngineName

    @property
    def key(self) -> tuple[str, str, int]:
        return self.setting.name, self.method, self.seed


def run_trial(trial: Trial) -> dict[str, Any]:
    """Train and test; a row of the table. A fit that diverges has the error NaN."""
    start, setting = time.perf_counter(), trial.setting
    data, test = setting.data(trial.seed), setting.data(trial.seed + TEST)
    model = setting.model(trial.method, data)
    method = MAP(epochs=trial.epochs, batch_size=setting.batch_size)
    row: dict[str, Any] = dict(zip(KEY, trial.key, strict=True))
    row |= {"mse": np.nan, "training_mse": np.nan, "equivariance_error": np.nan, "sigma_b": ""}
    try:
        post = fit(model, data.x, data.y, method, engine=trial.engine, seed=trial.seed, progress=False)
    except TrainingError:
        return row | {"epochs": trial.epochs, "seconds": time.perf_counter() - start}
    # Of the model's own group: the MLP's error is measured as the others' is.
    errors = post.equivariance_error(test.x[:PROBES], group=data.group)
    row |= {
        "mse": _mse(post.predict(test.x, samples=False).mean, test.y),
        "training_mse": _mse(post.predict(data.x, samples=False).mean, data.y),
        "equivariance_error": float(errors.mean()),
        "sigma_b": json.dumps(
            {k.removeprefix("sigma_b."): round(float(post.samples[k][0, 0]), 6) for k in model.latents}
            or model.sigma_b.given
        ),
    }
    return row | {"epochs": trial.epochs, "seconds": time.perf_counter() - start}


def _mse(a: Any, b: Any) -> float:
    return float(np.mean((a.astype(np.float64) - b) ** 2))


def trials(settings: Iterable[Setting], count: int, epochs: int | None, engine: EngineName) -> list[Trial]:
    """All fits: the first trial of everything, then the second, and so on."""
    chosen = list(settings)
    return [
        Trial(s, method, seed, epochs or s.epochs, engine)
        for seed in range(count)
        for s in chosen
        for method in METHODS
    ]


class Table:
    """The rows that are done, in a CSV that is replaced as a whole at each new one.

    Args:
        folder, described, resume: as in `begin`; the rows are in `trials.csv`.
        key: the columns that say which trial a row is of.
    """

    def __init__(self, folder: Path, described: dict[str, Any], resume: bool, key: Sequence[str] = KEY) -> None:
        begin(folder, described, resume)
        self._key = list(key)
        self._path = folder / "trials.csv"
        self.rows: list[dict[str, Any]] = []
        if self._path.exists():
            self.rows = pd.read_csv(self._path, keep_default_na=False, na_values=[""]).to_dict("records")

    @property
    def done(self) -> set[tuple[Any, ...]]:
        return {tuple(row[k] for k in self._key) for row in self.rows}

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        _replace(self._path, self.frame().to_csv(index=False))

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)


def begin(folder: Path, described: dict[str, Any], resume: bool) -> None:
    """Make a folder for a run, or see that it holds the same one: `run.json` says what it is.

    Args:
        described: what must be the same for a run to go on.
        resume: whether to go on; else what a run has left there is removed.

    Raises:
        ValueError: if the folder holds another run.
    """
    path = folder / "run.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not resume:
        for file in (folder / "trials.csv", *folder.glob("*.nc")):
            file.unlink(missing_ok=True)
        shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
    elif path.exists():
        before = json.loads(path.read_text())
        differ = [f"{k} {before.get(k)}" for k in described if before.get(k) != described[k]]
        if differ:
            raise ValueError(
                f"out must hold no other run, got {str(folder)!r} with {', '.join(differ)}; another folder, the same "
                "options, or --no-resume would do"
            )
    _replace(path, json.dumps(described, indent=1))


def _replace(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text)


def run(
    todo: Sequence[Any], table: Table, jobs: int, work: Callable[[Any], dict[str, Any]] | None = None
) -> Iterator[dict[str, Any]]:
    """Do what is not done yet, and give each new row as it comes; the bar shows the time left.

    Args:
        todo: trials, each with a `key` as the table's rows have it.
        work: from a trial to its row; `run_trial` if left out.
    """
    done, work = table.done, work or run_trial
    left = [t for t in todo if t.key not in done]
    with (
        tqdm(total=len(todo), initial=len(todo) - len(left), desc="trials", unit="fit", smoothing=0.05) as bar,
        _workers(min(jobs, len(left))) as pool,
    ):
        for row in _rows(left, pool, work):
            table.add(row)
            bar.update()
            yield row


def _rows(
    left: Sequence[Any], pool: Executor | None, work: Callable[[Any], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    if pool is None:
        yield from map(work, left)
        return
    for future in as_completed([pool.submit(work, t) for t in left]):
        yield future.result()


@contextmanager
def _workers(jobs: int) -> Iterator[Executor | None]:
    """Processes of a core each; None for one job, which is done here with all cores."""
    if jobs < 2:
        yield None
        return
    from loky import ProcessPoolExecutor, cpu_count  # workers that need no guard of the main module

    # As many threads as cores in each would wait for one another.
    share = str(max(1, cpu_count() // jobs))
    settings = {"OMP_NUM_THREADS": share, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if share == "1":
        settings["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    pool = ProcessPoolExecutor(max_workers=jobs, env=settings)
    try:
        yield pool
    finally:
        pool.shutdown(kill_workers=True)
