"""Outputs of a posterior's draws: of the network, or of the network linearised around a centre."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.model import Model
from bayes_rpp.networks.network import Network

CHUNK = 2000  # rows at a time, so that a long x does not need memory for all its hidden layers
NUMBERS = 2**17  # outputs at a time, where not all are kept
STEP = 1e-4  # of the way from the centre to a draw, in central differences


@dataclass(frozen=True)
class Block:
    """Outputs f (draws, rows, d_out) of some draws of one chain at some rows of x."""

    chain: int
    draws: slice
    rows: slice
    f: NDArray

    def of(self, latents: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """The part of (chain, draw) arrays that belongs to these draws, (draws,)."""
        return {k: v[self.chain, self.draws] for k, v in latents.items()}


def evaluate(
    model: Model, samples: Mapping[str, NDArray], x: NDArray, center: Mapping[str, NDArray] | None = None
) -> NDArray:
    """Outputs of each draw, (chain, draw, n, d_out); of the network linearised around a centre, if one is given."""
    first = samples[next(iter(model.net.parameters))]
    found = np.empty((*first.shape[:2], len(x), model.net.rep_out.size), dtype=first.dtype)
    for b in blocks(model, samples, x, center):
        found[b.chain, b.draws, b.rows] = b.f
    return found


def blocks(
    model: Model, samples: Mapping[str, NDArray], x: NDArray, center: Mapping[str, NDArray] | None = None
) -> Iterator[Block]:
    """The same piece by piece, of about NUMBERS numbers each: all chains and draws at the first rows, then at the next
    ones."""
    net = model.net
    chains, draws = samples[next(iter(net.parameters))].shape[:2]
    dtype = samples[next(iter(net.parameters))].dtype
    x = x.astype(dtype, copy=False)
    rows = max(1, min(CHUNK, NUMBERS // net.rep_out.size))
    many = max(1, NUMBERS // (min(rows, max(1, len(x))) * net.rep_out.size))
    for start, c in itertools.product(range(0, len(x), rows), range(chains)):
        where, around = slice(start, min(start + rows, len(x))), center_of(model, center, c)
        middle = None if around is None else net(around, x[where].astype(np.float64))
        for first in range(0, draws, many):
            some = slice(first, min(first + many, draws))
            f = np.empty((some.stop - some.start, where.stop - where.start, net.rep_out.size), dtype=dtype)
            for i, d in enumerate(range(some.start, some.stop)):
                params = {k: samples[k][c, d] for k in net.parameters}
                f[i] = net(params, x[where]) if around is None else linearized(net, around, params, x[where], middle)
            yield Block(c, some, where, f)


def center_of(model: Model, center: Mapping[str, NDArray] | None, chain: int) -> Mapping[str, NDArray] | None:
    """The weights that a chain is linearised around, (*shape) each; None without any."""
    if center is None:
        return None
    return {k: w if w.shape == model.net.parameters[k].shape else w[chain] for k, w in center.items()}


def centers(model: Model, center: Mapping[str, NDArray], chains: int) -> dict[str, NDArray]:
    """The same of all chains, (chain, *shape)."""
    return {k: np.broadcast_to(w, (chains, *model.net.parameters[k].shape)) for k, w in center.items()}


def linearized(
    net: Network,
    center: Mapping[str, NDArray],
    params: Mapping[str, NDArray],
    x: NDArray,
    middle: NDArray | None = None,
) -> NDArray:
    """f(W_0) + J (W - W_0), the derivative along W - W_0 by a central difference in float64: exact to some 1e-8.

    Args:
        center, params: W_0 and W.
        middle: f(W_0), if it is known.
    """
    x = np.asarray(x, dtype=np.float64)
    move = {k: STEP * (np.asarray(params[k], dtype=np.float64) - center[k]) for k in net.parameters}
    ahead, behind = ({k: center[k] + s * m for k, m in move.items()} for s in (1, -1))
    middle = net(center, x) if middle is None else middle
    return middle + (net(ahead, x) - net(behind, x)) / (2 * STEP)
