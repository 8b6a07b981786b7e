"""What a data set is here: arrays, how a group acts on them, and that group."""

from __future__ import annotations

from dataclasses import dataclass, field

from numpy.typing import NDArray

from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and outputs with their representations.

    Attributes:
        name: as shown in tables and pictures.
        x: (n, rep_in size) inputs.
        y: (n, rep_out size) outputs; where `classes` is set, (n, 1) classes 0 ... classes - 1, as Categorical wants.
        rep_in, rep_out: how the group acts on them; where `classes` is set, rep_out is that of the network's outputs,
            one for each class.
        group: the group whose symmetry the data has, almost has, or may have.
        input_shape: of one example that is an image, (channels, height, width), whose row-major order the columns of
            x keep: x.reshape(n, *input_shape). None for other inputs.
        classes: number of classes; None for regression.
        y_mean, y_scale: y * y_scale + y_mean is in the units of the data; numbers, or one for each column of y.
    """

    name: str
    x: NDArray = field(repr=False)
    y: NDArray = field(repr=False)
    rep_in: Rep
    rep_out: Rep
    group: Group
    input_shape: tuple[int, ...] | None = None
    classes: int | None = None
    y_mean: NDArray | float = 0.0
    y_scale: NDArray | float = 1.0
