"""Arrays and columns of the files that the commands read: CSV, npz and parquet. Nothing in a file is executed."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._given import real_array
from bayes_rpp.datasets.delimited import read_named

if TYPE_CHECKING:
    import pandas as pd

READERS = {".csv": "text", ".tsv": "text", ".txt": "text", ".npz": "npz", ".parquet": "parquet", ".pq": "parquet"}


@dataclass(frozen=True)
class Columns:
    """What was chosen of a file.

    Attributes:
        x: (n, inputs) finite numbers.
        targets: (n, targets) as they stand in the file: numbers, or labels of classes.
        inputs, outputs: names of the columns.
        numbering: name of a column that was taken for the numbers of the rows, and so for no input; None of none.
    """

    x: NDArray
    targets: pd.DataFrame
    inputs: list[str]
    outputs: list[str]
    numbering: str | None = None

    def told(self, file: Path) -> str:
        """How much of the file there is, and what was left out."""
        size = f"{file}: {len(self.x)} rows, {len(self.inputs)} inputs, {len(self.outputs)} target(s)"
        if self.numbering is None:
            return size
        name = repr(self.numbering) if self.numbering else "without a name"
        return f"{size}\nThe first column, {name}, numbers the rows and is no input unless --inputs names it"

    def numbers(self) -> NDArray:
        """The targets (n, targets) as finite numbers; ValueError naming the column and row of what is none."""
        return numbers_of(self.targets)

    def labels(self) -> NDArray:
        """The one target as labels (n,), whole numbers or text; ValueError where there are more, or one is missing."""
        import pandas as pd

        if len(self.outputs) != 1:
            raise ValueError(f"targets must be one column of classes, got {', '.join(self.outputs)}")
        column = self.targets.iloc[:, 0]
        _check_present(column, f"targets: column {column.name!r}")
        if _is_numeric(column):
            if pd.api.types.is_integer_dtype(column):  # as floating-point numbers, large ones would become equal
                return column.to_numpy(dtype=np.int64)
            values = column.to_numpy(dtype=np.float64)
            whole = values == np.floor(values)
            if not whole.all():
                row = int(np.flatnonzero(~whole)[0])
                raise ValueError(
                    f"targets: column {column.name!r} has {values[row]:g} in row {row + 1}; classes are text or whole "
                    "numbers, and --kind numbers would fit numbers"
                )
            return values.astype(np.int64)
        return column.astype(str).to_numpy(dtype=str)

    @property
    def are_classes(self) -> bool:
        """Whether the target is one column of text or of yes and no."""
        import pandas as pd

        column = self.targets.iloc[:, 0]
        return len(self.outputs) == 1 and (pd.api.types.is_bool_dtype(column) or not _is_numeric(column))


def read_columns(file: Path, inputs: Sequence[str], targets: Sequence[str]) -> Columns:
    """The columns of a table that are named.

    Args:
        file: .csv, .tsv or .txt (a line of names, then rows; see `read_named`), .parquet, or
            .npz, whose arrays are (n,) columns or (n, k) blocks of columns called name[0], name[1], ...
        inputs: names, each a text of one or several with commas between. Empty: all columns that are no targets, but
            for a first one that numbers the rows; of an npz with an array x that one.
        targets: likewise, of an npz with an array y that one.

    Raises:
        ImportError: if it takes a package that is not installed.
        OSError: if the file cannot be read.
        ValueError: naming the argument, file or column that does not fit.
    """
    table, blocks = read_table(file, () if inputs or targets else ("x", "y"))
    default_y = ["y"] if "y" in blocks else []
    chosen = _named(targets or default_y, table, blocks, "targets", file)
    if not chosen:
        raise ValueError(f"targets must be names of columns of {file}, got none; there are {_list(table.columns)}")
    numbering = None if inputs or "x" in blocks else _numbering(table, chosen)
    others = [str(c) for c in table.columns if c not in chosen and c != numbering]
    given = inputs or (["x"] if "x" in blocks else others)
    taken = _named(given, table, blocks, "inputs", file)
    if not taken:
        raise ValueError(f"inputs must be columns, got none: {file} has no others than the targets {_list(chosen)}")
    both = [c for c in taken if c in chosen]
    if both:
        raise ValueError(f"inputs and targets must have no column in common, got {_list(both)} in both")
    if not len(table):
        raise ValueError(f"{file} has names of columns but no rows")
    return Columns(numbers_of(table[taken], "inputs"), table[chosen], taken, chosen, numbering)


def _numbering(table: pd.DataFrame, targets: Sequence[str]) -> str | None:
    """The first column, if it is an index, without a name as pandas writes it or with the name of one, of whole numbers
    that all differ."""
    import pandas as pd

    first = table.columns[0]
    is_index = (
        str(first).lower() in ("", "unnamed: 0", "id", "index")
        and pd.api.types.is_integer_dtype(table[first])
        and table[first].is_unique
    )
    return str(first) if is_index and first not in targets else None


def read_table(file: Path, enough: Sequence[str] = ()) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """A file as columns with unique names, and the columns of each array (of npz files).

    Args:
        file: as in `read_columns`.
        enough: arrays of an npz beside which, if it has them all, the others do not count.
    """
    import pandas as pd

    if not file.exists():
        raise FileNotFoundError(f"there is no file {file}; a .csv, .npz or .parquet file would do")
    if not file.is_file():
        raise ValueError(f"{file} is no file; a .csv, .npz or .parquet file would do")
    kind = READERS.get(file.suffix.lower())
    if kind is None:
        raise ValueError(f"{file} has the ending {file.suffix!r}; one of {', '.join(READERS)} would do")
    if kind == "npz":
        arrays = npz_arrays(file)
        if enough and set(enough) <= set(arrays):
            arrays = {name: arrays[name] for name in enough}
        return _from_arrays(arrays, file)
    try:
        table = read_named(file.read_bytes(), file.name) if kind == "text" else pd.read_parquet(file)
    except ImportError as error:
        raise ImportError(f"{file} needs pyarrow: pip install 'bayes-rpp[parquet]'; a .csv file does not") from error
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{file} cannot be read as {file.suffix.lower()[1:]}: {error}") from error
    table.columns = [str(c).strip() for c in table.columns]
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise ValueError(f"{file} has the column {twice[0]!r} twice; names that differ would do")
    return table.reset_index(drop=True), {}


def npz_arrays(file: Path) -> dict[str, NDArray]:
    """The arrays of an npz file by name; of a file of one array without a name, none."""
    if not file.exists():
        raise FileNotFoundError(f"there is no file {file}; an npz written by numpy.savez(file, x=x, y=y) would do")
    try:
        loaded = np.load(file, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            return {}
        with loaded:
            return dict(loaded)
    except (ValueError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise ValueError(
            f"{file} is no npz file that can be read ({error}); numpy.savez(file, x=x, y=y) writes one"
        ) from error


def _from_arrays(arrays: dict[str, NDArray], file: Path) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    import pandas as pd

    columns: dict[str, Any] = {}
    blocks: dict[str, list[str]] = {}
    rows: tuple[str, int] | None = None
    for name, array in arrays.items():
        if name == "x" and array.ndim > 2:
            raise ValueError(
                f"{file} has x of shape {array.shape}; rows of columns, x.reshape({len(array)}, -1), would do, or for "
                "larger images a convolutional network (soften)"
            )
        if array.ndim not in (1, 2):
            continue  # settings and the like, which nobody has to name
        rows = rows or (name, len(array))
        if len(array) != rows[1]:
            raise ValueError(f"{file} has {rows[1]} rows in {rows[0]!r} but {len(array)} in {name!r}; as many would do")
        flat = array.reshape(len(array), -1)
        blocks[name] = [name] if array.ndim == 1 else [f"{name}[{k}]" for k in range(flat.shape[1])]
        columns |= dict(zip(blocks[name], flat.T, strict=True))
    if not columns:
        raise ValueError(
            f"{file} has no arrays (n,) or (n, columns) with names; numpy.savez(file, x=x, y=y) writes some"
        )
    return pd.DataFrame(columns), blocks


def _named(
    given: Sequence[str], table: pd.DataFrame, blocks: dict[str, list[str]], argument: str, file: Path
) -> list[str]:
    """Names of columns, from texts of one or several of them."""
    found: list[str] = []
    for text in given:
        whole = text.strip()
        for name in (
            [whole] if whole in table.columns or whole in blocks else [part.strip() for part in text.split(",")]
        ):
            if name in blocks:
                found += blocks[name]
            elif name in table.columns:
                found.append(name)
            elif name:
                commas = [c for c in table.columns if "," in str(c)]
                words = f"; --{argument} {commas[0]!r}, once for each, is for names with commas" if commas else ""
                known = _list([*blocks, *table.columns])
                raise ValueError(f"{argument} must be of the columns {known} of {file}, got {name!r}{words}")
            else:
                raise ValueError(f"{argument} must be names with commas between, got {text!r}, with an empty one")
    twice = {name for name in found if found.count(name) > 1}
    if twice:
        raise ValueError(f"{argument} must have each column once, got {twice.pop()!r} twice")
    return found


def numbers_of(table: pd.DataFrame, argument: str = "targets") -> NDArray:
    """Columns (n, columns) as finite numbers; ValueError naming the column and row of what is none, and all such
    columns."""
    values = np.empty(table.shape)
    errors: dict[str, str] = {}
    for k, name in enumerate(table.columns):
        try:
            values[:, k] = _numbers(table[name], f"{argument}: column {name!r}")
        except ValueError as error:
            errors[name] = str(error)
    if errors:
        first, *others = errors
        words = f"; other columns that are no numbers throughout: {_list(map(repr, others))}" if others else ""
        raise ValueError(errors[first] + words)
    return values


def _numbers(column: pd.Series, name: str) -> NDArray:
    import pandas as pd

    _check_present(column, name)
    numeric = _is_numeric(column)
    if not numeric and not (pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column)):  # dates
        raise ValueError(f"{name} holds {column.dtype}; numbers would do")
    values = real_array(column if numeric else pd.to_numeric(column, errors="coerce"), name)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        value = column.iloc[bad[0]]
        words = "" if numeric else ", or for words a column of 0 and 1 each (pandas.get_dummies)"
        if re.fullmatch(r"\s*[+-]?\d+,\d+\s*", str(value)):
            words = ", with a point for its decimal comma: pandas.read_csv(file, sep=';', decimal=',') reads such"
        raise ValueError(f"{name} has {str(value)!r} in row {bad[0] + 1}; a finite number would do{words}")
    return values


def _check_present(column: pd.Series, name: str) -> None:
    missing = np.flatnonzero(column.isna())
    if len(missing):
        raise ValueError(
            f"{name} has no value in {len(missing)} of {len(column)} rows (first: row "
            f"{missing[0] + 1}); drop or fill them"
        )


def _is_numeric(column: pd.Series) -> bool:
    """Real numbers, or yes and no."""
    import pandas as pd

    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column)


def _list(names: Any, most: int = 20) -> str:
    names = list(dict.fromkeys(map(str, names)))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
