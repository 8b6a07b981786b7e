"""The prior's log_prob with its gradient, in both libraries, against their own multivariate normals."""

from __future__ import annotations

import time
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
        "a dense basis": rpp.DenseSubspace((side, side), rng.normal(size=(n, rank))),
        "equivariant maps": _equivariant(quick),
    }
    rows = []
    for engine, runs in (("NumPyro", _numpyro), ("Pyro", _pyro)):
        for kind, subspace in subspaces.items():
            ours, low_rank, dense = runs(subspace)
            a, b = medians([ours, low_rank], 5 if quick else 25)
            c = medians([dense], 1)[0]
            shape = f"n={subspace.size}, r={subspace.rank}, {kind}, {engine}"
            figures = {"ours, ms": a * 1e3}
            low = figures | {"theirs, ms": b * 1e3}
            rows.append(Row(f"LowRankMultivariateNormal / ours, {shape}", b / a, 50, True, figures=low))
            figures |= {"theirs, ms": c * 1e3}
            rows.append(Row(f"MultivariateNormal / ours, {shape}", c / a, 1000, True, figures=figures))
        options = LARGE | {"input_size": (6, 6)} if quick else LARGE
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:  # its memory is its own
            size, seconds, memory = fresh.submit(_large, engine, options).result()
        figures = {"first call, s": seconds}
        rows.append(Row(f"convolution, n={size:.3g}, {engine}", memory, 2, unit="GB", figures=figures))
    return rows


def _equivariant(quick: bool) -> rpp.Subspace:
    """The rank that a group leaves, from O(3) maps between 64 numbers."""
    rep = 4 * rpp.Scalar + 4 * rpp.Vector if quick else 4 * rpp.Scalar + 8 * rpp.Vector + 4 * rpp.T(2)
    return rpp.EquivariantSubspace(rep(rpp.O(3)), rep(rpp.O(3)))


def _numpyro(s: rpp.Subspace) -> list[Any]:
    import jax
    import jax.numpy as jnp
    import numpyro.distributions as dist

    q = jnp.asarray(s.basis(), dtype=jnp.float32)
    w = jnp.asarray(np.random.default_rng(0).normal(size=s.shape), dtype=jnp.float32)

    def ours(a: Any, b: Any, w: Any) -> Any:
        return rpp.ResidualPathway(s, a, b).numpyro().log_prob(w)

    def low_rank(a: Any, b: Any, w: Any) -> Any:
        return dist.LowRankMultivariateNormal(jnp.zeros(s.size), a * q, b**2 * jnp.ones(s.size)).log_prob(w.ravel())

    def dense(a: Any, b: Any, w: Any) -> Any:
        covariance = a**2 * q @ q.T + b**2 * jnp.eye(s.size)
        return dist.MultivariateNormal(jnp.zeros(s.size), covariance).log_prob(w.ravel())

    return [
        compiled(jax.value_and_grad(f, argnums=(0, 1, 2)), jnp.float32(1.0), jnp.float32(0.1), w)
        for f in (ours, low_rank, dense)
    ]


def _pyro(s: rpp.Subspace) -> list[Any]:
    import pyro.distributions as dist
    import torch

    q = torch.as_tensor(s.basis(), dtype=torch.float32)
    w = torch.as_tensor(np.random.default_rng(0).normal(size=s.shape), dtype=torch.float32).requires_grad_()
    a, b = (torch.tensor(v, requires_grad=True) for v in (1.0, 0.1))
    one, zero = torch.ones(s.size), torch.zeros(s.size)
    off = {"validate_args": False}

    def ours() -> Any:
        return rpp.ResidualPathway(s, a, b).pyro(**off).log_prob(w)

    def low_rank() -> Any:
        return dist.LowRankMultivariateNormal(zero, a * q, b**2 * one, **off).log_prob(w.reshape(-1))

    def dense() -> Any:
        return dist.MultivariateNormal(zero, a**2 * q @ q.T + b**2 * torch.eye(s.size), **off).log_prob(w.reshape(-1))

    return [lambda f=f: torch.autograd.grad(f(), (a, b, w)) for f in (ours, low_rank, dense)]


def _large(engine: str, options: dict[str, Any]) -> tuple[int, float, float]:
    """Number of weights, seconds of log_prob and gradient, peak memory of this process in GB."""
    start = time.perf_counter()
    s = rpp.ConvolutionSubspace(**options)
    w = np.random.default_rng(0).normal(size=s.shape).astype(np.float32)
    if engine == "NumPyro":
        import jax

        compiled(jax.value_and_grad(lambda w: rpp.ResidualPathway(s, 1.0, 0.1).numpyro().log_prob(w)), w)()
    else:
        import torch

        leaf = torch.as_tensor(w).requires_grad_()
        rpp.ResidualPathway(s, 1.0, 0.1).pyro().log_prob(leaf).backward()
    return s.size, time.perf_counter() - start, peak_memory()
