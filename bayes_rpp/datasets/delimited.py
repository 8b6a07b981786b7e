"""Tables in text files, whatever separates their columns: numbers alone, or named columns of any kind.

Columns are separated by semicolons, commas, tabs or else white space, as the first line shows. Blank lines are skipped,
and so are empty columns at the end, as spreadsheets leave them.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = (";", ",", "\t")


def read_numbers(data: bytes, name: str, words: Mapping[str, float] | None = None) -> NDArray[np.float64]:
    """The numbers of a table, with or without a line of column names; rows without any value are skipped.

    Args:
        data: the file's bytes.
        name: of the file, for messages.
        words: numbers for words that may stand in the last column.

    Returns:
        (rows, columns) finite numbers.

    Raises:
        ValueError: if there are no rows, or a row is longer than the first, or a value is missing, no number, NaN or
            infinite; with the line of the file and the column, both counted from 1.
    """
    cells, lines = _cells(data, name)
    header = not _numeric(cells[:1], None).any()
    columns = [
        f"column {k + 1}" + (f" ({cells[0, k]})" if header and cells[0, k] else "") for k in range(len(cells[0]))
    ]
    cells, lines = cells[header:], lines[header:]
    if not len(cells):
        raise ValueError(f"{name} has no rows of numbers")
    bad = np.argwhere(~_numeric(cells, words))
    if len(bad):
        row, k = bad[0]
        what = f"{str(cells[row, k])!r}" if cells[row, k] else "empty"
        raise ValueError(f"line {lines[row]}, {columns[k]} of {name} is {what}; a finite number would do")
    return _floats(cells, words)


def read_named(data: bytes, name: str) -> pd.DataFrame:
    """The columns of a table whose first line names them, each of the type that pandas finds.

    Args:
        data: the file's bytes, in UTF-8.
        name: of the file, for messages.

    Returns:
        A row for each row of values, counted from 0. Names stand as in the file, also where two are the same.

    Raises:
        ValueError: if there are no names, or a row is longer than them, or it is no such text.
    """
    text = data.decode("utf-8-sig")
    separator, _ = _separated(text, name)
    names = _parse(text, name, separator, nrows=1, **AS_TEXT).to_numpy(dtype=str)[0]  # pandas renames a second a
    table = _parse(text, name, separator, index_col=False).set_axis(names.tolist(), axis=1)
    return table.loc[:, (names != "") | table.notna().any().to_numpy()]


AS_TEXT: dict[str, Any] = {"header": None, "dtype": str, "na_filter": False}


def _cells(data: bytes, name: str) -> tuple[NDArray, NDArray]:
    """Cells as stripped strings, (rows, columns), without empty rows, and the line of each row."""
    import pandas as pd

    text = data.decode("utf-8-sig", errors="replace")
    separator, filled = _separated(text, name)
    # Names for as many columns as there may be: pandas would take the surplus of a long row for its index.
    widest = max(len(re.split(separator, line)) for line in filled)
    frame = _parse(text, name, separator, names=range(widest), skip_blank_lines=False, **AS_TEXT)
    if not isinstance(frame.index, pd.RangeIndex):  # quotes inside values hid columns from the count above
        raise ValueError(f"{name} is no table that can be read: its first row has quotes inside a value")
    cells = np.strings.strip(frame.to_numpy().astype(str))
    full = (cells != "").any(axis=1)
    cells, lines = cells[full], 1 + np.flatnonzero(full)
    if not len(cells):
        raise ValueError(f"{name} has no rows of numbers")
    width = _width(cells[0] != "")
    for row, line in zip(cells != "", lines, strict=True):
        if _width(row) > width:
            raise ValueError(f"line {line} of {name} has {_width(row)} columns; {width}, as in the first, would do")
    return cells[:, :width], lines


def _separated(text: str, name: str) -> tuple[str, list[str]]:
    """What separates columns, as a regular expression, and the lines that are not blank, without what is in quotes."""
    unquoted = re.sub(r'"[^"]*"', "q", text)  # what stands in quotes separates nothing
    lines = [line for line in re.split(r"\r\n|\r|\n", unquoted) if line.strip()]
    if not lines:
        raise ValueError(f"{name} has no rows of numbers")
    separator = max(SEPARATORS, key=lines[0].count)
    return (separator if separator in lines[0] else r"\s+"), lines


def _parse(text: str, name: str, separator: str, **options: Any) -> pd.DataFrame:
    import pandas as pd

    with warnings.catch_warnings():
        # It drops what rows have beyond the names, and only warns.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            source = io.StringIO(text.replace("\0", "\ufffd"))
            return pd.read_csv(source, sep=separator, skipinitialspace=True, **options)
        except pd.errors.ParserWarning as warning:
            raise ValueError(f"{name} has a row of more columns than its first line has names") from warning
        except pd.errors.ParserError as error:
            raise ValueError(f"{name} is no table that can be read: {error}") from error


def _width(full: NDArray[np.bool_]) -> int:
    """The number of columns up to the last that is not empty."""
    return int(np.flatnonzero(full)[-1]) + 1


def _floats(cells: NDArray, words: Mapping[str, float] | None) -> NDArray[np.float64]:
    """Cells as numbers, NaN where they are none."""
    import pandas as pd

    values = np.stack([pd.to_numeric(pd.Series(c), errors="coerce").to_numpy(np.float64) for c in cells.T], axis=1)
    for word, number in (words or {}).items():
        values[cells[:, -1] == word, -1] = number
    return values


def _numeric(cells: NDArray, words: Mapping[str, float] | None) -> NDArray[np.bool_]:
    return np.isfinite(_floats(cells, words))
