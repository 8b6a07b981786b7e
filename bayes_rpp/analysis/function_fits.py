"""The fits of a comparison by Gaussian processes, and their scores, exact at the numbers of the highest evidence."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from bayes_rpp._imports import load_module
from bayes_rpp.analysis.candidates import Candidate
from bayes_rpp.analysis.compare_fits import Fits, Key
from bayes_rpp.analysis.scores import NATS, PARETO_K, Score
from bayes_rpp.inference.posterior.functions import FunctionPosterior
from bayes_rpp.inference.posterior.posterior import Posterior

SHARES = (0.05, 0.5)  # of the size of what is there already, where a further pathway starts


@dataclass(frozen=True)
class FunctionFits(Fits):
    """`Fits` of Gaussian processes: strict and free ones from starts of their own, the others from their numbers.

    Attributes:
        doubts: what the fits warn of.
    """

    doubts: list[str] = field(default_factory=list)

    phases: ClassVar[tuple[tuple[str, ...], ...]] = (("strict", "free"), ("soft",), ("nested",))

    def _exchange(self, keys: Sequence[Key]) -> None:
        """The soft model has gone on from the strict one already. Where it is better, the strict one goes on from its
        numbers, as they may be a summit that the strict one's own starts have missed."""
        for soft in keys:
            strict = (soft[0], "strict")
            if soft[1] == "soft" and self.scores[soft].rank > self.scores[strict].rank + NATS:
                begin = time.perf_counter()
                self._fit_from(strict, [_numbers(self.posteriors[soft])])
                self.seconds[strict] += time.perf_counter() - begin

    def mixtures(self) -> dict[Key, Posterior]:
        """Of each model the posterior at its best numbers."""
        return self.posteriors

    def _fit(self, key: Key) -> None:
        begin = time.perf_counter()
        self._fit_from(key, self._neighboring_numbers(self.candidates[key[0]], key[1]))
        self.seconds[key] = time.perf_counter() - begin

    def _fit_from(self, key: Key, numbers: Iterable[dict[str, float]]) -> None:
        """Fit a model from numbers, as far as it has them; from starts of its own where there are none."""
        model: Any = self.candidates[key[0]].model(key[1])
        names = {*model.latents, *model.open}  # without those that are 0
        starts = [{k: v for k, v in start.items() if k in names} for start in numbers]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._keep(key, self._fitted(model, self.method, seed=self.seed, init=starts or None))
        for w in caught:
            if w.category is UserWarning:
                doubt = f"{', '.join(key)}: {w.message}"
                self.doubts.extend([doubt] if doubt not in self.doubts else [])
            else:
                warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)

    def _complete(self, candidate: Candidate, key: Key) -> None:
        """A fit has gone on from its neighbours already."""

    def _scored(self, post: Posterior) -> Score:
        assert isinstance(post, FunctionPosterior)
        return score_functions(post)

    def _neighboring_numbers(self, candidate: Candidate, kind: str) -> Iterator[dict[str, float]]:
        """Numbers that a soft model starts from, the strict one's and the free one's, a nested one, those of the soft
        ones of the candidates in its chain, and a mixed strict one, those of the strict ones of its groups: pathways
        that these lack are small, or of the same size."""
        if kind == "soft":
            sites = [f"sigma_a_{k}" for k in range(len(candidate.groups))] if candidate.is_mixed else ["sigma_a"]
            numbers = _numbers(self.posteriors[candidate.name, "strict"])
            size = max((numbers[site] for site in sites if site in numbers), default=1.0)
            for share in SHARES:
                yield numbers | {"sigma_b": share * size}
            yield from self._from((candidate.name, "free"), "sigma_b", sites)
        elif kind == "nested":
            sites = [f"sigma_a_{k}" for k in range(len(getattr(candidate, "chain", ())))]
            for site, name in zip(sites, candidate.in_chain, strict=True):
                yield from self._from((name, "soft"), site, sites)
        elif kind == "strict" and candidate.is_mixed:
            sites = [f"sigma_a_{k}" for k in range(len(candidate.groups))]
            for site, group in zip(sites, candidate.groups, strict=True):
                for name, other in self.candidates.items():
                    if other.groups == (group,):
                        yield from self._from((name, "strict"), site, sites)

    def _from(self, key: Key, has: str, lacks: Sequence[str]) -> Iterator[dict[str, float]]:
        """Numbers of a model of one group whose pathway is the site that another model has, beside those it lacks."""
        numbers = _numbers(self.posteriors[key])
        size = numbers.pop("sigma_a", 1.0)
        for share in SHARES:
            yield numbers | dict.fromkeys(lacks, share * size) | {has: size}


def score_functions(post: FunctionPosterior) -> Score:
    """The log evidence and leave-one-out predictions of a Gaussian process with Gaussian noise, in closed form at its
    numbers (Rasmussen and Williams 2006, Equations 2.30 and 5.10 to 5.12): Pareto k is 0. The numbers cost half of
    log n each (Schwarz 1978), as the evidence is at the best of them."""
    stats, xarray = load_module("arviz_stats"), load_module("xarray")
    plain = replace(post, inflation=1.0)
    pointwise = plain.left_out()
    n = len(pointwise)
    elpd, se = float(pointwise.sum()), float(np.sqrt(n * pointwise.var()))
    effective = float((plain.log_predictive(post.x, post.y) - pointwise).sum())
    parts = [xarray.DataArray(v, dims=["example"]) for v in (pointwise, np.zeros(n))]
    settings = {"n_samples": 1, "n_data_points": n, "scale": "log", "warning": False, "good_k": PARETO_K}
    loo = stats.ELPDData("loo", elpd, se, effective, **settings, elpd_i=parts[0], pareto_k=parts[1])
    cost = 0.5 * math.log(n) * len(post.model.latents)
    return Score(float(post.log_evidence or np.nan), elpd, se, pointwise, np.zeros(n), effective, loo, cost)


def _numbers(post: Posterior) -> dict[str, float]:
    return {k: float(v.flat[0]) for k, v in post.samples.items() if k != "log_evidence"}
