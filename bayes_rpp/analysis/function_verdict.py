"""What a verdict says of Gaussian processes beside what it says of networks: how much of f each symmetry has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.analysis.candidates import Candidate
from bayes_rpp.symmetry.groups import Group

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior

LITTLE = 0.01  # of the variance of a sum


def _sizes(post: Posterior) -> list[float]:
    """Standard deviations of the parts of f, one for each group and that of the rest, at the best numbers."""
    fitted: Any = post
    sizes: list[float] = fitted.pathway_sizes()[:, 0, 0].tolist()
    return sizes


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
        yield f"Shares of the function's variance in the chain {' > '.join(names)}: {shares}."


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
            yield f"Shares of the function's variance in the sum {name} = {' + '.join(labels)}: {shares}."


def mixed_doubts(
    best: str | None, candidates: Mapping[str, Candidate], posteriors: Mapping[tuple[str, str], Posterior]
) -> Iterator[str]:
    """Parts of a mixed answer that are next to nothing."""
    if best is None or not candidates[best].is_mixed:
        return
    post: Any = posteriors[best, "strict"]
    shares, alike = _of_variance(_sizes(post)), post.alike_pathways()
    for k, label in enumerate(part_names(candidates[best], candidates)):
        share = sum(s for s, first in zip(shares, alike, strict=True) if first == alike[k])
        if share < LITTLE:
            yield (
                f"of the sum {best} the part for {label} is next to nothing ({_share(share)} of the variance): what is "
                "left may hold alone, as a candidate of its own"
            )


def is_all_of(mixed: Candidate, group: Group, post: Posterior) -> bool:
    """Whether one group's part is next to all of a mixed candidate's function, so that the sum says no more."""
    shares = _of_variance(_sizes(post))
    return any(g == group and share > 1 - LITTLE for g, share in zip(mixed.groups, shares, strict=False))


def _shares(names: Sequence[str], post: Posterior) -> str:
    """In words; parts that allow the same functions have one share together."""
    fitted: Any = post
    sizes, alike = np.array(_sizes(post)), np.array(fitted.alike_pathways())
    shares, found = _of_variance(sizes), []
    for first in dict.fromkeys(alike.tolist()):
        members = np.flatnonzero(alike == first).tolist()
        name = " and ".join(names[k] for k in members) + " (the same functions here)" * (len(members) > 1)
        sigma = np.sqrt((sizes[members] ** 2).sum())
        found.append(f"{name} {_share(shares[members].sum())} (sigma {sigma:.2g})")
    return ", ".join(found)


def _of_variance(sizes: Sequence[float] | NDArray) -> NDArray:
    return np.square(sizes) / max(sum(np.square(sizes)), 1e-300)


def _share(p: float) -> str:
    return "under 0.1 %" if 0 < p < 0.001 else f"{100 * p:.1f} %"
