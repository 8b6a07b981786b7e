"""Inducing points: against the exact evidence and posterior, differences, and refits."""

import warnings

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import (
    MAP,
    NUTS,
    SO,
    Bernoulli,
    D,
    Gaussian,
    GaussianProcess,
    Group,
    O,
    Poisson,
    Posterior,
    Prior,
    Scalar,
    Trivial,
    Vector,
    fit,
    kernels,
)
from bayes_rpp.models.process import inducing, inducing_points
from bayes_rpp.models.process.bound import BoundProcess
from bayes_rpp.models.process.covariance import Covariance
from bayes_rpp.models.process.laplace import evidence_of
from bayes_rpp.models.process.memory import most_exact

REPS = (Scalar + Vector, Vector + Scalar)
MIRROR = Group(2, discrete_generators=[np.diag([1.0, -1.0])], name="mirror")
SOME = Prior("HalfNormal", {"scale": 1.0})
TWO_LEAVES = kernels.RBF(variance=SOME) * kernels.Matern52() + kernels.Polynomial(2, variance=SOME)
FIXED = {"kernel": kernels.RBF(), "lengthscale": 1.5, "mean_size": 1.0, "likelihood": Gaussian(0.2)}
N = 24


def data(n=N, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = np.concatenate([x[:, 1:] * np.sin(x[:, :1]), (x[:, 1:] ** 2).sum(1, keepdims=True)], axis=1)
    return x, y + 0.3 * x[:, 1:2] * [1.0, 0.0, 0.0] + 0.1 * rng.normal(size=y.shape)


def model(groups, mean="constant", scale="data", **options):
    size = {} if mean is None else {"mean_size": 2.0}
    options = {"kernel": TWO_LEAVES, "likelihood": Gaussian(SOME), "lengthscale": SOME, "sigma_b": SOME} | options
    return GaussianProcess(*REPS, groups, sigma_a=[SOME] * len(groups), mean=mean, scale=scale, **size, **options)


MODELS = pytest.mark.parametrize(
    "gp",
    [
        model((D(3),)),
        model((SO(2), MIRROR), mean="linear"),
        model((D(4), MIRROR), mean=None, scale=None),
        model((SO(2),), mean="linear", scale=None, ard=True),
        model((D(3),), sigma_b=0.3, likelihood=Gaussian(0.2), lengthscale={"Vector": 1.3, "Scalar": SOME}),
    ],
    ids=["constant", "groups", "as they are", "ard", "given"],
)


def at(gp, seed=0):
    rng = np.random.default_rng(seed)
    return {k: float(np.exp(0.3 * rng.normal())) for k in gp.latents}


def run(gp, x, y, method=None, **options):
    return fit(gp, x, y, method or MAP(), progress=False, **options)


@MODELS
def test_with_all_examples_as_inducing_points_all_is_exact(gp):
    x, y = data()
    numbers, z = at(gp), data(5, seed=1)[0]
    exact, induced = evidence_of(gp, x, y), evidence_of(gp.replace(inducing=N), x, y)
    (value, slopes), (bound, by_bound) = exact(numbers), induced(numbers)
    assert bound == pytest.approx(value, abs=1e-6 * abs(value))
    assert by_bound == pytest.approx(slopes, rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(induced.left_out(numbers), exact.left_out(numbers), atol=1e-6)
    one, other = (e.conditional(numbers) for e in (exact, induced))
    np.testing.assert_allclose(other.marginal(z).mean, one.marginal(z).mean, atol=1e-6)
    np.testing.assert_allclose(other.marginal(z).covariance, one.marginal(z).covariance, atol=1e-6)
    np.testing.assert_allclose(other.covariances(z), one.covariances(z), atol=1e-6)


@MODELS
@pytest.mark.parametrize("count", [1, 5, 15])
def test_the_bound_is_below_the_evidence(gp, count):
    x, y = data()
    for seed in range(3):
        numbers = at(gp, seed)
        induced = evidence_of(gp.replace(inducing=count), x, y)
        assert len(induced.points) == count
        assert induced(numbers)[0] < evidence_of(gp, x, y)(numbers)[0]


@MODELS
def test_slopes_are_those_of_differences(gp):
    x, y = data()
    evidence, numbers, step = evidence_of(gp.replace(inducing=6), x, y), at(gp), 1e-5
    found = evidence(numbers)[1]
    assert set(found) == set(numbers)
    for name, value in numbers.items():
        ends = [evidence(numbers | {name: value * np.exp(sign * step)})[0] for sign in (1, -1)]
        assert found[name] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-5)


@MODELS
def test_some_rows_at_a_time_give_what_all_give(gp, monkeypatch):
    x, y = data()
    gp, numbers, z = gp.replace(inducing=6), at(gp), data(5, seed=1)[0]
    whole = evidence_of(gp, x, y)
    value, slopes = whole(numbers)
    wanted = (whole.left_out(numbers), whole.conditional(numbers).covariances(z))
    monkeypatch.setattr(inducing, "KEPT", 0)
    monkeypatch.setattr(inducing, "NUMBERS", 300)
    pieces = evidence_of(gp, x, y)
    assert len(list(pieces._pieces(pieces._prepared(numbers)[1]))) > 3
    now, by_now = pieces(numbers)
    assert now == pytest.approx(value, rel=1e-11)
    assert by_now == pytest.approx(slopes, rel=1e-7, abs=1e-7)
    np.testing.assert_allclose(pieces.left_out(numbers), wanted[0], rtol=1e-9)
    np.testing.assert_allclose(pieces.conditional(numbers).covariances(z), wanted[1], atol=1e-9)


def test_what_is_left_out_is_predicted_from_the_others():
    """With the inducing points among the others, so that the same are there without the example."""
    x, y = data()
    gp = GaussianProcess(*REPS, D(3), sigma_a=1.0, sigma_b=0.3, offset=[0, 0, 0.5], scale=None, **FIXED)
    points = np.arange(6)
    evidence = inducing.InducedEvidence(gp, x, y, 0, points)
    for i in (10, N - 1):
        rest = np.delete(np.arange(N), i)
        found = inducing.InducedEvidence(gp, x[rest], y[rest], 0, points).conditional({}).marginal(x[i : i + 1])
        spread = found.covariance[0] + 0.04 * np.eye(3)
        gap = y[i] - found.mean[0]
        logp = -0.5 * (gap @ np.linalg.solve(spread, gap) + np.linalg.slogdet(2 * np.pi * spread)[1])
        assert evidence.left_out({})[i] == pytest.approx(logp, abs=1e-6)


def test_a_strict_model_has_strict_means_and_functions():
    x, y = data(40)
    post = run(GaussianProcess(*REPS, D(3), sigma_b=0.0, inducing=8, kernel=kernels.RBF()), x, y)
    z = data(6, seed=1)[0]
    for g in D(3).elements:
        before, after = (rep(D(3)).rho(g) for rep in REPS)
        np.testing.assert_allclose(post.mean_function(z @ before.T), post.mean_function(z) @ after.T, atol=1e-7)
    assert post.equivariance_error(z).max() < 1e-3


def test_of_points_that_the_group_moves_onto_each_other_one_is_enough():
    base = data(4)[0]
    orbits = np.concatenate([base @ REPS[0](D(3)).rho(g).T for g in D(3).elements])
    shuffled = np.random.default_rng(0).permutation(len(orbits))
    strict = GaussianProcess(*REPS, D(3), sigma_a=1.0, sigma_b=0.0, **FIXED)
    found = inducing_points.inducing_points(Covariance(strict, orbits[shuffled]), {}, 12)
    assert sorted(shuffled[found] % 4) == [0, 1, 2, 3]
    soft = strict.replace(sigma_b=0.5)
    assert len(inducing_points.inducing_points(Covariance(soft, orbits[shuffled]), {}, 12)) == 12


def test_points_spread_and_do_not_depend_on_chance_but_for_the_seed():
    x = np.random.default_rng(0).normal(size=(400, 2))
    gp = GaussianProcess(2 * Scalar, Scalar, Trivial(1), sigma_a=1.0, **FIXED)
    c = Covariance(gp, x)
    one, other = (inducing_points.inducing_points(c, {}, 20, seed) for seed in (0, 0))
    np.testing.assert_array_equal(one, other)
    assert (np.diff(one) > 0).all()
    y = np.sin(x[:, :1])
    chance = np.mean([inducing.InducedEvidence(gp, x, y, 0, np.arange(k, k + 20))({})[0] for k in (0, 50, 100)])
    assert inducing.InducedEvidence(gp, x, y, 0, one)({})[0] > chance + 10


def test_many_examples_have_inducing_points_and_the_posterior_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(inducing_points, "most_exact", lambda gp: 200 // gp.rep_out.size)
    monkeypatch.setattr(inducing_points, "LEAST", 15)
    monkeypatch.setattr(inducing_points, "MOST", 15)
    x, y = data(120)
    gp = GaussianProcess(*REPS, O(2), kernel=kernels.RBF())
    post = run(gp, x, y)
    assert 1 <= len(post.inducing) <= 15
    assert f"{len(post.inducing)} inducing points" in repr(post)
    assert f"{len(post.inducing)} inducing points, and log_evidence is a lower bound" in repr(post.summary())
    assert f"{post.log_evidence:.4g}, a lower bound" in post._repr_html_()
    assert post.log_evidence == post.samples["log_evidence"].flat[0]
    numbers = {k: float(v.flat[0]) for k, v in post.samples.items()}
    monkeypatch.setattr(inducing_points, "most_exact", lambda gp: 1000 // gp.rep_out.size)
    assert post.log_evidence < evidence_of(post.model, x, y, post.level)(numbers)[0]
    z = data(7, seed=2)[0]
    wanted, covariance, left_out = post.predict(z), post.covariance(z), post.left_out()
    again = Posterior.load(post.save(tmp_path / "induced.nc"))
    np.testing.assert_array_equal(again.inducing, post.inducing)
    assert repr(again) == repr(post)
    np.testing.assert_allclose(again.predict(z).samples, wanted.samples, rtol=1e-6)
    np.testing.assert_allclose(again.covariance(z), covariance, rtol=1e-6)
    np.testing.assert_allclose(again.left_out(), left_out, rtol=1e-6)
    assert again.log_evidence == pytest.approx(post.log_evidence)
    assert "log_likelihood" in post.to_arviz()
    one = post.function(draw=3)
    np.testing.assert_allclose(one(z[:3]), one(z[:3]), atol=1e-3)
    exact = run(gp, x, y)
    assert exact.inducing is None
    assert "inducing" not in repr(exact)
    truth = data(200, seed=3)
    assert post.metrics(*truth)["rmse"] < 1.15 * exact.metrics(*truth)["rmse"]


def test_how_many_points_there_are_follows_from_the_data_and_the_group():
    count, field = inducing_points.inducing_count, GaussianProcess(Vector, Vector, O(2))
    most = most_exact(field)
    assert 4000 < most < 6000
    assert count(field, most) is None
    assert 100 <= count(field, 100_000) <= count(field, 20_000) <= count(field, most + 1) <= 1000
    assert count(GaussianProcess(Vector, Vector, O(3)), 20_000) < count(field, 20_000)
    assert count(GaussianProcess(100 * Scalar, 100 * Scalar, Trivial(1)), 10_000) == 50
    assert count(field.replace(inducing=7), 20_000) == 7


def test_the_number_of_points_is_what_was_asked_for_and_no_numbers_may_be_left():
    x, y = data(40)
    gp = GaussianProcess(*REPS, O(2), inducing=9, kernel=kernels.RBF())
    post = run(gp, x, y, seed=3)
    assert len(post.inducing) == 9
    assert post.model.inducing == 9
    np.testing.assert_array_equal(run(gp, x, y, seed=3).inducing, post.inducing)
    fixed = GaussianProcess(*REPS, O(2), sigma_a=1.0, sigma_b=0.1, inducing=9, **FIXED)
    assert run(fixed, x, y).log_evidence < run(fixed.replace(inducing=None), x, y).log_evidence


def test_chains_of_the_numbers_are_under_the_bound(engine):
    x, y = data(30)
    gp = GaussianProcess(*REPS, D(3), sigma_a=1.0, sigma_b=SOME, inducing=7, **FIXED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)
        post = run(gp, x, y, NUTS(chains=1, warmup=20, draws=10), engine=engine)
    bound = BoundProcess(post.model, x, y, post.level, post.inducing)
    wanted = [bound.density(np.log([v]))[0] for v in post.samples["sigma_b"].ravel()]
    np.testing.assert_allclose(post.samples["log_evidence"].ravel(), wanted, atol=1e-2)
    assert bound.key != BoundProcess(post.model, x, y, post.level, post.inducing[1:]).key


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "many"])
def test_what_is_no_number_of_points_is_refused(value):
    with pytest.raises(ValueError, match="inducing must be a whole number >= 1"):
        GaussianProcess(*REPS, O(2), inducing=value)


def test_more_points_than_examples_are_refused():
    with pytest.raises(ValueError, match=r"inducing must be at most the number of examples, 24.*got 25; None would do"):
        run(GaussianProcess(*REPS, O(2), inducing=25), *data())


def test_other_likelihoods_have_no_bound():
    with pytest.raises(ValueError, match=r"inducing must be None with likelihood=Bernoulli.*Gaussian\(\) would do"):
        GaussianProcess(Vector, Scalar, O(2), likelihood=Bernoulli(), inducing=5)
    with pytest.raises(ValueError, match=r"inducing must be None for an energy and its forces"):
        GaussianProcess(Vector, Scalar + Vector, O(2), conservative=True, inducing=5)
    x, y = np.zeros((12_000, 2)), np.zeros((12_000, 1))
    with pytest.raises(ValueError, match=r"x must have up to [0-9,]+ examples with likelihood=Poisson.*got 12,000.*"):
        run(GaussianProcess(Vector, Scalar, O(2), likelihood=Poisson()), x, y)
