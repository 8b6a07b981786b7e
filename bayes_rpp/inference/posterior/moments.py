"""Mean and standard deviation over all draws from a part of them at a time.

Counts, means and sums of squared distances from the mean are put together as in Chan, Golub and LeVeque 1983 (Eq. 2.1),
which stays exact where the mean is large beside the spread.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.likelihood import Latents, Likelihood
from bayes_rpp.models.outputs import Block


class Moments:
    """Of numbers (...), from blocks (count, ...) of them; float64."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(()), np.zeros(())

    def add(self, block: NDArray) -> None:
        values = np.asarray(block, dtype=np.float64)
        count, mean = len(values), values.mean(axis=0)
        values = values - mean
        values *= values
        gap, total = mean - self.mean, self.count + count
        self.squares = self.squares + values.sum(axis=0) + gap**2 * (self.count * count / total)
        self.mean = self.mean + gap * (count / total)
        self.count = total

    @property
    def variance(self) -> NDArray:
        return self.squares / self.count


def predictive_moments(
    likelihood: Likelihood, latents: Latents, blocks: Iterable[Block], mean: NDArray, std: NDArray
) -> None:
    """Mean and standard deviation of new observations.

    Args:
        likelihood, latents: of the model, numbers (chain, draw).
        blocks: outputs of all draws, rows by rows, as `blocks` of outputs.py gives them.
        mean, std: (n, d_out), to be filled.
    """
    for _, some in groupby(blocks, key=lambda b: b.rows.start):
        moments, noise = Moments(), 0.0
        for b in some:
            moments.add(likelihood.mean(b.f))
            noise = noise + likelihood.variance(b.f, b.of(latents)).sum(axis=0, dtype=np.float64)
        mean[b.rows], std[b.rows] = moments.mean, np.sqrt(moments.variance + noise / moments.count)
