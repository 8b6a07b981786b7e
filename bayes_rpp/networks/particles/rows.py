"""Systems as rows of numbers: what a ParticleNetwork sees of `Particles`, and of what is known of each.

A row has `places` places for particles, one after the other: a code, the position, the features. The code is 0 where
there is no particle, and 1, 2, ... for the first, second, ... type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import frozen
from bayes_rpp._given import real_array
from bayes_rpp.networks.particles.given import check_label
from bayes_rpp.networks.particles.systems import Particles


@dataclass(frozen=True)
class Rows:
    """How systems stand in rows.

    Attributes:
        places: particles of a system, at most.
        dim: of space.
        width: columns of features.
        types: those that are known, or None: all are alike.
    """

    places: int
    dim: int
    width: int
    types: tuple[Any, ...] | None

    @property
    def columns(self) -> int:
        """Of one particle."""
        return 1 + self.dim + self.width

    @cached_property
    def codes(self) -> NDArray:
        """1, 2, ..., of each type; the same array each time, as `fixed` knows it by its identity."""
        return frozen(np.arange(1.0, len(self.types or (None,)) + 1))

    def encoded(self, systems: Particles, name: str) -> NDArray:
        """(systems, places * columns)."""
        self._check(systems, name)
        found = np.zeros((len(systems), self.places, self.columns), dtype=systems.positions[0].dtype)
        there = np.arange(self.places) < systems.counts[:, None]
        parts = [self._codes(systems, name)[:, None], np.concatenate(systems.positions)]
        if systems.features is not None:
            parts.append(np.concatenate(systems.features))
        found[there] = np.concatenate(parts, axis=1)
        return found.reshape(len(systems), -1)

    def decoded(self, x: NDArray) -> Particles:
        """The systems of rows."""
        x = x.reshape(-1, self.places, self.columns)
        there = x[..., 0] > 0.5
        features = x[..., 1 + self.dim :] if self.width else None
        types = None
        if self.types is not None:
            known = self.types
            types = [[known[round(c) - 1] for c in row[mask]] for row, mask in zip(x[..., 0], there, strict=True)]
        found = [row[mask] for row, mask in zip(x[..., 1 : 1 + self.dim], there, strict=True)]
        given = None if features is None else [row[mask] for row, mask in zip(features, there, strict=True)]
        return Particles(found, given, types)

    def check_codes(self, x: NDArray, name: str) -> None:
        """Raise ValueError unless rows (n, places * columns) are of systems."""
        codes, last = x.reshape(len(x), self.places, -1)[..., 0], len(self.types or (None,))
        bad = (codes != np.round(codes)) | (codes < 0) | (codes > last)
        if bad.any():
            row, place = np.argwhere(bad)[0]
            raise ValueError(
                f"{name} must have a code from 0, no particle, to {last} in the first column of each particle, got "
                f"{codes[row, place]:g} in row {row}; rpp.Particles(...), from which rows are made, would do"
            )
        if not (empty := (codes > 0.5).any(axis=1)).all():
            raise ValueError(f"{name} must have a particle in each row, got none in row {int(empty.argmin())}")

    def padded(self, values: Any, x: NDArray, width: int, name: str) -> Any:
        """What is known of each particle, a list of (particles, width) or an array (n, particles, width), as rows
        (n, places * width) with NaN elsewhere; rows as they are."""
        shape = getattr(values, "shape", ())
        if self.places > 1 and (shape[1:] == (width,) or (len(shape) == width == 1)):
            raise ValueError(
                f"{name} must be a list of arrays (particles, {width}), one for each system, got one array of "
                f"shape {shape}; systems.split({name}, {width}), of the Particles that it is of, would do"
            )
        if not isinstance(values, (list, tuple)) and getattr(values, "ndim", 2) != 3:
            return values
        there = x.reshape(len(x), self.places, -1)[..., 0] > 0.5
        if len(values) != len(x):
            raise ValueError(f"{name} must have {len(x)} examples, as x has, got {len(values)}")
        found = np.full((len(x), self.places, width), np.nan)
        for k, (one, mask) in enumerate(zip(values, there, strict=True)):
            one = real_array(one, f"{name}[{k}]")
            one = one[:, None] if one.ndim == 1 and width == 1 else one
            if not isinstance(values, (list, tuple)) and len(one) <= self.places and not mask[len(one) :].any():
                one = one[mask[: len(one)]]  # of an array that is padded itself
            if one.ndim != 2 or one.shape != (mask.sum(), width):
                raise ValueError(
                    f"{name}[{k}] must have shape ({mask.sum()}, {width}), a row for each particle, got {one.shape}"
                )
            found[k, mask] = one
        return found.reshape(len(x), -1)

    def _codes(self, systems: Particles, name: str) -> NDArray:
        if self.types is None:
            return np.ones(int(systems.counts.sum()))
        code = {label: k + 1 for k, label in enumerate(self.types)}
        return np.array([code[v] for one in systems.types or () for v in one], dtype=np.float64)

    def _check(self, systems: Particles, name: str) -> None:
        if systems.dim != self.dim:
            raise ValueError(f"{name} must have positions in R^{self.dim}, as the group acts, got R^{systems.dim}")
        if systems.width != self.width:
            raise ValueError(
                f"{name} must have {self.width} columns of features, the size of features of the network, got "
                f"{systems.width}"
            )
        if systems.most > self.places:
            raise ValueError(
                f"{name} must have systems of at most {self.places} particles, got one of {systems.most}; "
                f"net.replace(particles={systems.most}), which has the same weights, would do"
            )
        known = ", ".join(map(str, self.types or ()))
        if (self.types is None) != (systems.types is None):
            got = "none" if systems.types is None else ", ".join(map(str, systems.labels))
            raise ValueError(f"{name} must have types if the network has, {known or 'none'}, got {got}")
        if unknown := [v for v in systems.labels if v not in (self.types or ())]:
            raise ValueError(f"{name} must have types that the network knows, {known}, got {unknown[0]!r}")


def check_types(types: Sequence[Any] | None) -> tuple[Any, ...] | None:
    """Labels that a network knows; raises ValueError unless they differ."""
    if types is None:
        return None
    found = tuple(check_label(v) for v in types) if not isinstance(types, str) else ()
    if not found or len(set(found)) < len(found):
        raise ValueError(
            f"types must be a list of different texts or whole numbers, got {types!r}; ['C', 'H'] would do"
        )
    return found
