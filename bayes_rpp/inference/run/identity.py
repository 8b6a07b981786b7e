"""What makes two runs the same, in any process: configuration in place of repr, code of functions, and what a network
does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from copyreg import dispatch_table
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rpp._keyed import Keyed
from bayes_rpp.models.model import Model
from bayes_rpp.models.opened import opened
from bayes_rpp.models.process.bound import BoundProcess
from bayes_rpp.models.storage import model_spec, process_spec, settings_spec
from bayes_rpp.networks.network import Network
from bayes_rpp.networks.probe import STATE, differences, fingerprint
from bayes_rpp.networks.storage import network_spec

if TYPE_CHECKING:
    from bayes_rpp.inference.run.task import Task

FORMAT = 3


def identity_of(task: Task) -> dict[str, Any]:
    """JSON-able."""
    data = [task.x, task.y, *(task.validation or ())]
    fitted: Any = task.model
    functions = isinstance(fitted, BoundProcess)
    model = process_spec(fitted.gp) if functions else model_spec(fitted)
    return {
        "format": FORMAT,
        "model": digest(json.dumps(described(model)).encode()),
        **({} if functions else {"network": fingerprint(task.model.net)}),
        "data": digest(*(np.ascontiguousarray(a).tobytes() for a in data)),
        "method": json.dumps(described(task.method), sort_keys=True),
        "engine": task.engine,
        "seed": str(task.seed),
        "init": digest(*(k.encode() + np.asarray(v).tobytes() for k, v in (task.weights or {}).items())),
        "chains": str(task.chains),
    }


class Configured(Keyed):
    """A model that equals any other of the same configuration."""

    @property
    def model(self) -> Any:
        found: Any = self.value
        return found

    @staticmethod
    def of(model: Model | BoundProcess) -> Configured:
        if isinstance(model, BoundProcess):
            return Configured(model.key, model)
        settings = json.dumps(described(settings_spec(model)))  # of patterns the first that fits counts
        return Configured((model.key, settings), model)

    @staticmethod
    def opened(model: Model | BoundProcess) -> tuple[Configured, dict[str, float]]:
        """A model whose plain numbers are arguments, the same for all of their values, and these."""
        if isinstance(model, BoundProcess):
            return Configured.of(model), {}
        free, numbers = opened(model)
        return Configured.of(free), numbers


def check_same_run(folder: str, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise ValueError, naming what differs, unless a folder holds the run that is wanted."""
    if wanted and saved.get("format") != FORMAT:
        raise ValueError(
            f"checkpoint {folder!r} must hold a run of this version of bayes-rpp, got one of another, which kept "
            "other things of what makes a run the same; another folder, or that version to finish it, would do"
        )
    differ = [k for k in wanted if k != "network" and saved.get(k) != wanted[k]]
    hint = ""
    if "network" in wanted and "model" not in differ:
        differ += differences(saved["network"], wanted["network"])
        hint = f". If it is softened, {STATE}" if "network's outputs" in differ else ""
    if differ:
        raise ValueError(
            f"checkpoint must hold this run, got {folder!r} of another ({', '.join(differ)} differ); another folder, "
            f"or the same call as before, would do{hint}"
        )


def described(value: Any, within: tuple[Any, ...] = ()) -> Any:
    """JSON-able, the same in each process: dataclasses by their fields, functions by their code and what it holds,
    distributions by their parameters, other objects by their class and state.

    Args:
        within: what holds the value, which may be one of them.

    Raises:
        TypeError: of an object that nothing tells from others but its address.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if any(value is v for v in within):
        return ["again", next(k for k, v in enumerate(within) if value is v)]
    return _described(value, lambda v: described(v, (*within, value)))


def _described(value: Any, inner: Callable[[Any], Any]) -> Any:
    """`described` of what has parts, of which each is described by `inner`."""
    if isinstance(value, Model):
        return inner([model_spec(value), value.net])
    if isinstance(value, Network):
        return inner([network_spec(value), fingerprint(value)])
    if isinstance(value, Mapping):
        return {str(k): inner(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [inner(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((inner(v) for v in value), key=json.dumps)
    if is_dataclass(value):
        return [inner(type(value)), {f.name: inner(getattr(value, f.name)) for f in fields(value)}]
    if hasattr(value, "__array__"):
        a = np.ascontiguousarray(value.detach().cpu() if hasattr(value, "detach") else value)
        return [str(a.dtype), list(a.shape), digest(a.tobytes())]
    if hasattr(value, "arg_constraints"):  # others of a distribution's attributes are made when first asked for
        return [inner(type(value)), {k: inner(getattr(value, k, None)) for k in value.arg_constraints}]
    if isinstance(value, partial):
        return ["partial", *map(inner, (value.func, value.args, value.keywords))]
    if isinstance(value, MethodType):
        return [inner(value.__self__), value.__name__]
    if isinstance(value, FunctionType):
        held = [c.cell_contents for c in value.__closure__ or ()]
        return ["function", *map(inner, (value.__code__, value.__defaults__, value.__kwdefaults__, held))]
    if isinstance(value, CodeType):
        return [digest(value.co_code), *map(inner, (value.co_names, value.co_consts))]
    if isinstance(value, bytes):
        return digest(value)
    take_apart = dispatch_table.get(type(value), lambda v: v.__reduce_ex__(2))  # as pickle and copy do
    try:
        made = take_apart(value)
    except TypeError as error:
        raise TypeError(
            f"a run must be known again by what it holds, got a {type(value).__name__}, which only its address tells "
            "from others; a function or class in its place would do"
        ) from error
    if isinstance(made, str):
        return [inner(type(value)), made]
    state = [list(v) if isinstance(v, Iterator) else v for v in made[2:]]
    return [getattr(made[0], "__qualname__", ""), *map(inner, (made[1], *state))]


def digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()
