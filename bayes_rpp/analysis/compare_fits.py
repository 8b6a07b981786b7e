"""The fits of a comparison: each model of each candidate from several starts, and from its neighbours' modes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.analysis.candidates import Candidate, with_chains
from bayes_rpp.analysis.scores import Score, score
from bayes_rpp.analysis.vanishing import fit_candidate
from bayes_rpp.analysis.verdict_doubts import is_settled
from bayes_rpp.inference.methods import MAP, Laplace, Method
from bayes_rpp.inference.posterior.mixture import best_modes, mixture
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.models.model import Model
from bayes_rpp.networks.emlp import EMLP

Key = tuple[str, str]
FURTHER = 25  # steps of Gauss-Newton from another model's mode


@dataclass(frozen=True)
class Fits:
    """What is fitted so far: of each model, by (candidate, kind), the best mode, its score, and all modes.

    Args:
        candidates: by name.
        x, y: standardised.
        method, engine, seed: of each fit.
        starts: fits of each model but free ones.
    """

    candidates: dict[str, Candidate]
    x: NDArray
    y: NDArray
    method: Method
    starts: int
    engine: str | None
    seed: int
    posteriors: dict[Key, Posterior] = field(default_factory=dict)
    scores: dict[Key, Score] = field(default_factory=dict)
    seconds: dict[Key, float] = field(default_factory=dict)
    modes: dict[Key, list[Posterior]] = field(default_factory=dict)

    phases: ClassVar[tuple[tuple[str, ...], ...]] = (("strict", "soft", "free"), ("nested",))

    def run(self, progress: bool) -> None:
        """Fit all; nested models last, as they start from the others too, and mixed ones after those of one group."""
        for kinds in self.phases:
            if "nested" in kinds and any(c.nested is not None for c in self.candidates.values()):
                ranks = {n: max(s.rank for key, s in self.scores.items() if key[0] == n) for n in self.candidates}
                self.candidates.update(with_chains(self.candidates, ranks))
            for candidate in sorted(self.candidates.values(), key=lambda c: c.is_mixed):
                keys = [(candidate.name, kind) for kind in candidate.kinds if kind in kinds]
                for key in keys:
                    if not self._is_known(key):
                        self._fit(key)
                        self._complete(candidate, key)
                self._exchange(keys)
                if progress:
                    for key in keys:
                        _say(key, self.scores[key], self.seconds[key])

    def mixtures(self) -> dict[Key, Posterior]:
        """Of each model its best modes as one posterior, the best first."""
        made = {id(self.modes[key]): mixture(self._best(key)) for key in self.posteriors}
        return {key: made[id(self.modes[key])] for key in self.posteriors}

    @property
    def _has_modes(self) -> bool:
        return isinstance(self.method, MAP)

    def _complete(self, candidate: Candidate, key: Key) -> None:
        """Fit a model from its neighbours' modes."""
        self._go_on(key, self._neighbors(candidate, key[1]))

    def _exchange(self, keys: Sequence[Key]) -> None:
        """Fit the strict and the soft model from each other's modes."""
        if self._has_modes and any(kind == "soft" for _, kind in keys):
            strict, soft = keys[0], keys[1]
            self._go_on(strict, [self.posteriors[soft]])
            self._go_on(soft, [self.posteriors[strict]])

    def _is_known(self, key: Key) -> bool:
        """Whether another candidate has the same model; its fit is taken."""
        alike = (k for k in self.scores if self.candidates[key[0]].is_alike(key[1], self.candidates[k[0]], k[1]))
        if (other := next(alike, None)) is None:
            return False
        self.posteriors[key], self.scores[key] = self.posteriors[other], self.scores[other]
        self.modes[key], self.seconds[key] = self.modes[other], 0.0
        return True

    def _neighbors(self, candidate: Candidate, kind: str) -> Iterable[Posterior]:
        """Modes that a nested model goes on from: those of the soft ones of the candidates in its chain."""
        if kind == "nested" and self._has_modes:
            for other in candidate.in_chain:
                yield from self._best((other, "soft"))

    def _fit(self, key: Key) -> None:
        """Fit a model from each of its starts."""
        begin, (name, kind) = time.perf_counter(), key
        for start in range(self.starts if kind != "free" else 1):
            model = self.candidates[name].model(kind, start)
            self._keep(key, self._fitted(model, self.method, seed=self.seed + start))
        self.seconds[key] = time.perf_counter() - begin

    def _go_on(self, key: Key, sources: Iterable[Posterior]) -> None:
        """Fit a model from the modes of others."""
        begin, (name, kind) = time.perf_counter(), key
        further = self.method
        if isinstance(further, Laplace) and further.polishing:
            further = replace(further, epochs=0, polish=FURTHER)
        for source in sources:
            model = self.candidates[name].model(kind, 1)
            self._keep(key, self._fitted(model, further, seed=self.seed, init=_weights(source, model)))
        self.seconds[key] += time.perf_counter() - begin

    def _fitted(self, model: Model, method: Method, **options: Any) -> Posterior:
        if isinstance(method, Laplace) and not model.latents:  # a strict or free model of classes, without a noise
            method = replace(method, evidence=None)
        return fit_candidate(model, self.x, self.y, method, engine=self.engine, progress=False, **options)

    def _keep(self, key: Key, post: Posterior) -> None:
        found = self._scored(post)
        self.modes.setdefault(key, []).append(post)
        before = (is_settled(self.posteriors[key]), self.scores[key].rank) if key in self.scores else None
        if before is None or (is_settled(post), found.rank) > before:
            self.posteriors[key], self.scores[key] = post, found

    def _scored(self, post: Posterior) -> Score:
        return score(post)

    def _best(self, key: Key) -> Sequence[Posterior]:
        """The best mode and those whose evidence is not clearly lower, each once."""
        best = self.posteriors[key]
        if best.log_evidence is None:
            return [best]
        return best_modes([best, *(post for post in self.modes[key] if is_settled(post))])


def _weights(post: Posterior, model: Model) -> dict[str, NDArray]:
    """A posterior's centre and numbers, as far as the model has them: where its fit starts."""
    found, theirs = {}, post.model.net
    w = {k: post.samples[k].mean(axis=(0, 1)) if post.center is None else post.center[k] for k in theirs.parameters}
    if isinstance(model.net, EMLP) and isinstance(theirs, EMLP):
        w = model.net.taken_from(theirs, w)
    for name, prior in model.priors.items():
        found[name] = prior.support.project(w[name]) if prior.is_strict else w[name]
    return found | {k: np.mean(post.samples[k]) for k in model.latents if k in post.samples}


def _say(key: Key, found: Score, seconds: float) -> None:
    evidence = f"log evidence {found.log_evidence:.1f}, " if np.isfinite(found.log_evidence) else ""
    sys.stderr.write(f"{key[0]}, {key[1]}: {evidence}elpd {found.elpd:.1f} ± {found.se:.1f}, {seconds:.0f} s\n")
