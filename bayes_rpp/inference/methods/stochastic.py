"""Samplers by gradients of minibatches: Langevin (SGLD) and Hamiltonian (SGHMC)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Literal

from bayes_rpp._arrays import whole_number
from bayes_rpp.inference.methods.base import check_positive
from bayes_rpp.inference.methods.samplers import Chains, check_chain_method

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior
    from bayes_rpp.inference.run.task import Task
    from bayes_rpp.models.model import AnyParametrization, Model

LIBRARIES = {"numpyro": "blackjax", "pyro": "posteriors"}  # whose updates are used, and the extra that brings them
STEPS = 20  # of a draw, at least


@dataclass(frozen=True)
class SGLD(Chains):
    """Stochastic gradient Langevin dynamics, dz = P grad log p dt + sqrt(2 P) dW with gradients of minibatches (Welling
    and Teh 2011), in NumPyro through blackjax, in Pyro through posteriors (extras [blackjax], [posteriors]).

    The prior's gradient is exact and the likelihood's is that of a minibatch times n / batch. P, a diagonal, is one
    over the mean square of the gradient, found in the warm-up and fixed after it (Li et al. 2016): so step sizes do not
    depend on the prior's scale, on n and on the batch. Half of the gradients' own noise is taken off the noise that is
    injected (all of it were too much where weights are correlated). No step is rejected, so a bias remains
    (docs/results/stochastic.md).

    The first fifth of the warm-up only optimizes, by normalised steps that fall by a cosine. Works on the weights
    themselves while sigmas are fixed, else on whitened ones. `sample_stats["lp"]` is that of a minibatch.

    Args:
        chains: number of chains. With `fit(..., init=)` each starts at a member of the ensemble.
        warmup: draws for adaptation, thrown away.
        draws: kept, from each chain.
        batch_size: examples for each step, drawn with replacement. None: all of them.
        step_size: in units in which the gradient's mean square is one. None: 0.05.
        thinning: steps for each draw. None: those of an epoch, 20 at least.
        cycles: the draws come in so many parts, and before each is a warm-up of its own whose first steps are large, to
            leave the mode: cyclical step sizes (Zhang et al. 2020), for several modes in each chain. None: one part.
        chain_method: as in HMC, and None: vectorized in both. In Pyro chains that run together share one stream of
            random numbers.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    home: ClassVar[str] = "bayes_rpp.inference.sample.stochastic"
    size: ClassVar[float] = 0.05

    warmup: int = 500
    draws: int = 500
    batch_size: int | None = 128
    step_size: float | None = None
    thinning: int | None = None
    cycles: int | None = None
    chain_method: Literal["vectorized", "sequential", "parallel"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "thinning", "cycles"):
            if getattr(self, name) is not None:
                whole_number(getattr(self, name), name)
        if self.cycles is not None and self.cycles > self.draws:
            raise ValueError(f"cycles must be at most draws, {self.draws}, got {self.cycles}; 4 would do")
        if self.step_size is not None and check_positive(self.step_size, "step_size", "0.05") > 1:
            raise ValueError(f"step_size must be at most 1, got {self.step_size}; 0.05 would do")
        check_chain_method(self.chain_method)

    def parametrization(self, model: Model) -> AnyParametrization:
        """Weights themselves, which many data tell apart better than pathways of theirs."""
        return "whitened" if model.infers_sigmas else "weights"

    def run(self, task: Task) -> Posterior:
        library = LIBRARIES[task.engine]
        if not find_spec(library):
            other, instead = next((e, lib) for e, lib in LIBRARIES.items() if e != task.engine)
            raise ImportError(
                f"{type(self).__name__} in {task.engine} needs {library}: pip install 'bayes-rpp[{library}]'; "
                f"engine={other!r}, with {instead}, would do as well"
            )
        return super().run(task)

    @property
    def step(self) -> float:
        return self.step_size or self.size

    def each(self, n: int) -> int:
        """Steps for each draw."""
        return self.thinning or max(STEPS, -(-n // self.batch(n)))

    def batch(self, n: int) -> int:
        """Examples for each step."""
        return min(self.batch_size or n, n)

    @property
    def period(self) -> int:
        """Draws of a cycle."""
        return -(-self.draws // (self.cycles or 1))


@dataclass(frozen=True)
class SGHMC(SGLD):
    """Stochastic gradient Hamiltonian Monte Carlo (Chen et al. 2014): SGLD with a momentum, dz = sqrt(P) v dt,
    dv = sqrt(P) grad log p dt - friction v dt + sqrt(2 friction) dW; about twice as fast at the same bias.

    The gradient is that after the move (a symplectic Euler step), whose error falls with the square of the step size.

    Args:
        chains, warmup, draws, batch_size, thinning, cycles, chain_method: as in SGLD.
        step_size: of time, at most 1. None: 0.3.
        friction: in the same units, less than 1 / step_size.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    size: ClassVar[float] = 0.3

    friction: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if check_positive(self.friction, "friction", "1.0") * self.step >= 1:
            raise ValueError(
                f"friction must be less than 1 / step_size, {1 / self.step:.3g}, got {self.friction}; 1.0 would do"
            )
