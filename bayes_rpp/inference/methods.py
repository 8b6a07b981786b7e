"""Inference methods as frozen dataclasses: what to do, not how; each engine has a file for each method."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bayes_rpp.inference.base import GENTLE, RATE, Method, Optimiser, check_count, check_positive

if TYPE_CHECKING:
    from bayes_rpp.models import Model, Parametrisation

__all__ = [
    "GENTLE", "HMC", "MAP", "NUTS", "RATE", "SVI", "DeepEnsemble", "Laplace", "Method", "Optimiser", "check_count",
    "check_positive",
]  # fmt: skip

LONG = 100  # epochs of a run that is meant to end at a mode


@dataclass(frozen=True)
class MAP(Optimiser):
    """The most probable weights, max_W log p(y | W, x) + log p(W), by Adam.

    With sigmas that are inferred it is the joint mode of the whitened weights and the sigmas: in the other
    parametrisations the density has no highest point, as it grows without bound where a sigma and its weights go to
    zero. Read it as a penalty (HalfNormal(s): |B| / s in place of |B|^2, a group lasso): with a small s and PerLayer it
    keeps the residual away unless the data ask for it, and is one setting for exact, approximate and wrong symmetries
    alike (docs/results/fig2.md). For the posterior of the sigmas use SVI or NUTS.

    Args:
        epochs: passes over the data.
        batch_size: examples for each step; the last incomplete batch of an epoch is dropped. None: all of them.
        learning_rate: of Adam, in units of each weight's scale: the smaller of its prior's standard deviation and
            sqrt(n_out / n), so that the residual pathway moves in steps of its own size. None: 0.03, or 0.003 where
            `fit(..., init=)` is given weights by name, such as those of a trained module, which 0.03 would undo.
        schedule: "cosine" lets the rate fall to zero over the run, "constant" keeps it.
        patience: a member stops once its validation loss has not been better for this many epochs, and keeps its best
            epoch, which may be the start where `fit(..., init=)` gives one; the run ends when all have stopped. Needs
            `fit(..., validation=)`. None: no early stopping.
        polish: Gauss-Newton steps in float64 on all data after the training, at most, each no longer than the density
            allows: the rest of the way to a mode, at the numbers that were inferred. None: 20 for models that are
            linear in their weights and small (n * d_out * weights up to 10 million), after 100 epochs or more, without
            patience or validation, which stop short on purpose; 0 for all others, as the mode of a network is not what
            predicts best. `Posterior.summary` says how far from a mode the weights are.

    Warns:
        ConvergenceWarning: if after `polish` it is still more than 0.1 posterior standard deviations from the mode.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    polish: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.polish != 0 and self.polish is not None:
            check_count(self.polish, "polish")

    @property
    def name(self) -> str:
        return "map"

    @property
    def polishing(self) -> int:
        """Gauss-Newton steps after training, at most; where `polish` is None, of models that are linear."""
        short = self.patience is not None or self.epochs < LONG
        return self.polish if self.polish is not None else 0 if short else 20

    @property
    def count(self) -> int:
        return 1

    def parametrisation(self, model: Model) -> Parametrisation:
        return "whitened" if model.infers_sigmas else "pathways"


@dataclass(frozen=True)
class DeepEnsemble(MAP):
    """Several MAP fits, each with its own initial values and order of the data, trained at once.

    Lakshminarayanan et al. 2017; as an approximate posterior, Wilson and Izmailov 2020. Arguments as in MAP, and
    `members`; the first k members do not depend on how many follow.
    """

    members: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.members, "members")

    @property
    def count(self) -> int:
        return self.members


CURVATURES = ("auto", "weights", "data", "kronecker", "last_layer")


@dataclass(frozen=True)
class Laplace(MAP):
    """A Gaussian around the MAP, with the curvature of the network's linearisation (generalised Gauss-Newton): samples,
    predictions and the log evidence.

    MacKay 1992; Immer et al. 2021a, "Improving predictions of Bayesian neural nets via local linearization". It works
    in whitened coordinates eps (W = color(eps)), where the prior is N(0, I) and H = I + J^T L J, with J the Jacobian of
    the outputs and L the likelihood's curvature. `Posterior.log_evidence` is log p(y | eps) - |eps|^2 / 2 - log|H| / 2:
    exact for linear models with a Gaussian likelihood. Where numbers are inferred it is conditional on them: those in
    `Posterior.samples`.

    Args:
        curvature: "weights" (full, H itself), "data" (full, through the covariance of the outputs at the data: the same
            result, faster with fewer outputs than weights), "auto" (the smaller of the two), "kronecker" (weights apart
            from each other, and J^T L J of each the product A (x) B / tr A of a factor for its rows and one for its
            columns, its partial traces, as in K-FAC (Martens and Grosse 2015); exact in the prior and its pathways; for
            large networks, but with more weights than outputs log|H| comes out some 1.6 to 1.8 times the full one, so
            compare its evidence with its own kind alone), or "last_layer" (full, of the last layer alone; the others
            keep their MAP, and the evidence is that of the last layer given them).
        draws: samples of the weights.
        predictions: "linearised" (of f(W_map) + J (W - W_map), as the curvature presumes; without J, by a difference)
            or "network" (of the network at each sample, which underfits where the Gaussian is wide).
        polish: Gauss-Newton steps in float64 on all data after the training, each no longer than the posterior density
            allows; they end early at the mode. With numbers to tune a step is taken only if the evidence does not fall,
            as the highest density may have far less of it. With sigmas to tune there are up to twice as many: first
            with the sigmas held, then with them tuned. None: 10, or 0 with patience, which stops short of the mode on
            purpose.
        evidence: "maximise" tunes all numbers that the model gives as distributions (sigmas, noise) to the highest
            evidence, in turn with the weights: the noise during the training (Immer et al. 2021b, "Scalable marginal
            likelihood estimation") and while polishing, sigmas from `burn_in` on. The distributions say where they
            start, and no more: the evidence is not weighted by them. A number stays within a factor of 1000 of its
            start. Start from small sigmas and several seeds, and put the fits together with `mixture`. None: the
            numbers are at the joint mode, as in MAP.
        every: epochs between two rounds of tuning.
        steps: of L-BFGS in each round.
        memory: what curvature may take, in GB; more raises an error with the numbers.
        burn_in: epochs before the first round that tunes sigmas, which end at modes of less evidence if they are tuned
            while the weights are far from one. None: all epochs, so that sigmas are tuned once the weights have been
            polished; where there are no epochs, or no polishing, at once.
        epochs: as in MAP, and 0: only polish, from `fit(..., init=)`. So a mode that is known is followed to other
            sigmas, or a sweep's cell gets its Gaussian; with evidence="maximise" the evidence does not fall on the way.
        batch_size, learning_rate, schedule, patience: as in MAP.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    curvature: Literal["auto", "weights", "data", "kronecker", "last_layer"] = "auto"
    draws: int = 200
    predictions: Literal["linearised", "network"] = "linearised"
    evidence: Literal["maximise"] | None = None
    every: int = 20
    steps: int = 20
    memory: float = 4.0
    burn_in: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("draws", "every", "steps"):
            check_count(getattr(self, name), name)
        if self.burn_in != 0 and self.burn_in is not None:
            check_count(self.burn_in, "burn_in")
        if self.evidence and not self.polishing and self.burning and self.burning >= self.epochs:
            raise ValueError(
                f"burn_in is {self.burn_in}, all of the {self.epochs} epochs, and without polishing sigmas would never "
                "be tuned; fewer, or polish=10, would do"
            )
        check_positive(self.memory, "memory", "4.0")
        for name, able in (
            ("curvature", CURVATURES),
            ("predictions", ("linearised", "network")),
            ("evidence", ("maximise", None)),
        ):
            if getattr(self, name) not in able:
                raise ValueError(f"{name} is {getattr(self, name)!r}; one of {', '.join(map(repr, able))} would do")

    @property
    def name(self) -> str:
        return "laplace"

    @property
    def polishing(self) -> int:
        """Gauss-Newton steps after training, at most, with the numbers of one stage."""
        return self.polish if self.polish is not None else 0 if self.patience else 10

    @property
    def burning(self) -> int:
        """Epochs before sigmas are tuned."""
        return self.burn_in if self.burn_in is not None else self.epochs if self.polishing else 0

    def held(self, model: Model) -> tuple[str, ...]:
        return tuple(model.latents) if self.evidence else ()

    def _check_epochs(self) -> None:
        if self.epochs != 0 or isinstance(self.epochs, bool):
            super()._check_epochs()


GUIDES = ("mean_field", "low_rank", "full")


@dataclass(frozen=True)
class SVI(Optimiser):
    """Stochastic variational inference: a Gaussian over all unconstrained sites that maximises the ELBO.

    Kucukelbir et al. 2017. Minibatches scale the likelihood to the whole data set. Started with `fit(..., init=)`, each
    member's guide is centred at one member of an ensemble, or at the MAP.

    Args:
        guide: "mean_field" (a standard deviation for each weight), "low_rank" (a covariance of rank `rank` plus
            diagonal), "full" (all correlations; for up to some thousand weights), or a function that takes the model
            function and returns a guide of the engine, such as `numpyro.infer.autoguide.AutoIAFNormal`; a guide `g`
            of your own is `guide=lambda model: g`. Called with the data x, y.
        members: guides, each fitted from its own start; each becomes a chain of the posterior.
        draws: from each guide.
        rank: of "low_rank". None: the square root of the number of weights, as in both libraries.
        particles: draws for each gradient.
        init_scale: standard deviation at the start, in units of the prior's where whitened.
        epochs, batch_size, learning_rate, schedule, patience: as in MAP; validation looks at the centre of the guide.

    Raises:
        TypeError, ValueError: naming the argument that is out of range.
    """

    epochs: int = 1000
    learning_rate: float = 0.02
    guide: Any = "mean_field"
    members: int = 1
    draws: int = 1000
    rank: int | None = None
    particles: int = 1
    init_scale: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("members", "draws", "particles"):
            check_count(getattr(self, name), name)
        check_positive(self.init_scale, "init_scale", "0.1")
        if self.rank is not None:
            check_count(self.rank, "rank")
            if self.guide != "low_rank":
                raise ValueError(f"rank is {self.rank} but guide is {self.guide!r}; guide='low_rank' would do")
        if not callable(self.guide) and self.guide not in GUIDES:
            raise ValueError(
                f"guide is {self.guide!r}; one of {', '.join(map(repr, GUIDES))}, or a function that takes the model "
                "and returns a guide, would do"
            )

    @property
    def name(self) -> str:
        return "svi"

    @property
    def count(self) -> int:
        return self.members


CHAIN_METHODS = ("vectorised", "sequential", "parallel")


@dataclass(frozen=True)
class HMC(Method):
    """Hamiltonian Monte Carlo (Neal 2011) with step size and mass matrix adapted during warm-up, as in Stan.

    Works on whitened weights, which is right for sigmas that are inferred; while they are fixed,
    `Model(..., parametrisation="pathways")` gives more effective draws (docs/results/sampling.md).

    Args:
        chains: number of chains. With `fit(..., init=)` each starts at a member of the ensemble.
        warmup: draws for adaptation, thrown away.
        draws: kept, from each chain.
        target_accept: mean acceptance probability that the step size is adapted to; 0.95 for difficult shapes.
        dense_mass: adapt a full mass matrix rather than a diagonal.
        chain_method: "vectorised" (all chains in one batch of operations; NumPyro only, as Pyro's kernels advance one
            chain), "sequential", or "parallel" (a process for each, or the `executor` of `fit`). None: vectorised in
            NumPyro, sequential in Pyro. The draws of a chain do not depend on it, beyond rounding.
        trajectory_length: of each draw, in units of the posterior's standard deviations after adaptation. The default,
            a quarter of a period, makes draws from a Gaussian independent; a whole one, 2 pi, returns to its start.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    chains: int = 4
    warmup: int = 1000
    draws: int = 1000
    target_accept: float = 0.8
    dense_mass: bool = False
    chain_method: Literal["vectorised", "sequential", "parallel"] | None = None
    trajectory_length: float = math.pi / 2

    def __post_init__(self) -> None:
        for name in ("chains", "warmup", "draws"):
            check_count(getattr(self, name), name)
        if self.warmup < 20:
            raise ValueError(f"warmup is {self.warmup}; 20 and more would do, 500 to 2000 are common")
        if not (check_positive(self.target_accept, "target_accept", "0.8") < 1):
            raise ValueError(f"target_accept is {self.target_accept}; a number between 0 and 1, such as 0.8, would do")
        check_positive(self.trajectory_length, "trajectory_length", "1.5")
        if self.chain_method not in (None, *CHAIN_METHODS):
            raise ValueError(
                f"chain_method is {self.chain_method!r}; one of {', '.join(map(repr, CHAIN_METHODS))} would do"
            )

    @property
    def name(self) -> str:
        return "hmc"

    @property
    def count(self) -> int:
        return self.chains

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
        check_count(self.max_tree_depth, "max_tree_depth")
        if self.trajectory_length != HMC.trajectory_length:
            raise ValueError("trajectory_length is for HMC; NUTS finds it. HMC(trajectory_length=...) would do")

    @property
    def max_depth(self) -> int | None:
        return self.max_tree_depth
