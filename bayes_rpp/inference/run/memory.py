"""What training takes in memory, roughly, so that many members can be trained in parts that fit."""

from __future__ import annotations

from bayes_rpp.networks.network import Network

BYTES = 4e-9  # GB of a number in float32


def kept(net: Network) -> float:
    """GB that a member takes for as long as it is trained: coordinates of both pathways and their two moments, before
    an epoch, after it, and as numpy arrays."""
    return BYTES * 7 * sum(p.subspace.size + p.subspace.rank for p in net.parameters.values())


def at_work(net: Network, batch: int) -> float:
    """GB more while a member takes a step: its gradients and weights, and what enters and leaves each layer.

    Args:
        batch: examples in a step.
    """
    weights, signals = 0, 0
    for p in net.parameters.values():
        weights += 3 * p.subspace.size
        signals += p.subspace.rows + p.subspace.size // max(1, p.subspace.rows)
    return BYTES * (weights + 4 * batch * signals * net.capabilities.evaluations)


def evenly(count: int, most: float) -> int:
    """The size of the fewest parts of a whole that are no larger than `most`, and at least 1."""
    parts = -(-count // max(1, int(min(most, count))))
    return -(-count // parts)
