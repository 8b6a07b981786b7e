"""What becomes of each kind of torch layer: its weight, the subspace of it, and the layer that takes its place."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import nn

from bayes_rpp.networks.soften.options import FACTORED, NOTES, OF_TOKENS
from bayes_rpp.networks.soften.torch.factored import Factored, FactoredTokens, coordinates
from bayes_rpp.networks.soften.torch.layers import (
    CONVOLUTIONS,
    Convolution,
    Kernel,
    Layer,
    Matrix,
    TokenConvolution,
    Tokens,
    convolution_subspace,
    padding_of,
)
from bayes_rpp.networks.soften.torch.opened import States
from bayes_rpp.networks.soften.torch.steerable import expanded, expansions, in_coordinates, is_steerable, of_all
from bayes_rpp.priors.subspaces.base import FullSubspace, Subspace
from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace
from bayes_rpp.priors.subspaces.nested import ComposedSubspace, NestedSubspace
from bayes_rpp.priors.subspaces.span import SpanSubspace
from bayes_rpp.priors.subspaces.torch import Reader

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
OF_STEPS = {"dense": "local", "low-rank": "separable"}  # of a state, which no other step's can reach
ALONE: dict[str, tuple[type[nn.Module], ...]] = {
    "attention": (nn.MultiheadAttention,),
    "recurrent": (nn.RNNBase, nn.RNNCellBase),
    "embedding": (nn.Embedding, nn.EmbeddingBag),
    "not linear in its input": (nn.Bilinear,),
}


class LeftAlone(Exception):
    """Says why a layer keeps its parameters as they are."""


class TooLarge(Exception):
    """Says the size of a weight that would be too large."""


@dataclass(frozen=True)
class Choice:
    """What becomes of a layer.

    Attributes:
        weights: "weight" and "bias" (where there is one) with their subspace and present value.
        layer: that takes its place; None: it stays, and gets its weights.
        note: for the listing.
        own: of a layer that is replaced: for each of these, a matrix C with |C theta| the norm of the weight that the
            layer itself has with parameters theta, flat and in its order.
    """

    weights: dict[str, tuple[Subspace, NDArray]]
    layer: Layer | None = None
    note: str = ""
    own: dict[str, sparse.csc_array] = field(default_factory=dict)


def choose(layer: nn.Module, shape: tuple[int, ...], residual: str | None, largest: int) -> Choice:
    """Decide on a layer that has parameters of its own.

    Args:
        layer: it is not changed.
        shape: of an example of its input.
        residual: one of RESIDUALS, or None, its default.
        largest: entries of a weight.

    Raises:
        LeftAlone: if its outputs are not linear, or its matrix is too large to read off.
        TooLarge: if a convolution's weight would have more than `largest` entries.
    """
    kernel = layer._parameters.get("weight")
    if isinstance(layer, States):
        residual = OF_STEPS.get(residual or "", residual)
    if _is(layer, nn.Linear) and kernel is not None:
        if len(shape) > 1 and residual in OF_TOKENS:
            return _tokens(layer, shape, residual, largest)
        return Choice(_full(layer), note=NOTES["none"])
    if _is(layer, *CONVOLUTIONS, *TRANSPOSED) and kernel is not None:
        if residual == "kernel":
            return Choice(_full(layer), note=NOTES["none"])
        if _is(layer, *CONVOLUTIONS) and layer.padding_mode in ("zeros", "circular"):
            return _convolution(layer, shape[1:], residual or "dense", largest)
        before = padding_of(layer) if _is(layer, *CONVOLUTIONS) and residual in ("local", *FACTORED) else None
        if before is not None:
            grid = before(torch.zeros(1, 1, *shape[1:])).shape[2:]
            choice = _convolution(layer, tuple(grid), residual or "", largest)
            if choice.layer is not None:
                choice.layer.before = before
            return choice
    if is_steerable(layer):
        if residual in (None, "kernel", *FACTORED):
            return _steerable_kernel(layer)
        if layer.padding_mode in ("zeros", "circular"):
            return _convolution(layer, shape[1:], residual or "dense", largest)
    return _span(layer, shape, largest)


def reason_alone(layer: nn.Module) -> str | None:
    """Why layers of this class are always left alone, or None."""
    kinds = [b.__name__ for b in type(layer).__mro__ if b.__module__.split(".")[0] in ("torch", "escnn", "e3nn")]
    if any(re.search(r"Norm(\d?d)?$", kind) for kind in kinds):
        return "normalisation"
    return next((reason for reason, kinds in ALONE.items() if isinstance(layer, kinds)), None)


def acts_on_tokens(layer: nn.Module) -> bool:
    """Whether it is a linear layer, of torch or e3nn, that acts on the last axis whatever stands before it."""
    kinds = [b for b in type(layer).__mro__ if b.__module__.startswith("e3nn.") and b.__name__ == "Linear"]
    if kinds:
        return _forward(type(layer)) is _forward(kinds[0]) and getattr(layer, "f_in", None) is None
    return _is(layer, nn.Linear)


def _is(layer: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether it is of such a class, or of a subclass that computes the same."""
    return any(isinstance(layer, kind) and _forward(type(layer)) is _forward(kind) for kind in kinds)


def _forward(kind: Any) -> Any:
    return kind.forward


def _full(layer: nn.Module) -> dict[str, tuple[Subspace, NDArray]]:
    rows = layer.out_channels if isinstance(layer, TRANSPOSED) else None  # their weights are (in, out, ...)
    return {
        name: (FullSubspace(tuple(p.shape), rows if name == "weight" else None), _values(p))
        for name, p in layer.named_parameters()
    }


def _convolution(layer: Any, grid: tuple[int, ...], weights: str, largest: int) -> Choice:
    """A plain or a steerable convolution as a matrix, dense or local."""
    if weights in FACTORED:
        return _factored(Factored, layer, convolution_subspace(layer, grid, "local"), weights)
    conv = convolution_subspace(layer, grid, weights)
    if conv.size > largest:
        raise TooLarge(f"{conv.shape[0]} x {conv.shape[1]}")
    positions = math.prod(conv.output_size)
    if not is_steerable(layer):
        kernel, bias = _values(layer.weight), None if layer.bias is None else _values(layer.bias)
        made, own = _plain_convolution(conv, kernel, bias)
    else:
        kernels, biases = expansions(layer)
        within = in_coordinates(conv, kernels)
        inside = ComposedSubspace(conv, SpanSubspace((conv.rank,), within))
        kernel, bias = expanded(layer)
        made = {"weight": (NestedSubspace([inside, conv]), conv.from_kernel(kernel))}
        own = {"weight": within}
        if bias is not None and biases is not None:
            own["bias"] = sparse.csc_array(sparse.kron(biases, np.ones((positions, 1))))
            made["bias"] = (SpanSubspace((len(bias) * positions,), own["bias"]), np.repeat(bias, positions))
        own = of_all(layer, own)
    new = Convolution(layer, made["weight"][1], made["bias"][1] if bias is not None else None, conv)
    return Choice(made, new, NOTES[weights], own)


def _plain_convolution(
    conv: ConvolutionSubspace, kernel: NDArray, bias: NDArray | None
) -> tuple[dict[str, tuple[Subspace, NDArray]], dict[str, sparse.csc_array]]:
    """Weights of a convolution of torch, and `own`."""
    made: dict[str, tuple[Subspace, NDArray]] = {"weight": (conv, conv.from_kernel(kernel))}
    if bias is not None:
        made["bias"] = (conv.channel_bias(), np.repeat(bias, math.prod(conv.output_size)))
    return made, _norms(conv, kernel, bias)


def _factored(kind: type[Factored], layer: Any, conv: ConvolutionSubspace, residual: str) -> Choice:
    """A convolution, or a linear layer on tokens, by coordinates."""
    kernel = _values(layer.weight).reshape(conv.out_channels, -1, *conv.kernel_size)
    bias = None if layer.bias is None else _values(layer.bias)
    made: dict[str, tuple[Subspace, NDArray]] = dict(coordinates(conv, residual, kernel, bias))
    if all(s.rank == s.size for s, _ in made.values()):  # at a single position
        return Choice(_full(layer), note=NOTES["none"])
    new = kind(layer, conv, residual, made["weight"][1], None if bias is None else made["bias"][1])
    return Choice(made, new, NOTES[residual], _norms(conv, kernel, bias))


def _norms(conv: ConvolutionSubspace, kernel: NDArray, bias: NDArray | None) -> dict[str, sparse.csc_array]:
    """`own` of a convolution of torch."""
    own = [sparse.kron(sparse.eye_array(kernel.shape[0] * kernel.shape[1]), conv.tap_coordinates.T)]
    if bias is None:
        return {"weight": sparse.csc_array(own[0])}
    own.append(math.sqrt(math.prod(conv.output_size)) * sparse.eye_array(len(bias)))
    empty = [sparse.csc_array((o.shape[0], n)) for o, n in zip(own, (len(bias), kernel.size), strict=True)]
    weight, offset = sparse.hstack([own[0], empty[0]]), sparse.hstack([empty[1], own[1]])
    return {"weight": sparse.csc_array(weight), "bias": sparse.csc_array(offset)}


def _tokens(layer: Any, shape: tuple[int, ...], weights: str, largest: int) -> Choice:
    """A linear layer that serves all tokens: a convolution of kernel size 1 over them."""
    if weights in FACTORED:
        grid = shape[:-1] if len(shape) <= 4 else (math.prod(shape[:-1]),)
        conv = ConvolutionSubspace(layer.in_features, layer.out_features, 1, grid, weights="local")
        choice = _factored(FactoredTokens, layer, conv, weights)
        if isinstance(choice.layer, FactoredTokens):
            choice.layer.tokens = shape[:-1]
        return choice
    conv = ConvolutionSubspace(layer.in_features, layer.out_features, 1, math.prod(shape[:-1]), weights=weights)  # type: ignore[arg-type]
    if conv.size > largest:
        raise TooLarge(f"{conv.shape[0]} x {conv.shape[1]}")
    bias = None if layer.bias is None else _values(layer.bias)
    made, own = _plain_convolution(conv, _values(layer.weight)[..., None], bias)
    new = TokenConvolution(layer, made["weight"][1], made["bias"][1] if bias is not None else None, conv)
    new.tokens = shape[:-1]
    return Choice(made, new, NOTES[weights], own)


def _steerable_kernel(layer: Any) -> Choice:
    """A convolution of escnn: its filters within all filters."""
    kernels, biases = expansions(layer)
    kernel, bias = expanded(layer)
    own = {"weight": kernels}
    made: dict[str, tuple[Subspace, NDArray]] = {"weight": (SpanSubspace(kernel.shape, kernels), kernel)}
    if biases is not None and bias is not None:
        made["bias"], own["bias"] = (SpanSubspace(bias.shape, biases), bias), biases
    return Choice(made, Kernel(layer, kernel, bias), NOTES["kernel"], of_all(layer, own))


def _span(layer: nn.Module, shape: tuple[int, ...], largest: int) -> Choice:
    """Any other layer: the span of the matrices that it can be, read off."""
    tokens = acts_on_tokens(layer)
    try:
        reader = Reader(layer, shape)
        reader.check()
        outputs, inputs = reader.shape
        if outputs * inputs > largest:
            raise ValueError(f"its matrix would have {outputs} x {inputs} entries")
        columns, biases = reader.columns()
    except ValueError as error:
        raise LeftAlone(str(error)) from error
    weight, bias = reader.matrix()
    made: dict[str, tuple[Subspace, NDArray]] = {"weight": (SpanSubspace((outputs, inputs), columns), weight)}
    own = {"weight": columns}
    if biases is not None:
        made["bias"], own["bias"] = (SpanSubspace((outputs,), biases), bias), biases
    arrays = (weight, None if biases is None else bias)
    new = Tokens(layer, *arrays) if tokens else Matrix(layer, *arrays, reader.output_shape)
    return Choice(made, new, NOTES["dense"], own)


def _values(tensor: torch.Tensor) -> NDArray:
    return tensor.detach().cpu().double().numpy().copy()
