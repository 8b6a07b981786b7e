"""Groups and representations: `rpp.groups`. All but the readers of text are names of bayes_rpp itself, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.symmetry.groups import SL, SO, D, Group, Lorentz, O, S, Sp, Trivial, Z
    from bayes_rpp.symmetry.parse import parse_group, parse_rep
    from bayes_rpp.symmetry.representations import Pseudoscalar, Regular, Rep, Scalar, T, Vector
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "symmetry.groups": "SL SO D Group Lorentz O S Sp Trivial Z",
            "symmetry.parse": "parse_group parse_rep",
            "symmetry.representations": "Pseudoscalar Regular Rep Scalar T Vector",
        },
    )

__all__ = [
    "D", "Group", "Lorentz", "O", "Pseudoscalar", "Regular", "Rep", "S", "SL", "SO", "Scalar", "Sp", "T", "Trivial",
    "Vector", "Z", "parse_group", "parse_rep",
]  # fmt: skip
