"""`SoftModule` of Flax nnx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from bayes_rpp._types import ArrayLike
from bayes_rpp.engines.base import get_engine
from bayes_rpp.engines.flax import at, parameters_of
from bayes_rpp.loops.flax.own import Own, own_weights
from bayes_rpp.loops.flax.residual import Coordinates, Residual, attach, detach
from bayes_rpp.loops.shared import Listed, learned_names
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.model import Model
from bayes_rpp.networks.export.flax import check_nnx, fill
from bayes_rpp.networks.soften.doubts import warn_of_nothing_soft
from bayes_rpp.networks.soften.flax.soften import FlaxNetwork, soften
from bayes_rpp.networks.soften.options import Options, checked_shape, joined

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior


class Record:
    """What a SoftModule knows beside its variables; of one identity, as nnx compares what is no variable.

    Attributes:
        given: the module as it was given; shape: of an example; arguments: what it was softened with.
        model: the prior.
        learned: site -> name of the parameter that is its sigma's logarithm.
        own: the weights that layers have of their own, by name.
        centers: theta that the prior of a weight is centred at; others are centred at zero.
        sigmas, rest: by name, of the prior of own weights, whose variances add up, and of residuals: (number or site,
            scale).
    """

    def __init__(
        self, given: Any, input_shape: Any, centre: str | None, options: dict[str, Any], **sigmas: Any
    ) -> None:
        self.given, self.shape = given, checked_shape(input_shape)
        self.options, self.centre = options, centre
        net = self.network(given)
        self.centre = "module" if net.centered else "zero"  # of others like it, too
        warn_of_nothing_soft(net)
        self.model = model = Model(net, **sigmas)
        self.learned = learned_names(model)
        self.own: dict[str, Own] = own_weights(net, lambda path: at(given, path), net.shapes)
        start = {k: v[...] for k, v in parameters_of(given).items()}
        self.centers = {k: np.asarray(self.own[k].theta(start)) for k in net.center}
        self.sigmas: dict[str, list[tuple[float | str, float]]] = {}
        self.rest: dict[str, tuple[float | str, float]] = {}
        for name, parameter in net.parameters.items():
            terms = [(sigma, scale) for _, sigma, scale in model.covariance_terms(name)]
            soft = parameter.subspace.rank < parameter.subspace.size
            self.sigmas[name] = terms[:-1] if soft else terms
            if soft and terms[-1][0] != 0:
                self.rest[name] = terms[-1]
            if all(sigma == 0 for sigma, _ in self.sigmas[name]):
                raise ValueError(
                    "sigma_a must be positive for a Flax module, got 0; residuals alone are trained by nnx.Optimizer("
                    "..., wrt=nnx.All(nnx.Param, nnx.PathContains('residual')))"
                )

    def network(self, module: Any) -> FlaxNetwork:
        """What `soften` makes of a module like the one that was given."""
        options = Options(self.options["residual"], None, self.options["skip"])
        return soften(module, self.shape, options, centre=self.centre)


class SoftModule(Listed, nnx.Module):
    """See `bayes_rpp.SoftModule`."""

    def __init__(
        self,
        module: Any,
        input_shape: Any,
        *,
        sigma_a: Any = 1.0,
        sigma_b: Any = 0.05,
        centre: str | None = None,
        scale: Any = "fan_in",
        residual: Any = None,
        subspaces: Any = None,
        skip: Sequence[str] = (),
        freeze: Sequence[str] = (),
    ) -> None:
        check_nnx(module)
        for name, given, would in (
            ("subspaces", subspaces, "soften and fit, which take them,"),
            ("freeze", freeze, "nnx.grad and nnx.Optimizer of the parameters to train alone, by wrt=filter,"),
        ):
            if given:
                raise ValueError(f"{name} must be empty for a Flax module, got {given!r}; {would} would do")
        if any(isinstance(m, SoftModule) for _, m in nnx.iter_graph(module)):
            raise TypeError(
                "module must be one without residuals, got one with a SoftModule; what merge() makes would do"
            )
        given, options = nnx.clone(module), {"residual": residual, "skip": skip}
        sigmas = {"sigma_a": sigma_a, "sigma_b": sigma_b, "scale": scale}
        self.record = record = Record(given, input_shape, centre, options, **sigmas)
        for site, name in record.learned.items():
            setattr(self, name, nnx.Param(jnp.log(jnp.asarray(record.model.latents[site].start))))
        self.module = nnx.clone(module)
        own = parameters_of(given)
        for path, (apply, _) in self.net.replaced.items():
            like = next(v[...].dtype for k, v in own.items() if k.startswith(joined(path, "")))
            parts = {}
            for what in ("weight", "bias"):
                if (name := joined(path, what)) in record.rest:
                    sigma, size = record.rest[name]
                    sigma = getattr(self, record.learned[sigma]) if isinstance(sigma, str) else sigma
                    parts[what] = Coordinates(self.net.parameters[name].shape, like, size, sigma)
            if parts:
                shape = self.net.parameters[joined(path, "weight")].shape
                attach(at(self.module, path), Residual(apply, shape, parts.get("weight"), parts.get("bias")))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        return self.module(*args, **kwargs)

    def penalty(self) -> jax.Array:
        """See `bayes_rpp.SoftModule`."""
        record, total = self.record, jnp.zeros(())
        values = {k: v[...] for k, v in parameters_of(self.module).items()}
        for name, own in record.own.items():
            theta = own.theta(values)
            theta = theta - record.centers[name] if name in record.centers else theta
            total = total + 0.5 * own.square(theta) / sum(
                self._sigma(s, scale) ** 2 for s, scale in record.sigmas[name]
            )
        for _, m in nnx.iter_graph(self.module):
            total = total + m.penalty() if isinstance(m, Coordinates) else total
        engine = get_engine("numpyro")
        for site, name in record.learned.items():
            prior = record.model.latents[site]
            total = total - prior.distribution(engine).log_prob(jnp.exp(getattr(self, name)[...]))
        return total

    def _sigma(self, sigma: float | str, scale: float) -> Any:
        return scale * (jnp.exp(getattr(self, self.record.learned[sigma])[...]) if isinstance(sigma, str) else sigma)

    @property
    def sigmas(self) -> dict[str, float]:
        """The sigmas that are learned, as they are now."""
        return {site: float(jnp.exp(getattr(self, name)[...])) for site, name in self.record.learned.items()}

    @property
    def model(self) -> Model:
        """The prior, of the weights that `weights` returns."""
        return self.record.model

    @property
    def net(self) -> FlaxNetwork:
        """What `soften` makes of the module, as a record."""
        net = self.record.model.net
        assert isinstance(net, FlaxNetwork)
        return net

    def weights(self) -> dict[str, NDArray]:
        """See `bayes_rpp.SoftModule`."""
        values = self._values()
        return {k: (w - self.net.center.get(k, 0.0)).astype(np.float32) for k, w in values.items()}

    def merge(self) -> nnx.Module:
        """See `bayes_rpp.SoftModule`. A layer with a residual becomes a `LinearMap` of this package."""
        module: Any = nnx.clone(self.module)
        for path in self.net.replaced:
            detach(at(module, path))
        module = fill(self.net, module, self._values())
        module.eval()
        return module

    def posterior(
        self, members: Sequence[Any], x: ArrayLike, y: ArrayLike, *, likelihood: Likelihood | None = None
    ) -> Posterior:
        """See `bayes_rpp.SoftModule`."""
        from bayes_rpp.loops.flax.members import posterior_of

        return posterior_of(self, members, x, y, likelihood)

    def _values(self) -> dict[str, NDArray]:
        """The weights by name, float64."""
        values, found = {k: v[...] for k, v in parameters_of(self.module).items()}, {}
        for name, own in self.record.own.items():
            w = own.value(np.asarray(own.theta(values), dtype=np.float64))
            path, _, what = name.rpartition(".")
            residual = getattr(at(self.module, path), "residual", None) if path in self.net.replaced else None
            part = getattr(residual, what, None)
            found[name] = w if part is None else w + np.asarray(part(), dtype=np.float64)
        return found
