"""Posteriors that the version before wrote load, and say the same."""

from pathlib import Path

import numpy as np
import pytest

import bayes_rpp as rpp

FILES = Path(__file__).parent / "files"  # written at commit 14d5fc6, with what was asked of the posteriors there


@pytest.mark.parametrize("name", ["ensemble", "nuts", "laplace"])
def test_files_of_before_load_and_say_the_same(name, tmp_path):
    post = rpp.Posterior.load(FILES / f"{name}.nc")
    with np.load(FILES / "predictions.npz") as file:
        wanted = dict(file)
    for loaded in (post, rpp.Posterior.load(post.save(tmp_path / "again.nc"))):
        x, y = wanted["x"], wanted["y"]
        p = loaded.predict(x)
        found = {"mean": p.mean, "std": p.std, "samples": p.samples, "noisy": loaded.predict(x, seed=3).samples}
        found |= {"error": loaded.equivariance_error(x), "log_likelihood": loaded.log_likelihood(x, y)}
        found |= {f"asymmetry.{layer}": ratio for layer, ratio in loaded.asymmetry().items()}
        assert {f"{name}.{k}" for k in found} == {k for k in wanted if k.startswith(name)}
        for k, value in found.items():
            np.testing.assert_allclose(value, wanted[f"{name}.{k}"], rtol=1e-4, atol=1e-5, err_msg=k)


def test_all_that_they_hold_is_there():
    ensemble, nuts, laplace = (rpp.Posterior.load(FILES / f"{k}.nc") for k in ("ensemble", "nuts", "laplace"))
    assert (ensemble.chains, ensemble.draws, ensemble.engine) == (1, 2, "numpyro")
    assert ensemble.model.sigma_b.config() == {"per_layer": {"HalfNormal": {"scale": 0.1}}}
    assert ensemble.training["loss"].shape == ensemble.training["equivariance_error"].shape == (2, 20)
    assert ensemble.summary().distance is not None
    assert (nuts.chains, nuts.draws, nuts.seed) == (2, 4, 1)
    assert (
        nuts.samples["sigma_b"].shape == nuts.samples["noise"].shape == nuts.sample_stats["diverging"].shape == (2, 4)
    )
    assert "max_tree_depth=10" in nuts.method
    assert laplace.log_evidence == pytest.approx(-0.54088, abs=1e-4)
    assert laplace.model.likelihood.df == 4.0
    assert {k: w.shape for k, w in laplace.center.items()} == {k: p.shape for k, p in laplace.model.priors.items()}
