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
from bayes_rpp.symmetry.discovery.constrained import (
    SLACK,
    Constraint,
    by_squares,
    factor,
    half_log,
    inverse,
    rbf,
    solve,
)

Array = NDArray[np.float64]
JITTER = 1e-9  # of the variance of f
NONE = -20.0  # log sigma_a of a model without a symmetric part
RANGES = ((-3.0, 5.0), (-7.0, 5.0), (-9.0, 5.0), (-7.0, 1.0))  # of log lengthscale, sigma_a, sigma_b, noise
SPREAD, NOISE = 2.0, 0.03  # of the normal priors of log sigmas and log noise, and the noise in their middle
FREE = 2.0  # how far a direction may turn in one descent
HOPELESS = 1e25
PRECISION = 3e-6  # relative change of the evidence at which a descent ends: hundredths of a nat
PEAKED = 0.1  # square radians
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
        scatter: (K, K) covariance of a single direction that was chosen by its violation, beside that by evidence.
    """

    x: Array
    y: Array
    points: NDArray[np.int_]
    actions: Actions
    directions: Array
    numbers: Array
    evidence: float = -math.inf
    scatter: Array | None = None

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
            options={"maxiter": iterations, "ftol": PRECISION, "gtol": 0.01},
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
        found = np.asarray(inverse[np.ix_(turning, turning)])
        if self.scatter is None:
            return found
        peaked = np.linalg.eigvalsh(found).max(initial=0.0) < PEAKED  # the evidence may have no peak just there
        return peaked * found + moving[:, 0] @ self.scatter @ moving[:, 0].T

    def _objective(self, t: Array, moving: Array) -> tuple[float, Array]:
        try:
            value, slope = self._evidence(t, moving)
        except LinAlgError:
            return HOPELESS, np.zeros(len(t))
        return (-value, -slope) if np.isfinite(value) and np.isfinite(slope).all() else (HOPELESS, np.zeros(len(t)))

    def _evidence(self, t: Array, moving: Array) -> tuple[float, Array]:
        """With C = S - a^2 F K^-1 F^T, S of the free function alike for each output, F and K cov(f, L_A f) and
        cov(L_A f, L_A f): C^-1 = S^-1 + a^2 S^-1 F G^-1 F^T S^-1, G = K - a^2 F^T S^-1 F, and |C| = |S| |G| / |K|."""
        q = len(self.numbers)
        numbers, by = t[:q], t[q:]
        n, m = self.y.shape
        a2, b2, noise2 = np.exp(2 * numbers[-3:])
        x, free = self.x / self.scales(numbers), self.kernel(numbers)
        s = (a2 + b2) * free
        s[np.diag_indices(n)] += noise2 + JITTER * (a2 + b2)
        lower = factor(s)
        r = solve(lower, self.y)
        value = -0.5 * float(np.vdot(self.y, r)) - m * half_log(lower) - 0.5 * n * m * math.log(2 * math.pi)
        by_s = 0.5 * (r @ r.T - m * inverse(lower))
        slope, by_a2 = np.zeros(len(t)), 0.0
        by_scale = np.zeros(x.shape[1])
        if len(self.directions):
            directions = self.directions + np.tensordot(by, moving, 1) if len(by) else self.directions
            constraint = self.constraint(numbers, directions)
            k, _, p = constraint.shape
            cross = constraint.cross(x)
            flat = cross.swapaxes(0, 1).reshape(n, -1)
            back = solve(lower, flat)
            own = constraint.between(constraint)
            known = (flat.T @ back).reshape(k + 1, p, k + 1, p).swapaxes(1, 2)
            left = own - a2 * known
            prior, after = (factor(_slack(constraint.joined(c, constraint))) for c in (own, left))
            pulled = (flat.T @ r).reshape(k + 1, p, m)
            pull = np.einsum("kbjc,jzc->kbz", constraint.loadings, pulled, optimize=True)
            w = solve(after, pull.ravel())
            value += half_log(prior) - half_log(after) - 0.5 * a2 * float(w @ pull.ravel())
            by_left, by_out = constraint.split(0.5 * (a2 * np.outer(w, w) - inverse(after)), left)
            by_own, also = constraint.split(0.5 * inverse(prior), own)
            w = w.reshape(pull.shape)
            by_out += also + a2 * np.einsum("kbz,zc->kbc", w, pulled[k], optimize=True)
            by_pulled = -a2 * np.einsum("kbjc,kbz->jzc", constraint.loadings, w, optimize=True).reshape(-1, m)
            by_known = by_left.swapaxes(1, 2).reshape(flat.shape[1], -1)
            turned = back @ by_known
            by_cross = r @ by_pulled.T - 2 * a2 * turned
            by_s += a2 * turned @ back.T - back @ by_pulled @ r.T
            by_a2 = -float(np.vdot(by_left, known)) - 0.5 * float(np.vdot(w, pull))
            by_scale, by_moved = constraint.slopes(x, by_cross.reshape(n, k + 1, p).swapaxes(0, 1), by_own + by_left)
            if len(by):
                by_in = np.swapaxes(by_moved / self.scales(numbers), 1, 2) @ self.x[self.points]
                by_directions = np.einsum("kij,Kij->kK", by_in, self.actions.inputs, optimize=True)
                by_directions += np.einsum("kab,Kab->kK", by_out, self.actions.outputs, optimize=True)
                slope[q:] = np.einsum("kK,rkK->r", by_directions, moving)
        by_size, on_diagonal = float(np.vdot(by_s, free)), float(np.trace(by_s))
        by_size += JITTER * on_diagonal
        slope[q - 3 : q] = 2 * a2 * (by_size + by_a2), 2 * b2 * by_size, 2 * noise2 * on_diagonal
        by_scale = by_scale + (a2 + b2) * by_squares(by_s * (free - self._constant), x, x)
        slope[: q - 3] = np.bincount(self.actions.kinds, by_scale, minlength=q - 3)
        middle, spread = self._prior()
        gap = (numbers - middle) / spread
        gap[-3] *= bool(len(self.directions))
        gap[-2] *= numbers[-2] > RANGES[2][0]  # not of strict ones
        slope[:q] -= gap / spread
        return value - 0.5 * float(gap @ gap), slope

    def constraint(self, numbers: Array, directions: Array, points: NDArray[np.int_] | None = None) -> Constraint:
        """L_A f of directions (k, K) at points."""
        scales = self.scales(numbers)
        z = self.x[self.points if points is None else points]
        inputs = np.tensordot(directions, self.actions.inputs, 1)
        moved = (z @ inputs.swapaxes(1, 2)) / scales
        return Constraint(z / scales, moved, np.tensordot(directions, self.actions.outputs, 1), self._constant)

    def kernel(self, numbers: Array) -> Array:
        """(n, n) k(x, x), with its constant."""
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

    def violations(self, directions: Array, points: NDArray[np.int_]) -> tuple[Array, Array]:
        """Mean (p, k, m) and covariance (p k m, p k m) of L_A f at points given y, of directions (k, K)."""
        n, m = self.y.shape
        a2, b2, noise2 = (s * s for s in self.sigmas)
        asked = self.constraint(self.numbers, directions, points)
        x = self.x / self.scales(self.numbers)
        c = np.asarray(np.kron((a2 + b2) * self.kernel(self.numbers), np.eye(m)), dtype=np.float64)
        c[np.diag_indices(n * m)] += noise2 + JITTER * (a2 + b2)
        to = (a2 + b2) * _whole(asked, x)
        prior = (a2 + b2) * asked.joined(asked.between(asked), asked)
        if len(self.directions):
            kept = self.constraint(self.numbers, self.directions)
            lower = factor(_slack(kept.joined(kept.between(kept), kept)))
            half = solve_triangular(lower, _whole(kept, x).T, lower=True, check_finite=False)
            other = solve_triangular(lower, kept.joined(kept.between(asked), asked), lower=True, check_finite=False)
            c -= a2 * half.T @ half
            to -= a2 * half.T @ other
            prior -= a2 * other.T @ other
        lower = factor(c)
        half = solve_triangular(lower, to, lower=True, check_finite=False)
        mean = half.T @ solve_triangular(lower, self.y.ravel(), lower=True)
        k, _, p = asked.shape
        covariance = (prior - half.T @ half).reshape(k, m, p, k, m, p).transpose(2, 0, 1, 5, 3, 4)
        return mean.reshape(k, m, p).transpose(2, 0, 1), covariance.reshape(len(mean), -1)


def _slack(own: Array) -> Array:
    own[np.diag_indices(len(own))] += SLACK**2
    return own


def _whole(constraint: Constraint, x: Array) -> Array:
    """cov(f(x), L_A f), (n m, k m p)."""
    found = np.einsum("kbja,jnz->nakbz", constraint.loadings, constraint.cross(x), optimize=True)
    return found.reshape(found.shape[0] * found.shape[1], -1)
