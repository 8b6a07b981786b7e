"""Infinitesimal actions among which symmetries are searched: pairs of matrices, on the inputs and on the outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.symmetry.discovery.algebra import antisymmetric
from bayes_rpp.symmetry.groups import Group, Trivial
from bayes_rpp.symmetry.parse import parse_group, parse_rep
from bayes_rpp.symmetry.representations import Rep, Representation, bind_rep

Array = NDArray[np.float64]
LARGEST = 1200  # columns, up to which the dimension of the base space is looked for
SEARCHED = 400  # directions
LARGE = 7  # dimension of a space whose coordinate planes are tried
ABSENT = 1e-3  # of the size of what the data have


@dataclass(frozen=True)
class Actions:
    """A basis of the directions, x -> x + t A_in x with f -> f + t A_out f.

    Attributes:
        base: (K, n, n) matrices on the space that the group acts on, whose representations the others are; of columns
            whose representation is not known, the blocks A_in and A_out on R^(d_in + d_out).
        inputs: (K, d_in, d_in); outputs: (K, d_out, d_out).
        kinds: (d_in,) numbers from 0 of the columns of x that share a lengthscale.
        fixed: (d_out,) whether no direction moves an output, which may have a mean then.
        families: name -> (F, K) orthonormal coordinates of a subspace that is searched by itself, as it has fewer
            directions: rotations, scalings of each coordinate, all.
        wholes: name -> (k, K) coordinates of algebras that are tried as they are.
        rep_in, rep_out: those that were given, or None.
    """

    base: Array
    inputs: Array
    outputs: Array
    kinds: NDArray[np.int_]
    fixed: NDArray[np.bool_]
    families: dict[str, Array]
    wholes: dict[str, Array]
    rep_in: Rep | None = None
    rep_out: Rep | None = None

    @property
    def are_known(self) -> bool:
        """Whether there are representations."""
        return self.rep_in is not None

    def __len__(self) -> int:
        return len(self.base)

    def coordinates(self, matrices: Array) -> Array:
        """(k, K) coordinates of matrices (k, n, n), or of their parts along these directions."""
        return np.asarray(matrices.reshape(len(matrices), -1) @ self._inverse)

    @cached_property
    def _inverse(self) -> Array:
        return np.asarray(np.linalg.pinv(self.base.reshape(len(self), -1)))

    def excited(self, x: Array, y: Array) -> Array:
        """(r, K) orthonormal coordinates of directions that move data (n, d_in) or (n, d_out) and lead to where other
        x are: of those that leave the space that x spans, or of columns that are zero, the data say nothing."""
        moved, turned = np.einsum("kij,nj->kni", self.inputs, x), np.einsum("kab,nb->kna", self.outputs, y)
        _, s, vt = np.linalg.svd(x, full_matrices=False)
        span = vt[s > ABSENT * s.max(initial=1e-300)]
        away = (moved - moved @ span.T @ span).reshape(len(self), -1)
        _, s, vt = np.linalg.svd(away.T, full_matrices=len(self) > away.shape[1])
        size = np.linalg.norm(moved) / np.sqrt(len(self))
        inside = vt[np.concatenate([s, np.zeros(len(vt) - len(s))]) <= ABSENT * size]
        acting = np.concatenate([moved.reshape(len(self), -1), turned.reshape(len(self), -1)], axis=1)
        u, s, _ = np.linalg.svd(inside @ acting, full_matrices=False)
        return np.asarray(u[:, s > ABSENT * s.max(initial=1e-300)].T @ inside)

    def limited(self, rows: Array) -> Actions:
        """With families and wholes inside of some directions (r, K) alone."""
        if len(rows) == len(self):
            return self
        families = {}
        for name, family in self.families.items():
            _, s, vt = np.linalg.svd(rows @ family.T, full_matrices=False)
            if len(inside := vt[s > 1 - ABSENT] @ family) or name == "all":
                families[name] = inside
        wholes = {n: w for n, w in self.wholes.items() if np.linalg.norm(w - w @ rows.T @ rows) < ABSENT}
        return replace(self, families=families, wholes=wholes)


def choose_actions(
    rep_in: Rep | str | None,
    rep_out: Rep | str | None,
    within: Group | str | None,
    d_in: int,
    d_out: int,
    n: int | None = None,
) -> Actions:
    """Those of representations, or of text for them, or of columns as they are without any.

    Args:
        d_in, d_out: columns of x and y.
        n: dimension of the matrices, where the representations leave it open.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    rep_in, rep_out = _rep(rep_in, "rep_in"), _rep(rep_out, "rep_out")
    within = parse_group(within) if isinstance(within, str) else within
    if not isinstance(within, Group | None):
        raise TypeError(f"within must be a Group, got {within!r}; SO(3), or None for all of gl(n), would do")
    if (rep_in is None) != (rep_out is None):
        missing, given = ("rep_in", "rep_out") if rep_in is None else ("rep_out", "rep_in")
        raise ValueError(f"{missing} must be given where {given} is, got None; without both, all matrices are tried")
    if rep_in is None or rep_out is None:
        if within is not None:
            raise ValueError(f"within must be None without rep_in and rep_out, got {within}")
        return column_actions(d_in, d_out)
    n = within.dim if within is not None else n or base_dimension(rep_in, rep_out, d_in, d_out)
    actions = known_actions(rep_in, rep_out, n, within)
    sizes = actions.inputs.shape[1], actions.outputs.shape[1]
    if sizes != (d_in, d_out):
        raise ValueError(
            f"rep_in and rep_out must fit the {d_in} columns of x and the {d_out} of y for matrices on R^{n}, got "
            f"sizes {sizes[0]} and {sizes[1]}"
        )
    return actions


def _rep(given: Rep | str | None, name: str) -> Rep | None:
    if isinstance(given, str):
        try:
            return parse_rep(given)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    if isinstance(given, Representation):
        raise TypeError(f"{name} must be of any group, got {given}, which is of one; {given.rep} would do")
    if not isinstance(given, Rep | None):
        raise TypeError(f"{name} must be a representation, got {given!r}; Vector would do")
    return given


def base_dimension(rep_in: Rep, rep_out: Rep, d_in: int, d_out: int) -> int:
    """n of R^n with rep_in of size d_in and rep_out of size d_out.

    Raises:
        ValueError: if there is none, or more than one.
    """
    found = []
    for n in range(1, LARGEST if d_in > 1 else 2):
        try:
            size_in, size_out = rep_in(Trivial(n)).size, rep_out(Trivial(n)).size
        except ValueError as error:
            raise ValueError(f"within must be given for rep_in {rep_in} and rep_out {rep_out}: {error}") from error
        if size_in > d_in or size_out > d_out:
            break
        if (size_in, size_out) == (d_in, d_out):
            found.append(n)
            if len(found) > 1:
                break
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"rep_in must have a size that depends on the dimension of the group, got {rep_in}; without rep_in and "
            "rep_out, the columns are taken as they are"
        )
    raise ValueError(
        f"rep_in and rep_out must fit the {d_in} columns of x and the {d_out} of y for some dimension, got {rep_in} "
        f"and {rep_out}; for positions and forces in space, three columns each, Vector and Vector would do"
    )


def known_actions(rep_in: Rep, rep_out: Rep, n: int, within: Group | None) -> Actions:
    """Those of gl(n), or of the Lie algebra of a group, by representations.

    Raises:
        ValueError: if the group has no Lie algebra, or the representations don't fit it.
    """
    space = Trivial(n) if within is None else within
    bound_in, bound_out = bind_rep(rep_in, space, "rep_in"), bind_rep(rep_out, space, "rep_out")
    if within is not None and not len(within.lie_algebra):
        raise ValueError(f"within must have a Lie algebra, got {within}; SO(3), or None for all of gl(n), would do")
    base = np.eye(n * n).reshape(-1, n, n) if within is None else np.asarray(within.lie_algebra, dtype=np.float64)
    base = base / np.linalg.norm(base, axis=(1, 2), keepdims=True)
    inputs, outputs = bound_in.drho(base), bound_out.drho(base)
    kinds = np.concatenate(
        [
            np.repeat(i, b.count * b.size) if b.term else i + np.arange(b.count) / b.count
            for i, b in enumerate(bound_in.blocks)
        ]
    )
    coordinates = base.reshape(len(base), -1)
    families = {"all": np.eye(len(base))}
    wholes: dict[str, Array] = {}
    for name, family in _standard(n).items():
        rows = family.reshape(len(family), -1) @ np.linalg.pinv(coordinates)
        if len(rows) and np.allclose(rows @ coordinates, family.reshape(len(family), -1)):
            rows = np.linalg.qr(rows.T)[0].T
            if name in ("rotations", "scalings") and 1 < len(rows) < len(base):
                families = {name: rows} | families
            if name != "scalings" or len(rows) == 1:
                wholes[name] = rows
    return Actions(
        base,
        inputs,
        outputs,
        np.unique(kinds, return_inverse=True)[1],
        np.logical_not(np.abs(outputs).any(axis=(0, 2))),
        families,
        wholes,
        rep_in,
        rep_out,
    )


def column_actions(d_in: int, d_out: int) -> Actions:
    """All of gl(d_in) with all of gl(d_out), of columns as they are.

    Raises:
        ValueError: if there are too many columns.
    """
    if d_in**2 + d_out**2 > SEARCHED:
        raise ValueError(
            f"rep_in and rep_out must be given for {d_in} columns of x and {d_out} of y, as without them "
            f"{d_in**2 + d_out**2} directions, more than {SEARCHED}, are to be told apart; `discrete=True` alone, or "
            "fewer columns, would do"
        )
    n = d_in + d_out
    places = [(i, j) for i in range(d_in) for j in range(d_in)]
    places += [(d_in + i, d_in + j) for i in range(d_out) for j in range(d_out)]
    base = np.zeros((len(places), n, n))
    base[np.arange(len(places)), [i for i, _ in places], [j for _, j in places]] = 1.0
    flat = base.reshape(len(base), -1)
    skew = antisymmetric(n)
    kept = skew[np.abs(skew.reshape(len(skew), -1) @ flat.T).sum(axis=1) > 0.1]
    diagonal = np.stack([np.diag(e) for e in np.eye(n)])
    families = {"rotations": kept, "scalings": diagonal}
    rows = {name: family.reshape(len(family), -1) @ flat.T for name, family in families.items() if len(family)}
    return Actions(
        base,
        base[:, :d_in, :d_in],
        base[:, d_in:, d_in:],
        np.arange(d_in),
        np.zeros(d_out, dtype=bool),
        {name: r / np.linalg.norm(r, axis=1, keepdims=True) for name, r in rows.items()} | {"all": np.eye(len(base))},
        {},
    )


def _standard(n: int) -> dict[str, Array]:
    """Algebras with a name, in coordinates as they are."""
    skew = antisymmetric(n)
    found = {"rotations": skew, "scalings": np.stack([np.diag(e) for e in np.eye(n)]), "scaling": np.eye(n)[None]}
    if 2 < n < LARGE:
        pairs = np.array(list(combinations(range(n), 2)))
        found |= {f"turns of {i} and {j}": a[None] for (i, j), a in zip(pairs, skew, strict=True)}
        if n > 3:
            apart = np.isin(pairs[:, 0], range(0, n - 1, 2)) & (pairs[:, 1] == pairs[:, 0] + 1)
            found["turns of pairs"] = skew[apart]
    if n > 1:
        found |= {f"boosts of {i}": _preserving(n, i) for i in range(n if n > 2 else 1)}
        traceless = np.eye(n * n).reshape(-1, n, n)
        traceless = traceless - np.trace(traceless, axis1=1, axis2=2)[:, None, None] * np.eye(n) / n
        if n < LARGE:
            found["volumes"] = np.linalg.svd(traceless.reshape(n * n, -1))[2][: n * n - 1].reshape(-1, n, n)
        found["rotations and scaling"] = np.concatenate([skew, np.eye(n)[None]])
    return found


def _preserving(n: int, time: int) -> Array:
    """The Lorentz algebra with one column as the time."""
    metric = np.ones(n)
    metric[time] = -1
    return metric[:, None] * antisymmetric(n)
