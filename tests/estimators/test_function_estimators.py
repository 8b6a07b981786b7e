"""Functions in place of networks: where the estimators take them, what they give, and what they refuse."""

import pickle

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import SO, GaussianProcess, PerLayer, Prior, RPPClassifier, RPPRegressor
from bayes_rpp.estimators.functions import are_small, networks_alone
from bayes_rpp.inference.posterior.functions import FunctionPosterior
from bayes_rpp.kernels import RBF, Matern52

pytest.importorskip("pyro")
pytest.importorskip("sklearn")
from sklearn import datasets, model_selection
from sklearn.base import clone

HALF = Prior("HalfNormal", {"scale": 0.5})
GIVEN = {"engine": "pyro", "random_state": 0}
rng = np.random.default_rng(0)
X = 1e3 * rng.normal(size=(40, 6))
Y = 5 * np.cross(X[:, :3], X[:, 3:]) / 1e6  # a pseudovector, and so a vector of SO(3)


def vectors(**settings):
    return RPPRegressor(**{"group": "SO(3)", "rep_in": "2*Vector", "rep_out": "Vector"} | GIVEN | settings)


def is_functions(model):
    return isinstance(model.posterior_, FunctionPosterior)


def test_a_symmetry_is_kept_in_the_units_of_the_user():
    x = rng.normal(size=(30, 6)) * 1e3
    model = vectors(sigma_b=0.0).fit(x, 5 * np.cross(x[:, :3], x[:, 3:]) / 1e6)
    assert is_functions(model)
    assert model.posterior_.model.sigma_b == 0.0
    g = SO(3).sample(1, seed=1)[0]
    np.testing.assert_allclose(model.predict(X @ np.kron(np.eye(2), g).T), model.predict(X) @ g.T, atol=0.1)
    assert model.score(X, Y) > 0.9
    assert RPPRegressor(**GIVEN).fit(x, 5 * np.cross(x[:, :3], x[:, 3:]) / 1e6).score(X, Y) < 0.9
    assert model.equivariance_error(X).shape == (1, 100, 40)


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 2)])
def test_predictions_have_the_shape_and_the_units_of_y(shape):
    x = rng.normal(size=(240, 2))
    y = (1e4 + 300 * np.sin(2 * x) + 20 * rng.normal(size=x.shape))[:, : np.prod(shape) // 40]
    model = RPPRegressor(**GIVEN).fit(x[:40], y[:40].reshape(shape))
    mean, std = model.predict(x[40:], return_std=True)
    assert mean.shape == std.shape == (200, *shape[1:])
    y = y[40:].reshape(mean.shape)
    assert np.sqrt(((mean - y) ** 2).mean()) < 150
    assert 0.7 < np.sqrt((((mean - y) / std) ** 2).mean()) < 1.4
    samples = model.sample_y(x[40:60], n_samples=3000)
    np.testing.assert_allclose(samples.mean(axis=-1), mean[:20], atol=0.5 * std.max())
    np.testing.assert_allclose(samples.std(axis=-1), std[:20], rtol=0.3)
    np.testing.assert_array_equal(model.sample_y(x, 3, random_state=2), model.sample_y(x, 3, random_state=2))


def test_clones_and_pickles():
    model = vectors(noise=HALF)
    assert clone(model).get_params() == model.get_params()
    assert model.get_params()["method"] == "auto"
    assert model.set_params(noise__scale=0.3).noise == Prior("HalfNormal", {"scale": 0.3})
    model.fit(X[:20], Y[:20])
    before = len(pickle.dumps(model))
    predicted = model.predict(X)
    assert len(pickle.dumps(model)) < 1.1 * before  # what a prediction has factorised is not kept
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), predicted)


def test_the_kernel_is_that_of_the_evidence():
    x = rng.uniform(-2, 2, size=(80, 4))
    rough = RPPRegressor(**GIVEN).fit(x[:, :1], np.abs(x[:, 0]) + np.sign(x[:, 0] - 1))
    assert isinstance(rough.posterior_.model.kernel, Matern52)
    smooth = RPPRegressor(**GIVEN).fit(x, np.sin(x.sum(axis=1)) + 0.1 * rng.normal(size=80)).posterior_
    assert isinstance(smooth.model.kernel, RBF)
    assert not smooth.model.ard
    post = RPPRegressor(**GIVEN).fit(x, np.sin(2 * x[:, 0]) * x[:, 1]).posterior_
    lengths = [float(post.samples[f"lengthscale.x{c}"][0, 0]) for c in range(4)]
    assert min(lengths[2:]) > 3 * max(lengths[:2])


def test_classes_of_two_and_of_three():
    x = rng.normal(size=(260, 3))
    p = 1 / (1 + np.exp(-4 * x[:, 0] * x[:, 1]))
    y = np.where(rng.random(260) < p, "up", "down")
    model = RPPClassifier(**GIVEN).fit(x[:200], y[:200])
    assert is_functions(model)
    assert model.posterior_.model.rep_out.size == 1
    found = model.predict_proba(x[200:])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    q, p = found[:, 1], p[200:]
    excess = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    assert excess < 0.5 * (p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p))).mean()  # that of chance
    assert set(model.predict(x)) == {"up", "down"}
    x, sums = x[:50], x[:50].sum(axis=1)
    three = RPPClassifier(**GIVEN).fit(x, np.digitize(sums, [-1, 1]))
    assert three.posterior_.model.rep_out.size == 3
    assert three.score(x, np.digitize(sums, [-1, 1])) > 0.9


def test_a_group_permutes_classes():
    x = rng.normal(size=(40, 3))
    model = RPPClassifier("S(3)", "Vector", "Vector", sigma_b=0.0, **GIVEN).fit(x, x.argmax(axis=1))
    p = rpp.S(3).sample(1, seed=2)[0]
    np.testing.assert_allclose(model.predict_proba(x @ p.T), model.predict_proba(x) @ p.T, atol=1e-8)
    two = RPPClassifier("S(2)", "Vector", "Vector", **GIVEN).fit(x[:, :2], x[:, 0] > x[:, 1])
    assert two.posterior_.model.rep_out.size == 2
    assert two.predict_proba(x[:, :2]).shape == (40, 2)


@pytest.mark.parametrize(
    ("settings", "group"),
    [
        ({"channels": 8, "layers": 0}, "SO(3)"),
        ({"sigma_b": PerLayer(HALF), "layers": 0}, "SO(3)"),
        ({"layers": 0}, "SL(3)"),
        ({"layers": 0}, "Lorentz()"),
    ],
)
def test_networks_where_functions_do_not_serve(settings, group, monkeypatch):
    monkeypatch.setattr("bayes_rpp.estimators.base.default_method", lambda n: rpp.MAP(epochs=1, batch_size=None))
    x = rng.normal(size=(20, 4 if group == "Lorentz()" else 3))
    assert not is_functions(RPPRegressor(group, "Vector", "Vector", **GIVEN | settings).fit(x, x))


def test_networks_for_many_examples(monkeypatch):
    monkeypatch.setattr("bayes_rpp.estimators.base.default_method", lambda n: rpp.MAP(epochs=1, batch_size=None))
    x = rng.normal(size=(2001, 2))
    assert not is_functions(RPPRegressor(**GIVEN).fit(x, x[:, 0]))
    assert not is_functions(RPPClassifier(**GIVEN).fit(x, x[:, 0] > 0))
    many = GaussianProcess(5 * rpp.Scalar + 5 * rpp.Vector, rpp.T(2), rpp.O(3))
    assert are_small(many, 400)
    assert not are_small(many, 401)  # the largest irreducible part of a matrix has 5 numbers
    turned = GaussianProcess(rpp.Vector, rpp.Scalar, SO(3))
    assert are_small(turned, 707)
    assert not are_small(turned, 708)
    for group in (rpp.S(6), SO(4)):
        assert not are_small(GaussianProcess(rpp.Vector, rpp.Scalar, group), 10)
    assert are_small(GaussianProcess(rpp.Vector, rpp.Scalar, rpp.S(5)), 100)
    classes = GaussianProcess(rpp.Scalar, 3 * rpp.Scalar, rpp.Trivial(1), likelihood=rpp.Categorical())
    assert are_small(classes, 2027)
    assert not are_small(classes, 2028)
    classes = classes.replace(rep_in=2 * rpp.Scalar)  # which may have a lengthscale each
    assert are_small(classes, 1405)
    assert not are_small(classes, 1406)
    permuted = GaussianProcess(rpp.Vector, rpp.Vector, rpp.S(3), likelihood=rpp.Categorical())
    assert are_small(permuted, 333)
    assert not are_small(permuted, 334)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"channels": 8}, ValueError, "channels must be None with method='gp', .* got 8"),
        ({"layers": 2}, ValueError, "layers must be None with method='gp'"),
        ({"sigma_b": PerLayer(HALF)}, ValueError, "sigma_b must be None with method='gp'"),
        ({"sigma_a": {"output.weight": 1.0}}, ValueError, "sigma_a must be None with method='gp'"),
        ({"group": "SL(3)"}, ValueError, "group must be a group of orthogonal matrices, .* SL"),
        ({"sigma_b": -1.0}, ValueError, "sigma_b .*-1.0"),
        ({"method": "MAP"}, TypeError, "method must be 'auto', 'gp' or a Method such as MAP.., got 'MAP'"),
    ],
)
def test_what_functions_refuse_is_named(settings, error, message):
    with pytest.raises(error, match=message):
        vectors(**{"method": "gp"} | settings).fit(X, Y)


def test_a_temperature_is_of_networks():
    assert networks_alone(RPPClassifier(temperature=0.1)) == {"temperature": 0.1}
    with pytest.raises(ValueError, match="temperature must be None with method='gp'"):
        RPPClassifier(temperature=0.1, method="gp").fit(X, X[:, 0] > 0)


@pytest.mark.parametrize(("rep_in", "rep_out"), [("Scalar + Vector", "Vector"), ("Vector", "Scalar")])
def test_no_symmetry_is_a_choice_for_any_representation(rep_in, rep_out):
    """As in a grid search over groups."""
    x = np.random.default_rng(0).normal(size=(30, 3 + (rep_in != "Vector")))
    y = x[:, -3:] if rep_out == "Vector" else x[:, :1]
    assert rpp.RPPRegressor("Trivial(3)", rep_in, rep_out).fit(x, y).score(x, y) > 0.99


@pytest.mark.parametrize("seed", [13, pytest.param(14, marks=pytest.mark.slow)])
def test_noise_is_found_where_few_rows_are_explained_without_it(seed):
    """A third of the rows is explained as well with no noise as with its own, which all of them need."""
    x, y = (part[:300] for part in datasets.make_friedman1(1300, noise=1.0, random_state=seed))
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    post = RPPRegressor(random_state=seed).fit(x, y).posterior_
    assert 0.15 < post.samples["noise"].mean() < 0.22  # 1 / y.std() is 0.2
    assert post.log_evidence > -50  # -90 and -84 without noise


def test_noise_is_found_between_none_and_nothing_else():
    """Descents from little noise end where there is none, those from long lengthscales where there is nothing else."""
    x, y = datasets.load_diabetes(return_X_y=True)
    x, _, y, _ = model_selection.train_test_split(x, y, test_size=0.4, random_state=4)
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    post = RPPRegressor(random_state=4).fit(x, y).posterior_
    assert 0.5 < post.samples["noise"].mean() < 0.8
    assert post.log_evidence > -310  # -334 without noise
