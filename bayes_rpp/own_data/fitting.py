"""One fit of a table: the estimator that the options ask for, on the rows that are not held out, and its scores."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.analysis.compare import METHOD
from bayes_rpp.datasets.splits import split_rows
from bayes_rpp.inference.methods import MAP, NUTS, SVI, DeepEnsemble, Method
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.metrics import class_scores
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.own_data.tables import Columns
from bayes_rpp.priors.hyper import Prior

if TYPE_CHECKING:
    import pandas as pd

    from bayes_rpp.estimators.base import RPPEstimator

DRAWS = 400  # of new observations, for intervals
MOST = 1000  # rows for pictures


class How(StrEnum):
    map = "map"
    ensemble = "ensemble"
    laplace = "laplace"
    svi = "svi"
    nuts = "nuts"
    gp = "gp"


class Kind(StrEnum):
    auto = "auto"
    numbers = "numbers"
    classes = "classes"


NUMBERS = {
    How.map: {"epochs"},
    How.ensemble: {"epochs", "members"},
    How.laplace: {"epochs", "draws"},
    How.svi: {"epochs", "draws"},
    How.nuts: {"draws", "warmup", "chains"},
    How.gp: set(),
}


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator and the rows it was trained on and not.

    Attributes:
        model: RPPRegressor or RPPClassifier.
        columns: the data.
        y: (n, targets) numbers, or (n,) labels.
        train, test: positions of rows.
        warnings: that came up, in words.
    """

    model: RPPEstimator
    columns: Columns
    y: NDArray
    train: NDArray
    test: NDArray
    warnings: list[str] = field(default_factory=list)

    @property
    def classes(self) -> NDArray | None:
        """The labels, sorted; None of numbers."""
        return getattr(self.model, "classes_", None)

    @cached_property
    def moments(self) -> tuple[NDArray, NDArray]:
        """Mean and standard deviation at all rows, (n, targets) each, in the units of the file."""
        model: Any = self.model
        return model.predict(self.columns.x, return_std=True)

    @cached_property
    def probabilities(self) -> NDArray:
        """Of each class at all rows, (n, classes)."""
        model: Any = self.model
        return model.predict_proba(self.columns.x)

    @property
    def right(self) -> NDArray:
        """(n,) whether the most probable class is the one observed."""
        assert self.classes is not None
        return self.classes[self.probabilities.argmax(axis=1)] == self.y

    def predictions(self) -> pd.DataFrame:
        """A row for each row of the file: its number from 1, where it was used, and for each target what was observed,
        the mean and standard deviation; of classes the predicted one and all probabilities."""
        import pandas as pd

        used = np.full(len(self.y), "train", dtype=object)
        used[self.test] = "test"
        found: list[tuple[str, NDArray]] = [("row", np.arange(1, len(self.y) + 1)), ("used", used)]
        if self.classes is not None:
            name, p = self.columns.outputs[0], self.probabilities
            found += [(name, self.y), (f"{name} predicted", self.classes[p.argmax(axis=1)])]
            found += [(f"p({label})", p[:, k]) for k, label in enumerate(self.classes)]
        else:
            mean, std = self.moments
            for k, name in enumerate(self.columns.outputs):
                found += [(name, self.y[:, k]), (f"{name} mean", mean[:, k]), (f"{name} std", std[:, k])]
        # A user's target may be called "used", too: a dict would lose one of the two.
        return pd.concat([pd.Series(values, name=name) for name, values in found], axis=1)

    def scores(self) -> dict[str, dict[str, float]]:
        """ "test" and "train" -> scores of `Posterior.metrics`, of numbers in standardised units."""
        return {name: self._scores(rows) for name, rows in (("test", self.test), ("train", self.train))}

    def samples(self) -> tuple[NDArray, NDArray]:
        """What was observed at rows held out, (m, targets), and new observations there, (draws, m, targets)."""
        model: Any = self.model
        rows = self.test[:MOST]
        return self.y[rows], np.moveaxis(model.sample_y(self.columns.x[rows], n_samples=DRAWS), -1, 0)

    @property
    def test_x(self) -> NDArray:
        """Inputs held out, in the units of the posterior: up to 1000 of them."""
        return self.model.standardize_x_(self.columns.x[self.test[:MOST]])

    @property
    def functions(self) -> GaussianProcess | None:
        """The model where functions were fitted; None of networks."""
        found: Any = self.model.posterior_.model
        return found if isinstance(found, GaussianProcess) else None

    def _scores(self, rows: NDArray) -> dict[str, float]:
        model: Any = self.model
        x = model.standardize_x_(self.columns.x[rows])
        if self.classes is None:
            return model.posterior_.metrics(x, model.standardize_y_(self.y[rows]))
        y = np.searchsorted(self.classes, self.y[rows])[:, None]
        if self.functions is None:
            return model.posterior_.metrics(x, y)
        p = self.probabilities[rows]  # those of the mean logits
        return {"nll": float(-np.log(np.take_along_axis(p, y, axis=1)).mean())} | class_scores(p, y, True)


def fit_columns(
    columns: Columns,
    kind: Kind,
    how: How,
    given: Mapping[str, int | None],
    *,
    test_fraction: float,
    seed: int,
    **settings: Any,
) -> Fitted:
    """Fit columns with a part of the rows held out.

    Args:
        given: numbers of the method (epochs, members, draws, warmup, chains), None where left out.
        test_fraction: share of the rows, of each class, that is held out.
        settings: of the estimator.

    Raises:
        ImportError: without scikit-learn or an engine.
        TypeError, ValueError: naming the argument that does not fit.
    """
    from bayes_rpp.estimators.classifier import RPPClassifier
    from bayes_rpp.estimators.regressor import RPPRegressor

    classes = kind is Kind.classes or (kind is Kind.auto and columns.are_classes)
    y = columns.labels() if classes else columns.numbers()
    n = len(y)
    if not 0 < test_fraction < 1:
        raise ValueError(f"test-fraction must be a number between 0 and 1, got {test_fraction:g}; 0.2 would do")
    held = max(1, round(test_fraction * n))
    if n - held < 2:
        raise ValueError(f"the file has {n} rows, of which {held} are held out; more would do")
    train, test = split_rows(n, held, seed, y if classes else None)
    if classes:  # a class that is held out whole could not be learned
        lost = ~np.isin(y[test], y[train])
        train, test = np.sort(np.append(train, test[lost])), test[~lost]
        if not len(test):
            raise ValueError(f"targets must have several rows of each class, got one of each in {n} rows")
    method = make_method(how, given, len(train))
    if how is How.laplace:
        settings["sigma_a"] = Prior("HalfNormal", {"scale": 1.0})  # tuned by the evidence
    make = RPPClassifier if classes else RPPRegressor
    model: Any = make(method=method, random_state=seed, **settings)
    with _convergence() as said:
        model.fit(columns.x[train], y[train])
    return Fitted(model, columns, y, train, test, said)


def make_method(how: How, given: Mapping[str, int | None], n: int) -> Method | Literal["gp"]:
    """The method for n examples, with the numbers that are given; "gp", as the estimators take it, of functions.

    Raises:
        ValueError: if a number is given that the method has none of, or is out of range.
    """
    from bayes_rpp.estimators.base import default_method

    numbers: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    for name in numbers:
        if name not in NUMBERS[how]:
            able = ", ".join(method for method, names in NUMBERS.items() if name in names)
            raise ValueError(f"{name} must be left out where method is {how}, got {numbers[name]}; it is for {able}")
    if how is How.gp:
        return "gp"
    base = default_method(n)
    training: dict[str, Any] = {"epochs": base.epochs, "batch_size": base.batch_size, "patience": base.patience}
    if how is How.ensemble:
        return DeepEnsemble(**{"members": base.members} | training | numbers)
    if how is How.map:
        return MAP(**training | numbers)
    if how is How.laplace:
        return replace(METHOD, **numbers)
    if how is How.svi:
        return SVI(**{"batch_size": None, "draws": 200} | numbers)
    return NUTS(**{"warmup": 500, "draws": 500} | numbers)


@contextmanager
def _convergence() -> Iterator[list[str]]:
    """Collects what ConvergenceWarnings say; others go where they go."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        yield said
    for w in caught:
        if issubclass(w.category, ConvergenceWarning):
            said.append(str(w.message))
        else:
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
