"""Convolutional network with residual pathways (Finzi et al. 2021, Section 4.2 and Table 1).

Block: h = swish(norm(W x + b)). Each W is a linear map between grids whose prior prefers the convolutions, each b
prefers one number for each channel; a linear layer on all that is left ends it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bayes_rpp._arrays import Array, array_namespace, swish
from bayes_rpp._types import Shaped
from bayes_rpp.networks.mlp import check_width
from bayes_rpp.networks.network import LARGEST, Capabilities, Network, Parameter, linear
from bayes_rpp.priors.subspaces.base import FullSubspace
from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep


class ConvNet(Network, is_code=False):
    """Convolutional network whose prior decides between convolutions, soft convolutions and none.

    `Model(net, sigma_b=0)` is the convolutional network, `sigma_a=0` a multilayer perceptron of the same size, and both
    positive an RPP. Without weight sharing, a layer has as many weights as the perceptron's: weights="local" keeps
    those of larger images to windows.

    Args:
        input_shape: (channels, *grid) of one example, a grid of 1 to 3 dimensions.
        outputs: number of outputs.
        channels: of each convolution.
        kernel_size: of all convolutions: a number, or one for each dimension.
        strides: of the convolutions: a number for all, or one for each.
        padding: "same", "valid" or a number; see ConvolutionSubspace.
        padding_mode: "zeros" or "circular".
        dense: widths of the fully connected hidden layers between the convolutions and the output.
        weights: "dense": residuals may join any input to any output; "local": only those that the kernel joins.
        norm: whether to scale the units of a layer to mean 0 and variance 1 in each example, which deep networks need;
            in place of batch normalisation, as it makes no example depend on others.
        columns: of x, if fewer than the grid holds: the rest are zeros, so that a table's rows become images.
        rep_in, rep_out, group: how a group acts on the columns of x and the outputs, for the equivariance error.

    Attributes:
        input_shape: as given; None with `columns`.
        convolutions: the subspace of each.
        dense: names of the fully connected hidden layers.
        missing: how many zeros are added to each row of x.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        *,
        channels: Sequence[int] = (32, 32),
        kernel_size: int | Sequence[int] = 3,
        strides: int | Sequence[int] = 1,
        padding: Any = "same",
        padding_mode: Literal["zeros", "circular"] = "zeros",
        dense: Sequence[int] = (),
        weights: Literal["dense", "local"] = "dense",
        norm: bool = False,
        columns: int | None = None,
        rep_in: Rep | int | None = None,
        rep_out: Rep | int | None = None,
        group: Group | None = None,
    ) -> None:
        shape = tuple(input_shape) if isinstance(input_shape, (Sequence, np.ndarray)) else ()
        whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 1 for n in shape)
        if not 2 <= len(shape) <= 4 or not whole:
            raise ValueError(f"input_shape must be (channels, *grid), got {input_shape!r}; (1, 28, 28) would do")
        shape = tuple(int(n) for n in shape)
        if not isinstance(channels, Sequence) or not channels:
            raise ValueError(f"channels must be a list of one number or more, got {channels!r}; [32, 32] would do")
        units, outputs = math.prod(shape), check_width(outputs, "outputs")
        if columns is not None and check_width(columns, "columns") > units:
            raise ValueError(f"columns must be from 1 to {units}, the units of input_shape {shape}, got {columns}")
        if group is None and (rep_in is not None or rep_out is not None):
            raise ValueError("group must be given with rep_in or rep_out, got None; O(3), or whichever acts, would do")
        seen = Capabilities(input_shape=None if columns else shape)
        super().__init__(rep_in or columns or units, rep_out or outputs, group, capabilities=seen)
        for name, rep, size in (("rep_in", self.rep_in, columns or units), ("rep_out", self.rep_out, outputs)):
            if rep.size != size:
                raise ValueError(f"{name} must have size {size}, got {rep.size}")
        self._settings = {
            "input_shape": list(shape),
            "outputs": outputs,
            "channels": [check_width(c, "channels") for c in channels],
            "kernel_size": plain_numbers(kernel_size),
            "strides": plain_numbers([strides] * len(channels) if np.ndim(strides) == 0 else strides),
            "padding": plain_numbers(padding),
            "padding_mode": padding_mode,
            "dense": [check_width(w, "dense") for w in dense],
            "weights": weights,
            "norm": bool(norm),
            "columns": None if columns is None else int(columns),
        }
        self.outputs, self.norm, self.missing = outputs, bool(norm), units - (columns or units)
        if len(self._settings["strides"]) != len(channels):
            raise ValueError(f"strides must be a number, or {len(channels)}, one for each of channels, got {strides!r}")
        self.convolutions: list[ConvolutionSubspace] = []
        c, grid = shape[0], shape[1:]
        for k, (width, stride) in enumerate(zip(channels, self._settings["strides"], strict=True)):
            s = ConvolutionSubspace(
                c, width, kernel_size, grid, stride=stride, padding=padding, padding_mode=padding_mode, weights=weights
            )
            if s.size > LARGEST:
                hint = "weights='local', smaller channels" if weights == "dense" else "smaller channels"
                raise ValueError(
                    f"layer {k} would have a weight of {s.shape[0]} x {s.shape[1]}, more than {LARGEST} entries; "
                    f"{hint} or larger strides would do"
                )
            self.convolutions.append(s)
            self.parameters[f"layers.{k}.weight"] = Parameter(s)
            self.parameters[f"layers.{k}.bias"] = Parameter(s.channel_bias())
            c, grid = width, s.output_size
        sizes = [c * math.prod(grid), *self._settings["dense"], outputs]
        self.dense = [f"layers.{len(channels) + k}" for k in range(len(dense))]
        for name, n_in, n_out in zip([*self.dense, "output"], sizes[:-1], sizes[1:], strict=True):
            self.parameters[f"{name}.weight"] = Parameter(FullSubspace((n_out, n_in)))
            self.parameters[f"{name}.bias"] = Parameter(FullSubspace((n_out,)))

    @classmethod
    def for_table(cls, columns: int, outputs: int, *, channels: Sequence[int] = (32,) * 4, **settings: Any) -> ConvNet:
        """The paper's network for tables (Table 1, UCI): the columns of a row, with zeros after them, as a grid as
        square as can be, and four convolutions of 32 channels."""
        height = math.isqrt(check_width(columns, "columns") - 1) + 1
        grid = (1, height, -(-columns // height))
        return cls(grid, outputs, channels=channels, columns=columns, **settings)

    @classmethod
    def for_cifar10(cls, width: int = 4, **settings: Any) -> ConvNet:
        """The paper's network for CIFAR-10 (Table 1): eight convolutions of widths a, 2a, 2a, 4a, 4a, 8a, 8a, 16a and
        strides 1, 2, 1, 2, 1, 2, 1, 2, then a linear layer on 64a units; with normalisation of each example."""
        channels = [width * k for k in (1, 2, 2, 4, 4, 8, 8, 16)]
        preset: dict[str, Any] = {"channels": channels, "strides": [1, 2] * 4, "norm": True}
        return cls((3, 32, 32), 10, **preset | settings)

    def __call__(
        self, params: Mapping[str, Array], x: Shaped[Array, "*x"]
    ) -> Shaped[Array, "*batch {self.rep_out.size}"]:
        if self.missing:
            x = array_namespace(x).concat([x] + [x[..., :1] * 0.0] * self.missing, axis=-1)
        x = self.rows(x)
        lead = tuple(x.shape[:-1])
        h = x.reshape((math.prod(lead), x.shape[-1]))
        for k, layer in enumerate(self.convolutions):
            h = layer.apply(params[f"layers.{k}.weight"], h) + params[f"layers.{k}.bias"]
            h = self._activation(h)
        for name in self.dense:
            h = self._activation(linear(params, name, h))
        return linear(params, "output", h).reshape((*lead, self.outputs))

    def _activation(self, h: Array) -> Array:
        return swish(standardized(h) if self.norm else h)

    def config(self) -> dict[str, Any]:
        return dict(self._settings)

    def __repr__(self) -> str:
        shown = {k: v for k, v in self._settings.items() if k in ("channels", "strides", "dense", "weights")}
        settings = ", ".join(f"{k}={v}" for k, v in shown.items() if v)
        shape = tuple(self._settings["input_shape"])
        return f"ConvNet({shape} -> {self.outputs}, {settings}, {self.size} weights)"


def plain_numbers(value: Any) -> Any:
    """numpy's whole numbers as Python's, in lists too: files hold them."""
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str):
        return [plain_numbers(v) for v in value]
    return int(value) if isinstance(value, np.integer) else value


def standardized(h: Array) -> Array:
    """Each row with mean 0 and variance 1."""
    xp = array_namespace(h)
    h = h - xp.mean(h, axis=-1, keepdims=True)
    return h / xp.sqrt(xp.mean(h * h, axis=-1, keepdims=True) + 1e-5)
