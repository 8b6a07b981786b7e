"""What a comparison of symmetries gives: its scores, its verdict, and predictions by the best model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._deprecation import renamed_attribute
from bayes_rpp._given import finite_array, real_array
from bayes_rpp._html import paragraph, table
from bayes_rpp._types import ArrayLike
from bayes_rpp.analysis.candidates import KINDS, Candidate
from bayes_rpp.analysis.compare_table import POINTS
from bayes_rpp.analysis.degree import degree_of_symmetry
from bayes_rpp.analysis.scores import Score
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.analysis.verdict import Verdict, highest
from bayes_rpp.inference.posterior.draws import Prediction
from bayes_rpp.models.model import Model

if TYPE_CHECKING:
    from pandas import DataFrame

    from bayes_rpp.analysis.group_map import GroupErrorMap
    from bayes_rpp.inference.posterior.posterior import Posterior

FEWER = 50
Key = tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """What `compare_symmetries` found. All scores are in standardised units; differences do not depend on them.

    Attributes:
        table: a row for each (candidate, model), the highest evidence first: log_evidence, d_evidence (to the best),
            elpd, se, d_elpd and d_se (to the best elpd, and the standard error of that difference), p (effective
            parameters), pareto_k (the largest; 0 of functions, whose LOO is exact), bad_k (how many are above 0.7),
            weight (stacking), noise, sigma_ratio (of the layers' sigma_b / sigma_a the largest; of a nested model all
            beyond the candidate's own symmetry against all within), error (Eq. 2 for the candidate's group, median over
            draws; NaN of a mixed one, whose parts have a group each), seconds.
        best: the largest symmetry without a sign of breaking: whose strict model is not worse than its own soft and
            free ones, nor than the strict ones of smaller symmetries, or only for want of capacity; or that is kept to
            1 % (Eq. 2); or that such a symmetry contains. None if there is none.
        judgment: the verdict in parts; of those without a sign of breaking `judgment.holds` are known to be kept to
            1 %, and of `judgment.undecided` the data do not tell.
        verdict: in words, with the doubts; print it.
        doubts: the doubts alone.
        candidates, posteriors, scores: by name, and by (candidate, model). A posterior of several starts has a chain
            for each mode whose evidence is within 30 nats of the best one's, which comes first: by less the evidences
            of two modes may differ, and together they predict better. Table, scores and verdict are of the best mode.
        standardize_x, standardize_y: from the units of the data to those of the posteriors: `found.standardize_x(x)`
            is what these predict at, and `found.standardize_y.undo(mean)` and `std * found.standardize_y.scale` what
            they say, in the units of y. `predict` does so.
    """

    table: DataFrame
    best: str | None
    judgment: Verdict = field(repr=False)
    candidates: dict[str, Candidate] = field(repr=False)
    posteriors: dict[Key, Posterior] = field(repr=False)
    scores: dict[Key, Score] = field(repr=False)
    standardize_x: Standardization = field(repr=False)
    standardize_y: Standardization = field(repr=False)
    judgement = renamed_attribute("judgement", "judgment")
    standardise_x = renamed_attribute("standardise_x", "standardize_x")
    standardise_y = renamed_attribute("standardise_y", "standardize_y")

    @property
    def verdict(self) -> str:
        """Which symmetry holds, how sure that is and how far the others are broken, in words."""
        return str(self.judgment)

    @property
    def doubts(self) -> list[str]:
        """What speaks against believing it; empty where nothing does."""
        return self.judgment.doubts

    @property
    def recommended(self) -> Key:
        """(candidate, model) of the highest log evidence, or else LOO: the one that `predict` predicts with. Of
        functions less half of log n for each number that was tuned (Schwarz 1978), as their evidence is at the best
        numbers."""
        return highest(self.scores, self.best)

    def predict(self, x: ArrayLike, seed: int | None = None, *, samples: bool = True) -> Prediction:
        """Predict at new points by the `recommended` model, in the units of the data that were compared.

        Args:
            x: (n, d_in), in those units.
            seed, samples: as in `Posterior.predict`.

        Returns:
            Prediction with mean and std (n, d_out) and samples (chain, draw, n, d_out), in the units of y. Of classes
            the mean is their probabilities, as everywhere.

        Raises:
            TypeError, ValueError: if x does not fit.
        """
        x = finite_array(x, "x", columns=len(self.standardize_x.center), because=", as the comparison's")
        found = self.posteriors[self.recommended].predict(self.standardize_x(x), seed, samples=samples)
        to_y = self.standardize_y
        drawn = None if found.samples is None else to_y.undo(found.samples)
        return Prediction(to_y.undo(found.mean), found.std * to_y.scale, drawn)

    def posterior(self, name: str | None = None, model: str | None = None) -> Posterior:
        """Of a candidate (None: the best) and a model (None: the softest: "nested" where there is one, or else "soft");
        where strict, soft and free are the same, that one. It is in standardised units, see `standardize_x`, and need
        not be the `recommended` one: to predict, `predict` would do.

        Raises:
            KeyError: if there is no such candidate or model.
        """
        name = self._named(name)
        kinds = self.candidates[name].kinds
        model = self.candidates[name].softest if model is None else model
        if model not in KINDS or (model == "nested" and model not in kinds):
            some = [kind for kind in KINDS if kind != "nested" or kind in kinds]
            raise KeyError(f"model must be one of {', '.join(map(repr, some))}, got {model!r}")
        return self.posteriors[name, model if model in kinds else "strict"]

    def degree(self, name: str | None = None) -> DataFrame:
        """How far the soft model of a candidate breaks its symmetry, by layer and as a whole; `degree_of_symmetry`."""
        post = self._soft(name)
        return degree_of_symmetry(post, post.x[:POINTS])

    def group_map(self, name: str | None = None, **options: Any) -> GroupErrorMap:
        """Which of a candidate's transformations its soft model breaks; options as in `group_error_map`."""
        from bayes_rpp.analysis.group_map import group_error_map

        post = self._soft(name)
        points = POINTS if isinstance(post.model, Model) else FEWER  # whose functions are drawn anew for each element
        found = group_error_map(post, post.x[:points], **options)
        return found if "group" in options else replace(found, name=self._named(name))

    def metrics(self, x: ArrayLike, y: ArrayLike) -> DataFrame:
        """Held-out scores of every model on data in the user's units, in standardised units; see `Posterior.metrics`.
        A row for each (candidate, model), the lowest nll first."""
        from pandas import DataFrame, MultiIndex

        first = next(iter(self.posteriors.values()))
        x, y = checked_data(x, y, first.x.shape[1], first.y.shape[1])
        x, y = self.standardize_x(x), self.standardize_y(y)
        rows = [post.metrics(x, y) for post in self.posteriors.values()]
        index = MultiIndex.from_tuples(list(self.posteriors), names=["candidate", "model"])
        return DataFrame(rows, index=index).sort_values("nll")

    def _soft(self, name: str | None) -> Posterior:
        """The soft posterior of a candidate with one group."""
        name = self._named(name)
        if self.candidates[name].is_mixed:
            raise ValueError(
                f"name must be of a candidate with one group, got {name!r}, of {len(self.candidates[name].groups)}; "
                f"found.table, whose sigma_ratio says how much lies beyond all of them, would do"
            )
        return self.posterior(name, "soft")

    def _named(self, name: str | None) -> str:
        name = self.best if name is None else name
        if name is None:
            raise KeyError(
                "name must be given where no candidate holds, got None; one of "
                f"{', '.join(map(repr, self.candidates))} would do"
            )
        if name not in self.candidates:
            raise KeyError(f"name must be one of {', '.join(map(repr, self.candidates))}, got {name!r}")
        return name

    def __str__(self) -> str:
        return f"{self.table.to_string(float_format='%.3g')}\n\n{self.verdict}"

    def _repr_html_(self) -> str:
        rows = self.table.reset_index()
        cells = ([f"{v:.3g}" if isinstance(v, float) else v for v in row] for row in rows.itertuples(index=False))
        return table(cells, list(rows)) + paragraph(self.verdict)


def checked_data(x: Any, y: Any, inputs: int, outputs: int, advice: Any = None) -> tuple[NDArray, NDArray]:
    """Data to compare with, (n, inputs) and (n, outputs); y may be (n,) where outputs is 1."""
    y = real_array(y, "y")[:, None] if outputs == 1 and np.ndim(y) == 1 else y
    x = finite_array(x, "x", columns=inputs, because=", the size of rep_in", advice=advice)
    y = finite_array(y, "y", columns=outputs, because=", the size of rep_out")
    if len(x) != len(y):
        raise ValueError(f"y must have {len(x)} examples, as x has, got {len(y)}")
    if len(x) < 2:
        raise ValueError(f"x must have at least 2 examples, and better 50 or more, got {len(x)}")
    return x, y
