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
        y: (n, rep_out size) outputs.
        rep_in, rep_out: how the group acts on them.
        group: the group whose symmetry the data has, almost has, or may have.
    """

    name: str
    x: NDArray = field(repr=False)
    y: NDArray = field(repr=False)
    rep_in: Rep
    rep_out: Rep
    group: Group
