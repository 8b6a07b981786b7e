"""How time and memory of a training step grow with width, members, examples and rank: exponents of power laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import bayes_rpp as rpp
from benchmarks.rows import Row, Training, compiled, inertia, medians

Point = tuple[float, float]  # seconds of a step, GB that the compiled step works with (0: not asked)


def scaling(quick: bool = False) -> list[Row]:
    if quick:
        return _rows("width", (8, 16), lambda v: _step(inertia(channels=v, layers=1)), 2)
    members = inertia(channels=64)
    return [
        *_rows("width", (64, 128, 256, 512), lambda v: _step(inertia(channels=v))),
        *_rows("width, no bilinear", (64, 128, 256, 512), lambda v: _step(inertia(channels=v, bilinear=False))),
        *_rows("members, width 64", (2, 8, 32), lambda v: _step(members, members=v)),
        *_rows("batch, width 64", (125, 500, 2000), lambda v: _step(members, batch=v)),
        *_rows("rank, n=4096", (16, 64, 256), _prior),
    ]


def _rows(what: str, sizes: Sequence[int], make: Callable[[int], Any], repeats: int = 7) -> list[Row]:
    """Time and memory at each size, and least-squares exponents over all of them."""
    made = [make(size) for size in sizes]
    seconds = medians([run for run, _ in made], repeats)
    memory = [gb for _, gb in made]
    rows = []
    for name, unit, values in (("time", "ms", [s * 1e3 for s in seconds]), ("memory", "MB", [m * 1e3 for m in memory])):
        if min(values) > 0:
            exponent = float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
            figures = {f"{s}, {unit}": v for s, v in zip(sizes, values, strict=True)}
            rows.append(Row(f"exponent of {name} in {what}", exponent, figures=figures))
    return rows


def _step(net: rpp.networks.Network, **options: Any) -> tuple[Callable[[], Any], float]:
    training = Training(net, steps=1, **options)
    trainer = training.trainer
    batches, shared = trainer._epochs.arguments(training.batches, trainer._state[1][0].count)
    args = (trainer._state, batches, trainer._given), shared
    trainer._epoch = trainer._epoch.lower(*args).compile()  # once, where a call would compile it again
    found = trainer._epoch.memory_analysis()
    return training, (found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes) / 1e9


def _prior(rank: int) -> tuple[Callable[[], Any], float]:
    s = rpp.subspaces.DenseSubspace((64, 64), np.random.default_rng(0).normal(size=(4096, rank)))
    w = jnp.asarray(np.random.default_rng(1).normal(size=s.shape), dtype=jnp.float32)

    def log_prob(a: Any, b: Any, w: Any) -> Any:
        return rpp.ResidualPathway(s, a, b).numpyro().log_prob(w)

    return compiled(jax.value_and_grad(log_prob, argnums=(0, 1, 2)), 1.0, 0.1, w), 0.0
