"""Kernels of energies and forces: against derivatives of the averaged kernel, by JAX and by differences."""

import numpy as np
import pytest

from bayes_rpp import SO, Group, O, S, Scalar, Trivial, Vector, Z
from bayes_rpp.priors.kernels.averaged import AveragedKernel, Values
from bayes_rpp.priors.kernels.derivatives import DerivativeKernel
from bayes_rpp.priors.kernels.scalar import RBF, Matern52, Polynomial
from bayes_rpp.symmetry.averages import haar_average

KERNELS = [
    RBF(variance=0.7),
    Matern52(),
    Polynomial(1, offset=0.0),
    Polynomial(4),
    RBF(variance=0.7) + Polynomial(3, variance=0.1),
    (RBF() * Matern52() + Polynomial(2)) * Polynomial(1) + RBF(),
]
TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
GROUPS = [Z(3), Trivial(3), Group(3, discrete_generators=[TURN], name="quarter"), O(3)]
each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: "_".join(type(f).__name__ for f in k.leaves))


def made(kernel, group, rep_in, columns=None, energy=True, seed=0):
    before = rep_in(group)
    columns = np.arange(before.size) if columns is None else np.asarray(columns)
    rng = np.random.default_rng(seed)
    own, scales = [], []
    for _ in kernel.leaves:
        scale = np.ones(before.size)
        for places in before.types.values():
            scale[places] = rng.uniform(0.8, 2.0)
        scales.append(scale)
        own.append(rng.uniform(0.5, 1.5))
    average = haar_average(group)
    energies = AveragedKernel(kernel, before, lambda g: {0: np.ones((len(g), 1, 1))}, average)
    return DerivativeKernel(kernel, before.rho, columns, energy, average), energies, Values(scales, own), columns


def points(size, n=4, seed=1):
    return np.random.default_rng(seed).normal(size=(n, size))


def dense(kernel, group, rep_in, values, columns, x, z):
    """(n, d, m, d), by JAX, from the sum over the elements written out."""
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    elements, weights = haar_average(group).whole
    moving = rep_in(group).rho(elements)

    def scalar(kernel, a, b, scales, variances):
        if hasattr(kernel, "first"):
            k = len(kernel.first.leaves)
            one = scalar(kernel.first, a, b, scales[:k], variances[:k])
            other = scalar(kernel.second, a, b, scales[k:], variances[k:])
            return one + other if type(kernel).__name__ == "Sum" else one * other
        a, b = a / scales[0], b / scales[0]
        if isinstance(kernel, Polynomial):
            return variances[0] * (kernel.offset + a @ b) ** kernel.degree
        u = ((a - b) ** 2).sum()
        if isinstance(kernel, RBF):
            return variances[0] * jnp.exp(-0.5 * u)
        s = jnp.sqrt(5 * u)
        return variances[0] * (1 + s + s**2 / 3) * jnp.exp(-s)

    def energy(a, b):
        many = jax.vmap(lambda r: scalar(kernel, a, r @ b, values.lengthscales, values.variances))
        return weights @ many(moving)

    of = jax.jacrev(energy)
    four = [energy, jax.grad(energy, 1), of, jax.jacfwd(of, 1)]
    at_pairs = jax.jit(lambda x, z: [jax.vmap(jax.vmap(f, (None, 0)), (0, None))(x, z) for f in four])
    with jax.enable_x64(True):
        alone, to, of, both = at_pairs(x, z)
    d = 1 + len(columns)
    found = np.empty((len(x), d, len(z), d))
    found[:, 0, :, 0] = alone
    found[:, 0, :, 1:] = -np.asarray(to)[..., columns]
    found[:, 1:, :, 0] = -np.asarray(of)[..., columns].swapaxes(1, 2)
    found[:, 1:, :, 1:] = np.asarray(both)[..., columns[:, None], columns].transpose(0, 2, 1, 3)
    return found


@pytest.mark.parametrize(
    ("kernel", "group"),
    [*((k, GROUPS[0]) for k in KERNELS), *((KERNELS[-1], g) for g in GROUPS[1:3]), *((k, O(3)) for k in KERNELS[3:5])],
    ids=str,
)
def test_it_has_the_derivatives_of_the_average(kernel, group):
    rep = 2 * Vector + Scalar
    k, energies, values, columns = made(kernel, group, rep, columns=range(6))
    x, z = points(7), points(7, 3, seed=2)
    wanted, size = dense(kernel, group, rep, values, columns, x, z), k.diagonal(x, values)[0].max()
    found = k.cross(x, z, values)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-10 * size)
    np.testing.assert_allclose(found[:, :1, :, :1], energies.cross(x, z, values)[0], atol=1e-12 * size)
    own = k.own(x, values)[0]
    np.testing.assert_allclose(own, k.cross(x, x, values)[0], atol=1e-12 * size)
    np.testing.assert_allclose(k.diagonal(x, values)[0], np.einsum("iaib->iab", own), atol=1e-12 * size)
    flat = own.reshape(len(x) * 7, -1)
    assert np.linalg.eigvalsh(flat).min() > -1e-12 * np.trace(flat)
    alone, *_ = made(kernel, group, rep, columns=range(6), energy=False)
    np.testing.assert_allclose(alone.cross(x, z, values)[0], found[:, 1:, :, 1:], atol=1e-12 * size)


@pytest.mark.parametrize("group", [Z(3), S(3), SO(3)], ids=str)
def test_forces_turn_with_the_points(group):
    k, _, values, _ = made(RBF() + Polynomial(2), group, 2 * Vector, seed=2)
    values = Values([4 * s for s in values.lengthscales], values.variances)
    x, z, g = points(6), points(6, 3, seed=2), group.sample(1, 3)[0]
    rho = np.eye(7)
    rho[1:, 1:] = (2 * Vector)(group).rho(g)
    plain, moved = k.cross(x, z, values)[0], k.cross(x @ rho[1:, 1:].T, z, values)[0]
    np.testing.assert_allclose(moved, np.einsum("ab,nbmc->namc", rho, plain), atol=1e-6 if group == SO(3) else 1e-12)


@each_kernel
@pytest.mark.parametrize("group", [Z(3), SO(3)], ids=str)
@pytest.mark.parametrize("energy", [True, False])
def test_slopes_are_differences(kernel, group, energy):
    k, _, values, _ = made(kernel, group, Vector + Scalar, columns=range(3), energy=energy)
    x = points(4, 3)
    x[2] = x[1]  # where distances vanish
    d = 3 + energy
    weights = np.random.default_rng(3).normal(size=(3 * d, 3 * d))
    weights = (weights + weights.T).reshape(3, d, 3, d)
    slopes = k.slopes(x, values, {0: weights})

    def at(i, kind, columns, step):
        scales, variances = [s.copy() for s in values.lengthscales], list(values.variances)
        if kind == "variance":
            variances[i] *= np.exp(step)
        else:
            scales[i][columns] *= np.exp(step)
        return float(np.vdot(weights, k.own(x, Values(scales, variances))[0]))

    for i in range(len(kernel.leaves)):
        for kind, columns in (("variance", None), ("vector", slice(3)), ("scalar", slice(3, 4))):
            wanted = (at(i, kind, columns, 1e-5) - at(i, kind, columns, -1e-5)) / 2e-5
            found = slopes.variances[i] if kind == "variance" else slopes.lengthscales[i][columns].sum()
            assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6)
