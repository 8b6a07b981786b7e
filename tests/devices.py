"""What machines that run the tests have."""

import pytest


def has_gpu(engine):
    """Whether an engine that is installed sees one."""
    if engine == "pyro":
        return pytest.importorskip("torch").cuda.is_available()
    return pytest.importorskip("jax").default_backend() == "gpu"
