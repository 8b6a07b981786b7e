"""Parts of an algebra with a name, and the words for columns, angles and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.discovery.algebra import orthonormal

Array = NDArray[np.float64]
NOTHING = 1e-6  # degrees, and errors of exponents
CONE = 0.9  # share of the posterior inside the angle that is stated


@dataclass(frozen=True)
class Part:
    """A part of an algebra that commutes with the others, or all of it.

    Attributes:
        name: short, such as "SO(3)".
        words: what it does to which columns, for a sentence.
        generators: (k, n, n).
        axis: (n,) unit vector that a rotation leaves, or along which a boost goes; None of others.
        degrees: half the angle of the cone that holds 90 % of the posterior of the axis, or of the plane; None without
            draws.
        exponents: (n,) of a scaling, x_i -> e^(t a_i) x_i; None of others.
        errors: (n,) standard deviations of the exponents; None without draws.
    """

    name: str
    words: str
    generators: Array
    axis: Array | None = None
    degrees: float | None = None
    exponents: Array | None = None
    errors: Array | None = None


@dataclass(frozen=True)
class Reading:
    """What a name is read with.

    Attributes:
        labels: names of the n columns.
        tolerance: relative, of what counts as the same.
        draws: (S, k, n, n) orthonormal posterior draws of the span, or None.
    """

    labels: tuple[str, ...]
    tolerance: float
    draws: Array | None = None

    def columns(self, which: Iterable[int]) -> str:
        """ "columns 1, 2 and 3", or "all columns"."""
        names = [self.labels[i] for i in which]
        if len(names) == len(self.labels) and len(names) > 2:
            return "all columns"
        return f"column{'s' if len(names) > 1 else ''} {listed(names)}"

    def like(self, a: Array) -> Array | None:
        """(S, n, n): in the span of each draw what is nearest to a generator (n, n)."""
        if self.draws is None:
            return None
        flat = self.draws.reshape(*self.draws.shape[:2], -1)
        along = np.einsum("skm,m->sk", flat, a.ravel() / np.linalg.norm(a))
        return np.asarray(np.einsum("sk,skm->sm", along, flat).reshape(-1, *a.shape))


def reading(n: int, columns: Sequence[str] | None, tolerance: float, draws: Array | None) -> Reading:
    labels = tuple(str(i + 1) for i in range(n)) if columns is None else tuple(map(str, columns))
    if len(labels) != n:
        raise ValueError(f"columns must name the {n} columns that the generators act on, got {len(labels)} names")
    return Reading(labels, tolerance, None if draws is None else np.stack([orthonormal(d, 0.0) for d in draws]))


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def number(value: float, digits: int = 2) -> str:
    """Whole numbers and small fractions as such, others with decimals."""
    near = Fraction(value).limit_denominator(12)
    if abs(value - near) < 1e-9:
        return str(near)
    return f"{value + 0.0:.{digits}f}"


def vector(values: Array) -> str:
    return "(" + ", ".join(str(int(v)) if float(v).is_integer() else f"{v:.2f}" for v in values + 0.0) + ")"


def cone(degrees: float | None) -> str:
    if degrees is None or degrees < NOTHING:  # of an algebra that was tried as it is
        return ""
    return f" ± {degrees:.0f} degrees" if degrees >= 1.5 else f" ± {degrees:.2g} degrees"


def quantile_degrees(cosines: Array) -> float:
    """The angle that a share `CONE` of the draws do not exceed, of cosines (S,) up to sign."""
    return float(np.degrees(np.quantile(np.arccos(np.clip(np.abs(cosines), 0, 1)), CONE)))


def span_degrees(like: Array | None, a: Array) -> float | None:
    """The angle between a generator and its nearest ones in the draws."""
    if like is None:
        return None
    sizes = np.linalg.norm(like, axis=(1, 2)) * np.linalg.norm(a)
    return quantile_degrees(np.einsum("sab,ab->s", like, a) / np.maximum(sizes, 1e-300))
