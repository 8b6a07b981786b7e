"""Arrays of each library that is installed, comparisons that say what was compared, and what workers get."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from bayes_rpp._imports import load_module

Maker = Callable[[np.ndarray], Any]


def libraries() -> Iterator[tuple[str, Maker, float]]:
    """Name, a function from numpy arrays, and the relative rounding to be expected of each; JAX has float32, unless the
    process says otherwise."""
    yield "numpy", np.asarray, 1e-10
    if find_spec("torch"):
        yield "torch", load_module("torch").tensor, 1e-10
    if find_spec("jax"):
        jnp = load_module("jax.numpy")
        yield "jax", jnp.asarray, 1e-10 if jnp.zeros(1, dtype=float).dtype == np.float64 else 1e-4


def pickled(value: Any) -> Any:
    """As a worker of an executor gets it: loky's and Dask's take classes of a notebook, too."""
    return load_module("cloudpickle").loads(load_module("cloudpickle").dumps(value))


def same(got: Any, want: Any, what: str, tolerance: float) -> None:
    """Raise AssertionError unless two arrays agree, up to a share of the largest entry."""
    got = np.asarray(got.detach() if hasattr(got, "detach") else got)
    want = np.asarray(want)
    assert got.shape == want.shape, f"{what} must have shape {want.shape}, got {got.shape}"
    scale = max(1.0, float(np.abs(want).max(initial=0.0)))
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale, err_msg=what)
