"""Scalar covariance functions of inputs whose blocks rotate: of distances and inner products, block by block.

Either is the same for rotated inputs, k(gx, gx') = k(x, x'), wherever the representation is orthogonal, and has one
lengthscale for each kind of block (Rasmussen and Williams 2006, Chapter 4). Sums and products are made with + and *.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp.priors.hyper import Inferable, Prior
from bayes_rpp.priors.pathway import check_sigma

Array = NDArray[np.float64]
Lengthscale = Inferable | Mapping[str, Inferable]


class Kernel(ABC):
    """A scalar covariance function, or a sum or product of some.

    Attributes:
        leaves: those that it is made of.
    """

    @property
    @abstractmethod
    def leaves(self) -> tuple[Leaf, ...]: ...

    @abstractmethod
    def combine(self, values: Iterator[Array]) -> tuple[Array, list[Array | None]]:
        """The covariance from those of the leaves, in their order, and its derivative by each; None is 1."""

    def __add__(self, other: Kernel) -> Kernel:
        return Sum(self, other) if isinstance(other, Kernel) else NotImplemented

    def __mul__(self, other: Kernel) -> Kernel:
        return Product(self, other) if isinstance(other, Kernel) else NotImplemented

    def config(self) -> dict[str, Any]:
        """JSON-able; `kernel_from_config` builds it again."""
        return {type(self).__name__: {f.name: _config(getattr(self, f.name)) for f in fields(self)}}  # type: ignore[arg-type]


@dataclass(frozen=True)
class Leaf(Kernel):
    """One covariance function; of the sum over columns u = |x - x'|^2 / lengthscale^2, or u = x . x' / lengthscale^2.

    Args:
        lengthscale: a number > 0 or a distribution, for all kinds of blocks, or a dict of these by kind ("Vector").
            None: the model's.
        variance: k(x, x) of those of distances, a factor of the others: a number > 0 or a distribution. Within a sum it
            says how much each part counts; of a whole kernel leave it at 1, as the model's sigmas scale it.
    """

    stationary: ClassVar[bool] = True

    _: KW_ONLY
    lengthscale: Lengthscale | None = None
    variance: Inferable = 1.0

    def __post_init__(self) -> None:
        value = self.lengthscale
        if isinstance(value, Mapping):
            value = {k: number(v, f"lengthscale[{k!r}]") for k, v in value.items()}
        elif value is not None:
            value = number(value, "lengthscale")
        object.__setattr__(self, "lengthscale", value)
        object.__setattr__(self, "variance", number(self.variance, "variance"))

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return (self,)

    def combine(self, values: Iterator[Array]) -> tuple[Array, list[Array | None]]:
        return next(values), [None]

    @abstractmethod
    def value(self, u: Array) -> Array:
        """Of the sum over columns, which rounding may have made a little negative; a new array."""

    @abstractmethod
    def slope(self, u: Array, value: Array) -> Array:
        """The derivative of `value` by u; a new array."""

    @abstractmethod
    def bends(self, u: Array, value: Array) -> tuple[Array, Array]:
        """Its second and third derivatives by u."""


@dataclass(frozen=True)
class RBF(Leaf):
    """exp(-u / 2): very smooth functions."""

    def value(self, u: Array) -> Array:
        found = -0.5 * u
        return np.exp(found, out=found)

    def slope(self, u: Array, value: Array) -> Array:
        return -0.5 * value

    def bends(self, u: Array, value: Array) -> tuple[Array, Array]:
        return 0.25 * value, -0.125 * value


@dataclass(frozen=True)
class Matern52(Leaf):
    """(1 + s + s^2 / 3) exp(-s) with s = sqrt(5 u): functions that are twice differentiable."""

    def value(self, u: Array) -> Array:
        s = _distance(u)
        return (1 + s + s**2 / 3) * np.exp(-s)

    def slope(self, u: Array, value: Array) -> Array:
        s = _distance(u)
        return -5 / 6 * value * (1 + s) / (1 + s + s**2 / 3)

    def bends(self, u: Array, value: Array) -> tuple[Array, Array]:
        s = np.sqrt(5 * u)
        e = np.exp(-s)
        return 25 / 12 * e, -125 / 24 * e / np.maximum(s, 1e-100)  # that it is infinite at 0 meets factors that vanish


@dataclass(frozen=True)
class Polynomial(Leaf):
    """(offset + u)^degree: polynomials of up to a degree, 1 being linear.

    Args:
        degree: a whole number >= 1.
        offset: a number >= 0; 0 leaves out what is of a lower degree.
    """

    stationary: ClassVar[bool] = False

    degree: int = 2
    offset: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.degree, "degree")
        object.__setattr__(self, "offset", check_sigma(self.offset, "offset"))

    def value(self, u: Array) -> Array:
        return _power(self.offset + u, self.degree)

    def slope(self, u: Array, value: Array) -> Array:
        found = _power(self.offset + u, self.degree - 1)
        found *= self.degree
        return found

    def bends(self, u: Array, value: Array) -> tuple[Array, Array]:
        a, base = self.degree, self.offset + u
        second, third = (math.perm(a, k) * base ** max(a - k, 0) for k in (2, 3))
        return second, third


@dataclass(frozen=True)
class Pair(Kernel):
    """Of two kernels."""

    first: Kernel
    second: Kernel

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return self.first.leaves + self.second.leaves


@dataclass(frozen=True)
class Sum(Pair):
    """first + second: a sum of independent functions."""

    def combine(self, values: Iterator[Array]) -> tuple[Array, list[Array | None]]:
        (a, by_a), (b, by_b) = self.first.combine(values), self.second.combine(values)
        return a + b, by_a + by_b


@dataclass(frozen=True)
class Product(Pair):
    """first * second."""

    def combine(self, values: Iterator[Array]) -> tuple[Array, list[Array | None]]:
        (a, by_a), (b, by_b) = self.first.combine(values), self.second.combine(values)
        by_both: list[Array | None] = [b if d is None else d * b for d in by_a]
        by_both += [a if d is None else d * a for d in by_b]
        return a * b, by_both


KERNELS: dict[str, type[Kernel]] = {k.__name__: k for k in (RBF, Matern52, Polynomial, Sum, Product)}


def kernel_from_config(config: Mapping[str, Any]) -> Kernel:
    """Inverse of `Kernel.config`."""
    ((name, arguments),) = config.items()
    return KERNELS[name](**{k: _value(v) for k, v in arguments.items()})


def number(value: Any, name: str) -> float | Prior:
    """A number > 0, or the Prior to infer it from; raises TypeError or ValueError, naming the argument."""
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a number > 0, got {value}; 1.0 would do")
        return float(value)
    return Prior.of(value, name)


def _power(base: Array, degree: int) -> Array:
    """By products, as numpy's power takes 30 times as long."""
    found = base.copy() if degree else np.ones_like(base)
    for bit in f"{degree:b}"[1:]:
        found *= found
        if bit == "1":
            found *= base
    return found


def _distance(u: Array) -> Array:
    """sqrt(5 u), where rounding may have made u negative."""
    return np.sqrt(5 * np.maximum(u, 0))


def _config(value: Any) -> Any:
    if isinstance(value, (Kernel, Prior)):
        return value.config()
    return {"by_kind": {k: _config(v) for k, v in value.items()}} if isinstance(value, Mapping) else value


def _value(config: Any) -> Any:
    if not isinstance(config, Mapping):
        return config
    ((name, inner),) = config.items()
    if name == "by_kind":
        return {k: _value(v) for k, v in inner.items()}
    return kernel_from_config(config) if name in KERNELS else Prior(name, inner)
