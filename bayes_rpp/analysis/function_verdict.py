"""What a verdict says of Gaussian processes beside what it says of networks: how much of f each symmetry has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.analysis.candidates import Candidate
from bayes_rpp.analysis.function_parts import part_means
from bayes_rpp.symmetry.groups import Group

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior

LITTLE = 0.01  # of a sum


def beyond(post: Posterior) -> float:
    """The residual's share of the function."""
    return float(_shares_of(post)[-1])


def share(p: float) -> str:
    """In percent; what is next to nothing is not called nothing."""
    return "under 0.1 %" if 0 < p < 0.001 else f"{100 * p:.1f} %"


def chain_sentences(
    candidates: Mapping[str, Candidate], posteriors: Mapping[tuple[str, str], Posterior]
) -> Iterator[str]:
    """Of each chain of symmetries one after the other, how large the part of the function is that each has."""
    said = set()
    for (name, kind), post in posteriors.items():
        if kind != "nested" or id(post) in said:
            continue
        said.add(id(post))
        names = candidates[name].in_chain
        shares = _shares([*names, "beyond"], post)
        yield f"Shares of the function in the chain {' > '.join(names)}, by mean squares at these x: {shares}."


def part_names(mixed: Candidate, candidates: Mapping[str, Candidate]) -> list[str]:
    """What the groups of a mixed candidate are called: as candidates of their own, or else as groups."""
    names = {c.group: name for name, c in candidates.items() if not c.is_mixed}
    return [names.get(g, str(g)) for g in mixed.groups]


def sum_sentences(
    candidates: Mapping[str, Candidate], posteriors: Mapping[tuple[str, str], Posterior]
) -> Iterator[str]:
    """Of each mixed candidate how large the part of the function is that each of its groups has."""
    for name, c in candidates.items():
        if c.is_mixed:
            labels = part_names(c, candidates)
            shares = _shares([*labels, "beyond"], posteriors[name, "soft"])
            parts = " + ".join(labels)
            yield f"Shares of the function in the sum {name} = {parts}, by mean squares at these x: {shares}."


def mixed_doubts(
    best: str | None, candidates: Mapping[str, Candidate], posteriors: Mapping[tuple[str, str], Posterior]
) -> Iterator[str]:
    """Parts of a mixed answer that are next to nothing."""
    if best is None or not candidates[best].is_mixed:
        return
    post: Any = posteriors[best, "strict"]
    shares, alike = _shares_of(post), post.alike_pathways()
    for k, label in enumerate(part_names(candidates[best], candidates)):
        if (its := shares[alike[k]]) < LITTLE:
            yield (
                f"of the sum {best} the part for {label} is next to nothing ({share(its)} of the function): what is "
                "left may hold alone, as a candidate of its own"
            )


def is_all_of(mixed: Candidate, group: Group, post: Posterior) -> bool:
    """Whether one group's part is next to all of a mixed candidate's function, so that the sum says no more."""
    shares = _shares_of(post)
    return any(g == group and p > 1 - LITTLE for g, p in zip(mixed.groups, shares, strict=False))


def _shares(names: Sequence[str], post: Posterior) -> str:
    """In words; parts that allow the same functions have one share together."""
    fitted: Any = post
    alike = np.array(fitted.alike_pathways())
    shares, found = _shares_of(post), []
    for first in dict.fromkeys(alike.tolist()):
        members = np.flatnonzero(alike == first).tolist()
        name = " and ".join(names[k] for k in members) + " (the same functions here)" * (len(members) > 1)
        found.append(f"{name} {share(shares[first])}")
    return ", ".join(found)


def _shares_of(post: Posterior) -> NDArray:
    """(pathways,) the share of each part of f, one for each group and that of the rest, in the sum of their mean
    squares: of their posterior means at the training inputs, in standardised units, and not of the prior, whose sigmas
    say little where lengthscales are long. Parts that allow the same functions count as one, the first of them."""
    fitted: Any = post
    means, alike = part_means(fitted), fitted.alike_pathways()
    squares = np.zeros(len(means))
    for first in set(alike):
        squares[first] = np.square(sum(m for m, k in zip(means, alike, strict=True) if k == first)).mean()
    return squares / max(float(squares.sum()), 1e-300)
