"""A symmetry of an environment: how a group acts on its observations and on its actions.

Of a finite group the library's `Group` are the permutation matrices of its regular representation, so that `Vector` and
`Regular` are the same; `rep_state` and `rep_action` look up the matrices of an element. Of a rotation it is SO(2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, expm

from bayes_rpp._given import check_unmasked
from bayes_rpp._types import ArrayLike
from bayes_rpp.symmetry.exact import exact_generators
from bayes_rpp.symmetry.finite import list_elements
from bayes_rpp.symmetry.groups import SO, Group, Trivial
from bayes_rpp.symmetry.matrices import real_matrices
from bayes_rpp.symmetry.representations import Rep, Scalar

if TYPE_CHECKING:
    import gymnasium

Array = NDArray[np.float64]
Generators: TypeAlias = ArrayLike | Mapping[str, ArrayLike] | Sequence[Mapping[str, ArrayLike]]
MAX_ORDER = 200


class Symmetry:
    """How a group acts on the observations (length n_s) and the actions (length n_a) of an environment.

    Args:
        state, action: a generator each, or lists of as many: a table {"perm": [...], "signs": [...]}, by which
            (rho x)[i] = signs[i] x[perm[i]], with "signs" left out for all plus; or a square matrix.
        rotation: whether `state` and `action` are infinitesimal generators A instead, of exp(angle A), 2 pi-periodic.
        name, verdict, about: for tables; verdicts are "exact", "near-exact", "exact dynamics" and the like.
        env_id, env_kwargs: what `make` gives to gymnasium.make.
        state_names, action_names: of the coordinates.

    Attributes:
        group: a finite `Group` of permutation matrices, or SO(2).
        rep_state, rep_action: representations of it, for EMLP and other networks: sizes n_s and n_a.
        state_generators, action_generators: (k, n_s, n_s) and (k, n_a, n_a); of a rotation the one by a radian, whose
            powers come close to all.

    Raises:
        TypeError, ValueError: if a table is no permutation, signs are not 1 or -1, a matrix is not square or is
            singular, numbers of generators differ, or the group is infinite and no rotation.
    """

    def __init__(
        self,
        state: Generators,
        action: Generators,
        *,
        rotation: bool = False,
        name: str = "",
        verdict: str = "",
        about: str = "",
        env_id: str | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        state_names: Sequence[str] = (),
        action_names: Sequence[str] = (),
    ) -> None:
        self.name, self.verdict, self.about = name, verdict, about
        self.env_id, self.env_kwargs = env_id, dict(env_kwargs or {})
        s, a = generators(state, "state"), generators(action, "action")
        if len(s) != len(a):
            raise ValueError(f"action must have {len(s)} generators, as state has, got {len(a)}")
        self.n_state, self.n_action = s.shape[1], a.shape[1]
        self.state_names = _names(state_names, self.n_state, "state")
        self.action_names = _names(action_names, self.n_action, "action")
        self.rotation = bool(rotation)
        if self.rotation:
            self.group, of_state, of_action = _rotations(s, a)
            self.state_generators, self.action_generators = expm(s), expm(a)
        else:
            for what, matrices in (("state", s), ("action", a)):
                if any(np.linalg.cond(m) > 1e12 for m in matrices):
                    raise ValueError(f"{what} has a singular matrix; generators of a group must be invertible")
            self.group, of_state, of_action = _finite(s, a, name)
            self.state_generators, self.action_generators = s, a
        label = f"{env_id or 'environment'} {name or 'symmetry'}"
        self.rep_state = Rep.custom(of_state, name=f"state of {label}")
        self.rep_action = Rep.custom(of_action, name=f"action of {label}")

    @classmethod
    def trivial(cls, n_state: int, n_action: int) -> Symmetry:
        """The identity alone: every map is equivariant."""
        made = cls(np.eye(n_state), np.eye(n_action), name="trivial", verdict="exact")
        made.group, made.rep_state, made.rep_action = Trivial(1), n_state * Scalar, n_action * Scalar
        return made

    @property
    def order(self) -> int | None:
        """Number of elements; None of a rotation."""
        return None if self.rotation else len(self.group.elements)

    def matrices(self) -> tuple[Array, Array]:
        """All elements of a finite group on observations and actions: (order, n_s, n_s) and (order, n_a, n_a)."""
        g = self.group.elements
        return self.rep_state(self.group).rho(g), self.rep_action(self.group).rho(g)

    def sample(self, n: int, seed: int | np.random.Generator | None = None) -> tuple[Array, Array]:
        """n random elements, on observations and on actions: (n, n_s, n_s) and (n, n_a, n_a)."""
        g = self.group.sample(n, seed)
        return self.rep_state(self.group).rho(g), self.rep_action(self.group).rho(g)

    def make(self, **kwargs: Any) -> gymnasium.Env:
        """The environment with the observations that the symmetry is for; more keywords go to gymnasium.make.

        Raises:
            ImportError: without the extra `rl`.
            ValueError: if the symmetry has no env_id, or the environment has other sizes.
        """
        if self.env_id is None:
            raise ValueError(
                "env_id must be given to Symmetry for it to make an environment, got none; one that you make yourself "
                "would do"
            )
        env = gymnasium_module().make(self.env_id, **(self.env_kwargs | kwargs))
        self.check(env)
        return env

    def check(self, env: gymnasium.Env) -> None:
        """See that observations and actions have the symmetry's sizes.

        Raises:
            ValueError: naming both sizes.
        """
        spaces = (("observations", env.observation_space, self.n_state), ("actions", env.action_space, self.n_action))
        for what, space, size in spaces:
            if getattr(space, "shape", None) != (size,):
                hint = f" (made with {self.env_kwargs})" if self.env_kwargs and what == "observations" else ""
                raise ValueError(f"env must have {what} of size {size}, as {self.name!r} has, got {space}{hint}")

    def __repr__(self) -> str:
        where = f"{self.env_id} " if self.env_id else ""
        size = "SO(2)" if self.rotation else f"order {self.order}"
        return f"Symmetry({where}{self.name or 'unnamed'}, {size}, state {self.n_state}, action {self.n_action})"


def gymnasium_module() -> ModuleType:
    """The module, or an error that says how to get it."""
    try:
        import gymnasium
    except ImportError as error:
        raise ImportError("the environments need Gymnasium with MuJoCo: pip install 'bayes-rpp[rl]'") from error
    return gymnasium


def generators(value: Any, name: str) -> Array:
    """Tables and matrices as matrices, (k, n, n)."""
    if isinstance(value, Mapping):
        return _matrix(value, name)[None]
    if isinstance(value, Sequence) and len(value) and isinstance(value[0], Mapping):
        made = [_matrix(v, f"{name}[{k}]") for k, v in enumerate(value)]
        if len({m.shape for m in made}) > 1:
            raise ValueError(f"{name} must have tables of one length, got {[len(m) for m in made]}")
        return np.stack(made)
    check_unmasked(value, name)
    try:
        a = real_matrices(value, name)
    except ValueError as error:
        if error.__cause__ is None:  # complex
            raise
        raise TypeError(
            f"{name} must be a table {{'perm': [...], 'signs': [...]}}, a square matrix or a list of either, got what "
            "cannot be read"
        ) from error
    a = a[None] if a.ndim == 2 else a
    if a.ndim != 3 or a.shape[1] != a.shape[2] or not a.size or not np.isfinite(a).all():
        raise ValueError(f"{name} must be finite square matrices (k, n, n) or one (n, n), got shape {a.shape}")
    return a


def _matrix(table: Mapping[str, Any], name: str) -> Array:
    unknown = set(table) - {"perm", "signs"}
    if unknown or "perm" not in table:
        raise ValueError(f"{name} must have the keys 'perm' and 'signs', got {sorted(table)}")
    perm = np.asarray(table["perm"])
    n = perm.size
    if perm.ndim != 1 or not n or sorted(perm.tolist()) != list(range(n)):
        raise ValueError(f"{name}['perm'] must be each of 0 to {max(n - 1, 0)} once, got {perm.tolist()}")
    signs = np.asarray(table.get("signs", np.ones(n)), dtype=np.float64)
    if signs.shape != (n,) or not (np.abs(signs) == 1).all():
        raise ValueError(f"{name}['signs'] must be {n} numbers 1 or -1, got {signs.tolist()}")
    m = np.zeros((n, n))
    m[np.arange(n), perm.astype(int)] = signs
    return m


def _names(names: Sequence[str], size: int, what: str) -> tuple[str, ...]:
    if names and len(names) != size:
        raise ValueError(f"{what}_names must have {size} names, the size of {what}, got {len(names)}")
    return tuple(names)


class _Lookup:
    """The matrix of an element of a regular permutation group: the image of the first axis says which it is."""

    def __init__(self, matrices: Array) -> None:
        self.matrices = matrices

    def __call__(self, g: Array) -> Array:
        return np.asarray(self.matrices[int(np.argmax(g[:, 0]))])


class _Rotation:
    """exp(angle A) of the rotation of the plane by the angle."""

    def __init__(self, algebra: Array) -> None:
        self.algebra = algebra

    def __call__(self, g: Array) -> Array:
        return np.asarray(expm(math.atan2(g[1, 0], g[0, 0]) * self.algebra))


def _finite(s: Array, a: Array, name: str) -> tuple[Group, Callable[[Array], Array], Callable[[Array], Array]]:
    n = s.shape[1]
    h = np.array([block_diag(*pair) for pair in zip(s, a, strict=True)])
    h = exact_generators(h, np.zeros((0, *h.shape[1:])), "(state, action)", escape="")
    joint = Group(n + a.shape[1], discrete_generators=h, exact=True)
    elements = _elements(joint)
    m = len(elements)
    flat = elements.reshape(m, -1)
    permutations = np.zeros((len(s), m, m))
    for k, h in enumerate(joint.discrete_generators):
        images = np.abs(flat[None] - (h @ elements).reshape(m, 1, -1)).max(axis=2).argmin(axis=1)
        permutations[k, images, np.arange(m)] = 1
    group = Group(m, discrete_generators=permutations, name=f"{name or 'group'} (order {m})")
    return group, _Lookup(elements[:, :n, :n]), _Lookup(elements[:, n:, n:])


def _elements(joint: Group) -> Array:
    for k, h in enumerate(joint.discrete_generators):
        if list_elements(h[None], MAX_ORDER) is None:
            raise ValueError(
                f"generator {k} of state and action must have a power up to {MAX_ORDER} that is the identity, got "
                "none; a finite group, or rotation=True with the infinitesimal generators, would do"
            )
    found = list_elements(joint.discrete_generators, MAX_ORDER)
    if found is None:
        raise ValueError(f"state and action must generate a group of at most {MAX_ORDER} elements, got one of more")
    return found.matrices


def _rotations(s: Array, a: Array) -> tuple[Group, Callable[[Array], Array], Callable[[Array], Array]]:
    for what, matrices in (("state", s), ("action", a)):
        if len(matrices) != 1 or not np.allclose(expm(2 * np.pi * matrices[0]), np.eye(matrices.shape[1]), atol=1e-8):
            raise ValueError(f"{what} must be one generator of a rotation, a matrix A with exp(2 pi A) = 1")
    return SO(2), _Rotation(s[0]), _Rotation(a[0])
