"""Hyperpriors: the numbers of a prior, each given by the user as a number or as a distribution to infer it from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from bayes_rpp._types import Distribution, Number
from bayes_rpp.engines.base import Engine
from bayes_rpp.priors.pathway import check_sigma


@dataclass(frozen=True)
class Prior:
    """A distribution of one positive number, by its name and arguments in Pyro and NumPyro alike.

    Example: `Prior("HalfNormal", {"scale": 1.0})`. A distribution of either library is read by `Prior.of`.
    """

    family: str
    arguments: Mapping[str, float]

    @staticmethod
    def of(value: Any, name: str) -> Prior:
        """Read a scalar distribution of Pyro, torch or NumPyro.

        Raises:
            TypeError, ValueError: naming the argument, if it is none, has a batch shape, or allows negative values.
        """
        if isinstance(value, Prior):
            return value
        if not (hasattr(value, "arg_constraints") and hasattr(value, "log_prob")):
            number = "" if name.endswith("PerLayer") else "a positive number, or "
            raise TypeError(f"{name} must be {number}a distribution, got {value!r}; HalfNormal(1.0) would do")
        if tuple(value.batch_shape) or tuple(value.event_shape):
            raise ValueError(
                f"{name} must be a distribution of a single number, got one of shape "
                f"{tuple(value.batch_shape + value.event_shape)}"
            )
        if type(value).__name__ not in _START:
            raise ValueError(
                f"{name} must be a distribution of positive numbers, got a {type(value).__name__}; {', '.join(_START)} "
                "would do"
            )
        args = {k: float(getattr(value, k)) for k in value.arg_constraints if k in _START[type(value).__name__][0]}
        return Prior(type(value).__name__, args)

    def __post_init__(self) -> None:
        if self.family not in _START:
            raise ValueError(f"family must be one of {', '.join(_START)}, got {self.family!r}")
        needed = _START[self.family][0]
        if set(self.arguments) != set(needed):
            raise ValueError(f"arguments of {self.family} must be {', '.join(needed)}, got {', '.join(self.arguments)}")
        for k, v in self.arguments.items():
            if not math.isfinite(v) or (k != "loc" and v <= 0):
                raise ValueError(f"{k} of {self.family} must be a finite number{' > 0' if k != 'loc' else ''}, got {v}")
        object.__setattr__(self, "arguments", dict(self.arguments))  # whatever becomes of the user's

    def __hash__(self) -> int:
        return hash((self.family, *sorted(self.arguments.items())))

    def distribution(self, engine: Engine) -> Any:
        """It, in an engine's library."""
        return getattr(engine.distributions, self.family)(**self.arguments)

    @property
    def start(self) -> float:
        """A typical value, from which optimisers and chains start."""
        return float(_START[self.family][1](**self.arguments))

    def log_prob(self, value: float) -> tuple[float, float]:
        """log density at a positive number, and its derivative by the number's logarithm."""
        return _LOG_PROBS[self.family](value, **self.arguments)

    def config(self) -> dict[str, dict[str, float]]:
        """{family: arguments}, JSON-able: `Prior(*next(iter(config.items())))` is the same again."""
        return {self.family: dict(self.arguments)}


_START: dict[str, tuple[tuple[str, ...], Any]] = {
    "HalfNormal": (("scale",), lambda scale: scale),
    "HalfCauchy": (("scale",), lambda scale: scale),
    "Exponential": (("rate",), lambda rate: 1 / rate),
    "LogNormal": (("loc", "scale"), lambda loc, scale: math.exp(loc)),
    "Gamma": (("concentration", "rate"), lambda concentration, rate: concentration / rate),
    "InverseGamma": (("concentration", "rate"), lambda concentration, rate: rate / (concentration + 1)),
}


def _half_normal(v: float, scale: float) -> tuple[float, float]:
    z = (v / scale) ** 2
    return 0.5 * math.log(2 / math.pi) - math.log(scale) - 0.5 * z, -z


def _half_cauchy(v: float, scale: float) -> tuple[float, float]:
    z = (v / scale) ** 2
    return math.log(2 / math.pi) - math.log(scale) - math.log1p(z), -2 * z / (1 + z)


def _exponential(v: float, rate: float) -> tuple[float, float]:
    return math.log(rate) - rate * v, -rate * v


def _log_normal(v: float, loc: float, scale: float) -> tuple[float, float]:
    z = (math.log(v) - loc) / scale
    return -math.log(v * scale) - 0.5 * math.log(2 * math.pi) - 0.5 * z**2, -1 - z / scale


def _gamma(v: float, concentration: float, rate: float) -> tuple[float, float]:
    a, bv = concentration, rate * v
    return a * math.log(rate) - math.lgamma(a) + (a - 1) * math.log(v) - bv, a - 1 - bv


def _inverse_gamma(v: float, concentration: float, rate: float) -> tuple[float, float]:
    a, bv = concentration, rate / v
    return a * math.log(rate) - math.lgamma(a) - (a + 1) * math.log(v) - bv, bv - a - 1


_LOG_PROBS: dict[str, Any] = {
    "HalfNormal": _half_normal,
    "HalfCauchy": _half_cauchy,
    "Exponential": _exponential,
    "LogNormal": _log_normal,
    "Gamma": _gamma,
    "InverseGamma": _inverse_gamma,
}


@dataclass(frozen=True)
class PerLayer:
    """A number for each layer, with the same prior: `Model(net, sigma_b=PerLayer(HalfNormal(0.1)))`.

    Sites are called after the layers: "sigma_b.layers.0", ..., "sigma_b.output".

    Args:
        distribution: the prior of each number.
        blocks: of softened modules: one number for each numbered part, such as "layers.0", whatever layers it holds.
    """

    distribution: Distribution | Prior
    blocks: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "distribution", Prior.of(self.distribution, "distribution of PerLayer"))


Inferable: TypeAlias = Number | Distribution | Prior
Sigma: TypeAlias = Inferable | PerLayer | Mapping[str, Inferable]


class Sigmas:
    """One of a model's two sigmas: for each parameter a number, or the site of a number to infer.

    Args:
        value: number >= 0, distribution, PerLayer, or a dict of numbers and distributions by parameter, in which a key
            may be a pattern ("layers.*"; the first that fits counts). Each distribution is one number to infer.
        argument: its name, also that of its site; with a dict "name.key", where "layers.0.*" counts as "layers.0".
        names: of all parameters.
        layer: the layer of each; None: `layer_of`.

    Attributes:
        latents: site -> Prior.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """

    def __init__(
        self, value: Sigma, argument: str, names: Iterable[str], layer: Callable[[str], str] | None = None
    ) -> None:
        names = list(names)
        self.given: Sigma = dict(value) if isinstance(value, Mapping) else value
        self.latents: dict[str, Prior] = {}
        if isinstance(value, PerLayer):
            layer = layer_of if layer is None or value.blocks else layer
            layers = dict.fromkeys(map(layer, names))
            sites = {at: self._entry(value.distribution, argument, f"{argument}.{at}") for at in layers}
            self._of = {n: sites[layer(n)] for n in names}
        elif isinstance(value, Mapping):
            self._check_patterns(value, argument, names)
            entries = {p: self._entry(v, f"{argument}[{p!r}]", site_name(argument, p)) for p, v in value.items()}
            self._of = {n: next(e for p, e in entries.items() if fnmatchcase(n, p)) for n in names}
        else:
            self._of = dict.fromkeys(names, self._entry(value, argument, argument))

    def __getitem__(self, name: str) -> float | str:
        """The parameter's number, or the name of its site."""
        return self._of[name]

    def start(self, name: str) -> float:
        """The parameter's number, or a typical value of it."""
        found = self._of[name]
        return self.latents[found].start if isinstance(found, str) else found

    def value(self, name: str, latents: Mapping[str, Any]) -> Any:
        """The parameter's number, from its site's value if it is inferred."""
        found = self._of[name]
        return latents[found] if isinstance(found, str) else found

    def config(self) -> Any:
        """What was given, JSON-able; `from_config` reads it."""
        return _config(self.given)

    @staticmethod
    def from_config(config: Any) -> Any:
        """Inverse of `config`: what to give to Model."""
        if not isinstance(config, Mapping):
            return config
        ((kind, inner),) = config.items()
        if kind == "by_parameter":
            return {k: Sigmas.from_config(v) for k, v in inner.items()}
        if kind in ("per_layer", "each_layer"):
            return PerLayer(Sigmas.from_config(inner), blocks=kind == "per_layer")
        return Prior(kind, inner)

    def _entry(self, value: Any, argument: str, site: str) -> float | str:
        if hasattr(value, "log_prob") or isinstance(value, Prior):
            if site in self.latents:
                raise ValueError(f"{argument} must have a name of its own, got that of another; keep one of the two")
            self.latents[site] = Prior.of(value, argument)
            return site
        number = check_sigma(value, argument)
        if not isinstance(number, float):
            raise TypeError(
                f"{argument} must be a number >= 0, a dict by parameter, or a distribution to infer it from, got an "
                "array; HalfNormal(1.0) would do"
            )
        return number

    def _check_patterns(self, value: Mapping[str, Any], argument: str, names: list[str]) -> None:
        unused = [p for p in value if not any(fnmatchcase(n, p) for n in names)]
        if unused:
            raise ValueError(
                f"{argument} must have patterns that fit a parameter, got {', '.join(map(repr, unused))}; the "
                f"network has {', '.join(names)}"
            )
        for n in names:
            if not any(fnmatchcase(n, p) for p in value):
                raise ValueError(
                    f"{argument} must have something for each parameter, got nothing for {n!r}; '*' for all others "
                    "would do"
                )


def layer_of(name: str) -> str:
    """The layer of a parameter: "layers.0" of "layers.0.bilinear.1", "output" of "output.weight"."""
    parts = name.split(".")
    numbered = next((i for i, p in enumerate(parts[:-1]) if p.isdigit()), None)
    return ".".join(parts[: -1 if numbered is None else numbered + 1]) or name


def site_name(argument: str, pattern: str) -> str:
    return argument if pattern == "*" else f"{argument}.{pattern.removesuffix('.*')}"


def _config(value: Any) -> Any:
    if isinstance(value, PerLayer):
        return {"per_layer" if value.blocks else "each_layer": _config(value.distribution)}
    if isinstance(value, Mapping):
        return {"by_parameter": {k: _config(v) for k, v in value.items()}}
    if hasattr(value, "log_prob") or isinstance(value, Prior):
        return Prior.of(value, "sigma").config()
    return float(value)
