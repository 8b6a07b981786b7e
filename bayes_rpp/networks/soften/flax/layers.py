"""What each kind of Flax layer becomes: its own kernel, turned; a convolution's dense or local weight; or, of any other
linear layer, the matrix read off."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array, array_namespace
from bayes_rpp.engines.flax import CONVOLUTIONS, LINEAR, View, plain
from bayes_rpp.networks.soften import options as limits
from bayes_rpp.networks.soften.options import KERNELS, NOTES, TOKENS
from bayes_rpp.priors.subspaces.base import FullSubspace, Subspace
from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace
from bayes_rpp.priors.subspaces.flax import check_linear, matrix_of
from bayes_rpp.priors.subspaces.span import SpanSubspace

Apply = Callable[[Array, Array | None, Array], Array]


@dataclass
class Soft:
    """A softened layer: (subspace, value) of weight and bias; its function, or None where its own kernel is turned."""

    weight: tuple[Subspace, NDArray]
    bias: tuple[Subspace, NDArray] | None
    note: str
    apply: Apply | None = None
    reason: str = ""


@dataclass
class Seen:
    """How a layer was called, without the batch axis."""

    inputs: set[tuple[int, ...]] = field(default_factory=set)
    outputs: set[tuple[int, ...]] = field(default_factory=set)
    problem: str = ""
    batched: bool = True


def softened(see: View, path: str, names: list[str], seen: Seen, residual: str) -> Soft | str:
    """The softened layer, or why there is none."""
    own = {name.rpartition(".")[2]: np.asarray(see.values[name]) for name in names}
    kind, layer, ((*shape,), (*out,)) = see.kinds[path], see.layer(path), (*seen.inputs, *seen.outputs)
    usual = set(own) in ({"kernel"}, {"kernel", "bias"})
    dims = 2 if plain(kind, LINEAR) else len(layer.kernel_size) + 2 if plain(kind, CONVOLUTIONS) else None
    if usual and dims and own["kernel"].ndim != dims:
        return "one of many whose parameters are stacked"
    if usual and plain(kind, LINEAR):
        return _turned(own, TOKENS if len(shape) > 1 else "")
    if usual and plain(kind, CONVOLUTIONS):
        if residual == "kernel":
            return _turned(own, KERNELS)
        conv = convolution(layer, own["kernel"].shape, shape, residual)
        if conv is not None and out[-len(conv.output_size) - 1 :] == [*conv.output_size, conv.out_channels]:
            _check_size(path, conv.shape, residual)
            return _convolved(conv, own)
    if not seen.batched:
        return "its first axis is not the batch"
    return _read_off(path, layer, shape, out)


def _turned(own: Mapping[str, NDArray], reason: str) -> Soft:
    weight = np.moveaxis(own["kernel"], (-1, -2), (0, 1))
    bias = own.get("bias")
    parts = (FullSubspace(weight.shape), weight), None if bias is None else (FullSubspace(bias.shape), bias)
    return Soft(*parts, NOTES["none"], reason=reason)


def to_kernel(w: Array) -> Array:
    """A weight (out, in, *sizes) as a kernel (*sizes, in, out)."""
    return array_namespace(w).moveaxis(w, (0, 1), (-1, -2))


def _convolved(conv: ConvolutionSubspace, own: Mapping[str, NDArray]) -> Soft:
    kernel = np.moveaxis(own["kernel"].astype(np.float64), (-1, -2), (0, 1))
    dims = len(conv.input_size)

    def apply(w: Array, b: Array | None, x: Array) -> Array:
        xp, lead = array_namespace(x), tuple(x.shape[: -dims - 1])
        x = xp.moveaxis(x.reshape((-1, *x.shape[-dims - 1 :])), -1, 1)
        y = conv.apply(w, x.reshape((x.shape[0], math.prod(x.shape[1:]))))
        y = y if b is None else y + b
        y = xp.moveaxis(y.reshape((-1, conv.out_channels, *conv.output_size)), 1, -1)
        return y.reshape((*lead, *y.shape[1:]))

    bias: tuple[Subspace, NDArray] | None = None
    if "bias" in own:
        bias = conv.channel_bias(), np.repeat(own["bias"], math.prod(conv.output_size))
    return Soft((conv, conv.from_kernel(kernel)), bias, NOTES[conv.weights], apply)


def convolution(layer: Any, kernel: Sequence[int], shape: Sequence[int], weights: str) -> ConvolutionSubspace | None:
    """The subspace of a Flax convolution, channels first; None if it is of a kind that ConvolutionSubspace is not."""
    dims = len(kernel) - 2
    sizes, grid = tuple(kernel[:dims]), tuple(shape[-dims - 1 : -1])

    def each(value: Any) -> tuple[int, ...]:
        return (value or 1,) * dims if value is None or isinstance(value, int) else tuple(value)

    dilation = each(layer.kernel_dilation)
    own = [getattr(layer, k, None) for k in ("conv_general_dilated", "conv_general_dilated_cls")]
    if layer.mask is not None or set(each(layer.input_dilation)) != {1} or len(grid) != dims:
        return None
    if any(f is not None and getattr(f, "__name__", "") != "conv_general_dilated" for f in own):
        return None
    padding: Any = layer.padding
    spans = [d * (k - 1) for d, k in zip(dilation, sizes, strict=True)]
    mode = padding.upper() if isinstance(padding, str) else ""
    if mode in ("SAME", "VALID"):
        padding = mode.lower()
    elif mode == "CIRCULAR":
        padding = [(s // 2, (s + 1) // 2) for s in spans]
    elif mode == "CAUSAL":
        padding = [(s, 0) for s in spans]
    elif mode:
        return None
    else:
        padding = [
            (p, p) if isinstance(p, int) else tuple(p)
            for p in ([padding] * dims if isinstance(padding, int) else padding)
        ]
    try:
        return ConvolutionSubspace(
            kernel[-2] * layer.feature_group_count,
            kernel[-1],
            sizes,
            grid,
            stride=each(layer.strides),
            padding=padding,
            dilation=dilation,
            groups=layer.feature_group_count,
            padding_mode="circular" if mode == "CIRCULAR" else "zeros",
            weights=weights,  # type: ignore[arg-type]
        )
    except ValueError:  # negative padding
        return None


def _read_off(path: str, layer: Any, shape: Sequence[int], out: Sequence[int]) -> Soft | str:
    """Any layer that is linear."""
    try:
        check_linear(layer, shape)
    except Exception as error:  # anything may be in a user's layer
        return first_line(error)
    _check_size(path, (math.prod(out), math.prod(shape)), None)
    try:
        span = SpanSubspace.of(layer, shape)
        weight, bias = matrix_of(layer, shape)
    except ValueError as error:
        return first_line(error)

    def apply(w: Array, b: Array | None, x: Array) -> Array:
        y = x.reshape((x.shape[0], -1)) @ w.T
        return (y if b is None else y + b).reshape((x.shape[0], *out))

    return Soft((span, weight), (span.bias, bias) if span.bias else None, NOTES["dense"], apply)


def _check_size(path: str, shape: tuple[int, ...], residual: str | None) -> None:
    if math.prod(shape) <= limits.LARGEST:
        return
    instead = {"dense": "residual='local'", "local": "residual='kernel'"}.get(residual or "")
    raise ValueError(
        f"layer {path!r} would have a weight of {shape[0]:,} x {shape[1]:,}, {math.prod(shape):.2g} numbers, more than "
        f"{limits.LARGEST:.2g}; {f'{instead}, or ' if instead else ''}skip=[{path!r}] would do"
    )


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
