"""The faces of packages: public names that load when first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bayes_rpp._deprecation import warn_renamed
from bayes_rpp._imports import load_module

Homes = Mapping[str, str]
NONE: Homes = MappingProxyType({})


def lazy(
    package: str, homes: Homes, submodules: str = "", moved: Homes = NONE
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a module.

    Args:
        package: its `__name__`.
        homes: module of ours -> the names it has that are public here, with blanks between, as in all of these.
        submodules: those that are reached as attributes, without an import of their own.
        moved: module of ours -> names that were public here and are there now; each use warns.
    """
    home, new = ({name: f"bayes_rpp.{module}" for module in of for name in of[module].split()} for of in (homes, moved))
    below = submodules.split()

    def __getattr__(name: str) -> Any:
        if name in below:
            return load_module(f"{package}.{name}")
        if name in home:
            value = getattr(load_module(home[name]), name)
            setattr(sys.modules[package], name, value)
            return value
        if name in new:
            warn_renamed(f"{package}.{name}", f"{new[name]}.{name}")
            return getattr(load_module(new[name]), name)
        flat = name in getattr(sys.modules["bayes_rpp"], "__all__", ())
        hint = f"; bayes_rpp.{name} would do" if flat and package != "bayes_rpp" else ""
        raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")

    def __dir__() -> list[str]:
        return sorted({*(n for n in vars(sys.modules[package]) if n.startswith("__")), *home, *below})

    return __getattr__, __dir__
