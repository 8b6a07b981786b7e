"""Flax modules, nnx and linen, in evaluation mode, as pure functions of their parameters; layers can be hooked."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

EVALUATION = {"train": False, "training": False, "is_training": False, "deterministic": True}
LINEAR: tuple[type, ...] = (nnx.Linear, linen.Dense)
CONVOLUTIONS: tuple[type, ...] = (nnx.Conv, linen.Conv)
LEFT_ALONE = {
    "normalisation": {"BatchNorm", "LayerNorm", "GroupNorm", "RMSNorm", "InstanceNorm", "WeightNorm", "SpectralNorm"},
    "attention": {"MultiHeadAttention", "MultiHeadDotProductAttention", "SelfAttention"},
    "recurrent": {"RNNCellBase", "RNN"},
    "embedding": {"Embed"},
}
CONTAINERS = tuple(getattr(nnx, name) for name in ("List", "Dict") if hasattr(nnx, name))
HOLDERS: Any = (*CONTAINERS, list, dict)  # flax 0.10 has no List and Dict
HELD = "rpp_"  # before the names of what `View` makes a layer hold

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """A layer that is called while its module runs.

    Attributes:
        path, layer, args, kwargs: which one, and with what.
        run: what it does itself, a function of args and kwargs.
        held: the arrays that `View(held=...)` gave it.
    """

    path: str
    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    run: Callable[..., Any]
    held: dict[str, Any]


Hook = Callable[[Call], Any]


class View(ABC):
    """A module in evaluation mode as a pure function of its parameters and an input with a batch axis.

    Attributes:
        values: the real parameters that it has, by name ("layers.0.kernel"), and what was given as held, as
            "path.rpp_name".
        kinds: path -> class of each layer; of linen modules, each that has run.
        shared: paths of layers that have a parameter in common with another.
        state: what the module holds beside its parameters, such as running statistics, by name.
    """

    values: dict[str, Any]
    kinds: dict[str, type]
    shared: set[str]
    state: dict[str, Any]

    @abstractmethod
    def __call__(self, values: Values, x: Any) -> Any:
        """The module's output; parameters that `values` lacks are as the module has them."""

    @abstractmethod
    def layer(self, path: str) -> Any:
        """One layer alone, as a module with its parameters."""

    @property
    def untrained(self) -> tuple[str, ...]:
        """Paths of batch normalisations whose running statistics are those that they were made with."""
        return tuple(path for path, is_fresh in self._statistics() if is_fresh)

    @property
    def is_trained(self) -> bool:
        """Whether there are batch normalisations whose running statistics have seen data."""
        return any(not is_fresh for _, is_fresh in self._statistics())

    def _statistics(self) -> Iterator[tuple[str, bool]]:
        for path, kind in self.kinds.items():
            if any(base.__name__ == "BatchNorm" for base in kind.__mro__):
                end = f".{path}".rstrip(".")
                own = [[v for k, v in self.state.items() if f".{k}".endswith(f"{end}.{s}")] for s in ("mean", "var")]
                if own[0]:
                    pairs = zip(own, (0, 1), strict=True)
                    yield path or kind.__name__, all((v == fresh).all() for vs, fresh in pairs for v in vs)

    def _flatten(self, parameters: Any) -> None:
        leaves, structure = jax.tree_util.tree_flatten_with_path(parameters)
        self._structure: Any = structure
        self._leaves = {_name(path): value for path, value in leaves}
        self.values = {k: v for k, v in self._leaves.items() if jnp.issubdtype(v.dtype, jnp.floating)}

    def _unflatten(self, values: Values) -> Any:
        return self._structure.unflatten([values.get(k, v) for k, v in self._leaves.items()])


def view(
    module: Any,
    shape: Sequence[int],
    hook: Hook | None = None,
    held: Mapping[str, Mapping[str, Any]] | None = None,
) -> View:
    """View of a module.

    Args:
        module: nnx or linen, see `bound`.
        shape: of one example.
        hook: is called in place of each layer.
        held: path -> arrays by name that this layer is to hold, for the hook.
    """
    if isinstance(module, linen.Module):
        return _LinenView(bound(module, shape), hook, held or {})
    return _NNXView(module, hook, held or {})


class _NNXView(View):
    """Layers are hooked by subclasses of their classes, on a copy, so that isinstance and attributes work."""

    def __init__(self, module: Any, hook: Hook | None, held: Mapping[str, Mapping[str, Any]]) -> None:
        self._alone = _layers(module)
        self.kinds = {path: type(layer) for path, layer in self._alone.items()}
        uses: dict[int, list[str]] = {}
        for path, layer in self._alone.items():
            for value in vars(layer).values():
                if isinstance(value, nnx.Param):
                    uses.setdefault(id(value), []).append(path)
        self.shared = {path for paths in uses.values() if len(paths) > 1 for path in paths}
        module = nnx.clone(module)
        module.eval()
        for path, layer in _layers(module).items():
            if hook is not None and callable(layer):
                object.__setattr__(layer, "__class__", _hooked(type(layer), path, hook, tuple(held.get(path, ()))))
            for name, value in held.get(path, {}).items():
                setattr(layer, HELD + name, nnx.Param(jnp.asarray(value)))
        self._graph, parameters, state = nnx.split(module, nnx.Param, ...)
        self._flatten(parameters)
        self._others: Any = jax.tree.flatten(state)
        self.state = by_name(state)
        self._options = _evaluation(module)

    def __call__(self, values: Values, x: Any) -> Any:
        leaves, structure = self._others  # new variables for each call, as it may count random numbers in them
        return nnx.merge(self._graph, self._unflatten(values), structure.unflatten(leaves))(x, **self._options)

    def layer(self, path: str) -> Any:
        return self._alone[path]


def _layers(module: Any) -> dict[str, Any]:
    found = ((p, v) for p, v in nnx.iter_graph(module) if isinstance(v, nnx.Module) and not isinstance(v, CONTAINERS))
    return {".".join(map(str, p)): v for p, v in found}


def _hooked(kind: type, path: str, hook: Hook, names: tuple[str, ...]) -> type:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        held = {name: getattr(self, HELD + name)[...] for name in names}
        return hook(Call(path, self, args, kwargs, partial(kind.__call__, self), held))

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__, "__doc__": kind.__doc__})


class _LinenView(View):
    """Layers are hooked by linen's interceptors; what they hold is a collection of variables of its own."""

    def __init__(self, module: Any, hook: Hook | None, held: Mapping[str, Mapping[str, Any]]) -> None:
        self._hook, self._held, self._found = hook, held, dict[str, Any]()
        self.kinds, self.shared = {}, set()
        self._options = _evaluation(module)
        self._module, self._variables = module.unbind()
        self._variables = linen.meta.unbox(dict(self._variables))
        self._flatten(self._variables.get("params", {}))
        self.state = by_name({k: v for k, v in self._variables.items() if k != "params"})
        for path, arrays in held.items():
            self.values |= {f"{path}.{HELD}{k}".lstrip("."): jnp.asarray(v) for k, v in arrays.items()}

    def __call__(self, values: Values, x: Any) -> Any:
        held: dict[str, Any] = {}
        for path, arrays in self._held.items():
            at = held
            for part in path.split(".") if path else ():
                at = at.setdefault(part, {})
            for k in arrays:
                name = f"{path}.{HELD}{k}".lstrip(".")
                at[HELD + k] = values.get(name, self.values[name])
        variables = {**self._variables, "params": self._unflatten(values), "rpp": held}
        with linen.intercept_methods(self._intercept):
            return self._module.apply(variables, x, **self._options)

    def layer(self, path: str) -> Any:
        variables: dict[str, Any] = {}
        for kind, tree in self._variables.items():
            for part in path.split(".") if path else ():
                tree = tree.get(part, {})
            variables[kind] = tree
        return self._found[path].bind(variables)

    def _intercept(self, run: Any, args: Any, kwargs: Any, context: Any) -> Any:
        layer, path = context.module, ".".join(context.module.path)
        self.kinds.setdefault(path, type(layer))
        if context.method_name != "__call__":
            return run(*args, **kwargs)
        self._found[path] = layer.clone(parent=None, name=None)
        if self._hook is None:
            return _evaluated(run, args, kwargs, context)
        held = {k: layer.get_variable("rpp", HELD + k) for k in self._held.get(path, ())}
        again = partial(_evaluated, run, context=context)
        return self._hook(Call(path, layer, args, kwargs, lambda *a, **k: again(a, k), held))


def check_supported(module: Any) -> None:
    """Raise TypeError or ValueError, with what would do, unless it is a module that holds numbers, or linen's."""
    if not isinstance(module, (nnx.Module, linen.Module)):
        raise TypeError(
            f"module must be a Flax module, got a {type(module).__name__} of flax; the module that it was made from "
            "would do"
        )
    if isinstance(module, nnx.Module):
        shapes = [v for v in jax.tree.leaves(nnx.state(module)) if isinstance(v, jax.ShapeDtypeStruct)]
        if shapes:
            raise ValueError(
                f"module must have weights, got a {type(module).__name__} that holds their shapes alone, as of "
                "nnx.eval_shape; the module itself would do"
            )


def looks(error: Exception) -> bool:
    """Whether code looked at values, which JAX's transforms cannot follow."""
    kinds = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)
    return isinstance(error, (*kinds, jax.errors.TracerBoolConversionError, jax.errors.TracerIntegerConversionError))


def bound(module: Any, shape: Sequence[int]) -> Any:
    """A module that has parameters: linen ones that are not bound to variables are initialised with key 0."""
    if not isinstance(module, linen.Module) or module.scope is not None:
        return module

    def init(x: Any) -> Any:
        with linen.intercept_methods(_evaluated):
            return module.init(jax.random.key(0), x, **_evaluation(module))

    return module.bind(jax.jit(init)(jnp.zeros((1, *shape))))


def _evaluated(run: Any, args: Any, kwargs: Any, context: Any) -> Any:
    """A linen layer's method in evaluation mode."""
    layer = context.module
    if context.method_name == "__call__" and isinstance(layer, linen.Dropout):
        return args[0]
    if context.method_name == "__call__" and isinstance(layer, linen.BatchNorm):
        # Given both as attribute and in the call, linen raises.
        object.__setattr__(layer, "use_running_average", None)
        args, kwargs = args[:1], {**kwargs, "use_running_average": True}
    return run(*args, **kwargs)


def _evaluation(module: Any) -> dict[str, Any]:
    """What the module's call takes to run in evaluation mode, beside the input."""
    taken = inspect.signature(type(module).__call__).parameters
    return {k: v for k, v in EVALUATION.items() if k in taken and getattr(module, k, None) is None}


def by_name(tree: Any) -> dict[str, Any]:
    """Its numbers: keys of random numbers are left out."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(path): v for path, v in leaves if not jnp.issubdtype(v.dtype, jax.dtypes.prng_key)}


def _name(path: tuple[Any, ...]) -> str:
    parts = [str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", None)))) for k in path]
    if isinstance(path[-1], jax.tree_util.GetAttrKey):  # the value of an nnx.Param
        parts = parts[:-1]
    return ".".join(parts)


def plain(kind: type, kinds: tuple[type, ...]) -> bool:
    """Whether a class does what one of these does: subclasses may call another function."""
    return any(issubclass(kind, k) and kind.__call__ is k.__call__ for k in kinds)


def left_alone(kind: type) -> str:
    """Why layers of a class of Flax are never softened, or ""."""
    names = {base.__name__ for base in kind.__mro__ if base.__module__.startswith("flax.")}
    return next((why for why, kinds in LEFT_ALONE.items() if names & kinds), "")


def at(module: Any, path: str) -> Any:
    """A part of an nnx module, "layers.0", or the module itself, ""."""
    for part in path.split(".") if path else ():
        key = int(part) if part.isdigit() else part
        module = module[key] if isinstance(module, HOLDERS) else getattr(module, part)
    return module


def parameters_of(module: Any) -> dict[str, Any]:
    """The parameters of an nnx module, by the names of `View.values`."""
    found = ((path, v) for path, v in nnx.iter_graph(module) if isinstance(v, nnx.Param))
    return {".".join(map(str, path)): v for path, v in found}
