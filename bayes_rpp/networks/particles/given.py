"""What users give as `Particles`, in several forms, as one array for each system, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import frozen, whole_number
from bayes_rpp._given import real_array


def by_system(value: Any, name: str, index: Any, mask: Any, *, labels: bool = False) -> list[Any]:
    """A list with what belongs to each system.

    Raises:
        ValueError: if index or mask do not fit.
    """
    if index is not None:
        if mask is not None:
            raise ValueError("mask must be None where index is given, got both")
        a = np.array(list(value), dtype=object) if labels else real_array(value, name)
        parts = real_array(index, "index")
        if parts.ndim != 1 or parts.dtype.kind not in "iu" or len(parts) != len(a):
            raise ValueError(f"index must have a whole number for each of {len(a)} {name}, got shape {parts.shape}")
        systems, counts = np.unique(parts, return_counts=True)
        if not np.array_equal(systems, np.arange(len(systems))):
            raise ValueError(f"index must number the systems 0, 1, 2, ..., each with a particle, got {systems}")
        return np.split(a if (order := order_by_system(parts)) is None else a[order], np.cumsum(counts)[:-1])
    if mask is not None:
        if isinstance(value, (list, tuple)) and len({len(one) for one in value}) > 1:
            raise ValueError(
                f"mask must be None where {name} is a list of arrays of different lengths, which says itself how many "
                "particles a system has, got both"
            )
        there, shape = np.asarray(mask), np.shape(value)
        if there.dtype != bool or there.shape != shape[:2]:
            raise ValueError(
                f"mask must be of True and False, (systems, particles) as {name}, got {there.dtype} of shape "
                f"{there.shape} for {name} of shape {shape}"
            )
        a = np.array(value, dtype=object) if labels else real_array(value, name)
        return [row[m] for row, m in zip(a, there, strict=True)]
    if not hasattr(value, "__len__") or isinstance(value, str):
        raise TypeError(f"{name} must be a list of arrays, one for each system, got a {type(value).__name__}")
    if (not labels and getattr(value, "ndim", 3) not in (2, 3)) or (
        name == "positions" and getattr(value, "ndim", 3) < 3
    ):
        raise ValueError(
            f"{name} must be a list of arrays (particles, columns), or an array (systems, particles, columns), got "
            f"shape {np.shape(value)}; {name}[None], one system, or index= would do"
        )
    return list(value)


def order_by_system(index: Any) -> NDArray[np.intp] | None:
    """The order of particles in which those of each system follow one another; None: they do."""
    parts = np.asarray([] if index is None else index)
    return None if (parts[1:] >= parts[:-1]).all() else np.argsort(parts, kind="stable")


def together(each: list[Any], name: str, counts: NDArray) -> NDArray:
    """(particles of all systems, columns), float64 unless all are float32."""
    _check_count(len(each), counts, name)
    arrays: list[NDArray] = []
    for k, one in enumerate(each):
        a = real_array(one, f"{name}[{k}]")
        a = a[:, None] if a.ndim == 1 and name != "positions" else a
        if a.ndim != 2 or len(a) != counts[k]:
            raise ValueError(
                f"{name}[{k}] must have shape ({counts[k]}, columns), a row for each particle, got {a.shape}"
            )
        if a.shape[1] != (arrays[0] if arrays else a).shape[1]:
            raise ValueError(f"{name}[{k}] must have {arrays[0].shape[1]} columns, as {name}[0] has, got {a.shape[1]}")
        if not (good := np.isfinite(a).all(axis=1)).all():
            raise ValueError(
                f"{name} must be finite, got NaN or infinite values at particle {int(good.argmin())} of system {k}"
            )
        arrays.append(a)
    found = np.concatenate(arrays)
    return frozen(found if found.dtype == np.float32 else found.astype(np.float64))


def labels_together(types: Any, counts: NDArray, index: Any, mask: Any) -> NDArray:
    """(particles of all systems,) texts or whole numbers; one list serves all systems."""
    given = types.tolist() if hasattr(types, "tolist") else list(types)
    if index is None and given and (isinstance(given[0], str) or not hasattr(given[0], "__len__")):
        given = [given] * len(counts)
    each = by_system(given, "types", index, mask, labels=True)
    _check_count(len(each), counts, "types")
    for k, (one, n) in enumerate(zip(each, counts, strict=True)):
        if len(one) != n:
            raise ValueError(f"types[{k}] must have {n} labels, one for each particle, got {len(one)}")
    return np.array([check_label(v) for one in each for v in one], dtype=object)


def check_label(value: Any) -> str | int:
    """A type's name: a text or a whole number."""
    return str(value) if isinstance(value, str) else whole_number(value, "a type, if it is no text,", 0)


def _check_count(found: int, counts: NDArray, name: str) -> None:
    if found != len(counts):
        raise ValueError(f"{name} must have {len(counts)} systems, as positions has, got {found}")
