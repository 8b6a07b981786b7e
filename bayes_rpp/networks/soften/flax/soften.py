"""`soften` for Flax: the module runs as it is, but softened layers read their weights from the network's parameters.

Linear layers, and convolutions whose residual is a kernel, keep their own code and get their kernel from the weight.
Others are replaced by a product with a dense or a local weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array
from bayes_rpp._types import Shaped
from bayes_rpp.engines.flax import HELD, Call, View, bound, check_supported, left_alone, looks, view
from bayes_rpp.engines.jax import x64
from bayes_rpp.networks.network import Capabilities
from bayes_rpp.networks.soften.flax.layers import Apply, Seen, first_line, softened, to_kernel
from bayes_rpp.networks.soften.module import ModuleNetwork, Softened
from bayes_rpp.networks.soften.options import FACTORED, GIVEN, Options, ancestors, is_centered, joined
from bayes_rpp.priors.subspaces.base import Subspace

BATCHES = (5, 7)  # the module is run with: what does not change with them is no batch axis


class FlaxNetwork(ModuleNetwork):
    """A Flax module as a network, for NumPyro. numpy arrays in, numpy arrays out, in float64 if the weights are.

    Attributes:
        module: as given, with its variables.
        turned: softened parameter -> the layer's own one, which is the same numbers with its last two axes first.
        replaced: path -> function of (weight, bias, x) in place of the layer, and the names of what it needs.
        shapes: path -> the shape of an example of a softened layer's input.
    """

    def __init__(self, module: Any, inputs: tuple[int, ...], plan: _Plan, **options: Any) -> None:
        seen = Capabilities(engines=("numpyro",), input_shape=inputs)
        super().__init__(seen, plan.outputs, plan.weights, plan.rest, plan.layers, **options)
        self.module, self.turned, self.replaced, self.shapes = module, plan.turned, plan.replaced, plan.shapes
        # What they hold comes with each call.
        held = {path: dict.fromkeys(names, 0.0) for path, (_, names) in plan.replaced.items()}
        self._view = view(module, inputs, self._layer, held)
        self._held = {f"{path}.{k}".lstrip("."): f"{path}.{HELD}{k}".lstrip(".") for path in held for k in held[path]}
        self._compiled = jax.jit(self._outputs)
        self._exact = True
        try:
            with x64():
                jax.eval_shape(self._outputs, *self._as(np.float64, self.initial, np.zeros((1, self.rep_in.size))))
        except Exception:  # the module's code insists on float32
            self._exact = False

    def __call__(
        self, params: Mapping[str, Array], x: Shaped[Array, "*x"]
    ) -> Shaped[Array, "*batch {self.rep_out.size}"]:
        arrays = [x, *params.values()]
        if not all(isinstance(a, (np.ndarray, np.generic)) for a in arrays):
            return self._outputs(params, x)
        dtype = np.result_type(*arrays[1:])
        double = self._exact and dtype == np.float64
        with x64() if double else nullcontext():
            y = self._compiled(*self._as(np.float64 if double else np.float32, params, x))
            return np.asarray(y, dtype=dtype)

    def state(self) -> dict[str, NDArray]:
        return super().state() | {k: np.asarray(v) for k, v in self._view.state.items()}

    @staticmethod
    def _as(dtype: Any, params: Mapping[str, Array], x: Array) -> tuple[dict[str, Array], Array]:
        return {k: jnp.asarray(w, dtype=dtype) for k, w in params.items()}, jnp.asarray(x, dtype=dtype)

    def _outputs(self, params: Mapping[str, Array], x: Array) -> Array:
        values = {}
        for name in self.parameters:
            w = params[name]
            if name in self.center:
                w = w + jnp.asarray(self.center[name], dtype=w.dtype)
            if name in self._held:
                values[self._held[name]] = w
            elif name in self.turned:
                values[self.turned[name]] = to_kernel(w)
            else:
                values[name] = w
        assert self.input_shape is not None
        x = self.rows(x)
        y = self._view(values, jnp.asarray(x).reshape((-1, *self.input_shape)))
        return y.reshape((*x.shape[:-1], self.rep_out.size))

    def _layer(self, call: Call) -> Any:
        if call.path not in self.replaced:
            return call.run(*call.args, **call.kwargs)
        apply, _ = self.replaced[call.path]
        return apply(call.held["weight"], call.held.get("bias"), call.args[0])


@dataclass
class _Plan:
    """What is to become of a module: see `ModuleNetwork`.

    Attributes:
        turned, replaced, shapes: see `FlaxNetwork`.
    """

    outputs: int
    weights: dict[str, tuple[Subspace, NDArray]] = field(default_factory=dict)
    rest: dict[str, NDArray] = field(default_factory=dict)
    layers: list[Softened] = field(default_factory=list)
    turned: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, tuple[Apply, list[str]]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def soften(
    module: Any, input_shape: tuple[int, ...], options: Options, *, centre: str | None, **reps: Any
) -> FlaxNetwork:
    """See `bayes_rpp.soften`."""
    check_supported(module)
    try:
        module = bound(module, input_shape)
    except Exception as error:
        raise _does_not_run(input_shape, error) from error
    seen, outputs = _run(module, input_shape)
    see = view(module, input_shape)
    jax.eval_shape(see, see.values, jnp.zeros((1, *input_shape)))  # linen tells its layers as they run
    plan, owners = _Plan(outputs), _owners(see, list(seen))
    for path, names in owners.items():
        kind, how = see.kinds[path], options.residual(path)
        if how in FACTORED:
            raise ValueError(f"residual must be 'dense', 'local' or 'kernel' for a Flax module, got {how!r}")
        reason = "skipped, as asked" if options.skips(path) else _reason_of(see, path, owners, seen)
        soft = reason or softened(see, path, names, seen[path], how or "dense")
        if isinstance(soft, str):
            plan.rest |= {name: np.asarray(see.values[name]) for name in names}
            plan.layers.append(Softened(path, kind.__name__, None, soft))
            continue
        parts = {"weight": soft.weight, **({"bias": soft.bias} if soft.bias else {})}
        for k, (subspace, value) in parts.items():
            plan.weights[joined(path, k)] = options.subspace(joined(path, k), subspace), value
        subspace = plan.weights[joined(path, "weight")][0]
        note = soft.note if subspace is soft.weight[0] else GIVEN
        plan.layers.append(Softened(path, kind.__name__, subspace, note, soft.reason if note == soft.note else ""))
        (plan.shapes[path],) = seen[path].inputs
        if soft.apply:
            plan.replaced[path] = soft.apply, list(parts)
        else:
            plan.turned[joined(path, "weight")] = joined(path, "kernel")
    options.check_used(owners, plan.weights)
    centered = is_centered(centre, see.is_trained)
    return FlaxNetwork(module, input_shape, plan, untrained=see.untrained, centered=centered, **reps)


def _run(module: Any, shape: tuple[int, ...]) -> tuple[dict[str, Seen], int]:
    """How each layer is called, in this order, and the number of outputs."""
    seen: dict[str, Seen] = {}

    def record(call: Call) -> Any:
        layer = seen.setdefault(call.path, Seen())
        y = call.run(*call.args, **call.kwargs)
        x: Any = call.args[0] if call.args else None
        others = [*call.args[1:], *call.kwargs.values()]
        if not hasattr(x, "shape") or not hasattr(y, "shape") or not x.ndim or not y.ndim:
            layer.problem = "it is no function of one array to one array"
        elif any(v is not None and not isinstance(v, bool) for v in others):
            layer.problem = "called with several arguments"
        else:
            layer.inputs.add(tuple(x.shape[1:]))
            layer.outputs.add(tuple(y.shape[1:]))
            layer.batched &= x.shape[0] % size == 0 and x.shape[0] == y.shape[0]
        return y

    see: View | None = None
    y: Any = None
    for size in BATCHES:
        try:
            see = see or view(module, shape, record)
            y = jax.eval_shape(see, see.values, jnp.zeros((size, *shape)))
        except Exception as error:
            raise _does_not_run(shape, error) from error
        if not hasattr(y, "shape") or y.shape[:1] != (size,):
            raise ValueError(f"module must give one array of shape (n, outputs), got {y} for {size} examples")
    return seen, math.prod(y.shape[1:])


def _does_not_run(shape: tuple[int, ...], error: Exception) -> ValueError:
    would = "; jnp.where or jax.lax.cond in place of Python that looks at values would do" if looks(error) else ""
    return ValueError(
        f"module must run on input_shape {shape} (channels last, without the batch), got {first_line(error)}{would}"
    )


def _owners(see: View, order: list[str]) -> dict[str, list[str]]:
    """Path of each layer that has parameters -> their names, in the order of the calls; attention, normalisation and
    recurrent cells are one layer each with all that is below them."""
    found: dict[str, list[str]] = {}
    for name in see.values:
        above = [p for p in ["", *ancestors(name)[:-1]] if p in see.kinds]
        found.setdefault(next((p for p in above if left_alone(see.kinds[p])), above[-1]), []).append(name)
    place = {path: k for k, path in enumerate(order)}
    return dict(sorted(found.items(), key=lambda item: place.get(item[0], len(place))))


def _reason_of(see: View, path: str, owners: Mapping[str, Any], seen: Mapping[str, Seen]) -> str:
    """Why a layer is left alone, as far as can be told without a look at what it does; or ""."""
    if reason := left_alone(see.kinds[path]):
        return reason
    if any(p != path and (not path or p.startswith(f"{path}.")) for p in owners):
        return "parameters of its own, beside its layers"
    if path in see.shared:
        return "shares parameters with another layer"
    if path not in seen:
        return "never called"
    if seen[path].problem:
        return seen[path].problem
    if len(seen[path].inputs) > 1:
        return f"called with inputs of different shapes: {', '.join(map(str, sorted(seen[path].inputs)))}"
    return ""
