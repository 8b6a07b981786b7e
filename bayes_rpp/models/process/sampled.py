"""A function drawn from a Gaussian process, which is asked for at some points now and at others later."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from bayes_rpp._warnings import warn_user
from bayes_rpp.models.process.conditional import ROWS, Array, Conditional, lower_root

MOST = 6000  # numbers f(x) that are kept, the factor of whose covariance may have 288 MB


@dataclass
class _Known:
    """Of a part of the outputs, at the points so far: v, with v^T v what the data explain of the prior covariance; the
    lower factor of the rest; and the noise (copies, numbers) that it is multiplied by."""

    v: Array
    lower: Array
    noise: Array


@dataclass(repr=False)
class SampledFunction:
    """x (m, d_in) -> (m, d_out), exactly as if all points of all calls had been drawn together: what is drawn later is
    conditioned on what was drawn before. The time of a call grows with the square of the number of points so far, up to
    6,000 numbers f(x); beyond, a warning says that f is the mean given these.

    Args:
        conditional: whose function it is.
        rng: of the draw.
    """

    conditional: Conditional
    rng: np.random.Generator
    _seen: NDArray | None = None
    _known: dict[Any, _Known] = field(default_factory=dict)
    _is_full: bool = False

    def __repr__(self) -> str:
        return f"SampledFunction(points={0 if self._seen is None else len(self._seen)})"

    def __call__(self, x: NDArray) -> Array:
        x = np.asarray(x, dtype=np.float64)
        size = self.conditional.covariance.gp.rep_out.size
        room = max(1, MOST // size) - (0 if self._seen is None else len(self._seen))
        if len(x) > room and not self._is_full:
            warn_user(
                f"a drawn function keeps {MOST:,} numbers, and has been asked for more: at further points it is the "
                "mean given these, smoother than a draw where none of them is near; post.outputs draws at many points"
            )
            self._is_full = True
        pieces = [x[:room], *(x[i : i + ROWS] for i in range(room, len(x), ROWS))]
        found = [self._at(piece, is_kept=i == 0) for i, piece in enumerate(pieces) if len(piece)]
        return np.concatenate(found) if found else np.empty((0, size))

    def _at(self, x: NDArray, is_kept: bool) -> Array:
        """The mean, and what it is off by: given what it is off by at the points so far, and where it is kept at new
        ones, drawn."""
        cross, own = self.conditional.crosses(x), self.conditional.prior(x, x)
        gaps = np.zeros((len(x), self.conditional.covariance.gp.rep_out.size))
        before = {} if self._seen is None else self.conditional.prior(x, self._seen)
        for key, places in self.conditional.places.items():
            copies, d = places.shape
            v = self.conditional.half[key](cross[key].T)
            left = own[key] - v.T @ v
            sizes = np.diag(left).reshape(-1, d).mean(axis=0)
            known = self._known.get(key) or _Known(v[:, :0], np.empty((0, 0)), np.empty((copies, 0)))
            b = np.empty((0, len(left)))
            if before:
                b = solve_triangular(known.lower, (before[key] - v.T @ known.v).T, lower=True)
                left -= b.T @ b
            off = known.noise @ b
            if is_kept:
                noise = self.rng.normal(size=(copies, len(left)))
                root = lower_root(left, d, sizes)
                off = off + noise @ root.T
                lower = np.block([[known.lower, np.zeros((len(known.lower), len(left)))], [b.T, root]])
                self._known[key] = _Known(
                    np.hstack([known.v, v]), np.asfortranarray(lower), np.hstack([known.noise, noise])
                )
            for copy, p in enumerate(places):
                gaps[:, p] = off[copy].reshape(len(x), d)
        if is_kept:
            self._seen = x if self._seen is None else np.concatenate([self._seen, x])
        return self.conditional.restored(self.conditional.means(cross) + self.conditional.inflation * gaps)
