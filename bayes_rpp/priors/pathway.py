"""The residual pathway prior on one weight, W ~ N(0, sigma_a^2 Q Q^T + sigma_b^2 I) (Finzi et al. 2021, Section 4).

With P = Q Q^T and s = sqrt(sigma_a^2 + sigma_b^2) it is the linear image W = sigma_b eps + (s - sigma_b) P eps of white
noise: standard deviation s inside the subspace, sigma_b outside. Only `covariance()` builds the covariance.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rpp._arrays import Array, array_namespace
from bayes_rpp.priors.subspaces import FullSubspace, Subspace

if TYPE_CHECKING:
    from bayes_rpp.priors.numpyro import ResidualPathway as NumPyroResidualPathway
    from bayes_rpp.priors.pyro import ResidualPathway as PyroResidualPathway


class ResidualPathway:
    """Gaussian prior that is wide inside a subspace and narrow outside of it.

    Args:
        subspace: the weights that the symmetry allows, of rank r.
        sigma_a: standard deviation of the r coordinates inside; a number >= 0, or an array of a batch shape.
        sigma_b: standard deviation of the residual, likewise. With 0 the weight never leaves the subspace: then it has
            no density over W, and `strict()` gives the prior of its coordinates.

    Raises:
        TypeError, ValueError: if subspace is none, or a sigma is negative, not finite, or both are zero.
    """

    def __init__(self, subspace: Subspace, sigma_a: Any, sigma_b: Any) -> None:
        if not isinstance(subspace, Subspace):
            raise TypeError(
                f"subspace is {subspace!r}; a Subspace such as EquivariantSubspace(rep_in(G), rep_out(G)) would do"
            )
        self.subspace = subspace
        self.sigma_a, self.sigma_b = check_sigma(sigma_a, "sigma_a"), check_sigma(sigma_b, "sigma_b")
        if self.is_strict and isinstance(self.sigma_a, float) and self.sigma_a == 0:
            raise ValueError("sigma_a and sigma_b are both 0, so the weight is always 0; make one of them positive")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.subspace.shape

    @property
    def sigma_inside(self) -> Any:
        """Standard deviation inside the subspace, sqrt(sigma_a^2 + sigma_b^2)."""
        return (self.sigma_a**2 + self.sigma_b**2) ** 0.5

    @property
    def is_strict(self) -> bool:
        """Whether sigma_b = 0 leaves only the subspace, a proper one."""
        return isinstance(self.sigma_b, float) and self.sigma_b == 0 and self.subspace.rank < self.subspace.size

    @property
    def isotropic_sigma(self) -> Any | None:
        """The one standard deviation if all directions share it (full or empty subspace, sigma_a = 0), else None."""
        if self.subspace.rank == self.subspace.size:
            return self.sigma_inside
        if self.subspace.rank == 0 or (isinstance(self.sigma_a, float) and self.sigma_a == 0):
            return self.sigma_b
        return None

    def strict(self) -> ResidualPathway:
        """The prior of the coordinates beta alone, N(0, sigma_a^2 I_r): W = subspace.decode(beta)."""
        return ResidualPathway(FullSubspace((self.subspace.rank,)), self.sigma_a, 0.0)

    def color(self, eps: Array) -> Array:
        """White noise (..., *shape) to a weight of this prior."""
        return self._filter(eps, self.sigma_inside, self.sigma_b)

    def whiten(self, w: Array) -> Array:
        """The inverse of `color`."""
        self.check_density()
        return self._filter(
            w, 1.0 / self.sigma_inside, 1.0 / self.sigma_b if self.subspace.rank < self.subspace.size else 1.0
        )

    def log_abs_det(self) -> Any:
        """log |det dW/deps| = r log s + (n - r) log sigma_b."""
        r, n = self.subspace.rank, self.subspace.size
        total = r * _log(self.sigma_inside) if r else 0.0
        return total + (n - r) * _log(self.sigma_b) if r < n else total

    def log_prob(self, w: Array) -> Array:
        """log density of weights (..., *shape), for numpy, torch and JAX arrays.

        Raises:
            ValueError: if sigma_b is 0, or the shape does not fit.
        """
        self.check_density()
        sigma, dims = self.isotropic_sigma, tuple(range(-len(self.shape), 0))
        # With one sigma for all directions, the sum of squares needs no copy of the weights.
        eps = self.whiten(w) if sigma is None else w
        squares = array_namespace(w).sum(eps * eps, axis=dims) if dims else eps * eps
        squares = squares if sigma is None else squares / sigma**2
        return -0.5 * squares - self.log_abs_det() - 0.5 * self.subspace.size * math.log(2 * math.pi)

    def split(self, w: Array) -> tuple[Array, Array]:
        """The most probable (beta, B) with decode(beta) + B = w: each direction inside is shared out by variance."""
        inside = self.subspace.project(w)
        share = self.sigma_a**2 / self.sigma_inside**2
        return self.subspace.encode(w) * share, w - inside * share

    @property
    def variance(self) -> np.ndarray:
        """Marginal variance of each entry, in the shape of the weight, for numbers sigma."""
        return self.subspace.leverage() * self.sigma_a**2 + self.sigma_b**2

    def covariance(self) -> np.ndarray:
        """Dense (n, n) covariance of vec(W), row-major, float64, for numbers sigma and small weights."""
        q = self.subspace.basis()
        return self.sigma_a**2 * q @ q.T + self.sigma_b**2 * np.eye(self.subspace.size)

    def pyro(self, *, validate_args: bool | None = None) -> PyroResidualPathway:
        """This prior as a Pyro distribution, event_shape = shape."""
        from bayes_rpp.priors.pyro import ResidualPathway as Distribution

        return Distribution(self.subspace, self.sigma_a, self.sigma_b, validate_args=validate_args)

    def numpyro(self, *, validate_args: bool | None = None) -> NumPyroResidualPathway:
        """This prior as a NumPyro distribution, event_shape = shape."""
        from bayes_rpp.priors.numpyro import ResidualPathway as Distribution

        return Distribution(self.subspace, self.sigma_a, self.sigma_b, validate_args=validate_args)

    def _filter(self, x: Array, inside: Any, outside: Any) -> Array:
        """inside * P x + outside * (x - P x); sigmas of a batch shape scale whole weights."""
        inside, outside = _over(inside, len(self.shape)), _over(outside, len(self.shape))
        if self.subspace.rank == self.subspace.size:
            return inside * x
        if self.subspace.rank == 0 or inside is outside:
            return outside * x
        return outside * x + (inside - outside) * self.subspace.project(x)

    def check_density(self) -> None:
        """Raise ValueError where W has no density."""
        if self.is_strict:
            raise ValueError(
                "sigma_b is 0, so W lies in the subspace and has no density; use strict() for its "
                "coordinates, or a positive sigma_b"
            )

    def __repr__(self) -> str:
        return f"ResidualPathway({self.subspace}, sigma_a={self.sigma_a}, sigma_b={self.sigma_b})"


def check_sigma(value: Any, name: str) -> Any:
    """A number >= 0 as float; arrays (batch shapes, traced values) pass as they are."""
    if isinstance(value, (bool, str)) or value is None:
        raise TypeError(f"{name} is {value!r}; a number >= 0 would do")
    if isinstance(value, (int, float, np.number)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value}; a finite number >= 0 would do")
        return float(value)
    if isinstance(value, np.ndarray) and not (np.isfinite(value).all() and (value >= 0).all()):
        raise ValueError(f"{name} holds numbers that are negative or not finite; numbers >= 0 would do")
    if not hasattr(value, "shape"):
        raise TypeError(f"{name} is {value!r}; a number >= 0 would do")
    return value


def _over(sigma: Any, event_dim: int) -> Any:
    return sigma if isinstance(sigma, float) else sigma[(...,) + (None,) * event_dim]


def _log(sigma: Any) -> Any:
    return math.log(sigma) if isinstance(sigma, float) else array_namespace(sigma).log(sigma)
