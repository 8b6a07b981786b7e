"""The prior covariance of a GaussianProcess between function values, a sum over its pathways, and its derivatives.

Outputs of different irreducible parts of rep_out are independent, and copies of a part alike: one matrix for each part
serves all. Outputs are meant in their coordinates, `Outputs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.process.irreducible import Outputs, irreducible, undivided
from bayes_rpp.models.process.kinds import unmoved
from bayes_rpp.models.process.prior import Entry, FunctionPrior
from bayes_rpp.priors.kernels.averaged import AveragedKernel, Blocks, Values
from bayes_rpp.priors.kernels.derivatives import DerivativeKernel
from bayes_rpp.priors.kernels.mapped import MappedKernel
from bayes_rpp.priors.kernels.scalar import Kernel, Polynomial
from bayes_rpp.symmetry.averages import Average
from bayes_rpp.symmetry.representations import Representation

Array = NDArray[np.float64]
Latents = Mapping[str, Any]
VANISHES = 1e-10  # of the scalar kernel: what is left of an average that is zero but for rounding
ALIKE, ROWS = 0.02, 50  # relative, by which covariances that are the same may differ; and where it is looked at
FLOOR = 0.03  # of the mean variance: an average that vanishes but for its error is not to be blown up


@dataclass(frozen=True)
class Part:
    """One pathway.

    Attributes:
        sigma: its standard deviation, or the site of it.
        kernel: averaged over its group; over none for the residual.
        fixed: numbers of the kernel that are no sites: of the linear mean.
    """

    sigma: Entry
    kernel: AveragedKernel | DerivativeKernel | MappedKernel
    fixed: Values | None = None


class Covariance:
    """Of a GaussianProcess at given training inputs.

    Args:
        gp: with a distribution or a number for all that it has.
        x: (n, d_in) training inputs.
        level: of the averages over groups.

    Attributes:
        outputs: the coordinates of the outputs; places: part -> (copies, d) of these.
        averages: over each of the groups; of systems none, as distances are the same for all of it.
        shift: (d_in,) what is taken from inputs first.
        shares: part -> its share of the outputs.
    """

    def __init__(self, gp: FunctionPrior, x: NDArray, level: int = 0) -> None:
        bound = list(gp.bound)
        one_part = gp.forces is not None  # as an energy and its forces say much of each other
        self.gp, self.outputs = gp, undivided(gp.rep_out.size) if one_part else irreducible([r for _, r in bound])
        self.places = self.outputs.places
        self.shares = {t: p.size / gp.rep_out.size for t, p in self.places.items()}
        fixed = np.logical_and.reduce([unmoved(rep) for rep, _ in gp.bound])
        distances = all(leaf.stationary for leaf in gp.kernel.leaves)
        # A column's offset costs digits, and tells a polynomial what its zero is, which "data" takes from these.
        centred = fixed & (distances or gp.scale == "data")
        self.shift = np.where(centred, np.mean(x, axis=0, dtype=np.float64), 0.0)
        self.x = self._shifted(x)
        self.averages = gp.averages(level)
        self.parts = self._of_systems() if gp.systems is not None else self._of_groups(bound)
        self._constant: dict[int, Array] = {}
        if gp.mean is not None:
            size = gp.mean_size
            blocks = self.outputs.blocks(gp.constants[None])
            self._constant = {t: size**2 * block[0] for t, block in blocks.items()}
            if gp.mean == "linear":
                line: Kernel = Polynomial(degree=1, offset=0.0)
                scales = np.ones(x.shape[1])
                for columns in gp.kinds.values():
                    scales[columns] = max(float(np.sqrt(np.mean(self.x[:, columns] ** 2) * len(columns))), 1e-300)
                of_line = self._averaged(line, bound[0], self.averages[0])
                self.parts.append(Part(size, of_line, Values([scales], [1.0])))

    def _of_groups(self, bound: Sequence[tuple[Representation, Representation]]) -> list[Part]:
        gp, one = self.gp, np.eye(self.gp.group.dim)[None]
        found = [
            Part(s, self._averaged(gp.kernel, reps, average))
            for s, reps, average in zip(gp.sigmas_a, bound, self.averages, strict=True)
        ]
        if gp.sigma_b != 0.0:
            none = Average(one, one, True, "none")
            found.append(Part(gp.sigma_b, self._averaged(gp.kernel, bound[0], none)))
        return found

    def _of_systems(self) -> list[Part]:
        systems, forces = self.gp.systems, self.gp.forces
        assert systems is not None
        assert forces is not None
        sigmas = [self.gp.sigmas_a[0], *([self.gp.sigma_b] if self.gp.sigma_b != 0.0 else [])]
        return [Part(s, systems.kernel(self.gp.kernel, forces.energy, k > 0)) for k, s in enumerate(sigmas)]

    def _averaged(
        self, kernel: Kernel, reps: tuple[Representation, Representation], average: Average
    ) -> AveragedKernel | DerivativeKernel:
        (before, after), forces = reps, self.gp.forces
        if forces is not None:
            return DerivativeKernel(kernel, before.rho, forces.columns, forces.energy, average)
        act = self._still if len(average) == 1 else partial(_acting, self.outputs, after)
        return AveragedKernel(kernel, before, act, average)

    def at(self, rows: NDArray) -> Covariance:
        """The same at some of the training inputs; variances are to be given to `own` there."""
        found = copy(self)
        found.x = self.x[rows]
        return found

    def own(self, latents: Latents, variances: Sequence[dict[int, float]] | None = None) -> Prepared:
        """Between the training inputs.

        Args:
            variances: what the parts are divided by; None: as these inputs say.
        """
        values = self.values(latents)
        kernels = self.each("own", values, self.x)
        if variances is None:
            variances = self.sizes([self._variances(k) for k in kernels], values)
        return Prepared(values, self.total(kernels, latents, variances), kernels, list(variances))

    def each(self, what: Literal["own", "cross", "diagonal"], values: Values, *points: Array) -> list[Blocks]:
        """Of each pathway's kernel by itself."""
        return [getattr(part.kernel, what)(*points, part.fixed or values) for part in self.parts]

    def total(
        self, kernels: Iterable[Mapping[int, Any]], latents: Latents, variances: Sequence[dict[int, float]]
    ) -> dict[int, Any]:
        """The covariance from those of the pathways: part -> (n, d, m, d), of points with themselves (n, d, d), or a
        mean variance."""
        total: dict[int, Any] = {}
        for part, k, size in zip(self.parts, kernels, variances, strict=True):
            square = number_of(part.sigma, latents) ** 2
            for t, b in k.items():
                if t not in total:
                    total[t] = np.zeros(_whole(np.shape(b), self.places[t].shape[1]))
                _add(total[t], square / size[t], b)
        for t, c in self._constant.items():
            total[t] += {4: c[:, None], 3: c, 0: np.trace(c) / len(c)}[np.ndim(total[t])]
        return total

    def cross(self, z: NDArray, latents: Latents, prepared: Prepared) -> Blocks:
        """Between z (m, d_in) and the training inputs: part -> (m, d, n, d)."""
        return self._between(self._shifted(z), self.x, latents, prepared)

    def between(self, z: NDArray, x: NDArray, latents: Latents, prepared: Prepared) -> Blocks:
        """Between z (m, d_in) and x (k, d_in): part -> (m, d, k, d)."""
        found = self._between(self._shifted(z), self._shifted(x), latents, prepared)
        return {t: 0.5 * (k + k.transpose(2, 3, 0, 1)) for t, k in found.items()} if z is x else found

    def diagonal(self, z: NDArray, latents: Latents, prepared: Prepared) -> Blocks:
        """Of each of z with itself: part -> (m, d, d)."""
        z = self._shifted(z)
        kernels = self.each("diagonal", prepared.values, z)
        return self.total(kernels, latents, prepared.variances)

    def values(self, latents: Latents) -> Values:
        """The kernel's numbers."""
        lengthscales = []
        for by_kind in self.gp.lengthscales:
            scale = np.empty(sum(map(len, self.gp.kinds.values())))
            for kind, columns in self.gp.kinds.items():
                scale[columns] = number_of(by_kind[kind], latents)
            lengthscales.append(scale)
        return Values(lengthscales, [number_of(v, latents) for v in self.gp.variances])

    def mean_variances(self, values: Values) -> list[dict[int, float]]:
        """Of each pathway by itself, by part of the outputs."""
        kernels = self.each("diagonal", values, self.x)
        return [{t: float(np.einsum("naa->", b)) / b[..., 0].size for t, b in k.items()} for k in kernels]

    def sizes(self, variances: Sequence[dict[int, float]], values: Values) -> list[dict[int, float]]:
        """What each part of the outputs is divided by, of each pathway: its mean variance, as given, and a little of
        that of all; infinity where a symmetry allows no function but zero."""
        return [
            dict.fromkeys(v, 1.0) if self.gp.scale is None or part.fixed else self._floored(part, v, values)
            for part, v in zip(self.parts, variances, strict=True)
        ]

    def vanishing(self, latents: Latents) -> list[bool]:
        """Of each pathway, whether its functions are all zero at the training inputs."""
        values = self.values(latents)
        found = zip(self.parts, self.mean_variances(values), strict=True)
        return [bool(np.isinf(list(self._floored(part, v, values).values())).all()) for part, v in found]

    def alike(self, latents: Latents) -> list[int]:
        """Of each pathway, the first that has the same covariance at the training inputs, up to a factor: as of groups
        that allow the same functions, which no data tell apart."""
        x, values, found = self.x[:ROWS], self.values(latents), list[Array]()
        for k in self.each("cross", values, x, x):
            whole = {t: np.zeros(_whole(b.shape, self.places[t].shape[1])) for t, b in k.items()}
            for t, b in k.items():
                _add(whole[t], 1.0, b)
            flat = np.concatenate([b.ravel() for b in whole.values()])
            found.append(flat / max(float(np.linalg.norm(flat)), 1e-300))
        return [next(j for j, b in enumerate(found) if np.linalg.norm(a - b) < ALIKE) for a in found]

    def _floored(self, part: Part, variances: Mapping[int, float], values: Values) -> dict[int, float]:
        mean = sum(self.shares[t] * v for t, v in variances.items())
        least = VANISHES * part.kernel.magnitude(self.x, part.fixed or values)
        found = {t: v + FLOOR * mean for t, v in variances.items()}
        return {t: size if size > least else np.inf for t, size in found.items()}

    @property
    def sized(self) -> slice:
        """Outputs whose variance "data" divides by: of an energy and its forces the forces, which no constant is in."""
        return slice(None) if self.gp.forces is None else self.gp.forces.places

    def _variances(self, k: Blocks) -> dict[int, float]:
        """Of each part, the mean over its diagonal."""
        return {t: float(np.einsum("iaia->ia", b)[:, self.sized].mean()) for t, b in k.items()}

    def _between(self, z: Array, x: Array, latents: Latents, prepared: Prepared) -> Blocks:
        kernels = self.each("cross", prepared.values, z, x)
        return self.total(kernels, latents, prepared.variances)

    def _still(self, g: Array) -> Blocks:
        """What elements that move nothing multiply each part by, a number: its covariance is kept as (n, 1, m, 1)."""
        return {t: np.ones((len(g), 1, 1)) for t in self.places}

    def _shifted(self, x: NDArray) -> Array:
        return np.asarray(x, dtype=np.float64) - self.shift

    def error(self, latents: Latents, points: int = 24, seed: int = 0) -> float:
        """Relative error of the averages: of K(gx, x') = rho(g) K(x, x') at training inputs from the nearest to the
        farthest and random g, the largest over the groups; 0 where all are exact."""
        if not self.averages:
            return 0.0
        worst, all_values = 0.0, self.values(latents)
        order = np.argsort(((self.x / all_values.lengthscales[0]) ** 2).sum(axis=1))
        x = self.x[order[np.linspace(0, len(order) - 1, min(points, len(order))).astype(int)]]
        checked = list(zip(self.parts, self.gp.bound, self.averages, strict=False))
        checked += [(part, *checked[0][1:]) for part in self.parts if part.fixed]  # the linear mean
        for part, (before, after), average in checked:
            if average.is_exact or part.sigma == 0.0:
                continue
            values = part.fixed or all_values
            k = part.kernel.cross(x, x, values)
            sizes = self._spreads(part, k, values)
            for one in before.group.sample(3, seed):
                moved = part.kernel.cross(x @ before.rho(one).T, x, values)
                for t, rho in self.outputs.blocks(after.rho(one)[None]).items():
                    want = np.einsum("ab,nbmc->namc", rho[0], k[t])
                    gaps = np.abs(moved[t] - want).max(axis=(0, 2))
                    worst = max(worst, float((gaps / np.outer(sizes[t], sizes[t])).max()))
        return worst

    def _spreads(self, part: Part, k: Blocks, values: Values) -> dict[int, Array]:
        """Standard deviations of each part's outputs, (d,), of an energy apart from those of its forces."""
        sizes = self._floored(part, self._variances(k), values)
        found = {t: np.full(b.shape[1], sizes[t] ** 0.5) for t, b in k.items()}
        if self.gp.forces is not None and self.gp.forces.energy:
            found[0][0] = max(float(np.diagonal(k[0][:, 0, :, 0]).mean()), 1e-300) ** 0.5
        return found


def _add(total: Array, factor: float, k: Array) -> None:
    """Of (n, d, m, d), (n, d, d) or a number; a block of k of size 1 is a multiple of the identity."""
    if np.shape(k) == total.shape:
        total += factor * k
    else:
        for a in range(total.shape[1]):
            total[:, a, ..., a] += factor * k[:, 0, ..., 0]


def _whole(shape: tuple[int, ...], d: int) -> tuple[int, ...]:
    """That of a total of which one part has such a shape."""
    return shape if not shape else (shape[0], d, d) if len(shape) == 3 else (shape[0], d, shape[2], d)


def reduced(weights: Array, shape: tuple[int, ...]) -> Array:
    """Derivatives by what `_add` adds, of that shape, from those by the total."""
    return weights if weights.shape == shape else np.einsum("iaja->ij", weights).reshape(shape)


def _acting(outputs: Outputs, rep: Representation, g: Array) -> Blocks:
    return outputs.blocks(rep.rho(g))


@dataclass(frozen=True)
class Prepared:
    """The covariance of the training inputs at some numbers: whole, of each part, and what the parts are divided by."""

    values: Values
    total: Blocks
    kernels: list[Blocks]
    variances: list[dict[int, float]]


def number_of(entry: Entry, latents: Latents) -> float:
    """A number, or that of its site."""
    return float(latents[entry]) if isinstance(entry, str) else entry
