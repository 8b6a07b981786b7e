"""Shared fixtures: small problems whose answers are known."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec

# XLA's optimisations cost more here than they save; what is computed is the same but for rounding.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if "XLA_FLAGS" not in os.environ and find_spec("jax"):  # a third of the time; a flag that XLA has not ends its process
    flags = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    probe = [sys.executable, "-c", "import jax; jax.numpy.ones(1).sum()"]
    done = subprocess.run(probe, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, check=False)
    os.environ["XLA_FLAGS"] = "" if done.returncode else flags
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors on one core each; threads of two workers would wait
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # what one worker, fit or child has compiled, the others read
    folder = tempfile.mkdtemp()
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

import matplotlib as mpl
import pytest

from bayes_rpp._imports import load_arviz
from tests import shapes

shapes.install()
mpl.use("agg")
load_arviz()  # before a test imports it plainly: on a new machine, or on a new day, two workers would meet in its cache

ENGINES = ("numpyro", "pyro")


@pytest.fixture(params=ENGINES)
def engine(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture
def float64():
    """Double precision in both libraries."""
    torch = pytest.importorskip("torch")
    with pytest.importorskip("bayes_rpp.engines.jax").x64():
        torch.set_default_dtype(torch.float64)
        yield
        torch.set_default_dtype(torch.float32)
