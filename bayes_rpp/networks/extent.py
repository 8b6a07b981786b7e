"""Whether the description of a network in a file goes with the weights beside it, before anything is built from it: one
line of text can ask for a network that no machine holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST = 100_000  # particles of a system, which no weight depends on
SMALL, SMALL_LIE, DEEPEST = 1000, 50, 50  # what any file may ask for; the algebra of so(n) has n^2 / 2 matrices n x n


def check_extent(spec: Any, weights: Mapping[str, Any]) -> None:
    """Look through what `network_spec` gives, without building it.

    Args:
        weights: name -> array; a network's widths are sizes of its weights.

    Raises:
        ValueError: if a number, a group or a representation is larger than the weights allow, or the nesting is deep.
    """
    if "parameters" in spec:  # of code, from which nothing is built: the network is given, and compared with it
        return
    largest = max([1, *(n for w in weights.values() for n in getattr(w, "shape", ()))])
    for value in _everything(spec, DEEPEST):
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > max(SMALL, largest):
            raise ValueError(f"its network asks for {value}, but no weight has more than {largest} rows or columns")
        if not isinstance(value, Mapping):
            continue
        if "classical" in value and value["classical"][0] != "S" and value["classical"][1] > max(SMALL_LIE, largest):
            raise ValueError(
                f"its group is {value['classical']}, but no weight has more than {largest} rows or columns"
            )
        if "group" in value:
            dims = list(_dims(value["group"]))
            for rep in _reps(value):
                size = _size(rep, max(1, min(dims, default=1)))
                if size > max(SMALL, largest):
                    raise ValueError(f"a representation has size {size}, but no weight more than {largest}")


def _everything(value: Any, depth: int) -> Iterator[Any]:
    if depth < 0:
        raise ValueError(f"its network is nested more than {DEEPEST} deep")
    yield value
    if isinstance(value, Mapping):  # matrices are as large as they are
        value = [
            v
            for k, v in value.items()
            if k not in ("lie_algebra", "discrete_generators") and not (k == "particles" and _is_few(v))
        ]
    if isinstance(value, list):
        for inner in value:
            yield from _everything(inner, depth - 1)


def _is_few(value: Any) -> bool:
    return type(value) is int and 0 < value <= MOST


def _dims(group: Any) -> Iterator[int]:
    """Of the factors of a group."""
    if isinstance(group, list):
        for one in group:
            yield from _dims(one)
    elif "factors" in group:
        for factor in group["factors"]:
            yield from _dims(factor)
    elif "classical" in group:
        family, n = group["classical"]
        yield 2 * n if family == "Sp" else n
    else:
        yield group["dim"]


def _reps(spec: Mapping[str, Any]) -> Iterator[Any]:
    yield from (spec[k] for k in ("rep_in", "rep_out") if k in spec)
    yield from (r for k in ("features", "out") if (r := spec["settings"].get(k)))
    channels = spec["settings"].get("channels")
    if isinstance(channels, list):
        yield from (c for c in channels if isinstance(c, list))


def _size(rep: Any, dim: int) -> int:
    """At least as large as with the group's smallest factor; representations of other kinds count as one."""
    return sum(count * dim ** sum(f["kind"] == "vector" for f in term) for term, count in rep)
