"""The command `bayes-rpp`."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

import bayes_rpp as rpp
from bayes_rpp._files import replacing
from bayes_rpp._types import EngineName
from bayes_rpp.engines.base import ENGINES, check_engine, get_engine
from bayes_rpp.engines.compilation import OFF, VARIABLE, cache_compilations
from bayes_rpp.own_data.command import fit
from bayes_rpp.own_data.discover import discover
from bayes_rpp.own_data.tables import read_columns
from bayes_rpp.reproduce.command import reproduce

if TYPE_CHECKING:
    from bayes_rpp.datasets import Dataset

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

app.command()(fit)
app.command()(discover)
app.command()(reproduce)


@app.callback()
def _cached(
    cache: Annotated[
        str | None,
        typer.Option(
            envvar=VARIABLE, help='Folder for what NumPyro compiles, or "off". Left out: the user\'s cache folder.'
        ),
    ] = None,
) -> None:
    if cache == OFF:
        return
    try:
        cache_compilations(cache)
    except OSError as error:
        if cache:
            typer.echo(f"error: --cache: {error}", err=True)
            raise typer.Exit(2) from error


HEADER = ("data set", "test MSE, ensemble", "test MSE, median member", "equivariance error", "seconds")


@app.command()
def demo(
    engine: Annotated[str | None, typer.Option(help="numpyro or pyro; the first installed if left out.")] = None,
    members: Annotated[int, typer.Option(help="Members of each ensemble.")] = 10,
    epochs: Annotated[int, typer.Option(help="Passes over the 1000 training examples.")] = 150,
    channels: Annotated[int, typer.Option(help="Width of the three hidden layers.")] = 384,
    out: Annotated[Path, typer.Option(help="Folder for what it writes.")] = Path("bayes-rpp-demo"),
    seed: Annotated[int, typer.Option(help="Of data, initial values and order.")] = 0,
) -> None:
    """Train RPP ensembles on inertia (exactly symmetric) and modified inertia (almost), and draw the KDEs of their
    equivariance error during training."""
    try:
        _demo(engine, members, epochs, channels, out, seed)
    except (TypeError, ValueError, ImportError, rpp.inference.TrainingError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def info() -> None:
    """Show the versions of this package, its engines and libraries, and where they run."""
    typer.echo(f"bayes-rpp {rpp.__version__}")
    for package in ("torch", "pyro-ppl", "jax", "numpyro", "optax", "arviz", "arviz-base", "arviz-stats", "numpy"):
        try:
            typer.echo(f"{package:12} {version(package)}")
        except PackageNotFoundError:
            typer.echo(f"{package:12} not installed")
    typer.echo(f"{'devices':12} {', '.join(_devices()) or 'no engine installed'}")


@app.command()
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
        str, typer.Option(help='"functions", in seconds, "networks", or "auto": functions where they are exact.')
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
    """Which of several symmetries do the data in a file have? Prints and writes a table, a verdict and pictures."""
    from bayes_rpp.symmetry.parse import parse_named_group

    try:
        columns = read_columns(file, inputs or [], targets or [])
        groups = dict(map(parse_named_group, group))
        if len(groups) < len(group):
            raise ValueError("group must have names that differ, got one twice; 'none=Trivial(3)', 'O(3)' would do")
        options: dict[str, Any] = {"rep_in": rpp.groups.parse_rep(rep_in), "rep_out": rpp.groups.parse_rep(rep_out)}
        options |= {"models": models, "channels": channels, "layers": layers, "starts": starts, "engine": engine}
        found = rpp.compare_symmetries(columns.x, columns.numbers(), groups, **options, seed=seed)
        typer.echo(f"\n{found}\n\nWritten:")
        for written in _write_comparison(found, out):
            typer.echo(f"  {written}")
    except (TypeError, ValueError, ImportError, OSError, rpp.inference.TrainingError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


def _write_comparison(found: rpp.analysis.Comparison, out: Path) -> list[Path]:
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.use("agg")
    out.mkdir(parents=True, exist_ok=True)
    files = [out / "comparison.csv", out / "verdict.txt", out / "comparison.png"]
    with replacing(files[0]) as part:
        found.table.to_csv(part)
    with replacing(files[1]) as part:
        part.write_text(found.verdict + "\n", encoding="utf-8")
    figure = Figure(figsize=(12, 1.6 + 0.45 * len(found.candidates)), layout="constrained")
    rpp.plots.plot_comparison(found, axes=figure.subplots(1, 3, sharey=True))
    with replacing(files[2]) as part:
        figure.savefig(part, dpi=150)
    for name, candidate in found.candidates.items():
        if not candidate.is_free and not candidate.is_mixed:
            figure = Figure(figsize=(7.2, 4.2), layout="constrained")
            rpp.plots.plot_group_map(found.group_map(name), ax=figure.subplots())
            slug = "".join(c if c.isalnum() else "_" for c in name).strip("_")
            files.append(out / f"map_{len(files) - 2}_{slug}.png")
            with replacing(files[-1]) as part:
                figure.savefig(part, dpi=150)
    return files


def _demo(engine: str | None, members: int, epochs: int, channels: int, out: Path, seed: int) -> None:
    import matplotlib
    import pandas as pd
    from matplotlib.figure import Figure

    from bayes_rpp.reproduce.figure2 import markdown

    matplotlib.use("agg")
    chosen = check_engine(engine)
    if members < 2:
        raise ValueError(f"members must be 2 or more for a density over them, got {members}")
    method = rpp.DeepEnsemble(members=members, epochs=epochs, batch_size=125)
    out.mkdir(parents=True, exist_ok=True)
    posteriors, rows, files = {}, [], []
    for make in (rpp.datasets.inertia, rpp.datasets.modified_inertia):
        data, test = make(1000, seed=seed), make(1000, seed=seed + 1_000_000)
        typer.echo(f"\n{data.name}: {members} RPP-EMLPs of width {channels} in {chosen}, {epochs} epochs")
        start = time.perf_counter()
        post = _fit(data, test, method, channels, chosen, seed)
        posteriors[data.name] = post
        rows.append(_row(data.name, post, test, time.perf_counter() - start))
        files.append(post.save(out / f"{data.name.replace(' ', '_')}.nc"))
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = rpp.plots.plot_equivariance_kde(posteriors, ax=figure.subplots())
    axes.set_title(f"{members} RPP-EMLPs during {epochs} epochs of training")
    figure.savefig(out / "equivariance_kde.png", dpi=160)
    files.append(out / "equivariance_kde.png")
    table = markdown(pd.DataFrame(rows, columns=list(HEADER)))
    (out / "table.md").write_text(table + "\n")
    files.append(out / "table.md")
    errors = [float(_median_error(p)) for p in posteriors.values()]
    typer.echo(
        f"\n{table}\n\nThe median equivariance error on modified inertia is "
        f"{errors[1] / errors[0]:.1f} times that on inertia.\n\nWritten:"
    )
    for file in files:
        typer.echo(f"  {file}")


def _fit(data: Dataset, test: Dataset, method: Any, channels: int, engine: EngineName, seed: int) -> rpp.Posterior:
    net = rpp.EMLP(data.rep_in, data.rep_out, data.group, channels=channels, layers=3)
    model = rpp.Model(net, sigma_a=1.0, sigma_b=0.05, likelihood=rpp.Gaussian(0.1))
    tracker = rpp.EquivarianceTracker(data.group, every=max(1, method.epochs // 10), x=test.x)
    return rpp.fit(model, data.x, data.y, method, engine=engine, seed=seed, callbacks=[tracker])


def _row(name: str, post: rpp.Posterior, test: Dataset, seconds: float) -> tuple[str, ...]:
    prediction = post.predict(test.x)
    ensemble = ((prediction.mean - test.y) ** 2).mean()
    member = ((prediction.samples[0] - test.y) ** 2).mean(axis=(1, 2))
    return name, f"{ensemble:.3f}", f"{np.median(member):.3f}", f"{_median_error(post):.4f}", f"{seconds:.0f}"


def _median_error(post: rpp.Posterior) -> Any:
    """Median over members of the last recorded error."""
    return np.median(post.training["equivariance_error"][:, -1])


def _devices() -> list[str]:
    return [get_engine(engine).device for engine in ENGINES if find_spec(engine)]


if __name__ == "__main__":
    app()
