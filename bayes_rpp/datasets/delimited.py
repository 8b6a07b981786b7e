"""Tables of numbers in text files, whatever separates their columns; what does not fit is named by line and column."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

SEPARATORS = (";", ",", "\t")


def read_numbers(data: bytes, name: str, words: Mapping[str, float] | None = None) -> NDArray[np.float64]:
    """The numbers of a table, with or without a line of column names.

    Columns are separated by semicolons, commas, tabs or else white space, as the first line shows. Blank lines are
    skipped, and so are rows without any value and empty columns at the end, as spreadsheets leave them.

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


def _cells(data: bytes, name: str) -> tuple[NDArray, NDArray]:
    """Cells as stripped strings, (rows, columns), without empty rows, and the line of each row."""
    import pandas as pd

    text = data.decode("utf-8-sig", errors="replace").replace("\0", "\ufffd")
    unquoted = re.sub(r'"[^"]*"', "q", text)  # what stands in quotes separates nothing
    filled = [line for line in re.split(r"\r\n|\r|\n", unquoted) if line.strip()]
    if not filled:
        raise ValueError(f"{name} has no rows of numbers")
    separator = max(SEPARATORS, key=filled[0].count)
    if separator in filled[0]:
        widest = 1 + max(line.count(separator) for line in filled)
    else:
        separator, widest = r"\s+", max(len(line.split()) for line in filled)
    try:
        # Names for as many columns as there may be: pandas would take the surplus of a long row for its index.
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            names=range(widest),
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
            skipinitialspace=True,
        )
    except pd.errors.ParserError as error:
        raise ValueError(f"{name} is no table that can be read: {error}") from error
    if not isinstance(frame.index, pd.RangeIndex):  # quotes inside values hid columns from the count above
        raise ValueError(f"{name} is no table that can be read: its first row has quotes inside a value")
    cells = np.strings.strip(frame.to_numpy().astype(str))
    full = (cells != "").any(axis=1)
    cells, lines = cells[full], 1 + np.flatnonzero(full)
    if not len(cells):
        raise ValueError(f"{name} has no rows of numbers")
    width = _width(cells[0])
    for row, line in zip(cells, lines, strict=True):
        if _width(row) > width:
            raise ValueError(f"line {line} of {name} has {_width(row)} columns; {width}, as in the first, would do")
    return cells[:, :width], lines


def _width(row: NDArray) -> int:
    return int(np.flatnonzero(row != "")[-1]) + 1


def _floats(cells: NDArray, words: Mapping[str, float] | None) -> NDArray[np.float64]:
    """Cells as numbers, NaN where they are none."""
    import pandas as pd

    values = np.stack([pd.to_numeric(pd.Series(c), errors="coerce").to_numpy(np.float64) for c in cells.T], axis=1)
    for word, number in (words or {}).items():
        values[cells[:, -1] == word, -1] = number
    return values


def _numeric(cells: NDArray, words: Mapping[str, float] | None) -> NDArray[np.bool_]:
    return np.isfinite(_floats(cells, words))
