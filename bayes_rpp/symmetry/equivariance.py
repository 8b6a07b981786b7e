"""How far a function is from equivariance (Finzi et al. 2021, Eq. 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp._given import finite_array
from bayes_rpp._numerics import exponent, norm
from bayes_rpp._types import ArrayLike, Float
from bayes_rpp._warnings import warn_user
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, Representation, bind_rep


def equivariance_error(
    f: Callable[[NDArray], Any],
    x: ArrayLike,
    rep_in: Rep | Representation,
    rep_out: Rep | Representation,
    group: Group,
    *,
    samples: int = 1,
    seed: int | None = 0,
) -> Float[NDArray[np.float64], " n"]:
    """Relative equivariance error |a - b| / (|a| + |b|) at each point, a = rho_out(g) f(x), b = f(rho_in(g) x).

    Args:
        f: any function of arrays (n, d_in) -> (n, d_out), such as a trained network.
        x: (n, d_in) points.
        rep_in, rep_out: how the group acts on inputs and outputs.
        group: elements g are drawn from it, one for each point, Haar where it is compact.
        samples: elements for each point; the error is their mean.
        seed: of the elements.

    Returns:
        (n,) numbers in [0, 1]: 0 where f commutes with g, and where f vanishes at both.

    Raises:
        TypeError, ValueError: naming the argument that does not fit, or if f gives values that are not finite.
    """
    rng = np.random.default_rng(seed)
    probes = [Probe(x, rep_in, rep_out, group, rng) for _ in range(whole_number(samples, "samples"))]
    probes[0].warn_if_empty()
    return np.mean([p.error(f) for p in probes], axis=0)


class Probe:
    """Points with one group element each, kept so that several functions meet the same ones."""

    def __init__(
        self,
        x: ArrayLike,
        rep_in: Rep | Representation,
        rep_out: Rep | Representation,
        group: Group,
        seed: int | np.random.Generator | None = 0,
    ) -> None:
        if not isinstance(group, Group):
            raise TypeError(f"group must be a Group, got {group!r}; O(3) would do")
        before, self._after = _bound(rep_in, group, "rep_in"), _bound(rep_out, group, "rep_out")
        self.x = finite_array(x, "x", columns=before.size, because=", the size of rep_in")
        if not len(self.x):
            raise ValueError("x must have at least one point, got none")
        g = group.sample(len(self.x), seed)
        dtype = self.x.dtype if np.issubdtype(self.x.dtype, np.floating) else np.float64
        self.moved = np.stack([before.rho(m) @ p for m, p in zip(g, self.x, strict=True)]).astype(dtype)
        self._rho = np.stack([self._after.rho(m) for m in g])
        moves = not (np.array_equal(self.moved, self.x) and (self._rho == np.eye(self._after.size)).all())
        # A group that leaves all columns as they are has an error of zero, whatever the function.
        self.is_empty = not moves and not group.is_trivial

    def warn_if_empty(self) -> None:
        if self.is_empty:
            warn_user(
                "the group leaves all inputs and outputs as they are (scalars), so the equivariance error is 0 "
                "whatever the function; rep_in, rep_out and group of the network say how it acts"
            )

    def error(self, f: Callable[[NDArray], Any]) -> Float[NDArray[np.float64], " n"]:
        """Eq. 2 at each point, (n,)."""
        a, b = (
            finite_array(
                _plain(f(p)), "the function's output", columns=self._after.size, because=", the size of rep_out"
            )
            for p in (self.x, self.moved)
        )
        if len(a) != len(self.x) or len(b) != len(self.x):
            raise ValueError(f"f must give one row for each point, got {len(a)} rows for {len(self.x)} points")
        return self.gap(a, b)

    def gap(self, here: NDArray, moved: NDArray, rows: slice = slice(None)) -> Float[NDArray[np.float64], "*batch n"]:
        """Eq. 2 by outputs (..., n, d_out) at the points, or some of them, and at those that the elements moved."""
        return relative_gap(self._rho[rows], here, moved)[0]


def relative_gap(rho: NDArray, f: NDArray, b: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eq. 2 of a = rho f and b, and |a - b|, in float64 and whatever their size.

    Args:
        rho: (..., d, d).
        f, b: (..., d) real numbers of any type; leading dimensions broadcast.

    Returns:
        (...) errors, 0 where both vanish, and (...) differences.
    """
    f, b = np.broadcast_arrays(np.asarray(f, dtype=np.float64), np.asarray(b, dtype=np.float64))
    k = exponent(np.concatenate([f, b], axis=-1), axis=-1)  # a power of two, which changes no digit
    a, b = np.einsum("...ij,...j->...i", rho, np.ldexp(f, -k)), np.ldexp(b, -k)
    gap, size = norm(a - b), norm(a) + norm(b)
    error = np.divide(gap, size, out=np.zeros_like(size), where=size > 0)
    return np.minimum(error, 1.0), np.ldexp(gap, k[..., 0])


def _bound(rep: Any, group: Group, name: str) -> Representation:
    return bind_rep(rep.rep if isinstance(rep, Representation) else rep, group, name)


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value
