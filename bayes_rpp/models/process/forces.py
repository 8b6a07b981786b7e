"""Which outputs of a GaussianProcess are an energy, and which are its forces, minus its derivatives by x."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.normal import EnergyForces, Normal
from bayes_rpp.models.process.kinds import block_kinds
from bayes_rpp.symmetry.representations import Representation

ALIKE = 1e-8  # by which what forces do may differ from what rep_out says


@dataclass(frozen=True, eq=False)
class Forces:
    """Outputs that are one function and its derivatives.

    Attributes:
        columns: of x, by which the derivatives are taken.
        energy: whether the first output is the energy; else forces are all of them.
    """

    columns: NDArray[np.int_]
    energy: bool

    @property
    def places(self) -> slice:
        """Of the forces among the outputs."""
        return slice(int(self.energy), None)

    @property
    def constants(self) -> NDArray[np.float64]:
        """(d_out, d_out) the projector on what is added to the outputs with a constant: to the energy alone."""
        found = np.zeros(len(self.columns) + self.energy)
        found[: self.places.start] = 1.0
        return np.diag(found)


def forces_of(
    given: bool | Sequence[int], ins: Iterable[Representation], outs: Iterable[Representation]
) -> Forces | None:
    """What `conservative` of a GaussianProcess says.

    Args:
        ins, outs: rep_in and rep_out, bound to each of the groups.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    if given is False:
        return None
    ins, outs = tuple(ins), tuple(outs)
    size, outputs = ins[0].size, outs[0].size
    columns = np.arange(size) if given is True else _columns(given, size)
    scalars = block_kinds(ins, False).get("Scalar", columns[:0])
    if given is True and outputs == size and 0 < len(scalars) < size:
        moved = np.setdiff1d(columns, scalars).tolist()
        raise ValueError(
            "conservative must be the columns of x that have a force, as scalars among them may have one, or else the "
            f"first output is an energy, got True; {moved} would do"
        )
    energy = outputs == len(columns) + 1
    what = "rep_in" if given is True else "the columns of conservative"
    for before, after in zip(ins, outs, strict=True):
        g = before.group.sample(4, 0)
        moving, out = before.rho(g), after.rho(g)
        apart = np.delete(moving[:, columns], columns, axis=2)
        if np.abs(apart).max(initial=0.0) > ALIKE:
            raise ValueError(f"conservative must be columns that {before.group} keeps apart from others, got {given!r}")
        wanted = np.broadcast_to(np.eye(outputs), out.shape).copy()
        if energy or outputs == len(columns):
            wanted[:, outputs - len(columns) :, outputs - len(columns) :] = moving[:, columns[:, None], columns]
        if outputs not in (len(columns), len(columns) + 1) or np.abs(wanted - out).max() > ALIKE:
            raise ValueError(
                f"rep_out must be Scalar + that of {what}, for an energy and its forces, or that of {what}, for forces "
                f"alone, got {after.rep} of size {outputs} for {len(columns)} columns; conservative=False would do"
            )
    return Forces(columns, energy)


def check_noise(likelihood: Likelihood, forces: Forces | None) -> None:
    """Raise ValueError unless the noise of an energy and its forces is normal, and only theirs is of two sizes."""
    if forces is not None and not isinstance(likelihood, Normal):
        raise ValueError(
            f"likelihood must be Gaussian or EnergyForces where conservative is not False, got {likelihood!r}; "
            "Gaussian(0.1) would do"
        )
    if isinstance(likelihood, EnergyForces) and (forces is None or not forces.energy):
        raise ValueError(
            "likelihood must be EnergyForces only where conservative=True and rep_out has an energy before the forces, "
            f"got {likelihood!r}; Gaussian(0.1) would do"
        )


def _columns(given: Any, size: int) -> NDArray[np.int_]:
    found = np.asarray(given if np.ndim(given) == 1 else [])
    if found.dtype.kind not in "iu" or not len(found) or len(np.unique(found)) < len(found):
        raise TypeError(f"conservative must be True, False, or different columns of x, got {given!r}; True would do")
    if found.min() < 0 or found.max() >= size:
        raise ValueError(f"conservative must be columns of x from 0 to {size - 1}, got {given!r}; True would do")
    return found.astype(int)
