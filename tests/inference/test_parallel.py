"""Fits and sweeps in executors give what they give without, also where workers are killed."""

import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Timer

import numpy as np
import pytest
from loky import ProcessPoolExecutor

from bayes_rpp import MAP, SVI, DeepEnsemble, EquivarianceTracker, O, fit, sweep
from bayes_rpp.inference import Checkpoint
from bayes_rpp.inference.run.parallel import divide, workers
from tests.inference.known import SmallLinearProblem

ENSEMBLE = DeepEnsemble(members=3, epochs=30, batch_size=10)
PROBLEM = SmallLinearProblem(n=40)


def run(method=ENSEMBLE, engine="pyro", n=40, **options):
    x, y = PROBLEM.x[:n], PROBLEM.y[:n]
    return fit(PROBLEM.model, x, y, method, engine=engine, progress=False, **options)


def assert_same(a, b):
    assert a.samples.keys() == b.samples.keys()
    for name, w in a.samples.items():
        np.testing.assert_allclose(w, b.samples[name], rtol=1e-5, atol=1e-6)
    for name, record in a.training.items():
        found = b.training[name]
        seen = np.isfinite(found)  # members that are trained apart stop apart
        np.testing.assert_allclose(found[seen], record[seen], rtol=1e-4)
    assert a.method == b.method


@pytest.fixture
def pool():
    pool = ProcessPoolExecutor(2)
    yield pool
    pool.shutdown(kill_workers=True)


@pytest.mark.parametrize("engine", ["numpyro", pytest.param("pyro", marks=pytest.mark.slow)], indirect=True)
def test_members_in_processes_are_those_of_one_fit(engine, pool, tmp_path):
    trackers = [EquivarianceTracker(O(2), every=10) for _ in range(2)]
    whole = run(engine=engine, callbacks=trackers[0])
    parts = run(engine=engine, callbacks=trackers[1], executor=pool, checkpoint=tmp_path)
    assert_same(whole, parts)
    np.testing.assert_array_equal(trackers[1].epoch, trackers[0].epoch)
    np.testing.assert_allclose(trackers[1].error, trackers[0].error, rtol=1e-4)
    np.testing.assert_allclose(trackers[1].loss, trackers[0].loss, rtol=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["members_0_to_0", "members_1_to_2"]


def test_each_member_stops_as_if_it_were_alone():
    validation = (PROBLEM.x[30:], PROBLEM.y[30:])
    method = DeepEnsemble(members=4, epochs=60, batch_size=10, learning_rate=0.2, patience=2)
    together = run(method, n=30, validation=validation)
    with ThreadPoolExecutor(4) as threads:  # which take turns
        apart = run(method, n=30, validation=validation, executor=threads)
    assert_same(together, apart)
    lengths = (~np.isnan(apart.training["loss"])).sum(axis=1)
    assert len(set(lengths)) > 1
    assert together.training["loss"].shape == (4, max(lengths))


def test_start_values_go_to_their_members():
    init = {k: np.random.default_rng(0).normal(size=(3, *p.shape)) for k, p in PROBLEM.model.priors.items()}
    with ThreadPoolExecutor(2) as threads:
        assert_same(run(init=init), run(init=init, executor=threads))


@pytest.mark.parametrize("engine", ["pyro", pytest.param("numpyro", marks=pytest.mark.slow)], indirect=True)
def test_cells_in_processes_are_those_of_one_sweep(engine, pool, tmp_path):
    options = {"sigma_b": [0.0, 0.1, 1.0], "seeds": range(2), "engine": engine, "progress": False}
    options |= {"test": (PROBLEM.x[:10], PROBLEM.y[:10])}
    data, method = (PROBLEM.x, PROBLEM.y), MAP(epochs=20, batch_size=10)
    whole = sweep(PROBLEM.model, data, method, **options)
    parts = sweep(PROBLEM.model, data, method, executor=pool, checkpoint=tmp_path, **options)
    assert whole.equals(whole.where(np.isfinite))
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4)
    assert len(list(tmp_path.iterdir())) == 3  # one without residuals, four cells in two programs of at most 3


def test_an_error_in_a_worker_reaches_the_user(pool):
    with pytest.raises(ZeroDivisionError):
        run(callbacks=[_raise], executor=pool)


def _raise(progress):
    raise ZeroDivisionError


def test_bad_executors_are_named():
    for method, executor, error, message in [
        (ENSEMBLE, 3, TypeError, r"executor must be a concurrent\.futures\.Executor, got 3"),
        (MAP(epochs=2), 3, TypeError, r"executor must be a concurrent\.futures\.Executor, got 3"),
        (
            SVI(epochs=2),
            ThreadPoolExecutor(1),
            ValueError,
            "executor must be None for SVI, which is one task, got a ThreadPoolExecutor",
        ),
    ]:
        with pytest.raises(error, match=message):
            run(method, executor=executor)
    with pytest.raises(TypeError, match=r"executor must be a concurrent\.futures\.Executor, got 3"):
        sweep(PROBLEM.model, (PROBLEM.x, PROBLEM.y), MAP(epochs=2), sigma_b=[0.1], executor=3)


def test_work_is_shared_out_evenly():
    assert divide(5, 2) == [(0, 1), (2, 3, 4)]
    assert divide(2, 8) == [(0,), (1,)]
    assert workers(ThreadPoolExecutor(3)) == 3

    class Unknown:
        def submit(self, function, *args):
            future = Future()
            future.set_result(function(*args))
            return future

    assert workers(Unknown()) == 4
    assert_same(run(), run(executor=Unknown()))


class Dies:
    """A callback that kills its process, the first that finds a checkpoint, some seconds later: in whatever it does."""

    def __init__(self, folder, after):
        self.folder, self.after = folder, after

    def __call__(self, progress):
        if any(self.folder.glob("members_*/state.npz")):
            try:
                (self.folder / "killed").touch(exist_ok=False)
            except FileExistsError:
                return
            Timer(self.after, os.kill, (os.getpid(), signal.SIGKILL)).start()


@pytest.mark.filterwarnings("ignore")  # of a cluster whose worker dies
@pytest.mark.slow
@pytest.mark.parametrize("time", range(10))
def test_nothing_is_lost_with_a_worker_of_dask(tmp_path, time):
    """A scheduler and two worker processes, one of them killed while it trains a member of an ensemble."""
    distributed = pytest.importorskip("distributed")
    method = DeepEnsemble(members=2, epochs=120, batch_size=10)
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        executor = client.get_executor(retries=3)
        assert workers(executor) == 2
        pids = client.run(os.getpid)
        dies = Dies(tmp_path, 0.02 * (1 + time))
        post = run(method, callbacks=[dies], executor=executor, checkpoint=Checkpoint(tmp_path, every=0.05))
        assert (tmp_path / "killed").exists()
        assert client.run(os.getpid) != pids
    assert_same(run(method), post)


SHARDED = """
import sys, numpy as np, jax, bayes_rpp as rpp
from tests.inference.test_parallel import run
from bayes_rpp.inference.optimise.map.numpyro import _devices
assert _devices(4) == len(jax.devices()) == int(sys.argv[2])
post = run(rpp.DeepEnsemble(members=4, epochs=20, batch_size=10), "numpyro")
np.savez(sys.argv[1], loss=post.training["loss"], **post.samples)
"""


def test_members_are_sharded_over_devices(tmp_path):
    pytest.importorskip("numpyro")
    found = []
    for devices in (1, 2):
        path = tmp_path / f"{devices}.npz"
        flags = f"--xla_force_host_platform_device_count={devices}"
        env = os.environ | {"XLA_FLAGS": flags}
        subprocess.run([sys.executable, "-c", SHARDED, path, str(devices)], env=env, check=True)
        found.append(np.load(path))
    for name in found[0].files:
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-5, atol=1e-7)
