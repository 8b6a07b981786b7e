"""A start at which the log density is not finite is said before the first step, with what is wrong with it."""

import pickle

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import HMC, MAP, NUTS, SVI, Laplace, Model, fit
from bayes_rpp.inference import TrainingError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3))
NET = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), layers=0)
HALF = rpp.Prior("HalfNormal", {"scale": 1.0})
ONES = {k: np.full(p.shape, 0.1) for k, p in NET.parameters.items()}
LARGE = {k: 1e30 * w for k, w in ONES.items()}
ROUGH = {k: RNG.normal(size=p.shape) for k, p in NET.parameters.items()}
COUNTS = {"likelihood": rpp.Poisson()}
INFERRED = {"likelihood": rpp.Gaussian(HALF)}

STARTS = {
    "huge weights": (
        {},
        X,
        X,
        LARGE,
        r"log p\(y \| x\) of Gaussian\(noise=0.1\) is -inf at 20 of 20 .*smaller",
    ),
    "weights beyond float32": ({}, X, X, {k: 1e10 * w for k, w in LARGE.items()}, "output.weight has numbers beyond"),
    "huge x": ({}, 1e30 * X, X, None, r"first: row 0, where y is 0.64 and the network's output -6.2e\+29"),
    "huge y": ({}, X, 1e30 * X, None, r"where y is 6.4e\+29"),
    "x beyond float32": ({}, 1e39 * X, X, None, r"x has numbers beyond 3.4e\+38, the largest of float32; scaled"),
    "y beyond float32": ({}, X, 1e39 * X, None, r"y has numbers beyond 3.4e\+38"),
    "one row": ({}, np.where(np.arange(20)[:, None] == 7, 1e25, X), X, None, "at 1 of 20 examples .first: row 7"),
    "counts overflow": (COUNTS, 1e4 * X, np.ones((20, 3)), None, r"log p\(y \| x\) of Poisson\(\) is -inf at 17 of 20"),
    "tiny noise": ({"likelihood": rpp.Gaussian(1e-25)}, X, X, None, "noise=1e-25"),
    "noise": (
        INFERRED,
        X,
        X,
        ONES | {"noise": 1e30},
        r"prior of noise, HalfNormal\(scale=1\), .* -inf at 1e\+30;",
    ),
    "sigma": ({"sigma_b": HALF}, X, X, ONES | {"sigma_b": 1e-30}, "prior of output.weight has the log density -inf"),
    "a narrow prior": ({"sigma_b": 1e-30}, X, X, ROUGH, "prior of output.weight .*larger sigmas, would do"),
    "StudentT": ({"likelihood": rpp.StudentT(1e-20, 3.0)}, 1e10 * X, X, None, "numbers overflow on the way in float32"),
    "few degrees": ({"likelihood": rpp.StudentT(0.1, 1e-45)}, X, X, None, "numbers overflow .*df=1e-45"),
}


def run(start, method, engine, **options):
    model, x, y, init, _ = start
    init = None if init is None else {k: np.asarray(v) for k, v in init.items()}
    return fit(Model(NET, **model), x, y, method, engine=engine, init=init, progress=False, **options)


@pytest.mark.parametrize("start", STARTS)
def test_samplers_say_what_is_wrong(start):
    with pytest.raises(
        TrainingError, match=f"the log density is not finite at the start of chain 0: .*{STARTS[start][4]}"
    ):
        run(STARTS[start], NUTS(1, 20, 5), "pyro")


@pytest.mark.parametrize("start", ["huge weights", "counts overflow", "noise", "StudentT"])
@pytest.mark.parametrize("kind", [NUTS, HMC])
def test_so_it_is_in_numpyro(start, kind):
    with pytest.raises(TrainingError, match=f"start of chain 0: .*{STARTS[start][4]}"):
        run(STARTS[start], kind(2, 20, 5), "numpyro")


@pytest.mark.filterwarnings("ignore:Encountered NaN")  # Pyro's own
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("method", [MAP(epochs=1), SVI(epochs=1, draws=2)], ids=["MAP", "SVI"])
def test_methods_that_train_say_the_same(start, method):
    with pytest.raises(TrainingError, match="the log density is not finite at the start of member 0: ") as raised:
        run(STARTS[start], method, "pyro")
    assert raised.value.posterior is None


@pytest.mark.parametrize("start", ["huge weights", "counts overflow", "noise", "sigma"])
def test_so_does_laplace_without_training(start):
    with pytest.raises(TrainingError, match=f"not finite at the start: .*{STARTS[start][4]}"):
        run(STARTS[start], Laplace(epochs=0, draws=5), "pyro")


def test_the_chain_is_named_also_where_another_process_raises():
    two = {k: np.stack([w, 1e30 * w]) for k, w in ONES.items()}
    with pytest.raises(TrainingError, match="at the start of chain 1: log p") as raised:
        run(({}, X, X, two, ""), NUTS(2, 20, 5), "pyro")
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


@pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")
def test_large_but_finite_starts_are_taken():
    post = run(({}, 1e3 * X, 1e3 * X, {k: 100 * w for k, w in ONES.items()}, ""), NUTS(1, 20, 5), "pyro")
    assert np.isfinite(post.samples["output.weight"]).all()
