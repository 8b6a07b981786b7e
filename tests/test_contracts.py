"""Our own likelihoods, methods and networks pass the contracts that the package ships; subspaces in tests/priors."""

from dataclasses import dataclass

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.testing import (
    check_likelihood,
    check_method,
    check_network,
    check_parametrization,
    check_subspace,
)

HALF = rpp.Prior("HalfNormal", {"scale": 0.5})
LIKELIHOODS = [
    rpp.Gaussian(0.3),
    rpp.Gaussian(HALF),
    rpp.EnergyForces(0.3, HALF),
    rpp.StudentT(0.3, df=5.0),
    rpp.StudentT(HALF, df=rpp.Prior("Gamma", {"concentration": 12.0, "rate": 2.0})),
    rpp.Bernoulli(),
    rpp.Categorical(),
    rpp.Categorical(temperature=0.5),
    rpp.Poisson(),
]
V0, V1 = rpp.Vector.on(0), rpp.Vector.on(1)
NETWORKS = {
    "emlp": lambda: rpp.EMLP(rpp.Scalar + rpp.Vector, rpp.Vector, rpp.O(3), channels=16, layers=2),
    "linear": lambda: rpp.EMLP(rpp.Vector, rpp.T(2), rpp.SO(3), layers=0),
    "nested": lambda: rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(2), channels=8, layers=1, subgroups=[rpp.Trivial(2)]),
    "product": lambda: rpp.EMLP(
        rpp.Vector.on(0) * rpp.Vector.on(1), rpp.Vector.on(1), rpp.S(3) * rpp.O(2), channels=16
    ),
    "mlp": lambda: rpp.MLP(3, 2, None, channels=8, layers=2),
    "particles": lambda: rpp.ParticleNetwork(
        3, features=rpp.Vector, out=rpp.Vector, channels=6, layers=1, bilinear=False
    ),
    "conv": lambda: rpp.ConvNet((1, 6, 6), 3, channels=(2, 2)),
}
METHODS = {  # SVI against known posteriors is in tests/inference
    "map": (rpp.MAP(epochs=250, batch_size=None, learning_rate=0.1), "mode"),
    "ensemble": (rpp.DeepEnsemble(members=2, epochs=250, batch_size=None, learning_rate=0.1), "mode"),
    "laplace": (rpp.Laplace(epochs=100, batch_size=None, draws=4000), "posterior"),
    "svi": (rpp.SVI(20, None, draws=50), "nothing"),
    "hmc": (rpp.HMC(chains=2, warmup=60, draws=100), "posterior"),
    "nuts": (rpp.NUTS(chains=2, warmup=40, draws=60), "posterior"),
    "mclmc": (rpp.MCLMC(chains=2, warmup=60, draws=100), "posterior"),
    "adjusted mclmc": (rpp.MCLMC(chains=2, warmup=60, draws=100, adjusted=True), "posterior"),
    "chees": (rpp.ChEES(chains=8, warmup=150, draws=50), "posterior"),
    "sghmc": (rpp.SGHMC(chains=2, warmup=20, draws=5, thinning=2), "nothing"),
    "mile": (rpp.MILE(members=2, epochs=20, warmup=60, draws=100), "posterior"),
}

OWN = {"mile", "adjusted mclmc"}  # have known posteriors in tests/inference


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_likelihoods(likelihood):
    check_likelihood(likelihood)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    check_network(NETWORKS[name](), equivariant=name not in ("conv",))


@pytest.mark.parametrize("name", [pytest.param(k, marks=pytest.mark.slow if k in OWN else ()) for k in METHODS])
def test_methods(name, engine):
    method, finds = METHODS[name]
    if name == "sghmc":  # bias is looked at in tests/inference
        pytest.importorskip({"numpyro": "blackjax", "pyro": "posteriors"}[engine])
    if "mclmc" in name or name in ("mile", "chees"):
        pytest.importorskip("blackjax")
        if engine == "pyro":
            pytest.skip("blackjax is of NumPyro")
    check_method(method, finds, engines=[engine])


@pytest.mark.parametrize("name", ["Weights", "Whitened", "Pathways"])
def test_parametrizations(name):
    check_parametrization(getattr(rpp.priors, name)())


class Shrunk(rpp.priors.Weights):
    """Half the weight that is drawn."""

    def split(self, site, prior, w):
        return {site: 2 * w}

    def join(self, site, prior, values):
        return values[site] / 2


def test_a_parametrization_of_another_prior_is_found():
    with pytest.raises(AssertionError, match="covariance"):
        check_parametrization(Shrunk())


class Skewed(rpp.subspaces.Subspace):
    """Not an orthogonal projector."""

    shape, rank = (2, 2), 1

    def encode(self, w):
        return w[..., 0, :1]

    def decode(self, beta):
        return (beta[..., None] * np.array([[1.0, 0.5], [0.0, 0.0]])).reshape((*beta.shape[:-1], 2, 2))


def test_what_breaks_a_contract_is_found():
    with pytest.raises(AssertionError, match=r"basis\(\)\^T basis\(\)"):
        check_subspace(Skewed())


class Doubled(rpp.Gaussian):
    """Its density and its draws differ."""

    def sample(self, rng, f, latents):
        return f + 2 * self.number("noise", latents) * rng.normal(size=f.shape)


def test_a_likelihood_of_other_draws_than_its_density_is_found():
    with pytest.raises(AssertionError, match="Fisher"):
        check_likelihood(Doubled(0.3))


def test_a_method_that_stops_short_is_found():
    with pytest.raises(AssertionError, match="deviations off"):
        check_method(rpp.MAP(epochs=5, batch_size=None, learning_rate=0.01), "mode", engines=["pyro"])


class Summed(rpp.MLP):
    """Its outputs depend on the other rows."""

    def __call__(self, params, x):
        f = super().__call__(params, x)
        return f + x.sum()


def test_a_network_that_mixes_rows_is_found():
    with pytest.raises(AssertionError, match="one row alone"):
        check_network(Summed(3, 2, None, channels=4, layers=1))


def test_a_likelihood_of_ones_own_comes_back_with_its_class(tmp_path):
    model = rpp.Model(rpp.MLP(2, 1, None, channels=2, layers=1), likelihood=Doubled(0.3))
    x, y = np.random.default_rng(0).normal(size=(2, 5, 2))
    post = rpp.fit(model, x, y[:, :1], rpp.MAP(epochs=1), engine="pyro", progress=False)
    path = post.save(tmp_path / "a.nc")
    assert rpp.Posterior.load(path, likelihood=Doubled(0.3)).model.likelihood == Doubled(0.3)
    for options, message in (({}, "likelihood must be given, as 'Doubled'"), ({"likelihood": Doubled(0.4)}, "0.3")):
        with pytest.raises(ValueError, match=message):
            rpp.Posterior.load(path, **options)


@dataclass(frozen=True)
class Still(rpp.inference.Method):
    """Heeds nothing but the data."""

    @property
    def count(self):
        return 1

    def run(self, task):
        mode = rpp.fit(task.model, task.x, task.y, rpp.MAP(epochs=1), engine=task.engine, progress=False)
        return task.posterior(dict(mode.samples))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": "folder"}, "checkpoint must be None for Still, which keeps no state, got a str"),
        ({"callbacks": print}, "callbacks must be None for Still, which has no epochs, got a tuple"),
        ({"callbacks": 3}, "callbacks must be functions of Progress, got 3"),
    ],
)
def test_what_a_method_of_ones_own_does_not_heed_is_an_error(options, message):
    problem = rpp.testing.LinearProblem()
    check_method(Still(), "nothing", engines=["pyro"])
    with pytest.raises((TypeError, ValueError), match=message):
        rpp.fit(problem.model, problem.x, problem.y, Still(), engine="pyro", progress=False, **options)


@pytest.mark.parametrize("home", ["nowhere", "bayes_rpp.inference", "bayes_rpp.inference.nowhere"])
def test_a_home_that_there_is_not_is_named(home):
    class Lost(Still):
        run = rpp.inference.Method.run

    Lost.home = home
    model = rpp.Model(rpp.MLP(2, 1, None, channels=2, layers=1))
    with pytest.raises(ValueError, match=f"home must be a package with a module 'pyro', got '{home}' without"):
        rpp.fit(model, np.zeros((5, 2)), np.zeros((5, 1)), Lost(), engine="pyro", progress=False)


@pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")
def test_no_callbacks_are_none_to_heed():
    problem, method = rpp.testing.LinearProblem(), rpp.HMC(chains=1, warmup=20, draws=2)
    rpp.fit(problem.model, problem.x, problem.y, method, engine="pyro", progress=False, callbacks=[])


def test_a_check_that_would_check_nothing_is_an_error():
    for options in ({"finds": "postrior"}, {"engines": []}):
        with pytest.raises(ValueError, match=next(iter(options))):
            check_method(Still(), **options)


def test_parametrizations_by_object_are_as_by_name(tmp_path):
    Weights, Whitened = rpp.priors.Weights, rpp.priors.Whitened
    problem = rpp.testing.LinearProblem(sigma_b=HALF, parametrization=Weights())
    with pytest.raises(ValueError, match=r"parametrization must be one in which a model with.*, got Weights\(\)"):
        rpp.fit(problem.model, problem.x, problem.y, rpp.MAP(epochs=1), engine="pyro", progress=False)
    problem = rpp.testing.LinearProblem(sigma_b=HALF, parametrization=Whitened())
    post = rpp.fit(problem.model, problem.x, problem.y, rpp.MAP(epochs=1), engine="pyro", progress=False)
    assert rpp.Posterior.load(post.save(tmp_path / "a.nc")).model.parametrization == "whitened"
