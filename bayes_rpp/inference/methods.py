"""Inference methods as frozen dataclasses: what to do, not how; each engine has a file for each method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Method:
    """The contract of methods: numbers that say what to do, and `name`, the file in each engine that does it."""

    @property
    def name(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class MAP(Method):
    """The most probable weights, max_W log p(y | W, x) + log p(W), by Adam.

    Args:
        epochs: passes over the data.
        batch_size: examples for each step; the last incomplete batch of an epoch is dropped. None: all of them.
        learning_rate: of Adam, in units of each weight's scale: the smaller of its prior's standard deviation and
            sqrt(n_out / n), so that the residual pathway moves in steps of its own size.
        schedule: "cosine" lets the rate fall to zero over the run, "constant" keeps it.
        patience: stop once no member has had a better validation loss for this many epochs, and keep the best epoch of
            each member; needs `fit(..., validation=)`. None: no early stopping.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    epochs: int = 200
    batch_size: int | None = 128
    learning_rate: float = 0.03
    schedule: Literal["cosine", "constant"] = "cosine"
    patience: int | None = None

    def __post_init__(self) -> None:
        check_count(self.epochs, "epochs")
        if self.batch_size is not None:
            check_count(self.batch_size, "batch_size")
        if self.patience is not None:
            check_count(self.patience, "patience")
        rate = self.learning_rate
        if (
            isinstance(rate, bool)
            or not isinstance(rate, (int, float, np.number))
            or not (math.isfinite(rate) and rate > 0)
        ):
            raise ValueError(f"learning_rate is {rate!r}; a number > 0, such as 0.03, would do")
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"schedule is {self.schedule!r}; 'cosine' or 'constant' would do")

    @property
    def name(self) -> str:
        return "map"

    @property
    def count(self) -> int:
        """Number of members trained."""
        return 1

    def rates(self, steps: int) -> NDArray[np.float64]:
        """Learning rate of each of the steps of a run."""
        if self.schedule == "constant":
            return np.full(steps, float(self.learning_rate))
        return 0.5 * self.learning_rate * (1 + np.cos(math.pi * np.arange(steps) / steps))


@dataclass(frozen=True)
class DeepEnsemble(MAP):
    """Several MAP fits, each with its own initial values and order of the data, trained at once.

    Lakshminarayanan et al. 2017; as an approximate posterior, Wilson and Izmailov 2020. Arguments as in MAP, and
    `members`; the first k members do not depend on how many follow.
    """

    members: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.members, "members")

    @property
    def count(self) -> int:
        return self.members


def check_count(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} is {value!r}; a whole number >= 1 would do")
