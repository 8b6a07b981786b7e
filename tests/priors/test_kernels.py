"""Kernels of functions: their values, and averages over groups against sums written out."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bayes_rpp import SO, D, Group, O, Prior, Pseudoscalar, Regular, S, Scalar, T, Trivial, Vector, Z
from bayes_rpp.priors.kernels.averaged import AveragedKernel, Values
from bayes_rpp.priors.kernels.scalar import RBF, Matern52, Polynomial, kernel_from_config
from bayes_rpp.symmetry.averages import haar_average

TILT = Rotation.from_rotvec([0.7, -0.4, 0.2]).as_matrix()
TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]])
AXIS = Group(3, [TILT @ TURN @ TILT.T], name="tilted SO(2)")
KERNELS = [
    RBF(),
    Matern52(),
    Polynomial(3),
    Polynomial(1, offset=0.0),
    RBF(variance=0.7) + Polynomial(2, variance=0.1),
    RBF() * Matern52() + Polynomial(1) * RBF(),
]
REPS = (2 * Scalar + Vector, Vector + Scalar)
FINITE = [
    (Z(4), *REPS),
    (D(5), *REPS),
    (S(3), Vector + T(2), T(2)),
    (Z(3), Regular, Vector + Regular),
    (S(2) * D(3), Vector.on(0) + Vector.on(1), Vector.on(0) * Vector.on(1)),
    (Group(3, discrete_generators=[-np.eye(3)], name="inversion"), Vector + Pseudoscalar, T(2) + Vector),
    (Trivial(2), *REPS),
]
DOUBLED = [(S(6), Scalar + Vector, Vector), (SO(4), Scalar + Vector, Vector + Scalar), (SO(2) * S(6), Vector, Vector)]
COMPACT = [(SO(2), *REPS), (O(2), *REPS), (AXIS, *REPS), (SO(3), *REPS), (O(3), *REPS), (SO(2) * S(3), *REPS)]


def numbers(kernel, columns, scale=1.3):
    """Different for each leaf."""
    leaves = kernel.leaves
    return Values(
        [np.full(columns, scale * (1 + 0.3 * k)) for k in range(len(leaves))], [leaf.variance for leaf in leaves]
    )


def averaged(kernel, group, rep_in, rep_out, level=0):
    after = rep_out(group)
    return AveragedKernel(kernel, rep_in(group), lambda g: {0: after.rho(g)}, haar_average(group, level))


def scalar(kernel, a, b, values):
    """k(a, b) of single points, by the kernel's words."""
    if hasattr(kernel, "first"):
        k = len(kernel.first.leaves)
        first = Values(values.lengthscales[:k], values.variances[:k])
        rest = Values(values.lengthscales[k:], values.variances[k:])
        one, other = scalar(kernel.first, a, b, first), scalar(kernel.second, a, b, rest)
        return one + other if type(kernel).__name__ == "Sum" else one * other
    a, b, v = a / values.lengthscales[0], b / values.lengthscales[0], values.variances[0]
    r = np.linalg.norm(a - b)
    if isinstance(kernel, RBF):
        return v * np.exp(-(r**2) / 2)
    if isinstance(kernel, Matern52):
        return v * (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r)
    return v * (kernel.offset + a @ b) ** kernel.degree


def dense(kernel, x, z, before, after, elements, values):
    """(n, d, m, d): the mean over the elements of k(x, rho_in(g) z) rho_out(g), one by one."""
    found = np.zeros((len(x), after.size, len(z), after.size))
    for g in elements:
        moved, rho = z @ before.rho(g).T, after.rho(g)
        for i, a in enumerate(x):
            for j, b in enumerate(moved):
                found[i, :, j] += scalar(kernel, a, b, values) * rho / len(elements)
    return found


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: "_".join(type(leaf).__name__ for leaf in k.leaves))
@pytest.mark.parametrize(("group", "rep_in", "rep_out"), FINITE[:2], ids=str)
def test_each_kernel_is_the_mean_over_a_finite_group(kernel, group, rep_in, rep_out):
    check_dense(kernel, group, rep_in, rep_out)


@pytest.mark.parametrize(("group", "rep_in", "rep_out"), FINITE[2:], ids=str)
def test_the_kernel_is_the_mean_over_each_finite_group(group, rep_in, rep_out):
    check_dense(RBF() + Polynomial(2, variance=0.2), group, rep_in, rep_out)


def check_dense(kernel, group, rep_in, rep_out):
    rng = np.random.default_rng(0)
    before, after = rep_in(group), rep_out(group)
    x, z = rng.normal(size=(5, before.size)), rng.normal(size=(4, before.size))
    k, values = averaged(kernel, group, rep_in, rep_out), numbers(kernel, before.size)
    cross = dense(kernel, x, z, before, after, group.elements, values)
    own = dense(kernel, x, x, before, after, group.elements, values)
    size = np.abs(own).max()
    np.testing.assert_allclose(k.cross(x, z, values)[0], cross, atol=1e-12 * size)
    np.testing.assert_allclose(k.own(x, values)[0], own, atol=1e-12 * size)
    np.testing.assert_allclose(k.diagonal(x, values)[0], np.einsum("iaib->iab", own), atol=1e-12 * size)


@pytest.mark.parametrize("kernel", KERNELS[::2], ids=lambda k: "_".join(type(leaf).__name__ for leaf in k.leaves))
@pytest.mark.parametrize(("group", "rep_in", "rep_out"), [*FINITE[:6], *COMPACT], ids=str)
def test_the_kernel_moves_with_both_its_points(kernel, group, rep_in, rep_out):
    """K(gx, hz) = rho(g) K(x, z) rho(h)^T."""
    rng = np.random.default_rng(1)
    before, after = rep_in(group), rep_out(group)
    x, z = 0.7 * rng.normal(size=(6, before.size)), 0.7 * rng.normal(size=(5, before.size))
    k, values = averaged(kernel, group, rep_in, rep_out, 1), numbers(kernel, before.size)
    plain = k.cross(x, z, values)[0]
    in_space = group.dim == 3 and len(group.lie_algebra) == 3 and any(leaf.stationary for leaf in kernel.leaves)
    tolerance = (2e-3 if in_space else 1e-8) * np.abs(k.own(x, values)[0]).max()
    for g, h in zip(group.sample(3, 2), group.sample(3, 3), strict=True):
        moved = k.cross(x @ before.rho(g).T, z @ before.rho(h).T, values)[0]
        wanted = np.einsum("ab,nbmc,dc->namd", after.rho(g), plain, after.rho(h))
        np.testing.assert_allclose(moved, wanted, atol=tolerance)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: "_".join(type(leaf).__name__ for leaf in k.leaves))
@pytest.mark.parametrize(
    ("group", "rep_in", "rep_out"), [FINITE[1], FINITE[4], COMPACT[0], COMPACT[4], *DOUBLED[:2]], ids=str
)
def test_every_kernel_is_positive(kernel, group, rep_in, rep_out):
    check_positive(kernel, group, rep_in, rep_out, 12)


def test_a_product_of_drawn_elements_is_positive():
    check_positive(RBF(), *DOUBLED[2], 3)


def check_positive(kernel, group, rep_in, rep_out, n):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(n, rep_in(group).size))
    x[1], x[2] = x[0], rep_in(group).rho(group.sample(1, 0)[0]) @ x[0]  # the same point, and its image
    k, values = averaged(kernel, group, rep_in, rep_out), numbers(kernel, x.shape[1])
    own = k.own(x, values)[0]
    flat = own.reshape(len(x) * own.shape[1], -1)
    np.testing.assert_array_equal(flat, flat.T)
    assert np.linalg.eigvalsh(flat).min() > -1e-12 * np.linalg.eigvalsh(flat).max()
    np.testing.assert_allclose(k.cross(x, x, values)[0], own, atol=1e-12 * np.abs(own).max())
    np.testing.assert_allclose(k.diagonal(x, values)[0], np.einsum("iaib->iab", own), atol=1e-12 * np.abs(own).max())


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: "_".join(type(leaf).__name__ for leaf in k.leaves))
@pytest.mark.parametrize(
    ("group", "rep_in", "rep_out"), [(D(3), *REPS), (SO(3), *REPS), (S(6), Vector, Vector)], ids=str
)
def test_slopes_are_those_of_differences(kernel, group, rep_in, rep_out):
    rng = np.random.default_rng(3)
    before, after = rep_in(group), rep_out(group)
    x = rng.normal(size=(4, before.size))
    w = rng.normal(size=(len(x) * after.size,) * 2)
    weights = (w + w.T).reshape(len(x), after.size, len(x), after.size)
    k, values = averaged(kernel, group, rep_in, rep_out), numbers(kernel, before.size)
    slopes = k.slopes(x, values, {0: weights})
    columns = {"fixed": [0], "moving": [c for c in range(before.size) if c > (1 if rep_in is REPS[0] else -1)]}

    def total(leaf, which, step):
        scales, variances = [s.copy() for s in values.lengthscales], list(values.variances)
        if which == "variance":
            variances[leaf] *= np.exp(step)
        else:
            scales[leaf][columns[which]] *= np.exp(step)
        return float(np.vdot(weights, k.own(x, Values(scales, variances))[0]))

    for leaf in range(len(kernel.leaves)):
        for which in ("moving", "variance", *(("fixed",) if rep_in is REPS[0] else ())):
            found = slopes.variances[leaf] if which == "variance" else slopes.lengthscales[leaf][columns[which]].sum()
            wanted = (total(leaf, which, 1e-5) - total(leaf, which, -1e-5)) / 2e-5
            assert found == pytest.approx(wanted, rel=1e-6, abs=1e-7 * np.abs(weights).sum())


@pytest.mark.parametrize(
    "kernel", [*KERNELS, RBF(lengthscale={"Vector": 2.0, "Scalar": Prior("LogNormal", {"loc": 0.0, "scale": 1.0})})]
)
def test_a_kernel_is_read_back(kernel):
    assert kernel_from_config(kernel.config()) == kernel


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: RBF(lengthscale=0.0), ValueError, "lengthscale must be a number > 0, got 0.0; 1.0 would do"),
        (lambda: RBF(lengthscale=np.nan), ValueError, "lengthscale must be a number > 0"),
        (lambda: RBF(lengthscale={"Vector": -1.0}), ValueError, r"lengthscale\['Vector'\] must be a number > 0"),
        (lambda: RBF(variance="big"), TypeError, "variance must be .*got 'big'"),
        (lambda: Matern52(lengthscale=[1.0, 2.0]), TypeError, "lengthscale must be"),
        (lambda: Polynomial(0), ValueError, "degree"),
        (lambda: Polynomial(1.5), (TypeError, ValueError), "degree"),
        (lambda: Polynomial(2, offset=-1.0), ValueError, "offset"),
        (lambda: Polynomial(2, offset=[1.0, 2.0]), TypeError, "offset"),
        (lambda: RBF() + 1.0, TypeError, "unsupported operand"),
    ],
)
def test_bad_numbers_are_named(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
