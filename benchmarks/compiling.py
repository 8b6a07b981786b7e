"""The first fit of a process, and the second with another seed and other data, which finds what was compiled; folds of
slightly different length (NumPyro)."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

import bayes_rpp as rpp
from benchmarks.rows import Row, inertia


def compiling(quick: bool = False) -> list[Row]:
    """The O(3) inertia network of 2 layers of 64 on 200 examples, as one tries things."""
    warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)  # so few draws cannot be trusted
    size = {"channels": 8, "layers": 1} if quick else {"channels": 64, "layers": 2}
    n = 30 if quick else 200
    methods: dict[str, tuple[Any, float | None]] = {
        "MAP": (rpp.MAP(epochs=2), 0.3),
        "SVI": (rpp.SVI(epochs=2, draws=2), None),
        "NUTS": (rpp.NUTS(chains=1, warmup=20, draws=20, max_tree_depth=2), None),
    }
    if quick:
        del methods["SVI"]  # NumPyro's guides compile for half a minute, of any size
    rows = []
    for name, (method, limit) in methods.items():
        first, second = (_fit(method, n, seed, size) for seed in range(2))
        figures = {"first, CPU s": first, "second / first": second / first}
        rows.append(Row(f"second fit by {name}, other seed and data", second, limit, unit="CPU s", figures=figures))
        if name == "MAP":
            other = _fit(method, n, 2, size, sigma_b=0.2, likelihood=rpp.Gaussian(0.3))
            rows.append(Row("fit by MAP with another sigma_b and noise", other, limit, unit="CPU s"))
        if name == "NUTS":
            rows.append(Row("first NUTS fit less the second: compilation", first - second, 8, unit="CPU s"))
    return [*rows, _folds(quick)]


def _fit(method: Any, n: int, seed: int, size: dict[str, int], **prior: Any) -> float:
    data, model = rpp.datasets.inertia(n, seed=seed), rpp.Model(inertia(**size), **prior)
    start = time.process_time()
    rpp.fit(model, data.x, data.y, method, engine="numpyro", seed=seed, progress=False)
    return time.process_time() - start


def _folds(quick: bool) -> Row:
    """Five folds with what they compile, against the same again, which compiles nothing."""
    data = rpp.datasets.inertia(203)
    folds = np.array_split(np.arange(len(data.x)), 5)
    method = rpp.DeepEnsemble(members=5, epochs=2 if quick else 100, batch_size=16)
    size = {"channels": 8, "layers": 1} if quick else {"channels": 128, "layers": 2}

    def run() -> float:
        start = time.process_time()
        for k, fold in enumerate(folds):
            rows = np.setdiff1d(np.arange(len(data.x)), fold)
            model = rpp.Model(inertia(**size))
            rpp.fit(model, data.x[rows], data.y[rows], method, engine="numpyro", seed=k, progress=False)
        return time.process_time() - start

    whole, alone = run(), run()
    figures = {"whole, CPU s": whole, "steps alone, CPU s": alone}
    return Row("five folds of 162 or 163 examples / their steps alone", whole / alone, 1.5, figures=figures)
