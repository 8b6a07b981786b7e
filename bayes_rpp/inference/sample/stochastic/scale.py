"""What both engines share of stochastic gradients: weights of averages, phases of the warm-up, and the noise to inject.

Arrays may be numpy's, torch's or JAX's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.inference.methods import GENTLE, RATE
from bayes_rpp.inference.run.sites import Sites
from bayes_rpp.inference.run.task import Task

OPTIMIZING = 0.2  # of a warm-up
HOT = 0.3  # rate of the first steps of a cycle, which are to leave a mode
RECENT = 4  # averages are over the last quarter of the steps so far
CORRECTED = 0.5  # share of the gradients' noise that is taken off the injected one
LEAST = 0.05  # of the injected noise's variance that always remains
LOST = 1e3  # times its usual mean square, above which a gradient is out of all proportion
MEMORY = 1 - 1 / 75  # of the average of steps taken back
OFTEN, SHORTER = 0.2, 0.7  # a chain of which so many steps are taken back goes on with steps so much shorter


def first_rate(task: Task) -> float:
    """Of the normalised steps that optimize, in the units of `units`; smaller from weights that are given."""
    return RATE if task.weights is None else GENTLE


def units(sites: Sites, shapes: Mapping[str, tuple[int, ...]]) -> NDArray:
    """(entries of all sites,) the scale of each, as of an optimizer's steps."""
    return np.concatenate([np.full(math.prod(shape), sites.steps[k]) for k, shape in shapes.items()])


def weight(step: Any) -> Any:
    """Of the newest in the averages."""
    return RECENT / (step + RECENT)


def scale_of(square: Any, units: Any) -> Any:
    """P, from the mean square of the gradient; at most a unit's square, where there is hardly any."""
    return 1 / (1 / units**2 + square)


def gradient_noise(square: Any, cross: Any, whole: bool) -> Any:
    """Variance of a minibatch's gradient around that of all data: consecutive ones share the latter alone."""
    return 0 * square if whole else (square - cross).clip(0)


def cooled(noise: Any, step_size: Any, friction: float) -> Any:
    """beta, such that the injected noise has the variance step_size (2 friction - step_size beta); `noise` is in units
    in which the gradient's mean square is one."""
    most = 2 * friction * (1 - LEAST) / step_size
    return most * (CORRECTED * noise / most).clip(0, 1)


def cosine(step: Any, steps: Any, cos: Any = math.cos) -> Any:
    """From one to zero."""
    return 0.5 * (1 + cos(math.pi * step / steps))
