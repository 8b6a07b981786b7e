"""Whether a strictly equivariant network can be every simple equivariant function: of degree two in its inputs.

Strict networks at random weights span a space of functions. At a few points, some of which differ in the inputs of one
type alone, its values are set beside those of all equivariant polynomials of degree two: what lies outside their span
the network cannot be, whatever it is trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from itertools import product as cartesian

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.networks.network import Network
from bayes_rpp.networks.products import hom_rank
from bayes_rpp.symmetry.representations import Representation, Term, term_name
from bayes_rpp.symmetry.solver import term_basis

LARGEST = 1_000_000  # entries of a basis of maps
CHOICES = 12  # of copies of two types, at most
OUTPUTS = 200  # numbers that functions are compared by: more are mixed at random
FOUND = 1e-3  # of a polynomial's length, outside of the network's span
RANK = 1e-11  # of the largest singular value
ROUNDING = 1e-10  # of values of polynomials of features of size 1
DEAD = 1e-9  # of the outputs' size


@dataclass(frozen=True)
class Capacity:
    """What strictly equivariant weights of a network cannot do that equivariant polynomials of degree two do.

    Attributes:
        missing: maps between types, in words, such as "Vector and Vector to T(2)".
        dead_inputs: types of the input that no output depends on.
        zero_outputs: types of the output that are always zero.
        unchecked: maps between types that were too large to look at.
        rank, wanted: of the polynomials' values at the probed points, within the network's span and in all.
    """

    missing: tuple[str, ...] = ()
    dead_inputs: tuple[str, ...] = ()
    zero_outputs: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    rank: int = 0
    wanted: int = field(default=0, compare=False)

    @property
    def is_full(self) -> bool:
        return not self.missing

    def __str__(self) -> str:
        if self.is_full:
            rest = f", as far as looked at: not at {', '.join(self.unchecked[:4])}" if self.unchecked else ""
            return f"the strict network can be any equivariant function of degree two{rest}"
        parts = []
        if self.zero_outputs:
            parts.append(f"its outputs {', '.join(self.zero_outputs)} are always zero")
        if self.dead_inputs:
            parts.append(f"the inputs {', '.join(self.dead_inputs)} never reach an output")
        some = ", ".join(self.missing[:4]) + (", ..." if len(self.missing) > 4 else "")
        parts.append(f"it lacks {some}")
        return f"the strict network cannot carry all equivariant functions: {'; '.join(parts)}"


def capacity(net: Network, seed: int = 0) -> Capacity:
    """Probe a network at strict random weights (sigma_b = 0).

    Args:
        net: any network; one whose layers are all linear is compared with equivariant linear maps.
        seed: of points and weights.

    Returns:
        Capacity, whose `str` says what is missing.
    """
    rng = np.random.default_rng(seed)
    points, moved = _points(net.rep_in, rng)
    degree = 1 if set(net.parameters) <= {"output.weight", "output.bias"} else 2
    names, wanted, unchecked = [], [], []
    for name, values in polynomials(net.rep_in, net.rep_out, points, degree, rng):
        if values is None:
            unchecked.append(name)
            continue
        norm = np.linalg.norm(values)
        if norm > ROUNDING:  # antisymmetric maps of a copy and itself vanish
            names.append(name)
            wanted.append(values.ravel() / norm)
    if not wanted:
        return Capacity(unchecked=tuple(unchecked))
    p = np.array(wanted)
    width = p.shape[1]
    mix = np.eye(width) if width <= OUTPUTS else rng.normal(size=(width, OUTPUTS)) / np.sqrt(OUTPUTS)
    draws = np.array([np.ravel(net(strict_weights(net, rng), points)) for _ in range(mix.shape[1] + 10)])
    outputs = draws.reshape(len(draws), len(points), -1)
    _, s, v = np.linalg.svd(draws @ mix, full_matrices=False)
    span = v[s > RANK * max(s.max(initial=0.0), 1e-300)]
    mixed = p @ mix
    outside = np.linalg.norm(mixed - mixed @ span.T @ span, axis=1) > FOUND
    missing = tuple(dict.fromkeys(name for name, bad in zip(names, outside, strict=True) if bad))
    ranks = [int(np.linalg.matrix_rank(m, tol=1e-6)) for m in (mixed @ span.T @ span, mixed)]
    dead, zero = _dead(net, outputs, p.reshape(len(p), len(points), -1), moved)
    return Capacity(missing, dead, zero, tuple(unchecked), *ranks)


def _points(rep: Representation, rng: np.random.Generator) -> tuple[NDArray, list[Term]]:
    """A point, another, and for each type of the input one that differs from the first in that type alone."""
    base = rng.normal(size=rep.size)
    points, moved = [base, rng.normal(size=rep.size)], []
    for term, where in rep.types.items():
        point = base.copy()
        point[where.ravel()] = rng.normal(size=where.size)
        points.append(point)
        moved.append(term)
    return np.array(points), moved


def strict_weights(net: Network, rng: np.random.Generator) -> dict[str, NDArray]:
    """Random weights within the most symmetric subspaces, as with sigma_b = 0, of about the scale that keeps the
    variance of the signal."""
    params = {}
    for name, parameter in net.parameters.items():
        inside = parameter.subspace.levels[0]
        scale = np.sqrt(parameter.subspace.rows / inside.rank) if inside.rank else 0.0
        params[name] = inside.decode(scale * rng.normal(size=inside.rank)).reshape(parameter.shape)
    return params


def polynomials(
    rep_in: Representation, rep_out: Representation, x: NDArray, degree: int, rng: np.random.Generator
) -> Iterator[tuple[str, NDArray | None]]:
    """(name, values (n, rep_out.size)) of a basis of the equivariant polynomials; of many copies some at random, and
    None for those that are too large. Outputs that have none up to the degree have those of the next."""
    group, n = rep_in.group, len(x)
    features = {term: x[:, where] for term, where in rep_in.types.items()}  # (n, copies, size)
    for out, where in rep_out.types.items():
        any_yet = False
        for k in range(degree + 2):
            if k == degree + 1 and any_yet:
                break
            for terms in combinations_with_replacement(features, k):
                factors = tuple(f for t in terms for f in t)
                name = f"{' and '.join(map(term_name, terms)) or 'constants'} to {term_name(out)}"
                rank = hom_rank(group, factors, (), out)
                size = where.shape[1] * int(np.prod([features[t].shape[2] for t in terms]))
                if rank is None or rank * size > LARGEST:
                    yield name, None
                    continue
                if not rank:
                    continue
                q = term_basis(group, out, factors)
                for made in _values(q, [features[t] for t in terms], n, rng):
                    any_yet = True
                    values = np.zeros((n, rep_out.size))
                    values[:, where[rng.integers(len(where))]] = made
                    yield name, values


def _values(q: NDArray, features: list[NDArray], n: int, rng: np.random.Generator) -> Iterator[NDArray]:
    """(n, d_out) of each map of a basis, for choices of copies."""
    copies = list(cartesian(*[range(f.shape[1]) for f in features]))
    if len(copies) > CHOICES:
        copies = [copies[k] for k in rng.choice(len(copies), CHOICES, replace=False)]
    for chosen in copies:
        outer = np.ones((n, 1))
        for f, c in zip(features, chosen, strict=True):
            outer = (outer[:, :, None] * f[:, c][:, None, :]).reshape(n, -1)
        yield from np.moveaxis(np.tensordot(outer, q.reshape(-1, outer.shape[1], q.shape[1]), (1, 1)), 2, 0)


def _dead(
    net: Network, outputs: NDArray, wanted: NDArray, moved: list[Term]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Types of the input that the draws (draws, points, d_out) do not depend on though the polynomials do, and types of
    the output that are zero in them though not in the polynomials."""
    dead = []
    size = np.abs(outputs).max(initial=0.0)
    for k, term in enumerate(moved):
        changes = [np.abs(f[:, k + 2] - f[:, 0]).max(initial=0.0) for f in (outputs, wanted)]
        if changes[0] <= DEAD * size and changes[1] > DEAD:
            dead.append(term_name(term))
    zero = []
    for term, where in net.rep_out.types.items():
        largest = [np.abs(f[..., where]).max(initial=0.0) for f in (outputs, wanted)]
        if largest[0] <= DEAD * max(size, 1e-300) and largest[1] > 0:
            zero.append(term_name(term))
    return tuple(dead), tuple(zero)
