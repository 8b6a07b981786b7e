"""Reads convolutions of escnn: filters and biases as they are, and the spans of those that they can be."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import nn

from bayes_rpp.priors.subspaces.torch import CHUNK, copied, each


def is_steerable(layer: nn.Module) -> bool:
    # A user's subclass may compute something else; that is found out by reading it.
    kind = type(layer)
    return kind.__module__.startswith("escnn.") and any(b.__name__ == "_RdConv" for b in kind.__mro__)


def expanded(layer: nn.Module) -> tuple[NDArray, NDArray | None]:
    """Filter and bias as they are."""
    new: Any = copied(layer).double()
    with torch.no_grad():
        kernel, bias = new.expand_parameters()
    return kernel.numpy(force=True).copy(), None if bias is None else bias.numpy(force=True).copy()


def expansions(layer: Any) -> tuple[sparse.csc_array, sparse.csc_array | None]:
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
    biases = None if new.bias is None else sparse.csc_array(new.bias_expansion.double().numpy(force=True).copy())
    return sparse.coo_array(entry, shape=(math.prod(shape), len(info))).tocsc(), biases


def _field(kind: Any, number: int) -> slice:
    return slice(int(kind.fields_start[number]), int(kind.fields_end[number]))


def in_coordinates(conv: Any, kernels: sparse.csc_array) -> sparse.csc_array:
    """Columns of filters, in the orthonormal coordinates of convolutions."""
    shape = (conv.out_channels, conv.in_channels // conv.groups, *conv.kernel_size)
    size, parts = max(1, CHUNK // max(1, kernels.shape[0])), []
    for start in range(0, kernels.shape[1], size):
        rows = kernels[:, start : start + size].toarray().T
        parts.append(sparse.csr_array(conv.encode_kernel(rows.reshape(-1, *shape))))
    return sparse.vstack(parts).T.tocsc()


def of_all(layer: nn.Module, own: dict[str, sparse.csc_array]) -> dict[str, sparse.csc_array]:
    """Matrices of the parameters of an escnn layer, `weights` and `bias`, as matrices of all of its parameters."""
    names, found = {"weight": "weights", "bias": "bias"}, {}
    for name, matrix in own.items():
        parts = [
            matrix if k == names[name] else sparse.csc_array((matrix.shape[0], p.numel()))
            for k, p in layer.named_parameters()
        ]
        found[name] = sparse.csc_array(sparse.hstack(parts))
    return found
