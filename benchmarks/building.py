"""From nothing to the first step, in a process of its own each time; and the solver against the general null space."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

import bayes_rpp as rpp
from bayes_rpp.symmetry import solver
from benchmarks.rows import Row, medians

# Imports first: they are the same for every library.
FIRST_STEP = """
import sys, time
from benchmarks.rows import Training, inertia, peak_memory
import bayes_rpp as rpp, bayes_rpp.inference.optimise.map.numpyro
cache = sys.argv[2]
if cache: rpp.inference.cache_compilations(cache)
import jax; jax.numpy.zeros(1).block_until_ready()
group, options = {"O": rpp.O, "SL": rpp.SL}[sys.argv[1]](3), eval(sys.argv[3])
wall, start = time.perf_counter(), time.process_time()
net = inertia(group=group, **options)
built = time.process_time() - start
training = Training(net, steps=1)
training()
print(built, time.process_time() - start, time.perf_counter() - wall, peak_memory())
"""
SOLVE = """
import time, bayes_rpp as rpp
from benchmarks.rows import peak_memory
start = time.process_time()
q = rpp.subspaces.equivariant_basis(rpp.{0}, rpp.{1})
print(q.shape[1], time.process_time() - start, peak_memory())
"""


def building(quick: bool = False) -> list[Row]:
    rows = []
    options = {"channels": 16, "layers": 1} if quick else {}
    for group in ("O",) if quick else ("O", "SL"):
        tries = [_process(FIRST_STEP, group, "", repr(options)) for _ in range(1 if quick else 3)]
        built, first, wall, memory = (float(v) for v in np.median(tries, axis=0))
        figures = {"by the clock, s": wall, "of which solving, s": built, "memory, GB": memory}
        rows.append(Row(f"inertia network, {group}(3), to the first step", first, 5, unit="CPU s", figures=figures))
    with tempfile.TemporaryDirectory() as cache:
        first, again = (_process(FIRST_STEP, "O", cache, repr(options))[1] for _ in range(2))
    figures = {"from the cache, s": again, "compiled, s": first}
    rows.append(Row("O(3) again, programs kept / compiled", again / first, figures=figures))
    sizes = [("T(2)(rpp.S(5))", "T(2)(rpp.S(5))", 15, 2.0)]
    if not quick:
        sizes = [
            ("T(2)(rpp.S(20))", "T(2)(rpp.S(20))", 15, 2.0),
            ("T(3)(rpp.SO(3))", "T(4)(rpp.SO(3))", 36, None),
        ]
    for rep_in, rep_out, rank, limit in sizes:
        found, seconds, memory = _process(SOLVE.format(rep_in, rep_out))
        name = f"solve {rep_in.replace('rpp.', '')} -> {rep_out.replace('rpp.', '')}"
        rows.append(Row(name, seconds, limit, unit="s", figures={"rank": found, "memory, GB": memory}))
        rows.append(Row(f"{name}: rank less the right one, {rank}", abs(found - rank), 0))
    most = max(r.figures["memory, GB"] for r in rows if "memory, GB" in r.figures)
    rows.append(Row("memory of all of these", most, 2, unit="GB"))
    return rows + _solver(quick)


def _solver(quick: bool) -> list[Row]:
    data, named = rpp.datasets.inertia(1), rpp.O(3)
    unnamed = rpp.Group(3, named.lie_algebra, named.discrete_generators)
    cases = [("T(2) -> T(3)", rpp.T(2), rpp.T(3))]
    if not quick:
        cases += [("T(3) -> T(3)", rpp.T(3), rpp.T(3)), ("inertia -> T(2)", data.rep_in, data.rep_out)]

    def solve(group: rpp.Group, rep_in: Any, rep_out: Any) -> Callable[[], Any]:
        def run() -> Any:
            solver._cache.clear()
            return rpp.subspaces.EquivariantSubspace(rep_in(group), rep_out(group))

        return run

    rows = []
    for name, rep_in, rep_out in cases:
        ours, general = medians([solve(named, rep_in, rep_out), solve(unnamed, rep_in, rep_out)], 3)
        figures = {"ours, ms": ours * 1e3, "general, ms": general * 1e3}
        rows.append(Row(f"solve O(3) {name}: general null space / ours", general / ours, figures=figures))
    return rows


def _process(code: str, *args: str) -> list[float]:
    """Numbers that Python code prints."""
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [float(v) for v in done.stdout.split()]
