"""The residual pathway prior for symmetries that are not nested, W ~ N(0, sigma_1^2 P_1 + sigma_2^2 P_2 + ...
+ sigma_b^2 I) with projectors P_k in any position.

It is the sum of its pathways, W = Q_1 b_1 + Q_2 b_2 + ... + B, which needs no more than each Q_k. What needs the
covariance has it in the coordinates U of the sum of the subspaces, C = U M U^T + sigma_b^2 (I - U U^T), with
M = sum_k sigma_k^2 U^T P_k U + sigma_b^2 I in small blocks (`SumSubspace`): exact, in float64, of known numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from array_api_compat import is_numpy_array, is_torch_array
from numpy.typing import NDArray

from bayes_rpp._arrays import Array, array_namespace, constant
from bayes_rpp._types import Numbers, Shaped
from bayes_rpp.engines.libraries import fixed
from bayes_rpp.priors.pathway import ResidualPathway, is_zero
from bayes_rpp.priors.subspaces.base import FullSubspace, Subspace
from bayes_rpp.priors.subspaces.sums import Block, SumSubspace

Function = Literal["root", "inverse_root", "inverse"]
_UNKNOWN = (
    "parametrization must be 'pathways' or 'whitened' while sigmas of groups that are not nested are inferred, as only "
    "with numbers is the weight's density known in closed form, got 'weights'; numbers for them would do as well"
)


class Spectrum:
    """One block of M by its eigenvectors, and its functions, (..., r, r).

    Attributes:
        count: of its copies.
        values: (..., r).
    """

    def __init__(self, count: int, matrix: NDArray) -> None:
        self.count = count
        self.values, self._vectors = np.linalg.eigh(matrix)

    @cached_property
    def root(self) -> NDArray:
        return self._with(np.sqrt(self.values))

    @cached_property
    def inverse_root(self) -> NDArray:
        return self._with(1.0 / np.sqrt(self.values))

    @cached_property
    def inverse(self) -> NDArray:
        return self._with(1.0 / self.values)

    def _with(self, values: NDArray) -> NDArray:
        return (self._vectors * values[..., None, :]) @ np.swapaxes(self._vectors, -1, -2)


class MixedPathway(ResidualPathway):
    """Gaussian prior around subspaces in any position.

    Args:
        subspace: SumSubspace of the levels.
        sigma_a: a standard deviation for each level, as in `ResidualPathway`.
        sigma_b: that of the residual. With 0 the weight never leaves the sum of the subspaces that have a pathway.

    Raises:
        TypeError, ValueError: as `ResidualPathway`; and where the covariance is asked for while sigmas are traced.
    """

    is_nested = False
    subspace: SumSubspace

    def __init__(self, subspace: Subspace, sigma_a: Numbers | Sequence[Numbers], sigma_b: Numbers) -> None:
        if not isinstance(subspace, SumSubspace):
            raise TypeError(f"subspace must be a SumSubspace, got {subspace!r}; SumSubspace([first, second]) would do")
        super().__init__(subspace, sigma_a, sigma_b)

    @cached_property
    def _numbers(self) -> list[int]:
        """Which levels have a pathway."""
        some = zip(self.subspace.levels, self.sigmas, strict=True)
        return [k for k, (level, sigma) in enumerate(some) if level.rank and not is_zero(sigma)]

    @property
    def support(self) -> Subspace:
        """The sum of the subspaces that have a pathway: where W lies if sigma_b is 0."""
        return self.subspace.part(self._numbers)

    @property
    def isotropic_sigma(self) -> Any | None:
        if all(s.rank == self.subspace.size for s in self.active):
            return self.sigma_inside
        return None

    def strict(self) -> ResidualPathway:
        """The prior of the coordinates in the sum, W = support.decode(beta): without a residual."""
        assert isinstance(self.support, SumSubspace)
        return MixedPathway(self.support.inner, [s for _, s in self.pathways], 0.0)

    @property
    def components(self) -> list[tuple[str, Subspace, Any]]:
        """(name, subspace, sigma) of each b_k, and of B unless sigma_b is 0: independent, and their sum is W."""
        found = [(f"beta_{k}", s, sigma) for k, (s, sigma) in zip(self._numbers, self.pathways, strict=True)]
        rest = [] if is_zero(self.sigma_b) else [("residual", FullSubspace(self.shape), self.sigma_b)]
        return [*found, *rest]

    def apart(self, w: Shaped[Array, "*w"]) -> list[Array]:
        """The most probable coordinates of `components` that give the weight w: sigma_k^2 Q_k^T C^-1 w."""
        back = self.support.decode(self._times("inverse", self.support.encode(w)))
        found = [scaled(sigma, scaled(sigma, s.encode(back))) for s, sigma in self.pathways]
        if not is_zero(self.sigma_b):
            residual = w - sum(s.decode(b) for b, s in zip(found, self.active, strict=True))
            found.append(FullSubspace(self.shape).encode(residual))
        return found

    def color(self, eps: Shaped[Array, "*w"]) -> Shaped[Array, "*w"]:
        return self._filtered("root", eps, self.sigma_b)

    def whiten(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*w"]:
        self.check_density()
        return self._filtered("inverse_root", w, 0.0 if is_zero(self.sigma_b) else 1.0 / self.sigma_b)

    def log_abs_det(self) -> Any:
        total = 0.5 * sum(s.count * np.log(s.values).sum(axis=-1) for s in self._spectra)
        if beyond := self.subspace.size - self.support.rank:
            total = total + beyond * np.log(_known(self.sigma_b))
        return float(total) if np.ndim(total) == 0 else total

    def log_prob(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch"]:
        self.check_density()
        norm = self.norm(self.squares(w))
        return -0.5 * (norm + _like(2.0 * self.log_abs_det() + self.subspace.size * math.log(2 * math.pi), norm))

    def squares(self, w: Shaped[Array, "*w"]) -> tuple[Shaped[Array, "*batch"], ...]:
        """What `norm` and `inside` need of w: its coordinates in the sum, and |.|^2 of what is outside."""
        beta = self.support.encode(w)
        rest = (w - self.support.decode(beta)).reshape((*beta.shape[:-1], self.subspace.size))
        return beta, (rest * rest).sum(axis=-1)

    def norm(self, squares: Sequence[Any]) -> Any:
        beta, outside = squares
        inside = (beta * self._times("inverse", beta)).sum(axis=-1)
        return inside if is_zero(self.sigma_b) else inside + _like(self.sigma_b**-2.0, outside) * outside

    def inside(self, squares: Sequence[Any], level: Subspace | None = None) -> Any:
        beta, outside = squares
        back = self._times("inverse", beta)
        if level is None:
            found = (back * back).sum(axis=-1)
            return found if is_zero(self.sigma_b) else found + _like(self.sigma_b**-4.0, outside) * outside
        k, blocks = self._position(level), self._blocks
        parts = zip(_pieces(back, blocks), blocks, strict=True)
        return sum((part * (part @ b.projectors[k])).sum(axis=(-1, -2)) for part, b in parts)

    def information(self, level: Subspace | None = None) -> Any:
        if level is None:
            inside = sum(s.count * (1.0 / s.values).sum(axis=-1) for s in self._spectra)
            beyond = self.subspace.size - self.support.rank
            return inside if is_zero(self.sigma_b) else inside + beyond / _known(self.sigma_b) ** 2
        k, blocks = self._position(level), zip(self._spectra, self._blocks, strict=True)
        return sum(s.count * (s.inverse * b.projectors[k]).sum(axis=(-1, -2)) for s, b in blocks)

    def check_known(self) -> None:
        """Raise ValueError, naming what would do, where sigmas are no plain numbers, as while they are inferred."""
        if not all(isinstance(s, float) for s in (*self.sigmas, self.sigma_b)):
            raise ValueError(_UNKNOWN)

    def _position(self, level: Subspace) -> int:
        return next(k for k, s in enumerate(self.active) if s is level)

    @property
    def _blocks(self) -> tuple[Block, ...]:
        return self.support.blocks if isinstance(self.support, SumSubspace) else ()

    @cached_property
    def _spectra(self) -> list[Spectrum]:
        squares = [_known(s)[..., None, None] ** 2 for s in (*(s for _, s in self.pathways), self.sigma_b)]
        found = []
        for block in self._blocks:
            terms = zip(squares, (*block.projectors, np.eye(block.size)), strict=True)
            found.append(Spectrum(block.copies, np.asarray(sum(v * p for v, p in terms))))
        return found

    def _filtered(self, function: Function, x: Array, outside: Any) -> Array:
        """U f(M) U^T x, and what is outside of the sum by a factor."""
        beta = self.support.encode(x)
        found = self.support.decode(self._times(function, beta))
        return found + scaled(outside, x - self.support.decode(beta), len(self.shape))

    def _times(self, function: Function, beta: Array) -> Array:
        """f(M) of coordinates (..., rank)."""
        pieces = zip(_pieces(beta, self._blocks), self._spectra, strict=True)
        parts = [part @ fixed(getattr(s, function), part) for part, s in pieces]
        flat = [p.reshape((*p.shape[:-2], -1)) for p in parts]
        return array_namespace(beta).concat(flat, axis=-1) if flat else beta


def prior_of(subspace: Subspace, sigma_a: Numbers | Sequence[Numbers], sigma_b: Numbers) -> ResidualPathway:
    """The prior of a weight around any subspace."""
    kind = ResidualPathway if subspace.is_nested else MixedPathway
    return kind(subspace, sigma_a, sigma_b)


def _pieces(beta: Array, blocks: Sequence[Block]) -> Iterator[Array]:
    """(..., count, size) of each block."""
    start = 0
    for b in blocks:
        stop = start + b.copies * b.size
        yield beta[..., start:stop].reshape((*beta.shape[:-1], b.copies, b.size))
        start = stop


def _known(sigma: Any) -> NDArray:
    """A sigma in numpy, where matrices are made."""
    if isinstance(sigma, float) or is_numpy_array(sigma):
        return np.asarray(sigma, dtype=np.float64)
    if is_torch_array(sigma) and not sigma.requires_grad:
        return sigma.numpy(force=True).astype(np.float64)
    raise ValueError(_UNKNOWN)


def _like(value: Any, like: Array) -> Any:
    """Numbers of a batch shape in the library of other arrays."""
    return constant(value, like) if is_numpy_array(value) and not is_numpy_array(like) else value


def scaled(sigma: Any, x: Array, dims: int = 1) -> Array:
    """Arrays with `dims` dimensions, each by the number of its batch."""
    return sigma * x if isinstance(sigma, float) else _like(sigma[(...,) + (None,) * dims], x) * x
