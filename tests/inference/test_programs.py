"""What is compiled for a model serves all that are configured alike, and no other."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.inference.run.identity import Configured

HALF = rpp.Prior("HalfNormal", {"scale": 0.3})
X = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
METHOD = rpp.HMC(chains=1, warmup=20, draws=4)


def model(noise=0.1, net=None, **options):
    net = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), layers=0) if net is None else net
    return rpp.Model(net, likelihood=rpp.Gaussian(noise), **({"sigma_b": HALF} | options))


def custom(rho):
    return rpp.EMLP(rpp.Rep.custom(rho, name="mine"), rpp.Vector, rpp.O(3), layers=0)


def same(g):
    return g


def signed(g):
    return np.linalg.det(g) * g


class Noisy(rpp.Gaussian):
    """Of the same name and numbers as another one's, it may be another likelihood."""


class Own(rpp.MLP):
    """Code of the user's, of which a description says little."""


def test_models_of_one_configuration_are_equal():
    one = Configured.of(model())
    assert one == Configured.of(model())
    assert hash(one) == hash(Configured.of(model()))
    assert Configured.of(model(net=custom(same))) == Configured.of(model(net=custom(same)))
    options = [{"sigma_b": 0.3}, {"sigma_a": 2.0}, {"scale": None}, {"parametrization": "weights"}]
    nets = [custom(same), custom(signed), rpp.MLP(3, 3, layers=0),
            rpp.EMLP(rpp.Vector, rpp.Vector, rpp.SO(3), layers=0)]  # fmt: skip
    others = [model(0.2), model(HALF), model().replace(likelihood=Noisy(0.1)), *(model(**o) for o in options)]
    others += [model(net=net) for net in nets]
    orders = [{"output.w*": 1.0, "output.*": 0.01}, {"output.*": 0.01, "output.w*": 1.0}]  # the first that fits counts
    others += [model(sigma_b=patterns) for patterns in orders]
    assert len({one, *map(Configured.of, others)}) == 1 + len(others)
    own = Own(3, 3, layers=0)
    assert Configured.of(model(net=own)) == Configured.of(model(net=own))
    assert Configured.of(model(net=own)) != Configured.of(model(net=Own(3, 3, layers=0)))


@pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")
def test_an_equal_model_finds_its_program_and_a_changed_one_does_not():
    home = pytest.importorskip("bayes_rpp.inference.sample.blocks.numpyro")
    home._programs.cache_clear()

    def draws(one):
        post = rpp.fit(one, X, X, METHOD, engine="numpyro", progress=False)
        info = home._programs.cache_info()
        return post.samples["output.weight"], (info.hits, info.misses)

    first, counts = draws(model())
    assert counts == (0, 1)
    again, counts = draws(model())
    assert counts == (1, 1)
    np.testing.assert_array_equal(again, first)
    other, counts = draws(model(noise=1.0))
    assert counts == (2, 1)  # a plain number is an argument
    assert not np.array_equal(other, first)
    assert draws(model(parametrization="weights"))[1] == (2, 2)


def test_optimization_with_other_data_and_another_seed_compiles_nothing(monkeypatch):
    home = pytest.importorskip("bayes_rpp.inference.optimise.map.numpyro")
    programs, made = home._programs, []
    programs.cache_clear()
    monkeypatch.setattr(home, "_programs", lambda *known: (made.append(programs(*known)), made[-1])[1])

    def fitted(one, x, seed):
        method = rpp.DeepEnsemble(members=2, epochs=3, batch_size=5)
        return rpp.fit(one, x, x, method, engine="numpyro", seed=seed, progress=False).samples["output.weight"]

    first = fitted(model(), X, 0)
    assert not np.array_equal(fitted(model(), X + 1, 1), first)
    np.testing.assert_array_equal(fitted(model(), X, 0), first)
    info = programs.cache_info()
    assert (info.hits, info.misses) == (2, 1)
    assert not np.array_equal(fitted(model(noise=1.0), X, 0), first)
    assert programs.cache_info().misses == 1
    fitted(model(HALF), X, 0)
    assert programs.cache_info().misses == 2
    assert [epoch._cache_size() for _, epoch, _ in made] == [1, 1, 1, 1, 1]


CHAOS = 0.05  # of chains: what differs in the last digit grows with each step


@pytest.mark.parametrize(
    ("method", "off", "count"),  # guides compile for long
    [
        (rpp.MAP(epochs=3), 1e-4, 4),
        (rpp.SVI(epochs=3, draws=5), 1e-4, 1),
        pytest.param(METHOD, CHAOS, 2, marks=pytest.mark.slow),
    ],
    ids=["MAP", "SVI", "HMC"],
)
@pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")
def test_plain_numbers_as_arguments_give_what_numbers_in_the_program_give(method, off, count, monkeypatch):
    identity = pytest.importorskip("bayes_rpp.inference.run.identity")
    kept = {"sigma_a": 0.7, "sigma_b": {"output.*": 0.2, "*": 0.1}}
    cases = [model(0.3, sigma_a=0.7, sigma_b=0.2), model(HALF, sigma_a=0.7, sigma_b=0.0), model(0.3, **kept)]
    chain = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), subgroups=[rpp.SO(2) * rpp.Trivial(1)], channels=4, layers=1)
    cases.append(model(0.3, chain, sigma_a=[0.7, HALF], sigma_b=0.2))

    def all_draws():
        found = [rpp.fit(one, X, X, method, engine="numpyro", progress=False).samples for one in cases[:count]]
        return [{k: np.asarray(v) for k, v in samples.items()} for samples in found]

    as_arguments = all_draws()
    monkeypatch.setattr(identity, "opened", lambda one: (one, {}))
    for one, other in zip(as_arguments, all_draws(), strict=True):
        for name, draws in one.items():
            np.testing.assert_allclose(draws, other[name], rtol=1e-3, atol=off)


def test_what_becomes_of_the_users_dicts_changes_no_model():
    patterns, numbers = {"*": 0.1}, {"scale": 0.3}
    given = rpp.Model(model().net, sigma_b=patterns, likelihood=rpp.Gaussian(rpp.Prior("HalfNormal", numbers)))
    before = Configured.of(given)
    patterns["*"], numbers["scale"] = 9.0, 9.0
    assert Configured.of(given) == before
    assert given.sigma_b.config() == {"by_parameter": {"*": 0.1}}
    assert given.latents["noise"].arguments == {"scale": 0.3}
    assert hash(given.likelihood) == hash(rpp.Gaussian(rpp.Prior("HalfNormal", {"scale": 0.3})))
