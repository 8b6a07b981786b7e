"""Small networks are trained on one thread of torch, small matrices taken on one of BLAS, larger ones on all."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

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


def threads_of_blas():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_small_matrices_are_taken_on_one_thread_of_blas(monkeypatch):
    """Those of functions, and of networks by `run_task`."""
    seen = []
    monkeypatch.setattr("bayes_rpp.inference.fit.fit_process", lambda task: seen.append(threads_of_blas()))
    with threadpool_limits(limits=2, user_api="blas"):
        before = threads_of_blas()
        for rows in (40, 400):
            x = np.zeros((rows, 3))
            rpp.fit(rpp.GaussianProcess(rpp.Vector, rpp.Vector, rpp.O(3)), x, x, rpp.MAP())
        assert seen == [{1}, before]
        assert threads_of_blas() == before
