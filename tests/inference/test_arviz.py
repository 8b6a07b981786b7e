"""ArviZ's summary, LOO and compare run on the result of every method, whichever ArviZ is installed."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from bayes_rpp import NUTS, SVI, DeepEnsemble, Gaussian, Model, Prior, fit
from bayes_rpp._imports import load_arviz
from bayes_rpp.inference import ConvergenceWarning
from tests.inference.known import SmallLinearProblem

az = load_arviz()

PROBLEM = SmallLinearProblem(n=30)
NOISE = Gaussian(Prior("HalfNormal", {"scale": 1.0}))
MODELS = {
    "soft": Model(PROBLEM.net, sigma_b=Prior("HalfNormal", {"scale": 0.3}), likelihood=NOISE),
    "strict": Model(PROBLEM.net, sigma_b=0.0, likelihood=NOISE),
}
METHODS = [
    DeepEnsemble(members=25, epochs=5),
    SVI(epochs=5, draws=25),
    NUTS(chains=2, warmup=30, draws=25, max_tree_depth=4),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.filterwarnings("ignore:.*[Pp]areto")
@pytest.mark.filterwarnings("ignore::FutureWarning:arviz", "ignore:The inplace keyword")  # of ArviZ 0.23
def test_summary_loo_and_compare(method, engine):
    if engine == "pyro" and isinstance(method, NUTS):
        method = replace(method, chains=1)
    other = "strict" if isinstance(method, DeepEnsemble) else "soft"  # the soft one's programs serve twice
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = {
            name: fit(MODELS[kind], PROBLEM.x, PROBLEM.y, method, engine=engine, seed=seed, progress=False).to_arviz()
            for seed, (name, kind) in enumerate({"soft": "soft", "other": other}.items())
        }
    table = az.summary(found["soft"], var_names=["noise", "sigma_b"])
    assert list(table.index) == ["noise", "sigma_b"]
    assert np.isfinite(az.loo(found["soft"], pointwise=True).elpd_loo if _old() else az.loo(found["soft"]).elpd)
    assert set(az.compare(found).index) == {"soft", "other"}
    if isinstance(method, NUTS):  # and HMC, whose result has the same form
        assert found["soft"]["sample_stats"]["diverging"].shape == (method.chains, 25)


def _old():
    return int(az.__version__.split(".")[0]) < 1
