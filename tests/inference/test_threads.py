"""Small networks are trained on one thread of torch, larger ones on as many as there are; and fits of several threads
of Python find the programs of each other."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import bayes_rpp as rpp

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


@pytest.mark.parametrize(("width", "expected"), [(8, 1), (1024, 2)])
def test_steps_of_small_networks_run_on_one_thread(width, expected):
    torch = pytest.importorskip("torch")
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        model = rpp.Model(rpp.MLP(3, 3, channels=width, layers=2))
        look = [lambda progress: seen.append(torch.get_num_threads())]
        rpp.fit(model, X, X, rpp.MAP(epochs=1), engine="pyro", callbacks=look, progress=False)
        assert set(seen) == {expected}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_that_fit_side_by_side_get_what_each_would_alone(engine):
    def fitted(job):
        channels, sigma_b, seed = job
        model = rpp.Model(rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), channels=channels, layers=1), sigma_b=sigma_b)
        post = rpp.fit(model, X, X, rpp.MAP(epochs=3), engine=engine, seed=seed, progress=False)
        return post.samples["layers.0.weight"]

    jobs = [(4, 0.1, 0), (4, 0.3, 1), (5, 0.1, 0), (5, 0.1, 1)]
    alone = [fitted(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(fitted, jobs * 2))
    for one, other in zip(alone * 2, together, strict=True):
        np.testing.assert_array_equal(one, other)
