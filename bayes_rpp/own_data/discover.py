"""`bayes-rpp discover`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayes_rpp._files import replacing
from bayes_rpp.analysis.discovery.discover import Discovery, discover_symmetry
from bayes_rpp.own_data.tables import read_columns


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
    """Which symmetry do the data in a file have? Prints and writes a verdict, a spectrum and a picture."""
    try:
        columns = read_columns(file, inputs or [], targets or [])
        found = discover_symmetry(
            columns.x,
            columns.numbers(),
            rep_in=rep_in,
            rep_out=rep_out,
            within=within,
            model=model,
            discrete=discrete,
            columns=columns.inputs,
            targets=columns.outputs,
            draws=draws,
            seed=seed,
        )
        typer.echo(f"\n{found}\n\nWritten:")
        for written in _write(found, out):
            typer.echo(f"  {written}")
    except (TypeError, ValueError, ImportError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


def _write(found: Discovery, out: Path) -> list[Path]:
    import matplotlib
    from matplotlib.figure import Figure

    from bayes_rpp.analysis.discovery.plots import plot_symmetries

    matplotlib.use("agg")
    out.mkdir(parents=True, exist_ok=True)
    files = [out / "verdict.txt", out / "spectrum.csv", out / "symmetries.png"]
    with replacing(files[0]) as part:
        part.write_text("\n".join([found.verdict, *(f"- {d}" for d in found.doubts)]) + "\n", encoding="utf-8")
    with replacing(files[1]) as part:
        found.table.to_csv(part)
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    plot_symmetries(found, ax=figure.subplots())
    with replacing(files[2]) as part:
        figure.savefig(part, dpi=150)
    return files
