"""What must hold for any representation, subspace, prior and file: examples are drawn by hypothesis."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from bayes_rpp import (
    EMLP,
    MLP,
    SL,
    SO,
    D,
    Gaussian,
    Model,
    O,
    PerLayer,
    Posterior,
    Prior,
    Pseudoscalar,
    ResidualPathway,
    S,
    Scalar,
    StudentT,
    T,
    Trivial,
    Vector,
    Z,
    load_network,
    save_network,
)
from bayes_rpp.groups import parse_rep
from bayes_rpp.subspaces import DenseSubspace, EquivariantSubspace, NestedSubspace, SpanSubspace

few = settings(max_examples=25, deadline=None)
GROUPS = st.sampled_from([O(2), SO(2), SL(2), Z(3), S(3), D(4)])
SIMPLE = st.sampled_from([Scalar, Vector, Pseudoscalar, Vector.dual, T(2), T(1, 1), Vector * Pseudoscalar])
SEEDS = st.integers(0, 2**32 - 1)
SIGMAS = st.floats(0.01, 10.0)


@st.composite
def sums(draw):
    """A sum of one to three simple representations with multiplicities."""
    parts = draw(st.lists(st.tuples(st.integers(1, 2), SIMPLE), min_size=1, max_size=3))
    total = parts[0][0] * parts[0][1]
    for n, rep in parts[1:]:
        total = total + n * rep
    return total


@st.composite
def subspaces(draw):
    rng, kind = np.random.default_rng(draw(SEEDS)), draw(st.integers(0, 3))
    shape = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    if kind == 0:
        group = draw(GROUPS)
        return EquivariantSubspace(draw(SIMPLE)(group), draw(sums())(group))
    if kind == 1:
        return SpanSubspace.tied(rng.integers(-1, 4, size=shape))
    if kind == 2:
        return SpanSubspace.masked(rng.random(shape) < 0.5)
    columns = rng.normal(size=(shape[0] * shape[1], rng.integers(1, 4)))
    return DenseSubspace(shape, np.concatenate([columns, columns[:, :1]], axis=1))  # one column depends on another


@few
@given(a=sums(), b=sums(), group=GROUPS, seed=SEEDS)
def test_representations_are_an_algebra(a, b, group, seed):
    g, h = group.sample(2, seed=seed)
    ra, rb = a(group), b(group)
    close = {"rtol": 1e-6, "atol": 1e-6 * max(1.0, np.abs(g).max() ** 4 * np.abs(h).max() ** 4)}
    for r in (ra, (a + b)(group), (a * b)(group), a.dual(group)):
        assert r.rho(g).shape == (r.size, r.size)
        np.testing.assert_allclose(r.rho(g @ h), r.rho(g) @ r.rho(h), **close)
    assert (a + b)(group).size == ra.size + rb.size
    assert (a * b)(group).size == ra.size * rb.size
    # Traces, which do not depend on the order of coordinates.
    np.testing.assert_allclose(np.trace((a + b)(group).rho(g)), np.trace(ra.rho(g)) + np.trace(rb.rho(g)), **close)
    np.testing.assert_allclose(np.trace((a * b)(group).rho(g)), np.trace(ra.rho(g)) * np.trace(rb.rho(g)), **close)
    np.testing.assert_allclose(a.dual(group).rho(g).T @ ra.rho(g), np.eye(ra.size), **close)
    assert (2 * a)(group).size == (a + a)(group).size
    for x in group.lie_algebra:
        np.testing.assert_allclose(expm(ra.drho(0.3 * x)), ra.rho(expm(0.3 * x)), rtol=1e-6, atol=1e-8)


@few
@given(rep=sums())
def test_a_representation_is_read_back_from_its_name(rep):
    assert parse_rep(str(rep)) == rep


@few
@given(s=subspaces(), seed=SEEDS)
def test_subspaces_are_projectors(s, seed):
    rng = np.random.default_rng(seed)
    w, beta = rng.normal(size=(2, *s.shape)), rng.normal(size=(2, s.rank))
    p = s.project(np.eye(s.size).reshape(s.size, *s.shape)).reshape(s.size, s.size)
    np.testing.assert_allclose(p, p.T, atol=1e-10)
    np.testing.assert_allclose(p @ p, p, atol=1e-10)
    np.testing.assert_allclose(np.trace(p), s.rank, atol=1e-8)
    np.testing.assert_allclose(s.encode(s.decode(beta)), beta, atol=1e-10)
    np.testing.assert_allclose(s.project(w), s.decode(s.encode(w)), atol=1e-10)
    np.testing.assert_allclose(s.leverage(), np.diag(p).reshape(s.shape), atol=1e-10)


@few
@given(s=subspaces(), a=SIGMAS, b=SIGMAS, seed=SEEDS)
def test_the_priors_transform_is_that_of_the_dense_normal(s, a, b, seed):
    prior = ResidualPathway(s, a, b)
    white = np.random.default_rng(seed).normal(size=(3, *s.shape))
    w = prior.color(white)
    np.testing.assert_allclose(prior.whiten(w), white, atol=1e-8)
    jacobian = prior.color(np.eye(s.size).reshape(s.size, *s.shape)).reshape(s.size, s.size)
    np.testing.assert_allclose(jacobian @ jacobian.T, prior.covariance(), rtol=1e-8, atol=1e-10)
    logdet = np.linalg.slogdet(prior.covariance())[1]
    zero = prior.log_prob(np.zeros(s.shape))
    np.testing.assert_allclose(zero, -0.5 * (logdet + s.size * np.log(2 * np.pi)), rtol=1e-6, atol=1e-6)
    energy = -0.5 * (white**2).reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(prior.log_prob(w) - zero, energy, rtol=1e-6, atol=1e-6)
    beta, residual = prior.split(w)
    np.testing.assert_allclose(s.decode(beta) + residual, w, atol=1e-8)


@few
@given(rep_in=sums(), rep_out=SIMPLE, a=SIGMAS, c=SIGMAS, b=SIGMAS, seed=SEEDS)
def test_so_is_that_of_nested_pathways(rep_in, rep_out, a, c, b, seed):
    chain = NestedSubspace([EquivariantSubspace(rep_in(g), rep_out(g)) for g in (O(2), Trivial(2))])
    prior = ResidualPathway(chain, (a, c), b)
    white = np.random.default_rng(seed).normal(size=(2, *chain.shape))
    np.testing.assert_allclose(prior.whiten(prior.color(white)), white, atol=1e-8)


NUMBERS = st.one_of(st.just(0.3), SIGMAS.map(lambda s: Prior("HalfNormal", {"scale": s})))


@settings(max_examples=10, deadline=None)
@given(
    rep_in=sums(),
    rep_out=SIMPLE,
    group=GROUPS,
    hidden=st.one_of(st.none(), SIMPLE),
    sigma=st.one_of(NUMBERS, SIGMAS.map(lambda s: PerLayer(Prior("Gamma", {"concentration": s, "rate": 1.0})))),
    likelihood=st.one_of(NUMBERS.map(Gaussian), st.builds(StudentT, NUMBERS, st.just(4.0))),
    seed=SEEDS,
)
def test_files_hold_what_was_saved(rep_in, rep_out, group, hidden, sigma, likelihood, seed):
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():  # hidden layers of some types cannot carry all functions, and files do not mind
        warnings.filterwarnings("ignore", "the strict network cannot carry", UserWarning)
        net = MLP(rep_in, rep_out, group, 3, 1) if hidden is None else EMLP(rep_in, rep_out, group, [Scalar + hidden])
    model = Model(net, sigma_b=sigma, likelihood=likelihood)
    samples = {k: rng.normal(size=(2, 1, *p.shape)).astype(np.float32) for k, p in net.parameters.items()}
    samples |= {k: rng.gamma(1.0, size=(2, 1)) for k in model.latents}
    x, y = rng.normal(size=(4, net.rep_in.size)), rng.normal(size=(4, net.rep_out.size))
    post = Posterior(model, samples, x=x, y=y, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        again = Posterior.load(post.save(Path(folder) / "a.b"))
        weights = {k: v[0, 0] for k, v in samples.items()}
        other, read = load_network(save_network(Path(folder) / "a.b", net, weights))
    assert repr(again.model.net) == repr(other) == repr(net)
    assert again.model.latents == model.latents
    assert again.model.likelihood == likelihood
    assert again.samples.keys() == samples.keys()
    for name, value in samples.items():
        np.testing.assert_array_equal(again.samples[name], value)
    np.testing.assert_array_equal(again.x, x)
    np.testing.assert_array_equal(again.predict(x, seed=1).samples, post.predict(x, seed=1).samples)
    np.testing.assert_array_equal(other(read, x), net(weights, x))
