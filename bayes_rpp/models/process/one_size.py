"""Systems of one size for a GaussianProcess: energies as functions of what their particles' positions say.

The symmetric part sees D, the inverse distances of all pairs, which rotations, reflections and translations leave. The
residual sees C, positions about their mean, which translations leave alone: it is a polynomial of the second degree in
C without a constant, whose coefficients are functions of D, k(D, D') (u + u^2) with u = C . C' / lengthscale^2, such as
the energy of a molecule in a field. Both are averaged over all orders of particles of the same type (sGDML: Chmiela et
al. 2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from bayes_rpp._given import real_array
from bayes_rpp.models.process.forces import Forces
from bayes_rpp.models.process.kinds import Kinds
from bayes_rpp.networks.particles.given import check_label
from bayes_rpp.networks.particles.systems import Particles
from bayes_rpp.priors.kernels.mapped import MappedKernel
from bayes_rpp.priors.kernels.scalar import Kernel, Polynomial
from bayes_rpp.symmetry.averages import Average
from bayes_rpp.symmetry.groups import Group, O
from bayes_rpp.symmetry.representations import Representation

Array = NDArray[np.float64]
MOST = 5040  # orders


@dataclass(frozen=True)
class OneSize:
    """Systems of the same particles, as rows of positions (n, particles * dim).

    Attributes:
        types: the label of each particle.
        dim: of space.
    """

    types: tuple[Any, ...]
    dim: int

    @staticmethod
    def of(given: Any, rep_in: Representation, groups: Sequence[Group], forces: Forces | None) -> OneSize | None:
        """What `particles` of a GaussianProcess says; raises TypeError or ValueError, naming the argument."""
        if given is None:
            return None
        if isinstance(given, Particles):
            types = _types_of(given, "particles")
        elif isinstance(given, (list, tuple)):
            types = tuple(check_label(v) for v in given)
        else:
            raise TypeError(
                f"particles must be Particles of one size, or a label for each particle, got a {type(given).__name__}; "
                "['N', 'H', 'H', 'H'] would do"
            )
        found = OneSize(types, groups[0].dim)
        if len(types) < 2:
            raise ValueError(f"particles must be two at least, as one has no distances, got {len(types)}")
        if len(groups) > 1 or groups[0] != O(found.dim):
            got = list(groups) if len(groups) > 1 else groups[0]
            raise ValueError(
                f"group must be O({found.dim}) where particles are given, which leaves their distances, got {got}"
            )
        g = groups[0].sample(3, 0)
        if rep_in.size != len(types) * found.dim or not np.allclose(rep_in.rho(g), np.kron(np.eye(len(types)), g)):
            raise ValueError(f"rep_in must be {len(types)} * Vector, the positions of particles, got {rep_in.rep}")
        if forces is None or len(forces.columns) < rep_in.size:
            raise ValueError("conservative must be True where particles are given, as all of them have a force")
        if (count := math.prod(math.factorial(types.count(t)) for t in set(types))) > MOST:
            raise ValueError(
                f"particles must have at most {MOST:,} orders within types, got {count:,}; labels of their own for "
                "particles that never change places, such as 'H1' and 'H2', would do"
            )
        return found

    @property
    def pairs(self) -> tuple[Array, Array]:
        """First and second particle of each pair."""
        first, second = np.array(list(combinations(range(len(self.types)), 2))).T
        return first, second

    @property
    def kinds(self) -> Kinds:
        """Columns of features."""
        count = len(self.pairs[0])
        return {"distances": np.arange(count), "positions": count + np.arange(len(self.types) * self.dim)}

    def features(self, x: Array) -> tuple[Array, Array]:
        """All of them (n, m), as `kinds` counts them, and their derivatives (n, m, d_in)."""
        (a, by_a), (b, by_b) = self.distances(x), self.positions(x)
        return np.concatenate([a, b], axis=1), np.concatenate([by_a, by_b], axis=1)

    def distances(self, x: Array) -> tuple[Array, Array]:
        """Inverse distances (n, pairs), and their derivatives (n, pairs, d_in)."""
        (i, j), p = self.pairs, x.reshape(len(x), -1, self.dim)
        r = p[:, i] - p[:, j]
        phi = (r**2).sum(-1) ** -0.5
        slopes = np.zeros((len(x), len(i), *p.shape[1:]))
        pair, by = np.arange(len(i)), -(phi**3)[..., None] * r
        slopes[:, pair, i] = by
        slopes[:, pair, j] = -by
        return phi, slopes.reshape(len(x), len(i), -1)

    def positions(self, x: Array) -> tuple[Array, Array]:
        """Positions about their mean (n, d_in), and their derivatives (n, d_in, d_in)."""
        n = len(self.types)
        about = np.kron(np.eye(n) - 1 / n, np.eye(self.dim))
        return x @ about, np.broadcast_to(about, (len(x), *about.shape))

    def kernel(self, kernel: Kernel, energy: bool, is_residual: bool) -> MappedKernel:
        """The covariance of an energy and its forces, of the symmetric part or of the residual."""
        features = self.features if is_residual else self.distances
        acting = self._acting[:, : len(self.pairs[0]), : len(self.pairs[0])]
        acting = self._acting if is_residual else acting
        average = Average(acting, np.eye(acting.shape[1])[None], True, "the orders of particles")
        in_positions = Polynomial(1, offset=0.0) + Polynomial(2, offset=0.0) if is_residual else None
        return MappedKernel(kernel, features, len(self.pairs[0]), in_positions, energy, average)

    @cached_property
    def _acting(self) -> Array:
        """What each order does to features, (orders, m, m), the one that changes nothing first."""
        n, (i, j) = len(self.types), self.pairs
        places = [[k for k in range(n) if self.types[k] == t] for t in dict.fromkeys(self.types)]
        number = np.zeros((n, n), dtype=int)
        number[i, j] = number[j, i] = np.arange(len(i))
        found = []
        for each in product(*(permutations(p) for p in places)):
            order = np.arange(n)
            for p, new in zip(places, each, strict=True):
                order[p] = new
            of_pairs = np.eye(len(i))[number[order[i], order[j]]]
            found.append(block_diag(of_pairs, np.kron(np.eye(n)[order], np.eye(self.dim))))
        return np.stack(found)

    def encode(self, x: Any, name: str) -> Any:
        """Rows of positions; raises ValueError for other systems, and where particles overlap."""
        if isinstance(x, Particles):
            if (types := _types_of(x, name)) != self.types:
                want, got = (", ".join(map(str, t)) for t in (self.types, types))
                raise ValueError(f"{name} must have the particles {want}, in this order, got {got}")
            x = np.stack(x.positions)
        elif getattr(x, "ndim", 0) == 3:
            x = real_array(x, name)
        if getattr(x, "ndim", 0) == 3 and x.shape[1:] == (len(self.types), self.dim):
            x = x.reshape(len(x), -1)
        if getattr(x, "ndim", 0) == 2 and x.shape[1] == len(self.types) * self.dim and np.isfinite(x).all():
            (i, j), p = self.pairs, np.asarray(x).reshape(len(x), -1, self.dim)
            if (bad := (p[:, i] == p[:, j]).all(-1).any(-1)).any():
                raise ValueError(
                    f"{name} must have particles apart from each other, whose distances have an inverse, got two in "
                    f"one place in system {int(bad.argmax())}"
                )
        return x

    def encode_outputs(self, y: Any, n: int, name: str, outputs: int) -> Any:
        """Rows of energies and forces, which may be a pair (energies, forces); of forces alone too."""
        both = isinstance(y, tuple) and len(y) == 2
        if both and outputs == len(self.types) * self.dim:
            raise ValueError(
                f"{name} must be forces alone where rep_out is {len(self.types)} * Vector, got a pair; {name}[1], or "
                f"rep_out=Scalar + {len(self.types)} * Vector for energies too, would do"
            )
        forces = y[1] if both else y
        if not both and getattr(forces, "ndim", 2) != 3:
            return y
        f = real_array(np.stack(list(forces)), name).reshape(len(forces), -1)
        if not both:
            return f
        energies = real_array(y[0], f"{name}[0]").reshape(-1, 1)
        if len(energies) != n or len(f) != n:
            raise ValueError(f"{name} must have {n} energies and forces, got {len(energies)} and {len(f)}")
        return np.concatenate([energies, f], axis=1)


def _types_of(systems: Particles, name: str) -> tuple[Any, ...]:
    """Of the particles, which all systems have in the same order."""
    counts = systems.counts
    if (counts != counts[0]).any():
        other = int((counts != counts[0]).argmax())
        raise ValueError(
            f"{name} must be systems of one size for functions of all distances, got {counts[0]} particles and, in "
            f"system {other}, {counts[other]}; a ParticleNetwork, which takes any, would do"
        )
    if systems.width:
        raise ValueError(f"{name} must have no features for functions of distances, got {systems.width} columns")
    if systems.types is None:
        return (0,) * int(counts[0])
    first = systems.types[0].tolist()
    for k, one in enumerate(systems.types):
        if one.tolist() != first:
            raise ValueError(
                f"{name} must have particles in the same order in all systems, got {', '.join(map(str, first))} and "
                f"{', '.join(map(str, one))} in system {k}; systems.permuted(...) would do"
            )
    return tuple(first)
