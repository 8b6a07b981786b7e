"""HMC with many chains that find the length of trajectories together (ChEES)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from bayes_rpp._arrays import whole_number
from bayes_rpp.inference.methods.microcanonical import Blackjax
from bayes_rpp.inference.methods.samplers import Chains, check_fraction

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior
    from bayes_rpp.inference.run.task import Task


@dataclass(frozen=True)
class ChEES(Blackjax, Chains):
    """Hamiltonian Monte Carlo with one length of trajectories for all chains, which is the one that changes their
    squared distance from the mean most (Hoffman, Radul and Sountsov 2021), in NumPyro, through blackjax.

    All chains take the same number of steps, each time another one (quasi-random, uniform), so that many of them in one
    program wait for none: for GPUs, and where many short chains are wanted. Works on "pathways" while sigmas are fixed,
    else whitened.

    Args:
        chains: number of chains, two at least. With `fit(..., init=)` each starts at a member of the ensemble.
        warmup: draws for adaptation, thrown away.
        draws: kept, from each chain.
        target_accept: mean (harmonic, over chains) acceptance probability that the step size is adapted to.
        max_steps: of a trajectory.
        chain_method: "vectorized", as the chains adapt together.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    home: ClassVar[str] = "bayes_rpp.inference.sample.chees"
    takes: ClassVar[frozenset[str]] = frozenset({"checkpoint"})

    chains: int = 16
    warmup: int = 500
    draws: int = 500
    target_accept: float = 0.65
    max_steps: int = 1000
    chain_method: Literal["vectorized"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction(self.target_accept, "target_accept", "0.65")
        whole_number(self.max_steps, "max_steps")
        if self.chain_method not in (None, "vectorized"):
            raise ValueError(f"chain_method must be 'vectorized' for ChEES, got {self.chain_method!r}; HMC has others")

    def run(self, task: Task) -> Posterior:
        if self.chains < 2:  # not before, as what is compiled is configured with one
            raise ValueError(f"chains must be 2 or more for ChEES, which looks at many, got {self.chains}; 16 would do")
        return super().run(task)
