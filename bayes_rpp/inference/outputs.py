"""Outputs of a posterior's draws: of the network, or of the network linearised around a centre."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models import Model
from bayes_rpp.networks.network import Network

CHUNK = 2000  # rows at a time, so that a long x does not need memory for all its hidden layers
STEP = 1e-4  # of the way from the centre to a draw, in central differences


def evaluate(
    model: Model, samples: Mapping[str, NDArray], x: NDArray, centre: Mapping[str, NDArray] | None = None
) -> NDArray:
    """Outputs of each draw, (chain, draw, n, d_out); of the network linearised around a centre, if one is given."""
    net = model.net
    chains, draws = samples[next(iter(net.parameters))].shape[:2]
    dtype = samples[next(iter(net.parameters))].dtype
    found = np.empty((chains, draws, len(x), net.rep_out.size), dtype=dtype)
    x = x.astype(dtype, copy=False)
    for start, c in itertools.product(range(0, len(x), CHUNK), range(chains)):
        rows, around = x[start : start + CHUNK], centre_of(model, centre, c)
        middle = None if around is None else net(around, rows.astype(np.float64))
        for d in range(draws):
            params = {k: samples[k][c, d] for k in net.parameters}
            f = net(params, rows) if around is None else linearised(net, around, params, rows, middle)
            found[c, d, start : start + CHUNK] = f
    return found


def centre_of(model: Model, centre: Mapping[str, NDArray] | None, chain: int) -> Mapping[str, NDArray] | None:
    """The weights that a chain is linearised around, (*shape) each; None without any."""
    if centre is None:
        return None
    return {k: w if w.shape == model.net.parameters[k].shape else w[chain] for k, w in centre.items()}


def centres(model: Model, centre: Mapping[str, NDArray], chains: int) -> dict[str, NDArray]:
    """The same of all chains, (chain, *shape)."""
    return {k: np.broadcast_to(w, (chains, *model.net.parameters[k].shape)) for k, w in centre.items()}


def linearised(
    net: Network,
    centre: Mapping[str, NDArray],
    params: Mapping[str, NDArray],
    x: NDArray,
    middle: NDArray | None = None,
) -> NDArray:
    """f(W_0) + J (W - W_0), the derivative along W - W_0 by a central difference in float64: exact to some 1e-8.

    Args:
        centre, params: W_0 and W.
        middle: f(W_0), if it is known.
    """
    x = np.asarray(x, dtype=np.float64)
    move = {k: STEP * (np.asarray(params[k], dtype=np.float64) - centre[k]) for k in net.parameters}
    ahead, behind = ({k: centre[k] + s * m for k, m in move.items()} for s in (1, -1))
    middle = net(centre, x) if middle is None else middle
    return middle + (net(ahead, x) - net(behind, x)) / (2 * STEP)
