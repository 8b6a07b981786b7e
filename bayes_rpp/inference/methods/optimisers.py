"""Methods that optimise: MAP, deep ensembles and SVI."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from bayes_rpp._arrays import whole_number
from bayes_rpp.inference.methods.base import Optimizer, check_positive

if TYPE_CHECKING:
    from bayes_rpp.models.model import AnyParametrization, Model

LONG = 100  # epochs of a run that is meant to end at a mode


@dataclass(frozen=True)
class MAP(Optimizer):
    """The most probable weights, max_W log p(y | W, x) + log p(W), by Adam.

    With sigmas that are inferred it is the joint mode of the whitened weights and the sigmas: in the other
    parametrizations the density has no highest point, as it grows without bound where a sigma and its weights go to
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

    home: ClassVar[str] = "bayes_rpp.inference.optimise.map"

    polish: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.polish is not None:
            whole_number(self.polish, "polish", 0)

    @property
    def polishing(self) -> int:
        """Gauss-Newton steps after training, at most; where `polish` is None, of models that are linear."""
        short = self.patience is not None or self.epochs < LONG
        return self.polish if self.polish is not None else 0 if short else 20

    @property
    def count(self) -> int:
        return 1

    def parametrization(self, model: Model) -> AnyParametrization:
        return "whitened" if model.infers_sigmas else "pathways"


@dataclass(frozen=True)
class DeepEnsemble(MAP):
    """Several MAP fits, each with its own initial values and order of the data, trained at once.

    Lakshminarayanan et al. 2017; as an approximate posterior, Wilson and Izmailov 2020. The first k
    members do not depend on how many follow.

    Args:
        members: how many.
        restarts: how many times members that lag behind the best one by more than chance, in the log-likelihood of the
            validation data or else of the training data, are trained again from another start. A member that does no
            better the second time stays. Not with `fit(..., init=)`, which gives the starts.
        epochs, batch_size, learning_rate, schedule, patience, polish: as in MAP.

    Warns:
        ConvergenceWarning: if in the end members differ in their validation loss by more than chance.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    takes: ClassVar[frozenset[str]] = MAP.takes | {"executor"}

    members: int = 10
    restarts: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.members, "members")
        whole_number(self.restarts, "restarts", 0)

    @property
    def count(self) -> int:
        return self.members


GUIDES = ("mean_field", "low_rank", "full")


@dataclass(frozen=True)
class SVI(Optimizer):
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

    home: ClassVar[str] = "bayes_rpp.inference.optimise.svi"

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
            whole_number(getattr(self, name), name)
        check_positive(self.init_scale, "init_scale", "0.1")
        if self.rank is not None:
            whole_number(self.rank, "rank")
            if self.guide != "low_rank":
                raise ValueError(
                    f"rank must be None with guide={self.guide!r}, got {self.rank}; guide='low_rank' would do"
                )
        if not callable(self.guide) and self.guide not in GUIDES:
            raise ValueError(
                f"guide must be one of {', '.join(map(repr, GUIDES))}, or a function that takes the model and returns "
                f"a guide, got {self.guide!r}"
            )

    @property
    def count(self) -> int:
        return self.members
