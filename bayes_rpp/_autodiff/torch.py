"""Derivatives and loops in torch; the same names as in `bayes_rpp._autodiff.numpyro`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def gradient(function: Callable[[torch.Tensor], torch.Tensor], z: torch.Tensor) -> torch.Tensor:
    """Of a function that takes each row of z to one number: (..., d) to (..., d)."""
    return torch.func.grad(lambda z: function(z).sum())(z)


def loop(body: Callable[[Any, Any], tuple[Any, Any]], start: Any, values: Any, length: int | None = None) -> Any:
    """(state, v) -> (state, y) over the rows v of `values`, or so often with None: the last state, all y stacked."""
    state, found = start, []
    for v in values if length is None else [None] * length:
        state, y = body(state, v)
        found.append(y)
    return state, None if found[0] is None else torch.stack(found)


def on_numpy(function: Callable[..., torch.Tensor], params: Mapping[str, Any], x: NDArray) -> NDArray:
    """The function of numpy arrays, in the weights' precision."""
    dtype = np.result_type(*params.values())
    with torch.no_grad():
        # A copy: torch warns of arrays that it may not write to.
        arrays = {k: torch.from_numpy(np.array(w, dtype=dtype)) for k, w in params.items()}
        return function(arrays, torch.from_numpy(np.array(x, dtype=dtype))).numpy()
