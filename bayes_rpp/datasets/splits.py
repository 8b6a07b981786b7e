"""Fixed, seeded splits into training and test examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_rpp._arrays import whole_number

SPLITS = ("all", "train", "test")

Rows = NDArray[np.int64]


def check_split(split: Any, allowed: tuple[str, ...] = SPLITS) -> None:
    """Raise ValueError unless `split` is one of those allowed."""
    if not isinstance(split, str) or split not in allowed:
        *most, last = map(repr, allowed)
        raise ValueError(f"split must be {', '.join(most)} or {last}, got {split!r}")


def split_rows(n: int, test_size: Any, seed: Any, classes: ArrayLike | None = None) -> tuple[Rows, Rows]:
    """Positions of the training and of the test examples among n, each in rising order.

    Args:
        n: number of examples.
        test_size: how many of them are for testing.
        seed: of the draw.
        classes: (n,) classes. With them, each class has the same share of the test examples, to within one example.

    Returns:
        (n - test_size,) and (test_size,) positions.

    Raises:
        ValueError: if seed is no whole number >= 0, or either part would be empty.
    """
    whole_number(seed, "seed", 0)
    if isinstance(test_size, bool) or not isinstance(test_size, (int, np.integer)) or not 0 < test_size < n:
        raise ValueError(f"test_size must be a whole number of examples from 1 to {n - 1}, got {test_size!r}")
    labels = np.zeros(n) if classes is None else np.asarray(classes)
    _, label, counts = np.unique(labels, return_inverse=True, return_counts=True)
    share = counts * int(test_size) / n
    quota = np.floor(share).astype(np.int64)
    most_short = np.argsort(quota - share, kind="stable")  # the examples that rounding left over go to these classes
    quota[most_short[: int(test_size) - quota.sum()]] += 1
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(np.flatnonzero(label == k))[:q] for k, q in enumerate(quota)]
    test = np.sort(np.concatenate(drawn))
    return np.setdiff1d(np.arange(n), test), test
