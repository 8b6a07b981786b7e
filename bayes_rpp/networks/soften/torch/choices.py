"""What becomes of each kind of torch layer: its weight, the subspace of it, and the layer that takes its place."""

from __future__ import annotations

import math
import re
from collections import Counter
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
from bayes_rpp.priors.subspaces.base import FullSubspace, Subspace
from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace
from bayes_rpp.priors.subspaces.nested import ComposedSubspace, NestedSubspace
from bayes_rpp.priors.subspaces.span import SpanSubspace
from bayes_rpp.priors.subspaces.torch import CHUNK, Reader, copied, each

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
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
    if _is_steerable(layer):
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


def _is_steerable(layer: nn.Module) -> bool:
    # A user's subclass may compute something else; that is found out by reading it.
    kind = type(layer)
    return kind.__module__.startswith("escnn.") and any(b.__name__ == "_RdConv" for b in kind.__mro__)


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
    if not _is_steerable(layer):
        kernel, bias = _values(layer.weight), None if layer.bias is None else _values(layer.bias)
        made, own = _plain_convolution(conv, kernel, bias)
    else:
        kernels, biases = _expansions(layer)
        within = _within(conv, kernels)
        inside = ComposedSubspace(conv, SpanSubspace((conv.rank,), within))
        kernel, bias = _expanded(layer)
        made = {"weight": (NestedSubspace([inside, conv]), conv.from_kernel(kernel))}
        own = {"weight": within}
        if bias is not None and biases is not None:
            own["bias"] = sparse.csc_array(sparse.kron(biases, np.ones((positions, 1))))
            made["bias"] = (SpanSubspace((len(bias) * positions,), own["bias"]), np.repeat(bias, positions))
        own = _of_all(layer, own)
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


def _of_all(layer: nn.Module, own: dict[str, sparse.csc_array]) -> dict[str, sparse.csc_array]:
    """Matrices of the parameters of an escnn layer, `weights` and `bias`, as matrices of all of its parameters."""
    names, found = {"weight": "weights", "bias": "bias"}, {}
    for name, matrix in own.items():
        parts = [
            matrix if k == names[name] else sparse.csc_array((matrix.shape[0], p.numel()))
            for k, p in layer.named_parameters()
        ]
        found[name] = sparse.csc_array(sparse.hstack(parts))
    return found


def _steerable_kernel(layer: Any) -> Choice:
    """A convolution of escnn: its filters within all filters."""
    kernels, biases = _expansions(layer)
    kernel, bias = _expanded(layer)
    own = {"weight": kernels}
    made: dict[str, tuple[Subspace, NDArray]] = {"weight": (SpanSubspace(kernel.shape, kernels), kernel)}
    if biases is not None and bias is not None:
        made["bias"], own["bias"] = (SpanSubspace(bias.shape, biases), bias), biases
    return Choice(made, Kernel(layer, kernel, bias), NOTES["kernel"], _of_all(layer, own))


def _expanded(layer: nn.Module) -> tuple[NDArray, NDArray | None]:
    """Filter and bias as they are."""
    new: Any = copied(layer).double()
    with torch.no_grad():
        kernel, bias = new.expand_parameters()
    return _values(kernel), None if bias is None else _values(bias)


def _expansions(layer: Any) -> tuple[sparse.csc_array, sparse.csc_array | None]:
    """Filters of a unit of each of an escnn layer's parameters, (filter entries, k), and biases (channels, k).

    Each parameter joins one field of the output with one of the input, and fills their block of the filter alone. So
    one parameter of each pair of fields is read at a time.
    """
    new: Any = copied(layer).double()
    info = list(new.basisexpansion.get_basis_info())
    turn, seen = [], Counter[tuple[int, int]]()
    pairs = [(i["out_field_position"], i["in_field_position"]) for i in info]
    for pair in pairs:
        turn.append(seen[pair])
        seen[pair] += 1
    rows = torch.zeros(max(turn, default=-1) + 1, len(info), dtype=torch.float64)
    rows[turn, torch.arange(len(info))] = 1.0
    with torch.no_grad():
        shape = tuple(new.expand_parameters()[0].shape)
        filters = each(new.basisexpansion, rows).reshape(len(rows), *shape[:2], -1).numpy()
    entries = np.arange(filters[0].size).reshape(filters[0].shape)
    where, values = [], []
    for t, (o, i) in zip(turn, pairs, strict=True):
        block = np.s_[_field(new.out_type, o), _field(new.in_type, i)]
        where.append(entries[block].ravel())
        values.append(filters[t][block].ravel())
    columns = np.repeat(np.arange(len(info)), [len(w) for w in where])
    entry = (np.concatenate(values), (np.concatenate(where), columns))
    biases = None if new.bias is None else sparse.csc_array(_values(new.bias_expansion))
    return sparse.coo_array(entry, shape=(math.prod(shape), len(info))).tocsc(), biases


def _field(kind: Any, number: int) -> slice:
    return slice(int(kind.fields_start[number]), int(kind.fields_end[number]))


def _within(conv: Any, kernels: sparse.csc_array) -> sparse.csc_array:
    """Columns of filters, in the orthonormal coordinates of convolutions."""
    shape = (conv.out_channels, conv.in_channels // conv.groups, *conv.kernel_size)
    size, parts = max(1, CHUNK // max(1, kernels.shape[0])), []
    for start in range(0, kernels.shape[1], size):
        rows = kernels[:, start : start + size].toarray().T
        parts.append(sparse.csr_array(conv.encode_kernel(rows.reshape(-1, *shape))))
    return sparse.vstack(parts).T.tocsc()


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
