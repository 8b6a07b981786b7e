"""The verdict: which symmetry holds, how sure that is, how far the others are broken, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bayes_rpp.analysis.broken import (
    PRACTICAL,
    ErrorInterval,
    fit_error,
    how_broken,
    least_broken,
    own_error,
    percent,
    soft_error,
)
from bayes_rpp.analysis.candidates import Candidate
from bayes_rpp.analysis.function_verdict import chain_sentences, mixed_doubts, part_names, sum_sentences
from bayes_rpp.analysis.scores import Difference, Score, difference
from bayes_rpp.analysis.symmetric_part import against_symmetric_part, is_capacity
from bayes_rpp.analysis.vanishing import must_vanish
from bayes_rpp.analysis.verdict_doubts import Key, are_functions, doubts_of, incapable, named, worth

if TYPE_CHECKING:
    from pandas import DataFrame

    from bayes_rpp.inference.posterior.posterior import Posterior


@dataclass(frozen=True)
class Verdict:
    """The answer in parts; `str` puts them together.

    Attributes:
        best: the largest symmetry that nothing speaks against; None if there is none.
        kept: all that nothing speaks against, by the same test, and what these contain.
        practical: those of them that are broken, but by less than 1 %.
        unseen: of each that is kept the size, in units of Eq. 2, below which the fits do not see a breaking.
        errors: of each with a soft model the equivariance error of the function behind the data and its 90 % interval:
            of one that is kept from 0 to what stays unseen, else that of the soft model's draws and of what these are
            off (`ErrorInterval.with_error`).
        sentences: which, how sure, how broken.
        doubts: what speaks against believing it.
    """

    best: str | None
    kept: tuple[str, ...]
    sentences: list[str]
    doubts: list[str]
    practical: tuple[str, ...] = ()
    unseen: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, ErrorInterval] = field(default_factory=dict)

    @property
    def holds(self) -> tuple[str, ...]:
        """Those of `kept` of which a breaking of 1 % would be seen: they hold. Of the others the data do not tell."""
        return tuple(name for name in self.kept if self.unseen[name] < PRACTICAL)

    @property
    def undecided(self) -> tuple[str, ...]:
        """Those of `kept` of which there is no sign that they are broken, nor that they hold to 1 %."""
        return tuple(name for name in self.kept if name not in self.holds)

    def __str__(self) -> str:
        doubts = [f"  - {d}" for d in self.doubts] or ["  - none found"]
        return "\n".join([*self.sentences, "Doubts:", *doubts])


def judge(
    candidates: Mapping[str, Candidate],
    posteriors: Mapping[Key, Posterior],
    scores: Mapping[Key, Score],
    table: DataFrame,
    by: str = "",
) -> Verdict:
    """The verdict on fitted candidates; `by` says what the models are, and why.

    Nothing speaks against a symmetry if its strict model is not worse (`Difference.is_worse`) than its own soft and
    free models and the strict models of the smaller symmetries within it, or only than such whose equivariant part
    predicts as well as the whole (`is_capacity`): then the network is at fault, not the symmetry. Or if its soft model
    is not worse than these, and keeps it to 1 % (`ErrorInterval.is_practical`): then it holds in practice. And if
    nothing speaks against a larger one that contains it. Of these the largest is the answer: the smaller ones follow
    from it. Of several that do not contain each other, the one whose strict model scores highest.

    It holds if the model that says so also predicts y so well, leave-one-out, that a breaking of 1 % would be seen
    (`own_error`), or that of a larger one does; else it is undecided, as a breaking may be hidden in the model's error.
    """
    rivals = {name: _rivals(candidate, scores) for name, candidate in candidates.items()}
    parts = _symmetric_parts(rivals, candidates, posteriors)
    worse = {name: [key for key, d in found.items() if d.is_worse] for name, found in rivals.items()}
    held = {n for n, keys in worse.items() if all((n, key) in parts and is_capacity(parts[n, key]) for key in keys)}
    sizes = {name: size for name, c in candidates.items() if (size := soft_error(c, posteriors)) is not None}
    near = {name for name, size in sizes.items() if worse[name] and name not in held and size.is_practical}
    near = {name for name in near if not any(difference(scores[name, "soft"], scores[k]).is_worse for k in worse[name])}
    implied = {name for other in (held | near) for name in candidates[other].contains}
    kept = tuple(name for name in rivals if name in held | near | implied)
    largest = [name for name in kept if not any(name in candidates[other].contains for other in kept)]
    best = max(largest, key=lambda name: scores[name, "strict"].rank, default=None)
    practical = tuple(name for name in kept if name in near)
    unseen = _unseen(kept, near, candidates, posteriors, scores)
    errors = {name: _error(name, size, unseen, posteriors, scores) for name, size in sizes.items()}
    said = Verdict(best, kept, [], [], practical, unseen, errors)
    sentences = list(_sentences(said, candidates, posteriors, scores, rivals, parts, sizes))
    if are_functions(posteriors):
        sentences += [*chain_sentences(candidates, posteriors), *sum_sentences(candidates, posteriors)]
    sentences += [by] if by else []
    doubts = [*mixed_doubts(best, candidates, posteriors)]
    doubts += list(doubts_of(best, kept, candidates, posteriors, scores, rivals, table))
    doubts[:0] = incapable(kept, practical, worse, rivals, parts, candidates, posteriors)
    return replace(said, sentences=sentences, doubts=doubts)


def highest(scores: Mapping[Key, Score], best: str | None) -> Key:
    """The model that scores highest; of two names of one model the answer's."""
    return max(scores, key=lambda key: (scores[key].rank, key[0] == best))


def _unseen(
    kept: Sequence[str],
    near: set[str],
    candidates: Mapping[str, Candidate],
    posteriors: Mapping[Key, Posterior],
    scores: Mapping[Key, Score],
) -> dict[str, float]:
    """`Verdict.unseen`: what breaks a symmetry breaks those that contain it by as much or more."""
    keys = {name: (name, "soft" if name in near else "strict") for name in kept}
    own = {n: 0.0 if candidates[n].is_free else own_error(posteriors[key], scores[key]) for n, key in keys.items()}
    return {n: min(own[m] for m in kept if m == n or n in candidates[m].contains) for n in kept}


def _error(
    name: str,
    size: ErrorInterval,
    unseen: Mapping[str, float],
    posteriors: Mapping[Key, Posterior],
    scores: Mapping[Key, Score],
) -> ErrorInterval:
    """One of `Verdict.errors`, by that of the soft model's draws."""
    if name in unseen:
        return ErrorInterval(0.0, min(size.middle, unseen[name]), min(unseen[name], 1.0))
    return size.with_error(fit_error(posteriors[name, "soft"], scores[name, "soft"]))


def _rivals(candidate: Candidate, scores: Mapping[Key, Score]) -> dict[Key, Difference]:
    """The strict model against each model that breaks the symmetry, or asks for less."""
    others = [(candidate.name, kind) for kind in candidate.kinds if kind in ("soft", "free")]
    others += [(name, "strict") for name in candidate.contains]
    return {key: difference(scores[candidate.name, "strict"], scores[key]) for key in others}


def _symmetric_parts(
    rivals: Mapping[str, dict[Key, Difference]],
    candidates: Mapping[str, Candidate],
    posteriors: Mapping[Key, Posterior],
) -> dict[tuple[str, Key], Difference]:
    """Of each model that the strict one of a candidate with one group is worse than: its equivariant part against the
    whole of it. Sums of functions with a group each are no average over a group."""
    found = {}
    for name, others in rivals.items():
        for key, d in others.items():
            if d.is_worse and not candidates[name].is_mixed:
                found[name, key] = against_symmetric_part(posteriors[key], candidates[name].group)
    return found


def _sentences(
    said: Verdict,
    candidates: Mapping[str, Candidate],
    posteriors: Mapping[Key, Posterior],
    scores: Mapping[Key, Score],
    rivals: Mapping[str, dict[Key, Difference]],
    parts: Mapping[tuple[str, Key], Difference],
    sizes: Mapping[str, ErrorInterval],
) -> Iterator[str]:
    best, kept = said.best, said.kept
    if best is None:
        yield "None of the candidates holds exactly" + (
            "." if any(c.is_free for c in candidates.values()) else '; "no symmetry" (Trivial) was not asked.'
        )
    elif candidates[best].is_free:
        yield f"No symmetry among the candidates holds: {best} is left."
    else:
        even = {k: d for k, d in rivals[best].items() if not d.is_worse}
        shared = " and ".join(f"{named(k)}, {parts[best, k]}" for k, d in rivals[best].items() if d.is_worse)
        reasons = []
        if even:
            key, nearest = min(even.items(), key=lambda item: worth(item[1]))
            others = f", of {len(even)} the nearest" if len(even) > 1 else ""
            reasons.append(
                f"its strict model is not worse than what asks for less (against {named(key)}{others}: {nearest})"
            )
        if shared:
            reasons.append(f"what models beyond it do better has the symmetry, too (their part with it: {shared})")
        size, known = percent(said.unseen[best]), best in said.holds
        sees = np.isfinite(said.unseen[best])
        own = f", as far as the fit can tell (own error {size})" if sees else ""
        if best in said.practical:
            key, worst = min(rivals[best].items(), key=lambda item: worth(item[1]))
            kept_to = f"kept by its soft model to {sizes[best]}, which is less than {percent(PRACTICAL)}"
            how = "holds in practice" if known else f"nearly holds{own}"
            yield f"{best} {how}, {kept_to}; not exactly: strict against {named(key)}, {worst}."
        elif known:
            yield f"{best} holds to {size}, its model's own error: {', and '.join(reasons)}."
        else:
            why = ", and ".join(reasons)
            yield f"{best}: no sign of breaking{own}: {why}."
        if not known:
            unseen = f"Breakings below {size} stay unseen" if sees else "This likelihood has no own error to go by"
            yield f"{unseen}, so that these data do not decide whether {best} holds."
        if candidates[best].is_mixed:
            labels = " and ".join(part_names(candidates[best], candidates))
            yield f"So f is a sum of parts with a symmetry each: {labels}."
        followers = [candidates[n] for n in kept if n in candidates[best].contains and not candidates[n].is_free]
        for mixed, relation in ((False, "which it contains"), (True, "which is less to ask")):
            held, rest = (
                [c.name for c in followers if c.is_mixed == mixed and (c.name in said.holds) == h]
                for h in (True, False)
            )
            if held:
                yield (
                    f"So {'do' if len(held) > 1 else 'does'} {', '.join(held)}, {relation}."
                    if known
                    else (f"{', '.join(held)}, {relation}, {'hold' if len(held) > 1 else 'holds'}.")
                )
            if rest:
                yield f"Nor {'do' if len(rest) > 1 else 'does'} {', '.join(rest)}, {relation}, show one."
        apart = [n for n in kept if n != best and n not in candidates[best].contains and n not in candidates[best].same]
        if apart:
            yield f"{', '.join(apart)} cannot be excluded either, and neither contains the other."
    for name, found in rivals.items():
        if name in kept or not found:
            continue
        key, worst = min(found.items(), key=lambda item: worth(item[1]))
        if must_vanish(posteriors[name, "strict"]):
            yield (
                f"{name} cannot hold: it makes the outputs vanish at these x, whatever the function, and y does not: "
                f"strict against {named(key)}, {worst}."
            )
            continue
        broken = how_broken(candidates[name], posteriors, said.errors.get(name))
        yield f"{name} does not hold exactly: strict against {named(key)}, {worst}. {broken}"
    yield from least_broken((n, sizes.get(n)) for n in rivals if n not in kept)
    top = highest(scores, best)
    if top[1] == "nested":
        chain = " > ".join(candidates[top[0]].in_chain)
        yield f"The highest score has the nested model, {chain}: for predictions each of these is worth having."
    elif best not in (None, top[0]) and top[1] == "soft" and not must_vanish(posteriors[top[0], "strict"]):
        yield (
            f"The highest score has the soft model of {top[0]} ({difference(scores[top], scores[best, 'strict'])} "
            f"against {best}, strict): for predictions {top[0]} is worth having, as an approximate "
            f"{'sum' if candidates[top[0]].is_mixed else 'symmetry'}."
        )
