"""`bayes-rpp reproduce`."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from loky import cpu_count

from bayes_rpp._arrays import whole_number
from bayes_rpp._files import write_netcdf
from bayes_rpp.inference.fit import check_engine


class Which(StrEnum):
    fig2 = "fig2"
    fig3_left = "fig3-left"
    fig3_right = "fig3-right"


TRIALS = {Which.fig2: 5, Which.fig3_left: 10, Which.fig3_right: 3}
EPOCHS = {Which.fig3_left: 50, Which.fig3_right: 300}
CHANNELS = {Which.fig3_left: 384, Which.fig3_right: 64}


def reproduce(
    figure: Annotated[Which, typer.Argument(help="Which figure of the paper.")],
    trials: Annotated[
        int | None, typer.Option(help="Trials of fig2 (5), members of fig3-left (10), seeds of fig3-right (3).")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data; the paper's if left out.")] = None,
    engine: Annotated[str | None, typer.Option(help="numpyro or pyro; the first installed if left out.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="Of fig2, repeatedly: inertia, windy-pendulum, ...; all six if left out.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Fits of fig2 side by side; one for each core if left out.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small networks and few examples: a trial of the command.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for what it writes; bayes-rpp-FIGURE if left out.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with what is in the folder, or begin anew.")] = True,
) -> None:
    """Run an experiment of the paper: tables, netCDF and pictures. A stopped run goes on where it was."""
    try:
        for name, value in (("trials", trials), ("epochs", epochs), ("jobs", jobs)):
            if value is not None:
                whole_number(value, name)
        for name, given in (("setting", setting), ("jobs", jobs)):
            if given and figure is not Which.fig2:
                raise ValueError(f"{name} is {given} but {figure} has none; leave it out")
        out = out or Path(f"bayes-rpp-{figure}")
        count = trials or (2 if quick else TRIALS[figure])
        chosen = check_engine(engine)
        start = time.perf_counter()
        if figure is Which.fig2:
            _figure2(count, epochs, chosen, setting, jobs or cpu_count(), quick, out, resume)
        else:
            _figure3(figure, count, epochs or (5 if quick else EPOCHS[figure]), chosen, quick, out, resume)
        typer.echo(f"\nIn {out}, after {(time.perf_counter() - start) / 60:.1f} minutes:")
        for file in sorted(p for p in out.iterdir() if p.is_file()):
            typer.echo(f"  {file}")
    except (TypeError, ValueError, ImportError, OSError, RuntimeError) as error:  # RuntimeError: a worker died, too
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


def _figure2(
    count: int,
    epochs: int | None,
    engine: str,
    names: list[str] | None,
    jobs: int,
    quick: bool,
    out: Path,
    resume: bool,
) -> None:
    from bayes_rpp.reproduce import figure2
    from bayes_rpp.reproduce.settings import SETTINGS
    from bayes_rpp.reproduce.trials import KEY, Table, run, trials

    for name in names or ():
        if name not in SETTINGS:
            raise ValueError(f"setting is {name!r}; one of {', '.join(SETTINGS)} would do")
    chosen = [SETTINGS[name] for name in dict.fromkeys(names or SETTINGS)]
    chosen = [s.quick() for s in chosen] if quick else chosen
    epochs = 2 if quick and epochs is None else epochs
    todo = trials(chosen, count, epochs, engine)
    table = Table(out, {"figure": "fig2", "engine": engine, "quick": quick, "epochs": epochs}, resume)
    for _ in run(todo, table, jobs):
        pass
    frame = table.frame().set_index(KEY).loc[[t.key for t in todo]].reset_index()  # rows come as fits end
    found = figure2.summary(frame)
    found.to_csv(out / "fig2.csv", index=False)
    text = figure2.markdown(found)
    (out / "fig2.md").write_text(text + "\n")
    write_netcdf(figure2.dataset(frame), out / "fig2.nc")
    figure2.plot(frame, out / "fig2.png")
    typer.echo(f"\n{text}\n\nThe fits took {frame['seconds'].sum() / 60:.1f} minutes together.")


def _figure3(figure: Which, count: int, epochs: int, engine: str, quick: bool, out: Path, resume: bool) -> None:
    from bayes_rpp.reproduce import figure3
    from bayes_rpp.reproduce.trials import begin

    if figure is Which.fig3_left and count < 2:
        raise ValueError(f"trials is {count}; a density over members needs at least 2")
    begin(out, {"figure": figure, "engine": engine, "quick": quick, "epochs": epochs, "trials": count}, resume)
    size = {"examples": 1000, "channels": CHANNELS[figure], "layers": 3}
    size = {"examples": 100, "channels": 24, "layers": 1} if quick else size
    if figure is Which.fig3_left:
        table, ratio = figure3.left(count, epochs, engine, **size, out=out)
        table.to_csv(out / "fig3-left.csv", index=False)
        typer.echo(f"\n{table.to_string(index=False)}\n\nThe final median errors differ by a factor of {ratio:.1f}.")
        return
    found = figure3.right(count, epochs, engine, **size, out=out)
    table = found.to_dataframe()
    table.to_csv(out / "fig3-right.csv")
    typer.echo(f"\n{found['mse'].median('seed').to_pandas().round(4).to_string()}")
