"""Candidate symmetries as models: strict, soft, nested and free ones, around hidden layers that all share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, permutations
from typing import Any, cast

import numpy as np

from bayes_rpp.analysis.given_groups import Groups
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.model import Model
from bayes_rpp.networks.allocation import hidden_rep
from bayes_rpp.networks.emlp import EMLP, few_copies, lacks, quiet
from bayes_rpp.networks.groups import lies_in
from bayes_rpp.networks.network import Network
from bayes_rpp.priors.hyper import PerLayer, Prior
from bayes_rpp.priors.subspaces.base import EquivariantSubspace
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, Representation

KINDS = ("strict", "soft", "nested", "free")
SIGMA_A = 1.0  # with scale="fan_in" and standardised data it keeps the variance of the signal
# Where the tuning of sigma_b starts, by turns: from a small one the evidence often has no way up to a large one.
STARTS_B = (0.3, 0.05)
Spaces = list[EquivariantSubspace]


@dataclass(frozen=True)
class Candidate:
    """A group with its network and its models; or several groups, for functions that are sums of a part for each.

    Attributes:
        groups: one, or several of which none contains another: then the candidate is mixed, and its network, that of
            the first, tells the representations alone.
        kinds: "strict", "soft" and "free"; of a group under which every linear map is equivariant, such as Trivial,
            "strict" alone, as the three are the same. And "nested" if larger candidates contain this one: soft, with a
            pathway of its own for each of them too, so that what they explain is not lost.
        larger: names of the chain of candidates that contain this one, the largest first.
        nested: network of the nested model; the symmetry of its bilinear layers is that of the largest.
        contains: names of the candidates that this group contains, by their generators or as far as the network's
            linear maps can tell; they ask for less. So do mixed ones, of those that contain one of their groups.
        same: names of those with the same maps, which no data could tell from this one.
    """

    name: str
    groups: Groups
    net: Network
    likelihood: Likelihood
    contains: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    larger: tuple[str, ...] = ()
    nested: Network | None = None

    @property
    def group(self) -> Group:
        """The group; of a mixed candidate the first."""
        return self.groups[0]

    @property
    def is_mixed(self) -> bool:
        return len(self.groups) > 1

    @property
    def is_free(self) -> bool:
        """Whether every linear map is equivariant, as under Trivial."""
        linear = [p.subspace for name, p in self.net.parameters.items() if name.endswith(("weight", "bias"))]
        return all(s.rank == s.size for s in linear)

    @cached_property
    def lacks(self) -> str:
        """What the strict network cannot carry, in words; nothing where it can, and of networks that are not ours."""
        return (lacks(self.net) or few_copies(self.net)) if isinstance(self.net, EMLP) else ""

    @property
    def kinds(self) -> tuple[str, ...]:
        without = {"soft", "free"} if self.is_free else set()
        without |= {"nested"} if self.nested is None else set()
        return tuple(kind for kind in KINDS if kind not in without)

    @property
    def in_chain(self) -> tuple[str, ...]:
        """Names of the candidates whose groups its nested model has a pathway for, the largest first."""
        return self.larger if self.is_free else (*self.larger, self.name)

    @property
    def softest(self) -> str:
        """The kind that bends the most: nested, or else soft, or else strict."""
        return next(kind for kind in ("nested", "soft", "strict") if kind in self.kinds)

    def model(self, kind: str, start: int = 0) -> Model:
        """The model of a kind; the sigmas by layer of a soft or nested one are tuned from a start of their own."""
        residual = PerLayer(Prior("HalfNormal", {"scale": STARTS_B[start % len(STARTS_B)]}))
        a: Any
        a, b = {"strict": (SIGMA_A, 0.0), "free": (0.0, SIGMA_A)}.get(kind, (SIGMA_A, residual))
        net = self.net
        if kind == "nested" and self.nested is not None:
            net = self.nested
            a = [SIGMA_A, *[residual] * (net.pathways - 1)] if net.pathways > 1 else SIGMA_A
        return Model(net, sigma_a=a, sigma_b=b, likelihood=self.likelihood)

    def chained(self, chain: Sequence[Candidate], net: Network | None) -> Candidate:
        """With a chain of larger candidates, the largest first and this one at its end unless it is free, and its
        network."""
        return replace(self, larger=tuple(c.name for c in chain if c.name != self.name), nested=net)

    def is_alike(self, kind: str, other: Candidate, its: str) -> bool:
        """Whether our model of a kind is another candidate's of its kind: free models of the same layers, nested ones
        of the same chain, and nested ones of a single group, which are its soft one."""
        if kind == "nested":
            return its in ("soft", "nested") and self.nested is (other.nested if its == "nested" else other.net)
        if kind != "free" or its != "free":
            return False
        ours, theirs = self.net, other.net
        if {k: p.shape for k, p in ours.parameters.items()} != {k: p.shape for k, p in theirs.parameters.items()}:
            return False
        rng = np.random.default_rng(0)
        x = rng.normal(size=(3, ours.rep_in.size))
        params = {k: rng.normal(size=p.shape) for k, p in ours.parameters.items()}
        return bool(np.allclose(ours(params, x), theirs(params, x), rtol=1e-9))


def make_candidates(
    groups: Mapping[str, Groups],
    rep_in: Rep,
    rep_out: Rep,
    *,
    channels: int | Rep,
    layers: int,
    network: Callable[[Group], Network] | None,
    likelihood: Likelihood,
) -> list[Candidate]:
    """The candidates in the order given; see `compare_symmetries` for the arguments."""
    is_own = network is None
    if network is None:
        every = [g for gs in groups.values() for g in gs]
        hidden = channels if isinstance(channels, Rep) else hidden_rep(channels, *_reference(every, rep_in, rep_out))

        def network(group: Group) -> Network:
            with quiet():  # it is among the doubts
                return EMLP(rep_in, rep_out, group, hidden, layers)

    nets = {}
    for name, (group, *_) in groups.items():
        nets[name] = network(group)
        if not isinstance(nets[name], Network):
            raise TypeError(f"network must give a Network, got a {type(nets[name]).__name__} for {name!r}")
    spaces = {name: [_subspaces(net, g) for g in groups[name]] for name, net in nets.items()}
    within = {
        (name, other): _within(spaces[name], spaces[other]) or _contains(groups[name], groups[other])
        for name, other in permutations(nets, 2)
    }
    found = {}
    for name, net in nets.items():
        around = [other for other in nets if other != name and within[name, other]]
        contains = tuple(other for other in around if not within[other, name])
        same = tuple(other for other in around if within[other, name])
        found[name] = Candidate(name, groups[name], net, likelihood, contains, same)
    return list((with_chains(found) if is_own else found).values())


def with_chains(candidates: Mapping[str, Candidate], ranks: Mapping[str, float] | None = None) -> dict[str, Candidate]:
    """The candidates that others contain, with nested networks for the chains of these, one for each chain of groups.

    Args:
        ranks: of two subgroups that neither contains the other, a chain goes through the one of the higher.
    """
    nets: dict[tuple[str, ...], Network | None] = {}
    found = {}
    for name, candidate in candidates.items():
        larger = () if candidate.is_mixed else _larger(name, candidates, ranks or {})
        chain = [candidates[k] for k in replace(candidate, larger=larger).in_chain]
        key = tuple(c.name for c in chain)
        if larger and key not in nets:
            nets[key] = candidate.nested if larger == candidate.larger else _nested(chain)
        found[name] = candidate.chained(chain if larger else (), nets.get(key) if larger else None)
    return found


def _larger(name: str, candidates: Mapping[str, Candidate], ranks: Mapping[str, float]) -> tuple[str, ...]:
    """The longest chain of candidates of one group that contain one, the largest first."""
    around = [other for other, c in candidates.items() if name in c.contains and not c.is_mixed]
    chains = [(*_larger(other, candidates, ranks), other) for other in around]
    return max(chains, key=lambda chain: (len(chain), ranks.get(chain[-1], 0.0)), default=())


def _nested(chain: list[Candidate]) -> Network | None:
    first, *others = chain
    if not others:
        return first.net
    net = cast("EMLP", first.net)
    try:
        subgroups = [c.group for c in others]
        with quiet():
            return EMLP(net.rep_in.rep, net.rep_out.rep, net.group, list(net.hidden), subgroups=subgroups)
    except ValueError:  # one group lies in the other only as far as the linear maps of these layers can tell
        return None


def _reference(groups: Sequence[Group], rep_in: Rep, rep_out: Rep) -> tuple[Representation, Representation]:
    """Input and output under the largest group, from which the hidden layers that all candidates share are made."""
    bound = [(rep_in(g), rep_out(g)) for g in groups]
    return min(bound, key=lambda ends: sum(EquivariantSubspace(ends[0], end).rank for end in ends))


def _subspaces(net: Network, group: Group) -> Spaces:
    """Of the maps between neighbouring layers and from input to output, and of the biases."""
    reps = [rep(group) for rep in (net.rep_in.rep, *getattr(net, "hidden", ()), net.rep_out.rep)]
    pairs = dict.fromkeys([*pairwise(reps), (reps[0], reps[-1])])
    return [*(EquivariantSubspace(a, b) for a, b in pairs), *(EquivariantSubspace(None, r) for r in reps[1:])]


def _contains(large: Groups, small: Groups) -> bool:
    """Whether each of some groups contains one of others: what has the symmetry of the first has that of the second."""
    return all(any(lies_in(h, g) for h in small) for g in large)


def _within(inner: list[Spaces], outer: list[Spaces]) -> bool:
    """Whether the functions of each of some groups are among those of one of others."""
    return all(any(_are_within(a, b) for b in outer) for a in inner)


def _are_within(inner: Spaces, outer: Spaces) -> bool:
    """Whether every map of the first kind is one of the second: then the first group is the larger."""
    rng = np.random.default_rng(0)
    for a, b in zip(inner, outer, strict=False):
        if a.shape != b.shape:
            return False
        w = a.decode(rng.normal(size=a.rank))
        if np.linalg.norm(w - b.project(w)) > 1e-6 * np.linalg.norm(w):
            return False
    return len(inner) == len(outer)
