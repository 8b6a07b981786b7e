"""Examples of what a torch module takes: one tensor, several, or some by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from bayes_rpp.networks.soften.options import checked_shape
from bayes_rpp.networks.soften.torch.soften import example
from bayes_rpp.priors.subspaces.torch import speaks_types

One: TypeAlias = int | Sequence[int] | torch.Tensor
Inputs: TypeAlias = One | Sequence[One] | Mapping[str, One]


def examples(module: nn.Module, inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named arguments, each of two examples.

    Args:
        module: whose parameters' precision and device they have.
        inputs: the shape of an example, or a tensor of some examples; several of these, or a dict of them by name.

    Raises:
        TypeError, ValueError: naming input_shape.
    """
    if isinstance(inputs, Mapping):
        return (), {name: _one(module, shape) for name, shape in inputs.items()}
    return tuple(_one(module, shape) for shape in several(inputs)), {}


def several(inputs: Any) -> list[Any]:
    """The shapes of positional arguments."""
    if isinstance(inputs, (list, tuple)) and any(not isinstance(n, (int, np.integer)) for n in inputs):
        return list(inputs)
    return [inputs]


def single(inputs: Inputs) -> tuple[int, ...] | None:
    """The shape of an example, of a module that takes one tensor of floating-point numbers, as rows are; else None."""
    shapes = [] if isinstance(inputs, Mapping) else several(inputs)
    if len(shapes) != 1 or (isinstance(shapes[0], torch.Tensor) and not shapes[0].is_floating_point()):
        return None
    return tuple(shapes[0].shape[1:]) if isinstance(shapes[0], torch.Tensor) else checked_shape(shapes[0])


def _one(module: nn.Module, shape: Any) -> Any:
    if isinstance(shape, torch.Tensor):
        if shape.ndim < 1 or not len(shape):
            raise ValueError(f"input_shape must have tensors of some examples, got one of shape {tuple(shape.shape)}")
        like = next(module.parameters(), torch.zeros(()))
        return shape.detach().to(like.device, like.dtype if shape.is_floating_point() else shape.dtype)
    if not isinstance(shape, (int, np.integer, list, tuple)):
        raise TypeError(
            f"input_shape must be the shape of one example, several shapes, or a dict of these by name, got {shape!r}; "
            "(3, 32, 32) would do"
        )
    x: Any = example(module, checked_shape(shape))
    if speaks_types(module):
        from escnn.nn import GeometricTensor

        x = GeometricTensor(x, module.in_type)
    return x
