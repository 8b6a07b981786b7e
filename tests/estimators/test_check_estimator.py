"""scikit-learn's own checks of what an estimator is."""

from functools import partial

import pytest

from bayes_rpp import MAP, RPPClassifier, RPPRegressor

pytest.importorskip("pyro")
checks = pytest.importorskip("sklearn.utils.estimator_checks")
# Small networks in Pyro, which has nothing to compile.
SMALL = {"layers": 1, "channels": 8, "engine": "pyro", "method": MAP(epochs=20, batch_size=None, learning_rate=0.1)}


@checks.parametrize_with_checks([RPPRegressor(**SMALL), RPPClassifier(**SMALL)])
def test_is_an_estimator(estimator, check):
    check(estimator)


# The fits of this one are of 900 logits, which take seconds; that a network passes it says as much of the class.
LONG = "check_classifiers_train"
FUNCTIONS = [
    (estimator, check)
    for kind in (RPPRegressor, RPPClassifier)
    for estimator, check in checks.estimator_checks_generator(kind(engine="pyro"), mark="skip")
    if getattr(check, "func", check).__name__ != LONG
]


def _named(value):
    return getattr(value, "func", value).__name__ if isinstance(value, partial) else type(value).__name__


# Iris has one flower twice, of which functions tell rightly.
@pytest.mark.filterwarnings("ignore:x and y have .* copies of others")
@pytest.mark.parametrize(("estimator", "check"), FUNCTIONS, ids=_named)
def test_the_default_is_an_estimator(estimator, check):
    check(estimator)
