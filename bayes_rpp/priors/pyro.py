"""Residual pathway priors in Pyro: the transform of white noise, the distribution, and its reparameterisations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import pyro
import pyro.distributions as distributions
import torch
from pyro.infer.reparam import TransformReparam
from pyro.infer.reparam.reparam import Reparam
from torch.distributions import constraints

from bayes_rpp.priors import pathway
from bayes_rpp.priors.subspaces.base import FullSubspace, Subspace

__all__ = ["PathwaysReparam", "ResidualPathway", "ResidualPathwayTransform"]


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
        subspace: the weights that the symmetry allows.
        sigma_a: number or tensor > 0, batch shape; of a NestedSubspace, a tuple of these, one for each level.
        sigma_b: number or tensor > 0, batch shape.

    Attributes:
        event_shape: subspace.shape.
        sigmas: sigma_a of each level; `sigma_a` is the first.

    Raises:
        ValueError: if sigma_b is the number 0 and the subspace not the full space.
    """

    arg_constraints: ClassVar = {"sigma_a": constraints.nonnegative, "sigma_b": constraints.nonnegative}

    def __init__(self, subspace: Subspace, sigma_a: Any, sigma_b: Any, *, validate_args: bool | None = None) -> None:
        prior = pathway.ResidualPathway(subspace, sigma_a, sigma_b)
        prior.check_density()
        given = (*prior.sigmas, prior.sigma_b)
        if any(isinstance(s, np.ndarray) for s in given):
            given = tuple(torch.as_tensor(s, dtype=torch.get_default_dtype()) for s in given)
            prior = pathway.ResidualPathway(subspace, given[:-1], given[-1])
        tensors = [s for s in given if torch.is_tensor(s)]
        like = tensors[0] if tensors else torch.empty(())
        shapes = {s.shape for s in tensors}
        batch = like.shape if len(shapes) < 2 else torch.broadcast_shapes(*shapes)
        self.subspace = subspace
        *a, b = (torch.as_tensor(s, dtype=like.dtype, device=like.device).expand(batch) for s in given)
        self.sigmas, self.sigma_a, self.sigma_b = tuple(a), a[0], b
        self.transforms = [ResidualPathwayTransform(prior)]
        # Not that of TransformedDistribution, which works out shapes that are known here.
        torch.distributions.Distribution.__init__(self, batch, torch.Size(subspace.shape), validate_args)

    @cached_property
    def base_dist(self) -> Any:
        """White noise; log_prob does without."""
        shape = self.batch_shape + self.event_shape
        return distributions.Normal(self.sigma_b.new_zeros(()).expand(shape), 1.0).to_event(len(self.event_shape))

    def expand(self, batch_shape: Any, _instance: Any = None) -> ResidualPathway:
        new = self._get_checked_instance(ResidualPathway, _instance)
        new.subspace = self.subspace
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


class PathwaysReparam(Reparam):
    """Two latent sites in place of W (paper, Section 4): `name_beta`, the coordinates inside, and `name_residual`, B;
    of a chain of subspaces, `name_beta` is split again.

    Sites whose prior is the same in all directions stay as they are.
    """

    def apply(self, msg: Any) -> Any:
        name: str = msg["name"]
        fn, event_dim = self._unwrap(msg["fn"])
        if not isinstance(fn, ResidualPathway):
            raise TypeError(f"site {name!r} is a {type(fn).__name__}; PathwaysReparam works on ResidualPathway")
        if fn.prior.isotropic_sigma is not None:
            return {"fn": msg["fn"], "value": msg["value"], "is_observed": msg["is_observed"]}
        if msg["is_observed"]:
            raise ValueError(f"site {name!r} is observed; PathwaysReparam works on latent sites")
        value = _pathways(name, fn.prior, msg["value"])
        return {"fn": distributions.Delta(value, event_dim=event_dim).mask(False), "value": value, "is_observed": True}


def _pathways(name: str, prior: pathway.ResidualPathway, value: torch.Tensor | None) -> torch.Tensor:
    """Sample the pathways of a weight, or set them to an initial value of it."""
    free = {"is_observed": False}
    if prior.isotropic_sigma is not None:
        return pyro.sample(name, _isotropic(prior.isotropic_sigma, prior.shape), obs=value, infer=free)
    beta, residual = (None, None) if value is None else prior.split(value)
    b = _pathways(f"{name}_beta", prior.strict(), beta)
    r = pyro.sample(f"{name}_residual", _isotropic(prior.sigma_b, prior.shape), obs=residual, infer=free)
    return prior.support.decode(b) + r if value is None else value


def _isotropic(sigma: Any, shape: tuple[int, ...]) -> ResidualPathway:
    return ResidualPathway(FullSubspace(shape), sigma, 0.0)


# --- what `Model` is written with, the same names as in `bayes_rpp.priors.numpyro` ------------------------------------

sample, plate = pyro.sample, pyro.plate
zeros, broadcast_to = torch.zeros, torch.broadcast_to


def array(value: Any) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.get_default_dtype())


def integers(a: torch.Tensor) -> torch.Tensor:
    return a.long()


def vmap(function: Any, in_dims: tuple[Any, ...]) -> Callable[..., Any]:
    if function.capabilities.vectorized:
        return torch.func.vmap(function, in_dims=in_dims)
    return partial(_one_by_one, function, in_dims)


def _one_by_one(function: Callable[..., Any], in_dims: tuple[Any, ...], params: Any, x: torch.Tensor) -> torch.Tensor:
    """vmap for a network of operations that have no rule for it."""
    count = len(next(iter(params.values())))
    rows = [({k: v[i] for k, v in params.items()}, x if in_dims[1] is None else x[i]) for i in range(count)]
    return torch.stack([function(*row) for row in rows])


def compiled(net: Callable[..., Any]) -> Callable[..., Any]:
    return net


def device() -> str:
    return "torch: " + ("cuda" if torch.cuda.is_available() else "cpu")


def deterministic(name: str, value: torch.Tensor, event_dim: int) -> torch.Tensor:
    return pyro.deterministic(name, value, event_dim=event_dim)


def scale(factor: float) -> contextlib.AbstractContextManager[Any]:
    return pyro.poutine.scale(scale=factor)


def reparametrise(function: Callable[..., Any], parametrisation: str, sites: list[str]) -> Callable[..., Any]:
    """The model with its weights in `"weights"`, `"whitened"` or `"pathways"` form."""
    if parametrisation == "weights":
        return function
    handler = TransformReparam() if parametrisation == "whitened" else PathwaysReparam()
    return pyro.poutine.reparam(function, config=dict.fromkeys(sites, handler))
