"""Keeping what JAX has compiled, so that the next run of the same model starts at once."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from bayes_rpp._imports import load_module

SECONDS = 0.1  # what compiles faster is not worth a file; JAX's own limit, 1 s, would leave out most of a small model
VARIABLE, OFF = "BAYES_RPP_CACHE", "off"
BYTES = 2**30  # at most, in the user's folder


def cache_compilations(folder: str | Path | None = None) -> Path | None:
    """Keep compiled programs of the NumPyro engine in a folder, and take them from there where they fit.

    A program fits if model, sizes, versions and machine are the same; seeds do not matter. Call it once, at the start
    of a script; it changes JAX's settings for the whole process and those that it starts. The commands and the examples
    call it without a folder.

    Args:
        folder: made if it is not there. Nothing in it is ever removed, so delete it when it has grown. None: what the
            environment variable BAYES_RPP_CACHE names ("off": none), or JAX_COMPILATION_CACHE_DIR, or else bayes-rpp
            in the user's cache folder, where the oldest programs make room for new ones beyond 1 GB.

    Returns:
        The folder, absolute; None if it is switched off.

    Raises:
        TypeError: if folder is no path.
        OSError: if it cannot be made or written to.
    """
    limit = int(os.environ.get("JAX_COMPILATION_CACHE_MAX_SIZE", -1))
    if folder is None:
        folder = os.environ.get(VARIABLE) or os.environ.get("JAX_COMPILATION_CACHE_DIR")
        if folder == OFF:
            return None
        if not folder:
            folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "bayes-rpp"
            limit = BYTES if find_spec("filelock") else limit  # which JAX needs to remove anything
    if not isinstance(folder, (str, Path)) or not str(folder):
        raise TypeError(f"folder must be a path, got {folder!r}; '~/.cache/bayes-rpp' would do")
    path = Path(folder).expanduser().resolve()
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise PermissionError(f"folder must be one that can be written to, got {path}")
    settings = {
        "jax_compilation_cache_dir": str(path),
        "jax_compilation_cache_max_size": limit,
        "jax_persistent_cache_min_compile_time_secs": SECONDS,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    os.environ |= {name.upper(): str(value) for name, value in settings.items()}  # read when JAX is loaded
    if "jax" in sys.modules:
        for name, value in settings.items():
            load_module("jax").config.update(name, value)
        # It may already have found that there was no folder.
        load_module("jax.experimental.compilation_cache.compilation_cache").reset_cache()
    return path
