"""Systems of particles, each of its own size: positions, features and types, kept one system after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import frozen, whole_number
from bayes_rpp.networks.particles.given import by_system, labels_together, order_by_system, together


class Particles:
    """Systems of particles: molecules, bodies, points in space, as many in each as it has.

    `particles[3]` is one system, `particles[:10]`, `particles[rows]` and `particles[mask]` are several: minibatches,
    folds and held-out systems. `len(particles)` counts systems.

    Args:
        positions: list of arrays (particles, d), one for each system; or one array (systems, particles, d); or with
            `index`, one array (particles of all systems, d).
        features: of each particle, such as charges and velocities, in the same form with any number of columns; a
            single column may be left flat.
        types: of each particle, texts or whole numbers such as chemical symbols: a list of lists, or one list for all
            systems where these are of one size; with `index`, one list of all.
        index: (particles of all systems,) the number of the system, from 0, that each particle belongs to.
        mask: (systems, particles) which of the particles of an array (systems, particles, d) there are.

    Attributes:
        counts: (systems,) particles in each.
        dim: d.

    Raises:
        TypeError, ValueError: naming the argument, the system and the particle that do not fit.
    """

    def __init__(
        self, positions: Any, features: Any = None, types: Any = None, *, index: Any = None, mask: Any = None
    ) -> None:
        each = by_system(positions, "positions", index, mask)
        self._order = order_by_system(index)
        if not each:
            raise ValueError("positions must have at least one system, got none")
        self.counts = frozen(np.array([len(one) for one in each], dtype=np.int64))
        if (self.counts == 0).any():
            raise ValueError(
                f"positions must have a particle in each system, got none in system {int(self.counts.argmin())}"
            )
        self._ends = np.cumsum(self.counts)
        self._positions = together(each, "positions", self.counts)
        self._features = None
        if features is not None:
            self._features = together(by_system(features, "features", index, mask), "features", self.counts)
        self._types = None if types is None else labels_together(types, self.counts, index, mask)

    @classmethod
    def from_ase(cls, atoms: Any, features: Sequence[str] = ()) -> Self:
        """Of ASE's `Atoms`, one or a list of them: positions, and chemical symbols as types.

        Args:
            atoms: without periodic boundaries, which are not known here.
            features: names of `atoms.arrays` to take as features, side by side, such as "initial_charges".

        Raises:
            TypeError, ValueError: if these are no atoms, or periodic.
        """
        systems = [atoms] if hasattr(atoms, "get_positions") else list(atoms)
        for k, one in enumerate(systems):
            if not hasattr(one, "get_positions"):
                raise TypeError(f"atoms must be ASE's Atoms or a list of them, got a {type(one).__name__} at {k}")
            if np.any(getattr(one, "pbc", False)):
                raise ValueError(
                    f"atoms must be without periodic boundaries, got pbc={list(one.pbc)} at {k}; a copy with "
                    "atoms.pbc = False, whose neighbours across the boundary are lost, would do"
                )
        columns = [np.column_stack([one.arrays[name] for name in features]) for one in systems] if features else None
        symbols = [list(one.get_chemical_symbols()) for one in systems]
        return cls([one.get_positions() for one in systems], columns, symbols)

    @property
    def most(self) -> int:
        """Particles of the largest system."""
        return int(self.counts.max())

    @property
    def dim(self) -> int:
        return int(self._positions.shape[1])

    @property
    def index(self) -> NDArray[np.int_]:
        """(particles of all systems,) which one each belongs to."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(systems, most) which places of padded arrays hold a particle."""
        found: NDArray[np.bool_] = np.arange(self.most) < self.counts[:, None]
        return found

    @property
    def positions(self) -> list[NDArray]:
        """Of each system (particles, d)."""
        return self._split(self._positions)

    @property
    def features(self) -> list[NDArray] | None:
        """Of each system (particles, columns), or None."""
        return None if self._features is None else self._split(self._features)

    @property
    def types(self) -> list[NDArray] | None:
        """Of each system (particles,) labels, or None."""
        return None if self._types is None else self._split(self._types)

    @property
    def width(self) -> int:
        """Columns of features."""
        return 0 if self._features is None else int(self._features.shape[1])

    def split(self, values: Any, columns: int) -> list[NDArray]:
        """What there is of each particle, by system and without padding: what a network says, such as a prediction's
        mean, or what is known, in one array of all particles.

        Args:
            values: (..., systems, places * columns), as many places as the network has; or (particles of all systems,
                columns), in the order in which positions were given, also where an index mixes systems.
            columns: of one particle, the size of the network's `out`; of forces d.

        Returns:
            Of each system (..., particles, columns).

        Raises:
            ValueError: if values are not of these systems; or if they are of all particles, an index mixed these, and
                the systems are a part of those that were given.
        """
        values = np.asarray(values)
        values = values[:, None] if values.ndim == 1 and columns == 1 else values
        if values.shape == (len(self._positions), columns) and len(values) != len(self):
            return self._split(values[self._given_order()])
        places, rest = divmod(values.shape[-1], whole_number(columns, "columns"))
        if values.ndim < 2 or values.shape[-2] != len(self) or rest or places < self.most:
            raise ValueError(
                f"values must have shape (..., {len(self)}, {self.most} * {columns}), or more, or a row for each "
                f"particle, ({len(self._positions)}, {columns}), got {values.shape}"
            )
        lead = values.shape[:-2]
        return [values[..., k, :].reshape((*lead, places, columns))[..., :n, :] for k, n in enumerate(self.counts)]

    def translated(self, shift: Any) -> Particles:
        """The same, moved by a vector (d,), or by one for each system (systems, d)."""
        each = np.broadcast_to(np.asarray(shift, dtype=np.float64), (len(self), self.dim))
        return self._with(self._positions + each[self.index])

    def permuted(self, orders: Sequence[Any]) -> Particles:
        """The same with the particles of each system in another order: one list of their numbers for each.

        Raises:
            ValueError: if one of the lists is no order of a system's particles.
        """
        rows = np.arange(len(self._positions))
        for k, (start, stop) in enumerate(self._places()):
            if sorted(np.asarray(orders[k]).tolist()) != list(range(stop - start)):
                raise ValueError(f"orders[{k}] must be an order of {stop - start} particles, got {orders[k]}")
            rows[start:stop] = start + np.asarray(orders[k])
        return self._rows(rows, self.counts)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, which: Any) -> Particles:
        if isinstance(which, (int, np.integer)):
            if not -len(self) <= which < len(self):
                raise IndexError(f"system {which} of {len(self)}")
            which = [which]
        chosen = np.arange(len(self))[which]
        if not len(chosen):
            raise ValueError(f"the systems that are taken must be one at least, got none of {len(self)}")
        places = list(self._places())
        return self._rows(np.concatenate([np.arange(*places[k]) for k in chosen]), self.counts[chosen])

    def __array__(self, *_: Any, **__: Any) -> NDArray:
        raise TypeError("Particles are of several sizes, and no array; a ParticleNetwork takes them")

    def __repr__(self) -> str:
        few, many = int(self.counts.min()), self.most
        size = str(few) if few == many else f"{few} to {many}"
        types = "" if self._types is None else f", types {', '.join(map(str, self.labels))}"
        return f"Particles({len(self)} systems of {size} particles in R^{self.dim}, {self.width} features{types})"

    @property
    def labels(self) -> list[Any]:
        """The different types, in order."""
        return [] if self._types is None else sorted(set(self._types.tolist()), key=lambda v: (str(type(v)), v))

    def _with(self, positions: NDArray) -> Particles:
        new = object.__new__(Particles)
        vars(new).update(vars(self), _positions=positions)
        return new

    def _rows(self, rows: NDArray, counts: NDArray) -> Particles:
        new = object.__new__(Particles)
        taken = {k: None if (a := getattr(self, k)) is None else a[rows] for k in ("_positions", "_features", "_types")}
        order = None if self._order is None else self._order[:0]  # of others than were given
        vars(new).update(taken, counts=frozen(counts.copy()), _ends=np.cumsum(counts), _order=order)
        return new

    def _given_order(self) -> Any:
        """Which rows of what was given particles stand for."""
        if self._order is None:
            return slice(None)
        if len(self._order) < len(self._positions):
            raise ValueError(
                "values must be by system where particles are part of systems that an index mixed, got a row for each; "
                "split(values, columns) of all systems, and then a part of the list, would do"
            )
        return self._order

    def _split(self, flat: NDArray) -> list[NDArray]:
        return [flat[start:stop] for start, stop in self._places()]

    def _places(self) -> Iterable[tuple[int, int]]:
        return zip((self._ends - self.counts).tolist(), self._ends.tolist(), strict=True)
