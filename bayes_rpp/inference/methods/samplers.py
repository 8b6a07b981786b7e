"""Methods that sample by Markov chains: what all have, HMC and NUTS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from bayes_rpp._arrays import whole_number
from bayes_rpp._deprecation import renamed_values
from bayes_rpp.inference.methods.base import Method, check_positive

CHAIN_METHODS = ("vectorized", "sequential", "parallel")


@dataclass(frozen=True)
class Chains(Method):
    """Numbers of the methods that run Markov chains; see HMC."""

    takes: ClassVar[frozenset[str]] = frozenset({"checkpoint", "executor"})

    chains: int = 4
    warmup: int = 1000
    draws: int = 1000

    def __post_init__(self) -> None:
        for name in ("chains", "warmup", "draws"):
            whole_number(getattr(self, name), name)
        if self.warmup < 20:
            raise ValueError(f"warmup must be 20 or more, got {self.warmup}; 500 to 2000 would do")

    @property
    def count(self) -> int:
        return self.chains


def check_fraction(value: float, name: str, example: str) -> None:
    if not (check_positive(value, name, example) < 1):
        raise ValueError(f"{name} must be between 0 and 1, got {value}; {example} would do")


def check_chain_method(value: str | None) -> None:
    if value not in (None, *CHAIN_METHODS):
        raise ValueError(f"chain_method must be one of {', '.join(map(repr, CHAIN_METHODS))}, got {value!r}")


@dataclass(frozen=True)
class HMC(Chains):
    """Hamiltonian Monte Carlo (Neal 2011) with step size and mass matrix adapted during warm-up, as in Stan.

    Works on whitened weights, which is right for sigmas that are inferred; while they are fixed,
    `Model(..., parametrization="pathways")` gives more effective draws (docs/results/sampling.md).

    Args:
        chains: number of chains. With `fit(..., init=)` each starts at a member of the ensemble.
        warmup: draws for adaptation, thrown away.
        draws: kept, from each chain.
        target_accept: mean acceptance probability that the step size is adapted to; 0.95 for difficult shapes.
        dense_mass: adapt a full mass matrix rather than a diagonal.
        chain_method: "vectorized" (all chains in one program, in which they advance together, but up to 7 of them on a
            CPU one after the other, which is faster; NumPyro only, as Pyro's kernels advance one chain), "sequential",
            or "parallel" (a process for each, or the `executor` of `fit`). None: vectorized in NumPyro, sequential in
            Pyro. The draws of a chain do not depend on it, beyond rounding.
        trajectory_length: of each draw, in units of the posterior's standard deviations after adaptation. The default,
            a quarter of a period, makes draws from a Gaussian independent; a whole one, 2 pi, returns to its start.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    home: ClassVar[str] = "bayes_rpp.inference.sample"

    target_accept: float = 0.8
    dense_mass: bool = False
    chain_method: Literal["vectorized", "sequential", "parallel"] | None = None
    trajectory_length: float = math.pi / 2

    def __post_init__(self) -> None:
        renamed_values(self, chain_method={"vectorised": "vectorized"})
        super().__post_init__()
        check_fraction(self.target_accept, "target_accept", "0.8")
        check_positive(self.trajectory_length, "trajectory_length", "1.5")
        check_chain_method(self.chain_method)

    @property
    def max_depth(self) -> int | None:
        """Depth at which trees are cut off, for NUTS."""
        return None


@dataclass(frozen=True)
class NUTS(HMC):
    """The no-U-turn sampler (Hoffman and Gelman 2014): HMC that finds the length of each trajectory.

    Arguments as in HMC but for trajectory_length, and `max_tree_depth`: at most 2^max_tree_depth - 1 steps for a draw.
    """

    max_tree_depth: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.max_tree_depth, "max_tree_depth")
        if self.trajectory_length != HMC.trajectory_length:
            raise ValueError(
                f"trajectory_length must be None for NUTS, which finds it, got {self.trajectory_length!r}; "
                "HMC(trajectory_length=...) would do"
            )

    @property
    def max_depth(self) -> int | None:
        return self.max_tree_depth
