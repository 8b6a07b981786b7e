"""Modules that are imported when first needed, without a trace on what the user's process shares with them."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

ONE_AT_A_TIME = threading.Lock()  # of threads: the cache is set aside for all of them


def load_module(name: str) -> Any:
    """A module; the global random states of Python and numpy stay, from which JAX, Flax and others draw at import.

    They are those of all threads: what another thread draws from them during the first import comes once more after it.
    """
    if name in sys.modules:
        return import_module(name)  # which waits for a thread that is not through with it
    import random

    import numpy as np

    own, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        return import_module(name)
    finally:
        random.setstate(own)
        np.random.set_state(numpys)  # noqa: NPY002


def load_arviz() -> Any:
    """ArviZ, whichever is installed, in any number of processes at once.

    ArviZ 0.23 announces its 1.0 once a day and keeps the day in the user's cache: of processes that import it at once
    on that day one takes the file from under the other, which dies, as it does where the cache cannot be written.
    """
    with ONE_AT_A_TIME:
        if "arviz" in sys.modules:
            return sys.modules["arviz"]
        with warnings.catch_warnings(), _cache_of("arviz"):
            warnings.simplefilter("ignore", FutureWarning)
            return load_module("arviz")


@contextmanager
def _cache_of(application: str) -> Iterator[None]:
    """A new folder as the user's cache of one application."""
    if find_spec("platformdirs") is None:  # later versions of ArviZ keep nothing
        yield
        return
    import tempfile

    import platformdirs

    theirs = platformdirs.user_cache_dir
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:

        def ours(appname: str | None = None, *args: Any, **options: Any) -> str:
            return folder if appname == application else theirs(appname, *args, **options)

        platformdirs.user_cache_dir = ours
        try:
            yield
        finally:
            platformdirs.user_cache_dir = theirs
