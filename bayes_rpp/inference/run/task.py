"""What every method on every engine is given, checked once: the model, the data and how to run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._given import finite_array, real_array
from bayes_rpp.inference.methods import Method
from bayes_rpp.inference.run.checkpoint import Checkpoint
from bayes_rpp.models.model import Model, Parametrisation
from bayes_rpp.networks.network import Network

if TYPE_CHECKING:
    from bayes_rpp.inference.optimise.training import Progress
    from bayes_rpp.inference.posterior.posterior import Posterior

Callback = Callable[["Progress"], Any]
Data = tuple[NDArray, NDArray]


@dataclass(frozen=True)
class Task:
    """A fit to be done. `weights` are initial weights by parameter name, with leading dimension members, or None;
    `chains` those of a sampler to run here, by number; `memory` is what members that are trained together may take,
    in GB."""

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
    chains: tuple[int, ...] = ()
    memory: float = math.inf

    @property
    def parametrisation(self) -> Parametrisation:
        """The model's own, or the method's."""
        return self.model.parametrisation or self.method.parametrisation(self.model)

    def posterior(self, samples: dict[str, NDArray], **parts: Any) -> Posterior:
        from bayes_rpp.inference.posterior.posterior import Posterior

        made: dict[str, Any] = {"x": self.x, "y": self.y, "method": repr(self.method)}
        made |= {"engine": self.engine, "seed": self.seed}
        return Posterior(self.model, samples, **made, **parts)


def run_task(task: Task) -> Posterior:
    """Do a task, in the way of its method."""
    found: Posterior = task.method.run(task)
    return found


def check_data(model: Model, x: Any, y: Any, names: tuple[str, str] = ("x", "y")) -> Data:
    """Inputs and outputs as float32, or float64 if they were; raises errors that name the argument."""
    outputs, likelihood = model.net.rep_out.size, model.likelihood
    columns = likelihood.columns(outputs)
    if columns != outputs and np.ndim(y) == 1:  # classes
        y = real_array(y, names[1])[:, None]
    a = finite_array(
        flat_inputs(model.net, x, names[0]), names[0], columns=model.net.rep_in.size, owner="rep_in has size {}"
    )
    owner = (
        "rep_out has size {}" if columns == outputs else f"a {type(likelihood).__name__} likelihood needs {{}} column"
    )
    b = finite_array(y, names[1], columns=columns, owner=owner)
    if len(a) != len(b):
        raise ValueError(f"{names[0]} has {len(a)} examples but {names[1]} has {len(b)}")
    if not len(a):
        raise ValueError(f"{names[0]} has no examples")
    likelihood.check(b, outputs, names[1])
    return floating(a), floating(b)


def flat_inputs(net: Network, x: Any, name: str) -> Any:
    """Images and the like (n, *input_shape) as rows; anything else as it is."""
    if net.input_shape is None or np.ndim(x) <= 2:
        return x
    if np.shape(x)[1:] != net.input_shape:
        wanted = f"(examples, {', '.join(map(str, net.input_shape))})"
        raise ValueError(f"{name} has shape {np.shape(x)}; {wanted}, or (examples, {net.rep_in.size}), would do")
    return real_array(x, name).reshape(len(x), net.rep_in.size)


def floating(a: NDArray) -> NDArray:
    """As float32, or float64 where it was so or has whole numbers that float32 would round."""
    if a.dtype == np.float64:
        return a
    found = a.astype(np.float32)
    return found if a.dtype.kind not in "iu" or np.array_equal(found.astype(np.float64), a) else a.astype(np.float64)


def check_method(method: Any) -> Method:
    if isinstance(method, type) and issubclass(method, Method):
        raise TypeError(f"method is the class {method.__name__}; {method.__name__}() would do")
    if not isinstance(method, Method):
        raise TypeError(f"method is {method!r}; a method such as DeepEnsemble(members=10) would do")
    return method
