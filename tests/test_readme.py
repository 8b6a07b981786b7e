"""The README's code, and that of the tour, run as they stand, only smaller."""

import matplotlib.pyplot as plt
import pytest

from tests.snippets import blocks, run

torch = pytest.importorskip("torch")

README = {
    "channels=384, layers=3": "channels=8, layers=1",
    "members=10": "members=2",
    "every=5": "every=1",
    "epochs=50": "epochs=3",
    "[:100]": "[:20]",
}
TOUR = {
    "epochs=50": "epochs=3",
    "epochs=100": "epochs=2",
    "epochs=20)": "epochs=2)",
    "channels=64, layers=2": "channels=8, layers=1",
    "channels=8, layers=1)\nmodel": "channels=4, layers=1, bilinear=False)\nmodel",
    "channels=[16, 16], strides=[1, 2]": "channels=[2, 2], strides=[1, 2]",
    "fit(gp, x[:100], y[:100]": "fit(gp, x[:20], y[:20]",
    "chains=4, warmup=100, draws=100": "chains=4, warmup=20, draws=10",
}


pytestmark = [
    pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:the strict network cannot carry all"),  # without bilinear layers, as in TOUR
    pytest.mark.filterwarnings("ignore:averages over"),  # of functions of pure noise, whose lengthscales may be short
]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    pytest.importorskip("numpyro")
    pytest.importorskip("pyro")
    monkeypatch.chdir(tmp_path)
    yield
    plt.close("all")


def test_every_block_runs_in_order(tmp_path):
    assert len(blocks("README.md")) == 2
    names = run("README.md", README)
    assert (tmp_path / "posterior.nc").exists()
    assert names["mean"].shape == names["std"].shape == (1000, 9)


@pytest.mark.slow
def test_every_block_of_the_tour_runs_in_order(tmp_path):
    assert len(blocks("docs/tour.md")) == 10
    names = run("docs/tour.md", TOUR)
    assert (tmp_path / "my-run" / "state.npz").exists()
    assert isinstance(names["module"][3], torch.nn.Linear)
    assert names["nested"].net.pathways == 2
    assert names["found"]["mse"].shape == (2, 3, 3)
    assert isinstance(names["laplace"].log_evidence, float)
    assert names["forces"].predict(names["x"]).shape == (200, 3)
    assert names["mcmc"].get_samples()["output.weight"].shape == (100, 3, 3)
    assert names["post"].equivariance_error(names["x"][:, :3]).shape == (1, 100, 200)
