"""Message passing between particles, with residual pathways (after EGNN: Satorras, Hoogeboom and Welling 2021).

With t_i the type of particle i as 0 and 1, r_ij = x_j - x_i, and blocks as of the EMLP (linear, bilinear, gate):

    h_i  = W [t_i, features_i] + b  (+ A x_i, if translations are soft)
    m_ij = block(t_i, h_i, t_j, h_j, basis(|r_ij|), r_ij)
    h_i  = (h_i + block(h_i, sum_j w(|r_ij|) m_ij / sqrt(neighbors))) / sqrt(2)
    x_i += (W h_i + b) / 2, if positions move (Equation 4 of EGNN), by which the next layer's r_ij is
    f_i  = W [t_i, h_i] + b, of each particle, or its sum or mean over them; [t_i, h_i, x_i - where it was] if they move

The weights are the same for all particles and pairs, so permutations are exact; each W and b prefers the maps that are
equivariant, so that rotations and reflections are as soft as sigma_b says; A has no preferred maps, only a residual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array, array_namespace
from bayes_rpp._given import real_array
from bayes_rpp._types import Shaped
from bayes_rpp.engines.libraries import fixed, library_of
from bayes_rpp.networks.emlp import AnyBilinear, Block, check_bilinear, hidden_reps
from bayes_rpp.networks.groups import check_groups, equivariant_parameters, generated, is_chain
from bayes_rpp.networks.network import Capabilities, Network, Parameter, bind, linear
from bayes_rpp.networks.particles.arguments import (
    check_both,
    check_choice,
    check_cutoff,
    check_energy,
    check_neighbors,
    check_places,
    check_rows,
    neighbors_of,
    repeated,
)
from bayes_rpp.networks.particles.edges import Edges, of_pairs
from bayes_rpp.networks.particles.rows import Rows, check_types
from bayes_rpp.networks.particles.systems import Particles
from bayes_rpp.priors.subspaces.base import ZeroSubspace
from bayes_rpp.symmetry.groups import Group, O
from bayes_rpp.symmetry.representations import Rep, Representation, Scalar, Vector


class ParticleNetwork(Network, is_code=False):
    """A network of systems of particles of any number: molecules, bodies, points in space.

    Example: `ParticleNetwork(systems, features=Scalar + Vector, out=Vector)` for systems with a charge and a velocity
    of each particle, and a vector to predict for each. `fit(Model(net), systems, y)` takes `Particles`, and y as a list
    of arrays (particles, columns); with `pooled`, as an array (systems, columns).

    Args:
        particles: the `Particles` to be fitted, for the most in a system, their types, and their usual number of
            neighbours; or the most in a system. The weights do not depend on it: `net.replace(particles=50)` has the
            same for larger systems.
        features: how the group acts on the features of each particle; or a number of scalars; None: there are none.
        out: how it acts on the output, of each particle or of all.
        group: orthogonal matrices that act on positions; or a list of groups, as of EMLP, each with a pathway.
        pooled: False, one output for each particle; "sum" or "mean" over particles, one for each system.
        channels: about the width of the hidden features of each particle, or representations, as of EMLP.
        layers: how often messages are passed; each goes as far as the cutoff.
        cutoff: the distance from which on particles do not see each other, to which messages go down smoothly. None:
            all see all, and distances should be of a size of about 1.
        types: the labels of particles, such as ["C", "H", "O"]; None: those of `particles`.
        translation: "exact", or "soft": a residual pathway sees absolute positions, which with sigma_b = 0 vanishes.
        bilinear: as of EMLP.
        conservative: the output, an invariant, is an energy, the sum over particles, of which the forces -dE/dx follow:
            outputs are the energy and then the force on each particle. y may then be a pair (energies, forces), and
            `EnergyForces` is the likelihood.
        radial: functions of the distance in the basis. None: 16 with a cutoff, 8 without.
        moving: True: each layer moves the particles, and the next sees where they have come to, which dynamics take;
            False: all layers see where they are.
        neighbors: how many one particle has about, by whose square root sums of messages are divided. None: those of
            `particles`; of a number all others.
        subgroups: as of EMLP.

    Within, x is an array (n, most * (1 + d + features)), by which all that takes a Model takes this one: of each place
    a code (0, no particle; 1, 2, ... its type), the position, the features. `net.encode(systems)` makes it, and
    `net.systems(x)` goes back. Outputs of single particles are (n, most * out), 0 where there is none, which do not
    count in likelihood and metrics; `systems.split(prediction.mean, columns)` takes them apart. All pairs are computed:
    time and memory go with most^2, whatever the cutoff.

    Attributes:
        hidden: representations of the features of each layer.
        layout: how systems stand in rows.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """

    def __init__(
        self,
        particles: int | Particles,
        *,
        features: Rep | int | None = None,
        out: Rep | int = Scalar,
        group: Group | Sequence[Group] = O(3),  # noqa: B008 (never changed)
        pooled: Literal[False, "sum", "mean"] = False,
        channels: int | Rep | Sequence[Rep] = 64,
        layers: int | None = None,
        cutoff: float | None = None,
        types: Sequence[str | int] | None = None,
        translation: Literal["exact", "soft"] = "exact",
        bilinear: AnyBilinear = True,
        conservative: bool = False,
        radial: int | None = None,
        moving: bool = False,
        neighbors: float | None = None,
        subgroups: Sequence[Group] = (),
    ) -> None:
        self.groups = check_groups(group, subgroups)
        whole = generated(self.groups)
        if not all(g.is_orthogonal for g in (*self.groups, whole)):
            raise ValueError(f"group must be of orthogonal matrices, which keep distances, got {whole}; O(3) would do")
        data = particles if isinstance(particles, Particles) else None
        places, self.cutoff = check_places(particles), check_cutoff(cutoff)
        types = (data.labels or None) if data is not None and types is None else types
        self.features = features * Scalar if isinstance(features, int) and features else features or None
        self.out = out * Scalar if isinstance(out, int) else out
        self._out = bind(self.out, whole, "out")
        own = Scalar + Vector if self.features is None else Scalar + Vector + self.features
        width = 0 if self.features is None else bind(self.features, whole, "features").size
        self.layout = Rows(places, whole.dim, width, check_types(types))
        self.pooled: Any = check_choice(pooled, (False, "sum", "mean"), "pooled")
        self.translation: Any = check_choice(translation, ("exact", "soft"), "translation")
        self.conservative = check_choice(conservative, (False, True), "conservative")
        if self.conservative:
            self.pooled = check_energy(self._out, self.pooled)
        rep_out = self.out if self.pooled else repeated(self.out, places)
        rep_out = self.out + repeated(Vector, places) if self.conservative else rep_out
        self.moving = check_choice(moving, (False, True), "moving")
        radial = radial if radial is not None else 8 if self.cutoff is None else 16
        self.edges = Edges(check_places(radial, "radial", 2), self.cutoff)
        self.neighbors = neighbors_of(data, places, self.cutoff) if neighbors is None else check_neighbors(neighbors)
        can = Capabilities(
            traceable=not self.conservative,
            evaluations=places**2 * (3 if self.conservative else 1),
            partial=self.conservative or not self.pooled,
        )
        super().__init__(repeated(own, places), rep_out, whole, capabilities=can)
        if data is not None:
            self.layout.encoded(data[0], "particles")
        self._build(channels, layers, check_bilinear(bilinear))

    def _build(self, channels: Any, layers: int | None, bilinear: Any) -> None:
        kinds, group = len(self.layout.types or (None,)) * Scalar, self.group
        seen = kinds if self.features is None else kinds + self.features
        between = self.edges.radial * Scalar + Vector
        self.bilinear = bilinear
        self.hidden = hidden_reps(channels, layers, (seen + between)(group), self._out)
        if not self.hidden:
            raise ValueError("layers must be a whole number >= 1, got 0; without messages an EMLP would do")
        self.parameters.update(equivariant_parameters("embedding", seen(group), self.hidden[0](group), self.groups))
        if self.translation == "soft":
            self.parameters["position.weight"] = Parameter(ZeroSubspace((self.hidden[0](group).size, group.dim)))
        self._messages, self._updates, before = [], [], self.hidden[0]
        self._stays = [a == b for a, b in pairwise([before, *self.hidden])]  # where features go on as they are, too
        for k, rep in enumerate(self.hidden):
            ends: Representation = (kinds + before + kinds + before + between)(group)
            self._messages.append(Block(f"messages.{k}", ends, rep, group, bilinear, self.groups))
            self._updates.append(Block(f"updates.{k}", (before + rep)(group), rep, group, bilinear, self.groups))
            self.parameters.update(self._messages[-1].parameters | self._updates[-1].parameters)
            if self.moving:
                self.parameters.update(equivariant_parameters(f"moves.{k}", rep(group), Vector(group), self.groups))
            before = rep
        last = kinds + before + Vector if self.moving else kinds + before
        self.parameters.update(equivariant_parameters("output", last(group), self._out, self.groups))

    def __call__(
        self, params: Mapping[str, Array], x: Shaped[Array, "*batch d_in"]
    ) -> Shaped[Array, "*batch {self.rep_out.size}"]:
        if not self.conservative:
            return self._outputs(params, x)
        params = {name: params[name] for name in self.parameters}
        library, own = library_of(x, self.engines)
        return self._with_forces(params, x) if own else library.on_numpy(self._with_forces, params, x)

    def encode(self, x: Any, name: str = "x") -> Any:
        if isinstance(x, Particles):
            return self.layout.encoded(x, name)
        check_rows(x, name)
        if isinstance(x, np.ndarray) and x.ndim == 2 and x.shape[1] == self.rep_in.size and np.isfinite(x).all():
            self.layout.check_codes(x, name)
        return x

    def encode_outputs(self, y: Any, x: Any, name: str = "y") -> Any:
        width = self.group.dim if self.conservative else self._out.size
        if not self.conservative:
            return y if self.pooled else self.layout.padded(y, x, width, name)
        if isinstance(y, tuple) and len(y) == 2:
            energy = real_array(y[0], f"{name}[0]").reshape(-1, 1)
            forces = self.layout.padded(y[1], x, width, f"{name}[1]")
            if len(energy) != len(x) or len(forces) != len(x):
                raise ValueError(f"{name} must have {len(x)} energies and forces, got {len(energy)} and {len(forces)}")
            return np.concatenate([energy, forces], axis=1)
        check_both(y, width, name)
        return y

    def counted(self, x: Array) -> Array | None:
        if not self.capabilities.partial:
            return None
        xp, there = array_namespace(x), self._parts(x)[0][..., 0] > 0.5
        width = self.group.dim if self.conservative else self._out.size
        each = xp.broadcast_to(there[..., None], (*there.shape, width)).reshape((*x.shape[:-1], -1))
        return xp.concat([xp.ones_like(each[..., :1]), each], axis=-1) if self.conservative else each

    def systems(self, x: NDArray) -> Particles:
        """The systems of rows (n, rep_in.size), inverse of `encode`."""
        return self.layout.decoded(np.asarray(x))

    def config(self) -> dict[str, Any]:
        groups: dict[str, Any] = {"group": list(self.groups)} if not is_chain(self.groups) else {}
        groups |= {"subgroups": list(self.groups[1:])} if is_chain(self.groups) and self.groups[1:] else {}
        types = self.layout.types
        return {
            "particles": self.layout.places,
            "features": self.features,
            "out": self.out,
            "pooled": self.pooled,
            "channels": list(self.hidden),
            "cutoff": self.cutoff,
            "types": None if types is None else list(types),
            "translation": self.translation,
            "bilinear": self.bilinear,
            "conservative": self.conservative,
            "radial": self.edges.radial,
            "moving": self.moving,
            "neighbors": self.neighbors,
        } | groups

    def replace(self, **changes: Any) -> ParticleNetwork:
        """Another network with the arguments of this one, with changes; `layers` alone where all hidden layers are
        alike."""
        if "layers" in changes and "channels" not in changes and len(set(self.hidden)) == 1:
            changes["channels"] = self.hidden[0]
        elif isinstance(changes.get("channels"), (int, Rep)):
            changes = {"layers": len(self.hidden)} | changes
        return super().replace(**changes)

    def __repr__(self) -> str:
        what = "energy and forces" if self.conservative else self.pooled or "each"
        groups = (" > " if is_chain(self.groups) else " + ").join(map(str, self.groups))
        return (
            f"ParticleNetwork({self.layout.places} x ({self.features or 'no features'}) -> {self.out} ({what}), "
            f"{groups}, hidden {', '.join(map(str, self.hidden))}, {self.size} weights)"
        )

    def _parts(self, x: Array) -> tuple[Array, Array, Array]:
        """Codes (..., N, 1), positions and features."""
        x, d = x.reshape((*x.shape[:-1], self.layout.places, self.layout.columns)), self.layout.dim
        return x[..., :1], x[..., 1 : 1 + d], x[..., 1 + d :]

    def _with_forces(self, params: Mapping[str, Array], x: Array) -> Array:
        codes, positions, features = self._parts(x.reshape((-1, x.shape[-1])))
        xp, lib = array_namespace(x), library_of(x, self.engines)[0]

        def energy(z: Array) -> Array:
            return self._pass(params, codes, z, features)

        forces = -lib.gradient(energy, positions)
        found = xp.concat([energy(positions), forces.reshape((forces.shape[0], -1))], axis=-1)
        return found.reshape((*x.shape[:-1], self.rep_out.size))

    def _outputs(self, params: Mapping[str, Array], x: Array) -> Array:
        f = self._pass(params, *self._parts(x.reshape((-1, x.shape[-1]))))
        return f.reshape((*x.shape[:-1], self.rep_out.size))

    def _pass(self, params: Mapping[str, Array], codes: Array, positions: Array, features: Array) -> Array:
        """For codes (n, N, 1), positions (n, N, d) and features (n, N, k): (n, out), or (n, N * out)."""
        xp = array_namespace(positions)
        known = fixed(self.layout.codes, positions)
        kinds = xp.astype(xp.abs(codes - known) < 0.5, positions.dtype)
        there = xp.astype(codes > 0.5, positions.dtype)
        h = linear(params, "embedding", xp.concat([kinds, features], axis=-1))
        if self.translation == "soft":
            h = h + positions @ xp.matrix_transpose(params["position.weight"])
        at = positions
        for k, (message, update, stays) in enumerate(zip(self._messages, self._updates, self._stays, strict=True)):
            if self.moving or k == 0:
                between, weights = self.edges(at, there[..., 0])
            ends = xp.concat([kinds, h], axis=-1)
            m = of_pairs(message, params, ends, between)
            m = xp.sum((weights * self.neighbors**-0.5)[..., None] * m, axis=2)
            u = update(params, xp.concat([h, m], axis=-1))
            h = (h + u) * 0.5**0.5 if stays else u
            if self.moving:
                at = at + 0.5 * self.edges.length * linear(params, f"moves.{k}", h)
        seen = [kinds, h, (at - positions) / self.edges.length] if self.moving else [kinds, h]
        f = there * linear(params, "output", xp.concat(seen, axis=-1))
        if not self.pooled:
            return f.reshape((f.shape[0], -1))
        total, count = xp.sum(f, axis=1), xp.sum(there, axis=1)
        return total if self.pooled == "sum" else total / xp.where(count > 0, count, xp.ones_like(count))
