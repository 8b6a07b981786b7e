"""Print tables of ratios: what the library does against the direct way of doing the same, in one run. The second table
is of effective draws per gradient, and takes some minutes; see `benchmarks.sampling`.

Usage: python -m benchmarks [repetitions]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from bayes_rpp import EquivariantSubspace, Group, O, ResidualPathway, T, datasets, uniform_rep
from bayes_rpp.networks.bilinear import Bilinear, _contract
from bayes_rpp.symmetry import solver
from benchmarks import sampling
from benchmarks.merged import merged

Case = tuple[str, str, Callable[[], Any], Callable[[], Any]]


def main(repetitions: int = 7) -> None:
    print("| what | against | this, ms | other, ms | ratio |\n| --- | --- | --- | --- | --- |")
    for make in (prior_density, bilinear_layer, invariants, merged):
        for what, other, ours, theirs in make():
            a, b = _median(ours, repetitions), _median(theirs, repetitions)
            print(f"| {what} | {other} | {a * 1e3:.3g} | {b * 1e3:.3g} | {b / a:.1f} |", flush=True)
    print()
    sampling.main()


def prior_density() -> list[Case]:
    """log_prob and its gradient with respect to W and the sigmas, compiled, float32."""
    s = EquivariantSubspace(uniform_rep(32, O(3))(O(3)), uniform_rep(32, O(3))(O(3)))
    q = jnp.asarray(s.basis(), dtype=jnp.float32)
    w = jnp.asarray(np.random.default_rng(0).normal(size=s.shape), dtype=jnp.float32)

    def ours(a: Any, b: Any, w: Any) -> Any:
        return ResidualPathway(s, a, b).numpyro().log_prob(w)

    def low_rank(a: Any, b: Any, w: Any) -> Any:
        return dist.LowRankMultivariateNormal(jnp.zeros(s.size), a * q, b**2 * jnp.ones(s.size)).log_prob(w.ravel())

    def dense(a: Any, b: Any, w: Any) -> Any:
        covariance = a**2 * q @ q.T + b**2 * jnp.eye(s.size)
        return dist.MultivariateNormal(jnp.zeros(s.size), covariance).log_prob(w.ravel())

    run = [_compiled(jax.value_and_grad(f, argnums=(0, 1, 2)), 1.0, 0.1, w) for f in (ours, low_rank, dense)]
    name = f"prior log_prob + gradient, n={s.size}, r={s.rank}"
    return [(name, "LowRankMultivariateNormal", run[0], run[1]), (name, "MultivariateNormal", run[0], run[2])]


def bilinear_layer() -> list[Case]:
    """The heaviest path of the inertia network's bilinear layer, batch 500, and its gradient."""
    layer = Bilinear(uniform_rep(384, O(3))(O(3)))
    layout, rng = layer.layout, np.random.default_rng(0)
    path = max(layer.paths, key=lambda p: layout.sizes[p.out] * layout.sizes[p.into] * layout.copies[p.into])
    a, b, k = layout.copies[path.out], layout.copies[path.into], path.count
    p, q = layout.sizes[path.out], layout.sizes[path.into]
    shapes = ((a, k, b), (500, k, p, q), (500, b, q))
    arrays = [jnp.asarray(rng.normal(size=s), dtype=jnp.float32) for s in shapes]

    def per_example(theta: Any, maps: Any, x: Any) -> Any:
        matrices = jnp.einsum("akb,nkpq->napbq", theta, maps)
        return jnp.einsum("napbq,nbq->nap", matrices, x)

    def loss(f: Any) -> Any:
        return jax.value_and_grad(lambda *args: (f(*args) ** 2).sum(), argnums=(0, 1, 2))

    run = [_compiled(loss(f), *arrays) for f in (_contract, per_example)]
    return [(f"bilinear path {(p, q)}, batch 500, with gradient", "a matrix for each example", *run)]


def invariants() -> list[Case]:
    """Solving from nothing, against the general null space of the same group without its name."""
    data = datasets.inertia(1)
    unnamed = Group(3, O(3).lie_algebra, O(3).discrete_generators)
    cases = [("T(2) -> T(3)", T(2), T(3)), ("T(3) -> T(3)", T(3), T(3)), ("inertia -> T(2)", data.rep_in, data.rep_out)]

    def solve(group: Group, rep_in: Any, rep_out: Any) -> Callable[[], Any]:
        def run() -> Any:
            solver._cache.clear()
            return EquivariantSubspace(rep_in(group), rep_out(group))

        return run

    return [(f"solve O(3) {n}", "general null space", solve(O(3), a, b), solve(unnamed, a, b)) for n, a, b in cases]


def _compiled(f: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    fast = jax.jit(f)
    return lambda: jax.block_until_ready(fast(*args))


def _median(run: Callable[[], Any], repetitions: int) -> float:
    run()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
