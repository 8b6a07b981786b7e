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
from bayes_rpp._types import EngineName
from bayes_rpp.engines.base import ENGINES, check_engine, get_engine
from bayes_rpp.engines.compilation import OFF, VARIABLE, cache_compilations
from bayes_rpp.own_data.command import fit
from bayes_rpp.own_data.compare import compare
from bayes_rpp.own_data.discover import discover
from bayes_rpp.own_data.predicting import predict
from bayes_rpp.reproduce.command import reproduce

if TYPE_CHECKING:
    from bayes_rpp.datasets import Dataset

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

app.command()(compare)
app.command()(fit)
app.command()(predict)
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
