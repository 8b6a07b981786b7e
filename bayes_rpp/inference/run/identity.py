"""What makes two runs the same, in any process: configuration in place of repr, code of functions, and what a network
does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rpp.models.storage import model_spec
from bayes_rpp.networks.probe import STATE, differences, fingerprint

if TYPE_CHECKING:
    from bayes_rpp.inference.run.task import Task

FORMAT = 2


def identity_of(task: Task) -> dict[str, Any]:
    """JSON-able."""
    data = [task.x, task.y, *(task.validation or ())]
    return {
        "format": FORMAT,
        "model": digest(json.dumps(model_spec(task.model), sort_keys=True).encode()),
        "network": fingerprint(task.model.net),
        "data": digest(*(np.ascontiguousarray(a).tobytes() for a in data)),
        "method": json.dumps(described(task.method), sort_keys=True),
        "engine": task.engine,
        "seed": str(task.seed),
        "init": digest(*(k.encode() + v.tobytes() for k, v in (task.weights or {}).items())),
        "chains": str(task.chains),
    }


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
    if "method" in differ and " at 0x" in wanted["method"]:
        hint = ". The method holds an object that only its address tells from others; a function or class would do"
    if differ:
        raise ValueError(
            f"checkpoint {folder!r} holds another run ({', '.join(differ)} differ); another folder, or "
            f"the same call as before, would do{hint}"
        )


def described(value: Any, within: tuple[Any, ...] = ()) -> Any:
    """JSON-able, the same in each process: dataclasses by their fields, functions by their code and what it holds.

    Args:
        within: functions that hold the value, which may be one of them.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if is_dataclass(value):
        return [described(type(value)), {f.name: described(getattr(value, f.name)) for f in fields(value)}]
    if isinstance(value, Mapping):
        return {str(k): described(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), digest(np.ascontiguousarray(value).tobytes())]
    if isinstance(value, partial):
        return ["partial", *map(described, (value.func, value.args, value.keywords))]
    if isinstance(value, MethodType):
        return [described(value.__self__), value.__name__]
    if isinstance(value, FunctionType):
        held = [c.cell_contents for c in value.__closure__ or () if not any(c.cell_contents is f for f in within)]
        inside = [described(v, (*within, value)) for v in held if v is not value]
        return ["function", *map(described, (value.__code__, value.__defaults__, value.__kwdefaults__)), inside]
    if isinstance(value, CodeType):
        return [digest(value.co_code), *map(described, (value.co_names, value.co_consts))]
    return repr(value)


def digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()
