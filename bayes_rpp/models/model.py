"""A model: network + prior + likelihood, as a plain model function of Pyro and of NumPyro."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal

import numpy as np

from bayes_rpp._arrays import engine_array
from bayes_rpp._imports import load_module
from bayes_rpp.models.likelihoods import Gaussian, Likelihood
from bayes_rpp.networks.network import Network
from bayes_rpp.priors.hyper import Prior, Sigmas
from bayes_rpp.priors.pathway import ResidualPathway
from bayes_rpp.priors.subspaces.base import FullSubspace, Subspace

Parametrisation = Literal["pathways", "weights", "whitened"]
PARAMETRISATIONS = ("pathways", "weights", "whitened")


class Model:
    """p(y, W | x): a Gaussian residual pathway prior on each weight W, and a likelihood around the network's output.

    Args:
        net: EMLP, MLP or any Network.
        sigma_a: prior standard deviation inside the symmetry's subspace: a number >= 0 (0 leaves the weights
            unstructured); a distribution of either library, such as HalfNormal(1.0), and then it is inferred (site
            "sigma_a"); PerLayer(distribution), one for each layer (sites "sigma_a.layers.0", ...); or a dict of these
            by parameter, in which a key may be a pattern ("layers.*"; the first that fits counts). Of a network with
            nested pathways (`net.pathways` > 1) a list of these, one for each pathway, the most symmetric first (sites
            "sigma_a_0", "sigma_a_1", ...).
        sigma_b: that of the residual pathway, likewise. 0 is the strictly equivariant network.
        likelihood: Gaussian(noise), or another Likelihood.
        scale: "fan_in" multiplies sigma_a by sqrt(n_out / r) and sigma_b by sqrt(n_out / n), for a weight of n entries,
            n_out rows and a subspace of rank r: then sigma_a = 1 keeps the variance of the signal from layer to layer.
            None takes the numbers as they are, as the paper does.
        parametrisation: "pathways" (beta and B), "weights" (W) or "whitened" (eps): the same prior over W, with other
            latent sites. None lets the method choose.

    Attributes:
        sigmas_a: one for each pathway.
        priors: parameter name -> ResidualPathway with the scaled numbers; typical ones for sigmas that are inferred.
        latents: site -> Prior of all numbers to infer beside the weights: sigmas and the likelihood's.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """

    def __init__(
        self,
        net: Network,
        *,
        sigma_a: Any = 1.0,
        sigma_b: Any = 0.05,
        likelihood: Likelihood | None = None,
        scale: Literal["fan_in"] | None = "fan_in",
        parametrisation: Parametrisation | None = None,
    ) -> None:
        if not isinstance(net, Network):
            raise TypeError(f"net is a {type(net).__name__}; a Network such as EMLP(rep_in, rep_out, group) would do")
        if likelihood is not None and not isinstance(likelihood, Likelihood):
            raise TypeError(f"likelihood is {likelihood!r}; a likelihood such as Gaussian(0.1) would do")
        if scale not in ("fan_in", None):
            raise ValueError(f"scale is {scale!r}; 'fan_in' or None would do")
        if parametrisation is not None:
            check_parametrisation(parametrisation)
        self.net = net
        self.likelihood = likelihood if likelihood is not None else Gaussian()
        self.scale, self.parametrisation = scale, parametrisation
        self.sigmas_a = _by_pathway(sigma_a, net)
        if isinstance(sigma_b, (list, tuple)):
            raise TypeError(f"sigma_b is a list of {len(sigma_b)}; one number, as there is one residual, would do")
        self.sigma_b = Sigmas(sigma_b, "sigma_b", net.parameters)
        self.latents: dict[str, Prior] = {}
        for sigmas in (*self.sigmas_a, self.sigma_b):
            self.latents |= sigmas.latents
        self.latents |= self.likelihood.latents
        self.priors: dict[str, ResidualPathway] = {}
        for name in net.parameters:
            try:
                self.priors[name] = self._prior(name, {k: p.start for k, p in self.latents.items()})
            except ValueError as error:
                raise ValueError(f"parameter {name}: {error}") from error

    @property
    def sigma_a(self) -> Any:
        """As it was given."""
        given = [s.given for s in self.sigmas_a]
        return given if self.net.pathways > 1 else given[0]

    @property
    def infers_sigmas(self) -> bool:
        return any(s.latents for s in (*self.sigmas_a, self.sigma_b))

    def prior(self, name: str, latents: Mapping[str, Any]) -> ResidualPathway:
        """The prior of a parameter, given the values of `latents` (numbers, or arrays of a batch shape)."""
        return self._prior(name, latents) if self.infers_sigmas else self.priors[name]

    def pathways(self, name: str) -> Iterator[tuple[Subspace, float | str, float]]:
        """The prior's covariance as a sum over pathways, residual last: (subspace, a number or its site, scale) stand
        for (scale * number)^2 P with P the projector on the subspace."""
        subspace = self.net.parameters[name].subspace
        levels, rows = subspace.levels, subspace.rows
        inside = [(levels[min(k, len(levels) - 1)], s) for k, s in enumerate(self.sigmas_a)]
        for level, sigmas in [*inside, (FullSubspace(subspace.shape), self.sigma_b)]:
            yield level, sigmas[name], fan_in_scale(rows, level.rank) if self.scale else 1.0

    def _prior(self, name: str, latents: Mapping[str, Any]) -> ResidualPathway:
        subspace = self.net.parameters[name].subspace
        rows = subspace.rows
        scale = fan_in_scale if self.scale else lambda rows, rank: 1.0
        a: Any = [s.value(name, latents) for s in self.sigmas_a]
        if len(subspace.levels) < len(a):  # one subspace serves as every level
            a = [sum(s**2 for s in a) ** 0.5]
        a = [s * scale(rows, level.rank) for s, level in zip(a, subspace.levels, strict=True)]
        return ResidualPathway(subspace, a, self.sigma_b.value(name, latents) * scale(rows, subspace.size))

    def pyro(self, x: Any, y: Any = None, **options: Any) -> Any:
        """The model function for Pyro: `SVI(model.pyro, guide, ...)`, `NUTS(model.pyro)`, and so on.

        Args:
            x: (n, d_in); (members, n, d_in) where each member has data of its own.
            y: (n, d_out), or None to sample it.
            size: number of examples in all if (x, y) is a minibatch; scales its log-likelihood by size / n.
            members: number of independent copies in a plate "members" at dim -2; None: one, without a plate.
            parametrisation: overrides the model's.
            given: values of some of `latents`, which are then known rather than sampled; (members, 1) with a plate.

        Returns:
            The network's outputs (..., n, d_out). Sites: the weights by parameter name, the likelihood's numbers, "y".
        """
        return self._function(load_module("bayes_rpp.priors.pyro"), **options)(x, y)

    def numpyro(self, x: Any, y: Any = None, **options: Any) -> Any:
        """The model function for NumPyro; arguments, sites and result as in `pyro`."""
        return self._function(load_module("bayes_rpp.priors.numpyro"), **options)(x, y)

    def _function(
        self,
        lib: Any,
        *,
        size: int | None = None,
        members: int | None = None,
        parametrisation: Parametrisation | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Any:
        engine = lib.__name__.rpartition(".")[2]
        if engine not in self.net.engines:
            raise ValueError(f"this network cannot run in {engine}; model.{self.net.engines[0]} would do")
        unknown = [k for k in given or {} if k not in self.latents]
        if unknown:
            known = ", ".join(map(repr, self.latents)) or "nothing"
            raise ValueError(f"given has {unknown[0]!r} but the model infers {known}")
        chosen = check_parametrisation(parametrisation or self.parametrisation or "pathways")
        sites = [site for site, _ in self.sites.values()]
        return lib.reparametrise(partial(self._run, lib, size, members, given or {}), chosen, sites)

    def _run(self, lib: Any, size: int | None, members: int | None, given: Mapping[str, Any], x: Any, y: Any) -> Any:
        x, y = lib.array(engine_array(x, "x")), None if y is None else lib.array(engine_array(y, "y"))
        if self.net.input_shape and tuple(x.shape[1:]) == self.net.input_shape:
            x = x.reshape((x.shape[0], self.net.rep_in.size))
        self._check_shapes(x, y, members)
        with lib.plate("members", members, dim=-2) if members else nullcontext():
            latents = {k: lib.array(v) for k, v in given.items()}
            for k, p in self.latents.items():
                if k not in given:
                    latents[k] = lib.sample(k, p.distribution(lib.distributions))
            params = {name: self._weight(lib, name, latents) for name in self.priors}
            n, f = x.shape[-2], self._outputs(lib, params, x)
            with lib.plate("data", n, dim=-1), lib.scale((size or n) / n):
                seen = None if y is None else self.likelihood.observed(lib, y)
                lib.sample("y", self.likelihood.distribution(lib.distributions, f, latents), obs=seen)
        return f

    def _outputs(self, lib: Any, params: dict[str, Any], x: Any) -> Any:
        """Outputs (*lead, n, d_out) for weights (*lead, 1, *shape): plates of members, particles or draws make the
        lead, and the plate of examples, at dim -1, the dimension of size one."""
        leads = {k: tuple(w.shape[: w.ndim - len(self.priors[k].shape)]) for k, w in params.items()}
        lead = max(leads.values(), key=len)
        if not lead:
            return lib.compiled(self.net)(params, x)
        count = math.prod(lead)
        flat = {}
        for name, w in params.items():
            shape = self.priors[name].shape
            w = w.reshape((1,) * (len(lead) - len(leads[name])) + tuple(w.shape))
            flat[name] = lib.broadcast_to(w, lead + shape).reshape((count, *shape))
        if x.ndim > 2:
            x = lib.broadcast_to(x, lead[:-1] + tuple(x.shape[-2:])).reshape((count, *x.shape[-2:]))
        f = lib.vmap(self.net, (0, 0 if x.ndim > 2 else None))(flat, x)
        return f.reshape(lead[:-1] + tuple(f.shape[-2:]))

    def _check_shapes(self, x: Any, y: Any, members: int | None) -> None:
        outputs = self.net.rep_out.size
        columns = self.likelihood.columns(outputs)
        kind = f"a {type(self.likelihood).__name__} likelihood"
        owner = f"rep_out has size {outputs}" if columns == outputs else f"{kind} needs {columns} column"
        for name, a, size, wanted in (
            ("x", x, self.net.rep_in.size, f"rep_in has size {self.net.rep_in.size}"),
            ("y", y, columns, owner),
        ):
            if a is None:
                continue
            if a.ndim != 2 and (not members or tuple(a.shape[:-2]) != (members,)):
                raise ValueError(f"{name} has shape {tuple(a.shape)}; (examples, {size}) would do")
            if a.shape[-1] != size:
                raise ValueError(f"{wanted} but {name} has {a.shape[-1]} columns")
        if y is not None and y.shape[-2] != x.shape[-2]:
            raise ValueError(f"x has {x.shape[-2]} examples but y has {y.shape[-2]}")

    def _weight(self, lib: Any, name: str, latents: Mapping[str, Any]) -> Any:
        if name not in self.sites:
            return lib.zeros(self.priors[name].shape)
        site, sampled = self.sites[name]
        prior, strict = self.prior(name, latents), sampled is not self.priors[name]
        if strict:
            prior = prior.strict()
        value = lib.sample(site, lib.ResidualPathway(prior.subspace, prior.sigma_a, prior.sigma_b))
        if not strict:
            return value
        return lib.deterministic(name, self.priors[name].support.decode(value), len(self.priors[name].shape))

    @property
    def sites(self) -> dict[str, tuple[str, ResidualPathway]]:
        """Parameter name -> (its sample site, the prior there). Strict weights are sampled by their coordinates, as
        `name_beta`; weights that the prior fixes at zero have no site."""
        found = {}
        for name, prior in self.priors.items():
            if not prior.is_strict:
                found[name] = (name, prior)
            elif prior.support.rank:
                found[name] = (f"{name}_beta", prior.strict())
        return found

    def __repr__(self) -> str:
        return (
            f"Model({self.net!r}, sigma_a={self.sigma_a}, sigma_b={self.sigma_b.given}, "
            f"likelihood={self.likelihood}, "
            f"scale={self.scale!r})"
        )


def _by_pathway(sigma_a: Any, net: Network) -> tuple[Sigmas, ...]:
    count = net.pathways
    sigma_a = list(sigma_a) if isinstance(sigma_a, np.ndarray) and sigma_a.ndim == 1 else sigma_a
    if isinstance(sigma_a, (list, tuple)) != (count > 1) or (count > 1 and len(sigma_a) != count):
        have = f"a list of {len(sigma_a)}" if isinstance(sigma_a, (list, tuple)) else repr(sigma_a)
        wanted = f"a list of {count}, one for each, the most symmetric first," if count > 1 else "one number"
        raise ValueError(f"sigma_a is {have} but the network has {count} pathway(s); {wanted} would do")
    if count == 1:
        return (Sigmas(sigma_a, "sigma_a", net.parameters),)
    return tuple(Sigmas(s, f"sigma_a_{k}", net.parameters) for k, s in enumerate(sigma_a))


def fan_in_scale(rows: int, rank: int) -> float:
    """sqrt(n_out / r): the standard deviation of r coordinates that keeps the variance of the signal."""
    return math.sqrt(rows / rank) if rank else 1.0


def check_parametrisation(value: Any) -> Parametrisation:
    if value not in PARAMETRISATIONS:
        raise ValueError(f"parametrisation is {value!r}; one of {', '.join(map(repr, PARAMETRISATIONS))} would do")
    return value
