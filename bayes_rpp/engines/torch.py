"""Derivatives and loops in torch; the same names as in `bayes_rpp.engines.jax`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Split = Callable[[torch.Tensor], tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]]


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
    with torch.no_grad(), torch.device("cpu"):  # where numpy's arrays are, whatever the default device is
        # A copy: torch warns of arrays that it may not write to.
        arrays = {k: torch.from_numpy(np.array(w, dtype=dtype)) for k, w in params.items()}
        return function(arrays, torch.from_numpy(np.array(x, dtype=dtype))).numpy()


_converted: dict[int, tuple[Any, dict[Any, torch.Tensor]]] = {}


def converted(value: NDArray, like: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """An array as a tensor of this dtype, or another, and device; the same one each time, until the array is gone."""
    key, kind = id(value), (dtype or like.dtype, like.device)
    # Not where torch stands in for tensors itself, to compile or to export.
    plain = type(like) in (torch.Tensor, torch.nn.Parameter) and not torch.compiler.is_compiling()
    if plain and key in _converted and kind in _converted[key][1]:
        return _converted[key][1][kind]
    # Outside of transforms, within which it would be of no use later: networks of members run in no other place.
    with torch._C._DisableFuncTorch() if plain else nullcontext():
        tensor = torch.asarray(np.array(value), dtype=kind[0], device=like.device)
    if plain and not tensor.is_inference():  # likewise
        if key not in _converted:
            _converted[key] = weakref.ref(value, lambda _: _converted.pop(key, None)), {}
        _converted[key][1][kind] = tensor
    return tensor


def converted_indices(value: NDArray, like: torch.Tensor) -> torch.Tensor:
    """The same of whole numbers."""
    return converted(value, like, torch.int64)


def sums_of_squares(split: Split, w: torch.Tensor, dims: int) -> tuple[torch.Tensor, ...]:
    """|C_k w|^2 over the last dims of w, for orthogonal projectors C_k; split(w) gives all sums and all parts C_k w.

    The derivative 2 C_k w is at hand then, and takes no further projection.
    """
    if not w.requires_grad or torch._C._are_functorch_transforms_active():
        return split(w)[0]
    found: tuple[torch.Tensor, ...] = _SumsOfSquares.apply(split, dims, w)
    return found[: len(found) // 2]


class _SumsOfSquares(torch.autograd.Function):
    """Returns the sums and the parts, as derivatives of the derivative pass through the parts."""

    @staticmethod
    def forward(ctx: Any, split: Split, dims: int, w: torch.Tensor) -> Any:
        sums, parts = split(w)
        ctx.split, ctx.dims = split, dims
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*parts)
        ctx.save_for_forward(*parts)
        return *sums, *parts

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        parts = ctx.saved_tensors
        of_sums, of_parts = grads[: len(parts)], grads[len(parts) :]
        found = [_over(2.0 * g, ctx.dims) * c for g, c in zip(of_sums, parts, strict=True) if g is not None]
        # Projectors are symmetric.
        found += [ctx.split(g)[1][k] for k, g in enumerate(of_parts) if g is not None]
        return None, None, sum(found[1:], found[0]) if found else None

    @staticmethod
    def jvp(ctx: Any, _split: Any, _dims: Any, dw: torch.Tensor) -> Any:
        over = tuple(range(-ctx.dims, 0))
        return *[2.0 * (c * dw).sum(over) for c in ctx.saved_tensors], *ctx.split(dw)[1]


def _over(x: torch.Tensor, dims: int) -> torch.Tensor:
    return x[(...,) + (None,) * dims] if x.dim() else x


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many threads of torch within; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def external(function: Callable[[NDArray], tuple[float, NDArray]], z: torch.Tensor) -> torch.Tensor:
    """See `Engine.external`."""
    return _External.apply(function, z)


class _External(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[[NDArray], tuple[float, NDArray]], z: torch.Tensor) -> torch.Tensor:
        value, slope = function(z.detach().cpu().numpy().astype(np.float64))
        ctx.save_for_backward(torch.as_tensor(slope).to(z))
        return torch.as_tensor(value).to(z)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, grads[0] * ctx.saved_tensors[0]
