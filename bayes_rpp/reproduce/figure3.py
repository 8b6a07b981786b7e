"""Figure 3: densities of the equivariance error during training (left), test errors over the two priors (right)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_rpp._files import write_netcdf
from bayes_rpp._types import EngineName
from bayes_rpp.analysis.plots import plot_equivariance_kde
from bayes_rpp.analysis.sweep_plots import plot_sweep
from bayes_rpp.datasets import inertia, modified_inertia
from bayes_rpp.inference.fit import fit
from bayes_rpp.inference.methods import MAP, DeepEnsemble
from bayes_rpp.inference.run.callbacks import EquivarianceTracker
from bayes_rpp.inference.sweep.sweep import sweep
from bayes_rpp.models.likelihoods import Gaussian
from bayes_rpp.models.model import Model
from bayes_rpp.networks.emlp import EMLP
from bayes_rpp.reproduce.settings import TEST, learned, likelihood_of
from bayes_rpp.reproduce.trials import CHECKPOINT

GRID = 6
SIGMAS_A = tuple(float(f"{s:.3g}") for s in np.geomspace(0.1, 3.0, GRID))
SIGMAS_B = tuple(float(f"{s:.3g}") for s in np.geomspace(0.001, 1.0, GRID))


def left(members: int, epochs: int, engine: EngineName, *, examples: int, channels: int, layers: int, out: Path) -> Any:
    """Ensembles of RPP-EMLPs on inertia and modified inertia, of one prior, their error followed during training.

    Returns:
        The table, and the ratio of the two final median errors.
    """
    posteriors, rows = {}, []
    for make in (inertia, modified_inertia):
        data, test = make(examples, seed=0), make(examples, seed=TEST)
        path = out / f"{data.name.replace(' ', '_')}.nc"
        net = EMLP(data.rep_in, data.rep_out, data.group, channels=channels, layers=layers, bilinear="full")
        model = Model(net, sigma_a=1.0, sigma_b=learned(), likelihood=Gaussian(0.1))
        tracker = EquivarianceTracker(data.group, every=5, x=test.x)
        method = DeepEnsemble(members=members, epochs=epochs, batch_size=max(1, examples // 10))
        kept = out / CHECKPOINT / path.stem
        post = fit(model, data.x, data.y, method, engine=engine, seed=0, callbacks=[tracker], checkpoint=kept)
        post.save(path)
        posteriors[data.name] = post
        final = post.training["equivariance_error"][:, -1]
        mse = ((post.predict(test.x).samples[0] - test.y) ** 2).mean(axis=(1, 2))
        rows.append((data.name, len(final), np.median(final), final.min(), final.max(), np.median(mse)))
    columns = ["data", "members", "equivariance error, median", "least", "largest", "test MSE, median member"]
    _save(plot_equivariance_kde, posteriors, out / "fig3-left.png", (7.2, 4.2))
    return pd.DataFrame(rows, columns=columns), rows[1][2] / rows[0][2]


def right(
    seeds: int, epochs: int, engine: EngineName, *, examples: int, channels: int, layers: int, out: Path
) -> xr.Dataset:
    """Test errors on modified inertia over a grid of both priors, as one sweep."""
    data, test = modified_inertia(examples, seed=0), modified_inertia(examples, seed=TEST)
    net = EMLP(data.rep_in, data.rep_out, data.group, channels=channels, layers=layers, bilinear="full")
    model = Model(net, likelihood=likelihood_of(data))
    found = sweep(
        model, data, MAP(epochs=epochs, batch_size=max(1, examples // 2)), sigma_a=SIGMAS_A, sigma_b=SIGMAS_B,
        seeds=range(seeds), test=test, engine=engine, checkpoint=out / CHECKPOINT,
    )  # fmt: skip
    write_netcdf(found, out / "fig3-right.nc")
    for value in ("mse", "equivariance_error"):
        name = "fig3-right.png" if value == "mse" else f"fig3-right-{value}.png"
        _save(plot_sweep, found, out / name, (7.6, 5.0), value=value)
    return found


def _save(draw: Any, what: Any, path: Path, size: tuple[float, float], **options: Any) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    draw(what, ax=figure.subplots(), **options)
    figure.savefig(path, dpi=160)
