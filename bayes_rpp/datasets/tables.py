"""Tables of numbers: three that come with scikit-learn, and the four UCI tables of the paper's Table 1.

One in five rows is for testing. Columns have mean 0 and variance 1 over the training rows (over all rows where
split="all"), the targets of regressions too; no symmetry is known, so the group is trivial.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp.datasets.dataset import Dataset
from bayes_rpp.datasets.delimited import read_numbers
from bayes_rpp.datasets.files import check_checksum, compare_checksum, existing_path
from bayes_rpp.datasets.splits import check_split, split_rows
from bayes_rpp.symmetry.groups import Trivial
from bayes_rpp.symmetry.representations import Scalar

TEST_SHARE = 0.2


def diabetes(*, split: str = "all", seed: int = 0) -> Dataset:
    """Ten measurements of 442 patients to how far their diabetes went within a year (regression).

    Args:
        split: "all" (442 rows), "train" (354) or "test" (88).
        seed: of the split.

    Returns:
        x (n, 10), y (n, 1); float32. y_mean and y_scale are in the units of the disease's measure, 25 to 346.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    return _table("diabetes", *bundled("diabetes", scaled=False), split=split, seed=seed)


def wine(*, split: str = "all", seed: int = 0) -> Dataset:
    """Thirteen chemical measurements of 178 wines to which of 3 growers made them (classes 0, 1, 2).

    This is not the wine of the paper's Table 1, which is `uci("wine", folder)`.

    Args:
        split: "all" (178 rows), "train" (142) or "test" (36); each class has its share of each.
        seed: of the split.

    Returns:
        x (n, 13), y (n, 1); float32. rep_out is 3 * Scalar: a network has one output for each class.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    return _table("wine", *bundled("wine"), split=split, seed=seed, classes=3)


def breast_cancer(*, split: str = "all", seed: int = 0) -> Dataset:
    """Thirty measurements of cells of 569 tumours to whether they are malignant (class 0) or benign (class 1).

    Args:
        split: "all" (569 rows), "train" (455) or "test" (114); each class has its share of each.
        seed: of the split.

    Returns:
        x (n, 30), y (n, 1); float32. rep_out is 2 * Scalar: a network has one output for each class.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    return _table("breast cancer", *bundled("breast_cancer"), split=split, seed=seed, classes=2)


@dataclass(frozen=True)
class _Source:
    """One UCI table: file names, size, words in the target's column, and where it is to be had."""

    files: tuple[str, ...]
    rows: int
    inputs: int
    where: str
    words: Mapping[str, float] = field(default_factory=dict)


_UCI = "of the UCI Machine Learning Repository"
SOURCES = {
    "energy": _Source(("energy.csv", "ENB2012_data.csv"), 768, 8, f"Energy Efficiency {_UCI}, saved as CSV"),
    "fertility": _Source(
        ("fertility.csv", "fertility_Diagnosis.txt"), 100, 9, f"Fertility {_UCI}", {"N": 0.0, "O": 1.0}
    ),
    "pendulum": _Source(("pendulum.csv",), 630, 9, "pendulum of the regression tables in the collection uci_datasets"),
    "wine": _Source(("wine.csv", "winequality-red.csv"), 1599, 11, f"Wine Quality {_UCI} (the red wines)"),
}


def uci(
    name: str,
    folder: str | Path,
    *,
    split: str = "all",
    seed: int = 0,
    target: str | None = None,
    checksum: str | None = None,
    verify: bool = True,
) -> Dataset:
    """A table of the paper's Table 1, from a file that you have downloaded. All four are regressions.

    | name      | files, the first found            | rows | inputs | target                                    |
    |-----------|-----------------------------------|------|--------|-------------------------------------------|
    | energy    | energy.csv, ENB2012_data.csv      | 768  | 8      | Y1, heating load, kWh/m²; Y2 may follow   |
    | fertility | fertility.csv, ..._Diagnosis.txt  | 100  | 9      | diagnosis: N (normal) is 0, O (altered) 1 |
    | pendulum  | pendulum.csv                      | 630  | 9      | the last column                           |
    | wine      | wine.csv, winequality-red.csv     | 1599 | 11     | quality, 3 to 8                           |

    Columns are separated by commas, semicolons, tabs or white space, with or without a line of names; the target is
    the last one. y * y_scale + y_mean has it as it was, such as the 0 and 1 of fertility for a Bernoulli likelihood.

    Args:
        name: of the table.
        folder: with the file, or the file itself.
        split: "all", "train" (four rows in five) or "test".
        seed: of the split.
        target: of energy alone: "Y1" (the default) or "Y2", the cooling load, which then is the tenth column.
        checksum: the file's sha256, to compare; None compares none.
        verify: check that there are as many rows and columns as in the original; False takes any.

    Returns:
        x (n, inputs), y (n, 1); float32. y_mean and y_scale are in the units of the target.

    Raises:
        TypeError, ValueError: naming the argument that does not fit, or what is wrong with the file and where.
        FileNotFoundError: if the file is not there; the message says what to download.
    """
    if not isinstance(name, str) or name not in SOURCES:
        raise ValueError(f"name must be 'energy', 'fertility', 'pendulum' or 'wine', got {name!r}")
    source = SOURCES[name]
    if target not in ((None, "Y1", "Y2") if name == "energy" else (None,)):
        wanted = "'Y1' or 'Y2'" if name == "energy" else f"None (the table {name!r} has one target)"
        raise ValueError(f"target must be {wanted}, got {target!r}")
    wanted_sum = check_checksum(checksum, "sha256")
    path = _file(source, folder)
    data = path.read_bytes()
    if wanted_sum is not None:
        compare_checksum(path, hashlib.sha256(data).hexdigest(), wanted_sum, "sha256")
    numbers = read_numbers(data, path.name, source.words)
    second = name == "energy" and numbers.shape[1] == source.inputs + 2
    if verify:
        _check_size(source, numbers, path.name, second)
    if numbers.shape[1] < 2:
        raise ValueError(f"{path.name} has one column; inputs and a target would do")
    if target == "Y2" and not second:
        raise ValueError(f"target must be 'Y1', as {path.name} has {numbers.shape[1]} columns, not ten, got 'Y2'")
    x, targets = np.split(numbers, [-2 if second else -1], axis=1)
    y = targets[:, 1 if target == "Y2" else 0]
    return _table(f"UCI {name}" + (" (Y2)" if target == "Y2" else ""), x, y, split=split, seed=seed)


def _file(source: _Source, folder: Any) -> Path:
    advice = f"{source.where} would do, as {source.files[0]} in that folder"
    path = existing_path(folder, advice)
    if path.is_file():
        return path
    for file in source.files:
        if (path / file).is_file():
            return path / file
    raise FileNotFoundError(f"{path} holds no {' and no '.join(source.files)}; {advice}")


def _check_size(source: _Source, numbers: NDArray, name: str, second: bool) -> None:
    rows, columns = numbers.shape
    if rows != source.rows or columns != source.inputs + (2 if second else 1):
        raise ValueError(
            f"{name} has {rows} rows and {columns} columns; {source.rows} rows of {source.inputs} inputs and the "
            "target would do. verify=False takes the file as it is"
        )


def bundled(name: str, **options: Any) -> tuple[NDArray, NDArray]:
    """x (n, columns) and y (n,) of a data set that comes with scikit-learn."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True, **options)
    return x, y


def _table(name: str, x: NDArray, y: NDArray, *, split: str, seed: int, classes: int | None = None) -> Dataset:
    """Split and standardise x (n, columns) and, unless it holds classes, y (n,)."""
    check_split(split)
    whole_number(seed, "seed", 0)
    rows = train = np.arange(len(x))
    if split != "all":
        if len(x) < 2:
            raise ValueError(f"split must be 'all' of {name} with one row, got {split!r}")
        train, test = split_rows(len(x), max(1, round(TEST_SHARE * len(x))), seed, y if classes else None)
        rows = train if split == "train" else test
    mean, scale = _moments(x[train])
    y_mean, y_scale = (0.0, 1.0) if classes else (float(m) for m in _moments(y[train]))
    return Dataset(
        name,
        ((x[rows] - mean) / scale).astype(np.float32),
        ((y[rows, None] - y_mean) / y_scale).astype(np.float32),
        x.shape[1] * Scalar,
        (classes or 1) * Scalar,
        Trivial(1),
        classes=classes,
        y_mean=y_mean,
        y_scale=y_scale,
    )


def _moments(values: NDArray) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation over the rows; 1 instead of the deviation of a column that is constant."""
    constant = values.max(axis=0) == values.min(axis=0)
    return values.mean(axis=0), np.where(constant, 1.0, values.std(axis=0))
