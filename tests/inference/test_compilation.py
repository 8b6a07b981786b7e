import os
import subprocess
import sys

import pytest

import bayes_rpp as rpp

pytest.importorskip("numpyro")

FIT = """
import sys, jax, bayes_rpp as rpp
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event.rpartition("/")[2]))
jax.numpy.zeros(3).sum()  # something was compiled before
folder = rpp.inference.cache_compilations(sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)  # on a busy machine any program may take its time
data = rpp.datasets.inertia(20)
model = rpp.Model(rpp.EMLP(data.rep_in, data.rep_out, data.group, channels=8, layers=1))
post = rpp.fit(model, data.x, data.y, rpp.MAP(epochs=1), engine="numpyro", progress=False)
print(*map(events.count, ("cache_hits", "cache_misses")), len(list(folder.iterdir())), post.training["loss"][0, 0])
"""


def test_the_next_run_reads_what_was_compiled(tmp_path):
    folder = tmp_path / "deep" / "er"
    runs = []
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}  # not the folder that the tests share
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", FIT, folder], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        runs.append([float(v) for v in done.stdout.split()])
    (cold, compiled, files, loss), (warm, missed, _, again) = runs
    assert cold == 0
    assert files > 0
    assert warm == compiled
    assert missed == 0  # each process has hashes of its own, which must not change the order of operations
    assert loss == again


@pytest.mark.parametrize("folder", [3, None, ""])
def test_a_folder_that_is_no_path_is_named(folder):
    with pytest.raises(TypeError, match="folder must be a path, got"):
        rpp.inference.cache_compilations(folder)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(FileExistsError):
        rpp.inference.cache_compilations(tmp_path / "taken")
