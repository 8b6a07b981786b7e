"""Posteriors over functions: against closed forms, refits and grids."""

import warnings

import numpy as np
import pytest
from scipy.special import logsumexp

import bayes_rpp as rpp
from bayes_rpp import (
    EMLP,
    MAP,
    NUTS,
    SO,
    SVI,
    Bernoulli,
    Categorical,
    D,
    Gaussian,
    GaussianProcess,
    Group,
    Model,
    O,
    Poisson,
    Posterior,
    Prior,
    S,
    Scalar,
    StudentT,
    Trivial,
    Vector,
    fit,
    kernels,
)
from bayes_rpp.models.process.laplace import evidence_of

REPS = (Scalar + Vector, Vector + Scalar)
MIRROR = Group(2, discrete_generators=[np.diag([1.0, -1.0])], name="mirror")
FIXED = {"kernel": kernels.RBF(), "lengthscale": 1.5, "mean_size": 1.0, "likelihood": Gaussian(0.2)}


def data(n=20, group=None, seed=0):
    """A vector and a scalar that rotate with the input, and a little that does not."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    s, v = x[:, :1], x[:, 1:]
    y = np.concatenate([v * np.sin(s), (v**2).sum(1, keepdims=True)], axis=1)
    return x, y + 0.3 * x[:, 1:2] * [1.0, 0.0, 0.0] + 0.1 * rng.normal(size=y.shape)


def run(gp, x, y, method=None, **options):
    return fit(gp, x, y, method or MAP(), progress=False, **options)


@pytest.mark.parametrize(
    ("group", "rep_in", "rep_out"), [(O(3), *REPS), (D(3), *REPS), (S(3), Vector, Vector)], ids=str
)
def test_with_a_linear_kernel_it_is_the_linear_network(group, rep_in, rep_out):
    """W x + b with residual pathways: the posterior over weights in closed form (Bishop 2006, Section 3.3)."""
    sigma_a, sigma_b, noise = 0.8, 0.3, 0.2
    net = EMLP(rep_in, rep_out, group, layers=0)
    model = Model(net, sigma_a=sigma_a, sigma_b=sigma_b, scale=None)
    rows, columns = net.rep_out.size, net.rep_in.size
    rng = np.random.default_rng(0)
    x, z, y = rng.normal(size=(12, columns)), rng.normal(size=(5, columns)), rng.normal(size=(12, rows))

    def features(points):  # (n rows, weights), W row by row, then b
        return np.stack([np.concatenate([np.kron(np.eye(rows), p), np.eye(rows)], axis=1) for p in points]).reshape(
            -1, rows * columns + rows
        )

    prior = np.zeros((rows * columns + rows,) * 2)
    prior[: rows * columns, : rows * columns] = model.priors["output.weight"].covariance()
    prior[rows * columns :, rows * columns :] = model.priors["output.bias"].covariance()
    phi, new = features(x), features(z)
    observed = phi @ prior @ phi.T + noise**2 * np.eye(len(phi))
    gain = np.linalg.solve(observed, phi @ prior).T
    mean, covariance = gain @ y.ravel(), prior - gain @ phi @ prior
    evidence = -0.5 * (
        y.ravel() @ np.linalg.solve(observed, y.ravel()) + np.linalg.slogdet(observed)[1] + y.size * np.log(2 * np.pi)
    )

    gp = GaussianProcess(
        rep_in,
        rep_out,
        group,
        kernel=kernels.Polynomial(1, offset=1.0),
        sigma_a=sigma_a,
        sigma_b=sigma_b,
        lengthscale=1.0,
        likelihood=Gaussian(noise),
        mean=None,
        scale=None,
    )
    post = run(gp, x, y)
    predicted = post.predict(z)
    np.testing.assert_allclose(predicted.mean, (new @ mean).reshape(-1, rows), atol=1e-8)
    wanted = (new @ covariance @ new.T).reshape(len(z), rows, len(z), rows)
    np.testing.assert_allclose(post.covariance(z), wanted, atol=1e-8)
    np.testing.assert_allclose(predicted.std**2, np.einsum("iaia->ia", wanted) + noise**2, atol=1e-8)
    assert post.log_evidence == pytest.approx(evidence, abs=1e-8)


@pytest.mark.parametrize("scale", [None, "data"])
def test_left_out_examples_are_those_of_refits(scale):
    x, y = data(8)
    gp = GaussianProcess(
        *REPS, [D(4), MIRROR], sigma_a=[1.0, 0.5], sigma_b=0.3, scale=scale, offset=[0, 0, 1.0], **FIXED
    )
    post = run(gp, x, y)
    found = post.left_out()
    assert found.shape == (8,)
    whole = post.log_evidence
    for i in range(8):
        rest = np.delete(np.arange(8), i)
        if scale is None:
            other = run(gp, x[rest], y[rest])
            assert found[i] == pytest.approx(whole - other.log_evidence, abs=1e-8)
            predicted = other.predict(x[i : i + 1])
            assert found[i] == pytest.approx(other.log_predictive(x[i : i + 1], y[i : i + 1])[0], abs=1e-8)
            assert predicted.std.shape == (1, 3)
        else:  # what covariances are divided by hangs on all of x, a little
            other = run(gp, x[rest], y[rest])
            assert found[i] == pytest.approx(whole - other.log_evidence, abs=1.0)


@pytest.mark.parametrize("group", [D(3), [O(2), MIRROR]], ids=str)
def test_a_strict_posterior_is_symmetric(group):
    x, y = data(15)
    several = isinstance(group, list)
    gp = GaussianProcess(*REPS, group, sigma_a=[1.0, 0.0] if several else 1.0, sigma_b=0.0, **FIXED)
    post = run(gp, x, y)
    z = data(10, seed=1)[0]
    assert post.equivariance_error(z).max() < 2e-3
    first = gp.groups[0]
    g, f = first.sample(1, 3)[0], post.function()
    before, after = gp.rep_in.rho(g), gp.rep_out.rho(g)
    np.testing.assert_allclose(f(z @ before.T), f(z) @ after.T, atol=1e-3)
    np.testing.assert_allclose(post.mean_function(z @ before.T), post.mean_function(z) @ after.T, atol=1e-8)
    soft = run(gp.replace(sigma_b=0.5), x, y)
    assert np.median(soft.equivariance_error(z)) > 1e-3


def test_map_has_the_highest_density():
    """From many random starts none ends higher; and what is found is a mode, by differences."""
    x, y = data(25)
    gp = GaussianProcess(*REPS, SO(2))
    post = run(gp, x, y)
    full = post.model
    assert not full.is_open
    evidence = evidence_of(full, x, y, post.level)
    numbers = {k: float(post.samples[k].flat[0]) for k in full.latents}

    def density(z):
        latents = dict(zip(full.latents, np.exp(z), strict=True))
        return evidence(latents)[0] + sum(p.log_prob(latents[k])[0] for k, p in full.latents.items())

    z = np.log(list(numbers.values()))
    assert post.log_evidence == pytest.approx(evidence(numbers)[0], abs=1e-6)
    for step in np.eye(len(z)) * 0.05:
        assert density(z) > max(density(z + step), density(z - step)) - 0.02
    rng = np.random.default_rng(0)
    assert density(z) > max(density(z + rng.normal(size=len(z))) for _ in range(50))
    again = run(gp, x, y, init=post)
    assert again.log_evidence == pytest.approx(post.log_evidence, abs=0.05)


def test_nuts_of_one_number_is_a_grid(engine):
    x, y, number = *data(12), "sigma_b"
    prior = Prior("HalfNormal", {"scale": 1.0})
    gp = GaussianProcess(*REPS, D(4), sigma_a=1.0, sigma_b=0.3, **FIXED)
    few = run(gp, x, y)
    gp = gp.replace(sigma_b=prior)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)
        post = run(gp, x, y, NUTS(chains=2, warmup=100, draws=150), engine=engine)
    draws = post.samples[number]
    assert draws.shape == (2, 150)
    grid = np.linspace(-6, 2, 400)
    evidence = evidence_of(post.model, x, y)
    logp = np.array([evidence({number: v})[0] + prior.log_prob(v)[0] + np.log(v) for v in np.exp(grid)])
    weights = np.exp(logp - logsumexp(logp))
    ranks = np.interp(np.log(draws), grid, np.cumsum(weights))  # evenly spread from 0 to 1, if the draws are right
    assert ranks.mean() == pytest.approx(0.5, abs=0.1)
    assert ranks.std() == pytest.approx(12**-0.5, abs=0.06)
    found = post.samples["log_evidence"]
    wanted = [[evidence({number: v})[0] for v in chain] for chain in draws]
    np.testing.assert_allclose(found, wanted, atol=1e-2)
    z = data(5, seed=1)[0]
    assert np.abs(post.predict(z).mean - few.predict(z).mean).max() < 1.0
    assert set(post.asymmetry()) == {"f"}
    assert post.asymmetry()["f"].shape == (2, 150)


LIKELIHOODS = [
    (Gaussian(0.2), lambda f, rng: f),
    (StudentT(0.2, 4.0), lambda f, rng: f),
    (Bernoulli(), lambda f, rng: (f > 0.5).astype(float)),
    (Categorical(), lambda f, rng: f.argmax(1)[:, None].astype(float)),
    (Poisson(), lambda f, rng: rng.poisson(np.exp(np.clip(f, -2, 2))).astype(float)),
]


@pytest.mark.parametrize(("likelihood", "observed"), LIKELIHOODS, ids=lambda v: str(v) if hasattr(v, "latents") else "")
def test_a_file_predicts_the_same(likelihood, observed, tmp_path):
    x, y = data(10)
    y = observed(y, np.random.default_rng(0))
    kernel = kernels.RBF() + kernels.Polynomial(1, variance=Prior("HalfNormal", {"scale": 1.0}))
    gp = GaussianProcess(
        *REPS,
        [D(3), MIRROR],
        kernel=kernel,
        sigma_b=0.3,
        lengthscale={"Vector": 1.5},
        likelihood=likelihood,
        ard=True,
        mean="linear",
    )
    post = run(gp, x, y)
    again = Posterior.load(post.save(tmp_path / "post.nc"))
    assert type(again) is type(post)
    assert repr(again.model) == repr(post.model)
    z = data(6, seed=1)[0]
    one, other = post.predict(z), again.predict(z)
    np.testing.assert_allclose(other.mean, one.mean, atol=1e-9)
    np.testing.assert_allclose(other.std, one.std, atol=1e-9)
    np.testing.assert_allclose(other.samples, one.samples, atol=1e-9)
    np.testing.assert_allclose(again.covariance(z), post.covariance(z), atol=1e-9)
    np.testing.assert_allclose(again.left_out(), post.left_out(), atol=1e-9)
    assert again.log_evidence == post.log_evidence
    assert (again.level, again.seed) == (post.level, post.seed)
    assert set(post.metrics(x, y)) == set(again.metrics(x, y))
    assert np.isfinite(post.left_out()).all()
    assert post.log_predictive(x, y).shape == (10,)


def test_arviz_and_summary():
    x, y = data(20)
    post = run(GaussianProcess(*REPS, O(2)), x, y)
    tree = post.to_arviz()
    assert {"sigma_a", "sigma_b", "noise", "log_evidence"} <= set(tree["posterior"].data_vars)
    text = str(post.summary())
    assert "sigma_b" in text
    assert post.metrics(x, y)["rmse"] < 0.5
    with pytest.raises(AttributeError):
        post.seed = 3
    with pytest.raises(TypeError, match=r"post\.mean_function"):
        post.to_torch()


@pytest.mark.parametrize("method", [SVI(epochs=2, draws=2), rpp.Laplace(), rpp.DeepEnsemble(members=2)])
def test_methods_for_networks_are_refused(method):
    x, y = data(6)
    with pytest.raises(TypeError, match=r"method must be MAP, NUTS or HMC for a GaussianProcess.*MAP\(\) would do"):
        run(GaussianProcess(*REPS, O(2)), x, y, method)


def test_a_sampler_needs_numbers_to_infer(engine):
    x, y = data(6)
    with pytest.raises(ValueError, match=r"numbers to infer.*MAP\(\)"):
        run(GaussianProcess(*REPS, O(2), sigma_a=1.0, sigma_b=0.1, **FIXED), x, y, NUTS(2, 20, 5), engine=engine)


def test_the_ladder_of_symmetries_is_found():
    """Of a function that rotations keep the first pathway has all; of one that they do not, the last."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    kept, broken = x * (1 + (x**2).sum(1, keepdims=True)) ** -1, np.tanh(2 * x * [1.0, -1.0])
    noise = 0.01 * rng.normal(size=x.shape)
    gp = GaussianProcess(Vector, Vector, [SO(2), Trivial(2)], sigma_b=0.0)
    for y, wanted in ((kept, True), (broken, False)):
        ratio = float(run(gp, x, y + noise).asymmetry()["f"].flat[0])
        assert (ratio < 0.1) if wanted else (ratio > 1)


def test_the_kernel_is_chosen_by_the_evidence():
    """A cubic has the polynomial, waves have not, in whatever units; a kernel of which all is given is the RBF."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    cubic, waves = x * (x**2).sum(1, keepdims=True), np.sin(4 * (x**2).sum(1, keepdims=True)) * x
    for units in (1.0, 1e6):
        leaves = [
            len(run(GaussianProcess(Vector, Vector, O(2)), units * x, y).model.kernel.leaves) for y in (cubic, waves)
        ]
        assert leaves == [2, 1]
    given = GaussianProcess(Vector, Vector, O(2), sigma_a=1.0, sigma_b=0.1, **FIXED | {"kernel": None})
    assert run(given, x, cubic).model.kernel == kernels.RBF()
    with pytest.raises(ValueError, match=r"init must be of 'lengthscale.Vector', .*got 'kernel'"):
        run(GaussianProcess(Vector, Vector, O(2)), x, cubic, init={"kernel": 1.0})


def test_cubics_are_found_in_the_flat_limit_of_an_rbf():
    """Where lengthscales and sigmas are large together; within 100 typical sigmas the evidence is -253."""
    train = rpp.datasets.inertia(30, seed=0)
    x, y = train.x.astype(np.float64), train.y.astype(np.float64)
    gp = GaussianProcess(5 * Scalar + 5 * Vector, rpp.T(2), O(3), kernel=kernels.RBF(), tolerance=1.0)
    assert run(gp, x, y).log_evidence > -150


def test_a_start_brings_its_kernel_or_is_refused():
    x, y = np.random.default_rng(0).normal(size=(2, 30, 2))
    cubic = GaussianProcess(Vector, Vector, O(2), kernel=kernels.RBF() + kernels.Polynomial(degree=3))
    post = run(cubic.replace(kernel=None), x, x * (x**2).sum(1, keepdims=True))
    assert len(post.model.kernel.leaves) == 2
    waves = np.sin(4 * (x**2).sum(1, keepdims=True)) * x
    again = run(GaussianProcess(Vector, Vector, O(2)), x, waves, init=post)
    assert again.model.kernel == post.model.kernel
    with pytest.raises(
        ValueError, match=r"init must be a posterior with the model's kernel, got one without a 'length"
    ):
        run(GaussianProcess(Vector, Vector, O(2), kernel=kernels.RBF()), x, y, init=post)


def test_functions_by_map_need_no_engine(monkeypatch):
    """numpy and scipy do it, so that the plain install fits small data; a network names what is missing."""
    monkeypatch.setattr("bayes_rpp.engines.base.find_spec", lambda name: None)
    gp = rpp.GaussianProcess(rpp.Vector, rpp.Vector, rpp.SO(3))
    x = np.random.default_rng(0).normal(size=(9, 3))
    post = rpp.fit(gp, x, x * (x**2).sum(axis=1, keepdims=True), rpp.MAP(), progress=False)
    assert np.isfinite(post.predict(x).std).all()
    for method in (rpp.NUTS(), rpp.MAP()):
        model = gp if isinstance(method, rpp.NUTS) else rpp.Model(rpp.MLP(3, 3, layers=0))
        with pytest.raises(ImportError, match="pip install"):
            rpp.fit(model, x, x, method, progress=False)
