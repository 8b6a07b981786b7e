"""`bayes-rpp compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from bayes_rpp._files import replacing
from bayes_rpp.analysis.broken import percent
from bayes_rpp.analysis.compare import compare_symmetries
from bayes_rpp.analysis.comparison import Comparison
from bayes_rpp.own_data.report import command, heading, pair, paragraph, picture, png, symmetry_page, table, tiles
from bayes_rpp.own_data.tables import Columns
from bayes_rpp.own_data.told import answer_told, columns_told, errors_told
from bayes_rpp.symmetry.parse import parse_named_group, parse_rep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADER = ("candidate", "model", "log evidence", "LOO", "± SE", "equivariance error", "weight")
NOTE = (
    "Log evidence and LOO in nats, less those of the best model; strict models have the symmetry exactly, soft ones "
    "nearly, free ones not at all. The equivariance error is 0 for a function with the symmetry and 1 for one that has "
    "nothing of it. Weights are those of stacking."
)


def compare(
    file: Annotated[Path, typer.Argument(help="A table: .npz with arrays x and y, .csv or .parquet.")],
    rep_in: Annotated[str, typer.Option(help='How the groups act on x, such as "5*Scalar + 5*Vector".')],
    rep_out: Annotated[str, typer.Option(help='How they act on y, such as "T(2)".')],
    group: Annotated[
        list[str],
        typer.Option(help='A candidate: "O(3)", with a name, "none=Trivial(3)", or a list, "both=[...]". Repeat it.'),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(help='Columns of x, "mass,speed_x,speed_y", or repeat it; an array of an npz counts whole.'),
    ] = None,
    targets: Annotated[list[str] | None, typer.Option(help="Columns of y, likewise.")] = None,
    models: Annotated[
        str, typer.Option(help='"functions", in seconds to minutes, "networks", or "auto": functions if exact.')
    ] = "auto",
    channels: Annotated[
        int | None, typer.Option(help="Of networks: width of the hidden layers; 32 if left out.")
    ] = None,
    layers: Annotated[
        int | None, typer.Option(help="Of networks: hidden layers; 1 if left out, and 0 is a linear model.")
    ] = None,
    starts: Annotated[
        int | None,
        typer.Option(help="Of networks: fits of each, of which the best counts; if left out 3, or 1 of linear ones."),
    ] = None,
    engine: Annotated[str | None, typer.Option(help="numpyro or pyro; the first installed if left out.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for what it writes.")] = Path("bayes-rpp-compare"),
    seed: Annotated[int, typer.Option(help="Of initial values and order.")] = 0,
) -> None:
    """Which of several symmetries do the data in a file have? Prints and writes a verdict, a table, pictures and a
    report."""
    with errors_told():
        columns = columns_told(file, inputs, targets)
        groups = dict(map(parse_named_group, group))
        if len(groups) < len(group):
            raise ValueError("group must have names that differ, got one twice; 'none=Trivial(3)', 'O(3)' would do")
        options: dict[str, Any] = {"models": models, "channels": channels, "layers": layers, "starts": starts}
        options |= {"engine": engine, "seed": seed}
        reps = {"rep_in": rep_in, "rep_out": rep_out}
        parsed: dict[str, Any] = {name: parse_rep(text) for name, text in reps.items()}
        found = compare_symmetries(columns.x, columns.numbers(), groups, **parsed, **options)
        again = command("compare", file, {"inputs": inputs, "targets": targets, "group": group, **reps, **options})
        answer_told(found, _write(found, columns, file, again, out))


def _write(found: Comparison, columns: Columns, file: Path, again: str, out: Path) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    files = [out / "comparison.csv", out / "verdict.txt"]
    with replacing(files[0]) as part:
        found.table.to_csv(part)
    with replacing(files[1]) as part:
        part.write_text(found.verdict + "\n", encoding="utf-8")
    figures = {"comparison": _compared(found), **_maps(found)}
    for name, figure in figures.items():
        files.append(out / f"{name}.png")
        with replacing(files[-1]) as part:
            part.write_bytes(png(figure))
    files.append(out / "report.html")
    with replacing(files[-1]) as part:
        part.write_text(_report(found, columns, file, figures, again), encoding="utf-8")
    return files


def _figure(width: float, height: float) -> Figure:
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.use("agg")
    return Figure(figsize=(width, height), layout="constrained")


def _compared(found: Comparison) -> Figure:
    from bayes_rpp.analysis.compare_plots import plot_comparison

    figure = _figure(10.8, 1.6 + 0.45 * len(found.candidates))
    plot_comparison(found, axes=figure.subplots(1, 3, sharey=True))
    return figure


def _maps(found: Comparison) -> dict[str, Figure]:
    from bayes_rpp.analysis.group_plots import plot_group_map

    figures: dict[str, Figure] = {}
    for name, candidate in found.candidates.items():
        if not candidate.is_free and not candidate.is_mixed:
            figure = _figure(7.2, 4.2)
            plot_group_map(found.group_map(name), ax=figure.subplots())
            slug = "".join(c if c.isalnum() else "_" for c in name).strip("_")
            figures[f"map_{len(figures) + 1}_{slug}"] = figure
    return figures


def _report(found: Comparison, columns: Columns, file: Path, figures: dict[str, Figure], again: str) -> str:
    first, *more = found.judgment.sentences
    parts = [paragraph(first, "lead"), *map(paragraph, more)]
    parts += [paragraph(f"A doubt: {text}", "warning") for text in found.doubts]
    parts += [tiles(_first(found)), heading("The candidates"), picture(figures["comparison"], "scores of all models")]
    parts += [table(_rows(found), HEADER, words=2), paragraph(NOTE, "note")]
    maps = [figure for name, figure in figures.items() if name != "comparison"]
    if maps:
        parts += [heading("Which of the transformations are broken?")]
        parts += [pair(picture(figure, "equivariance error by transformation", is_map=True) for figure in maps)]
    by = "bayes-rpp compare. All numbers: comparison.csv."
    return symmetry_page(columns, file, [*parts, heading("What was compared")], again, by)


def _first(found: Comparison) -> list[tuple[str, str]]:
    candidate, model = found.recommended
    told = found.best not in found.judgment.undecided
    label = "the symmetry that holds" if told else "the largest symmetry without a sign of breaking"
    numbers = [(label, found.best or "none"), ("to predict with", f"{candidate}, {model}")]
    if found.best is not None and not told:
        numbers += [("below which breakings stay unseen", percent(found.judgment.unseen[found.best]))]
    if found.best is not None and (found.best, "soft") in found.table.index:
        error = float(found.table.loc[(found.best, "soft"), "error"])
        numbers += [("how far it is broken", percent(error))] if np.isfinite(error) else []
    return [*numbers, ("candidates", f"{len(found.candidates)}")]


def _rows(found: Comparison) -> list[tuple[str, ...]]:
    shown = found.table[["d_evidence", "d_elpd", "d_se", "error", "weight"]]
    digits = ("{:.1f}", "{:.1f}", "{:.1f}", "{:.2g}", "{:.2f}")
    return [
        (*name, *("" if np.isnan(v) else d.format(v) for d, v in zip(digits, row, strict=True)))
        for name, row in zip(shown.index, shown.to_numpy(float), strict=True)
    ]
