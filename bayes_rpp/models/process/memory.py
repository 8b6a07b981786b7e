"""How many examples the exact posterior over functions may have."""

from __future__ import annotations

import math
from functools import lru_cache

from bayes_rpp.models.normal import Normal
from bayes_rpp.models.process.irreducible import irreducible, undivided
from bayes_rpp.models.process.prior import FunctionPrior
from bayes_rpp.models.process.reduction import are_alike

MEMORY = 4.0  # GB that an evidence with its gradient may take
# It needs so many times the covariance of a part, beside one for each group; that of all outputs; that of a class.
COPIES, WHOLE, CLASS = 5, 6, 4


@lru_cache(maxsize=64)
def most_exact(gp: FunctionPrior) -> int:
    """So many that the covariances of the irreducible parts of y, and what is made of them, fill 4 GB."""
    size = gp.rep_out.size
    outputs = irreducible([after for _, after in gp.bound]) if gp.forces is None else undivided(size)
    for_one = 8 * (COPIES + len(gp.groups)) * sum(p.shape[1] ** 2 for p in outputs.places.values())
    if are_alike(gp.likelihood, outputs.places):
        for_one += 8 * CLASS * size
    elif not isinstance(gp.likelihood, Normal):  # whose outputs hang together
        for_one += 8 * WHOLE * size**2
    return math.isqrt(int(MEMORY * 1e9 / for_one))
