"""Laplace's method: a Gaussian around a mode, and the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from bayes_rpp._arrays import whole_number
from bayes_rpp._deprecation import renamed_values
from bayes_rpp.inference.methods.base import check_positive
from bayes_rpp.inference.methods.optimisers import MAP

if TYPE_CHECKING:
    from bayes_rpp.models.model import Model

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
        curvature: full, through the covariance of the outputs at the data or, where the weights are fewer, of as many
            combinations of them, with draws by the covariance of the weights ("weights"), by that of the outputs
            ("data", cheaper with fewer outputs than weights) or by the smaller of the two ("auto"); "kronecker"
            (weights apart from each other, and J^T L J of each the product A (x) B / tr A of a factor for its rows and
            one for its columns, its partial traces, as in K-FAC (Martens and Grosse 2015); exact in the prior and its
            pathways; for large networks, but with more weights than outputs log|H| comes out some 1.6 to 1.8 times the
            full one, so compare its evidence with its own kind alone), or "last_layer" (full, of the last layer alone;
            the others keep their MAP, and the evidence is that of the last layer given them).
        draws: samples of the weights.
        predictions: "linearized" (of f(W_map) + J (W - W_map), as the curvature presumes; without J, by a difference)
            or "network" (of the network at each sample, which underfits where the Gaussian is wide).
        polish: Gauss-Newton steps in float64 on all data after the training, each no longer than the posterior density
            allows; they end early at the mode. With numbers to tune a step is taken only if the evidence does not fall,
            as the highest density may have far less of it. With sigmas to tune there are up to twice as many: first
            with the sigmas held, then with them tuned. None: 10, or 0 with patience, which stops short of the mode on
            purpose.
        evidence: "maximize" tunes all numbers that the model gives as distributions (sigmas, noise) to the highest
            evidence, in turn with the weights: the noise during the training (Immer et al. 2021b, "Scalable marginal
            likelihood estimation") and while polishing, sigmas from `burn_in` on. The distributions say where they
            start, and no more: the evidence is not weighted by them. A number stays within a factor of 1000 of its
            start. Start from small sigmas and several `members`. None: the
            numbers are at the joint mode, as in MAP.
        every: epochs between two rounds of tuning.
        steps: of L-BFGS in each round.
        memory: what curvature may take, in GB; more raises an error with the numbers.
        members: fits from starts of their own, trained at once; the posterior is around the mode of the highest
            evidence, and `training["log_evidence"]` ends with that of each. Where the evidence tunes the noise, each
            second one trains at a tenth of its start, and has it tuned while polishing alone: which of the two ways
            finds the better mode depends on the data.
        burn_in: epochs before the first round that tunes sigmas, which end at modes of less evidence if they are tuned
            while the weights are far from one. None: all epochs, so that sigmas are tuned once the weights have been
            polished; where there are no epochs, or no polishing, at once.
        epochs: as in MAP, and 0: only polish, from `fit(..., init=)`. So a mode that is known is followed to other
            sigmas, or a sweep's cell gets its Gaussian; with evidence="maximize" the evidence does not fall on the way.
        batch_size, learning_rate, schedule, patience: as in MAP.

    Warns:
        ConvergenceWarning: if of several members no other one came within 30 nats of the highest evidence.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    home: ClassVar[str] = "bayes_rpp.inference.laplace"

    curvature: Literal["auto", "weights", "data", "kronecker", "last_layer"] = "auto"
    draws: int = 200
    predictions: Literal["linearized", "network"] = "linearized"
    evidence: Literal["maximize"] | None = None
    every: int = 20
    steps: int = 20
    memory: float = 4.0
    burn_in: int | None = None
    members: int = 1

    def __post_init__(self) -> None:
        renamed_values(self, predictions={"linearised": "linearized"}, evidence={"maximise": "maximize"})
        super().__post_init__()
        for name in ("draws", "every", "steps", "members"):
            whole_number(getattr(self, name), name)
        if self.burn_in is not None:
            whole_number(self.burn_in, "burn_in", 0)
        if self.evidence and not self.polishing and self.burning and self.burning >= self.epochs:
            raise ValueError(
                f"burn_in must be less than the {self.epochs} epochs where nothing is polished, got {self.burn_in}: "
                "sigmas would never be tuned; fewer, or polish=10, would do"
            )
        check_positive(self.memory, "memory", "4.0")
        for name, able in (
            ("curvature", CURVATURES),
            ("predictions", ("linearized", "network")),
            ("evidence", ("maximize", None)),
        ):
            if getattr(self, name) not in able:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, able))}, got {getattr(self, name)!r}")

    @property
    def count(self) -> int:
        return self.members

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
        whole_number(self.epochs, "epochs", 0)  # 0: from a mode that is given
