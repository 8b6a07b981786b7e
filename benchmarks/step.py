"""A training step on the inertia task against the plain network's of the same width, on NumPyro."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import bayes_rpp as rpp
from bayes_rpp.networks.bilinear import Bilinear
from benchmarks.rows import Row, Training, compiled, inertia, medians


def step(quick: bool = False) -> list[Row]:
    size = {"channels": 32, "layers": 1} if quick else {}
    mlp = Training(inertia(rpp.MLP, **size))
    ours = {kind: Training(inertia(bilinear=kind, **size)) for kind in ("channelwise", "full", False)}
    first, *seconds = medians([mlp, *ours.values()], 2 if quick else 9)
    width, rows = size.get("channels", 384), []
    names = ("channelwise bilinear layers", "full bilinear layers", "no bilinear layers")
    for name, target, each in zip(names, (2.5, 4, 1.8), seconds, strict=True):
        figures: dict[str, Any] = {"MLP, ms": first * 200, "RPP-EMLP, ms": each * 200}
        rows.append(Row(f"step of RPP-EMLP / MLP, width {width}, {name}", each / first, target, figures=figures))
    return [*rows, _bilinear(32 if quick else 384)]


def _bilinear(width: int) -> Row:
    """The full bilinear layer with its gradient, batch 500, against a matrix W(x) for each example."""
    layer = Bilinear(rpp.networks.uniform_rep(width, rpp.O(3))(rpp.O(3)))
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(500, layer.rep.size)), dtype=jnp.float32)
    thetas = [jnp.asarray(rng.normal(size=s), dtype=jnp.float32) for s in layer.shapes]
    copies, sizes = layer.layout.copies, layer.layout.sizes

    def matrices(thetas: Any, x: Any) -> Any:
        parts = {t: v.reshape(len(x), copies[t], sizes[t]) for t, v in layer.layout.split(x, -1).items()}
        found = {t: jnp.zeros_like(v) for t, v in parts.items()}
        for path, theta in zip(layer.paths, thetas, strict=True):
            a, b, k = copies[path.out], copies[path.into], path.count
            maps = parts[path.kind][:, path.first : path.first + k]
            maps = maps.reshape(len(x), k, *path.shape).transpose(0, 1, *(i + 2 for i in path.axes))
            maps = maps.reshape(len(x), k, sizes[path.out], sizes[path.into])
            each = jnp.einsum("akb,nkpq->napbq", theta.reshape(a, k, b), maps)
            found[path.out] += jnp.einsum("napbq,nbq->nap", each, parts[path.into])
        return layer.layout.merge({t: v.reshape(len(x), -1) for t, v in found.items()}, -1)

    def loss(f: Any) -> Any:
        return compiled(jax.value_and_grad(lambda *a: (f(*a) ** 2).sum(), argnums=(0, 1)), thetas, x)

    # One after the other: the matrices take so much memory that it is returned to the system and asked for again.
    (ours,), (theirs,) = (medians([loss(f)], 3) for f in (layer, matrices))
    figures = {"contraction, ms": ours * 1e3, "matrices, ms": theirs * 1e3}
    return Row("full bilinear layer: a matrix for each example / ours", theirs / ours, None, figures=figures)
