"""`SoftModule` of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bayes_rpp._types import ArrayLike
from bayes_rpp.loops.shared import Listed, learned_names
from bayes_rpp.loops.torch.attached import Plain, as_given, with_residuals
from bayes_rpp.loops.torch.examples import Inputs, examples, single
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.model import Model
from bayes_rpp.networks.soften.doubts import warn_of_nothing_soft
from bayes_rpp.networks.soften.options import Options, is_centered, joined
from bayes_rpp.networks.soften.soften import Residual as Kind
from bayes_rpp.networks.soften.torch.look import Look, look, own_copy
from bayes_rpp.networks.soften.torch.network import TorchNetwork
from bayes_rpp.networks.soften.torch.opened import closed
from bayes_rpp.networks.soften.torch.replace import replace_layers
from bayes_rpp.networks.soften.torch.residual import Residual
from bayes_rpp.networks.soften.torch.soften import network
from bayes_rpp.networks.soften.torch.supported import is_trained
from bayes_rpp.priors.hyper import Sigma
from bayes_rpp.priors.subspaces.base import Subspace

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior


class SoftModule(Listed, nn.Module):
    """See `bayes_rpp.SoftModule`."""

    def __init__(
        self,
        module: nn.Module,
        input_shape: Inputs,
        *,
        sigma_a: Sigma | Sequence[Sigma] = 1.0,
        sigma_b: Sigma = 0.05,
        centre: Literal["zero", "module"] | None = None,
        scale: Literal["fan_in"] | None = "fan_in",
        residual: Kind | Mapping[str, Kind] | None = None,
        subspaces: Mapping[str, Subspace] | None = None,
        skip: Sequence[str] = (),
        freeze: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if any(isinstance(m, SoftModule) for m in module.modules()):
            raise TypeError(
                "module must be one without residuals, got one with a SoftModule; what merge() makes would do"
            )
        self._options, self.inputs = Options(residual, subspaces, skip, freeze), input_shape
        with next(module.parameters(), torch.zeros(())).device:
            seen, output = self._look(module)
            centered = is_centered(centre, is_trained(module))
            rows = single(input_shape) if isinstance(output, torch.Tensor) else None
            outputs = output[:1].numel() if isinstance(output, torch.Tensor) else 1
            kept, replaced = as_given(module, self._options), {p: c.layer is not None for p, c in seen.choices.items()}
            net = network(seen, rows or (1,), outputs, centered=centered)
            warn_of_nothing_soft(net)
            self.model, self.takes_rows = Model(net, sigma_a=sigma_a, sigma_b=sigma_b, scale=scale), rows is not None
            self._replaced = {path: seen.shapes[path] for path, is_new in replaced.items() if is_new}
            self._learned = learned_names(self.model)
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
        """See `bayes_rpp.SoftModule`."""
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

    def weights(self) -> dict[str, NDArray]:
        """See `bayes_rpp.SoftModule`."""
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
        """See `bayes_rpp.SoftModule`."""
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
        """See `bayes_rpp.SoftModule`."""
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
