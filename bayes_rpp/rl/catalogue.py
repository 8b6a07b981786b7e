"""The symmetries of Gymnasium's MuJoCo environments that the package knows, with what the simulator says of each.

The groups of the paper's Table 2, those of them that published code gets wrong ("misspecified"), and the exact ones.
Observations are the small ones: Ant 27 numbers, Humanoid 45.
"""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from bayes_rpp.rl.tables import Array, Symmetry, generators

COLUMNS = ("environment", "name", "order", "verdict", "step", "reward", "about")


def symmetries(env_id: str | None = None) -> pd.DataFrame:
    """What is known of an environment, or of all: one row for each symmetry, the best for `symmetry` first.

    `step` is the violation of a step's change relative to that change, `reward` the reward's error in standard
    deviations (see `measure_symmetry`), of perturbed states with Gymnasium 1.4 and MuJoCo 4.0.

    Raises:
        ValueError: if the environment is not known.
    """
    rows = []
    for one in [_known(env_id)] if env_id is not None else _data():
        for entry in _data()[one]["symmetries"]:
            sym = symmetry(one, entry["name"])
            order = "SO(2)" if sym.rotation else str(sym.order)
            rows.append((one, sym.name, order, sym.verdict, entry["step"][1], entry["reward"][1], sym.about))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def symmetry(env_id: str, name: str | None = None) -> Symmetry:
    """A symmetry by name; without one the first, which is the least broken of the paper's Table 2.

    Raises:
        ValueError: listing the environments or the names that are known.
    """
    env_id = _known(env_id)
    entries = {entry["name"]: entry for entry in _data()[env_id]["symmetries"]}
    if name is not None and name not in entries:
        raise ValueError(f"name must be one of {', '.join(entries)} for {env_id}, got {name!r}")
    return _made(env_id, name or next(iter(entries)))


@cache
def _made(env_id: str, name: str) -> Symmetry:
    data = _data()[env_id]
    entries = {entry["name"]: entry for entry in data["symmetries"]}
    entry = entries[name]
    parts = [entries[one] for one in entry.get("of", [name])]
    sizes = {"state": len(data["state"]), "action": len(data["action"])}
    state, action = ([_generator(part, what, n) for part in parts] for what, n in sizes.items())
    return Symmetry(
        state, action, rotation="rotation" in entry, name=name, verdict=entry["verdict"], about=entry["about"],
        env_id=env_id, env_kwargs=data["kwargs"], state_names=data["state"], action_names=data["action"],
    )  # fmt: skip


def _generator(entry: dict[str, Any], what: str, size: int) -> Array:
    if "rotation" in entry:
        a = np.zeros((size, size))
        for i, j, weight in entry["rotation"][what]:
            a[i, j], a[j, i] = -weight, weight
        return a
    table = dict(entry[what])
    if "matrix" in table:
        return generators(table["matrix"], what)[0]
    turns = np.eye(size)
    for i, j, degrees in table.pop("turns", ()):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turns[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return np.asarray(turns @ generators(table, what)[0])


def _known(env_id: str) -> str:
    if env_id not in _data():
        raise ValueError(f"env_id must be one of {', '.join(_data())}, got {env_id!r}; a Symmetry would do for others")
    return env_id


@cache
def _data() -> dict[str, Any]:
    found = json.loads(files("bayes_rpp.rl").joinpath("symmetries.json").read_text())
    return dict(found)
