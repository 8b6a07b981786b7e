"""The guides of SVI, which both libraries have under the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

KINDS = {"mean_field": "AutoNormal", "full": "AutoMultivariateNormal", "low_rank": "AutoLowRankMultivariateNormal"}


def make_guide(method: Any, library: Any, model: Callable[..., Any], init_loc_fn: Callable[..., Any]) -> Any:
    """The guide that a method asks for, or the user's own; `library` is the engine's module of automatic guides."""
    if callable(method.guide):
        return method.guide(model)
    rank = {"rank": method.rank} if method.guide == "low_rank" else {}
    return getattr(library, KINDS[method.guide])(model, init_loc_fn=init_loc_fn, init_scale=method.init_scale, **rank)
