import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import bayes_rpp as rpp

pytest.importorskip("numpyro")

FIT = """
import sys, warnings, jax, bayes_rpp as rpp
warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event.rpartition("/")[2]))
jax.numpy.zeros(3).sum()  # something was compiled before
folder = rpp.inference.cache_compilations(sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)  # on a busy machine any program may take its time
x = rpp.datasets.inertia(20).x[:, :3]
model = rpp.Model(rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), layers=0))
for method in rpp.MAP(epochs=1), rpp.SVI(epochs=1, draws=2), rpp.NUTS(chains=1, warmup=20, draws=2):
    events.clear()
    post = rpp.fit(model, x, x, method, engine="numpyro", progress=False)
    print(*map(events.count, ("cache_hits", "cache_misses")), len(list(folder.iterdir())))
    print(post.samples["output.weight"].sum())
"""


def run(code, *arguments, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}  # not the folder that the tests share
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=env | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_next_run_reads_what_was_compiled(tmp_path):
    runs = [np.reshape([float(v) for v in run(FIT, tmp_path / "deep" / "er")], (3, 4)) for _ in range(2)]
    for method, first, again in zip(("MAP", "SVI", "NUTS"), *runs, strict=True):
        (_, compiled, files, found), (warm, missed, _, repeated) = first, again
        assert files > 0, method
        assert warm >= compiled, method
        assert missed == 0, method  # each process has hashes of its own, which must not change the order of operations
        assert found == repeated, method


DEFAULT = """
import os, bayes_rpp as rpp
print(rpp.inference.cache_compilations(), os.environ.get("JAX_COMPILATION_CACHE_DIR"))
import jax
print(jax.config.jax_compilation_cache_dir, rpp.inference.cache_compilations())
print(jax.config.jax_compilation_cache_max_size)
"""


def test_without_a_folder_the_environment_says_where(tmp_path):
    home, own = str(tmp_path / "bayes-rpp"), str(tmp_path / "own")
    limit = str(2**30) if find_spec("filelock") else "-1"
    assert run(DEFAULT, XDG_CACHE_HOME=str(tmp_path)) == [home, home, home, home, limit]
    for variable in ("BAYES_RPP_CACHE", "JAX_COMPILATION_CACHE_DIR"):
        assert run(DEFAULT, **{variable: own}) == [own, own, own, own, "-1"]
    assert run(DEFAULT, BAYES_RPP_CACHE="off") == ["None", "None", "None", "None", "-1"]


@pytest.mark.parametrize("folder", [3, ""])
def test_a_folder_that_is_no_path_is_named(folder):
    with pytest.raises(TypeError, match="folder must be a path, got"):
        rpp.inference.cache_compilations(folder)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(FileExistsError):
        rpp.inference.cache_compilations(tmp_path / "taken")
