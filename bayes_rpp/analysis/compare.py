"""Which symmetry do the data have? Candidates as strict to free models, fitted, scored, and judged in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp._deprecation import renamed_attribute
from bayes_rpp._given import finite_array, real_array
from bayes_rpp._html import paragraph, table
from bayes_rpp._types import ArrayLike, EngineName
from bayes_rpp.analysis.candidates import KINDS, Candidate, make_candidates
from bayes_rpp.analysis.compare_fits import Fits
from bayes_rpp.analysis.compare_table import POINTS, comparison_table
from bayes_rpp.analysis.degree import degree_of_symmetry
from bayes_rpp.analysis.function_candidates import FunctionCandidate, why_networks
from bayes_rpp.analysis.function_fits import FunctionFits
from bayes_rpp.analysis.given_groups import Groups, read_groups
from bayes_rpp.analysis.scores import Score
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.analysis.verdict import Verdict, highest, judge
from bayes_rpp.inference.methods import MAP, Laplace, Method
from bayes_rpp.inference.posterior.draws import Prediction
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.likelihoods import Gaussian, StudentT
from bayes_rpp.models.model import Model
from bayes_rpp.networks.network import Network
from bayes_rpp.priors.hyper import Prior
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.parse import parse_rep
from bayes_rpp.symmetry.representations import Rep

if TYPE_CHECKING:
    from pandas import DataFrame

    from bayes_rpp.analysis.group_map import GroupErrorMap
    from bayes_rpp.inference.posterior.posterior import Posterior

NOISE = 0.3  # where its tuning starts, in standardised units
FEWER = 50
Key = tuple[str, str]
STARTS = 3  # of methods that find one of many modes
FUNCTIONS = (
    "Functions were compared (Gaussian processes): evidences and LOO are exact, at the best sigmas, lengthscales and "
    "noise."
)
METHOD = Laplace(evidence="maximize", epochs=200, batch_size=None, draws=200, every=100, steps=5, polish=15)


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
        x, y = _data(x, y, first.x.shape[1], first.y.shape[1])
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


def compare_symmetries(
    x: ArrayLike,
    y: ArrayLike,
    groups: Mapping[str, Group | str | Sequence[Group | str]],
    *,
    rep_in: Rep | str,
    rep_out: Rep | str,
    models: Literal["auto", "functions", "networks"] = "auto",
    channels: int | Rep | None = None,
    layers: int | None = None,
    network: Callable[[Group], Network] | None = None,
    likelihood: Likelihood | None = None,
    method: Method | None = None,
    starts: int | None = None,
    engine: EngineName | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Comparison:
    """Which of several symmetries do the data have, how sure is that, and how far is it broken?

    For each candidate the strict (sigma_b = 0), the soft (sigmas tuned, sigma_b by layer) and the free (sigma_a = 0)
    model are fitted and scored by log evidence and LOO; and for one that others contain the nested model, soft with a
    pathway for each of those too. All share the likelihood, and the kernel or the hidden layers' widths.

    Args:
        x, y: (n, d_in) and (n, d_out) arrays. They are standardised in a way that keeps every candidate's symmetry:
            centred only by what all groups leave fixed, and with one scale for all columns of a block of a
            representation (scalars of x and y each have their own). y only with Gaussian and StudentT.
        groups: name -> Group, all on the same R^dim; {"none": Trivial(3), "SO(2)": SO(2) * Trivial(1), "O(3)": O(3)}.
            Without a Trivial one "none" cannot be the answer. A list of groups, of which none contains another, is a
            mixed candidate, {"both": [G, H]}: f is a sum of a part with each symmetry, and has neither; of functions
            alone, as a network with such layers is no such sum. Where rep_in and rep_out name the factors of products
            (`Vector.on(0)`), a Trivial(n) of any n stands for the product of Trivial groups with the factors' sizes.
        rep_in, rep_out: how they act on the columns. These and the groups may be text, such as "2*Vector" and "O(3)".
        models: "functions" are Gaussian processes (`GaussianProcess`), whose posteriors, evidences and LOO are exact
            and take seconds to minutes; sigmas, lengthscales and noise have the values of the highest evidence.
            "networks" are EMLPs. "auto" takes functions where they are exact and quick, and says which it took: compact
            groups that act by orthogonal matrices and have an average over few elements, Gaussian noise, up to 3,000
            numbers in y; and networks where an argument of theirs is given.
        channels: width of the hidden layers, or their representation; layers: how many. 0 is a linear model, for which
            the evidence of a Gaussian likelihood is exact. None: 32 and 1. These, network, method and starts are of
            networks alone.
        network: group -> Network, in place of an EMLP of these channels and layers; then there are no nested models.
        likelihood: None: Gaussian, with its noise tuned.
        method: of each fit. None: Laplace(evidence="maximize"), which tunes sigmas and noise. One without an evidence,
            such as NUTS, leaves the decision to LOO.
        starts: fits of each model (of free ones always one), of which the one with the highest evidence (or else LOO)
            counts. None: 3 of methods that find one of many modes (MAP, ensembles and Laplace), 1 of others and of
            linear models. With the former the strict and the soft model are also fitted from each other's weights, and
            the nested one from the modes of the larger candidates' soft ones, so that they do not differ by the luck of
            their starts; Laplace goes on from there without training (epochs=0), which takes a second.
        engine, seed: as in `fit`.
        progress: whether to say which model is fitted.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    rep_in, rep_out = (parse_rep(r) if isinstance(r, str) else r for r in (rep_in, rep_out))
    named = read_groups(groups, rep_in, rep_out)
    every = [g for gs in named.values() for g in gs]
    if starts is not None:
        whole_number(starts, "starts")
    likelihood = likelihood if likelihood is not None else Gaussian(Prior("HalfNormal", {"scale": NOISE}))
    of_networks = {"channels": channels, "layers": layers, "network": network, "method": method, "starts": starts}
    given = [name for name, value in of_networks.items() if value is not None]
    channels, layers = 32 if channels is None else channels, 1 if layers is None else layers
    candidates = make_candidates(
        named, rep_in, rep_out, channels=channels, layers=layers, network=network, likelihood=likelihood
    )
    net = candidates[0].net
    x, y = _data(x, y, net.rep_in.size, likelihood.columns(net.rep_out.size), net.rep_in.advice)
    to_x = Standardization.of(x, rep_in, every)
    to_x.warn_of_offset(x, "x")
    to_y = Standardization.none(y.shape[1])
    if isinstance(likelihood, (Gaussian, StudentT)):
        to_y = Standardization.of(y, rep_out, every)
        to_y.warn_of_offset(y, "y")
    by_name = {c.name: c for c in candidates}
    x, y = to_x(x), to_y(y)
    why = _why_networks(models, named, rep_in, rep_out, likelihood, y, given)
    fits: Fits
    if why is None:
        by_name = FunctionCandidate.of(by_name, x, y)
        fits, by = FunctionFits(by_name, x, y, MAP(), 1, engine, seed), FUNCTIONS
    else:
        method = method if method is not None else METHOD
        many = isinstance(method, MAP) and (layers > 0 or network is not None)
        fits = Fits(by_name, x, y, method, starts or (STARTS if many else 1), engine, seed)
        by = f"Networks were compared, not functions: {why}." if why else ""
    fits.run(progress)
    table = comparison_table(by_name, fits.posteriors, fits.scores, fits.seconds)
    verdict = judge(by_name, fits.posteriors, fits.scores, table, by)
    verdict.doubts.extend(getattr(fits, "doubts", ()))
    return Comparison(table, verdict.best, verdict, by_name, fits.mixtures(), fits.scores, to_x, to_y)


def _why_networks(models: Any, groups: Mapping[str, Groups], *comparison: Any) -> str | None:
    """Why the models are networks, in words, "" as it was asked for; None if they are functions."""
    if models not in ("auto", "functions", "networks"):
        raise ValueError(f"models must be 'auto', 'functions' or 'networks', got {models!r}")
    why = "" if models == "networks" else why_networks(groups, *comparison)
    mixed = next((name for name, gs in groups.items() if len(gs) > 1), None)
    if why and models == "functions":
        raise ValueError(f"models must be 'networks', or 'auto', for this comparison, got 'functions': {why}")
    if mixed and (why or models == "networks"):
        raise ValueError(
            f"groups[{mixed!r}] must be one Group where networks are compared ({why or 'models was networks'}), got a "
            "list, and layers with several groups make no sum of functions with a group each; functions would do"
        )
    return why if why or models == "networks" else None


def _data(x: Any, y: Any, inputs: int, outputs: int, advice: Any = None) -> tuple[NDArray, NDArray]:
    y = real_array(y, "y")[:, None] if outputs == 1 and np.ndim(y) == 1 else y
    x = finite_array(x, "x", columns=inputs, because=", the size of rep_in", advice=advice)
    y = finite_array(y, "y", columns=outputs, because=", the size of rep_out")
    if len(x) != len(y):
        raise ValueError(f"y must have {len(x)} examples, as x has, got {len(y)}")
    if len(x) < 2:
        raise ValueError(f"x must have at least 2 examples, and better 50 or more, got {len(x)}")
    return x, y
