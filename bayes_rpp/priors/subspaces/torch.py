"""The matrix of a torch layer, W(theta), read off by running the layer.

A layer f(theta, x) that is linear in theta and affine in x is its own derivative: f(e_k, e_i) - f(e_k, 0) is column i
of dW / d theta_k, and f(e_k, 0) is db / d theta_k. A copy of the layer runs on all e_i at once, for many e_k by vmap.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import nn

TOLERANCE = 1e-6  # relative: constants of a layer may be float32
LARGEST = 2_000_000_000  # numbers to read, parameters * inputs * outputs
CHUNK = 8_000_000  # of them at a time


def columns_of(
    layer: nn.Module, input_shape: tuple[int, ...] | None
) -> tuple[sparse.csc_array, sparse.csc_array | None, tuple[int, int]]:
    """Columns dW / d theta_k (outputs * inputs, k) and db / d theta_k (outputs, k; None if the layer has no bias), and
    (outputs, inputs). Errors are those of `SpanSubspace.of`."""
    reader = Reader(layer, input_shape)
    reader.check()
    return *reader.columns(), reader.shape


class Reader:
    """A copy of a layer in float64, as a function of (theta, x), both flattened.

    Args:
        layer: torch module; it is not changed, nor is the state of random numbers.
        input_shape: of one example; None asks the layer.

    Attributes:
        theta: (k,) its parameters' values, all of `named_parameters()`, trainable or not.
        shape: (outputs, inputs).
        output_shape: of one example.

    Raises:
        ValueError: if the layer has no parameters, or does not run on such an input.
    """

    def __init__(self, layer: nn.Module, input_shape: tuple[int, ...] | None) -> None:
        self.input_shape = _asked(layer) if input_shape is None else input_shape
        self.layer = copied(layer).cpu().double()
        parameters = dict(self.layer.named_parameters())
        self.name = type(layer).__name__
        if not sum(p.numel() for p in parameters.values()):
            raise ValueError(f"layer must have parameters, for a choice of matrices, got a {self.name} without")
        self._shapes = {name: p.shape for name, p in parameters.items()}
        self.theta = torch.cat([p.detach().reshape(-1) for p in parameters.values()])
        self._random = torch.Generator().manual_seed(0)
        inputs = math.prod(self.input_shape)
        try:
            y = self._run(self.theta, self._noise(2, inputs))
        except Exception as error:  # whatever the layer raises
            raise ValueError(
                f"input_shape must suit {self.name}, got {self.input_shape}, where it fails: {error}"
            ) from error
        if y.ndim < 1 or y.shape[0] != 2:
            raise ValueError(f"layer must make an output (2, ...) of 2 examples, got {tuple(y.shape)} of {self.name}")
        self.output_shape = tuple(y.shape[1:])
        self.shape = (math.prod(self.output_shape), inputs)

    def check(self) -> None:
        """Raise ValueError unless the layer is linear in its parameters and affine in its input."""
        k, inputs = len(self.theta), self.shape[1]
        (s, t), x = self._noise(2, k), self._noise(3, inputs)
        found = self._outputs(s, x)
        scale = max(float(found.abs().max()), float(self._outputs(t, x).abs().max()), 1e-300)
        zero = torch.zeros_like(x[:1])
        errors = {
            "linear in its parameters": (
                self._outputs(2 * s - 3 * t, x) - 2 * found + 3 * self._outputs(t, x),
                self._outputs(0 * s, x),  # a constant part would be no parameter's
            ),
            "affine in its input": (
                self._outputs(s, 2 * x[:1] - 3 * x[1:2])
                - (2 * found[:1] - 3 * found[1:2] + 2 * self._outputs(s, zero)),
                self._outputs(s, x[2:]) - found[2:],  # alone as in a batch
            ),
        }
        for what, differences in errors.items():
            error = max(float(d.abs().max()) for d in differences) / scale
            if not error <= TOLERANCE:
                raise ValueError(f"the {self.name} is not {what}: relative error {error:.2g}, over {TOLERANCE:g}")

    def columns(self) -> tuple[sparse.csc_array, sparse.csc_array | None]:
        """See `columns_of`."""
        (outputs, inputs), k = self.shape, len(self.theta)
        if k * outputs * inputs > LARGEST:
            raise ValueError(
                f"the {self.name} has {k} parameters and a matrix of {outputs} x {inputs}, too many numbers to read "
                "off; for a convolution, ConvolutionSubspace, or soften with residual='kernel', would do"
            )
        x = _corners(inputs)
        size = max(1, CHUNK // ((inputs + 1) * max(outputs, 1)))
        weight, bias = [], []
        for start in range(0, k, size):
            thetas = torch.zeros(min(size, k - start), k, dtype=torch.float64, device="cpu")
            thetas.diagonal(start).fill_(1.0)
            y = each(lambda t: self._run(t, x), thetas).reshape(len(thetas), inputs + 1, outputs)
            weight.append(_sparse((y[:, 1:] - y[:, :1]).transpose(1, 2)))
            bias.append(_sparse(y[:, 0]))
        b = sparse.vstack(bias).T.tocsc()
        return sparse.vstack(weight).T.tocsc(), b if b.nnz else None

    def matrix(self) -> tuple[NDArray, NDArray]:
        """W (outputs, inputs) and b (outputs,) of the layer as it is, float64."""
        inputs = self.shape[1]
        x = _corners(inputs)
        y = self._outputs(self.theta, x)
        return (y[1:] - y[:1]).T.numpy().copy(), y[0].numpy().copy()

    def _outputs(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self._run(theta, x).reshape(len(x), -1)

    @torch.no_grad()
    def _run(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        parts = theta.split([s.numel() for s in self._shapes.values()])
        values = {name: part.reshape(s) for (name, s), part in zip(self._shapes.items(), parts, strict=True)}
        with torch.random.fork_rng(devices=[]):
            return run(self.layer, values, x.reshape(len(x), *self.input_shape))

    def _noise(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._random, dtype=torch.float64, device="cpu")


def _corners(size: int) -> torch.Tensor:
    """0 and all e_k, on the CPU whatever the default device is."""
    return torch.cat([torch.zeros(1, size, device="cpu"), torch.eye(size, device="cpu")]).double()


@torch.no_grad()
def each(function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    """The function's values of each row, by vmap where that works on it."""
    if len(rows) > 1:
        try:
            with torch.random.fork_rng(devices=[]):
                return torch.func.vmap(function)(rows)
        except Exception:  # no batching rule, tensors written in place, a branch on values
            pass
    return torch.stack([function(row) for row in rows])


def run(module: nn.Module, values: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The module's output for these values of its parameters; tensors go through escnn's types where it speaks them.
    Tensors that are plain attributes get the precision and device of x. The module is left as it was, whatever it keeps
    of what it computes, also if it raises.

    Raises:
        TypeError: if the output is no tensor.
    """
    argument: Any = x
    if speaks_types(module):
        from escnn.nn import GeometricTensor

        argument = GeometricTensor(x, module.in_type)
    with left_as_it_was(module):
        for attributes in map(vars, module.modules()):
            for k, v in attributes.items():
                if isinstance(v, torch.Tensor) and v.is_floating_point() and (v.dtype, v.device) != (x.dtype, x.device):
                    attributes[k] = v.to(x)
        y = torch.func.functional_call(module, _everywhere(module, values), (argument,), tie_weights=False)
    y = getattr(y, "tensor", y)
    if not isinstance(y, torch.Tensor):
        raise TypeError(f"the output is a {type(y).__name__}; one tensor would do")
    return y


def _everywhere(module: nn.Module, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The values by all names of their tensors, one for each place. Where a layer stands in two places, torch's own way
    of tying puts the value in twice, and then takes it for what was there before."""
    names: dict[torch.Tensor, list[str]] = {}
    for path, m in module.named_modules():
        for name, tensor in (*m._parameters.items(), *m._buffers.items()):
            if tensor is not None:
                names.setdefault(tensor, []).append(f"{path}.{name}" if path else name)
    found = dict(values)
    for same in names.values():
        for name in same if len(same) > 1 else ():
            given = next((values[n] for n in same if n in values), None)
            if given is not None:
                found[name] = given
    return found


@contextmanager
def left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Attributes, and lists and dicts in them, are afterwards what they were: what a module keeps of its last input
    may be of a transform of torch.func, and of no use outside of it."""
    own: list[Any] = [vars(m) for m in module.modules() if not isinstance(m, torch.jit.ScriptModule)]
    own += [v for attributes in own for v in attributes.values() if isinstance(v, (dict, list))]
    before = [(v, copy.copy(v)) for v in own]
    try:
        yield
    finally:
        for now, then in before:
            now.clear()
            now.update(then) if isinstance(now, dict) else now.extend(then)


def speaks_types(module: nn.Module) -> bool:
    """Whether it takes and returns escnn's GeometricTensor."""
    return getattr(module, "typed", False) or (
        hasattr(module, "in_type") and any(b.__module__.startswith("escnn.") for b in type(module).__mro__)
    )


def copied(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode, whose outputs depend on its parameters alone."""
    # Values that a layer has computed from its parameters cannot be copied with their history, nor are they wanted.
    memo: dict[int, Any] = {id(b): b.detach().clone() for b in module.buffers() if b.grad_fn is not None}
    for m in module.modules():
        kept = (v for v in _parts(vars(m)) if isinstance(v, torch.Tensor) and v.grad_fn is not None)
        memo |= {id(v): v.detach().clone() for v in kept}
    # escnn's groups, their representations and bases exist once.
    for m in module.modules():
        own = {k: v for k, v in vars(m).items() if k not in ("_parameters", "_buffers", "_modules")}
        memo |= {id(v): v for v in _parts(own) if type(v).__module__.startswith("escnn.")}
    new = copy.deepcopy(module, memo)
    for m in new.modules():
        # escnn's layers keep their expanded weights in evaluation mode, and then ignore their parameters.
        m.training = hasattr(m, "expand_parameters")
    return new


def _parts(value: Any) -> Iterator[Any]:
    """What stands in nested containers."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for v in value:
            yield from _parts(v)
    else:
        yield value


def _asked(layer: Any) -> tuple[int, ...]:
    """The shape of an example, as the layer knows it."""
    if not isinstance(layer, nn.Bilinear):
        if isinstance(getattr(layer, "in_features", None), int):
            return (layer.in_features,)
        if isinstance(getattr(getattr(layer, "irreps_in", None), "dim", None), int):  # e3nn
            return (layer.irreps_in.dim,)
        in_type = getattr(layer, "in_type", None)  # escnn, of features that live on no grid
        if in_type is not None and getattr(in_type.gspace, "dimensionality", None) == 0:
            return (in_type.size,)
    raise ValueError(
        f"input_shape must be given, as a {type(layer).__name__} does not say it, got None; the shape of one example, "
        "such as (3, 32, 32), would do"
    )


def _sparse(rows: torch.Tensor) -> sparse.csr_array:
    """(k, ...) as a sparse (k, n), without what is rounding."""
    a: NDArray = rows.reshape(len(rows), -1).numpy()
    return sparse.csr_array(np.where(np.abs(a) > 1e-12 * np.abs(a).max(initial=0.0), a, 0.0))
