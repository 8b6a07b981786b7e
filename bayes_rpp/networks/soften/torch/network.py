"""A torch module as a function of (parameters, inputs)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bayes_rpp._arrays import Array
from bayes_rpp._types import Shaped
from bayes_rpp.engines.torch import converted
from bayes_rpp.networks.network import Capabilities
from bayes_rpp.networks.soften.module import ModuleNetwork
from bayes_rpp.networks.soften.torch.packed import packed, unpacked
from bayes_rpp.priors.subspaces.torch import run


class TorchNetwork(ModuleNetwork):
    """A torch module with residual pathways, made by `soften`; runs in Pyro.

    Attributes:
        module: a copy of the module whose softened layers take any weight of their residuals. Its own parameters are
            not used.
        dtype: the precision of the module that was softened.
    """

    dtype = torch.float32

    def __init__(
        self, module: nn.Module, inputs: Sequence[int], outputs: int, *args: Any, whole: Sequence[str], **options: Any
    ) -> None:
        """Args: shape of an example, then as those of ModuleNetwork; whole: parameters by torch's name, in torch's
        order."""
        seen = Capabilities(engines=("pyro",), input_shape=tuple(inputs), traceable=False)
        super().__init__(seen, outputs, *args, **options)
        self.module = module
        self.parameters = {name: self.parameters[name] for name in whole}

    def __call__(
        self, params: Mapping[str, Array], x: Shaped[Array, "*x"]
    ) -> Shaped[Array, "*batch {self.rep_out.size}"]:
        """Outputs (..., outputs) for inputs (..., prod(input_shape)) or (..., *input_shape), of torch or numpy."""
        if isinstance(x, torch.Tensor):
            return self._outputs(params, x)
        dtype = np.result_type(*(np.asarray(params[name]) for name in self.parameters))
        dtype = dtype if np.issubdtype(dtype, np.floating) else np.dtype(np.float32)
        with torch.no_grad(), torch.device("cpu"):  # where numpy's arrays are
            return self._outputs({k: _tensor(params[k], dtype) for k in self.parameters}, _tensor(x, dtype)).numpy()

    def state(self) -> dict[str, NDArray]:
        return super().state() | {k: b.detach().cpu().numpy() for k, b in self.module.named_buffers()}

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"module": packed(self.module)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state | {"module": unpacked(*state["module"])})

    def actual(self, params: Mapping[str, Array]) -> dict[str, torch.Tensor]:
        """Values of the module's parameters: softened ones as they are, the others added to the module's own."""
        values = {}
        for name in self.parameters:
            value = torch.as_tensor(params[name])
            if name in self.center:
                value = value + converted(self.center[name], value)
            values[name] = value
        return values

    def _outputs(self, params: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        assert self.input_shape is not None
        x = self.rows(x)
        if x.shape[-1] != self.rep_in.size:
            image = ", ".join(map(str, self.input_shape))
            raise ValueError(f"x must have shape (n, {self.rep_in.size}) or (n, {image}), got {tuple(x.shape)}")
        values = self.actual(params)
        like = next(iter(values.values()))
        for name, b in self.module.named_buffers():
            values[name] = b.to(like) if b.is_floating_point() else b.to(like.device)
        with _attention_by_formula():
            # A copy, as modules may write into their input, and this is the caller's.
            y = run(self.module, values, x.reshape((-1, *self.input_shape)).clone())
        # Some of escnn's layers write into tensors of torch's default type.
        return y.reshape((*x.shape[:-1], self.rep_out.size)).to(like.dtype)


@contextmanager
def _attention_by_formula() -> Iterator[None]:
    """The fused kernels of attention have no rules for vmap."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _tensor(value: Any, dtype: np.dtype) -> torch.Tensor:
    # torch warns of arrays that it may not write to.
    array: NDArray = np.require(value, dtype=dtype, requirements=["C", "W"])
    return torch.from_numpy(array)
