"""The contracts as tests, for what other packages add: our own subspaces, networks, likelihoods and methods pass them.

Each check raises AssertionError that says which part of the contract does not hold. None needs pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.testing.likelihood import check_likelihood
    from bayes_rpp.testing.method import check_method
    from bayes_rpp.testing.network import check_network
    from bayes_rpp.testing.parametrization import check_parametrization
    from bayes_rpp.testing.problems import LinearProblem
    from bayes_rpp.testing.subspace import check_subspace
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "testing.likelihood": "check_likelihood",
            "testing.method": "check_method",
            "testing.network": "check_network",
            "testing.parametrization": "check_parametrization",
            "testing.problems": "LinearProblem",
            "testing.subspace": "check_subspace",
        },
    )

__all__ = [
    "LinearProblem",
    "check_likelihood",
    "check_method",
    "check_network",
    "check_parametrization",
    "check_subspace",
]
