"""Effective draws of predictions per CPU second of samplers of networks' weights (NumPyro), chains from one ensemble;
warm-up and compilation count.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from arviz_stats.base import array_stats

import bayes_rpp as rpp
from benchmarks.rows import Row

POINTS = 20  # at which predictions are looked at


def samplers(quick: bool = False) -> list[Row]:
    """An MLP of 465 weights with 500 examples, and a soft EMLP with 200. Takes some minutes."""
    return [row for name, model, x, y in _problems(quick) for row in _rows(name, model, x, y, quick)]


def _problems(quick: bool) -> list[tuple[str, rpp.Model, Any, Any]]:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(40 if quick else 500, 4))
    y = np.sin(3 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] + 0.1 * rng.normal(size=(len(x), 1))
    mlp = rpp.MLP(4, 1, None, channels=4 if quick else 18, layers=2)
    noisy = rpp.Gaussian(0.1)
    emlp = rpp.EMLP(2 * rpp.Scalar + rpp.Vector, rpp.Vector, rpp.SO(3), channels=4 if quick else 9, layers=1)
    v = rng.normal(size=(40 if quick else 200, 5))
    w = v[:, :1] * v[:, 2:] + 0.2 * v[:, 1:2] + 0.1 * rng.normal(size=(len(v), 3))
    soft = rpp.Model(emlp, sigma_b=0.1, likelihood=noisy)
    return [("MLP", rpp.Model(mlp, sigma_a=0.0, sigma_b=1.0, likelihood=noisy), x, y), ("EMLP", soft, v, w)]


def _rows(name: str, model: rpp.Model, x: Any, y: Any, quick: bool) -> list[Row]:
    short = 20 if quick else 100
    ensemble = rpp.fit(model, x, y, rpp.DeepEnsemble(members=4, epochs=short), engine="numpyro", progress=False)
    methods: dict[str, tuple[str, rpp.inference.Method]] = {
        "NUTS as of before (whitened)": ("whitened", rpp.NUTS(4, short, short, max_tree_depth=4 if quick else 10)),
        "MCLMC": ("pathways", rpp.MCLMC(4, 5 * short, 5 * short)),
        "MCLMC, 16 chains": ("pathways", rpp.MCLMC(16, 5 * short, 5 * short)),
        "ChEES, 16 chains": ("pathways", rpp.ChEES(16, 2 * short, short)),
        "MCLMC, adjusted": ("pathways", rpp.MCLMC(4, short, short, adjusted=True)),
    }
    rows, first = [], 0.0
    for label, (form, method) in methods.items():
        free = model.replace(parametrization=form)
        start = {k: np.resize(v[0], (method.count, *v.shape[2:])) for k, v in ensemble.samples.items()}
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)  # what is measured here
            post = rpp.fit(free, x, y, method, engine="numpyro", init=start, progress=False)
        seconds = time.process_time() - began
        f = post.outputs(x[:POINTS]).astype(np.float64).reshape(*post.samples[next(iter(post.samples))].shape[:2], -1)
        each = range(f.shape[-1])
        within = float(np.median([sum(array_stats.ess(c[None, :, i], method="bulk") for c in f) for i in each]))
        rhat = float(np.median([array_stats.rhat(f[..., i]) for i in each]))
        first = first or within / seconds
        named = sum("froze" in w for w in post.summary().warnings)
        found = {"draws within chains / s": within / seconds, "CPU s": seconds, "R-hat": rhat, "frozen": named}
        rows.append(Row(f"{name}, {model.net.size} weights: {label} / NUTS", within / seconds / first, figures=found))
    return rows
