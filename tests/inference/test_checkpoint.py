"""A run that is killed at any moment resumes, and ends with the same draws as one that was not."""

import os
import signal
import subprocess
import sys
import time
import warnings
from functools import lru_cache

import numpy as np
import pytest

from bayes_rpp import (
    HMC,
    MCLMC,
    NUTS,
    SGHMC,
    SGLD,
    SVI,
    ChEES,
    DeepEnsemble,
    EquivarianceTracker,
    O,
    Posterior,
    Prior,
    fit,
)
from bayes_rpp.inference import Checkpoint, ConvergenceWarning
from tests.inference.known import LinearProblem, SmallLinearProblem

METHODS = {
    "ensemble": DeepEnsemble(members=2, epochs=15, batch_size=10),
    "long ensemble": DeepEnsemble(members=2, epochs=400, batch_size=40),
    "svi": SVI(members=2, epochs=15, batch_size=10, draws=20),
    "nuts": NUTS(chains=2, warmup=20, draws=20),
    "hmc": HMC(chains=2, warmup=20, draws=5),
    "long nuts": NUTS(chains=2, warmup=40, draws=60),
    "long mclmc": MCLMC(chains=2, warmup=400, draws=3000),
    "long chees": ChEES(chains=4, warmup=200, draws=400),
    "long sgld": SGLD(chains=2, warmup=100, draws=400, batch_size=20),
    "long sghmc": SGHMC(chains=2, warmup=100, draws=400, batch_size=20),
}
SCRIPT = """
import sys, warnings
import bayes_rpp as rpp
from tests.inference.test_checkpoint import run
if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], checkpoint=rpp.inference.Checkpoint(sys.argv[3], every=0)).save(sys.argv[4])
"""


@lru_cache
def linear_problem():
    return SmallLinearProblem(
        sigma_b=Prior("HalfNormal", {"scale": 0.5}), n=40, noise=Prior("HalfNormal", {"scale": 1.0})
    )  # one model, so that engines compile it once


def run(name, engine, **options):
    problem = linear_problem()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(problem.model, problem.x, problem.y, METHODS[name], engine=engine, progress=False, **options)


whole_run = lru_cache(run)  # of a name and an engine; nothing changes it


def assert_same(a, b):
    assert set(a.samples) == set(b.samples)
    for part in ("samples", "sample_stats"):
        for name, values in getattr(a, part).items():
            np.testing.assert_array_equal(values, getattr(b, part)[name], err_msg=name)
    for name, values in a.training.items():
        # NumPyro adds up the terms of a loss in the order of a set of strings, another one in each process.
        np.testing.assert_allclose(values, b.training[name], rtol=1e-6, err_msg=name)


class Stop(Exception):
    pass


# Each of these takes half a minute; the cases that are not run by default go the same way on the other engine.
SLOW = {
    ("pyro", "nuts"),
    ("numpyro", "long ensemble"),
    ("pyro", "long nuts"),
    ("numpyro", "hmc"),
    ("pyro", "long ensemble"),
}


def cases(*names):
    found = [(e, n) for e in ("numpyro", "pyro") for n in names]
    return [pytest.param(*c, marks=pytest.mark.slow if c in SLOW else ()) for c in found]


@pytest.mark.parametrize(("engine", "name"), cases("ensemble", "svi", "nuts", "hmc"))
def test_a_stopped_run_goes_on_and_ends_the_same(engine, name, tmp_path, monkeypatch):
    whole = whole_run(name, engine)
    from bayes_rpp.inference.run.checkpoint import Store

    saved, save = [], Store.save

    def stop_sometimes(self, *args):
        save(self, *args)
        saved.append(1)
        if len(saved) in (2, 5, 6):
            raise Stop

    monkeypatch.setattr(Store, "save", stop_sometimes)
    for _ in range(3):
        with pytest.raises(Stop):
            run(name, engine, checkpoint=Checkpoint(tmp_path, every=0))
    assert_same(run(name, engine, checkpoint=Checkpoint(tmp_path, every=0)), whole)
    done = len(saved)
    assert_same(run(name, engine, checkpoint=tmp_path), whole)  # finished: read, not run
    assert len(saved) == done


KILLED = [
    *cases("long ensemble", "long nuts"),
    *(pytest.param("numpyro", name, marks=pytest.mark.slow) for name in ("long mclmc", "long chees", "long sghmc")),
    *(pytest.param(engine, "long sgld", marks=pytest.mark.slow) for engine in ("numpyro", "pyro")),
]


@pytest.mark.parametrize(("engine", "name"), KILLED)
def test_kill_9_loses_nothing(engine, name, tmp_path):
    folder, out = tmp_path / "run", tmp_path / "post.nc"
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, name, engine, str(folder), str(out)]
    kills = 0
    for written in (2, 4):
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()})
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            states = list(folder.rglob("state.npz"))
            if _writes(states) >= written:
                process.send_signal(signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
                break
            time.sleep(0.002)
    assert kills >= 1
    assert not out.exists()
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert_same(Posterior.load(out), whole_run(name, engine))


def _writes(states):
    """How far the run has come: epochs or draws that are on disk."""
    total = 0
    for state in states:
        try:
            with np.load(state) as file:
                total += int(file["epoch"] if "epoch" in file.files else file["done"])
        except (OSError, ValueError, KeyError):
            return 0
    return total


def test_trackers_and_early_stopping_resume(engine, tmp_path, monkeypatch):
    from bayes_rpp.inference.run.checkpoint import Store

    problem = LinearProblem()
    method = DeepEnsemble(members=2, epochs=80, batch_size=10, patience=5, learning_rate=0.1)

    def run(**options):
        tracker = EquivarianceTracker(O(3), every=7)
        pair = (problem.x[30:], problem.y[30:])
        options |= {"validation": pair, "callbacks": [tracker], "progress": False, "engine": engine}
        return fit(problem.model, problem.x[:30], problem.y[:30], method, **options), tracker

    whole, tracker = run()
    assert whole.training["loss"].shape[1] < 80
    save = Store.save

    def stop_at_nine(self, state, *args):
        save(self, state, *args)
        if int(state["epoch"]) == 9:
            raise Stop

    monkeypatch.setattr(Store, "save", stop_at_nine)
    with pytest.raises(Stop):
        run(checkpoint=Checkpoint(tmp_path, every=0))
    monkeypatch.undo()
    for _ in range(2):
        again, other = run(checkpoint=Checkpoint(tmp_path, every=0))
        assert_same(again, whole)
        np.testing.assert_array_equal(other.error, tracker.error)
        np.testing.assert_array_equal(other.epoch, tracker.epoch)


@pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")
def test_chains_do_not_depend_on_how_they_are_run(engine, tmp_path):
    problem = SmallLinearProblem()
    settings = {"chains": 2, "warmup": 20, "draws": 3}

    def run(method, **options):
        return fit(problem.model, problem.x, problem.y, method, engine=engine, progress=False, **options)

    sequential = run(NUTS(**settings, chain_method="sequential"), checkpoint=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chain_0", "chain_1"]
    parallel = run(NUTS(**settings, chain_method="parallel"))
    assert_same(sequential, parallel)
    assert np.abs(np.diff(sequential.samples["output.weight"], axis=0)).max() > 0.01
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        assert_same(run(NUTS(**settings), executor=executor), parallel)


def test_folders_of_other_runs_and_broken_files_are_named(tmp_path):
    run("ensemble", "pyro", checkpoint=tmp_path)
    for change, name in (({"seed": 3}, "seed"), ({"engine": "numpyro"}, "engine")):
        with pytest.raises(ValueError, match=f"checkpoint must hold this run, got .* of another \\({name} differ"):
            run("ensemble", **{"engine": "pyro", "checkpoint": tmp_path, **change})
    with pytest.raises(ValueError, match="method differ"):
        run("svi", "pyro", checkpoint=tmp_path)
    (tmp_path / "state.npz").write_bytes((tmp_path / "state.npz").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"state.npz cannot be read .* remove the folder"):
        run("ensemble", "pyro", checkpoint=tmp_path)
    with pytest.raises(TypeError, match="checkpoint must be a folder's path, got 3"):
        run("ensemble", "pyro", checkpoint=3)
    with pytest.raises(ValueError, match="every must be a number of seconds >= 0, got -1"):
        Checkpoint(tmp_path, every=-1)


def test_a_full_disk_leaves_the_old_state_whole(tmp_path, monkeypatch):
    from bayes_rpp.inference.run import checkpoint

    whole = whole_run("ensemble", "pyro")
    savez, calls = np.savez, []

    def full(file, **arrays):
        calls.append(1)
        if len(calls) == 3:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        savez(file, **arrays)

    monkeypatch.setattr(checkpoint.np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        run("ensemble", "pyro", checkpoint=Checkpoint(tmp_path, every=0))
    assert_same(run("ensemble", "pyro", checkpoint=tmp_path), whole)
