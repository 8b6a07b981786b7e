"""Derivatives and loops of torch and JAX, for networks that are defined by a derivative: the same names in each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

from array_api_compat import is_jax_array, is_torch_array

from bayes_rpp._arrays import Array
from bayes_rpp._imports import load_module

LIBRARIES = {"pyro": "torch", "numpyro": "jax"}


def library_of(x: Array, engines: Sequence[str]) -> tuple[Any, bool]:
    """The module of these functions that fits an array, and whether the array is one of its own; any other array goes
    to what is loaded already, or else installed, of these engines.

    Raises:
        ImportError: if neither is.
    """
    if is_torch_array(x) or is_jax_array(x):
        return _module("pyro" if is_torch_array(x) else "numpyro"), True
    found = [e for e in engines if LIBRARIES[e] in sys.modules] or [e for e in engines if find_spec(LIBRARIES[e])]
    if not found:
        wanted = " or ".join(LIBRARIES[e] for e in engines)
        raise ImportError(
            f"derivatives of numpy arrays need {wanted}, which is not installed; the extra "
            f"{' or '.join(engines)} of bayes-rpp would do"
        )
    return _module(found[0]), False


@cache
def _module(engine: str) -> Any:
    return load_module(f"bayes_rpp.engines.{LIBRARIES[engine]}")
