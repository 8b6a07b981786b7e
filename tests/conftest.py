"""Shared fixtures: small problems whose answers are known."""

import matplotlib as mpl
import pytest

mpl.use("agg")

ENGINES = ("numpyro", "pyro")


@pytest.fixture(params=ENGINES)
def engine(request):
    pytest.importorskip(request.param)
    return request.param
