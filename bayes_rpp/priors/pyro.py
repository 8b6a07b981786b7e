"""Residual pathway priors in Pyro: the transform of white noise, the distribution, and its sites."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyro
import pyro.distributions as distributions
import torch
from pyro.infer.reparam.reparam import Reparam
from torch.distributions import constraints

if TYPE_CHECKING:
    from bayes_rpp.priors import pathway
    from bayes_rpp.priors.parametrization import Parametrization, Parts
    from bayes_rpp.priors.subspaces.base import Subspace


class ResidualPathwayTransform(torch.distributions.Transform):
    """W = sigma_b eps + (sqrt(sigma_a^2 + sigma_b^2) - sigma_b) P eps."""

    bijective = True

    def __init__(self, prior: pathway.ResidualPathway) -> None:
        super().__init__()
        self.prior = prior
        real = constraints.independent(constraints.real, len(prior.shape))
        self.domain = self.codomain = real

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        return self.prior.color(x)

    def _inverse(self, y: torch.Tensor) -> torch.Tensor:
        return self.prior.whiten(y)

    def log_abs_det_jacobian(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        batch = x.shape[: x.dim() - len(self.prior.shape)]
        return torch.as_tensor(self.prior.log_abs_det(), dtype=x.dtype, device=x.device).expand(batch)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResidualPathwayTransform) and self.prior is other.prior

    __hash__ = torch.distributions.Transform.__hash__


class ResidualPathway(distributions.TransformedDistribution):
    """N(0, sigma_a^2 Q Q^T + sigma_b^2 I) over weights; log_prob takes one projection.

    Args:
        prior: with numbers or tensors as its sigmas, whose shapes make the batch shape; `prior.pyro()` is this.

    Attributes:
        event_shape: prior.shape.
        sigmas: sigma_a of each level; `sigma_a` is the first.

    Raises:
        ValueError: if the prior has no density, as its sigma_b is the number 0.
    """

    arg_constraints: ClassVar = {"sigma_a": constraints.nonnegative, "sigma_b": constraints.nonnegative}

    def __init__(self, prior: pathway.ResidualPathway, *, validate_args: bool | None = None) -> None:
        prior.check_density()
        given = (*prior.sigmas, prior.sigma_b)
        if any(isinstance(s, np.ndarray) for s in given):
            given = tuple(torch.as_tensor(s, dtype=torch.get_default_dtype()) for s in given)
            prior = prior.unchecked(prior.subspace, given[:-1], given[-1])
        tensors = [s for s in given if torch.is_tensor(s)]
        like = tensors[0] if tensors else torch.empty(())
        shapes = {s.shape for s in tensors}
        batch = like.shape if len(shapes) < 2 else torch.broadcast_shapes(*shapes)
        *a, b = (torch.as_tensor(s, dtype=like.dtype, device=like.device).expand(batch) for s in given)
        self.sigmas, self.sigma_a, self.sigma_b = tuple(a), a[0], b
        self.transforms = [ResidualPathwayTransform(prior)]
        # Not that of TransformedDistribution, which works out shapes that are known here.
        torch.distributions.Distribution.__init__(self, batch, torch.Size(prior.shape), validate_args)

    @property
    def subspace(self) -> Subspace:
        return self.prior.subspace

    @cached_property
    def base_dist(self) -> Any:
        """White noise; log_prob does without."""
        shape = self.batch_shape + self.event_shape
        return distributions.Normal(self.sigma_b.new_zeros(()).expand(shape), 1.0).to_event(len(self.event_shape))

    def expand(self, batch_shape: Any, _instance: Any = None) -> ResidualPathway:
        new = self._get_checked_instance(ResidualPathway, _instance)
        new.sigmas = tuple(s.expand(batch_shape) for s in self.sigmas)
        new.sigma_a, new.sigma_b = new.sigmas[0], self.sigma_b.expand(batch_shape)
        return super().expand(batch_shape, _instance=new)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        if self._validate_args:
            self._validate_sample(value)
        # One pass, where the inherited formula would also take the logarithm of a scale for each entry.
        found = self.prior.log_prob(value)
        lead = value.shape[: value.dim() - len(self.event_shape)]
        return found if lead == self.batch_shape else found.expand(torch.broadcast_shapes(lead, self.batch_shape))

    @property
    def prior(self) -> pathway.ResidualPathway:
        return self.transforms[0].prior

    @property
    def mean(self) -> torch.Tensor:
        return self.base_dist.mean

    @property
    def variance(self) -> torch.Tensor:
        k = len(self.event_shape)
        *a, b = (s[(...,) + (None,) * k] for s in (*self.sigmas, self.sigma_b))
        levels = [torch.as_tensor(s.leverage(), dtype=b.dtype, device=b.device) for s in self.subspace.levels]
        return sum((s**2 * leverage for s, leverage in zip(a, levels, strict=True)), b**2)


def sample(form: Parametrization, site: str, prior: pathway.ResidualPathway) -> torch.Tensor:
    """See `Parametrization.sample`. An initial value of the weight, such as `init_to_value` gives, becomes that of its
    sites."""
    parts = form.parts(site, prior)
    if site in parts:
        return pyro.sample(site, ResidualPathway(parts[site]))
    with pyro.poutine.reparam(config={site: _Sites(form, site, prior, parts)}):
        return pyro.sample(site, ResidualPathway(prior))


class _Sites(Reparam):
    """A weight's site in parts: those of the form, each with its prior."""

    def __init__(self, form: Parametrization, site: str, prior: pathway.ResidualPathway, parts: Parts) -> None:
        self._form, self._site, self._prior, self._parts = form, site, prior, parts

    def apply(self, msg: Any) -> Any:
        form, site, prior, w = self._form, self._site, self._prior, msg["value"]
        start = {} if w is None else form.split(site, prior, w)
        values = {
            s: pyro.sample(s, ResidualPathway(p), obs=start.get(s), infer={"is_observed": False})
            for s, p in self._parts.items()
        }
        w = form.join(site, prior, values) if w is None else w
        known = distributions.Delta(w, event_dim=len(prior.shape)).mask(False)
        return {"fn": known, "value": w, "is_observed": True}
