"""Numbers of methods and distributions as parameters of the estimators, in grids, pipelines and clones."""

import pickle

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import MAP, NUTS, SVI, DeepEnsemble, Laplace, PerLayer, Prior, RPPClassifier, RPPRegressor

pytest.importorskip("pyro")
pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HALF = Prior("HalfNormal", {"scale": 0.5})
QUICK = {"engine": "pyro", "random_state": 0, "layers": 0, "noise": 0.1}
FAST = MAP(epochs=30, batch_size=None, learning_rate=0.1)
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 2))
Y = X @ [1.0, -2.0] + 0.1 * rng.normal(size=60)


def test_a_grid_over_the_epochs_of_a_method():
    search = GridSearchCV(RPPRegressor(**QUICK, method=FAST), {"method__epochs": [1, 60]}, cv=2).fit(X, Y)
    assert search.best_params_ == {"method__epochs": 60}
    assert search.best_estimator_.method == MAP(epochs=60, batch_size=None, learning_rate=0.1)
    few, many = search.cv_results_["mean_test_score"]
    assert many > few + 0.1


def test_in_a_pipeline_and_around_targets():
    model = make_pipeline(StandardScaler(), TransformedTargetRegressor(RPPRegressor(**QUICK, method=FAST)))
    name = "transformedtargetregressor__regressor__method__learning_rate"
    search = GridSearchCV(model, {name: [1e-4, 0.1]}, cv=2).fit(X, Y)
    assert search.best_params_ == {name: 0.1}
    assert cross_val_score(model.set_params(**{name: 0.2}), X, Y, cv=2).min() > 0.9


def test_random_search_gives_numpy_numbers():
    from scipy.stats import loguniform, randint

    grid = {"method__epochs": randint(20, 60), "method__learning_rate": loguniform(0.05, 0.3)}
    search = RandomizedSearchCV(RPPRegressor(**QUICK, method=FAST), grid, n_iter=2, cv=2, random_state=0).fit(X, Y)
    assert 20 <= search.best_estimator_.method.epochs < 60


def test_a_method_and_its_numbers_in_one_grid():
    grid = {"method": [FAST, DeepEnsemble(members=2, batch_size=None)], "method__epochs": [3]}
    search = GridSearchCV(RPPRegressor(**QUICK), grid, cv=2).fit(X, Y)
    assert {m.epochs for m in [search.best_estimator_.method]} == {3}


def test_classes():
    model = RPPClassifier(engine="pyro", random_state=0, layers=0, method=FAST)
    search = GridSearchCV(model, {"method__epochs": [2, 40]}, cv=2).fit(X, Y > 0)
    assert search.best_estimator_.method.epochs == search.best_params_["method__epochs"]


@pytest.mark.parametrize(
    ("settings", "changes", "want"),
    [
        ({"method": MAP()}, {"method__epochs": 7}, {"method": MAP(epochs=7)}),
        ({"method": DeepEnsemble()}, {"method__members": 3, "method__patience": 2}, None),
        (
            {"method": SVI()},
            {"method__guide": "low_rank", "method__rank": 3},
            {"method": SVI(guide="low_rank", rank=3)},
        ),
        ({"method": Laplace()}, {"method__evidence": "maximize"}, {"method": Laplace(evidence="maximize")}),
        ({"method": NUTS()}, {"method__max_tree_depth": 5}, {"method": NUTS(max_tree_depth=5)}),
        ({"method": None}, {"method": SVI(), "method__draws": 5}, {"method": SVI(draws=5)}),
        ({"noise": HALF}, {"noise__scale": 2.0}, {"noise": Prior("HalfNormal", {"scale": 2.0})}),
        ({"sigma_a": HALF}, {"sigma_a__scale": 2.0}, {"sigma_a": Prior("HalfNormal", {"scale": 2.0})}),
        (
            {"sigma_b": PerLayer(HALF)},
            {"sigma_b__scale": 0.01},
            {"sigma_b": PerLayer(Prior("HalfNormal", {"scale": 0.01}))},
        ),
        (
            {"noise": Prior("Gamma", {"concentration": 2.0, "rate": 1.0})},
            {"noise__rate": 3.0, "layers": 1},
            {"noise": Prior("Gamma", {"concentration": 2.0, "rate": 3.0}), "layers": 1},
        ),
    ],
)
def test_numbers_are_set_and_the_old_object_stays(settings, changes, want):
    model = RPPRegressor(**settings)
    kept = {k: repr(v) for k, v in settings.items()}
    other = clone(model)
    assert other.set_params(**changes) is other
    found = other.get_params()
    assert all(found[k] == v for k, v in changes.items() if "__" in k)
    for k, v in (want or {}).items():
        assert getattr(other, k) == v
    assert {k: repr(getattr(model, k)) for k in settings} == kept
    assert clone(other).get_params() == found
    assert pickle.loads(pickle.dumps(other)).get_params() == found
    assert all("__" not in k for k in other.get_params(deep=False))


def test_distributions_of_a_library():
    from pyro.distributions import HalfNormal

    model = RPPRegressor(noise=HalfNormal(0.5))
    assert model.get_params()["noise__scale"] == 0.5
    assert model.set_params(noise__scale=2.0).noise == Prior("HalfNormal", {"scale": 2.0})


@pytest.mark.parametrize(
    ("settings", "changes", "message"),
    [
        ({}, {"method__epochs": 5}, "method must have epochs for method__epochs to set, got 'auto'"),
        (
            {"method": MAP()},
            {"method__draws": 5},
            "method must have draws for method__draws to set, got MAP",
        ),
        ({}, {"noise__scale": 1.0}, "noise must have scale for noise__scale to set, got None"),
        ({}, {"sigma_a__scale": 1.0}, r"sigma_a must have scale for sigma_a__scale to set, got None"),
        ({"noise": HALF}, {"noise__rate": 1.0}, "noise must have rate for noise__rate to set, got the distribution"),
        ({"noise": HALF}, {"noise__scale": -1.0}, r"scale of HalfNormal must be a finite number > 0, got -1\.0"),
        ({"method": MAP()}, {"method__epochs": 0}, "epochs must be a whole number >= 1, got 0"),
        ({"group": "O(3)"}, {"group__dim": 3}, r"group must have dim for group__dim to set, got 'O\(3\)'"),
        ({}, {"metod__epochs": 5}, "Invalid parameter 'metod'"),
        ({}, {"epochs": 5}, "Invalid parameter 'epochs'"),
    ],
)
def test_what_there_is_not_is_named(settings, changes, message):
    with pytest.raises(ValueError, match=message):
        RPPRegressor(**settings).set_params(**changes)


def test_methods_themselves_do_not_change():
    method = rpp.MAP(epochs=5)
    assert method.get_params()["epochs"] == 5
    assert clone(method) is method
    with pytest.raises(TypeError, match=r"MAP cannot be changed; dataclasses.replace\(method, epochs=7\) would do"):
        method.set_params(epochs=7)
