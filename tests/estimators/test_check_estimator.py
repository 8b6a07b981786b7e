"""scikit-learn's own checks of what an estimator is."""

import pytest

from bayes_rpp import MAP, RPPClassifier, RPPRegressor

pytest.importorskip("pyro")
checks = pytest.importorskip("sklearn.utils.estimator_checks")
# Small networks in Pyro, which has nothing to compile.
SMALL = {"layers": 1, "channels": 8, "engine": "pyro", "method": MAP(epochs=20, batch_size=None, learning_rate=0.1)}


@checks.parametrize_with_checks([RPPRegressor(**SMALL), RPPClassifier(**SMALL)])
def test_is_an_estimator(estimator, check):
    check(estimator)
