"""The verdict: which symmetry holds, how sure that is, how far the others are broken, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayes_rpp.analysis.broken import PRACTICAL, ErrorInterval, how_broken, least_broken, percent, soft_error
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
        best: the largest symmetry that holds; None if none does.
        kept: all that hold, by the same test, and what these contain.
        practical: those of them that hold to 1 %, though not exactly.
        sentences: which, how sure, how broken.
        doubts: what speaks against believing it.
    """

    best: str | None
    kept: tuple[str, ...]
    sentences: list[str]
    doubts: list[str]
    practical: tuple[str, ...] = ()

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

    A symmetry holds if its strict model is not worse (`Difference.is_worse`) than its own soft and free models and the
    strict models of the smaller symmetries within it, or only than such whose equivariant part predicts as well as the
    whole (`is_capacity`): then the network is at fault, not the symmetry. Or if its soft model is not worse than these,
    and keeps it to 1 % (`ErrorInterval.is_practical`): then it holds in practice. And if a larger one holds that
    contains it. Of those that hold the largest is the answer: the smaller ones follow from it. Of several that do not
    contain each other, the one whose strict model scores highest.
    """
    rivals = {name: _rivals(candidate, scores) for name, candidate in candidates.items()}
    parts = _symmetric_parts(rivals, candidates, posteriors)
    worse = {name: [key for key, d in found.items() if d.is_worse] for name, found in rivals.items()}
    held = {n for n, keys in worse.items() if all((n, key) in parts and is_capacity(parts[n, key]) for key in keys)}
    sizes = {name: soft_error(candidates[name], posteriors) for name, keys in worse.items() if keys}
    near = {name for name, size in sizes.items() if name not in held and size is not None and size.is_practical}
    near = {name for name in near if not any(difference(scores[name, "soft"], scores[k]).is_worse for k in worse[name])}
    implied = {name for other in (held | near) for name in candidates[other].contains}
    kept = tuple(name for name in rivals if name in held | near | implied)
    largest = [name for name in kept if not any(name in candidates[other].contains for other in kept)]
    best = max(largest, key=lambda name: scores[name, "strict"].rank, default=None)
    practical = tuple(name for name in kept if name in near)
    sentences = list(_sentences(best, kept, practical, candidates, posteriors, scores, rivals, parts, sizes))
    if are_functions(posteriors):
        sentences += [*chain_sentences(candidates, posteriors), *sum_sentences(candidates, posteriors)]
    sentences += [by] if by else []
    doubts = [*mixed_doubts(best, candidates, posteriors)]
    doubts += list(doubts_of(best, kept, candidates, posteriors, scores, rivals, table))
    doubts[:0] = incapable(kept, practical, worse, rivals, parts, candidates, posteriors)
    return Verdict(best, kept, sentences, doubts, practical)


def highest(scores: Mapping[Key, Score], best: str | None) -> Key:
    """The model that scores highest; of two names of one model the answer's."""
    return max(scores, key=lambda key: (scores[key].rank, key[0] == best))


def noise_of(post: Posterior) -> float | None:
    """The noise in standardised units, as it was given or found; None where the likelihood has none."""
    found = post.latents.get("noise", getattr(post.model.likelihood, "noise", None))
    return None if found is None else float(np.median(found))


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
    best: str | None,
    kept: tuple[str, ...],
    practical: tuple[str, ...],
    candidates: Mapping[str, Candidate],
    posteriors: Mapping[Key, Posterior],
    scores: Mapping[Key, Score],
    rivals: Mapping[str, dict[Key, Difference]],
    parts: Mapping[tuple[str, Key], Difference],
    sizes: Mapping[str, ErrorInterval | None],
) -> Iterator[str]:
    if best is None:
        yield "None of the candidates holds exactly" + (
            "." if any(c.is_free for c in candidates.values()) else '; "no symmetry" (Trivial) was not asked.'
        )
    elif candidates[best].is_free:
        yield f"No symmetry among the candidates holds: {best} is left."
    else:
        even = " and ".join(f"{named(k)} by {d}" for k, d in rivals[best].items() if not d.is_worse)
        shared = " and ".join(f"{named(k)}, {parts[best, k]}" for k, d in rivals[best].items() if d.is_worse)
        reasons = [f"its strict model is not worse than those that ask for less ({even})"] if even else []
        if shared:
            reasons.append(f"what models beyond it do better has the symmetry, too (their part with it: {shared})")
        if best in practical:
            key, worst = min(rivals[best].items(), key=lambda item: worth(item[1]))
            yield (
                f"{best} holds in practice, kept to {sizes[best]}, which is less than {percent(PRACTICAL)}; not "
                f"exactly: strict against {named(key)}, {worst}."
            )
        else:
            yield f"{best} holds: {', and '.join(reasons)}."
            if (noise := noise_of(posteriors[best, "strict"])) is not None and noise > PRACTICAL:
                yield f"Its model leaves {percent(noise)} of y for noise, which may hide a breaking that is smaller."
        if candidates[best].is_mixed:
            labels = " and ".join(part_names(candidates[best], candidates))
            yield f"So f is a sum of parts with a symmetry each: {labels}."
        followers = [candidates[n] for n in kept if n in candidates[best].contains and not candidates[n].is_free]
        for mixed, relation in ((False, "which it contains"), (True, "which is less to ask")):
            if names := [c.name for c in followers if c.is_mixed == mixed]:
                yield f"So {'do' if len(names) > 1 else 'does'} {', '.join(names)}, {relation}."
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
        broken = how_broken(candidates[name], posteriors, sizes.get(name))
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
