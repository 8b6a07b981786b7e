"""Data as torch has them: a Dataset is read into arrays, a DataLoader is gone through anew in each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._given import described
from bayes_rpp.models.data import check_data
from bayes_rpp.models.model import Model

KEPT = 2000  # examples of a stream that a posterior has, and that are looked at

AnyData: TypeAlias = Any


def is_loader(x: Any) -> bool:
    """Whether it is a DataLoader: what gives batches, and knows the data that they are of."""
    return hasattr(x, "dataset") and hasattr(x, "__iter__") and not hasattr(x, "__array__")


def is_dataset(x: Any) -> bool:
    """Whether it is a Dataset of torch: what gives pairs of one example each."""
    homes = {base.__module__ for base in type(x).__mro__}
    return "torch.utils.data.dataset" in homes and not is_loader(x)


def examples_of(x: Any, y: Any, name: str = "x") -> tuple[Any, Any]:
    """The arrays of a Dataset, or of a DataLoader gone through once; others as they are.

    Raises:
        TypeError, ValueError: if y is given beside them, or they do not give pairs of inputs and outputs.
    """
    if not is_loader(x) and not is_dataset(x):
        return x, y
    _check_alone(x, y, name)
    if is_loader(x):
        batches = [_pair(b, name) for b in x]
        return tuple(np.concatenate([np.asarray(b[k]) for b in batches]) for k in range(2))  # type: ignore[return-value]
    if not hasattr(x, "__len__"):
        raise TypeError(f"{name} must be a Dataset of known length, got {described(x)}; a DataLoader of one would do")
    pairs = [_pair(x[k], name) for k in range(len(x))]
    return tuple(np.stack([np.asarray(p[k]) for p in pairs]) for k in range(2))  # type: ignore[return-value]


class Stream:
    """A DataLoader as batches of checked arrays, as often as one asks.

    Args:
        model: that takes them.
        loader: of a dataset with a length; shuffling, augmentation and the size of a batch are its own.

    Attributes:
        size: number of examples; steps: of batches; batch_size: of most of them.
        x, y: the first 2,000 examples, or all.
    """

    def __init__(self, model: Model, loader: Any, y: Any) -> None:
        _check_alone(loader, y, "x")
        self._model, self._loader = model, loader
        if not hasattr(loader.dataset, "__len__"):
            raise TypeError(
                f"x must be a DataLoader whose dataset has a length, got one of {described(loader.dataset)}; a __len__ "
                "of it, the number of examples, would do"
            )
        self.size, self.steps = len(loader.dataset), len(loader)
        # A loader with a sampler of batches has no size of them.
        self.batch_size = loader.batch_size or math.ceil(self.size / max(self.steps, 1))
        found, n = list[tuple[NDArray, NDArray]](), 0
        for batch in self.batches():
            found.append(batch)
            n += len(batch[0])
            if n >= KEPT:
                break
        if not found:
            raise ValueError("x must have at least one example, got a DataLoader that gives none")
        self.x, self.y = (np.concatenate([b[k] for b in found])[:KEPT] for k in range(2))

    def batches(self) -> Iterator[tuple[NDArray, NDArray]]:
        """Pairs (n, d_in) and (n, columns), one for each step."""
        for batch in self._loader:
            x, y = _pair(batch, "x")
            self._check_classes(y)
            yield check_data(self._model, x, y, names=("x of a batch", "y of a batch"))

    def _check_classes(self, y: Any) -> None:
        """Raise ValueError where outputs are whole numbers (n,), as loaders give classes, and the likelihood is of
        numbers."""
        likelihood, outputs, y = self._model.likelihood, self._model.rep_out.size, np.asarray(y)
        if y.ndim == 1 and y.dtype.kind in "iu" and likelihood.columns(outputs) == outputs:
            raise ValueError(
                "y of a batch must have two dimensions (examples, columns), as a "
                f"{type(likelihood).__name__} likelihood needs, got whole numbers of shape {y.shape}; for classes "
                "Model(net, likelihood=Categorical()) would do, for numbers y[:, None]"
            )


def _check_alone(x: Any, y: Any, name: str) -> None:
    if y is not None:
        raise TypeError(f"y must be None where {name} is a {type(x).__name__}, which has both, got {described(y)}")


def _pair(batch: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError(
            f"{name} must be a Dataset or DataLoader of pairs (inputs, outputs), got one that gives "
            f"{described(batch)}; SoftModule, in a loop of one's own, takes any"
        )
    return batch[0], batch[1]
