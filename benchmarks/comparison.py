"""`compare_symmetries` by networks, from nothing to the verdict: three candidates, 250 examples, three outputs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import bayes_rpp as rpp
from benchmarks.rows import Row

GROUPS = {"none": rpp.Trivial(3), "SO(2)": rpp.SO(2) * rpp.Trivial(1), "SO(3)": rpp.SO(3)}
NARROW = 3 * rpp.Scalar + 2 * rpp.Vector + rpp.T(2)


def comparison(quick: bool = False) -> list[Row]:
    """By a narrow hidden layer, and by the default."""
    if quick:
        method = rpp.Laplace(evidence="maximize", epochs=2, batch_size=None, draws=50, polish=2)
        return [_row("narrow", 20, channels=rpp.Scalar + rpp.Vector, method=method, starts=1)]
    return [_row("narrow", 250, channels=NARROW), _row("default", 250)]


def _row(name: str, examples: int, **options: Any) -> Row:
    """Of data that SO(2) about the third axis keeps, and SO(3) does not."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(examples, 7))
    s, v, w = x[:, :1], x[:, 1:4], x[:, 4:]
    y = v / (1 + np.exp(-2 * s)) + 0.5 * np.cross(v, w) + 0.5 * v * [0, 0, 1] + 0.1 * rng.normal(size=(examples, 3))
    ends, start = {"rep_in": rpp.Scalar + 2 * rpp.Vector, "rep_out": rpp.Vector}, time.process_time()
    found = rpp.compare_symmetries(x, y, GROUPS, **ends, **options, progress=False)
    took = time.process_time() - start
    figures = {"models": len(found.scores), "weights": max(c.net.size for c in found.candidates.values())}
    return Row(f"compare_symmetries, {examples} x 3, {name} layer", took, 60, unit="CPU s", figures=figures)
