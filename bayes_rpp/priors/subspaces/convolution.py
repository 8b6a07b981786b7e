"""Convolutions as a subspace of all linear maps between two grids: bi-Toeplitz matrices (paper, Section 4.2).

Output position o sees input position i = o * stride - padding + k * dilation through tap k of the kernel. Distinct taps
fill distinct entries of the matrix, n_k of them, so the taps divided by sqrt(n_k) are an orthonormal basis: encoding
gathers and sums entries, decoding looks them up, and Q is never built.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array, array_namespace, constant, frozen, indices, whole_number
from bayes_rpp._types import Shaped
from bayes_rpp.priors.subspaces.base import Subspace
from bayes_rpp.priors.subspaces.span import SpanSubspace

Sizes = int | Sequence[int]
Padding = int | Literal["same", "valid"] | Sequence[int | tuple[int, int]]


class ConvolutionSubspace(Subspace):
    """Weights that are a convolution, within all linear maps between two grids of 1 to 3 dimensions, or within the
    local ones.

    Args:
        in_channels, out_channels: numbers of channels.
        kernel_size: of each dimension, or one number for all.
        input_size: grid of the input, such as (32, 32); its length says how many dimensions there are.
        stride, dilation: of each dimension, or one number for all.
        padding: added at both ends of each dimension: a number, one for each dimension, pairs (before, after), "valid"
            (none), or "same" (the output has ceil(input / stride) positions; an odd one out is added after).
        groups: channels fall into so many groups that do not see each other.
        padding_mode: "zeros" or "circular".
        weights: "dense": the weight is a matrix from all inputs to all outputs, so that the residual may be any linear
            map. "local": each output has weights of its own, but on its window alone (a locally connected layer); far
            fewer, for large images.

    Attributes:
        shape: (out_channels * outputs, in_channels * inputs) for "dense", (out_channels * outputs, in_channels / groups
            * taps) for "local"; channels first, positions row-major.
        rank: out_channels * in_channels / groups * number of taps that see any input.
        output_size: grid of the output.
        counts: (taps in use,) how many pairs of positions each tap joins.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        input_size: Sizes,
        *,
        stride: Sizes = 1,
        padding: Padding = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        padding_mode: Literal["zeros", "circular"] = "zeros",
        weights: Literal["dense", "local"] = "dense",
    ) -> None:
        self.in_channels, self.out_channels = (
            whole_number(in_channels, "in_channels"),
            whole_number(out_channels, "out_channels"),
        )
        self.groups = whole_number(groups, "groups")
        for name, value in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if value % self.groups:
                raise ValueError(f"groups must divide {name}, {value}, got {groups}")
        if padding_mode not in ("zeros", "circular"):
            raise ValueError(f"padding_mode must be 'zeros' or 'circular', got {padding_mode!r}")
        if weights not in ("dense", "local"):
            raise ValueError(f"weights must be 'dense' or 'local', got {weights!r}")
        self.padding_mode, self.weights = padding_mode, weights
        self.input_size = _sizes(input_size, "input_size")
        dims = len(self.input_size)
        if not 1 <= dims <= 3:
            raise ValueError(f"input_size must have 1 to 3 dimensions, got {input_size}")
        self.kernel_size = _sizes(kernel_size, "kernel_size", dims)
        self.stride, self.dilation = _sizes(stride, "stride", dims), _sizes(dilation, "dilation", dims)
        self.padding = _pads(padding, self.input_size, self.kernel_size, self.stride, self.dilation)
        self._inputs, self.output_size = self._windows()
        taps, outputs = self._inputs.shape[1], self._inputs.shape[0]
        self._classes = self._merge_taps()
        self._per_group = self.in_channels // self.groups
        columns = self._per_group * taps if weights == "local" else self.in_channels * math.prod(self.input_size)
        self.shape = (self.out_channels * outputs, columns)
        seen = self._inputs >= 0
        # One tap of each class stands for it; a class that no output sees has no weights.
        self._taps = frozen(np.array([c[0] for c in self._classes if seen[:, c[0]].any()], dtype=np.int64))
        self.counts = frozen(seen[:, self._taps].sum(axis=0))
        self.rank = self.out_channels * self._per_group * len(self._taps)

    def encode(self, w: Shaped[Array, "*w"]) -> Shaped[Array, "*batch {self.rank}"]:
        self.check_shape(w, self.shape, "w")
        xp, lead = array_namespace(w), tuple(w.shape[:-2])
        outputs, taps = self._inputs.shape
        if self.weights == "local":
            w = w.reshape((*lead, self.out_channels, outputs, self._per_group, taps))
            sums = xp.sum(w * constant(self._share[:, None, :], w), axis=-3)
            if len(self._taps) < taps:
                sums = xp.take(sums, indices(self._taps, w), axis=-1)
            return sums.reshape((*lead, self.rank))
        g, co, ci = self.groups, self.out_channels // self.groups, self._per_group
        w = w.reshape((*lead, g, co, outputs, g, ci, math.prod(self.input_size)))
        group = indices(np.arange(g)[:, None, None], w)
        rows, columns, share = self._pairs
        found = w[..., group, :, indices(rows, w), group, :, indices(columns, w)]  # (g, taps, pairs, *lead, co, ci)
        sums = xp.sum(found * constant(share.reshape((*share.shape, *(1,) * (len(lead) + 2))), w), axis=2)
        sums = xp.moveaxis(sums, (0, 1), (len(lead), -1))  # (*lead, g, co, ci, taps)
        return sums.reshape((*lead, self.rank))

    def decode(self, beta: Shaped[Array, "*batch rank"]) -> Shaped[Array, "*w"]:
        self.check_shape(beta, (self.rank,), "beta")
        xp, lead = array_namespace(beta), tuple(beta.shape[:-1])
        outputs, taps = self._inputs.shape
        ci, used = self._per_group, len(self._taps)
        kernel = beta.reshape((*lead, self.out_channels, ci, used)) / constant(np.sqrt(self.counts), beta)
        zero = xp.sum(kernel * 0.0, axis=-1)[..., None]
        kernel = xp.concat([kernel, zero], axis=-1)
        inputs = math.prod(self.input_size)
        width = taps if self.weights == "local" else inputs
        w = xp.take(kernel, indices(self._lookup, beta), axis=-1)
        w = xp.moveaxis(w.reshape((*lead, self.out_channels, ci, outputs, width)), -2, -3)
        if self.weights == "dense" and self.groups > 1:
            w = w.reshape((*lead, self.groups, self.out_channels // self.groups, outputs, 1, ci, inputs))
            same = np.eye(self.groups)[:, None, None, :, None, None]
            w = w * constant(same, beta)
        return w.reshape(lead + self.shape)

    def leverage(self) -> NDArray:
        each = np.broadcast_to(1 / np.sqrt(self.counts), (self.out_channels * self._per_group, len(self._taps)))
        return self.decode(each.reshape(-1))

    def kernel(self, w: Array) -> Array:
        """The kernel of the projection of weights: (..., out_channels, in_channels / groups, *kernel_size).

        Taps that see no input are zero; of taps that coincide (circular padding, long kernels) the first has the sum.
        """
        beta = self.encode(w)
        xp, lead = array_namespace(beta), tuple(beta.shape[:-1])
        kernel = beta.reshape((*lead, self.out_channels, self._per_group, len(self._taps)))
        kernel = kernel / constant(np.sqrt(self.counts), beta)
        kernel = xp.concat([kernel, xp.sum(kernel * 0.0, axis=-1)[..., None]], axis=-1)
        kernel = xp.take(kernel, indices(self._place, beta), axis=-1)
        return kernel.reshape((*lead, self.out_channels, self._per_group, *self.kernel_size))

    def from_kernel(self, kernel: Array) -> Array:
        """The weights that convolve with a kernel (..., out_channels, in_channels / groups, *kernel_size)."""
        return self.decode(self.encode_kernel(kernel))

    def encode_kernel(self, kernel: Array) -> Array:
        """Coordinates of the weights that convolve with a kernel, without building them: (..., rank)."""
        shape = (self.out_channels, self._per_group, *self.kernel_size)
        self.check_shape(kernel, shape, "kernel")
        lead = tuple(kernel.shape[: kernel.ndim - len(shape)])
        flat = kernel.reshape((*lead, self.out_channels, self._per_group, self._inputs.shape[1]))
        return (flat @ constant(self.tap_coordinates, kernel)).reshape((*lead, self.rank))

    @cached_property
    def tap_coordinates(self) -> NDArray:
        """(all taps, taps in use): orthonormal coordinates of each tap of a kernel, of one pair of channels."""
        sums = np.zeros((self._inputs.shape[1], len(self._taps)))
        for k, tap in enumerate(self._taps):
            sums[next(c for c in self._classes if c[0] == tap), k] = math.sqrt(self.counts[k])
        return frozen(sums)

    def channel_bias(self) -> SpanSubspace:
        """The biases (out_channels * outputs,) that are one number for each channel."""
        return SpanSubspace.tied(np.repeat(np.arange(self.out_channels), self._inputs.shape[0]))

    def apply(self, w: Array, x: Array) -> Array:
        """The layer itself: x (n, in_channels * inputs) to (n, out_channels * outputs), with weights w (*shape)."""
        xp = array_namespace(w)
        if self.weights == "dense":
            return x @ xp.matrix_transpose(w)
        (outputs, taps), n, g, ci = self._inputs.shape, x.shape[0], self.groups, self._per_group
        x = x.reshape((n, self.in_channels, math.prod(self.input_size)))
        x = xp.concat([x, x[..., :1] * 0.0], axis=-1)
        windows = xp.take(x, indices(self._inputs.reshape(-1) % x.shape[-1], x), axis=-1)  # -1: the zero
        windows = xp.permute_dims(windows.reshape((n, g, ci, outputs, taps)), (1, 3, 0, 2, 4))
        w = xp.permute_dims(w.reshape((g, self.out_channels // g, outputs, ci * taps)), (0, 2, 3, 1))
        y = windows.reshape((g, outputs, n, ci * taps)) @ w
        return xp.permute_dims(y, (2, 0, 3, 1)).reshape((n, self.shape[0]))

    def _windows(self) -> tuple[NDArray[np.int64], tuple[int, ...]]:
        """(outputs, taps): the input that each output sees through each tap, -1 for none; and the output's grid."""
        tables = []
        for n, k, s, d, (before, after) in zip(
            self.input_size, self.kernel_size, self.stride, self.dilation, self.padding, strict=True
        ):
            outputs = (n + before + after - d * (k - 1) - 1) // s + 1
            if outputs < 1:
                raise ValueError(f"kernel_size must fit input_size {self.input_size}, got {self.kernel_size}")
            at = np.arange(outputs)[:, None] * s - before + np.arange(k) * d
            tables.append(at % n if self.padding_mode == "circular" else np.where((at < 0) | (at >= n), -1, at))
        flat = np.zeros((1, 1), dtype=np.int64)
        for n, table in zip(self.input_size, tables, strict=True):
            inside = (flat[:, None, :, None] >= 0) & (table[None, :, None, :] >= 0)
            joined = np.where(inside, flat[:, None, :, None] * n + table[None, :, None, :], -1)
            flat = joined.reshape(flat.shape[0] * table.shape[0], -1)
        return frozen(flat), tuple(len(t) for t in tables)

    def _merge_taps(self) -> list[list[int]]:
        """Taps that join the same positions: a circular kernel longer than the grid meets inputs twice."""
        taps = list(itertools.product(*map(range, self.kernel_size)))
        if self.padding_mode == "zeros" or self.weights == "local":
            return [[t] for t in range(len(taps))]
        found: dict[tuple[int, ...], list[int]] = {}
        for t, tap in enumerate(taps):
            key = tuple(k * d % n for k, d, n in zip(tap, self.dilation, self.input_size, strict=True))
            found.setdefault(key, []).append(t)
        return list(found.values())

    @cached_property
    def _share(self) -> NDArray:
        """(outputs, taps): 1 / sqrt(n_k) where tap k sees an input."""
        seen = self._inputs >= 0
        return seen / np.sqrt(np.maximum(seen.sum(axis=0), 1))

    @cached_property
    def _pairs(self) -> tuple[NDArray, NDArray, NDArray]:
        """(taps, pairs): output and input of each pair of positions that a tap joins, and 1 / sqrt(n_k); padded with
        zeros, as taps at the border join fewer."""
        rows, columns = np.zeros((2, len(self._taps), int(self.counts.max(initial=0))), dtype=np.int64)
        share = np.zeros(rows.shape)
        for k, tap in enumerate(self._taps):
            where = np.flatnonzero(self._inputs[:, tap] >= 0)
            rows[k, : len(where)], columns[k, : len(where)] = where, self._inputs[where, tap]
            share[k, : len(where)] = 1 / math.sqrt(len(where))
        return rows, columns, share

    @cached_property
    def _place(self) -> NDArray:
        """(all taps,): where each stands among the taps in use; their number, for those that are not."""
        place = np.full(self._inputs.shape[1], len(self._taps))
        place[self._taps] = np.arange(len(self._taps))
        return place

    @cached_property
    def _lookup(self) -> NDArray:
        """(outputs * width,): which of the taps in use fills an entry; their number, for a zero."""
        outputs = self._inputs.shape[0]
        if self.weights == "local":
            return np.where(self._inputs >= 0, self._place, len(self._taps)).reshape(-1)
        table = np.full((outputs, math.prod(self.input_size)), len(self._taps), dtype=np.int32)
        for k, tap in enumerate(self._taps):
            where = np.flatnonzero(self._inputs[:, tap] >= 0)
            table[where, self._inputs[where, tap]] = k
        return table.reshape(-1)


def _sizes(value: Any, name: str, dims: int | None = None) -> tuple[int, ...]:
    """One number for each dimension."""
    given = tuple(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else None
    if given is None:
        return (whole_number(value, name),) * (dims or 1)
    if dims is not None and len(given) != dims:
        raise ValueError(f"{name} must be one number, or {dims}, one for each dimension, got {value}")
    return tuple(whole_number(v, name) for v in given)


def _pads(padding: Any, n: Any, kernel: Any, stride: Any, dilation: Any) -> tuple[tuple[int, int], ...]:
    """(before, after) of each dimension."""
    if isinstance(padding, str) and padding not in ("same", "valid"):
        raise ValueError(f"padding must be a number, pairs (before, after), 'same' or 'valid', got {padding!r}")
    if padding == "same":
        totals = [
            max((math.ceil(m / s) - 1) * s + d * (k - 1) + 1 - m, 0)
            for m, k, s, d in zip(n, kernel, stride, dilation, strict=True)
        ]
        return tuple((t // 2, t - t // 2) for t in totals)
    each = [0] * len(n) if padding == "valid" else padding
    each = list(each) if isinstance(each, (Sequence, np.ndarray)) else [each] * len(n)
    if len(each) != len(n):
        raise ValueError(f"padding must be one number, or {len(n)}, one for each dimension, got {padding}")
    pairs = [tuple(p) if isinstance(p, Sequence) else (p, p) for p in each]
    for pair in pairs:
        if len(pair) != 2 or any(isinstance(p, bool) or not isinstance(p, (int, np.integer)) or p < 0 for p in pair):
            raise ValueError(f"padding must be whole numbers >= 0, or pairs of them, got {padding!r}")
    return tuple((int(a), int(b)) for a, b in pairs)
