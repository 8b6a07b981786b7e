"""Fits of a GaussianProcess: CPU seconds, and the evidence that they come to, of inertia under groups of two kinds."""

from __future__ import annotations

import time

import bayes_rpp as rpp
from benchmarks.rows import Row

TARGETS = {("O(3)", 100): 4.0, ("O(3)", 300): 20.0, ("SO(2)", 100): 1.0, ("SO(2)", 300): 5.0}


def functions(quick: bool = False) -> list[Row]:
    groups = {"O(3)": rpp.O(3), "SO(2)": rpp.SO(2) * rpp.Trivial(1)}
    return [_fit(name, group, n) for n in ((10,) if quick else (100, 300)) for name, group in groups.items()]


def _fit(name: str, group: rpp.Group, n: int) -> Row:
    data = rpp.datasets.inertia(n)
    gp, start = rpp.GaussianProcess(data.rep_in, data.rep_out, group), time.process_time()
    post = rpp.fit(gp, data.x, data.y, rpp.MAP(), progress=False)
    seconds = time.process_time() - start
    figures = {"log evidence": float(post.log_evidence)}
    return Row(f"functions, {name}, {n} examples", seconds, TARGETS.get((name, n)), unit="CPU s", figures=figures)
