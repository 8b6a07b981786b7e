"""Microcanonical samplers: Langevin (MCLMC), and the ensemble of its chains (MILE)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Literal

from bayes_rpp._arrays import whole_number
from bayes_rpp.inference.methods.base import Method, check_positive
from bayes_rpp.inference.methods.optimisers import DeepEnsemble
from bayes_rpp.inference.methods.samplers import Chains, check_chain_method, check_fraction

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior
    from bayes_rpp.inference.run.task import Task
    from bayes_rpp.models.model import AnyParametrization, Model

UNADJUSTED, ADJUSTED = 1.0, math.pi / 2  # lengths; of adjusted trajectories as of HMC's


class Blackjax(Method):
    """What blackjax does, and so NumPyro alone."""

    home: ClassVar[str] = "bayes_rpp.inference.sample.microcanonical"

    def run(self, task: Task) -> Posterior:
        name = type(self).__name__
        if task.engine != "numpyro":
            raise ValueError(f"engine must be 'numpyro' for {name}, got {task.engine!r}; NUTS or HMC would do there")
        if not find_spec("blackjax"):
            raise ImportError(f"{name} needs blackjax: pip install 'bayes-rpp[blackjax]'")
        return super().run(task)

    def parametrization(self, model: Model) -> AnyParametrization:
        return "whitened" if model.infers_sigmas else "pathways"


@dataclass(frozen=True)
class MCLMC(Blackjax, Chains):
    """Microcanonical Langevin Monte Carlo, dz = u dt, du = (1 - u uᵀ)(-∇U dt / (d - 1) + eta dW) with |u| = 1
    (Robnik et al. 2023; Robnik and Seljak 2024), in NumPyro, through blackjax (`pip install 'bayes-rpp[blackjax]'`).

    Each draw costs the same, however difficult the posterior (beside NUTS: docs/results/samplers.md). Without
    adjustment there is no rejection, and a bias that falls with the step size, which the warm-up sets by the error of
    the energy. Works on "pathways" while sigmas are fixed, else whitened.

    A step whose energy is out of all proportion is taken back. A chain that keeps having its steps taken back goes on
    with a shorter step, and so cannot freeze; `Posterior.summary` names it, as it may be where others are not.

    Args:
        chains: number of chains. With `fit(..., init=)` each starts at a member of the ensemble.
        warmup: draws for adaptation, thrown away; each is ten steps, so that fewer do than for other samplers.
        draws: kept, from each chain.
        adjusted: accept or reject each trajectory (Metropolis): no bias, at about twice the cost (Robnik et al. 2025).
        step_size: as a distance in units of the posterior's standard deviations. None: adapted, which is advised.
        length: distance after which the direction is forgotten, or that of an adjusted trajectory on average, in units
            of the posterior's standard deviations times the square root of their number. None: 1, or pi / 2 if
            adjusted.
        thinning: steps for each draw; if adjusted, trajectories.
        energy_error: variance of the error of the energy in a step, for each number, that the step size is adapted to.
        target_accept: of adjusted trajectories.
        chain_method: as in HMC.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    warmup: int = 200
    adjusted: bool = False
    step_size: float | None = None
    length: float | None = None
    thinning: int | None = None
    energy_error: float = 5e-4
    target_accept: float = 0.9
    chain_method: Literal["vectorized", "sequential", "parallel"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, example in (("step_size", "0.5"), ("length", "1.0")):
            if getattr(self, name) is not None:
                check_positive(getattr(self, name), name, example)
        check_positive(self.energy_error, "energy_error", "5e-4")
        check_fraction(self.target_accept, "target_accept", "0.9")
        if self.thinning is not None:
            whole_number(self.thinning, "thinning")
        if not isinstance(self.adjusted, bool):
            raise ValueError(f"adjusted must be True or False, got {self.adjusted!r}")
        check_chain_method(self.chain_method)

    @property
    def each(self) -> int:
        """Steps, or adjusted trajectories, for each draw."""
        return self.thinning or (1 if self.adjusted else 10)

    @property
    def distance(self) -> float:
        return self.length or (ADJUSTED if self.adjusted else UNADJUSTED)


@dataclass(frozen=True)
class MILE(Blackjax):
    """Microcanonical Langevin ensemble (Sommer et al. 2025): a deep ensemble, and from each member a chain of MCLMC.

    The same as `fit` with DeepEnsemble and then with MCLMC and `init=`. Networks have many modes: the chains stay in
    those of their members, so an R-hat of all of them says how far the modes differ.

    Args:
        members: of the ensemble, and chains.
        warmup, draws, adjusted, step_size, length, thinning, chain_method: as in MCLMC.
        epochs, batch_size, learning_rate, patience: as in DeepEnsemble, as callbacks and validation of `fit`.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    takes: ClassVar[frozenset[str]] = DeepEnsemble.takes

    members: int = 8
    epochs: int = 200
    warmup: int = 200
    draws: int = 800
    batch_size: int | None = 128
    learning_rate: float | None = None
    patience: int | None = None
    adjusted: bool = False
    step_size: float | None = None
    length: float | None = None
    thinning: int | None = None
    chain_method: Literal["vectorized", "sequential", "parallel"] | None = None

    def __post_init__(self) -> None:
        whole_number(self.members, "members")
        assert self.ensemble.count == self.sampler.count  # both check their numbers

    @property
    def ensemble(self) -> DeepEnsemble:
        numbers = {k: getattr(self, k) for k in ("epochs", "batch_size", "learning_rate", "patience", "members")}
        return DeepEnsemble(**numbers)

    @property
    def sampler(self) -> MCLMC:
        names = "warmup", "draws", "adjusted", "step_size", "length", "thinning", "chain_method"
        return MCLMC(self.members, **{k: getattr(self, k) for k in names})

    @property
    def count(self) -> int:
        return self.members
