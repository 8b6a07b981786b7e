"""`bayes-rpp reproduce`."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from loky import cpu_count

from bayes_rpp._arrays import whole_number
from bayes_rpp._files import write_netcdf
from bayes_rpp._types import EngineName
from bayes_rpp.engines.base import check_engine


class Which(StrEnum):
    fig2 = "fig2"
    fig3_left = "fig3-left"
    fig3_right = "fig3-right"
    fig5 = "fig5"
    table2 = "table2"
    table3 = "table3"


TRIALS = {Which.fig2: 5, Which.fig3_left: 10, Which.fig3_right: 3, Which.table2: 200, Which.table3: 3}
EPOCHS = {Which.fig3_left: 50, Which.fig3_right: 300}
# Which experiments an option is for.
MEANT = {
    "setting": (Which.fig2,),
    "jobs": (Which.fig2, Which.fig5, Which.table3),
    "environment": (Which.fig5, Which.table2, Which.table3),
    "transitions": (Which.table3,),
    "members": (Which.table3,),
    "arm": (Which.fig5,),
    "steps": (Which.fig5,),
    "first-seed": (Which.fig5,),
    "learning-rate": (Which.fig5,),
    "gradient-steps": (Which.fig5,),
    "epochs": (Which.fig2, Which.fig3_left, Which.fig3_right, Which.table3),
    "engine": (Which.fig2, Which.fig3_left, Which.fig3_right, Which.table3),
}
CHANNELS = {Which.fig3_left: 384, Which.fig3_right: 64}


def reproduce(
    figure: Annotated[Which, typer.Argument(help="Which figure of the paper.")],
    trials: Annotated[
        int | None,
        typer.Option(
            help="Trials of fig2 (5), members of fig3-left (10), seeds of fig3-right (3), fig5 (10 or 4) and table3 "
            "(3), states of table2 (200)."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data; the paper's if left out.")] = None,
    engine: Annotated[str | None, typer.Option(help="numpyro or pyro; the first installed if left out.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="Of fig2, repeatedly: inertia, windy-pendulum, ...; all six if left out.")
    ] = None,
    environment: Annotated[
        list[str] | None,
        typer.Option(help="Of fig5 (swimmer, ...), table2 and table3 (Hopper-v5, ...), repeatedly; all if left out."),
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="Of fig5, repeatedly: SAC, two pathways, RPP, strict; all if left out.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Environment steps of a training of fig5.")] = None,
    first_seed: Annotated[int | None, typer.Option(help="Seed of the first trial of fig5 (0).")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of all arms of fig5; the chosen ones if left out.")
    ] = None,
    gradient_steps: Annotated[
        int | None, typer.Option(help="Of fig5, for each step of the environment; the task's own if left out.")
    ] = None,
    transitions: Annotated[
        list[int] | None, typer.Option(help="Of table3, to train on, repeatedly; 2000 and 50000 if left out.")
    ] = None,
    members: Annotated[int | None, typer.Option(help="Of the ensembles of table3 (3).")] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Fits of fig2, fig5 or table3 side by side; one for each core if left out.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small networks and few examples: a trial of the command.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for what it writes; bayes-rpp-FIGURE if left out.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with what is in the folder, or begin anew.")] = True,
) -> None:
    """Run an experiment of the paper: tables, netCDF and pictures. A stopped run goes on where it was."""
    try:
        numbers = {
            "trials": trials, "epochs": epochs, "jobs": jobs, "steps": steps, "members": members,
            "gradient-steps": gradient_steps,
        }  # fmt: skip
        for name, count in [*numbers.items(), *(("transitions", n) for n in transitions or ())]:
            if count is not None:
                whole_number(count, name)
        given = {
            "setting": setting, "jobs": jobs, "environment": environment, "arm": arm, "steps": steps,
            "first-seed": first_seed, "learning-rate": learning_rate, "epochs": epochs, "engine": engine,
            "transitions": transitions, "members": members, "gradient-steps": gradient_steps,
        }  # fmt: skip
        for name, value in given.items():
            if value not in (None, []) and figure not in MEANT[name]:
                raise ValueError(f"{name} must be left out of {figure}, which has none, got {value}")
        out = out or Path(f"bayes-rpp-{figure}")
        start = time.perf_counter()
        if figure is Which.fig5:
            from bayes_rpp.reproduce.figure5 import chosen_figure

            made = chosen_figure(environment, arm, trials, first_seed or 0, steps, learning_rate, gradient_steps, quick)
            _figure5(made, out, resume, jobs or cpu_count())
            _list(out, start)
            return
        count = trials or (2 if quick else TRIALS[figure])
        if figure is Which.table2:
            _table2(count, environment, out)
            _list(out, start)
            return
        chosen = check_engine(engine)
        if figure is Which.table3:
            _table3(
                count, environment, transitions, members or 3, epochs, chosen, jobs or cpu_count(), quick, out, resume
            )
        elif figure is Which.fig2:
            _figure2(count, epochs, chosen, setting, jobs or cpu_count(), quick, out, resume)
        else:
            _figure3(figure, count, epochs or (5 if quick else EPOCHS[figure]), chosen, quick, out, resume)
        _list(out, start)
    except (TypeError, ValueError, ImportError, OSError, RuntimeError) as error:  # RuntimeError: a worker died, too
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


def _list(out: Path, start: float) -> None:
    typer.echo(f"\nIn {out}, after {(time.perf_counter() - start) / 60:.1f} minutes:")
    for file in sorted(p for p in out.iterdir() if p.is_file()):
        typer.echo(f"  {file}")


def _figure2(
    count: int,
    epochs: int | None,
    engine: EngineName,
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
            raise ValueError(f"setting must be one of {', '.join(SETTINGS)}, got {name!r}")
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


def _figure3(figure: Which, count: int, epochs: int, engine: EngineName, quick: bool, out: Path, resume: bool) -> None:
    from bayes_rpp.reproduce import figure3
    from bayes_rpp.reproduce.trials import begin

    if figure is Which.fig3_left and count < 2:
        raise ValueError(f"trials must be 2 or more for a density over members, got {count}")
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


def _figure5(figure: Any, out: Path, resume: bool, jobs: int) -> None:
    from bayes_rpp.reproduce.trials import Table, run

    table = Table(out, figure.described, resume, figure.key)
    for _ in run(figure.trials, table, jobs, figure.work):
        pass
    text, minutes = figure.write(table.frame(), out)
    typer.echo(f"\n{text}\n\nThe trainings took {minutes:.1f} minutes together.")


def _table2(states: int, names: list[str] | None, out: Path) -> None:
    from bayes_rpp.reproduce import table2
    from bayes_rpp.reproduce.figure2 import markdown

    found = table2.measured(names, states)
    out.mkdir(parents=True, exist_ok=True)
    found.to_csv(out / "table2.csv", index=False)
    text = markdown(found)
    (out / "table2.md").write_text(text + "\n")
    typer.echo(f"\n{text}")


def _table3(
    seeds: int,
    names: list[str] | None,
    transitions: list[int] | None,
    members: int,
    epochs: int | None,
    engine: EngineName,
    jobs: int,
    quick: bool,
    out: Path,
    resume: bool,
) -> None:
    from bayes_rpp.reproduce import table3, table3_plots
    from bayes_rpp.reproduce.figure2 import markdown
    from bayes_rpp.reproduce.trials import Table, run

    chosen = list(dict.fromkeys(names or table3.SYMMETRIES))
    for name in chosen:
        if name not in table3.SYMMETRIES:
            raise ValueError(f"environment must be one of {', '.join(table3.SYMMETRIES)}, got {name!r}")
    if members < 2:
        raise ValueError(f"members must be 2 or more for the spread of rollouts, got {members}")
    epochs = 2 if quick and epochs is None else epochs
    todo = table3.trials(
        chosen, transitions or ([200] if quick else [2000, 50_000]), seeds, quick,
        members=members, epochs=epochs, engine=engine, folder=out / "transitions",
    )  # fmt: skip
    described = {"figure": "table3", "engine": engine, "quick": quick, "epochs": epochs, "members": members}
    table = Table(out, described, resume, table3.KEY)
    for name in chosen:  # once, before processes ask for it side by side
        table3.collected(next(t for t in todo if t.environment == name))
    for _ in run(todo, table, jobs, table3.run_trial):
        pass
    frame = table.frame()
    found = table3.summary(frame)
    found.to_csv(out / "table3.csv", index=False)
    table3.coverages(frame).to_csv(out / "table3-coverage.csv", index=False)
    text = "\n\n".join(markdown(t) for t in (*table3.parts(found), table3.coverage_table(frame)))
    (out / "table3.md").write_text(text + "\n")
    table3_plots.plot(frame, out)
    typer.echo(f"\n{text}\n\nThe fits took {frame['seconds'].sum() / 60:.1f} minutes together.")
