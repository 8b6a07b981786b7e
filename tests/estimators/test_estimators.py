"""RPPRegressor and RPPClassifier: symmetric in the units of the user, calibrated, and at home among sklearn's tools."""

import pickle

import numpy as np
import pytest

from bayes_rpp import (
    MAP,
    MLP,
    SO,
    DeepEnsemble,
    Gaussian,
    Laplace,
    Model,
    Posterior,
    RPPClassifier,
    RPPRegressor,
    S,
    Scalar,
    Vector,
)
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.estimators.base import default_method, stacked
from bayes_rpp.estimators.regressor import held_out_noise

pytest.importorskip("pyro")
pytest.importorskip("sklearn")

QUICK = {"engine": "pyro", "random_state": 0, "layers": 0, "method": MAP(epochs=30, batch_size=None, learning_rate=0.1)}
REP_IN = Scalar + 2 * Vector
rng = np.random.default_rng(0)
# A scalar far from zero, and two vectors of very different units.
X = np.hstack([50 + 7 * rng.normal(size=(80, 1)), 1e3 * rng.normal(size=(80, 3)), 1e-3 * rng.normal(size=(80, 3))])
Y = 20 * (X[:, 1:4] / 1e3 + 2e3 * X[:, 4:]) + rng.normal(size=(80, 3))


def regressor(**settings):
    return RPPRegressor(**QUICK | {"group": "SO(3)", "rep_in": "Scalar + 2*Vector", "rep_out": "Vector"} | settings)


def test_each_copy_has_its_scale_and_only_invariants_are_shifted():
    to = Standardization.of(X, REP_IN, [SO(3)], together="copy")
    np.testing.assert_array_equal(to.center[1:], 0)
    np.testing.assert_allclose(np.sqrt((to(X) ** 2).mean(axis=0)), 1, rtol=0.3)
    assert len(set(to.scale)) == 3
    together = Standardization.of(X, REP_IN, [SO(3)])
    assert len(set(together.scale)) == 2
    np.testing.assert_allclose(together.scale[1] ** 2, (to.scale[1] ** 2 + to.scale[4] ** 2) / 2)


def test_strict_symmetry_holds_in_the_units_of_the_user():
    model = regressor(sigma_b=0.0, layers=1, channels=8).fit(X, Y)
    g = SO(3).sample(1, seed=1)[0]
    turned = X @ REP_IN(SO(3)).rho(g).T
    np.testing.assert_allclose(model.predict(turned), model.predict(X) @ g.T, rtol=1e-5, atol=1e-5 * np.abs(Y).max())
    assert model.equivariance_error(X).shape == (1, 1, 80)
    assert model.equivariance_error(X).max() < 1e-5


def test_text_and_objects_are_the_same_and_fits_repeat():
    a, b = regressor().fit(X, Y), regressor(group=SO(3), rep_in=REP_IN, rep_out=Vector).fit(X, Y)
    np.testing.assert_array_equal(a.predict(X), b.predict(X))
    np.testing.assert_allclose(a.predict(X[:1]), a.predict(X)[:1], rtol=1e-12)
    assert a.score(X, Y) > 0.9
    assert not np.array_equal(a.predict(X), regressor(random_state=1).fit(X, Y).predict(X))


def test_progress_is_shown_on_request(capsys):
    for progress, shown in ((False, False), (True, True)):
        regressor(progress=progress, layers=0, method=MAP(epochs=2)).fit(X[:10], Y[:10])
        assert ("epoch" in capsys.readouterr().err) is shown


@pytest.mark.parametrize("shape", [(80,), (80, 1), (80, 2)])
def test_predictions_have_the_shape_of_y(shape):
    y = Y[:, : np.prod(shape) // 80].reshape(shape)
    model = RPPRegressor(**QUICK | {"method": DeepEnsemble(members=2, epochs=3)}).fit(X, y)
    mean, std = model.predict(X[:5], return_std=True)
    assert mean.shape == std.shape == (5, *shape[1:])
    assert model.sample_y(X[:5], n_samples=7).shape == (5, *shape[1:], 7)
    np.testing.assert_array_equal(model.sample_y(X, 3, random_state=2), model.sample_y(X, 3, random_state=2))


def test_std_and_samples_are_in_the_units_of_y():
    x = rng.normal(size=(400, 2))
    y = 1e4 + 300 * x[:, 0] + 100 * rng.normal(size=400)
    model = RPPRegressor(**QUICK | {"method": MAP(epochs=200, batch_size=None, learning_rate=0.1)}).fit(x, y)
    mean, std = model.predict(x, return_std=True)
    np.testing.assert_allclose(std, 100, rtol=0.1)
    samples = model.sample_y(x[:3], n_samples=4000)
    np.testing.assert_allclose(samples.mean(axis=1), mean[:3], atol=8)
    np.testing.assert_allclose(samples.std(axis=1), std[:3], rtol=0.05)


def test_a_group_may_permute_the_classes():
    x = rng.normal(size=(60, 3))
    y = np.array(["a", "b", "c"])[x.argmax(axis=1)]
    model = RPPClassifier("S(3)", "Vector", "Vector", sigma_b=0.0, **QUICK).fit(x, y)
    assert list(model.classes_) == ["a", "b", "c"]
    assert model.score(x, y) > 0.9
    p = S(3).sample(1, seed=2)[0]
    np.testing.assert_allclose(model.predict_proba(x @ p.T), model.predict_proba(x) @ p.T, atol=1e-6)
    with pytest.raises(ValueError, match="rep_out must have size 2, as y has 2 classes, got 3"):
        model.fit(x, y == "a")


def test_probabilities_are_neither_shy_nor_bold():
    """Of classes that 200 rows tell well, and of classes that they hardly tell."""
    source = np.random.default_rng(0)
    x, u = source.normal(size=(600, 2)), source.random(600)
    settings = QUICK | {"method": DeepEnsemble(members=3, epochs=60, batch_size=20, patience=20)}
    found = {}
    for slope, temperature in ((8, 0.1), (1, 0.1), (8, 10.0)):
        p = 1 / (1 + np.exp(-slope * x[:, 0]))
        model = RPPClassifier(**settings, temperature=temperature).fit(x[:200], (u < p)[:200])
        p, q = p[200:], model.predict_proba(x[200:])[:, 1]
        # How far the NLL is above that of the true probabilities.
        found[slope, temperature] = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    assert max(found[8, 0.1], found[1, 0.1]) < 0.03
    assert found[8, 10.0] > 0.1


def test_among_the_tools_of_sklearn():
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    model = regressor(method=MAP(epochs=5, batch_size=None))
    search = GridSearchCV(model, {"sigma_b": [0.0, 0.1]}, cv=2).fit(X, Y)
    assert search.best_params_["sigma_b"] in (0.0, 0.1)
    pipeline = make_pipeline(FunctionTransformer(), clone(model))
    assert cross_val_score(pipeline, X, Y, cv=2).shape == (2,)
    pipeline.fit(X, Y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(pipeline)).predict(X), pipeline.predict(X))


def test_a_fitted_emlp_is_pickled():
    model = regressor(layers=1, channels=8, group=SO(3), method=DeepEnsemble(members=2, epochs=2)).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert set(again.posterior_.asymmetry()) == {"layers.0", "output"}


def test_the_noise_is_that_of_examples_held_out():
    rng = np.random.default_rng(1)
    f, noise = rng.normal(size=(1, 4000, 2)), 0.3
    y = f[0] + noise * rng.normal(size=f[0].shape)
    found = held_out_noise(f, y, 1.0)
    assert found == pytest.approx(noise, rel=0.03)
    # What the spread of the members explains is no noise.
    members = y + 0.3 * rng.normal(size=(200, *y.shape))
    assert held_out_noise(members, y, 1.0) < 0.05


def test_a_small_noisy_table_is_neither_memorised_nor_all_noise():
    rng = np.random.default_rng(2)
    x = rng.uniform(-2, 2, size=(560, 1))
    y = 5 + 2 * np.sin(2 * x[:, 0]) + 0.5 * rng.normal(size=560)
    method = DeepEnsemble(members=3, epochs=200, batch_size=16, patience=30)
    settings = {"channels": 24, "layers": 1, "method": method}
    model = RPPRegressor(**QUICK | settings).fit(x[:60], y[:60])
    mean, std = model.predict(x[60:], return_std=True)
    error = np.sqrt(((mean - y[60:]) ** 2).mean())
    assert error < 0.6 * y.std()
    assert 0.7 < np.sqrt((((mean - y[60:]) / std) ** 2).mean()) < 1.4
    assert model.posterior_.training["loss"].shape[1] < 200
    assert len(model.posterior_.x) == 48


def test_members_that_are_worse_by_chance_stay():
    """Lines of slopes near the true one, of which stacking alone would leave one or two, and a flat one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 1))
    y = x + 0.1 * rng.normal(size=(60, 1))
    slopes = np.array([1.0, 1.02, 1.05, 0.96, 0.0])
    model = Model(MLP(1, 1, layers=0), sigma_b=0.0, likelihood=Gaussian(0.1))
    weights = {name: np.zeros((1, 5, *p.shape)) for name, p in model.net.parameters.items()}
    weights["output.weight"][0] = slopes.reshape(5, 1, 1)
    post = Posterior(model, weights, x=x, y=y, method="DeepEnsemble(members=5)")
    found = stacked(post, x, y)
    np.testing.assert_array_equal(np.unique(found.samples["output.weight"]), np.sort(slopes[:4]))
    counts = [int((found.samples["output.weight"] == slope).sum()) for slope in slopes]
    assert found.method == f"DeepEnsemble(members=5), members counted {' '.join(map(str, counts))} times"
    assert max(counts) > min(counts[:4]) >= 1
    # Nine examples can tell of none.
    assert set(stacked(post, x[:9], y[:9]).samples["output.weight"].ravel()) == set(slopes)


def test_what_is_held_out_is_left_alone_where_nothing_needs_it():
    assert len(regressor(noise=0.1).fit(X, Y).posterior_.x) == 80
    assert len(regressor().fit(X, Y).posterior_.x) == 64
    assert len(regressor(validation_fraction=0.5).fit(X, Y).posterior_.x) == 40
    laplace = regressor(method=Laplace(epochs=5, evidence="maximize", draws=3)).fit(X, Y)
    assert len(laplace.posterior_.x) == 80
    assert "noise" in laplace.posterior_.samples


def test_early_stopping_holds_out_the_same_share_of_each_class():
    x = rng.normal(size=(60, 2))
    labels = np.repeat([0, 1], [50, 10])
    method = MAP(epochs=5, batch_size=None, patience=2)
    model = RPPClassifier(**QUICK | {"method": method}).fit(x, labels)
    np.testing.assert_array_equal(np.bincount(model.posterior_.y[:, 0].astype(int)), [40, 8])
    assert "validation_loss" in model.posterior_.training


def test_a_group_makes_the_network_wider():
    assert RPPRegressor("SO(3)", "Vector")._network(3, 1, "").parameters["output.weight"].shape[1] >= 128
    assert RPPRegressor()._network(3, 1, "").parameters["output.weight"].shape == (1, 64)
    assert RPPRegressor(channels=9)._network(3, 1, "").parameters["output.weight"].shape == (1, 9)


def test_the_default_method_suits_the_number_of_examples():
    assert [default_method(n).batch_size for n in (1, 400, 10**5)] == [16, 50, 128]
    assert [default_method(n).epochs for n in (1, 400, 10**4, 10**6)] == [300, 300, 38, 20]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"group": None},
            ValueError,
            r"group must be given where rep_in is, got None and rep_in='Scalar \+ 2\*Vector'",
        ),
        ({"rep_in": None}, ValueError, r"rep_in must say how SO\(3\) acts on X, got None"),
        ({"rep_in": "Vector"}, ValueError, "rep_in must have size 7, as X has 7 columns, got 3"),
        ({"rep_out": "2*Vector"}, ValueError, r"rep_out must have size 3, as y has 3 column\(s\), got 6"),
        ({"group": "exit()"}, ValueError, r"group: 'exit\(\)' in 'exit\(\)' is not understood"),
        ({"rep_out": 3}, TypeError, "rep_out must be a Rep or text, got 3"),
        ({"method": "MAP"}, TypeError, "method must be 'auto', 'gp' or a Method such as MAP.., got 'MAP'"),
        ({"validation_fraction": 0}, ValueError, "validation_fraction must be a number between 0 and 1, got 0"),
        (
            {"validation_fraction": "a fifth"},
            ValueError,
            "validation_fraction must be a number between 0 and 1, got 'a fifth'",
        ),
        ({"noise": -1.0}, ValueError, r"noise must be a number > 0, got -1\.0"),
        ({"engine": "stan"}, ValueError, "engine must be 'pyro' or 'numpyro', got 'stan'"),
    ],
)
def test_fit_names_the_parameter_that_does_not_fit(settings, error, message):
    with pytest.raises(error, match=message):
        regressor(**settings).fit(X, Y)
