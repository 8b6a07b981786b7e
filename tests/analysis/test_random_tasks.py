"""compare_symmetries on random tasks that have a symmetry exactly, and on the same ones broken by half of y's size."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import SO, D, Lorentz, O, Pseudoscalar, S, Scalar, T, Trivial, Vector, Z
from bayes_rpp.networks.polynomials import polynomials

V0, V1 = Vector.on(0), Vector.on(1)
# (group, types of inputs, types of outputs)
POOL = [
    (O(3), [Scalar, Vector, T(2)], [Scalar, Vector, T(2), Pseudoscalar * Vector]),
    (SO(3), [Scalar, Vector], [Scalar, Vector, T(2)]),
    (SO(2) * Trivial(1), [Scalar, Vector], [Scalar, Vector]),
    (S(4), [Scalar, Vector], [Scalar, Vector]),
    (D(4), [Scalar, Vector, Pseudoscalar], [Vector, Pseudoscalar, T(2)]),
    (Z(3), [Vector, Scalar], [Vector]),
    (S(3) * O(2), [V0, V1, V0 * V1], [Scalar, V1, V0]),
    (Lorentz(), [Vector, Scalar], [Vector, Scalar]),
]
NUMBERS, FEWEST = 160, 40  # numbers y, and examples: fewer do not tell a quadratic function that breaks it from noise
NOISE, BROKEN = 0.05, 0.5
SEEDS = 20


def task(seed):
    """(group, rep_in, rep_out, x, y, broken, noise), y a random equivariant polynomial of degree two."""
    rng = np.random.default_rng([77, seed])
    group, inputs, outputs = POOL[seed % len(POOL)]
    while True:
        rep_in = None
        for _ in range(rng.integers(1, 3)):
            part = int(rng.integers(1, 3)) * inputs[rng.integers(len(inputs))]
            rep_in = part if rep_in is None else rep_in + part
        rep_out = outputs[rng.integers(len(outputs))]
        if not 2 <= rep_in(group).size <= 10:
            continue
        n = max(FEWEST, NUMBERS // rep_out(group).size)
        x = rng.normal(size=(n, rep_in(group).size))
        values = [v for _, v in polynomials(rep_in(group), rep_out(group), x, 2, rng) if v is not None]
        values = [v / np.sqrt((v**2).mean()) for v in values if (v**2).mean() > 1e-12]
        moves = any(term for rep in (rep_in, rep_out) for term in rep(group).types)
        if values and moves:
            y = sum(c * v for c, v in zip(rng.normal(size=len(values)), values, strict=True))
            if np.std(y) > 0.1:
                break
    a, b = rng.normal(size=(2, x.shape[1], y.shape[1])) / np.sqrt(x.shape[1])
    broken = x @ a + (x @ b) ** 2 - 1
    y, broken = (v / np.sqrt((v**2).mean()) for v in (y, broken))
    return group, rep_in, rep_out, x, y, broken, NOISE * rng.normal(size=y.shape)


def verdict(seed, size):
    group, rep_in, rep_out, x, y, broken, noise = task(seed)
    groups = {"none": Trivial(group.dim), "group": group}
    return rpp.compare_symmetries(
        x,
        y + size * broken + noise,
        groups,
        rep_in=rep_in,
        rep_out=rep_out,
        models="networks",
        seed=seed,
        engine="pyro",
        progress=False,
    )


@pytest.mark.slow
def test_exact_symmetries_hold():
    """Some 40 CPU seconds a seed."""
    held = [verdict(seed, 0.0).best == "group" for seed in range(SEEDS)]
    assert sum(held) >= 0.95 * SEEDS, held


@pytest.mark.slow
def test_broken_symmetries_do_not_hold():
    assert not any(verdict(seed, BROKEN).best == "group" for seed in range(SEEDS))
