"""The prior around subspaces in any position against the dense multivariate normal, in numpy, Pyro and NumPyro."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bayes_rpp import EMLP, Group, Model, Prior, ResidualPathway, S, Scalar, Vector, testing
from bayes_rpp.engines.base import get_engine
from bayes_rpp.priors.mixed import MixedPathway
from bayes_rpp.priors.parametrization import PARAMETRIZATIONS
from bayes_rpp.subspaces import DenseSubspace, EquivariantSubspace, FullSubspace, SumSubspace, ZeroSubspace

jax = pytest.importorskip("jax")
numpyro = pytest.importorskip("numpyro")
pyro = pytest.importorskip("pyro")
torch = pytest.importorskip("torch")
x64 = pytest.importorskip("bayes_rpp.engines.jax").x64

TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]])
ABOUT_Z = Group(3, [TURN], name="about z")
ABOUT_X = Group(3, [np.roll(TURN, 1, axis=(0, 1))], name="about x")
RNG = np.random.default_rng(0)


def equivariant(*groups):
    return [EquivariantSubspace((2 * Scalar + Vector)(g), (Vector + Scalar)(g)) for g in groups]


TILTED = SumSubspace(equivariant(ABOUT_Z, ABOUT_X))  # neither nested, nor do the projectors commute
THREE = SumSubspace(equivariant(ABOUT_Z, ABOUT_X, S(3)))
DENSE = SumSubspace([DenseSubspace((2, 3), RNG.normal(size=(6, k))) for k in (2, 3)])
PRIORS = [
    MixedPathway(TILTED, (1.3, 0.6), 0.2),
    MixedPathway(TILTED, (1.3, 0.0), 0.2),
    MixedPathway(TILTED, (0.0, 0.0), 0.2),
    MixedPathway(THREE, (1.3, 0.6, 2.0), 0.2),
    MixedPathway(DENSE, (1.3, 0.6), 0.2),
    MixedPathway(SumSubspace([ZeroSubspace((4,)), DenseSubspace((4,), np.ones((4, 1)))]), (1.0, 0.5), 0.2),
    MixedPathway(SumSubspace([DenseSubspace((3,), np.ones((3, 1))), FullSubspace((3,))]), (1.0, 0.5), 0.0),
]
each_prior = pytest.mark.parametrize("prior", PRIORS, ids=repr)
each_form = pytest.mark.parametrize("form", PARAMETRIZATIONS.values(), ids=lambda f: f.name)


def weights(prior, *lead):
    return np.random.default_rng(1).normal(size=(*lead, *prior.shape))


def dense(prior):
    return multivariate_normal(np.zeros(prior.subspace.size), prior.covariance())


@pytest.mark.parametrize("subspace", [TILTED, THREE, DENSE, TILTED.inner], ids=repr)
def test_contract_of_sums(subspace):
    testing.check_subspace(subspace)


@each_prior
def test_log_prob_is_the_dense_normals(prior, float64):
    w = weights(prior, 4)
    want = dense(prior).logpdf(w.reshape(4, -1))
    np.testing.assert_allclose(prior.log_prob(w), want, rtol=1e-8)
    np.testing.assert_allclose(prior.pyro().log_prob(torch.tensor(w)).numpy(), want, rtol=1e-8)
    np.testing.assert_allclose(prior.numpyro().log_prob(jax.numpy.asarray(w)), want, rtol=1e-8)
    inside_jit = jax.jit(lambda d, w: d.log_prob(w))(prior.numpyro(), w)
    np.testing.assert_allclose(inside_jit, want, rtol=1e-8)


@each_prior
def test_color_is_the_symmetric_root_and_whiten_its_inverse(prior):
    eye = np.eye(prior.subspace.size)
    root = prior.color(eye.reshape(-1, *prior.shape)).reshape(eye.shape)
    np.testing.assert_allclose(root, root.T, atol=1e-12)
    np.testing.assert_allclose(root @ root, prior.covariance(), atol=1e-12)
    np.testing.assert_allclose(prior.log_abs_det(), np.linalg.slogdet(root)[1], rtol=1e-10, atol=1e-10)
    eps = weights(prior, 2, 3)
    np.testing.assert_allclose(prior.whiten(prior.color(eps)), eps, atol=1e-10)


@each_prior
def test_samples_have_the_moments(prior, engine):
    d = getattr(prior, engine)()
    if engine == "pyro":
        with torch.random.fork_rng():
            torch.manual_seed(0)
            w = d.sample((20_000,)).numpy()
    else:
        w = np.asarray(d.sample(jax.random.key(0), (20_000,)))
    covariance = prior.covariance()
    np.testing.assert_allclose(np.cov(w.reshape(20_000, -1).T), covariance, atol=0.06 * covariance.max())
    np.testing.assert_allclose(np.asarray(d.variance).reshape(-1), covariance.diagonal(), rtol=1e-5)
    np.testing.assert_allclose(prior.variance.reshape(-1), covariance.diagonal(), rtol=1e-10)


@each_prior
def test_norms_are_the_dense_ones(prior):
    w = weights(prior)
    inverse, squares = np.linalg.inv(prior.covariance()), prior.squares(w)
    back = inverse @ w.reshape(-1)
    np.testing.assert_allclose(prior.norm(squares), w.reshape(-1) @ back, rtol=1e-10)
    for level in (*prior.active, None):
        p = np.eye(prior.subspace.size) if level is None else level.basis() @ level.basis().T
        np.testing.assert_allclose(prior.inside(squares, level), back @ p @ back, rtol=1e-10)
        np.testing.assert_allclose(prior.information(level), np.trace(p @ inverse), rtol=1e-10)


@each_prior
def test_a_weight_is_taken_apart_into_its_most_probable_pathways(prior):
    """The mean of (W_1, W_2, ..., B) given their sum, by the equations of the dense normal."""
    w = weights(prior)
    gain = np.linalg.solve(prior.covariance(), w.reshape(-1))
    for (_, level, sigma), b in zip(prior.components, prior.apart(w), strict=True):
        want = sigma**2 * (level.basis() @ level.basis().T) @ gain
        np.testing.assert_allclose(level.decode(b).reshape(-1), want, atol=1e-10)


@each_form
@pytest.mark.parametrize("prior", [PRIORS[0], PRIORS[4]], ids=repr)
def test_parametrizations_have_the_same_density_over_w(form, prior, engine, float64):
    """The sites' joint density is Gaussian, and W a linear map A of them: its covariance is A diag A^T."""
    model = partial(form.sample, get_engine(engine), "w", prior)
    if engine == "pyro":
        trace = pyro.poutine.trace(model).get_trace()
        trace.compute_log_prob()
        sites = {k: v for k, v in trace.nodes.items() if v["type"] == "sample" and not v["is_observed"]}
        values, joint = {k: v["value"].numpy() for k, v in sites.items()}, sum(v["log_prob"] for v in sites.values())
        w = trace.nodes["_RETURN"]["value"].numpy()
    else:
        seeded = numpyro.handlers.seed(model, 0)
        trace = numpyro.handlers.trace(seeded).get_trace()
        sites = {k: v for k, v in trace.items() if v["type"] == "sample"}
        values = {k: np.asarray(v["value"]) for k, v in sites.items()}
        joint, w = sum(v["fn"].log_prob(v["value"]) for v in sites.values()), seeded()
    parts = form.parts("w", prior)
    assert values.keys() == parts.keys()
    np.testing.assert_allclose(form.join("w", prior, values), w, atol=1e-10)
    want = sum(float(dense(p).logpdf(values[k].reshape(-1))) for k, p in parts.items())
    np.testing.assert_allclose(float(joint), want, rtol=1e-8)
    covariance = np.zeros((prior.subspace.size,) * 2)
    for k, p in parts.items():
        eye = np.eye(p.subspace.size).reshape(-1, *p.shape)
        zeros = {j: np.zeros((len(eye), *q.shape)) for j, q in parts.items()}
        columns = form.join("w", prior, zeros | {k: eye}).reshape(len(eye), -1)
        covariance += columns.T @ p.covariance() @ columns
    np.testing.assert_allclose(covariance, prior.covariance(), atol=1e-10)


def test_without_a_residual_it_lies_in_the_sum_of_the_subspaces():
    prior = MixedPathway(TILTED, (1.3, 0.6), 0.0)
    inner, q = prior.strict(), prior.support.basis()
    assert prior.is_strict
    np.testing.assert_allclose(q @ inner.covariance() @ q.T, prior.covariance(), atol=1e-12)
    one = MixedPathway(TILTED, (0.0, 0.6), 0.0)
    assert one.support.rank == TILTED.levels[1].rank
    np.testing.assert_allclose(one.strict().covariance(), 0.36 * np.eye(one.support.rank), atol=1e-12)
    for form in PARAMETRIZATIONS.values():
        beta = weights(inner, 3)
        found = form.join("w", inner, form.split("w", inner, beta))
        np.testing.assert_allclose(found, beta, atol=1e-10)
        assert not any("residual" in site for site in form.parts("w", inner))


def test_sigmas_of_a_batch_are_each_their_own():
    a, b, w = np.array([0.5, 1.0, 2.0]), np.array([0.1, 0.2, 0.3]), weights(PRIORS[0], 3)
    together = MixedPathway(TILTED, (a, 0.6), b)
    alone = [MixedPathway(TILTED, (float(s), 0.6), float(t)) for s, t in zip(a, b, strict=True)]
    np.testing.assert_allclose(together.log_prob(w), [p.log_prob(v) for p, v in zip(alone, w, strict=True)], rtol=1e-10)
    np.testing.assert_allclose(together.color(w), [p.color(v) for p, v in zip(alone, w, strict=True)], atol=1e-12)


def test_a_wide_layer_never_makes_a_dense_basis():
    wide = 300 * Scalar + 100 * Vector
    prior = MixedPathway(SumSubspace([EquivariantSubspace(wide(g), wide(g)) for g in (ABOUT_Z, ABOUT_X)]), (1, 1), 0.1)
    eps = weights(prior)  # 600 x 600, of rank 290,000
    assert prior.support.rank > 250_000
    np.testing.assert_allclose(prior.whiten(prior.color(eps)), eps, atol=1e-8)


INFERRED = Model(
    EMLP(Vector, Vector, [ABOUT_Z, ABOUT_X], layers=0),
    sigma_a=[1.0, 1.0],
    sigma_b=Prior("HalfNormal", {"scale": 0.1}),
    parametrization="weights",
)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: ResidualPathway(TILTED, (1.0, 1.0), 0.1),
            TypeError,
            "subspace must have nested levels, got SumSubspace.*; priors.MixedPathway",
        ),
        (
            lambda: MixedPathway(TILTED.levels[0], 1.0, 0.1),
            TypeError,
            "subspace must be a SumSubspace, got Equivariant",
        ),
        (
            lambda: MixedPathway(TILTED, 1.0, 0.1),
            ValueError,
            r"sigma_a must have 2 number\(s\), one for each level, got 1",
        ),
        (lambda: MixedPathway(TILTED, (0.0, 0.0), 0.0), ValueError, "sigma_a or sigma_b must be positive"),
        (lambda: MixedPathway(TILTED, (1.0, 1.0), 0.0).log_prob(weights(PRIORS[0])), ValueError, "sigma_b must be pos"),
        (lambda: SumSubspace([]), TypeError, "levels must be a list of subspaces, got no list"),
        (lambda: SumSubspace([TILTED, DENSE]), ValueError, r"levels\[1\] must have the shape \(4, 5\) of levels\[0\]"),
        (
            lambda: SumSubspace([FullSubspace((60, 60)), ZeroSubspace((60, 60))]),
            ValueError,
            "levels must have ranks of up to 2000 in all, got 3600, 0 of 3,600 weights",
        ),
        (lambda: INFERRED.pyro(np.ones((2, 3)), np.ones((2, 3))), ValueError, "must be 'pathways' or 'whitened' while"),
        (
            lambda: MixedPathway(TILTED, (torch.tensor(1.0, requires_grad=True), 1.0), 0.1).log_prob(
                torch.ones(TILTED.shape)
            ),
            ValueError,
            "must be 'pathways' or 'whitened' while",
        ),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
