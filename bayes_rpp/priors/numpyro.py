"""Residual pathway priors in NumPyro: the transform of white noise, the distribution, and its reparameterisations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as distributions
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample
from numpyro.infer.reparam import Reparam, TransformReparam

from bayes_rpp.priors import pathway
from bayes_rpp.priors.subspaces.base import Subspace

__all__ = ["PathwaysReparam", "ResidualPathway", "ResidualPathwayTransform"]


class ResidualPathwayTransform(distributions.transforms.Transform):
    """W = sigma_b eps + (sqrt(sigma_a^2 + sigma_b^2) - sigma_b) P eps."""

    def __init__(self, subspace: Subspace, sigma_a: Any, sigma_b: Any) -> None:
        self.subspace, self.sigma_a, self.sigma_b = subspace, sigma_a, sigma_b

    @property
    def prior(self) -> pathway.ResidualPathway:
        return pathway.ResidualPathway(self.subspace, self.sigma_a, self.sigma_b)

    @property
    def domain(self) -> Any:
        return constraints.independent(constraints.real, len(self.subspace.shape))

    codomain = domain

    def __call__(self, x: Any) -> Any:
        return self.prior.color(jnp.asarray(x))

    def _inverse(self, y: Any) -> Any:
        return self.prior.whiten(jnp.asarray(y))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        batch = jnp.shape(x)[: jnp.ndim(x) - len(self.subspace.shape)]
        return jnp.broadcast_to(self.prior.log_abs_det(), batch)

    def tree_flatten(self) -> Any:
        return (self.sigma_a, self.sigma_b), (("sigma_a", "sigma_b"), {"subspace": self.subspace})

    def eq(self, other: object, static: bool = False) -> Any:
        if not isinstance(other, ResidualPathwayTransform):
            return False
        return all(getattr(self, k) is getattr(other, k) for k in ("subspace", "sigma_a", "sigma_b"))


class ResidualPathway(distributions.TransformedDistribution):
    """N(0, sigma_a^2 Q Q^T + sigma_b^2 I) over weights; log_prob takes one projection.

    Args:
        subspace: the weights that the symmetry allows.
        sigma_a: number or array > 0, batch shape; of a NestedSubspace, a tuple of these, one for each level.
        sigma_b: number or array > 0, batch shape.

    Attributes:
        event_shape: subspace.shape.
        sigmas: sigma_a of each level; `sigma_a` is the first.

    Raises:
        ValueError: if sigma_b is the number 0 and the subspace not the full space.
    """

    arg_constraints: ClassVar = {"sigma_a": constraints.nonnegative, "sigma_b": constraints.nonnegative}
    reparametrized_params: ClassVar = ["sigma_a", "sigma_b"]
    pytree_data_fields = ("sigmas", "sigma_a", "sigma_b")
    pytree_aux_fields = ("subspace",)

    def __init__(self, subspace: Subspace, sigma_a: Any, sigma_b: Any, *, validate_args: bool | None = None) -> None:
        prior = pathway.ResidualPathway(subspace, sigma_a, sigma_b)
        prior.check_density()
        self.subspace = subspace
        given = (*prior.sigmas, prior.sigma_b)
        batch = jnp.broadcast_shapes(*(jnp.shape(s) for s in given))
        *a, b = (jnp.broadcast_to(jnp.asarray(s, dtype=jnp.result_type(float)), batch) for s in given)
        self.sigmas, self.sigma_a, self.sigma_b = tuple(a), a[0], b
        white = distributions.Normal(jnp.zeros(batch + subspace.shape, dtype=b.dtype), 1.0)
        transform = ResidualPathwayTransform(subspace, prior.sigma_a, prior.sigma_b)
        super().__init__(white.to_event(len(subspace.shape)), transform, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any, intermediates: Any = None) -> jax.Array:
        # One projection for value and gradient, where the inherited formula whitens and differentiates that.
        value = jnp.asarray(value)
        lead = jnp.broadcast_shapes(value.shape[: value.ndim - self.event_dim], self.batch_shape)
        return jnp.broadcast_to(self.prior.log_prob(value), lead)

    @property
    def prior(self) -> pathway.ResidualPathway:
        return self.transforms[0].prior

    @property
    def mean(self) -> jax.Array:
        return jnp.zeros(self.batch_shape + self.event_shape, dtype=self.sigma_a.dtype)

    @property
    def variance(self) -> jax.Array:
        *a, b = (s[(...,) + (None,) * self.event_dim] for s in (*self.sigmas, self.sigma_b))
        levels = zip(a, self.subspace.levels, strict=True)
        return sum((s**2 * jnp.asarray(level.leverage(), dtype=b.dtype) for s, level in levels), b**2)


class PathwaysReparam(Reparam):
    """Two latent sites in place of W (paper, Section 4): `name_beta`, the coordinates inside, and `name_residual`, B;
    of a chain of subspaces, `name_beta` is split again.

    Sites whose prior is the same in all directions stay as they are.
    """

    def __call__(self, name: str, fn: Any, obs: Any) -> Any:
        inner, batch, _ = self._unwrap(fn)
        if not isinstance(inner, ResidualPathway):
            raise TypeError(f"site {name!r} is a {type(inner).__name__}; PathwaysReparam works on ResidualPathway")
        if obs is not None:
            raise ValueError(f"site {name!r} has a value; PathwaysReparam does not work on observed sites")
        if inner.prior.isotropic_sigma is not None:
            return fn, None
        return None, _pathways(name, inner.prior, batch)


def _pathways(name: str, prior: pathway.ResidualPathway, batch: tuple[int, ...]) -> jax.Array:
    if prior.isotropic_sigma is not None:
        return numpyro.sample(name, _normal(prior.isotropic_sigma, batch, prior.shape))
    beta = _pathways(f"{name}_beta", prior.strict(), batch)
    residual = numpyro.sample(f"{name}_residual", _normal(prior.sigma_b, batch, prior.shape))
    return prior.support.decode(beta) + residual


def _normal(sigma: Any, batch: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    scale = jnp.broadcast_to(jnp.asarray(sigma, dtype=jnp.result_type(float)), batch)[(...,) + (None,) * len(shape)]
    scale = jnp.broadcast_to(scale, (*batch, *shape))
    return distributions.Normal(jnp.zeros_like(scale), scale).to_event(len(shape))


# --- what `Model` is written with, the same names as in `bayes_rpp.priors.pyro` ---------------------------------------

sample, plate = numpyro.sample, numpyro.plate
zeros, broadcast_to = jnp.zeros, jnp.broadcast_to


def array(value: Any) -> jax.Array:
    return jnp.asarray(value, dtype=jnp.result_type(float))


def integers(a: jax.Array) -> jax.Array:
    return a.astype(int)


def vmap(function: Callable[..., Any], in_dims: tuple[Any, ...]) -> Callable[..., Any]:
    return jax.vmap(function, in_axes=in_dims)


@lru_cache(maxsize=16)
def compiled(net: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled once for each network: initialisers of guides and kernels run the model operation by operation."""
    return jax.jit(net)


def device() -> str:
    return "jax: " + jax.default_backend()


def deterministic(name: str, value: jax.Array, event_dim: int) -> jax.Array:
    return numpyro.deterministic(name, value)


def scale(factor: float) -> contextlib.AbstractContextManager[Any]:
    return numpyro.handlers.scale(scale=factor)


def reparametrise(function: Callable[..., Any], parametrisation: str, sites: list[str]) -> Callable[..., Any]:
    """The model with its weights in `"weights"`, `"whitened"` or `"pathways"` form."""
    if parametrisation == "weights":
        return function
    handler = TransformReparam() if parametrisation == "whitened" else PathwaysReparam()
    return numpyro.handlers.reparam(function, config=dict.fromkeys(sites, handler))
