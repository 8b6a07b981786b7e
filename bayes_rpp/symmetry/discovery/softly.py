"""Functions that are symmetric up to a residual: their evidence, its derivatives, and what the data say of L_A f.

The prior sigma_a^2 K_A + sigma_b^2 k of `constrained`, with Gaussian noise, of columns with a size of about 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, solve_triangular
from scipy.optimize import minimize

from bayes_rpp.symmetry.discovery.actions import Actions
from bayes_rpp.symmetry.discovery.constrained import SLACK, Constraint, factor, rbf, solve, squares

Array = NDArray[np.float64]
JITTER = 1e-9  # of the variance of f
NONE = -20.0  # log sigma_a of a model without a symmetric part
RANGES = ((-3.0, 5.0), (-7.0, 5.0), (-9.0, 5.0), (-7.0, 1.0))  # of log lengthscale, sigma_a, sigma_b, noise
SPREAD, NOISE = 2.0, 0.03  # of the normal priors of log sigmas and log noise, and the noise in their middle
FREE = 2.0  # how far a direction may turn in one descent
HOPELESS = 1e25
FLAT = 1.0  # curvature, at least: directions are known to about a radian


@dataclass(frozen=True, eq=False)
class Softly:
    """A model of y by x with its numbers.

    Attributes:
        x, y: (n, d_in), (n, d_out).
        points: (p,) rows of x at which L_A f = 0.
        actions: the basis.
        directions: (k, K) coordinates of what is kept; none: a free function.
        numbers: log lengthscales, log sigma_a, log sigma_b, log noise.
        evidence: log p(y | x) + log p(numbers), or -inf.
    """

    x: Array
    y: Array
    points: NDArray[np.int_]
    actions: Actions
    directions: Array
    numbers: Array
    evidence: float = -math.inf

    @property
    def sigmas(self) -> tuple[float, float, float]:
        """sigma_a, sigma_b, noise."""
        a, b, noise = np.exp(self.numbers[-3:]).tolist()
        return (a if len(self.directions) else 0.0), b, noise

    def fitted(
        self, *, moving: Array | None = None, iterations: int = 40, strict: bool = False, hold: bool = False
    ) -> Softly:
        """The numbers of the highest evidence near these, and the directions likewise.

        Args:
            moving: (r, k, K) changes of the directions that are tried, times numbers.
            strict: without a residual.
            hold: the lengthscales.
        """
        k, q = len(self.directions), len(self.numbers)
        moving = np.zeros((0, k, len(self.actions))) if moving is None else moving
        bounds = [RANGES[0]] * (q - 3) + list(RANGES[1:]) + [(-FREE, FREE)] * len(moving)
        start = np.concatenate([self.numbers, np.zeros(len(moving))])
        held = [*range(q - 3)] if hold else []
        if not k:
            start[q - 3], held = NONE, [*held, q - 3]
        if strict:
            start[q - 2], held = RANGES[2][0], [*held, q - 2]
        for i in held:
            bounds[i] = (start[i], start[i])
        start = np.clip(start, [b[0] for b in bounds], [b[1] for b in bounds])
        found = minimize(
            self._objective,
            start,
            args=(moving,),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": iterations},
        )
        directions = self.directions
        if len(moving):
            directions = self.turned(found.x[q:], moving)
        return replace(self, directions=directions, numbers=found.x[:q], evidence=-float(found.fun))

    def turned(self, by: Array, moving: Array) -> Array:
        """The directions turned, orthonormal."""
        u, _, vt = np.linalg.svd(self.directions + np.tensordot(by, moving, 1), full_matrices=False)
        return np.asarray(u @ vt)

    def density(self, numbers: Array) -> float:
        """log p(y | x, numbers) + log p(numbers); raises LinAlgError."""
        return self._evidence(numbers, np.zeros((0, *self.directions.shape)))[0]

    def uncertainty(self, moving: Array) -> Array:
        """(r, r) covariance of how far the directions turn, by the Hessian of the evidence (Laplace), with the
        numbers integrated out."""
        at, q = np.concatenate([self.numbers, np.zeros(len(moving))]), len(self.numbers)
        free = [i for i in range(len(at)) if i >= q or RANGES[max(0, i - q + 4)][0] + 0.01 < at[i]]
        rows = []
        for i in free:
            step = 1e-4 * np.eye(len(at))[i]
            rows.append((self._objective(at + step, moving)[1] - self._objective(at - step, moving)[1])[free] / 2e-4)
        hessian = np.array(rows)
        values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
        inverse = (vectors / np.maximum(values, FLAT)) @ vectors.T
        turning = [place for place, i in enumerate(free) if i >= q]
        return np.asarray(inverse[np.ix_(turning, turning)])

    def _objective(self, t: Array, moving: Array) -> tuple[float, Array]:
        try:
            value, slope = self._evidence(t, moving)
        except LinAlgError:
            return HOPELESS, np.zeros(len(t))
        return (-value, -slope) if np.isfinite(value) and np.isfinite(slope).all() else (HOPELESS, np.zeros(len(t)))

    def _evidence(self, t: Array, moving: Array) -> tuple[float, Array]:
        q = len(self.numbers)
        numbers, by = t[:q], t[q:]
        n, m = self.y.shape
        a2, b2, noise2 = np.exp(2 * numbers[-3:])
        directions = self.directions.copy()
        if len(by):
            directions += np.tensordot(by, moving, 1)
        constraint = self.constraint(numbers, directions) if len(directions) else None
        free = self.kernel(numbers)
        whole = np.kron(free, np.eye(m))
        if constraint is not None:
            cross = constraint.cross()
            flat = cross.reshape(n * m, -1)
            back = solve(self._own_factor(constraint), flat.T)
            kept = whole - flat @ back
        else:
            kept = np.zeros_like(whole)
        c = a2 * kept + b2 * whole
        c[np.diag_indices(n * m)] += noise2 + JITTER * (a2 + b2)
        lower, y = factor(c), self.y.ravel()
        alpha = solve(lower, y)
        value = -0.5 * float(y @ alpha) - float(np.log(np.diag(lower)).sum()) - 0.5 * n * m * math.log(2 * math.pi)
        w = 0.5 * (np.outer(alpha, alpha) - solve(lower, np.eye(n * m)))
        slope = np.zeros(len(t))
        slope[q - 3] = 2 * a2 * np.vdot(w, kept)
        slope[q - 2], slope[q - 1] = 2 * b2 * np.vdot(w, whole), 2 * noise2 * np.trace(w)
        trace = np.einsum("iaja->ij", w.reshape(n, m, n, m)) * (a2 + b2)
        varying = trace * (free - self._constant)
        scaled = self.x / self.scales(numbers)
        for kind in range(q - 3):
            columns = scaled[:, self.actions.kinds == kind]
            slope[kind] += float((varying * squares(columns, columns)).sum())
        if constraint is not None:
            along = w @ back.T
            by_cross, by_own = -2 * a2 * along, a2 * (back @ along)
            by_scale, by_moved, by_out = constraint.slopes(
                by_cross.reshape(cross.shape), by_own.reshape(*cross.shape[2:], *cross.shape[2:]), self.actions.kinds
            )
            slope[: q - 3] += by_scale
            if len(by):
                by_in = np.einsum("zki,zj->kij", by_moved / self.scales(numbers), self.x[self.points])
                by_directions = np.einsum("kij,Kij->kK", by_in, self.actions.inputs, optimize=True)
                by_directions += np.einsum("kab,Kab->kK", by_out, self.actions.outputs, optimize=True)
                slope[q:] = np.einsum("kK,rkK->r", by_directions, moving)
        middle, spread = self._prior()
        gap = (numbers - middle) / spread
        gap[-3] *= bool(len(directions))
        gap[-2] *= numbers[-2] > RANGES[2][0]  # not of strict ones
        slope[:q] -= gap / spread
        return value - 0.5 * float(gap @ gap), slope

    def constraint(self, numbers: Array, directions: Array, points: NDArray[np.int_] | None = None) -> Constraint:
        """Covariances with L_A f of directions (k, K) at points."""
        scales = self.scales(numbers)
        x, z = self.x / scales, self.x[self.points if points is None else points]
        inputs = np.tensordot(directions, self.actions.inputs, 1)
        moved = np.einsum("kij,zj->zki", inputs, z) / scales
        return Constraint.of(x, z / scales, moved, np.tensordot(directions, self.actions.outputs, 1), self._constant)

    def kernel(self, numbers: Array) -> Array:
        """k between all of x, (n, n)."""
        x = self.x / self.scales(numbers)
        return rbf(x, x) + self._constant

    def scales(self, numbers: Array) -> Array:
        """(d_in,) lengthscales."""
        return np.asarray(np.exp(numbers[:-3])[self.actions.kinds])

    @property
    def _constant(self) -> float:
        """Variance of a constant, about the mean's square, of outputs that are not centred."""
        return float((self.y.mean(axis=0) ** 2).max())

    def _prior(self) -> tuple[Array, Array]:
        count = np.bincount(self.actions.kinds)
        middle = np.concatenate([np.log(2 * np.sqrt(count)), [0.0, 0.0, math.log(NOISE)]])
        return middle, np.concatenate([np.ones(len(count)), np.full(3, SPREAD)])

    def _own_factor(self, constraint: Constraint) -> Array:
        size = constraint.moved.shape[0] * constraint.outputs.shape[0] * constraint.outputs.shape[1]
        own = constraint.own_covariance().reshape(size, size)
        own[np.diag_indices(size)] += SLACK**2
        return factor(own)

    def violations(self, directions: Array, points: NDArray[np.int_]) -> tuple[Array, Array]:
        """Mean (p, k, m) and covariance (p k m, p k m) of L_A f at points given y, of directions (k, K)."""
        n, m = self.y.shape
        a2, b2, noise2 = (s * s for s in self.sigmas)
        asked = self.constraint(self.numbers, directions, points)
        cross, own = asked.cross(), asked.own_covariance()
        shape, size = cross.shape[2:], math.prod(cross.shape[2:])
        whole, cross, own = (
            np.kron(self.kernel(self.numbers), np.eye(m)),
            cross.reshape(n * m, size),
            own.reshape(size, size),
        )
        c, to, prior = b2 * whole, b2 * cross, b2 * own
        if len(self.directions):
            kept = self.constraint(self.numbers, self.directions)
            flat = kept.cross().reshape(n * m, -1)
            lower = self._own_factor(kept)
            half = solve_triangular(lower, flat.T, lower=True)
            between = self._between(directions, points)
            other = solve_triangular(lower, between, lower=True)
            c = c + a2 * (whole - half.T @ half)
            to = to + a2 * (cross - half.T @ other)
            prior = prior + a2 * (own - other.T @ other)
        c = c + (noise2 + JITTER * (a2 + b2)) * np.eye(n * m)
        lower = factor(c)
        half = solve_triangular(lower, to, lower=True)
        mean = half.T @ solve_triangular(lower, self.y.ravel(), lower=True)
        return mean.reshape(shape), prior - half.T @ half

    def _between(self, directions: Array, points: NDArray[np.int_]) -> Array:
        """cov(L_A f(z), L_B f(z')) of what is kept (rows) and of others (columns)."""
        k, j = len(self.directions), len(directions)
        together = np.unique(np.concatenate([self.points, points]))
        both = self.constraint(self.numbers, np.concatenate([self.directions, directions]), together)
        own = both.own_covariance()
        rows, columns = np.searchsorted(together, self.points), np.searchsorted(together, points)
        m = self.y.shape[1]
        part = own[rows][:, :k][:, :, :, columns][:, :, :, :, k:]
        return part.reshape(len(rows) * k * m, len(columns) * j * m)
