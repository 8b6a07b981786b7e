"""`bayes-rpp fit`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_rpp._files import replacing
from bayes_rpp.inference.optimise.training import TrainingError
from bayes_rpp.inference.posterior.thinning import check_dtype, check_thin
from bayes_rpp.inference.process.process import FUNCTIONS
from bayes_rpp.own_data.fitting import Fitted, How, Kind, fit_columns, make_method
from bayes_rpp.own_data.tables import read_columns
from bayes_rpp.symmetry.constraints import SolverError
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.parse import parse_named_group

if TYPE_CHECKING:
    import pandas as pd

    from bayes_rpp.inference.posterior.posterior import Posterior


def fit(
    file: Annotated[Path, typer.Argument(help="A table: .csv, .npz or .parquet.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(help='Columns of x, "mass,speed_x,speed_y", or repeat it; an array of an npz counts whole.'),
    ] = None,
    targets: Annotated[list[str] | None, typer.Option(help="Columns of y, likewise.")] = None,
    group: Annotated[
        str | None, typer.Option(help='The symmetry, "O(3)" or "name=O(3)". Left out: none is known.')
    ] = None,
    rep_in: Annotated[str | None, typer.Option(help='How it acts on the inputs, "5*Scalar + 5*Vector".')] = None,
    rep_out: Annotated[
        str | None, typer.Option(help='How it acts on the targets, "T(2)". Left out: not at all.')
    ] = None,
    method: Annotated[
        How, typer.Option(help="How the posterior is found; gp: of functions, with no network.")
    ] = How.ensemble,
    kind: Annotated[Kind, typer.Option(help="What the targets are; auto: classes if they are text.")] = Kind.auto,
    channels: Annotated[
        int | None, typer.Option(help="Width of the hidden layers; 128 with a group, 64 without, if left out.")
    ] = None,
    layers: Annotated[
        int | None, typer.Option(help="Hidden layers; 0 is a linear model, and 2 it is if left out.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data, at most.")] = None,
    members: Annotated[int | None, typer.Option(help="Of the ensemble.")] = None,
    draws: Annotated[int | None, typer.Option(help="Of laplace, svi, and each chain of nuts.")] = None,
    warmup: Annotated[int | None, typer.Option(help="Of nuts.")] = None,
    chains: Annotated[int | None, typer.Option(help="Of nuts.")] = None,
    test_fraction: Annotated[float, typer.Option(help="Share of the rows that is held out.")] = 0.2,
    engine: Annotated[str | None, typer.Option(help="numpyro or pyro; the first installed if left out.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split, initial values and order.")] = 0,
    thin: Annotated[int, typer.Option(help="Keep each such draw (or member) in posterior.nc, to make it smaller.")] = 1,
    dtype: Annotated[
        str | None, typer.Option(help="float32 or float16: of the weights in posterior.nc, to make it smaller.")
    ] = None,
    out: Annotated[Path, typer.Option(help="A new folder for what it writes.")] = Path("bayes-rpp-fit"),
) -> None:
    """Fit a table of your own: writes the posterior, predictions, pictures and a report."""
    made = False
    try:
        columns = read_columns(file, inputs or [], targets or [])
        settings: dict[str, Any] = {"group": _named(group), "rep_in": rep_in, "rep_out": rep_out, "engine": engine}
        settings |= {"channels": channels, "layers": layers, "progress": sys.stderr.isatty()}
        numbers = {"epochs": epochs, "members": members, "draws": draws, "warmup": warmup, "chains": chains}
        planned = make_method(method, numbers, len(columns.x))
        check_thin(thin, FUNCTIONS if planned == "gp" else getattr(planned, "draws", planned.count))
        check_dtype(dtype)
        made = _claim(out)  # before the fit, which may take long
        typer.echo(columns.told(file))
        fitted = fit_columns(columns, kind, method, numbers, test_fraction=test_fraction, seed=seed, **settings)
        for warning in fitted.warnings:
            typer.echo(f"warning: {warning}", err=True)
        _write(fitted, file, out, thin, dtype)
    except (TypeError, ValueError, ImportError, OSError, TrainingError, SolverError) as error:
        without = "; --method gp, of small data, needs none" if "engine" in str(error) else ""
        hint = without if isinstance(error, ImportError) else ""
        typer.echo(f"error: {' '.join(str(error).split())}{hint}", err=True)
        raise typer.Exit(2) from error
    finally:
        if made and out.is_dir() and not any(out.iterdir()):
            out.rmdir()


def _named(text: str | None) -> Any:
    """The group, under the name that "name=..." gives it."""
    if text is None or "=" not in text:
        return text
    name, found = parse_named_group(text)
    if isinstance(found, Group):
        found.name = name
    return found


def _claim(out: Path) -> bool:
    """Make the folder; whether it is new. What is in an older one is not written over."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(
            f"out must be new or empty, got {out}, a {'folder with files' if out.is_dir() else 'file'}"
        )
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    return new


def _write(fitted: Fitted, file: Path, out: Path, thin: int, dtype: str | None) -> None:
    """All files, the posterior first: each appears when it is whole, and stays if a later one cannot be written."""
    import matplotlib

    from bayes_rpp.own_data import pictures
    from bayes_rpp.own_data.report import png
    from bayes_rpp.own_data.summary import report

    matplotlib.use("agg")
    out.mkdir(parents=True, exist_ok=True)  # again, should it have gone during a long fit
    model = fitted.model
    scores = fitted.scores()
    _save(model.posterior_, out / "posterior.nc", thin, dtype)
    _put(out / "predictions.csv", lambda path: fitted.predictions().to_csv(path, index=False))
    _put(out / "columns.csv", lambda path: _units(fitted).to_csv(path, index=False))
    if fitted.classes is not None:
        _put(out / "classes.csv", lambda path: _classes(fitted).to_csv(path, index=False))
    figures = {"calibration": pictures.draw_calibration(fitted)}
    if model.group is not None:
        figures["equivariance"] = pictures.draw_equivariance(fitted)
    for name, figure in figures.items():
        with replacing(out / f"{name}.png") as part:
            part.write_bytes(png(figure))
    text, words = report(fitted, scores, file, figures)
    _put(out / "report.html", lambda path: path.write_text(text, encoding="utf-8"))
    typer.echo(f"\n{words}\n\nWritten:")
    for written in sorted(out.iterdir()):
        typer.echo(f"  {written}")


def _save(post: Posterior, path: Path, thin: int, dtype: str | None) -> None:
    """With a type that is too coarse, as it is: a fit is not lost for it."""
    said = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            post.save(path, thin=thin, dtype=dtype)
        except ValueError as error:
            said.append(f"{error}. posterior.nc has the weights as they are")
            post.save(path, thin=thin)
    for text in [*said, *(str(w.message) for w in caught)]:
        text = text.replace("save(thin=10)", "--thin 10").replace("save(dtype='float16')", "--dtype float16")
        typer.echo(f"warning: {text}", err=True)


def _units(fitted: Fitted) -> pd.DataFrame:
    """From the units of the file to those of the posterior: (value - centre) / scale."""
    import pandas as pd

    model: Any = fitted.model
    parts = [("input", fitted.columns.inputs, model.standardize_x_)]
    if fitted.classes is None:
        parts.append(("target", fitted.columns.outputs, model.standardize_y_))
    frames = [pd.DataFrame({"column": n, "role": r, "centre": s.center, "scale": s.scale}) for r, n, s in parts]
    return pd.concat(frames)


def _classes(fitted: Fitted) -> pd.DataFrame:
    """The labels in the order of the probabilities, under the name of the target."""
    import pandas as pd

    return pd.DataFrame({fitted.columns.outputs[0]: fitted.classes})


def _put(path: Path, write: Callable[[Path], Any]) -> None:
    with replacing(path) as part:
        write(part)
