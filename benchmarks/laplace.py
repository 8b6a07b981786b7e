"""Laplace's method: a first and a second fit of the same shapes, and the evidence with its gradient against matrices of
the weights."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky

import bayes_rpp as rpp
from bayes_rpp.inference.curvature.full import WeightSpace
from bayes_rpp.inference.curvature.linearisation import Coordinates, Linearization
from benchmarks.rows import Row, inertia, medians


def laplace(quick: bool = False) -> list[Row]:
    rows = []
    examples, width = (20, 8) if quick else (200, 64)
    for engine in ("numpyro", "pyro"):
        import_module(f"bayes_rpp.inference.laplace.{engine}")
        first, second = _fits(engine, examples, width)
        name = f"Laplace of 2 epochs, {width} x 2, {examples} examples, {engine}"
        rows.append(Row(f"{name}: first fit", first, 6, unit="CPU s"))
        rows.append(Row(f"{name}: second fit, other seed and data", second, 1, unit="CPU s"))
    return [*rows, _gradient(*((20, 8) if quick else (300, 16)))]


def _fits(engine: Any, examples: int, width: int) -> list[float]:
    model, times = rpp.Model(inertia(channels=width, layers=2)), []
    for seed in (0, 1):
        data, start = rpp.datasets.inertia(examples, seed=seed), time.process_time()
        method = rpp.Laplace(epochs=2)
        rpp.fit(model, data.x, data.y, method, engine=engine, seed=seed, progress=False)
        times.append(time.process_time() - start)
    return times


def _gradient(examples: int, width: int) -> Row:
    """At new values of sigmas and noise each time, as while they are tuned, with fewer weights than outputs."""
    from bayes_rpp.inference.curvature.numpyro import jacobian

    half_normal = rpp.Prior("HalfNormal", {"scale": 0.1})
    net, data = inertia(channels=width, layers=1), rpp.datasets.inertia(examples)
    model = rpp.Model(net, sigma_b=rpp.PerLayer(half_normal), likelihood=rpp.Gaussian(half_normal))
    rng, names = np.random.default_rng(0), list(net.parameters)
    weights = {k: p.color(rng.normal(size=p.shape)) for k, p in model.priors.items()}
    at = Linearization(model, data.x, data.y, weights, Coordinates(model, names), jacobian(net, names))
    curvature, j = WeightSpace(at), at.jacobian.reshape(-1, net.size)
    product = j.T @ j

    def numbers() -> dict[str, float]:
        return {k: float(p.start * np.exp(0.1 * rng.normal())) for k, p in model.latents.items()}

    def ours() -> None:
        curvature.gradient(some := numbers(), some, True)

    def by_weights() -> None:
        """H, its factor and inverse, and the covariance of the outputs: what the same takes there."""
        some, color = numbers(), at.coordinates.color
        h = color(color(product, some).T, some) / some["noise"] ** 2 + np.eye(net.size)
        inverse = cho_solve((lower := cholesky(h, lower=True), True), np.eye(net.size))
        colored = color(j, some)
        assert np.isfinite(np.log(lower.diagonal()).sum() + ((colored @ inverse) * colored).sum())

    fast, slow = medians([ours, by_weights], 9)
    figures = {"by weights, ms": slow * 1e3, "ours, ms": fast * 1e3}
    name = f"evidence and gradient, {len(j)} outputs, {net.size} weights: by weights / ours"
    return Row(name, slow / fast, 5, least=True, figures=figures)
