"""`bayes-rpp discover`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bayes_rpp._files import replacing
from bayes_rpp.analysis.discovery.discover import Discovery, discover_symmetry
from bayes_rpp.own_data.report import code, command, heading, paragraph, picture, png, symmetry_page, table, tiles
from bayes_rpp.own_data.tables import Columns
from bayes_rpp.own_data.told import answer_told, columns_told, errors_told

MOST = 12  # rows of a table, and numbers in a row of a matrix that is shown
STRENGTH = (
    "How strongly f violates each direction, from 0, kept, to 1, no symmetry at all, with a 90 % interval; the "
    "directions that were found come first."
)
TRIED = "Log evidence in nats, less what its directions cost, beside that of no symmetry."


def discover(
    file: Annotated[Path, typer.Argument(help="A table: .npz with arrays x and y, .csv or .parquet.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(help='Columns of x, "mass,speed_x,speed_y", or repeat it; an array of an npz counts whole.'),
    ] = None,
    targets: Annotated[list[str] | None, typer.Option(help="Columns of y, likewise.")] = None,
    rep_in: Annotated[
        str | None,
        typer.Option(help='How matrices act on x, such as "2*Vector". Left out, and rep_out: columns mix in any way.'),
    ] = None,
    rep_out: Annotated[str | None, typer.Option(help="How they act on y.")] = None,
    within: Annotated[
        str | None, typer.Option(help='Look only in this group, "SO(3)". Left out: all matrices.')
    ] = None,
    model: Annotated[
        str, typer.Option(help='"functions", "networks" for large data, or "auto", by the size of the data.')
    ] = "auto",
    discrete: Annotated[bool, typer.Option(help="Look for flips, swaps and reflections, too.")] = True,
    draws: Annotated[int, typer.Option(help="Of the posterior, for intervals.")] = 200,
    out: Annotated[Path, typer.Option(help="Folder for what it writes.")] = Path("bayes-rpp-discover"),
    seed: Annotated[int, typer.Option(help="Of the choice of rows, and of the draws.")] = 0,
) -> None:
    """Which symmetry do the data in a file have? Prints and writes a verdict, a spectrum, a picture and a report."""
    with errors_told():
        columns = columns_told(file, inputs, targets)
        options: dict[str, Any] = {"rep_in": rep_in, "rep_out": rep_out, "within": within, "model": model}
        options |= {"discrete": discrete, "draws": draws, "seed": seed}
        found = discover_symmetry(
            columns.x,
            columns.numbers(),
            columns=columns.inputs,
            targets=columns.outputs,
            progress=sys.stderr.isatty(),
            **options,
        )
        again = command("discover", file, {"inputs": inputs, "targets": targets, **options})
        answer_told(found, _write(found, columns, file, again, out))


def _write(found: Discovery, columns: Columns, file: Path, again: str, out: Path) -> list[Path]:
    import matplotlib
    from matplotlib.figure import Figure

    from bayes_rpp.analysis.discovery.plots import plot_symmetries

    matplotlib.use("agg")
    out.mkdir(parents=True, exist_ok=True)
    files = [out / "verdict.txt", out / "spectrum.csv", out / "symmetries.png", out / "report.html"]
    with replacing(files[0]) as part:
        part.write_text("\n".join([found.verdict, *(f"- {d}" for d in found.doubts)]) + "\n", encoding="utf-8")
    with replacing(files[1]) as part:
        found.table.to_csv(part)
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = plot_symmetries(found, ax=figure.subplots())
    with replacing(files[2]) as part:
        part.write_bytes(png(figure))
    axes.set_title("", loc="left")  # the page has said it
    with replacing(files[3]) as part:
        part.write_text(_report(found, columns, file, picture(figure, "the spectrum"), again), encoding="utf-8")
    return files


def _report(found: Discovery, columns: Columns, file: Path, spectrum: str, again: str) -> str:
    parts = [paragraph(found.verdict, "lead"), *(paragraph(f"A doubt: {text}", "warning") for text in found.doubts)]
    parts += [tiles(_first(found)), heading("How far is each direction violated?"), spectrum]
    rows = [(k, *(f"{v:.3f}" for v in row[:3]), "yes" if row[3] else "no") for k, *row in found.table.itertuples()]
    parts += [
        table(rows[:MOST], ("direction", "strength", "5 %", "95 %", "seen by the data")),
        paragraph(STRENGTH, "note"),
    ]
    if found.dimension and found.generators.shape[-1] <= MOST:
        parts += [heading("Its generators")]
        parts += [code(np.array2string(a.round(3) + 0.0, suppress_small=True)) for a in found.generators[:MOST]]
    best = sorted(found.tried, key=lambda t: -t[2])[:MOST]
    parts += [heading("What was tried"), paragraph(TRIED, "note")]
    parts += [table([(name, k, f"{v:.1f}") for name, k, v in best], ("algebra", "dimension", "log evidence"))]
    by = "bayes-rpp discover. All directions: spectrum.csv."
    return symmetry_page(columns, file, [*parts, heading("What was looked at")], again, by)


def _first(found: Discovery) -> list[tuple[str, str]]:
    sure = found.probabilities.get(found.dimension)
    numbers = [("found", "; ".join(found.names) or "no symmetry"), ("dimension", f"{found.dimension}")]
    numbers += [] if sure is None else [("its probability", f"{sure:.2g}")]
    if found.dimension:
        numbers.append(("does it hold?", "exactly" if found.is_exact else "nearly"))
        numbers.append(("as a group", found.group.name))
    return numbers
