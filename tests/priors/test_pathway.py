"""The prior against the dense multivariate normal, in numpy, Pyro and NumPyro."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bayes_rpp import Group, O, ResidualPathway, Scalar, Vector
from bayes_rpp.engines.base import get_engine
from bayes_rpp.priors.parametrization import get_parametrization
from bayes_rpp.subspaces import EquivariantSubspace, FullSubspace, NestedSubspace, ZeroSubspace

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
numpyro = pytest.importorskip("numpyro")
pyro = pytest.importorskip("pyro")
torch = pytest.importorskip("torch")
x64 = pytest.importorskip("bayes_rpp.engines.jax").x64

S = EquivariantSubspace((2 * Scalar + Vector)(O(3)), (Scalar + 2 * Vector)(O(3)))
ABOUT_Z = Group(3, [[[0, -1, 0], [1, 0, 0], [0, 0, 0]]], [np.diag([1.0, -1.0, 1.0])], name="O(2)")
CHAIN = NestedSubspace([S, EquivariantSubspace((2 * Scalar + Vector)(ABOUT_Z), (Scalar + 2 * Vector)(ABOUT_Z))])
PRIORS = [
    ResidualPathway(S, 1.3, 0.2),
    ResidualPathway(S, 0.0, 0.7),
    ResidualPathway(FullSubspace((3, 2)), 0.5, 0.4),
    ResidualPathway(ZeroSubspace((2,)), 1.0, 0.3),
    ResidualPathway(FullSubspace(()), 2.0, 0.0),
    ResidualPathway(CHAIN, (1.3, 0.6), 0.2),
    ResidualPathway(CHAIN, (1.3, 0.0), 0.2),
    ResidualPathway(NestedSubspace([S, *CHAIN.levels[1:], FullSubspace(S.shape)]), (1.3, 0.6, 0.2), 0.0),
]
each_prior = pytest.mark.parametrize("prior", PRIORS, ids=repr)


def dense_log_prob(prior, w):
    flat = w.reshape(-1, prior.subspace.size)
    return multivariate_normal(np.zeros(flat.shape[1]), prior.covariance()).logpdf(flat).reshape(len(w))


def weights(prior, *lead):
    return np.random.default_rng(0).normal(size=(*lead, *prior.shape))


@each_prior
def test_log_prob_is_the_dense_normals(prior, float64):
    w = weights(prior, 4)
    want = dense_log_prob(prior, w)
    np.testing.assert_allclose(prior.log_prob(w), want, rtol=1e-6)
    np.testing.assert_allclose(prior.pyro().log_prob(torch.tensor(w)).numpy(), want, rtol=1e-6)
    np.testing.assert_allclose(prior.numpyro().log_prob(jnp.asarray(w)), want, rtol=1e-6)


def test_gradients_are_the_dense_normals(float64):
    def dense(a, b, w):
        q = torch.tensor(S.basis())
        covariance = a**2 * q @ q.T + b**2 * torch.eye(S.size)
        return torch.distributions.MultivariateNormal(torch.zeros(S.size), covariance).log_prob(w.reshape(-1))

    values = [torch.tensor(1.3), torch.tensor(0.2), torch.tensor(weights(PRIORS[0]))]
    leaves = [v.clone().requires_grad_() for v in values]
    want = [g.numpy() for g in torch.autograd.grad(dense(*leaves), leaves)]

    leaves = [v.clone().requires_grad_() for v in values]
    by_pyro = torch.autograd.grad(ResidualPathway(S, *leaves[:2]).pyro().log_prob(leaves[2]), leaves)
    by_numpyro = jax.grad(lambda a, b, w: ResidualPathway(S, a, b).numpyro().log_prob(w), argnums=(0, 1, 2))(
        *[jnp.asarray(v.numpy()) for v in values]
    )
    for got in (by_pyro, by_numpyro):
        for g, reference in zip(got, want, strict=True):
            np.testing.assert_allclose(np.asarray(g), reference, rtol=1e-6, atol=1e-8)


@each_prior
def test_samples_have_the_moments(prior, engine):
    if engine == "pyro":
        with torch.random.fork_rng():
            torch.manual_seed(0)
            w = prior.pyro().sample((20_000,)).numpy()
        d = prior.pyro()
    else:
        d = prior.numpyro()
        w = np.asarray(d.sample(jax.random.key(0), (20_000,)))
    assert w.shape == (20_000, *prior.shape)
    covariance = np.atleast_2d(np.cov(w.reshape(20_000, -1).T))
    largest = prior.covariance().max()
    np.testing.assert_allclose(covariance, prior.covariance(), atol=0.06 * largest)
    np.testing.assert_allclose(np.asarray(d.mean), np.zeros(prior.shape))
    np.testing.assert_allclose(np.asarray(d.variance).reshape(-1), np.diag(prior.covariance()), rtol=1e-5)


@pytest.mark.parametrize(("a", "b"), [((), (2, 1)), ((3,), (2, 1))])
def test_batch_shapes_and_expand(a, b, engine):
    batch = np.broadcast_shapes(a, b)
    array = {"pyro": lambda v: torch.tensor(v, dtype=torch.float32), "numpyro": jnp.asarray}[engine]
    sigmas = [array(np.linspace(0.5, 2.0, num=int(np.prod(s))).reshape(s)) for s in (a, b)]
    d = getattr(ResidualPathway(S, *sigmas), engine)()
    assert tuple(d.batch_shape) == batch
    assert tuple(d.event_shape) == S.shape
    w = weights(PRIORS[0])
    grids = np.broadcast_arrays(*[np.asarray(s) for s in sigmas])
    want = [ResidualPathway(S, float(x), float(y)).log_prob(w) for x, y in zip(*map(np.ravel, grids), strict=True)]
    got = np.asarray(d.log_prob(array(w)))
    np.testing.assert_allclose(got, np.reshape(want, batch), rtol=1e-4)
    wide = d.expand((4, *batch)) if batch else d.expand((4,))
    assert tuple(wide.batch_shape) == (4, *batch)
    assert tuple(wide.mean.shape) == (4, *batch, *S.shape)
    assert tuple(wide.variance.shape) == (4, *batch, *S.shape)
    np.testing.assert_allclose(np.asarray(wide.log_prob(array(w)))[0], got, rtol=1e-5)
    key = {"pyro": (), "numpyro": (jax.random.key(0),)}[engine]
    assert tuple(wide.sample(*key).shape) == (4, *batch, *S.shape)


def test_numpyro_distribution_passes_through_jit_and_vmap():
    d, w = PRIORS[0].numpyro(), weights(PRIORS[0])
    np.testing.assert_allclose(jax.jit(lambda d, w: d.log_prob(w))(d, w), d.log_prob(w), rtol=1e-6)
    by_vmap = jax.vmap(lambda b: ResidualPathway(S, 1.3, b).numpyro().log_prob(w))(jnp.array([0.2, 0.3]))
    np.testing.assert_allclose(by_vmap[0], d.log_prob(w), rtol=1e-5)


@each_prior
def test_whiten_inverts_color(prior):
    eps = weights(prior, 3)
    np.testing.assert_allclose(prior.whiten(prior.color(eps)), eps, atol=1e-12)


def test_split_is_the_most_probable_pair():
    prior, w = PRIORS[0], weights(PRIORS[0])
    beta, residual = prior.split(w)
    np.testing.assert_allclose(S.decode(beta) + residual, w, atol=1e-12)

    def energy(beta):
        return (beta**2).sum() / prior.sigma_a**2 + ((w - S.decode(beta)) ** 2).sum() / prior.sigma_b**2

    rng = np.random.default_rng(1)
    assert all(energy(beta) < energy(beta + 0.05 * rng.normal(size=S.rank)) for _ in range(20))


def test_a_chain_is_split_into_its_most_probable_pathways():
    """The mean of (W_1, W_2, B) given their sum, by the equations of the dense normal."""
    prior, w = PRIORS[5], weights(PRIORS[5])
    parts = [s**2 * (q.basis() @ q.basis().T) for q, s in prior.pathways]
    gain = np.linalg.solve(prior.covariance(), w.reshape(-1))
    beta, residual = prior.split(w)
    inside = prior.support.decode(beta)
    np.testing.assert_allclose(inside.reshape(-1), sum(parts) @ gain, atol=1e-12)
    np.testing.assert_allclose(residual, w - inside, atol=1e-12)
    inner = prior.strict()
    first, second = inner.split(beta)
    np.testing.assert_allclose(
        prior.support.decode(inner.support.decode(first)).reshape(-1), parts[0] @ gain, atol=1e-12
    )
    np.testing.assert_allclose(prior.support.decode(second).reshape(-1), parts[1] @ gain, atol=1e-12)


def test_a_strict_chain_lies_in_its_largest_subspace():
    prior = ResidualPathway(CHAIN, (1.3, 0.6), 0.0)
    inner, q = prior.strict(), CHAIN.basis()
    assert prior.is_strict
    np.testing.assert_allclose(q @ inner.covariance() @ q.T, prior.covariance(), atol=1e-12)


@pytest.mark.parametrize("parametrization", ["weights", "whitened", "pathways"])
def test_parametrisations_have_the_same_density_over_w(parametrization, engine, float64):
    """The marginal density of W, from the sites' joint density by a change of variables that is known here."""
    prior, form = PRIORS[0], get_parametrization(parametrization)
    if engine == "pyro":
        model = partial(form.sample, get_engine("pyro"), "w", prior)
        torch.manual_seed(0)
        trace = pyro.poutine.trace(model).get_trace()
        trace.compute_log_prob()
        sites = {k: v for k, v in trace.nodes.items() if v["type"] == "sample" and not v["is_observed"]}
        values = {k: v["value"].numpy() for k, v in sites.items()}
        joint = sum(float(v["log_prob"]) for v in sites.values())
        w = trace.nodes["_RETURN"]["value"].numpy()
    else:
        model = partial(form.sample, get_engine("numpyro"), "w", prior)
        seeded = numpyro.handlers.seed(model, 0)
        trace = numpyro.handlers.trace(seeded).get_trace()
        values = {k: v["value"] for k, v in trace.items() if v["type"] == "sample"}
        joint = sum(float(v["fn"].log_prob(v["value"])) for v in trace.values() if v["type"] == "sample")
        w = np.asarray(seeded())
    n, r = S.size, S.rank
    assert (
        set(values)
        == {
            "weights": {"w"},
            "whitened": {"w_base"},
            "pathways": {"w_beta", "w_residual"},
        }[parametrization]
    )
    want = dense_log_prob(prior, w[None])[0]
    if parametrization == "weights":
        got = joint
    elif parametrization == "whitened":
        got = joint - r * np.log(np.hypot(1.3, 0.2)) - (n - r) * np.log(0.2)
    else:
        # p(w) = p(beta, B) / p(beta | w), and beta | w ~ N(share Q^T w, share sigma_b^2 I).
        share = 1.3**2 / (1.3**2 + 0.2**2)
        deviation = np.asarray(values["w_beta"]) - share * S.encode(w)
        variance = share * 0.2**2
        got = joint + 0.5 * (deviation**2).sum() / variance + 0.5 * r * np.log(2 * np.pi * variance)
        np.testing.assert_allclose(S.decode(np.asarray(values["w_beta"])) + values["w_residual"], w, atol=1e-12)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ResidualPathway("Q", 1.0, 1.0), TypeError, "subspace"),
        (lambda: ResidualPathway(S, -1.0, 1.0), ValueError, r"sigma_a must be a finite number >= 0, got -1\.0"),
        (lambda: ResidualPathway(S, 1.0, float("nan")), ValueError, "sigma_b must be a finite number >= 0, got nan"),
        (
            lambda: ResidualPathway(S, 0.0, 0.0),
            ValueError,
            "sigma_a or sigma_b must be positive, got 0 for both, with which the",
        ),
        (lambda: ResidualPathway(S, "1", 1.0), TypeError, "sigma_a must be a number >= 0, got '1'"),
        (
            lambda: ResidualPathway(CHAIN, 1.0, 1.0),
            ValueError,
            r"sigma_a must have 2 number\(s\), one for each level, got 1",
        ),
        (
            lambda: ResidualPathway(CHAIN, (0.0, 0.0), 0.0),
            ValueError,
            "sigma_a or sigma_b must be positive, got 0 for both, with which the",
        ),
        (
            lambda: ResidualPathway(S, 1.0, 0.0).log_prob(weights(PRIORS[0])),
            ValueError,
            "sigma_b must be.*, got 0, with which it lies in the subspace",
        ),
        (
            lambda: ResidualPathway(S, 1.0, 0.0).pyro(),
            ValueError,
            "sigma_b must be.*, got 0, with which it lies in the subspace",
        ),
        (
            lambda: ResidualPathway(S, 1.0, 0.0).numpyro(),
            ValueError,
            "sigma_b must be.*, got 0, with which it lies in the subspace",
        ),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
