"""What the package imports when first needed leaves the process as it was, and does not meet that of another one."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from bayes_rpp._imports import load_arviz

arviz = load_arviz()

STATES = """
import random, sys, warnings
import numpy as np, torch
import bayes_rpp as rpp

def states():
    name, keys, *rest = np.random.get_state()
    return name, keys.tobytes(), *rest, random.getstate(), torch.get_rng_state().numpy().tobytes()

np.random.seed(7), random.seed(7), torch.manual_seed(7)
before = states()
x = np.random.default_rng(0).normal(size=(12, 3))
model = rpp.Model(rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), layers=0))
"""
USES = {
    "fit": "rpp.fit(model, x, x, rpp.MAP(epochs=1), engine='numpyro', progress=False)",
    "a distribution": "rpp.ResidualPathway(rpp.subspaces.FullSubspace((2, 2)), 1.0, 0.1).numpyro()",
    "compilations": "rpp.inference.cache_compilations('cache')",
    "all that is without JAX": (
        "import matplotlib; matplotlib.use('agg')\n"
        "post = rpp.fit(model, x, x, rpp.DeepEnsemble(members=3, epochs=1), engine='pyro', progress=False)\n"
        "post.to_arviz(); post.summary(); post.metrics(x, x); rpp.Posterior.load(post.save('p.nc')).predict(x)\n"
        "rpp.plots.plot_equivariance_posterior({'a': post}, x)\n"
        "rpp.RPPRegressor(engine='pyro', method=rpp.MAP(epochs=1), random_state=0, layers=0).fit(x, x[:, 0])\n"
        "rpp.rl.symmetries(); rpp.rl.SymmetricVecNormalize"
    ),
}


@pytest.mark.parametrize("use", USES)
def test_random_states_stay(use, tmp_path):
    for needed in ("numpyro", "pyro", "sklearn", "stable_baselines3"):
        pytest.importorskip(needed)
    code = f"{STATES}{USES[use]}\nassert states() == before"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.getcwd()})


def test_jax_alone_would_change_them():
    """Else the test above could not fail."""
    pytest.importorskip("jax")
    code = (
        "import numpy as np; a = np.random.get_state()[1].sum(); import jax; assert np.random.get_state()[1].sum() != a"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


ROBBED = """
import os, pathlib, sys
own = pathlib.Path.replace

def replace(self, target):  # another process was faster
    if str(self).startswith(os.environ["XDG_CACHE_HOME"]):
        self.unlink()
    return own(self, target)

pathlib.Path.replace = replace
"""


@pytest.mark.parametrize("ours", [True, False], ids=["through load_arviz", "plainly"])
def test_another_process_takes_the_stamp_of_arviz(ours, tmp_path):
    if not arviz.__version__.startswith("0."):
        pytest.skip("later versions keep no stamp")
    code = ROBBED + ("from bayes_rpp._imports import load_arviz; load_arviz()" if ours else "import arviz")
    home = {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | home, capture_output=True, text=True)
    assert ours == (done.returncode == 0), done.stderr
    assert ours == ("daily_warning.tmp" not in done.stderr)


@pytest.mark.slow
def test_processes_that_import_arviz_at_once(tmp_path):
    """ArviZ 0.23 writes a stamp at the first import of a day, which two processes take from one another; and warns."""
    code = "from bayes_rpp._imports import load_arviz; load_arviz().InferenceData"
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.getcwd()}

    def start(_):
        return subprocess.run([sys.executable, "-W", "error::FutureWarning", "-c", code], env=os.environ | home)

    with ThreadPoolExecutor(2) as two:
        assert [done.returncode for done in two.map(start, range(10))] == [0] * 10
    assert not (tmp_path / "arviz").exists()


def test_a_cache_that_cannot_be_written(tmp_path):
    pytest.importorskip("platformdirs")  # which later versions of ArviZ do without
    (tmp_path / "cache").write_text("a file where the folder would be")
    code = (
        "from bayes_rpp._imports import load_arviz; load_arviz(); "
        "import platformdirs; print(platformdirs.user_cache_dir())"
    )
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": os.getcwd()}
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | home, capture_output=True, text=True
    )
    assert said.stdout.strip() == str(tmp_path / "cache")
    assert "ArviZ is undergoing" not in said.stderr
