"""`SoftModule`: a softened torch module that one trains oneself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bayes_rpp._types import ArrayLike
from bayes_rpp.loops.torch.attached import Plain, as_given, with_residuals
from bayes_rpp.loops.torch.examples import Inputs, examples, single
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.model import Model
from bayes_rpp.networks.soften.doubts import warn_of_nothing_soft
from bayes_rpp.networks.soften.module import Softened
from bayes_rpp.networks.soften.options import Options, is_centered, joined
from bayes_rpp.networks.soften.soften import Residual as Kind
from bayes_rpp.networks.soften.torch.look import Look, look, own_copy
from bayes_rpp.networks.soften.torch.network import TorchNetwork
from bayes_rpp.networks.soften.torch.opened import closed
from bayes_rpp.networks.soften.torch.replace import replace_layers
from bayes_rpp.networks.soften.torch.residual import Residual
from bayes_rpp.networks.soften.torch.soften import network
from bayes_rpp.priors.hyper import Sigma
from bayes_rpp.priors.subspaces.base import Subspace

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior


class SoftModule(nn.Module):
    """A torch module whose layers have residual pathways, to be trained as any other, with `penalty()` in the loss.

    A softened layer stays as it is, with the parameters that it has under the names that they have; what its residual
    adds is a submodule `residual` of it. So at first it computes what the module does, in training and in evaluation
    mode, and with sigma_b = 0 it is the module. The residual's coordinates b are in units of their prior's standard
    deviation: a step of Adam is the same share of the prior in all of them, whatever sigma_b is.

    Args:
        module: torch.nn.Module; a copy of it is `soft.module`, and its `state_dict` may be loaded there.
        input_shape: of one example, without the batch, such as (3, 32, 32); several shapes, for a module of several
            arguments, or a dict of shapes by name. In place of a shape, a tensor of some examples, as where they are
            whole numbers.
        sigma_a, sigma_b, scale: of the prior, as in `Model`; distributions are learned: parameters `log_sigma_b`, ....
        centre: of the prior of softened layers and plain linear ones: "zero", or "module", the values that the module
            has, such as those of a trained one. That of all other parameters is at the module's values.
        residual, subspaces, skip, freeze: as in `soften`. Parameters that do not require gradients are frozen, too.

    Attributes:
        module: the module, with residuals.
        model: the prior, of the weights that `weights` returns.
        layers: what became of each layer that has parameters; `soft.table` shows it.

    Warns:
        UserWarning: if nothing is soft, with the reasons.

    Raises:
        TypeError, ValueError: naming the argument that does not fit, or what the module does that does not go with
            residuals.
    """

    def __init__(
        self,
        module: nn.Module,
        input_shape: Inputs,
        *,
        sigma_a: Sigma | Sequence[Sigma] = 1.0,
        sigma_b: Sigma = 0.05,
        centre: Literal["zero", "module"] = "zero",
        scale: Literal["fan_in"] | None = "fan_in",
        residual: Kind | Mapping[str, Kind] | None = None,
        subspaces: Mapping[str, Subspace] | None = None,
        skip: Sequence[str] = (),
        freeze: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"module must be a torch.nn.Module, got a {type(module).__name__}; for Flax, soften and fit"
            )
        if any(isinstance(m, SoftModule) for m in module.modules()):
            raise TypeError(
                "module must be one without residuals, got one with a SoftModule; what merge() makes would do"
            )
        centered = is_centered(centre)
        self._options, self.inputs = Options(residual, subspaces, skip, freeze), input_shape
        with next(module.parameters(), torch.zeros(())).device:
            seen, output = self._look(module)
            rows = single(input_shape) if isinstance(output, torch.Tensor) else None
            outputs = output[:1].numel() if isinstance(output, torch.Tensor) else 1
            kept, replaced = as_given(module, self._options), {p: c.layer is not None for p, c in seen.choices.items()}
            net = network(seen, rows or (1,), outputs, centered=centered)
            warn_of_nothing_soft(net)
            self.model, self.takes_rows = Model(net, sigma_a=sigma_a, sigma_b=sigma_b, scale=scale), rows is not None
            self._replaced = {path: seen.shapes[path] for path, is_new in replaced.items() if is_new}
            self._learned = {
                site: f"log_{site.replace('.', '_')}"
                for s in (*self.model.sigmas_a, self.model.sigma_b)
                for site in s.latents
            }
            like = next(kept.parameters())
            for site, name in self._learned.items():
                start = torch.tensor(self.model.latents[site].start).log()
                self.register_parameter(name, nn.Parameter(start.to(like)))
            logs = {site: getattr(self, name) for site, name in self._learned.items()}
            self.module, terms = with_residuals(kept, seen, self.model, logs, centered)
            self.terms: Any = nn.ModuleList(terms)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        return self.module(*args, **kwargs)

    def penalty(self) -> torch.Tensor:
        """-log p(coordinates, sigmas) up to a constant, a scalar: a loss that is a mean over n examples has
        `penalty() / n` added. Sigmas that are learned have their hyperprior in it, and the density is that of
        coordinates in units of the prior's standard deviation, as that of the weights has no mode then."""
        total = torch.zeros((), dtype=next(self.parameters()).dtype, device=next(self.parameters()).device)
        for term in self.terms:
            total = total + term([self.module.get_parameter(name) for name in term.names])
        for residual in self._residuals.values():
            for part in (residual.weight, residual.bias):
                total = total if part is None else total + part.penalty()
        for site, name in self._learned.items():
            prior = self.model.latents[site]
            hyper = getattr(torch.distributions, prior.family)(**prior.arguments, validate_args=False)
            total = total - hyper.log_prob(getattr(self, name).exp())
        return total

    @property
    def sigmas(self) -> dict[str, float]:
        """The sigmas that are learned, as they are now."""
        return {site: float(getattr(self, name).detach().exp()) for site, name in self._learned.items()}

    def residual_parameters(self) -> list[nn.Parameter]:
        """The coordinates of the residuals, for a group of an optimiser of their own."""
        parts = (part for r in self._residuals.values() for part in (r.weight, r.bias) if part is not None)
        return [getattr(part, name) for part in parts for name in part.names]

    @property
    def layers(self) -> tuple[Softened, ...]:
        return self.net.layers

    @property
    def table(self) -> str:
        """The listing of all layers, as text."""
        return self.net.table

    def weights(self) -> dict[str, NDArray]:
        """The weights W by parameter name, (*shape), as in the network that `soften` makes of the module and in
        `posterior`: those that are not softened, and all with centre="module", are differences from the module's."""
        plain, found = self._plain(), dict[str, NDArray]()
        for path in plain.paths:
            found |= {joined(path, k): w for k, w in plain.values(path).items()}
        parameters = dict(plain.module.named_parameters())
        dtype = np.float64 if next(self.parameters()).dtype == torch.float64 else np.float32
        for name in self.net.parameters:
            w = found[name] if name in found else parameters[name].detach().cpu().double().numpy()
            found[name] = np.asarray(w - self.net.center.get(name, 0.0), dtype=dtype)
        return {name: found[name] for name in self.net.parameters}

    def merge(self) -> nn.Module:
        """A plain module that computes the same, in evaluation mode: layers with a residual become ordinary ones of the
        merged weights, as in `to_torch`, all others are as they are. torch loads it without this package, unless
        attention or recurrent layers have a residual."""
        plain, new = self._plain(), dict[str, nn.Module]()
        for path, residual in plain.residuals.items():
            like = next(residual.parameters())
            w = {k: torch.as_tensor(v).to(like) for k, v in plain.values(path).items()}
            new[path] = residual.layer.with_weights(w["weight"], w.get("bias")).plain()
        with torch.no_grad():
            return closed(replace_layers(plain.module, new)).eval()

    def posterior(
        self,
        members: Sequence[Mapping[str, torch.Tensor] | nn.Module],
        x: ArrayLike,
        y: ArrayLike,
        *,
        likelihood: Likelihood | None = None,
    ) -> Posterior:
        """States of this module as draws of a posterior: members of an ensemble, snapshots of one run, checkpoints.

        Args:
            members: `state_dict`s, or SoftModules; those of DataParallel and torch.compile as well. Each has its own
                running statistics.
            x, y: the training data, or some of them, as in `fit`.
            likelihood: as in `Model`, with known numbers: Categorical(), Gaussian(0.1).

        Raises:
            TypeError, ValueError: if the module takes or returns other than one tensor of floating-point numbers, a
                state does not fit, or states differ in buffers other than the running statistics of normalisations with
                scale and shift.
        """
        from bayes_rpp.loops.torch.members import posterior_of

        return posterior_of(self, members, x, y, likelihood)

    def _look(self, module: nn.Module) -> tuple[Look, Any]:
        args, kwargs = examples(module, self.inputs)

        def call(m: nn.Module) -> Any:
            try:
                return m(*args, **kwargs)
            except Exception as error:  # whatever the module raises
                raise ValueError(f"module must run on examples of {self.inputs}, got an error: {error}") from error

        return look(module, self._options, call)

    @property
    def net(self) -> TorchNetwork:
        """What `soften` makes of the module, as a record: its parameters, subspaces and centers."""
        net = self.model.net
        assert isinstance(net, TorchNetwork)
        return net

    @property
    def _residuals(self) -> dict[str, Residual]:
        """By the path of the layer."""
        found = {path: m for path, m in self.module.named_modules() if isinstance(m, Residual)}
        return {path.removesuffix("residual").removesuffix("."): m for path, m in found.items()}

    def _plain(self) -> Plain:
        return Plain(own_copy(self.module), self._replaced, self._options)
