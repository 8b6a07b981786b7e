"""Threads of one process share what is compiled, and get what they would get alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

import bayes_rpp as rpp

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
MAP = rpp.MAP(epochs=3, batch_size=5)
pytestmark = pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")


def model(sigma_b, channels=6):
    return rpp.Model(rpp.EMLP(rpp.Vector, rpp.Vector, rpp.SO(3), channels=channels, layers=1), sigma_b=sigma_b)


# The same model with two seeds, others of its shapes with other numbers, another network, and another method.
LAPLACE = rpp.Laplace(epochs=2, draws=5)
TASKS = [(0.1, 6, MAP, 0), (0.1, 6, MAP, 1), (0.5, 6, MAP, 0), (0.1, 8, MAP, 0), (0.1, 6, LAPLACE, 0)]


def work(engine, sigma_b, channels, method, seed):
    """A fit and what is computed of it: draws, predictions and errors, which take no turns."""
    post = rpp.fit(model(sigma_b, channels), X, X, method, engine=engine, seed=seed, progress=False)
    found = {"mean": post.predict(X).mean, "error": post.equivariance_error(X)}
    return {**post.samples, **found}


alone_of = cache(work)


def clear():
    """Forget all programs, as fits of many other models would."""
    for name in ("optimise.map", "optimise.svi", "sample.blocks"):
        pytest.importorskip(f"bayes_rpp.inference.{name}.numpyro")._programs.cache_clear()
    pytest.importorskip("bayes_rpp.engines.jax")._compiled.cache_clear()
    pytest.importorskip("bayes_rpp.engines.numpyro")._compiled.cache_clear()


@pytest.mark.parametrize("forgetful", [pytest.param(False, marks=pytest.mark.slow), True])
def test_threads_get_what_they_would_get_alone(engine, forgetful):
    if forgetful and engine != "numpyro":
        pytest.skip("Pyro keeps no programs")
    todo = TASKS[2:4] if forgetful else TASKS
    alone = [alone_of(engine, *task) for task in todo]
    count = 3 if forgetful else 4
    start, errors = threading.Barrier(count), []

    def at_once(number):
        start.wait()
        # Each in an order of its own, so that all tasks meet all others.
        for k in np.roll(range(len(todo)), -number):
            if forgetful:
                clear()
            found = work(engine, *todo[k])
            assert found.keys() == alone[k].keys()
            errors.extend((k, name) for name, v in found.items() if not np.array_equal(v, alone[k][name]))

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(at_once, range(count)))
    assert not errors


@pytest.mark.parametrize("kind", ["network", "function"])
def test_threads_may_ask_one_posterior_at_once(engine, kind):
    gp = rpp.GaussianProcess(rpp.Vector, rpp.Vector, rpp.SO(2) * rpp.Trivial(1))
    one = model(0.1) if kind == "network" else gp
    fitted = rpp.fit(one, X, X, MAP if kind == "network" else rpp.MAP(), engine=engine, progress=False)
    start, points = threading.Barrier(4), [X[: 3 + k] + 1 for k in range(4)]  # of other shapes, which compile anew

    def asked(post, x):
        p = post.predict(x)
        return p.mean, p.std, post.equivariance_error(x), post.log_likelihood(x, x)

    def at_once(number):
        start.wait()
        return [asked(fitted, points[(number + k) % 4]) for k in range(4)]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(at_once, range(4)))
    alone = [asked(fitted, x) for x in points]
    for number, answers in enumerate(found):
        for k, answer in enumerate(answers):
            for got, want in zip(answer, alone[(number + k) % 4], strict=True):
                np.testing.assert_array_equal(got, want)
