"""`bayes-rpp predict`: new rows by a fit that `bayes-rpp fit` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from scipy.special import ndtri

from bayes_rpp._files import replacing
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.own_data.tables import numbers_of, read_table
from bayes_rpp.own_data.told import errors_told

if TYPE_CHECKING:
    import pandas as pd

INTERVAL = (0.05, 0.95)


def predict(
    folder: Annotated[Path, typer.Argument(help="That bayes-rpp fit wrote.")],
    file: Annotated[Path, typer.Argument(help="A table with the same columns as inputs: .csv, .npz or .parquet.")],
    out: Annotated[Path, typer.Option(help="A CSV file, which is written over.")] = Path("predictions.csv"),
) -> None:
    """Predict the rows of a table: mean, standard deviation and a 90 % interval, or the probabilities of classes."""
    with errors_told():
        found = predict_table(folder, read_table(file)[0], file)
        with replacing(out) as part:
            found.to_csv(part, index=False)
        typer.echo(f"{file}: {len(found)} rows predicted\n\nWritten:\n  {out}")


def predict_table(folder: Path, table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """A row for each row of a table: its number from 1 and, of each target, mean, standard deviation and the ends of
    the 90 % interval of a new observation in the units of the file; of classes the predicted one and all probabilities.

    Args:
        folder: of a fit.
        table: with its inputs by name, in any order; other columns do not count.
        file: of the table, for messages.

    Raises:
        OSError, ValueError: if the folder is not of a fit, or the table lacks a column, or a number.
    """
    import pandas as pd

    post, units, classes = _read(folder)
    to_x, to_y = units[units["role"] == "input"], units[units["role"] == "target"]
    names = to_x["column"].tolist()
    lacking = [name for name in names if name not in table.columns]
    if lacking:
        raise ValueError(
            f"{file} must have the inputs of the fit {folder}, {', '.join(names)}; got none called "
            f"{', '.join(lacking)}{_of_words(lacking, table)}"
        )
    if not len(table):
        raise ValueError(f"{file} has names of columns but no rows")
    x = (numbers_of(table[names], "inputs") - to_x["centre"].to_numpy()) / to_x["scale"].to_numpy()
    columns: list[tuple[str, Any]] = [("row", np.arange(1, len(table) + 1))]
    if classes is not None:
        from bayes_rpp.estimators.classifier import class_probabilities

        labels, p = classes.iloc[:, 0].to_numpy(), class_probabilities(post, x)
        columns.append((f"{classes.columns[0]} predicted", labels[p.argmax(axis=1)]))
        columns += [(f"p({label})", p[:, k]) for k, label in enumerate(labels)]
    else:
        found = post.predict(x, samples=False)
        mean = found.mean * to_y["scale"].to_numpy() + to_y["centre"].to_numpy()
        std = found.std * to_y["scale"].to_numpy()
        for k, name in enumerate(to_y["column"]):
            columns += [(f"{name} mean", mean[:, k]), (f"{name} std", std[:, k])]
            columns += [(f"{name} {100 * q:.0f} %", mean[:, k] + ndtri(q) * std[:, k]) for q in INTERVAL]
    return pd.concat([pd.Series(values, name=name) for name, values in columns], axis=1)


def _of_words(lacking: list[str], table: pd.DataFrame) -> str:
    """Advice if columns are lacking that pandas.get_dummies makes of words, as new rows have not all of the words."""
    for name in lacking:
        stems = [name[:k] for k, letter in enumerate(name) if letter == "_" and k]
        alike = [c for c in table.columns for stem in stems if c.startswith(f"{stem}_") and table[c].isin([0, 1]).all()]
        if alike or any(stem in table.columns for stem in stems):
            return "; of words, pandas.get_dummies(table).reindex(columns=[the inputs], fill_value=0) has them all"
    return ""


def _read(folder: Path) -> tuple[Posterior, pd.DataFrame, pd.DataFrame | None]:
    """The posterior, the units of the columns, and the labels of classes, if it is of such."""
    import pandas as pd

    for name in ("posterior.nc", "columns.csv"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"folder must be one that bayes-rpp fit wrote, got {folder}, without {name}")
    units = pd.read_csv(folder / "columns.csv", dtype={"column": str, "role": str}, keep_default_na=False)
    if not {"column", "role", "centre", "scale"} <= set(units.columns):
        raise ValueError(f"folder must be one that bayes-rpp fit wrote, got {folder}, whose columns.csv is of another")
    classes = None
    if not (units["role"] == "target").any():
        path = folder / "classes.csv"
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no classes.csv, as of an older version; fitting again would do")
        classes = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
    return Posterior.load(folder / "posterior.nc"), units, classes
