"""What commands that look into a table tell: its size, what they found, where they wrote it, and errors as one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from bayes_rpp.inference.optimise.training import TrainingError
from bayes_rpp.own_data.tables import Columns, read_columns
from bayes_rpp.symmetry.constraints import SolverError


@contextmanager
def errors_told() -> Iterator[None]:
    """Errors of arguments, files, fits and missing packages end the command with a line and status 2."""
    try:
        yield
    except (TypeError, ValueError, ImportError, OSError, TrainingError, SolverError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


def columns_told(file: Path, inputs: list[str] | None, targets: list[str] | None) -> Columns:
    """The columns of a file; says how many there are, and what was left out."""
    columns = read_columns(file, inputs or [], targets or [])
    typer.echo(columns.told(file))
    return columns


def answer_told(found: object, written: Iterable[Path]) -> None:
    """The answer, then the files as they are written."""
    typer.echo(f"\n{found}\n\nWritten:")
    for path in written:
        typer.echo(f"  {path}")
