"""A run that was stopped goes on in another process, whatever its priors are given as."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys, warnings
import numpy as np, numpyro.distributions, pyro.distributions, pyro.infer.autoguide, numpyro.infer.autoguide
import bayes_rpp as rpp

warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)
folder, stop, engine = sys.argv[1], int(sys.argv[2]), sys.argv[3]
half = rpp.Prior("HalfNormal", {"scale": 0.3})
torchs, jaxs = pyro.distributions.HalfNormal(0.3), numpyro.distributions.HalfNormal(0.3)
GIVEN = {
    "number": (0.3, 0.3, 0.3),
    "pattern": ({"*.weight": 0.3, "*": jaxs}, {"*.weight": torchs, "*": 0.1}, 0.3),
    "layers": (rpp.PerLayer(half), rpp.PerLayer(jaxs), torchs),
    "Prior": (half, half, half),
    "NumPyro": (jaxs, jaxs, jaxs),
    "Pyro": (torchs, torchs, torchs),
}
x = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)


def model(a, b, noise):
    return rpp.Model(rpp.MLP(3, 1, layers=0), sigma_a=a, sigma_b=b, likelihood=rpp.Gaussian(noise))


class Stopped(Exception):
    pass


def run(name, model, method):
    seen = []

    def look(progress):
        seen.append(progress.epoch)
        if progress.epoch == stop:
            raise Stopped

    def fit(**options):
        return rpp.fit(model, x, x[:, :1], method, engine=engine, progress=False, **options)

    kept = rpp.inference.Checkpoint(f"{folder}/{name}", every=0)
    if isinstance(method, rpp.NUTS):
        post = fit(checkpoint=kept)
    else:
        try:
            post = fit(checkpoint=kept, callbacks=look)
        except Stopped:
            return
        assert seen == [2, 3], seen  # the epoch whose end it did not see, and the rest
        whole = fit()
        assert all(np.array_equal(post.samples[k], whole.samples[k]) for k in whole.samples)
    print(name, float(post.samples["output.weight"].sum()))


guides = {"pyro": pyro.infer.autoguide.AutoNormal, "numpyro": numpyro.infer.autoguide.AutoNormal}
for name in GIVEN if engine == "pyro" else ["pattern", "NumPyro"]:
    run(name, model(*GIVEN[name]), rpp.MAP(epochs=3))
lambdas = rpp.SVI(epochs=3, draws=2, guide=lambda model: guides[engine](model, init_scale=0.05))
run("guide", model(*GIVEN["number"]), lambdas)
run("NUTS", model(1.0, jaxs, numpyro.distributions.HalfNormal(1.0)), rpp.NUTS(chains=1, warmup=20, draws=4))
"""


@pytest.mark.parametrize("engine", ["pyro", pytest.param("numpyro", marks=pytest.mark.slow)])
def test_runs_go_on_in_another_process(engine, tmp_path):
    pytest.importorskip("pyro")
    pytest.importorskip("numpyro")

    def process(stop, seed):
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path), str(stop), engine]
        environment = {**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONHASHSEED": str(seed)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    first = process(2, 1)
    written = {p: p.stat().st_mtime_ns for p in tmp_path.glob("NUTS/*.npz")}
    second = process(0, 2)
    assert len(first) == 1
    assert len(second) == (8 if engine == "pyro" else 4)
    assert second[-1] == first[0]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("NUTS/*.npz")} == written  # read, not run
