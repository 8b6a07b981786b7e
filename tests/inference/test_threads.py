"""Small networks are trained on one thread of torch, larger ones on as many as there are."""

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
