"""The contract of engines: `rpp.engines`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.engines.base import Engine
else:
    __getattr__, __dir__ = lazy(__name__, {"engines.base": "Engine"})

__all__ = ["Engine"]
