"""What a verdict says of Gaussian processes beside what it says of networks: how much of f each symmetry has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rpp.analysis.candidates import Candidate

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior


def chain_sentences(
    candidates: Mapping[str, Candidate], posteriors: Mapping[tuple[str, str], Posterior]
) -> Iterator[str]:
    """Of each chain of symmetries one after the other, how large the part of the function is that each has."""
    said = set()
    for (name, kind), post in posteriors.items():
        if kind != "nested" or id(post) in said:
            continue
        said.add(id(post))
        c = candidates[name]
        names = [*c.larger, *([] if c.is_free else [name])]
        fitted: Any = post
        sizes = fitted.pathway_sizes()[:, 0, 0].tolist()
        shares = np.square(sizes) / max(sum(np.square(sizes)), 1e-300)
        parts = [f"{n} {_share(p)} (sigma {s:.2g})" for n, p, s in zip([*names, "beyond"], shares, sizes, strict=True)]
        yield f"Shares of the function's variance in the chain {' > '.join(names)}: {', '.join(parts)}."


def _share(p: float) -> str:
    return "under 0.1 %" if 0 < p < 0.001 else f"{100 * p:.1f} %"
