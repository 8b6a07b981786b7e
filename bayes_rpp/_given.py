"""The one gate for arrays that users give: whatever holds numbers becomes a plain numpy array, or an error says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import is_jax_array, is_torch_array
from numpy.typing import NDArray

__all__ = ["check_unmasked", "described", "engine_array", "finite_array", "float64_array", "real_array"]


def real_array(value: Any, name: str) -> NDArray:
    """A user's real numbers, of any shape, as a plain array: contiguous, writable and in the machine's byte order.

    Takes whatever numpy reads, and tables and arrays of pandas with nullable columns. Masked and missing cells are NaN.
    Whole numbers, truth values and floats of up to 64 bits keep their kind.

    Raises:
        TypeError, ValueError: naming the argument, what was given and what would do.
    """
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(f"{name} must be a dense array, got a {type(value).__name__}; {name}.toarray() would do")
    if isinstance(value, (list, tuple)) and any(isinstance(v, np.ma.MaskedArray) for v in value):
        value = np.ma.array(value)
    hidden = np.ma.getmaskarray(value) if np.ma.is_masked(value) else None
    if _is_pandas(value):
        a = _of_pandas(value, name)
    else:
        try:
            a = np.asarray(value)
        except Exception as error:  # torch tensors that need a gradient, ragged lists
            raise TypeError(f"{name} must be an array of numbers, got one that cannot be read: {error}") from error
    if a.dtype.kind == "V" and a.dtype.names is None and np.can_cast(a.dtype, np.float32):  # bfloat16
        a = a.astype(np.float32)
    if a.dtype.kind == "c":
        raise TypeError(f"{name} must be real, got complex numbers")
    if a.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got dtype {a.dtype}")
    if a.dtype.kind in "iu":
        _check_distinct(a, name)
    if hidden is not None:
        a = np.where(hidden, np.nan, a)
    native = np.float64 if a.dtype.itemsize > 8 else a.dtype.newbyteorder("=")
    return np.require(a, dtype=native, requirements=["C", "A", "W"])


def float64_array(value: Any, name: str, advice: str) -> NDArray[np.float64]:
    """`real_array` in float64; of complex dtypes only what has no imaginary part at all.

    Args:
        advice: how complex numbers are made real.

    Raises:
        ValueError: if it is complex, or no array of numbers.
    """
    if getattr(value, "dtype", None) == np.dtype(object):  # Python's numbers of several kinds
        value = np.array(value.tolist())
    if _is_complex(value):
        value = np.asarray(value)
        if value.imag.any():
            raise ValueError(f"{name} must be real, got complex numbers; {advice}")
        value = value.real
    try:
        return real_array(value, name).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(str(error)) from error


def _is_complex(value: Any) -> bool:
    try:
        return np.iscomplexobj(np.asarray(value))
    except Exception:  # `real_array` says what is wrong
        return False


def finite_array(
    value: Any, name: str, *, columns: int | None = None, because: str = "", advice: Callable[[int], str] | None = None
) -> NDArray:
    """Check a user's 2-d array: numbers, finite, as many columns as asked for; `advice` ends the error about another
    number of them.

    Raises:
        TypeError, ValueError: naming the argument, what was given and what would do.
    """
    a = real_array(value, name)
    if a.ndim != 2:
        hint = f"; {name}[:, None], one column, would do" if a.ndim == 1 else ""
        raise ValueError(f"{name} must have two dimensions (examples, columns), got shape {a.shape}{hint}")
    if columns is not None and a.shape[1] != columns:
        ends = advice(a.shape[1]) if advice else ""
        raise ValueError(f"{name} must have {columns} column{'s' * (columns != 1)}{because}, got {a.shape[1]}{ends}")
    _check_rows(~np.isfinite(a), name, np.ma.is_masked(value))
    return a


def engine_array(value: Any, name: str) -> Any:
    """For a model function: tensors of torch and JAX as they are, anything else as finite numbers of any shape."""
    if is_torch_array(value) or is_jax_array(value):
        return value
    a = real_array(value, name)
    _check_rows(~np.isfinite(a), name, np.ma.is_masked(value))
    return a


def check_unmasked(value: Any, name: str, *, labels: bool = False) -> None:
    """Of arrays that others read: raise what they let pass, ValueError where cells are masked, and, but for labels,
    TypeError for times and ValueError for whole numbers that become equal as floating-point numbers."""
    if isinstance(value, (list, tuple)) and any(isinstance(v, np.ma.MaskedArray) for v in value):
        value = np.ma.array(value)
    if np.ma.is_masked(value):
        _check_rows(np.ma.getmaskarray(value), name, True)
    dtypes = [value.dtype] if hasattr(value, "dtype") else getattr(value, "dtypes", [])
    for dtype in () if labels else dtypes:
        if getattr(dtype, "kind", "") in ("m", "M"):
            raise TypeError(f"{name} must hold numbers, got dtype {dtype}")
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and not labels:
        _check_distinct(value, name)


def _check_rows(cells: NDArray, name: str, is_masked: bool) -> None:
    """Raise ValueError, naming the first row, where any of the cells (rows, ...) are bad."""
    if cells.any():
        bad = cells.any(axis=tuple(range(1, cells.ndim))) if cells.ndim else cells[None]
        note = "; masked cells count as NaN" if is_masked else ""
        raise ValueError(
            f"{name} must be finite, got NaN or infinite values in {int(bad.sum())} of {bad.size} rows (first: row "
            f"{int(bad.argmax())}{note}); drop or fill them"
        )


def _check_distinct(a: NDArray, name: str) -> None:
    """Whole numbers beyond 2^53 must stay apart as floating-point numbers."""
    if a.dtype.itemsize < 8 or not a.size or max(int(a.max()), -int(a.min())) <= 2**53:
        return
    if len(np.unique(a)) != len(np.unique(a.astype(np.float64))):
        raise ValueError(
            f"{name} must have whole numbers that differ as floating-point numbers, got some beyond 2^53 that become "
            f"equal; {name} - {name}.min(axis=0) would do"
        )


def _is_pandas(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "to_numpy")


def _of_pandas(value: Any, name: str) -> NDArray:
    """A table or series, each column by its own kind: np.asarray makes objects of kinds that differ."""
    if value.ndim == 1:
        return _of_column(value, name, "dtype")
    columns = [_of_column(value.iloc[:, k], name, f"a column {label!r} of dtype") for k, label in enumerate(value)]
    return np.stack(columns, axis=1) if columns else np.empty(value.shape)


def _of_column(column: Any, name: str, what: str) -> NDArray:
    from pandas import Series
    from pandas.api.types import is_numeric_dtype

    categories = getattr(column.dtype, "categories", None)
    if categories is not None and is_numeric_dtype(categories.dtype):
        column = Series(column).astype(np.float64 if column.isna().any() else categories.dtype)
    if not is_numeric_dtype(column.dtype):
        raise TypeError(f"{name} must hold numbers, got {what} {column.dtype}")
    if column.isna().any():
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    a = np.asarray(column.to_numpy(dtype=getattr(column.dtype, "numpy_dtype", None)))
    if a.dtype.kind in "iu":
        _check_distinct(a, name)
    return a


def described(value: Any) -> str:
    """What was given in place of an object: "a str", or "the class EMLP"."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
