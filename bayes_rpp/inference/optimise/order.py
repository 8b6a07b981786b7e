"""What a training goes through, and what it keeps: the order of the examples, and each member's best epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bayes_rpp.inference.optimise.training import Trainer


class Batches:
    """The order of the examples in each epoch, one for each member; what does not fill a batch is left out."""

    def __init__(self, seeds: Sequence[np.random.SeedSequence], n: int, size: int | None) -> None:
        self._orders = [np.random.default_rng(s.spawn(1)[0]) for s in seeds]
        self._n, self._size = n, min(size or n, n)
        self.steps = n // self._size

    def next(self) -> NDArray[np.int64]:
        """(members, steps, size) rows."""
        shape = (self.steps, self._size)
        return np.stack([rng.permutation(self._n)[: self.steps * self._size].reshape(shape) for rng in self._orders])

    def skip(self, epochs: int) -> None:
        for rng in self._orders * epochs:
            rng.permutation(self._n)


class Best:
    """Each member's best epoch by validation loss, up to where it would have stopped if it were alone."""

    def __init__(self, method: Any, trainer: Trainer) -> None:
        self.patience = method.patience
        self.lowest = np.full(method.count, np.inf)
        self.since = np.zeros(method.count, dtype=int)  # epochs since the best
        self.state = trainer.state() if self.patience is not None else {}

    def update(self, validation: NDArray, trainer: Trainer) -> bool:
        """Whether to stop."""
        if self.patience is None:
            return False
        better = (validation < self.lowest) & (self.since < self.patience)
        if better.any():
            self.lowest = np.where(better, validation, self.lowest)
            self.state = {k: _choose(better, v, self.state[k]) for k, v in trainer.state().items()}
        self.since = np.where(better, 0, self.since + 1)
        return self.is_over

    @property
    def is_over(self) -> bool:
        return self.patience is not None and bool((self.since >= self.patience).all())

    def restore(self, trainer: Trainer) -> None:
        if self.patience is not None:
            trainer.restore(self.state)


def _choose(which: NDArray, new: NDArray, old: NDArray) -> NDArray:
    return np.where(which.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)
