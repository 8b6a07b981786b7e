"""What a sweep saves: a grid of priors and seeds as members of a few programs, against the same fits one by one."""

from __future__ import annotations

import itertools
import time
from importlib import import_module

import numpy as np

import bayes_rpp as rpp
from benchmarks.rows import Row


def sweep(quick: bool = False) -> list[Row]:
    """Seconds of both on each engine, compilation included, and the largest relative difference between any two losses
    or test errors. Takes some minutes."""
    if quick:
        return measure(channels=16, epochs=2, examples=50, per_axis=2, seeds=1, alone=2)
    return measure()


def measure(
    channels: int = 32, epochs: int = 50, examples: int = 500, per_axis: int = 6, seeds: int = 3, alone: int = 12
) -> list[Row]:
    """
    Args:
        per_axis: numbers for each sigma, one of them 0 (not both at once).
        alone: how many cells, evenly spread, are fitted one by one; the time of all is theirs in proportion.
    """
    rows = []
    data, test = (rpp.datasets.modified_inertia(examples, seed=s) for s in (0, 1))
    net = rpp.EMLP(data.rep_in, data.rep_out, data.group, channels=channels, layers=2)
    method = rpp.MAP(epochs=epochs, batch_size=min(100, examples))
    sigma_a, sigma_b = np.geomspace(0.1, 1.0, per_axis), [0.0, *np.geomspace(0.01, 1.0, per_axis - 1)]
    cells = list(itertools.product(sigma_a, sigma_b, range(seeds)))
    some = [cells[i] for i in np.unique(np.linspace(0, len(cells) - 1, alone).round().astype(int))]
    for engine in ("numpyro", "pyro"):
        import_module(f"bayes_rpp.inference.optimise.map.{engine}")
        start = time.perf_counter()
        found = rpp.sweep(
            rpp.Model(net), data, method, sigma_a=sigma_a, sigma_b=sigma_b, seeds=range(seeds), test=test,
            engine=engine, progress=False,
        )  # fmt: skip
        together, start = time.perf_counter() - start, time.perf_counter()
        differences = []
        for a, b, seed in some:
            model = rpp.Model(net, sigma_a=a, sigma_b=b)
            post = rpp.fit(model, data.x, data.y, method, engine=engine, seed=seed, progress=False)
            mse = float(((post.predict(test.x).mean - test.y) ** 2).mean())
            cell = found.sel(sigma_a=a, sigma_b=b, seed=seed)
            for name, one in (("loss", post.training["loss"][0, -1]), ("mse", mse)):
                differences.append(abs(float(cell[name]) / one - 1))
        apart = (time.perf_counter() - start) * len(cells) / len(some)
        figures = {"one run, s": together, "one by one, s": apart, "largest difference": max(differences)}
        name = f"{len(cells)} cells of {net.size} weights, {epochs} epochs, {engine}: one by one / one run"
        rows.append(Row(name, apart / together, 3, True, figures=figures))
    return rows
