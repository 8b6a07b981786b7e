"""What users may give, as types: a text is neither an array nor a number, which type checkers see.

Shapes are written as jaxtyping writes them, `Shaped[Array, "*batch rank"]`: of any numbers, `Float` of real ones. Here
both are `typing.Annotated`, so that nothing more is installed or loaded; the tests put jaxtyping's own in their place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated as Float
from typing import Annotated as Shaped
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArrayLike", "Distribution", "EngineName", "Float", "HasData", "Labels", "Number", "Numbers", "Shaped"]

EngineName: TypeAlias = Literal["pyro", "numpyro"]


class HasArray(Protocol):
    """What numpy reads: its own arrays and numbers, tables and columns of pandas, tensors of torch, arrays of JAX."""

    def __array__(self) -> NDArray: ...


class Nested(Protocol):
    """Sequences of numbers or arrays, of any depth. A text contains only texts, and so is none (nor are bytes)."""

    def __len__(self) -> int: ...

    def __contains__(self, value: object, /) -> bool: ...

    def __getitem__(self, index: int, /) -> float | HasArray | Nested: ...


class Labels(Protocol):
    """Sequences of names or numbers of classes; not a text."""

    def __len__(self) -> int: ...

    def __contains__(self, value: object, /) -> bool: ...

    def __getitem__(self, index: int, /) -> object: ...


class HasData(Protocol):
    """A data set: inputs and outputs."""

    @property
    def x(self) -> ArrayLike: ...

    @property
    def y(self) -> ArrayLike: ...


class HasShape(Protocol):
    """An array of any library, also one that is traced."""

    @property
    def shape(self) -> Any: ...

    @property
    def dtype(self) -> Any: ...


class Distribution(Protocol):
    """A distribution of torch, Pyro or NumPyro, from which a number is inferred."""

    @property
    def arg_constraints(self) -> Any: ...

    @property
    def log_prob(self) -> Callable[..., Any]: ...


ArrayLike: TypeAlias = HasArray | Nested
Number: TypeAlias = float | np.floating | np.integer
Numbers: TypeAlias = Number | HasShape  # one, or an array of a batch shape
