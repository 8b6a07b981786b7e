"""Candidate symmetries as Gaussian processes: strict, soft, nested, mixed and free, with one kernel and hyperprior."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.analysis.candidates import Candidate, with_chains
from bayes_rpp.analysis.given_groups import Groups
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.likelihoods import Gaussian
from bayes_rpp.models.process.covariance import Covariance
from bayes_rpp.models.process.defaults import with_defaults
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.models.process.kinds import fixed_part
from bayes_rpp.networks.network import Network
from bayes_rpp.priors.kernels.scalar import RBF
from bayes_rpp.symmetry.averages import haar_average
from bayes_rpp.symmetry.groups import Group, Trivial, product_group
from bayes_rpp.symmetry.representations import Rep

MOST_NUMBERS = 3000  # n d_out, up to which a comparison takes minutes (docs/functions.md has the measurements)
MOST_PAIRS = 1e8  # elements of a group times pairs of examples, likewise five
TOLERANCE = 0.02  # of averages; those of noiseless data at 0.05 hid 75 nats of evidence, and took no less time
ZERO = 1e-9  # beside the variance of the kernel before it is averaged


@dataclass(frozen=True, eq=False)
class FunctionCandidate(Candidate):
    """A group, or several, with Gaussian processes. The network of the same representations tells what contains what.

    Attributes:
        chain: the groups of the larger candidates and this one, the largest first, where there is a nested model.
        vanishing: groups that make all outputs zero at the data, whatever the function.
    """

    chain: tuple[Group, ...] = ()
    vanishing: frozenset[Group] = frozenset()

    lacks = ""  # they can be every function

    @staticmethod
    def of(candidates: Mapping[str, Candidate], x: NDArray, y: NDArray) -> dict[str, Candidate]:
        """The same candidates with Gaussian processes in place of networks; x and y are the standardised data."""
        found: dict[str, Candidate] = {}
        vanishing = frozenset(g for c in candidates.values() for g in c.groups if _vanishes(c.net, g, x, y))
        for name, c in candidates.items():
            given = {f.name: getattr(c, f.name) for f in fields(Candidate)}
            found[name] = FunctionCandidate(**given, vanishing=vanishing)
        return {**found, **with_chains(found)} if any(c.nested is not None for c in found.values()) else found

    def chained(self, chain: Sequence[Candidate], net: Network | None) -> FunctionCandidate:
        names = tuple(c.name for c in chain if c.name != self.name)
        return replace(self, larger=names, nested=net, chain=tuple(c.group for c in chain) if net is not None else ())

    def model(self, kind: str, start: int = 0) -> Any:
        """The Gaussian process of a kind. Pathways of groups that let nothing but zero have a sigma of 0."""
        groups = {"free": (self.free,), "nested": self.chain}.get(kind, self.groups)
        options: dict[str, Any] = {"kernel": RBF(), "sigma_a": [0.0 if g in self.vanishing else None for g in groups]}
        if kind == "strict":
            options["sigma_b"] = 0.0
            if all(g in self.vanishing for g in groups):
                options["lengthscale"] = 1.0  # of nothing
        group = groups[0] if len(groups) == 1 else list(groups)
        rep_in, rep_out = self.net.rep_in.rep, self.net.rep_out.rep
        return GaussianProcess(rep_in, rep_out, group, likelihood=self.likelihood, tolerance=TOLERANCE, **options)

    def is_alike(self, kind: str, other: Candidate, its: str) -> bool:
        """Whether our model of a kind is another candidate's of its kind: all free ones are, and the strict one of no
        symmetry with them; nested ones of one chain, and of a single group its soft one."""
        if kind == "nested":
            theirs = {"nested": getattr(other, "chain", ()), "soft": other.groups}.get(its, ())
            return self.chain == theirs
        return all(k == "free" or (k == "strict" and c.is_free) for k, c in ((kind, self), (its, other)))

    @cached_property
    def free(self) -> Group:
        """No symmetry on the same columns."""
        factors = self.group.factors
        return product_group(*(Trivial(f.dim) for f in factors)) if factors else Trivial(self.group.dim)


def _vanishes(net: Network, group: Group, x: NDArray, y: NDArray) -> bool:
    """Whether the covariance of equivariant functions is zero at the data, and no constant is equivariant."""
    gp = with_defaults(
        GaussianProcess(net.rep_in.rep, net.rep_out.rep, group, kernel=RBF(), sigma_a=1.0, sigma_b=0.0), x, y
    )
    covariance = Covariance(gp, x)
    values = covariance.values({k: p.start for k, p in gp.latents.items()})
    constant = fixed_part(gp.rep_out)
    blocks = covariance.parts[0].kernel.diagonal(covariance.x, values).values()
    return bool(max(np.abs(b).max() for b in (constant, *blocks)) < ZERO)


def why_networks(
    groups: Mapping[str, Groups], rep_in: Rep, rep_out: Rep, likelihood: Likelihood, y: NDArray, given: Iterable[str]
) -> str:
    """Why the comparison is by networks, in words; nothing where posteriors over functions are exact.

    Args:
        given: names of arguments of networks that the user has given.
    """
    if names := ", ".join(given):
        return f"{names} {'were' if ',' in names else 'was'} given, which only networks have"
    if not isinstance(likelihood, Gaussian):
        return f"the posterior over functions is exact with Gaussian noise, not with {type(likelihood).__name__}"
    if y.size > MOST_NUMBERS:
        return f"y has {y.size:,} numbers, and posteriors over functions take minutes beyond {MOST_NUMBERS:,}"
    for name, group in [(name, g) for name, gs in groups.items() for g in gs]:
        try:
            GaussianProcess(rep_in, rep_out, group)
        except ValueError as error:
            return f"functions have no average over {name}: {error}"
        average = haar_average(group)
        if not average.is_closed:  # no closed set of few elements stands for the group
            return f"the average over {name} would be of elements drawn at random, which keep its symmetry roughly"
        if len(average) * len(y) ** 2 > MOST_PAIRS:
            return f"an average over {len(average):,} elements of {name} for {len(y):,} examples takes long"
    return ""
