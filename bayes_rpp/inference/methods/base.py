"""What all methods of inference have: what to do, not how, in numbers that are checked; and what optimisers have."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp._deprecation import renamed_attribute, warn_renamed
from bayes_rpp._imports import load_module

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior
    from bayes_rpp.inference.run.task import Task
    from bayes_rpp.models.model import AnyParametrization, Model


@dataclass(frozen=True)
class Method:
    """The contract of methods: numbers that say what to do, and where it is done.

    Attributes:
        takes: which of fit's "callbacks", "validation", "checkpoint" and "executor" it heeds; others are an error.
        home: dotted name of the package whose module of the engine's name, such as `pyro`, does it: its `fit(task)`.
    """

    home: ClassVar[str] = ""
    takes: ClassVar[frozenset[str]] = frozenset()
    parametrisation = renamed_attribute("parametrisation", "parametrization")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "parametrisation" in vars(cls):
            warn_renamed(f"{cls.__name__}.parametrisation", "parametrization")
            cls.parametrization = vars(cls)["parametrisation"]  # type: ignore[method-assign]

    def run(self, task: Task) -> Posterior:
        """Do it: by the engine's file in `home`. A method that is the same for both engines can do it here."""
        if not self.home:
            raise NotImplementedError(
                f"{type(self).__name__} has neither a home nor a run(task) of its own; "
                'home: ClassVar[str] = "package.with.files", with a module for each engine, would do'
            )
        try:
            module = load_module(f"{self.home}.{task.engine}")
        except ModuleNotFoundError as error:
            if f"{self.home}.{task.engine}.".startswith(f"{error.name}."):
                got = f"{self.home!r} without {error.name!r}"
                raise ValueError(f"home must be a package with a module {task.engine!r}, got {got}") from error
            raise  # of what that module imports
        found: Posterior = module.fit(task)
        return found

    @property
    def count(self) -> int:
        """Number of members or chains."""
        raise NotImplementedError(f"{type(self).__name__} has no count; a property, the number of members, would do")

    def parametrization(self, model: Model) -> AnyParametrization:
        """The parametrization in which the method works on a model that leaves it open."""
        return "whitened"

    def held(self, model: Model) -> tuple[str, ...]:
        """Sites that an optimiser leaves as they are, as the method finds them in another way."""
        return ()

    def given(self) -> dict[str, NDArray]:
        """Numbers of the model to infer that are known for each member, (members,), and not to be found."""
        return {}

    def seeds(self, seed: int) -> list[np.random.SeedSequence]:
        """Of each member or chain."""
        return np.random.SeedSequence(seed).spawn(self.count)

    @property
    def fails_alone(self) -> bool:
        """Whether a member whose loss is not finite is left to itself, rather than ending the run."""
        return False

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Its numbers by name, as scikit-learn asks for them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def set_params(self, **changes: Any) -> Method:
        """Methods do not change: raises TypeError. The estimators' own `set_params(method__epochs=...)` takes another
        method."""
        example = ", ".join(f"{k}={v!r}" for k, v in changes.items()) or "epochs=100"
        raise TypeError(f"{type(self).__name__} cannot be changed; dataclasses.replace(method, {example}) would do")

    def __sklearn_clone__(self) -> Method:
        return self


RATE, GENTLE = 0.03, 0.003  # learning rates: from draws from the prior, and from weights that are given


@dataclass(frozen=True)
class Optimizer(Method):
    """Numbers of the methods that optimise by Adam; see MAP."""

    takes: ClassVar[frozenset[str]] = frozenset({"callbacks", "validation", "checkpoint"})

    epochs: int = 200
    batch_size: int | None = 128
    learning_rate: float | None = None
    schedule: Literal["cosine", "constant"] = "cosine"
    patience: int | None = None

    def __post_init__(self) -> None:
        self._check_epochs()
        if self.batch_size is not None:
            whole_number(self.batch_size, "batch_size")
        if self.patience is not None:
            whole_number(self.patience, "patience")
        if self.learning_rate is not None:
            check_positive(self.learning_rate, "learning_rate", "0.03")
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"schedule must be 'cosine' or 'constant', got {self.schedule!r}")

    def _check_epochs(self) -> None:
        whole_number(self.epochs, "epochs")

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        return RATE if self.learning_rate is None else float(self.learning_rate)

    def rates(self, steps: int) -> NDArray[np.float64]:
        """Learning rate of each of the steps of a run."""
        if self.schedule == "constant":
            return np.full(steps, self.rate)
        return 0.5 * self.rate * (1 + np.cos(math.pi * np.arange(steps) / steps))


def check_positive(value: Any, name: str, example: str) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float, np.number))
        or not (math.isfinite(value) and value > 0)
    ):
        raise ValueError(f"{name} must be a number > 0, got {value!r}; {example} would do")
    return float(value)
