"""The prior's log_prob with its gradient, in both libraries, against their own multivariate normals."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

import bayes_rpp as rpp
from benchmarks.rows import Row, compiled, medians, peak_memory

LARGE = {"in_channels": 10, "out_channels": 10, "kernel_size": 3, "input_size": (18, 18), "padding": 1}  # n = 1.05e7


def prior(quick: bool = False) -> list[Row]:
    n, rank = (64, 8) if quick else (4096, 64)
    rng = np.random.default_rng(0)
    side = int(n**0.5)
    subspaces = {
        "a dense basis": rpp.subspaces.DenseSubspace((side, side), rng.normal(size=(n, rank))),
        "equivariant maps": _equivariant(quick),
    }
    rows = []
    for engine, runs in (("NumPyro", _numpyro), ("Pyro", _pyro)):
        for kind, subspace in subspaces.items():
            rows += _rows(runs(subspace), f"n={subspace.size}, r={subspace.rank}, {kind}, {engine}", quick)
        options = LARGE | {"input_size": (6, 6)} if quick else LARGE
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:  # its memory is its own
            size, seconds, memory = fresh.submit(_large, engine, options).result()
        figures = {"first call, s": seconds}
        rows.append(Row(f"convolution, n={size:.3g}, {engine}", memory, 2, unit="GB", figures=figures))
    return rows


def _rows(runs: dict[str, list[Any]], shape: str, quick: bool) -> list[Row]:
    """With sigmas that are inferred a distribution is built in each step; with fixed ones once, before all.

    Each is called ten times in a row, as samplers and optimisers do, so that it finds its basis in the cache.
    """
    calls = 2 if quick else 10
    timed = [_repeated(run, calls) for run in (*runs["anew"], *runs["built"], *runs["building"])]
    found = [seconds / calls for seconds in medians(timed, 5 if quick else 15)]
    ours, low_rank, built, low_rank_built, building, low_rank_building = found
    (dense,) = medians(runs["dense"], 1)

    def row(name: str, a: float, b: float, target: float, **more: float) -> Row:
        figures = {"ours, ms": a * 1e3, "theirs, ms": b * 1e3} | more
        return Row(f"{name} / ours, {shape}", b / a, target, True, figures=figures)

    costs = {"building ours, ms": building * 1e3, "theirs, ms ": low_rank_building * 1e3}
    return [
        row("LowRankMultivariateNormal", ours, low_rank, 50, **costs),
        row("the same, built before, gradient of w alone: theirs", built, low_rank_built, 50),
        row("MultivariateNormal", ours, dense, 1000),
    ]


def _repeated(run: Callable[[], Any], times: int) -> Callable[[], Any]:
    def several() -> None:
        for _ in range(times):
            run()

    return several


def _equivariant(quick: bool) -> rpp.subspaces.Subspace:
    """The rank that a group leaves, from O(3) maps between 64 numbers."""
    rep = 4 * rpp.Scalar + 4 * rpp.Vector if quick else 4 * rpp.Scalar + 8 * rpp.Vector + 4 * rpp.T(2)
    return rpp.subspaces.EquivariantSubspace(rep(rpp.O(3)), rep(rpp.O(3)))


def _numpyro(s: rpp.subspaces.Subspace) -> dict[str, list[Any]]:
    import jax
    import jax.numpy as jnp
    import numpyro.distributions as dist

    q = jnp.asarray(s.basis(), dtype=jnp.float32)
    a, b = jnp.float32(1.0), jnp.float32(0.1)
    w = jnp.asarray(np.random.default_rng(0).normal(size=s.shape), dtype=jnp.float32)
    off = {"validate_args": False}

    def ours(a: Any, b: Any) -> Any:
        return rpp.ResidualPathway(s, a, b).numpyro(**off)

    def low_rank(a: Any, b: Any) -> Any:
        return dist.LowRankMultivariateNormal(jnp.zeros(s.size), a * q, b**2 * jnp.ones(s.size), **off)

    def dense(a: Any, b: Any) -> Any:
        return dist.MultivariateNormal(jnp.zeros(s.size), a**2 * q @ q.T + b**2 * jnp.eye(s.size), **off)

    def of(built: Any, w: Any) -> Any:
        return built.log_prob(w.reshape(built.event_shape))

    def anew(make: Any) -> Any:
        return compiled(jax.value_and_grad(lambda a, b, w: of(make(a, b), w), argnums=(0, 1, 2)), a, b, w)

    def before(make: Any) -> Any:
        built = make(a, b)
        return compiled(jax.value_and_grad(lambda w: of(built, w)), w)

    return {
        "anew": [anew(ours), anew(low_rank)],
        "built": [before(ours), before(low_rank)],
        "building": [compiled(make, a, b) for make in (ours, low_rank)],
        "dense": [anew(dense)],
    }


def _pyro(s: rpp.subspaces.Subspace) -> dict[str, list[Any]]:
    import pyro.distributions as dist
    import torch

    q = torch.as_tensor(s.basis(), dtype=torch.float32)
    w = torch.as_tensor(np.random.default_rng(0).normal(size=s.shape), dtype=torch.float32).requires_grad_()
    a, b = (torch.tensor(v, requires_grad=True) for v in (1.0, 0.1))
    one, zero = torch.ones(s.size), torch.zeros(s.size)
    off = {"validate_args": False}

    def ours(a: Any, b: Any) -> Any:
        return rpp.ResidualPathway(s, a, b).pyro(**off)

    def low_rank(a: Any, b: Any) -> Any:
        return dist.LowRankMultivariateNormal(zero, a * q, b**2 * one, **off)

    def dense(a: Any, b: Any) -> Any:
        return dist.MultivariateNormal(zero, a**2 * q @ q.T + b**2 * torch.eye(s.size), **off)

    def of(built: Any) -> Any:
        return built.log_prob(w.reshape(built.event_shape))

    def anew(make: Any) -> Any:
        return lambda: torch.autograd.grad(of(make(a, b)), (a, b, w))

    def before(make: Any) -> Any:
        built = make(a.detach(), b.detach())
        return lambda: torch.autograd.grad(of(built), w)

    return {
        "anew": [anew(ours), anew(low_rank)],
        "built": [before(ours), before(low_rank)],
        "building": [lambda: ours(a, b), lambda: low_rank(a, b)],
        "dense": [anew(dense)],
    }


def _large(engine: str, options: dict[str, Any]) -> tuple[int, float, float]:
    """Number of weights, seconds of log_prob and gradient, peak memory of this process in GB."""
    start = time.perf_counter()
    s = rpp.subspaces.ConvolutionSubspace(**options)
    w = np.random.default_rng(0).normal(size=s.shape).astype(np.float32)
    if engine == "NumPyro":
        import jax

        compiled(jax.value_and_grad(lambda w: rpp.ResidualPathway(s, 1.0, 0.1).numpyro().log_prob(w)), w)()
    else:
        import torch

        leaf = torch.as_tensor(w).requires_grad_()
        rpp.ResidualPathway(s, 1.0, 0.1).pyro().log_prob(leaf).backward()
    return s.size, time.perf_counter() - start, peak_memory()
