"""A model: network + prior + likelihood, as a plain model function of Pyro and of NumPyro."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array
from bayes_rpp._deprecation import renamed_arguments, renamed_attribute
from bayes_rpp._given import described
from bayes_rpp._html import paragraph, table
from bayes_rpp._types import ArrayLike, EngineName
from bayes_rpp.engines.base import get_engine
from bayes_rpp.models.frozen import Frozen
from bayes_rpp.models.function import run
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.likelihoods import Gaussian
from bayes_rpp.models.normal import EnergyForces
from bayes_rpp.networks.network import Network
from bayes_rpp.priors.hyper import Prior, Sigma, Sigmas
from bayes_rpp.priors.mixed import prior_of
from bayes_rpp.priors.parametrization import Parametrization, get_parametrization
from bayes_rpp.priors.pathway import ResidualPathway, fan_in_scale
from bayes_rpp.priors.subspaces.base import FullSubspace, Subspace
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Representation

AnyParametrization = Literal["pathways", "weights", "whitened"] | Parametrization


@renamed_arguments(parametrisation="parametrization")
class Model(Frozen):
    """p(y, W | x): a Gaussian residual pathway prior on each weight W, and a likelihood around the network's output.

    Args:
        net: EMLP, MLP or any Network.
        sigma_a: prior standard deviation inside the symmetry's subspace: a number >= 0 (0 leaves the weights
            unstructured); a distribution of either library, such as HalfNormal(1.0), and then it is inferred (site
            "sigma_a"); PerLayer(distribution), one for each layer (sites "sigma_a.layers.0", ...); or a dict of these
            by parameter, in which a key may be a pattern ("layers.*"; the first that fits counts). Of a network with
            several pathways (`net.pathways` > 1), as of a list of groups, a list of these, one for each in the order
            of the groups (sites "sigma_a_0", "sigma_a_1", ...).
        sigma_b: that of the residual pathway, likewise. 0 is the strictly equivariant network.
        likelihood: Gaussian(noise), or another Likelihood.
        scale: "fan_in" multiplies sigma_a by sqrt(n_out / r) and sigma_b by sqrt(n_out / n), for a weight of n entries,
            n_out rows and a subspace of rank r: then sigma_a = 1 keeps the variance of the signal from layer to layer.
            None takes the numbers as they are, as the paper does.
        parametrization: "pathways" (beta and B), "weights" (W) or "whitened" (eps): the same prior over W, with other
            latent sites; or a Parametrization of your own. None lets the method choose. Where groups are not nested,
            "weights" needs sigmas that are numbers.

    Attributes:
        sigmas_a: one for each pathway.
        priors: parameter name -> ResidualPathway with the scaled numbers; typical ones for sigmas that are inferred.
        sites: parameter name -> (its sample site, the prior there). Strict weights are sampled by their coordinates, as
            `name_beta`; weights that the prior fixes at zero have no site.
        latents: site -> Prior of all numbers to infer beside the weights: sigmas and the likelihood's.
        infers_sigmas: whether some of those are sigmas.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """

    called = "model"
    parametrisation = renamed_attribute("parametrisation", "parametrization")

    def __init__(
        self,
        net: Network,
        *,
        sigma_a: Sigma | Sequence[Sigma] | NDArray = 1.0,
        sigma_b: Sigma = 0.05,
        likelihood: Likelihood | None = None,
        scale: Literal["fan_in"] | None = "fan_in",
        parametrization: AnyParametrization | None = None,
    ) -> None:
        if not isinstance(net, Network):
            raise TypeError(f"net must be a Network, got {described(net)}; EMLP(rep_in, rep_out, group) would do")
        if likelihood is not None and not isinstance(likelihood, Likelihood):
            raise TypeError(f"likelihood must be a Likelihood, got {likelihood!r}; Gaussian(0.1) would do")
        chosen = Gaussian() if likelihood is None else likelihood
        if net.capabilities.partial and not chosen.takes_missing:
            raise ValueError(
                f"likelihood must be Gaussian or EnergyForces for outputs that not all systems have, got {likelihood}; "
                "pooled='sum' of the network, an output for each system, would do as well"
            )
        if isinstance(chosen, EnergyForces) and getattr(net, "conservative", True) is False:
            raise ValueError(
                "likelihood must be Gaussian where the network has no energy, got EnergyForces; "
                "net.replace(conservative=True, out=Scalar) would do"
            )
        if scale not in ("fan_in", None):
            raise ValueError(f"scale must be 'fan_in' or None, got {scale!r}")
        if parametrization is not None:
            get_parametrization(parametrization)
        self.net = net
        self.likelihood = chosen
        self.scale, self.parametrization = scale, parametrization
        self._arguments: dict[str, Any] = {
            "net": net,
            "sigma_a": sigma_a,
            "sigma_b": sigma_b,
            "likelihood": self.likelihood,
        }
        self._arguments |= {"scale": scale, "parametrization": parametrization}
        self.sigmas_a = _by_pathway(sigma_a, net)
        if isinstance(sigma_b, (list, tuple)):
            raise TypeError(f"sigma_b must be one number, as there is one residual, got a list of {len(sigma_b)}")
        self.sigma_b = Sigmas(sigma_b, "sigma_b", net.parameters, net.layer_of)
        latents: dict[str, Prior] = {}
        for sigmas in (*self.sigmas_a, self.sigma_b):
            latents |= sigmas.latents
        latents |= self.likelihood.latents
        priors: dict[str, ResidualPathway] = {}
        for name in net.parameters:
            try:
                priors[name] = self._prior(name, {k: p.start for k, p in latents.items()})
            except ValueError as error:
                raise ValueError(f"parameter {name}: {error}") from error
        self.latents: Mapping[str, Prior] = MappingProxyType(latents)
        self.priors: Mapping[str, ResidualPathway] = MappingProxyType(priors)
        self.infers_sigmas = any(s.latents for s in (*self.sigmas_a, self.sigma_b))
        self.sites: Mapping[str, tuple[str, ResidualPathway]] = MappingProxyType(dict(self._sites()))

    @property
    def rep_in(self) -> Representation:
        """How the network's group acts on the columns of x."""
        return self.net.rep_in

    @property
    def rep_out(self) -> Representation:
        """How it acts on the network's outputs."""
        return self.net.rep_out

    @property
    def group(self) -> Group:
        """The network's."""
        return self.net.group

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Of an image and the like; None of rows of numbers."""
        return self.net.input_shape

    @property
    def engines(self) -> Sequence[EngineName]:
        """Those that can run it, the better one first."""
        return self.net.engines

    @property
    def traceable(self) -> bool:
        """Whether its course is the same for all values."""
        return self.net.capabilities.traceable

    @property
    def sampled(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of what a posterior must have draws of: the weights, and the likelihood's numbers."""
        return {k: p.shape for k, p in self.net.parameters.items()} | dict.fromkeys(self.likelihood.latents, ())

    @property
    def key(self) -> tuple[Any, ...]:
        """Of programs: models with the same one and the same settings share theirs."""
        return (self.net.key, type(self.likelihood))

    @property
    def sigma_a(self) -> Sigma | list[Sigma]:
        """As it was given."""
        given = [s.given for s in self.sigmas_a]
        return given if self.net.pathways > 1 else given[0]

    def prior(self, name: str, latents: Mapping[str, Any]) -> ResidualPathway:
        """The prior of a parameter, given the values of `latents` (numbers, or arrays of a batch shape)."""
        return self._prior(name, latents) if self.infers_sigmas else self.priors[name]

    pathways = renamed_attribute("pathways", "covariance_terms")

    def covariance_terms(self, name: str) -> Iterator[tuple[Subspace, float | str, float]]:
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
        return prior_of(subspace, a, self.sigma_b.value(name, latents) * scale(rows, subspace.size))

    def site(self, name: str, latents: Mapping[str, Any]) -> tuple[str, ResidualPathway]:
        """A parameter's sample site and the prior there, as `sites`, given the values of `latents`."""
        site, prior = self.sites[name]
        if not self.infers_sigmas:
            return site, prior
        prior = self._prior(name, latents)
        return site, prior.strict() if self.priors[name].is_strict else prior

    def pyro(self, x: ArrayLike, y: ArrayLike | None = None, **options: Any) -> Array:
        """The model function for Pyro: `SVI(model.pyro, guide, ...)`, `NUTS(model.pyro)`, and so on.

        Args:
            x: (n, d_in); (members, n, d_in) where each member has data of its own.
            y: (n, d_out), or None to sample it.
            size: number of examples in all if (x, y) is a minibatch; scales its log-likelihood by size / n.
            members: number of independent copies in a plate "members" at dim -2; None: one, without a plate.
            parametrization: overrides the model's.
            given: values of some of `latents`, which are then known rather than sampled; (members, 1) with a plate.

        Returns:
            The network's outputs (..., n, d_out). Sites: the weights by parameter name, the likelihood's numbers, "y".
        """
        return run(self, get_engine("pyro"), x, y, **options)

    def numpyro(self, x: ArrayLike, y: ArrayLike | None = None, **options: Any) -> Array:
        """The model function for NumPyro; arguments, sites and result as in `pyro`."""
        return run(self, get_engine("numpyro"), x, y, **options)

    def _sites(self) -> Iterator[tuple[str, tuple[str, ResidualPathway]]]:
        for name, prior in self.priors.items():
            if not prior.is_strict:
                yield name, (name, prior)
            elif prior.support.rank:
                yield name, (f"{name}_beta", prior.strict())

    @renamed_arguments(parametrisation="parametrization")
    def replace(self, **changes: Any) -> Model:
        """Another model, with some arguments changed; raises TypeError for one that there is not."""
        return Model(**self._arguments | changes)

    def __getstate__(self) -> dict[str, Any]:
        return {k: dict(v) if isinstance(v, MappingProxyType) else v for k, v in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        views = {k: MappingProxyType(state[k]) for k in ("latents", "priors", "sites")}  # which cannot be pickled
        vars(self).update(state, **views)

    def _repr_html_(self) -> str:
        inferred = ", ".join(self.latents) or "weights alone"
        rows = self._arguments | {"sigma_a": self.sigma_a, "sigma_b": self.sigma_b.given, "inferred": inferred}
        return paragraph(type(self).__name__, "font-weight: bold") + table(rows.items())

    def __repr__(self) -> str:
        return (
            f"Model({self.net!r}, sigma_a={self.sigma_a}, sigma_b={self.sigma_b.given}, "
            f"likelihood={self.likelihood}, "
            f"scale={self.scale!r}, parametrization={self.parametrization!r})"
        )


def _by_pathway(sigma_a: Any, net: Network) -> tuple[Sigmas, ...]:
    count = net.pathways
    sigma_a = list(sigma_a) if isinstance(sigma_a, np.ndarray) and sigma_a.ndim == 1 else sigma_a
    sigma_a = sigma_a[0] if isinstance(sigma_a, (list, tuple)) and len(sigma_a) == count == 1 else sigma_a
    if isinstance(sigma_a, (list, tuple)) != (count > 1) or (count > 1 and len(sigma_a) != count):
        have = f"a list of {len(sigma_a)}" if isinstance(sigma_a, (list, tuple)) else repr(sigma_a)
        wanted = f"a list of {count}, one for each group" if count > 1 else "one number"
        raise ValueError(f"sigma_a must be {wanted}, as the network has {count} pathway(s), got {have}")
    if count == 1:
        return (Sigmas(sigma_a, "sigma_a", net.parameters, net.layer_of),)
    return tuple(Sigmas(s, f"sigma_a_{k}", net.parameters, net.layer_of) for k, s in enumerate(sigma_a))
