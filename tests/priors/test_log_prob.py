"""Derivatives of the log density, which follow a rule of their own, against the dense formula; and its rounding."""

import numpy as np
import pytest

from bayes_rpp import EMLP, Group, O, ResidualPathway, Scalar, Vector
from bayes_rpp.networks import to_torch
from bayes_rpp.subspaces import DenseSubspace, EquivariantSubspace, NestedSubspace

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
torch = pytest.importorskip("torch")
forward_ad = pytest.importorskip("torch.autograd.forward_ad")
x64 = pytest.importorskip("bayes_rpp.engines.jax").x64

S = EquivariantSubspace((2 * Scalar + Vector)(O(3)), (Scalar + Vector)(O(3)))
ABOUT_Z = Group(3, [[[0, -1, 0], [1, 0, 0], [0, 0, 0]]], [np.diag([1.0, -1.0, 1.0])], name="O(2)")
CHAIN = NestedSubspace([S, EquivariantSubspace((2 * Scalar + Vector)(ABOUT_Z), (Scalar + Vector)(ABOUT_Z))])
CASES = {"one": (S, (1.3,)), "chain": (CHAIN, (1.3, 0.6))}
each_case = pytest.mark.parametrize(("subspace", "sigma_a"), CASES.values(), ids=list(CASES))


@pytest.fixture(autouse=True)
def float64():
    with x64():
        yield


def point(subspace, sigma_a):
    """sigmas and weights, in one vector."""
    return np.concatenate([[*sigma_a, 0.2], np.random.default_rng(0).normal(size=subspace.size)])


def ours(subspace, theta):
    k = len(subspace.levels)
    return ResidualPathway(subspace, tuple(theta[:k]), theta[k]).log_prob(theta[k + 1 :].reshape(subspace.shape))


def dense(subspace, theta, xp):
    k, n = len(subspace.levels), subspace.size
    projectors = [xp.asarray(s.basis() @ s.basis().T) for s in subspace.levels]
    covariance = theta[k] ** 2 * xp.asarray(np.eye(n))
    for sigma, p in zip(theta[:k], projectors, strict=True):
        covariance = covariance + sigma**2 * p
    w = theta[k + 1 :]
    return -0.5 * (w @ xp.linalg.solve(covariance, w) + xp.linalg.slogdet(covariance)[1] + n * np.log(2 * np.pi))


@each_case
def test_derivatives_in_jax(subspace, sigma_a):
    theta = jnp.asarray(point(subspace, sigma_a))
    slope, curvature = (jax.jit(d(lambda t: dense(subspace, t, jnp)))(theta) for d in (jax.grad, jax.hessian))
    twice_forward = lambda f: jax.jacfwd(jax.jacfwd(f))  # noqa: E731
    ways = ((jax.grad, slope), (jax.jacfwd, slope), (jax.hessian, curvature), (twice_forward, curvature))
    for derivative, want in ways:
        got = jax.jit(derivative(lambda t: ours(subspace, t)))(theta)
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8)


@each_case
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own, of its forward mode
@pytest.mark.parametrize("way", ["autograd", "functional", "forward"])
def test_derivatives_in_torch(subspace, sigma_a, way):
    theta = torch.tensor(point(subspace, sigma_a), dtype=torch.float64)

    def derivatives(f):
        if way == "functional":
            return torch.func.grad(f)(theta), torch.func.hessian(f)(theta), torch.func.jacfwd(f)(theta)
        if way == "autograd":
            at = theta.clone().requires_grad_()
            (slope,) = torch.autograd.grad(f(at), at, create_graph=True)
            return slope, torch.stack([torch.autograd.grad(g, at, retain_graph=True)[0] for g in slope])
        with forward_ad.dual_level():  # of a tensor that also wants to be differentiated backwards
            at = forward_ad.make_dual(theta.clone().requires_grad_(), torch.cos(theta))
            return (forward_ad.unpack_dual(f(at)).tangent,)

    found, wanted = (derivatives(f) for f in (lambda t: ours(subspace, t), lambda t: dense(subspace, t, torch)))
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got.detach(), want.detach(), rtol=1e-8, atol=1e-8)


@each_case
def test_derivatives_of_batches(subspace, sigma_a):
    w = np.random.default_rng(1).normal(size=(3, *subspace.shape))
    sigma_b = np.array([0.2, 0.3, 0.5])

    def by_torch(w, b):
        return ResidualPathway(subspace, sigma_a, b).pyro(validate_args=False).log_prob(w)

    def by_jax(w, b):
        return ResidualPathway(subspace, sigma_a, b).numpyro().log_prob(w)

    each = [ResidualPathway(subspace, sigma_a, float(b)) for b in sigma_b]
    want = [-p.whiten(p.whiten(row)) for p, row in zip(each, w, strict=True)]  # -covariance^-1 w
    leaf, b = torch.tensor(w, requires_grad=True), torch.tensor(sigma_b)
    (got,) = torch.autograd.grad(by_torch(leaf, b).sum(), leaf)
    by_vmap = torch.func.vmap(torch.func.grad(by_torch))(torch.tensor(w), b)
    in_jax = jax.grad(lambda w: by_jax(w, jnp.asarray(sigma_b)).sum())(jnp.asarray(w))
    in_vmap = jax.vmap(jax.grad(by_jax))(jnp.asarray(w), jnp.asarray(sigma_b))
    for found in (got, by_vmap, in_jax, in_vmap):
        np.testing.assert_allclose(np.asarray(found), want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sigma_b", [0.01, 0.001])
def test_rounding_stays_small_where_the_pathways_differ_by_orders(sigma_b):
    s = DenseSubspace((32, 32), np.random.default_rng(0).normal(size=(1024, 32)))
    prior = ResidualPathway(s, 1.0, sigma_b)
    w = prior.color(np.random.default_rng(1).normal(size=s.shape)).astype(np.float32)
    want = prior.log_prob(w.astype(np.float64))
    # |w|^2 - |Q^T w|^2 in place of |w - Q Q^T w|^2 would be off by 0.02 and 2.
    np.testing.assert_allclose(prior.log_prob(torch.tensor(w)), want, rtol=0, atol=0.01)
    np.testing.assert_allclose(prior.log_prob(jnp.asarray(w)), want, rtol=0, atol=0.01)


def test_what_a_transform_or_inference_mode_has_converted_is_not_used_outside():
    s = DenseSubspace((3, 2), np.random.default_rng(0).normal(size=(6, 2)))
    w = torch.randn(6, generator=torch.Generator().manual_seed(0)).reshape(3, 2)
    inside = torch.func.grad(lambda w: (s.project(w) ** 2).sum())(w)
    with torch.inference_mode():
        s.project(w)
    outside = w.clone().requires_grad_()
    (s.project(outside) ** 2).sum().backward()
    np.testing.assert_allclose(outside.grad, inside, rtol=1e-6)
    np.testing.assert_allclose(inside, 2 * s.project(w.numpy()), rtol=1e-5)
    np.testing.assert_allclose(s.project(w.double()), s.project(w.double().numpy()), rtol=1e-12)


def test_an_exported_module_leaves_nothing_behind():
    net = EMLP(Vector, Vector, O(3), channels=8, layers=1)
    rng = np.random.default_rng(0)
    params = {k: np.asarray(rng.normal(size=p.shape), dtype=np.float32) for k, p in net.parameters.items()}
    module, x = to_torch(net, params), torch.ones((5, 3))
    exported = torch.export.export(module, (x,)).module()
    np.testing.assert_allclose(module(x).detach(), exported(x).detach(), rtol=1e-5)
