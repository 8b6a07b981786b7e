"""Parts of a fit or a sweep in the workers of an executor: chains, members, cells."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from tqdm import tqdm

from bayes_rpp.engines.base import LOCK

A = TypeVar("A")
B = TypeVar("B")
WORKERS = 4  # of an executor that does not say


def check_executor(executor: Any) -> None:
    """Raise TypeError unless it is None or has `submit`."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(f"executor must be a concurrent.futures.Executor, got {executor!r}")


def workers(executor: Any) -> int:
    """How many workers an executor has: those of concurrent.futures, loky and Dask say so."""
    client = getattr(executor, "_client", None)
    count = getattr(executor, "_max_workers", None) or (client is not None and len(client.nthreads()))
    return int(count) if count else WORKERS


def divide(count: int, parts: int) -> list[tuple[int, ...]]:
    """The numbers below count in at most so many runs of nearly the same length."""
    parts = max(1, min(parts, count))
    ends = [count * k // parts for k in range(parts + 1)]
    return [tuple(range(a, b)) for a, b in itertools.pairwise(ends)]


def run_all(
    executor: Executor,
    function: Callable[[A], B],
    arguments: Sequence[A],
    *,
    unit: str,
    label: str,
    progress: bool,
) -> list[B]:
    """function(a) of each argument, in order, each a task of the executor. If one fails the others are cancelled."""
    futures = [executor.submit(_alone, function, a) for a in arguments]
    with tqdm(total=len(futures), desc=label, unit=unit, disable=not progress) as bar:
        for future in futures:
            future.add_done_callback(lambda _: bar.update())
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _alone(function: Callable[[A], B], argument: A) -> B:
    """Threads take turns."""
    with LOCK:
        return function(argument)
