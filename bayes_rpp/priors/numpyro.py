"""Residual pathway priors in NumPyro: the transform of white noise, the distribution, and its sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as distributions
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from bayes_rpp.engines.jax import precise

if TYPE_CHECKING:
    from bayes_rpp.priors import pathway
    from bayes_rpp.priors.parametrization import Parametrization
    from bayes_rpp.priors.subspaces.base import Subspace


class ResidualPathwayTransform(distributions.transforms.Transform):
    """W = sigma_b eps + (sqrt(sigma_a^2 + sigma_b^2) - sigma_b) P eps."""

    def __init__(self, prior: pathway.ResidualPathway) -> None:
        self.prior = prior

    @property
    def domain(self) -> Any:
        return constraints.independent(constraints.real, len(self.prior.shape))

    codomain = domain

    def __call__(self, x: Any) -> Any:
        with precise():
            return self.prior.color(jnp.asarray(x))

    def _inverse(self, y: Any) -> Any:
        with precise():
            return self.prior.whiten(jnp.asarray(y))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        batch = jnp.shape(x)[: jnp.ndim(x) - len(self.prior.shape)]
        return jnp.broadcast_to(self.prior.log_abs_det(), batch)

    def tree_flatten(self) -> Any:
        numbers, aux = (self.prior.sigmas, self.prior.sigma_b), (type(self.prior), self.prior.subspace)
        # Matrices are made of those of subspaces in any position, which therefore stay numbers within a program.
        return (numbers, (*aux, None)) if self.prior.is_nested else ((), (*aux, numbers))

    @classmethod
    def tree_unflatten(cls, aux: Any, leaves: Any) -> Any:
        kind, subspace, numbers = aux
        return cls(kind.unchecked(subspace, *(leaves if numbers is None else numbers)))

    def eq(self, other: object, static: bool = False) -> Any:
        if not isinstance(other, ResidualPathwayTransform):
            return False
        mine, theirs = self.prior, other.prior
        pairs = zip((*mine.sigmas, mine.sigma_b), (*theirs.sigmas, theirs.sigma_b), strict=True)
        return mine.subspace is theirs.subspace and all(a is b for a, b in pairs)


class ResidualPathway(distributions.TransformedDistribution):
    """N(0, sigma_a^2 Q Q^T + sigma_b^2 I) over weights; log_prob takes one projection.

    Args:
        prior: with numbers or arrays as its sigmas, whose shapes make the batch shape; `prior.numpyro()` is this.

    Attributes:
        event_shape: prior.shape.
        sigmas: sigma_a of each level; `sigma_a` is the first.

    Raises:
        ValueError: if the prior has no density, as its sigma_b is the number 0.
    """

    arg_constraints: ClassVar = {"sigma_a": constraints.nonnegative, "sigma_b": constraints.nonnegative}
    reparametrized_params: ClassVar = ["sigma_a", "sigma_b"]
    pytree_data_fields = ("sigmas", "sigma_a", "sigma_b")

    def __init__(self, prior: pathway.ResidualPathway, *, validate_args: bool | None = None) -> None:
        prior.check_density()
        given = (*prior.sigmas, prior.sigma_b)
        batch = jnp.broadcast_shapes(*(jnp.shape(s) for s in given))
        *a, b = (jnp.broadcast_to(jnp.asarray(s, dtype=jnp.result_type(float)), batch) for s in given)
        self.sigmas, self.sigma_a, self.sigma_b = tuple(a), a[0], b
        white = distributions.Normal(jnp.zeros(batch + prior.shape, dtype=b.dtype), 1.0)
        super().__init__(white.to_event(len(prior.shape)), ResidualPathwayTransform(prior), validate_args=validate_args)

    @property
    def subspace(self) -> Subspace:
        return self.prior.subspace

    @validate_sample
    def log_prob(self, value: Any, intermediates: Any = None) -> jax.Array:
        # One projection for value and gradient, where the inherited formula whitens and differentiates that.
        value = jnp.asarray(value)
        lead = jnp.broadcast_shapes(value.shape[: value.ndim - self.event_dim], self.batch_shape)
        with precise():
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


def sample(form: Parametrization, site: str, prior: pathway.ResidualPathway) -> jax.Array:
    """See `Parametrization.sample`."""
    values = {s: numpyro.sample(s, ResidualPathway(p)) for s, p in form.parts(site, prior).items()}
    if site in values:
        return values[site]
    with precise():
        w = form.join(site, prior, values)
    return numpyro.deterministic(site, w)
