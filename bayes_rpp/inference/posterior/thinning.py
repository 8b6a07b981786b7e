"""How large a posterior's file will be, and what makes it smaller: fewer draws, shorter numbers."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp._warnings import warn_user
from bayes_rpp.inference.posterior.draws import Draws

D = TypeVar("D", bound=Draws)
DTYPES = ("float16", "float32", "float64")
LARGE = 500e6  # bytes, above which `save` says so
LOST = 0.001  # of a weight's size that rounding may take
BLUR = 0.2  # of the draws' standard deviation that rounding may have: it makes predictions 2 % wider


def thinned(post: D, thin: int = 1, dtype: Any = None) -> D:
    """Each `thin`-th draw of each chain, the first among them, with weights of another type.

    Numbers that are inferred, such as sigmas, keep their type: float16 has none below 6e-8.

    Raises:
        ValueError: if either is out of range, or the type cannot hold the weights or how they differ between draws.
    """
    check_thin(thin, post.draws)
    name = check_dtype(dtype)
    samples = {k: v[:, ::thin] for k, v in post.samples.items()}
    if name is not None:
        samples |= {k: _rounded(samples[k], name, k) for k in post.model.net.parameters}
    training = post.training
    if post.chains == 1:  # the draws of an ensemble are its members
        training = {k: v[::thin] if len(v) == post.draws else v for k, v in training.items()}
    sample_stats = {k: v[:, ::thin] for k, v in post.sample_stats.items()}
    return post.replace(samples=samples, training=training, sample_stats=sample_stats)


def check_thin(thin: Any, draws: int) -> None:
    if whole_number(thin, "thin") > draws:
        raise ValueError(f"thin must be from 1 to {draws}, the draws of a chain, got {thin}")


def check_dtype(dtype: Any) -> str | None:
    """Its name; None stays None."""
    try:
        name = None if dtype is None else np.dtype(dtype).name
    except TypeError:
        name = repr(dtype)
    if name is not None and name not in DTYPES:
        raise ValueError(f"dtype must be 'float16' or 'float32', got {dtype!r}")
    return name


def _rounded(w: NDArray, name: str, parameter: str) -> NDArray:
    with np.errstate(over="ignore", under="ignore"):
        short = w.astype(name, copy=False)
    if short.dtype.itemsize >= w.dtype.itemsize:
        return short
    size, loss, spread = 0.0, 0.0, 0.0
    middle = w.mean(axis=(0, 1), dtype=np.float64)
    for whole, part in zip(w.reshape((-1, *w.shape[2:])), short.reshape((-1, *w.shape[2:])), strict=True):
        size += float(np.sum(whole.astype(np.float64) ** 2))
        loss += float(np.sum((whole.astype(np.float64) - part) ** 2))
        spread += float(np.sum((whole - middle) ** 2))
    wide = "float32" if name == "float16" else "float64"
    if not loss <= LOST**2 * size:
        largest = float(np.abs(w).max())
        raise ValueError(f"dtype must hold {parameter!r} (up to {largest:.2g}), got {name!r}; {wide!r} would do")
    if loss > BLUR**2 * spread > 0:
        raise ValueError(
            f"dtype must keep {parameter!r}, got {name!r}, which rounds it by {np.sqrt(loss / spread):.0%} of the "
            f"standard deviation of its draws: predictions would be too unsure; {wide!r} would do"
        )
    return short


def check_room(post: Draws, path: Path) -> None:
    """Say how large a file is going to be, if it is large, and whether the disk has the room.

    Raises:
        OSError: if it has not.
    """
    arrays = [*post.samples.values(), *post.sample_stats.values(), *post.training.values(), post.x, post.y]
    size = sum(a.nbytes for a in [*arrays, *(post.center or {}).values()])
    if size > LARGE:
        count, weights = post.chains * post.draws, post.model.net.size
        first = post.samples[next(iter(post.model.net.parameters))].dtype
        warn_user(
            f"{path.name} takes {_bytes(size)}: {count} draws of {weights} weights in {first}. save(thin=10) keeps "
            "each tenth draw of a chain, save(dtype='float16') two bytes for each weight"
        )
    folder = next((p for p in path.absolute().parents if p.exists()), None)
    if folder is not None and (free := shutil.disk_usage(folder).free) < size:
        raise OSError(
            errno.ENOSPC,
            f"{path.name} takes {_bytes(size)} but there are {_bytes(free)} free in {folder}; save(thin=..., "
            "dtype='float16'), or another folder, would do",
        )


def _bytes(size: float) -> str:
    return f"{size / 1e9:.2g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
