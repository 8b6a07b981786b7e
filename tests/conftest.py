"""Shared fixtures: small problems whose answers are known."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors on one core each; threads of two workers would wait

import matplotlib as mpl
import pytest

mpl.use("agg")

ENGINES = ("numpyro", "pyro")


@pytest.fixture(params=ENGINES)
def engine(request):
    pytest.importorskip(request.param)
    return request.param
