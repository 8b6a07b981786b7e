"""Keeping what JAX has compiled, so that the next run of the same model starts at once."""

from __future__ import annotations

import os
from pathlib import Path

from bayes_rpp._imports import load_module

SECONDS = 0.1  # what compiles faster is not worth a file; JAX's own limit, 1 s, would leave out most of a small model


def cache_compilations(folder: str | Path) -> Path:
    """Keep compiled programs of the NumPyro engine in a folder, and take them from there where they fit.

    A program fits if model, sizes, versions and machine are the same; seeds do not matter. Nothing is ever removed, so
    delete the folder when it has grown. Call it once, at the start of a script; without a change to the script, the
    environment variable JAX_COMPILATION_CACHE_DIR does the same for programs that take a second or more to compile. It
    changes JAX's settings for the whole process.

    Args:
        folder: made if it is not there.

    Returns:
        The folder, absolute.

    Raises:
        TypeError: if folder is no path.
        OSError: if it cannot be made or written to.
    """
    if not isinstance(folder, (str, Path)) or not str(folder):
        raise TypeError(f"folder must be a path, got {folder!r}; '~/.cache/bayes-rpp' would do")
    path = Path(folder).expanduser().resolve()
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise PermissionError(f"folder must be one that can be written to, got {path}")
    jax = load_module("jax")
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    cache = load_module("jax.experimental.compilation_cache.compilation_cache")
    cache.reset_cache()  # it may already have found that there was no folder
    return path
