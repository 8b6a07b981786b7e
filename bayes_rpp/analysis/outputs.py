"""Outputs of a posterior's draws at many points: of a linearised network by its Jacobian, one pass for all draws."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._imports import load_module
from bayes_rpp.inference.curvature.linearisation import Coordinates, Linearization
from bayes_rpp.models.outputs import center_of, evaluate
from bayes_rpp.symmetry.equivariance import Probe
from bayes_rpp.symmetry.groups import Group

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior


def outputs_of(post: Posterior, x: NDArray, draws: int | None = None) -> NDArray:
    """(chain, draw, n, d_out) in float64 of the first draws (None: all) at (n, d_in) points."""
    samples = {k: v[:, :draws] for k, v in post.samples.items()}
    if post.center is None or not post.engine or find_spec(post.engine) is None:
        return evaluate(post.model, samples, x, post.center).astype(np.float64)
    names = list(post.model.net.parameters)
    coordinates = Coordinates(post.model, names)
    jacobian = load_module(f"bayes_rpp.inference.curvature.{post.engine}").jacobian(post.model.net, names)
    weights = coordinates.flat(samples)
    found = np.empty((*weights.shape[:2], len(x), post.model.net.rep_out.size))
    for chain, w in enumerate(weights):
        center = center_of(post.model, post.center, chain)
        assert center is not None
        moves = w - coordinates.flat(center)
        for start in range(0, len(x), len(post.x)):
            # As many rows as in the fit, so that its program serves.
            rows = x[np.arange(start, start + len(post.x)).clip(max=len(x) - 1)]
            at = Linearization(post.model, rows, post.y, center, coordinates, jacobian)
            for where, block in at.blocks():
                # One by one, so that rounding does not depend on how many draws there are.
                moved = np.stack([block.reshape(-1, block.shape[-1]) @ move for move in moves])
                f = at.f[where] + moved.reshape(-1, *block.shape[:2])
                there = slice(start + where.start, min(start + where.stop, len(x)))
                if there.start < there.stop:
                    found[chain, :, there] = f[:, : there.stop - there.start]
    return found


def errors_of(post: Posterior, x: NDArray, group: Group) -> NDArray:
    """`post.equivariance_error(x, group=group)`, (chain, draw, n)."""
    probe = Probe(x, post.model.rep_in, post.model.rep_out, group)
    probe.warn_if_empty()
    if post.stored:  # of functions, at both points together
        return post.measure(probe)
    here, moved = np.split(outputs_of(post, np.concatenate([probe.x, probe.moved])), 2, axis=2)
    return probe.gap(here, moved)
