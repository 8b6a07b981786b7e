"""What a caller of `soften` asked for, layer by layer: patterns of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from bayes_rpp.networks.network import LARGEST as LARGEST  # of a softened weight
from bayes_rpp.priors.subspaces.base import Subspace

RESIDUALS = ("dense", "local", "separable", "low-rank", "kernel")
FACTORED = ("separable", "low-rank")
OF_TOKENS = ("dense", "local", *FACTORED)  # residuals of a linear layer on tokens
# What the listing says of a softened layer.
NOTES = {
    "none": "residual: none of its own",
    "kernel": "residual: any kernel",
    "dense": "residual: any linear map",
    "local": "residual: any local linear map",
    "separable": "residual: a kernel that varies smoothly with position",
    "low-rank": "residual: any linear map between slow waves",
}
# Why a layer has no residual of its own, where that is not for want of a restriction.
TOKENS = "one matrix serves all tokens"
KERNELS = "it may be any kernel"
GIVEN = "subspace as given"
FROZEN = "frozen"


class Options:
    """Looks patterns up and remembers which were of use.

    Args: see `soften`.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """

    def __init__(
        self,
        residual: str | Mapping[str, str] | None,
        subspaces: Mapping[str, Subspace] | None,
        skip: Sequence[str],
        freeze: Sequence[str] = (),
    ) -> None:
        for name, given in (("residual", residual), ("subspaces", subspaces)):
            if given is not None and not isinstance(given, Mapping) and not (name == "residual" and given in RESIDUALS):
                would = f"{', '.join(map(repr, RESIDUALS))} or a dict of these by layer"
                would = would if name == "residual" else "a dict of subspaces by parameter"
                raise (ValueError if isinstance(given, str) else TypeError)(f"{name} must be {would}, got {given!r}")
        for key, value in residual.items() if isinstance(residual, Mapping) else ():
            if value not in RESIDUALS:
                raise ValueError(f"residual[{key!r}] must be one of {', '.join(map(repr, RESIDUALS))}, got {value!r}")
        for key, subspace in (subspaces or {}).items():
            if not isinstance(subspace, Subspace):
                raise TypeError(f"subspaces[{key!r}] must be a Subspace, got {subspace!r}")
        for name, patterns in (("skip", skip), ("freeze", freeze)):
            if isinstance(patterns, str) or not all(isinstance(p, str) for p in patterns):
                raise TypeError(f"{name} must be a list of patterns of layers, got {patterns!r}; ['head*'] would do")
        self._residual = residual
        self._subspaces, self._skip, self._freeze = dict(subspaces or {}), tuple(skip), tuple(freeze)
        self._used: set[tuple[str, str]] = set()

    def residual(self, layer: str) -> str | None:
        """What the residual of a layer may be; None if that was left open."""
        if not isinstance(self._residual, Mapping):
            return self._residual
        pattern = self._first("residual", self._residual, ancestors(layer))
        return None if pattern is None else self._residual[pattern]

    def skips(self, layer: str) -> bool:
        """Whether a layer, or a part of the module that it belongs to, is to be left alone."""
        return self._first("skip", self._skip, ancestors(layer)) is not None

    def freezes(self, layer: str) -> bool:
        """Whether its parameters are to stay as they are."""
        return self._first("freeze", self._freeze, ancestors(layer)) is not None

    def subspace(self, parameter: str, default: Subspace) -> Subspace:
        """That given for a parameter, or the default; raises ValueError if their shapes differ."""
        pattern = self._first("subspaces", self._subspaces, [parameter])
        if pattern is None:
            return default
        given = self._subspaces[pattern]
        if given.shape != default.shape:
            raise ValueError(
                f"subspaces[{pattern!r}] must have shape {default.shape} of {parameter}, got {given.shape}"
            )
        return given

    def check_used(self, layers: Iterable[str], parameters: Iterable[str]) -> None:
        """Raise ValueError for a pattern that fits nothing."""
        residual = self._residual if isinstance(self._residual, Mapping) else ()
        for name, patterns, kind, known in (
            ("residual", residual, "layer", layers),
            ("skip", self._skip, "layer", layers),
            ("freeze", self._freeze, "layer", layers),
            ("subspaces", self._subspaces, "parameter", parameters),
        ):
            for pattern in patterns:
                if (name, pattern) not in self._used:
                    there = ", ".join(n or "(module)" for n in known)
                    raise ValueError(f"{name} must have patterns that fit a {kind}, got {pattern!r}; there are {there}")

    def _first(self, name: str, patterns: Iterable[str], texts: Sequence[str]) -> str | None:
        found = None
        for pattern in patterns:
            if any(fnmatchcase(text, pattern) for text in texts):
                self._used.add((name, pattern))  # one behind another that fits as well is of use, too
                found = pattern if found is None else found
        return found


def ancestors(layer: str) -> list[str]:
    """A path and those above it, from the top: "a.b" -> ["a", "a.b"]."""
    parts = layer.split(".")
    return [".".join(parts[:k]) for k in range(1, len(parts) + 1)]


def joined(path: str, name: str) -> str:
    """The name of a layer's parameter; the module itself has the path ""."""
    return f"{path}.{name}" if path else name


def is_centered(centre: Any, is_trained: bool) -> bool:
    """Whether priors are centred at the module's values: left open, those of one that was trained; raises ValueError
    if `centre` says neither."""
    if centre not in ("zero", "module", None):
        raise ValueError(f"centre must be 'zero', 'module' or None, got {centre!r}")
    return is_trained if centre is None else bool(centre == "module")


def checked_shape(input_shape: Any) -> tuple[int, ...]:
    """The shape of one example; raises ValueError if it is none."""
    shape = (int(input_shape),) if isinstance(input_shape, (int, np.integer)) else tuple(input_shape)
    if not shape or any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1 for n in shape):
        raise ValueError(f"input_shape must be the shape of one example, got {input_shape!r}; (3, 32, 32) would do")
    return shape
