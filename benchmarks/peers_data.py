"""Data for the comparison with peers: tables without a symmetry, and data with an exact, near, mixed or wrong one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRAIN, TEST, NOISE = 200, 1000, 0.02
TABLES = ("diabetes", "friedman1", "breast cancer", "wine", "digits")
Parts = tuple[NDArray, NDArray, NDArray, NDArray]  # x, y, x and y of the test


@dataclass(frozen=True)
class Told:
    """What the models are told: groups (several: f is a sum of parts), and how they act, as text."""

    groups: tuple[str, ...]
    rep_in: str
    rep_out: str


TOLD = {
    "inertia: O(3), exact": Told(("O(3)",), "5*Scalar + 5*Vector", "T(2)"),
    "modified inertia: O(3), approximate": Told(("O(3)",), "5*Scalar + 5*Vector", "T(2)"),
    "two axes: mixed": Told(("SO(2) * Trivial(1)", "Trivial(1) * SO(2)"), "Vector", "Scalar"),
    "no symmetry: SO(3), wrong": Told(("SO(3)",), "Vector", "Vector"),
    "angles, classes: SO(3), exact": Told(("SO(3)",), "3*Vector", "2*Scalar"),
}


def parts(name: str, seed: int) -> Parts:
    """Training and test parts: x (n, columns) and y (n, outputs), or (n,) whole numbers where it is a class.

    Columns of tables, and numbers to predict, are in standard deviations of the training part; columns that a group
    acts on are as they are, and all numbers of y share one scale.
    """
    if name in TABLES:
        return _standardized(*_table(name, seed))
    x, y, new, known = _SYMMETRIC[name](np.random.default_rng(seed), seed)
    if y.dtype.kind == "f":
        noise = NOISE * y.std() * np.random.default_rng(seed + 7).normal(size=(len(y) + len(known), y.shape[1]))
        y, known = y + noise[: len(y)], known + noise[len(y) :]
        y, known = y / y.std(), known / y.std()
    return x, y, new, known


def _standardized(x: NDArray, y: NDArray, new: NDArray, known: NDArray) -> Parts:
    mean, scale = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    if y.dtype.kind == "f":
        y, known = ((a - y.mean()) / y.std() for a in (y, known))
        y, known = y[:, None], known[:, None]
    return (x - mean) / scale, y, (new - mean) / scale, known


def _table(name: str, seed: int) -> Parts:
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    if name == "friedman1":
        x, y = datasets.make_friedman1(300 + TEST, noise=1.0, random_state=seed)
        return x[:300], y[:300], x[300:], y[300:]
    x, y = getattr(datasets, f"load_{name.replace(' ', '_')}")(return_X_y=True)
    x, y = (x[:500], y[:500]) if name == "digits" else (x, y)
    train, new, y, known = train_test_split(
        x, y, test_size=0.4, random_state=seed, stratify=None if name == "diabetes" else y
    )
    return train, y, new, known


def _inertia(make: str) -> Callable[[np.random.Generator, int], Parts]:
    def found(rng: np.random.Generator, seed: int) -> Parts:
        from bayes_rpp import datasets

        train, test = getattr(datasets, make)(TRAIN, seed=seed), getattr(datasets, make)(TEST, seed=seed + 1_000_000)
        return train.x, train.y, test.x, test.y

    return found


def _of(f: Callable[[NDArray], NDArray], columns: int) -> Callable[[np.random.Generator, int], Parts]:
    """Data of a function (n, columns) -> (n, outputs) at normal x."""

    def found(rng: np.random.Generator, seed: int) -> Parts:
        x = rng.normal(size=(TRAIN + TEST, columns))
        y = f(x)
        return x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]

    return found


def _two_axes(x: NDArray) -> NDArray:
    """A function about z and one about x: the sum has neither symmetry."""
    a, b, c = x.T
    return (np.sin(1.5 * np.hypot(a, b)) * (1 + c) + np.cos(1.5 * np.hypot(b, c)) * a)[:, None]


def _none(x: NDArray) -> NDArray:
    a, b, c = x.T
    return np.stack([np.sin(a) + b**2 / 2, a * c, np.cos(b + c)], axis=1)


def _angles(rng: np.random.Generator, seed: int) -> Parts:
    """Whether the first two of three vectors, and the last two, are at acute angles; not for sure."""
    x = rng.normal(size=(TRAIN + TEST, 3, 3))
    acute = (x[:, 1] * (x[:, 0] + x[:, 2])).sum(axis=1)
    y = (rng.random(len(x)) < 1 / (1 + np.exp(-2 * acute))).astype(int)
    x = x.reshape(len(x), 9)
    return x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]


_SYMMETRIC: dict[str, Any] = {
    "inertia: O(3), exact": _inertia("inertia"),
    "modified inertia: O(3), approximate": _inertia("modified_inertia"),
    "two axes: mixed": _of(_two_axes, 3),
    "no symmetry: SO(3), wrong": _of(_none, 3),
    "angles, classes: SO(3), exact": _angles,
}
