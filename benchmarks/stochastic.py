"""Chains by gradients of minibatches beside a deep ensemble of the same cost, on 100,000 examples (NumPyro)."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

import bayes_rpp as rpp
from benchmarks.rows import Row

MEMBERS = 4


def stochastic(quick: bool = False) -> list[Row]:
    """An MLP of 451 weights; test NLL, error, and coverage of central 50 % and 90 % intervals of the function's own
    values (without noise) and of observations. Takes some minutes."""
    n, channels, epochs = (400, 4, 2) if quick else (100_000, 18, 20)
    x, _, y = _data(n, 0)
    held = _data(n // 10, 1)
    net = rpp.MLP(4, 1, None, channels=channels, layers=2)
    model = rpp.Model(net, sigma_a=0.0, sigma_b=1.0, likelihood=rpp.Gaussian(0.3))
    half = {"warmup": 20 if quick else 50, "draws": 20 if quick else 50}
    half["thinning"] = max(1, epochs * -(-n // 128) // 2 // sum(half.values()))
    first = rpp.DeepEnsemble(epochs // 2, members=MEMBERS)
    runs: dict[str, list[rpp.inference.Method]] = {
        f"DeepEnsemble, {epochs} epochs": [rpp.DeepEnsemble(epochs, members=MEMBERS)],
        f"DeepEnsemble, {2 * epochs} epochs": [rpp.DeepEnsemble(2 * epochs, members=MEMBERS)],
        f"DeepEnsemble, {2 * MEMBERS} members, {epochs} epochs": [rpp.DeepEnsemble(epochs, members=2 * MEMBERS)],
        f"{epochs // 2} epochs, then SGLD": [first, rpp.SGLD(MEMBERS, **half)],
        f"{epochs // 2} epochs, then SGHMC": [first, rpp.SGHMC(MEMBERS, **half)],
        f"{epochs // 2} epochs, then SGHMC in 2 cycles": [first, rpp.SGHMC(MEMBERS, **_parts(half, 2), cycles=2)],
    }
    return [_row(label, methods, model, x, y, held) for label, methods in runs.items()]


def _parts(numbers: dict[str, int], cycles: int) -> dict[str, int]:
    """Warm-ups that are shorter, as there are more of them."""
    return numbers | {"warmup": max(20, numbers["warmup"] // cycles)}


def _data(n: int, seed: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=(n, 4))
    truth = np.sin(6 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] + np.abs(x[:, 3:])
    return x, truth, truth + 0.3 * rng.normal(size=(n, 1))


def _row(label: str, methods: list[Any], model: rpp.Model, x: Any, y: Any, held: tuple[Any, Any, Any]) -> Row:
    began, post = time.process_time(), None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)
        for method in methods:
            post = rpp.fit(model, x, y, method, engine="numpyro", init=post, progress=False)
    seconds = time.process_time() - began
    assert post is not None
    x, truth, y = held
    f = post.outputs(x)[..., 0].reshape(-1, len(x)).astype(np.float64)
    found = {"CPU s": seconds, "NLL": -float(post.log_predictive(x, y).mean())}
    found["RMSE of the function"] = float(np.sqrt(((f.mean(axis=0) - truth[:, 0]) ** 2).mean()))
    for share in (0.5, 0.9):
        low, high = np.quantile(f, [(1 - share) / 2, (1 + share) / 2], axis=0)
        found[f"coverage of the function, {share:.0%}"] = float(((low <= truth[:, 0]) & (truth[:, 0] <= high)).mean())
    predicted = post.predict(x, samples=False)
    found["coverage of observations, 90%"] = float((np.abs(y - predicted.mean) < 1.645 * predicted.std).mean())
    return Row(f"{len(post.x)} examples: {label}", found["NLL"], unit="nats", figures=found)
