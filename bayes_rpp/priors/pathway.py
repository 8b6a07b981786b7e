"""The residual pathway prior on one weight, W ~ N(0, sigma_a^2 Q Q^T + sigma_b^2 I) (Finzi et al. 2021, Section 4).

With P = Q Q^T and s = sqrt(sigma_a^2 + sigma_b^2) it is the linear image W = sigma_b eps + (s - sigma_b) P eps of white
noise: standard deviation s inside the subspace, sigma_b outside. Only `covariance()` builds the covariance.

A chain of subspaces S_1 < S_2 < ... has a pathway for each, W ~ N(0, sigma_1^2 P_1 + sigma_2^2 P_2 + ...
+ sigma_b^2 I), with standard deviation s_k = sqrt(sigma_k^2 + sigma_(k+1)^2 + ... + sigma_b^2) in S_k beyond S_(k-1).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import is_jax_array, is_torch_array

from bayes_rpp._arrays import Array, array_namespace
from bayes_rpp._imports import load_module
from bayes_rpp._types import Numbers, Shaped
from bayes_rpp.engines.libraries import library_of
from bayes_rpp.priors.subspaces.base import FullSubspace, Subspace
from bayes_rpp.priors.subspaces.nested import NestedSubspace, WithinSubspace

if TYPE_CHECKING:
    from bayes_rpp.priors.numpyro import ResidualPathway as NumPyroResidualPathway
    from bayes_rpp.priors.pyro import ResidualPathway as PyroResidualPathway


class ResidualPathway:
    """Gaussian prior that is wide inside a subspace, or a chain of them, and narrow outside of it.

    Args:
        subspace: the weights that the symmetry allows, of rank r; a NestedSubspace for several pathways.
        sigma_a: standard deviation of the r coordinates inside; a number >= 0, or an array of a batch shape; of a
            NestedSubspace, a tuple of these, one for each level.
        sigma_b: standard deviation of the residual, likewise. With 0 the weight never leaves the subspace: then it has
            no density over W, and `strict()` gives the prior of its coordinates.

    Attributes:
        pathways: (subspace, sigma) of each level that carries anything: neither of rank 0 nor with the number 0.

    Raises:
        TypeError, ValueError: if subspace is none, or a sigma is negative, not finite, or all are zero.
    """

    is_nested = True  # whether the levels lie in each other

    def __init__(self, subspace: Subspace, sigma_a: Numbers | Sequence[Numbers], sigma_b: Numbers) -> None:
        if not isinstance(subspace, Subspace):
            raise TypeError(
                f"subspace must be a Subspace, got {subspace!r}; EquivariantSubspace(rep(G), rep(G)) would do"
            )
        if subspace.is_nested is not type(self).is_nested:
            raise TypeError(f"subspace must have nested levels, got {subspace!r}; priors.MixedPathway would do")
        self.subspace = subspace
        levels = subspace.levels
        given = tuple(sigma_a) if isinstance(sigma_a, (tuple, list)) else (sigma_a,)
        if len(given) != len(levels):
            raise ValueError(f"sigma_a must have {len(levels)} number(s), one for each level, got {len(given)}")
        self._set(tuple(check_sigma(s, "sigma_a") for s in given), check_sigma(sigma_b, "sigma_b"))
        if self.is_strict and all(map(is_zero, self.sigmas)):
            raise ValueError("sigma_a or sigma_b must be positive, got 0 for both, with which the weight is always 0")

    def _set(self, sigmas: tuple[Any, ...], sigma_b: Any) -> None:
        self.sigmas, self.sigma_b = sigmas, sigma_b
        levels = zip(self.subspace.levels, sigmas, strict=True)
        self.pathways = [(s, sigma) for s, sigma in levels if s.rank and not is_zero(sigma)]

    @classmethod
    def unchecked(cls, subspace: Subspace, sigmas: tuple[Any, ...], sigma_b: Any) -> ResidualPathway:
        """A prior whose numbers are known to be right, or not known at all, as where JAX takes it apart."""
        new = object.__new__(cls)
        new.subspace = subspace
        new._set(sigmas, sigma_b)
        return new

    @property
    def shape(self) -> tuple[int, ...]:
        return self.subspace.shape

    @property
    def sigma_a(self) -> Any:
        """The number inside; of a chain, a tuple."""
        return self.sigmas[0] if len(self.sigmas) == 1 else self.sigmas

    @property
    def active(self) -> list[Subspace]:
        """The subspaces of `pathways`."""
        return [s for s, _ in self.pathways]

    @property
    def _proper(self) -> list[Subspace]:
        """Those of them that are not the full space, outside of which there is nothing."""
        return [s for s in self.active if s.rank < self.subspace.size]

    @property
    def support(self) -> Subspace:
        """The largest subspace that has a pathway: where W lies if sigma_b is 0."""
        return self.pathways[-1][0] if self.pathways else self.subspace.levels[0]

    @property
    def variances(self) -> list[Any]:
        """Variance inside each active level beyond the one before, and last outside of all, sigma_b^2."""
        found = [self.sigma_b * self.sigma_b]
        for _, sigma in reversed(self.pathways):
            found.insert(0, found[0] + sigma * sigma)
        return found

    @property
    def deviations(self) -> list[Any]:
        """Roots of `variances`: the standard deviations."""
        return [*(v**0.5 for v in self.variances[:-1]), self.sigma_b]

    @property
    def sigma_inside(self) -> Any:
        """Standard deviation inside the smallest subspace: sqrt(sigma_a^2 + sigma_b^2)."""
        return self.deviations[0]

    @property
    def is_strict(self) -> bool:
        """Whether sigma_b = 0 leaves only the subspace, a proper one."""
        return is_zero(self.sigma_b) and (not self.pathways or self.support.rank < self.subspace.size)

    @property
    def isotropic_sigma(self) -> Any | None:
        """The one standard deviation if all directions share it (full or empty subspace, sigma_a = 0), else None."""
        if not self.pathways:
            return self.sigma_b
        if self.pathways[0][0].rank == self.subspace.size:
            return self.deviations[0]
        return None

    def strict(self) -> ResidualPathway:
        """The prior of the coordinates beta in the largest subspace: W = support.decode(beta). Of a single subspace
        N(0, sigma_a^2 I_r); of a chain again a residual pathway, around the smaller ones."""
        (outer, sigma), inner = self.pathways[-1], self.pathways[:-1]
        if not inner:
            return ResidualPathway(FullSubspace((outer.rank,)), sigma, 0.0)
        chain = NestedSubspace([WithinSubspace(outer, s) for s, _ in inner], check=False)
        return ResidualPathway(chain, [s for _, s in inner], sigma)

    def color(self, eps: Shaped[Array, "*w"]) -> Shaped[Array, "*w"]:
        """White noise (..., *shape) to a weight of this prior."""
        return self._filter(eps, self.deviations)

    def whiten(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*w"]:
        """The inverse of `color`."""
        self.check_density()
        return self._filter(w, [1.0 if is_zero(s) else 1.0 / s for s in self.deviations])

    def log_abs_det(self) -> Any:
        """log |det dW/deps| = sum over levels of (r_k - r_(k-1)) log s_k, and (n - r) log sigma_b."""
        return 0.5 * self._logarithms(self.variances)

    def log_prob(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch"]:
        """log density of weights (..., *shape), for numpy, torch and JAX arrays.

        Raises:
            ValueError: if sigma_b is 0, or the shape does not fit.
        """
        self.check_density()
        constant = self._logarithms(self.variances) + self.subspace.size * math.log(2 * math.pi)
        return -0.5 * (self.norm(self.squares(w)) + constant)

    def norm(self, squares: Sequence[Any]) -> Any:
        """|eps|^2 of the weight that `squares` are of: w^T C^+ w with the covariance C."""
        return total([q / v for q, v in self._paired(squares)])

    def inside(self, squares: Sequence[Any], level: Subspace | None = None) -> Any:
        """|P C^+ w|^2 of that weight, with P the projector on a level, or I."""
        count = None if level is None else self._position(level) + 1
        return total([q / v**2 for q, v in self._paired(squares)[:count]])

    def information(self, level: Subspace | None = None) -> Any:
        """tr(P C^+)."""
        count = None if level is None else next(k for k, s in enumerate(self.active) if s is level) + 1
        return total([n / v for n, v in self._paired(self._counts)[:count] if n])

    def _paired(self, parts: Sequence[Any]) -> list[tuple[Any, Any]]:
        """A number for each of the parts of `squares`, with its variance, as far as the prior has mass."""
        return [(q, v) for q, v in zip(parts, self.variances, strict=False) if not is_zero(v)]

    def squares(self, w: Shaped[Array, "*w"]) -> tuple[Shaped[Array, "*batch"], ...]:
        """|.|^2 of what of w is in each proper subspace of `active` beyond the one before, and outside of all: in the
        order of `variances`."""
        # With one variance for all directions, there is nothing to project.
        levels = [] if self.isotropic_sigma is not None else self._proper
        return _sums_of_squares(levels, w, len(self.shape))

    def _position(self, level: Subspace) -> int:
        """Of the last of `squares` that lies in one of the prior's levels."""
        return next((k for k, s in enumerate(self._proper) if s is level), len(self._proper))

    def _logarithms(self, variances: list[Any]) -> Any:
        """log of the covariance's determinant."""
        return total([c * _log(v) for c, v in zip(self._counts, variances, strict=True) if c])

    @property
    def _counts(self) -> list[int]:
        """Dimensions of each active level beyond the one before, and outside of all."""
        ranks = [0, *(s.rank for s in self.active), self.subspace.size]
        return [after - before for before, after in itertools.pairwise(ranks)]

    def split(self, w: Shaped[Array, "*w"]) -> tuple[Shaped[Array, "*batch {self.support.rank}"], Shaped[Array, "*w"]]:
        """The most probable (beta, B) with decode(beta) + B = w: each direction inside is shared out by variance."""
        shares = [1.0 - (self.sigma_b / s) ** 2 for s in self.deviations[:-1]]
        inside = self._filter(w, [*shares, 0.0])
        return self.support.encode(inside), w - inside

    @property
    def variance(self) -> np.ndarray:
        """Marginal variance of each entry, in the shape of the weight, for numbers sigma."""
        return sum((s.leverage() * sigma**2 for s, sigma in self.pathways), np.full(self.shape, self.sigma_b**2))

    def covariance(self) -> np.ndarray:
        """Dense (n, n) covariance of vec(W), row-major, float64, for numbers sigma and small weights."""
        bases = [(s.basis(), sigma) for s, sigma in self.pathways]
        return sum((sigma**2 * q @ q.T for q, sigma in bases), self.sigma_b**2 * np.eye(self.subspace.size))

    def pyro(self, *, validate_args: bool | None = None) -> PyroResidualPathway:
        """This prior as a Pyro distribution, event_shape = shape."""
        return load_module("bayes_rpp.priors.pyro").ResidualPathway(self, validate_args=validate_args)

    def numpyro(self, *, validate_args: bool | None = None) -> NumPyroResidualPathway:
        """This prior as a NumPyro distribution, event_shape = shape."""
        return load_module("bayes_rpp.priors.numpyro").ResidualPathway(self, validate_args=validate_args)

    def _filter(self, x: Array, gains: list[Any]) -> Array:
        """Multiply by a gain inside each level, and by the last outside; gains of a batch shape scale whole weights."""
        gains = [_over(g, len(self.shape)) for g in gains]
        levels = self._proper
        gains = gains[: len(levels) + 1]
        found = gains[-1] * x
        for level, gain, beyond in zip(levels, gains[:-1], gains[1:], strict=True):
            found = found + (gain - beyond) * level.project(x)
        return found

    def check_density(self) -> None:
        """Raise ValueError where W has no density."""
        if self.is_strict:
            raise ValueError(
                "sigma_b must be positive for W to have a density, got 0, with which it lies in the subspace; "
                "strict(), for its coordinates, would do"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.subspace}, sigma_a={self.sigma_a}, sigma_b={self.sigma_b})"


def _sums_of_squares(levels: list[Subspace], w: Array, dims: int) -> tuple[Array, ...]:
    """|.|^2 of what of w (..., *shape) is in each level beyond the one before, and outside of all."""
    if not levels:
        return (_square(w, dims),)
    split = partial(_split, levels)
    if is_torch_array(w) or is_jax_array(w):
        return library_of(w, ())[0].sums_of_squares(split, w, dims)
    return split(w)[0]


def _split(levels: list[Subspace], w: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """These sums of squares, and the orthogonal parts that they are of."""
    beta = levels[0].encode(w)
    inside = [levels[0].decode(beta), *(level.project(w) for level in levels[1:]), w]
    beyond = [b - a for a, b in itertools.pairwise(inside)]
    dims = len(levels[0].shape)
    return (_square(beta, 1), *(_square(c, dims) for c in beyond)), (inside[0], *beyond)


def total(terms: list[Any]) -> Any:
    """Their sum, without a first addition to 0; where arrays are small, each operation counts."""
    return sum(terms[1:], terms[0]) if terms else 0.0


def _square(x: Array, dims: int) -> Array:
    """Sum over the last dims."""
    return (x * x).sum(axis=tuple(range(-dims, 0))) if dims else x * x


def fan_in_scale(rows: int, rank: int) -> float:
    """sqrt(n_out / r): the standard deviation of r coordinates that keeps the variance of the signal."""
    return math.sqrt(rows / rank) if rank else 1.0


def check_sigma(value: Any, name: str) -> Any:
    """A number >= 0 as float; arrays (batch shapes, traced values) pass as they are."""
    if isinstance(value, (bool, str)) or value is None:
        raise TypeError(f"{name} must be a number >= 0, got {value!r}")
    if isinstance(value, (int, float, np.number)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number >= 0, got {value}")
        return float(value)
    if isinstance(value, np.ndarray) and not (np.isfinite(value).all() and (value >= 0).all()):
        raise ValueError(f"{name} must hold finite numbers >= 0, got others")
    if not hasattr(value, "shape"):
        raise TypeError(f"{name} must be a number >= 0, got {value!r}")
    return value


def is_zero(sigma: Any) -> bool:
    """Whether it is the number 0, rather than an array or a number to infer."""
    return isinstance(sigma, float) and sigma == 0


def _over(sigma: Any, event_dim: int) -> Any:
    return sigma if isinstance(sigma, float) else sigma[(...,) + (None,) * event_dim]


def _log(sigma: Any) -> Any:
    return math.log(sigma) if isinstance(sigma, float) else array_namespace(sigma).log(sigma)
