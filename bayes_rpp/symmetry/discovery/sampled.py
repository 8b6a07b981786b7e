"""Symmetries of any function that can be called: of a posterior's draws, of a network, of a formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_rpp._given import finite_array
from bayes_rpp.symmetry.discovery.actions import choose_actions
from bayes_rpp.symmetry.discovery.algebra import bracket_defect, nearest_algebra
from bayes_rpp.symmetry.discovery.described import Named, describe
from bayes_rpp.symmetry.discovery.spectrum import Spectrum, derivatives, spectrum_of_draws
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep

Array = NDArray[np.float64]
POINTS = 100


@dataclass(frozen=True, eq=False)
class Found(Named):
    """What is known of the symmetries of a function.

    Attributes:
        dimension: of the Lie algebra that holds, exactly or nearly.
        spectrum: violation of all directions, those found first.
        probabilities: dimension -> its probability.
    """

    dimension: int
    spectrum: Spectrum
    probabilities: dict[int, float]


@dataclass(frozen=True, eq=False)
class FunctionSymmetries(Found):
    """The Lie algebra of directions that a function violates by less than a tolerance; `print` shows it.

    Attributes:
        dimension, generators, group, rep_in, rep_out, names, parts, spectrum: as of `Discovery`.
        probabilities: dimension -> share of the draws that violate so many directions by less than the tolerance.
        closure: relative size of the brackets outside of the span that was found; the generators are the nearest
            algebra, or the span itself where none is near.
        tolerance: as it was given.
    """

    closure: float
    tolerance: float

    def __str__(self) -> str:
        s = self.spectrum
        rows = [f"{a:9.3f} {b:9.3f} {c:9.3f}" for a, b, c in zip(s.strength, s.lower, s.upper, strict=True)]
        what = "; ".join(self.names) if self.dimension else "none"
        head = f"symmetries kept to {self.tolerance:g}: {what} ({self.dimension} of {len(s)} directions)"
        return "\n".join([head, " strength        5%       95%", *rows[: self.dimension + 6]])


def symmetries_of(
    function: Callable[[Array], ArrayLike] | Any,
    x: ArrayLike,
    *,
    rep_in: Rep | str | None = None,
    rep_out: Rep | str | None = None,
    within: Group | None = None,
    tolerance: float = 0.1,
    points: int = POINTS,
    dim: int | None = None,
) -> FunctionSymmetries:
    """The directions under which a function is equivariant, exactly or nearly, by its Jacobian.

    The linear solve of LieGG (Moskalev et al. 2022), with representations and draws: the directions of the smallest
    mean of |J(x) A_in x - A_out f(x)|^2, beside what unrelated directions have. Jacobians are central differences.

    Args:
        function: a posterior, or a function from (n, d_in) numpy arrays to (n, d_out), or to (draws, n, d_out).
        x: (n, d_in) inputs, of which `points` are used.
        rep_in, rep_out: how matrices act. None: those of a posterior's network; else all pairs of matrices are tried.
        within: the group in whose Lie algebra to look. None: all matrices.
        tolerance: strength of violation below which a direction is kept; 1 is what an unrelated one has.
        points: number of inputs that are looked at.
        dim: n of the matrices, where the representations leave it open. None: by their sizes.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    x = np.asarray(finite_array(x, "x"), dtype=np.float64)
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be between 0 and 1, got {tolerance!r}; 0.1 would do")
    x = x[np.random.default_rng(0).permutation(len(x))[:points]]
    values, jacobians = derivatives(_several(function), x)
    actions = choose_actions(rep_in, rep_out, within, x.shape[1], values.shape[-1], dim)
    spectrum, own = spectrum_of_draws(values, jacobians, x, actions)
    keeps = (spectrum.strength < tolerance) & spectrum.is_known
    k = int(keeps.argmin()) if not keeps.all() else len(keeps)
    counts = (own < tolerance).sum(axis=1)
    span = spectrum.directions[:k]
    nearest = nearest_algebra(span) if k else span
    return FunctionSymmetries(
        *describe(span if nearest is None else nearest, None, actions).fields,
        k,
        spectrum,
        {int(c): float((counts == c).mean()) for c in np.unique(counts)},
        bracket_defect(span) if k else 0.0,
        tolerance,
    )


def _several(function: Callable[[Array], ArrayLike] | Any) -> Callable[[Array], Array]:
    """As a function to (draws, n, d_out)."""
    if hasattr(function, "outputs"):

        def outputs(x: Array) -> Array:
            found = np.asarray(function.outputs(x))
            return found.reshape(-1, *found.shape[-2:])

        return outputs
    if not callable(function):
        raise TypeError(f"function must be a posterior or a function of an array, got a {type(function).__name__}")

    def called(x: Array) -> Array:
        found = np.asarray(function(x), dtype=np.float64)
        if found.ndim not in (2, 3) or found.shape[-2] != len(x):
            raise ValueError(f"function must give (n, d_out) for (n, d_in) inputs, got {found.shape} for {x.shape}")
        return found[None] if found.ndim == 2 else found

    return called
