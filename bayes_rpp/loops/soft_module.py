"""`SoftModule`: a softened module that one trains oneself, of the library that the module is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from bayes_rpp._types import ArrayLike
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.networks.soften.module import Softened
from bayes_rpp.networks.soften.soften import Residual as Kind
from bayes_rpp.priors.hyper import Sigma
from bayes_rpp.priors.subspaces.base import Subspace

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior

MADE = ("bayes_rpp.loops.torch.soft_module", "bayes_rpp.loops.flax.soft_module")


class _Kind(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        """Of either library, loaded from a file too."""
        return any(base.__module__ in MADE and base.__name__ == "SoftModule" for base in type(instance).__mro__)


class SoftModule(metaclass=_Kind):
    """A module whose layers have residual pathways, to be trained as any other, with `penalty()` in the loss.

    Of a torch module it is a torch.nn.Module, of a module of Flax nnx an nnx.Module: whatever one does with these, one
    does with it. A softened layer stays as it is, with the parameters that it has under the names that they have; what
    its residual adds is a submodule `residual` of it. So at first it computes what the module does, in training and in
    evaluation mode, and with sigma_b = 0 it is the module. The residual's coordinates b are in units of their prior's
    standard deviation: a step of Adam is the same share of the prior in all of them, whatever sigma_b is.

    Args:
        module: torch.nn.Module or nnx.Module; a copy of it is `soft.module`, and torch's `state_dict` may be loaded
            there.
        input_shape: of one example, without the batch, such as (3, 32, 32), or (32, 32, 3) in Flax. Of torch also
            several shapes, for a module of several arguments, or a dict of shapes by name; in place of a shape, a
            tensor of some examples, as where they are whole numbers.
        sigma_a, sigma_b, scale: of the prior, as in `Model`; distributions are learned: parameters `log_sigma_b`, ....
        centre: of the prior of softened layers and plain linear ones: "zero", or "module", the values that the module
            has, such as those of a trained one; None: as in `soften`. That of all other parameters is at the module's
            values.
        residual, subspaces, skip, freeze: as in `soften`; of Flax without subspaces and freeze. Parameters of torch
            that do not require gradients are frozen, too.

    Attributes:
        module: the module, with residuals.
        model: the prior, of the weights that `weights` returns.
        layers: what became of each layer that has parameters; `soft.table` shows it.
        sigmas: the sigmas that are learned, as they are now.

    Warns:
        UserWarning: if nothing is soft, with the reasons.

    Raises:
        TypeError, ValueError: naming the argument that does not fit, or what the module does that does not go with
            residuals.
    """

    if TYPE_CHECKING:
        module: Any
        model: Any
        layers: tuple[Softened, ...]
        table: str
        sigmas: dict[str, float]

        def __getattr__(self, name: str) -> Any: ...  # of torch's and Flax's modules

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def __init_subclass__(cls) -> None:
        raise TypeError(
            f"bases of {cls.__name__} must not have SoftModule, which makes modules of torch or Flax and is no base "
            "of these; a module of one's own that holds a SoftModule would do"
        )

    def __new__(
        cls,
        module: Any,
        input_shape: Any,
        *,
        sigma_a: Sigma | Sequence[Sigma] = 1.0,
        sigma_b: Sigma = 0.05,
        centre: Literal["zero", "module"] | None = None,
        scale: Literal["fan_in"] | None = "fan_in",
        residual: Kind | Mapping[str, Kind] | None = None,
        subspaces: Mapping[str, Subspace] | None = None,
        skip: Sequence[str] = (),
        freeze: Sequence[str] = (),
    ) -> Any:
        options: dict[str, Any] = {"sigma_a": sigma_a, "sigma_b": sigma_b, "centre": centre, "scale": scale}
        options |= {"residual": residual, "subspaces": subspaces, "skip": skip, "freeze": freeze}
        homes = {base.__module__.split(".")[0] for base in type(module).__mro__}
        if "torch" in homes:
            from bayes_rpp.loops.torch.soft_module import SoftModule as OfTorch

            return OfTorch(module, input_shape, **options)
        if "flax" in homes:
            from bayes_rpp.loops.flax.soft_module import SoftModule as OfFlax

            return OfFlax(module, input_shape, **options)
        raise TypeError(f"module must be a torch.nn.Module or an nnx.Module of Flax, got a {type(module).__name__}")

    def penalty(self) -> Any:
        """-log p(coordinates, sigmas) up to a constant, a scalar: a loss that is a mean over n examples has
        `penalty() / n` added. Sigmas that are learned have their hyperprior in it, and the density is that of
        coordinates in units of the prior's standard deviation, as that of the weights has no mode then."""
        raise NotImplementedError

    def weights(self) -> dict[str, NDArray]:
        """The weights W by parameter name, (*shape), as in the network that `soften` makes of the module and in
        `posterior`: those that are not softened, and all with centre="module", are differences from the module's."""
        raise NotImplementedError

    def merge(self) -> Any:
        """A plain module that computes the same, in evaluation mode: layers with a residual become ordinary ones of the
        merged weights, as in `to_torch` and `to_flax`, all others are as they are. torch loads it without this package,
        unless attention or recurrent layers have a residual."""
        raise NotImplementedError

    def posterior(
        self, members: Sequence[Any], x: ArrayLike, y: ArrayLike, *, likelihood: Likelihood | None = None
    ) -> Posterior:
        """States of this module as draws of a posterior: members of an ensemble, snapshots of one run, checkpoints.

        Args:
            members: SoftModules, or their states, `state_dict`s of torch and `nnx.state`s of Flax; those of
                DataParallel and torch.compile as well. Each has its own running statistics.
            x, y: the training data, or some of them, as in `fit`.
            likelihood: as in `Model`, with known numbers: Categorical(), Gaussian(0.1).

        Raises:
            TypeError, ValueError: if the module takes or returns other than one tensor of floating-point numbers, a
                state does not fit, or states differ in buffers other than the running statistics of normalisations with
                scale and shift.
        """
        raise NotImplementedError
