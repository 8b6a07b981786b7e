"""What every method on every engine is given, checked once: the model, the data and how to run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bayes_rpp._deprecation import renamed_attribute
from bayes_rpp._imports import load_module
from bayes_rpp.inference.methods import Method
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.checkpoint import Checkpoint
from bayes_rpp.inference.run.memory import at_work
from bayes_rpp.inference.run.stream import Stream
from bayes_rpp.models.data import Data
from bayes_rpp.models.model import AnyParametrization, Model

if TYPE_CHECKING:
    from bayes_rpp.inference.optimise.training import Progress

Callback = Callable[["Progress"], Any]


@dataclass(frozen=True)
class Task:
    """A fit to be done, checked: what a method's `run(task)`, and the `fit(task)` of its engines' files, are given.

    Attributes:
        model, method, engine, seed, callbacks, progress, executor: as given to `fit`.
        x, y: (n, d_in) and (n, columns of y) arrays; validation: such a pair, or None.
        weights: initial ones by parameter name, (members, *shape), or None.
        checkpoint: where the state is kept, or None.
        stream: batches of a DataLoader, of which x and y are the first examples, or None.
        chains: those of a sampler to run here, by number.
        memory: what members that are trained together may take, in GB.
    """

    model: Model
    x: NDArray
    y: NDArray
    method: Any
    engine: str
    seed: int
    weights: dict[str, NDArray] | None = None
    callbacks: Sequence[Callback] = field(default_factory=tuple)
    progress: bool = True
    validation: Data | None = None
    checkpoint: Checkpoint | None = None
    executor: Executor | None = None
    stream: Stream | None = None
    chains: tuple[int, ...] = ()
    memory: float = math.inf

    parametrisation = renamed_attribute("parametrisation", "parametrization")

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.x) if self.stream is None else self.stream.size

    @property
    def parametrization(self) -> AnyParametrization:
        """The model's own, or the method's."""
        return self.model.parametrization or self.method.parametrization(self.model)

    def posterior(self, samples: dict[str, NDArray], **parts: Any) -> Posterior:
        """What the method found."""
        made: dict[str, Any] = {"x": self.x, "y": self.y, "method": repr(self.method)}
        made |= {"engine": self.engine, "seed": self.seed}
        return Posterior(self.model, samples, **made, **parts)


ROWS = 1000  # of a matrix: up to there a factor and a product take a tenth of a second
SMALL = 0.015  # GB that a step works on: up to there a second thread of torch gains nothing


def run_task(task: Task) -> Posterior:
    """Do a task, in the way of its method."""
    with few_threads(task):
        found: Posterior = task.method.run(task)
    return found


@contextmanager
def few_threads(task: Task) -> Iterator[None]:
    """One thread of BLAS for small matrices, and of torch for steps of small networks: on busy cores threads wait for
    each other, ten times as long as they compute."""
    rows = len(task.x) * task.model.rep_out.size  # of the largest matrix of Laplace, of polishing and of functions
    rows = min(rows, task.model.net.size) if isinstance(task.model, Model) else rows
    with ExitStack() as stack:
        if rows <= ROWS:
            stack.enter_context(threadpool_limits(limits=1, user_api="blas"))
        if task.engine == "pyro" and isinstance(task.model, Model) and task.model.input_shape is None:
            batch = min(getattr(task.method, "batch_size", None) or len(task.x), len(task.x))
            if task.method.count * at_work(task.model.net, batch) <= SMALL:
                stack.enter_context(load_module("bayes_rpp.engines.torch").threads(1))
        yield


def check_method(method: Any) -> Method:
    if isinstance(method, type) and issubclass(method, Method):
        raise TypeError(f"method must be a Method, got the class {method.__name__}; {method.__name__}() would do")
    if not isinstance(method, Method):
        raise TypeError(f"method must be a Method, got {method!r}; DeepEnsemble(members=10) would do")
    return method
