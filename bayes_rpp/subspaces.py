"""Subspaces of weights, what they are made of, and the solver of equivariant maps: `rpp.subspaces`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.priors.subspaces.base import DenseSubspace, EquivariantSubspace, FullSubspace, Subspace, ZeroSubspace
    from bayes_rpp.priors.subspaces.convolution import ConvolutionSubspace
    from bayes_rpp.priors.subspaces.nested import ComposedSubspace, NestedSubspace
    from bayes_rpp.priors.subspaces.span import SpanSubspace, band, block_pattern
    from bayes_rpp.priors.subspaces.sums import SumSubspace
    from bayes_rpp.symmetry.constraints import SolverError
    from bayes_rpp.symmetry.solver import equivariant_basis
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "priors.subspaces.base": "DenseSubspace EquivariantSubspace FullSubspace Subspace ZeroSubspace",
            "priors.subspaces.convolution": "ConvolutionSubspace",
            "priors.subspaces.nested": "ComposedSubspace NestedSubspace",
            "priors.subspaces.span": "SpanSubspace band block_pattern",
            "priors.subspaces.sums": "SumSubspace",
            "symmetry.constraints": "SolverError",
            "symmetry.solver": "equivariant_basis",
        },
    )

__all__ = [
    "ComposedSubspace", "ConvolutionSubspace", "DenseSubspace", "EquivariantSubspace", "FullSubspace",
    "NestedSubspace", "SolverError", "SpanSubspace", "Subspace", "SumSubspace", "ZeroSubspace", "band", "block_pattern",
    "equivariant_basis",
]  # fmt: skip
