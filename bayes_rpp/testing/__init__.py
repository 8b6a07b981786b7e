"""The contracts as tests, for what other packages add: our own subspaces, networks, likelihoods and methods pass them.

Each check raises AssertionError that says which part of the contract does not hold. None needs pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayes_rpp._imports import load_module

if TYPE_CHECKING:
    from bayes_rpp.testing.likelihood import check_likelihood
    from bayes_rpp.testing.method import check_method
    from bayes_rpp.testing.network import check_network
    from bayes_rpp.testing.problems import LinearProblem
    from bayes_rpp.testing.subspace import check_subspace

_HOMES = {
    "LinearProblem": "problems",
    "check_likelihood": "likelihood",
    "check_method": "method",
    "check_network": "network",
    "check_subspace": "subspace",
}
__all__ = ["LinearProblem", "check_likelihood", "check_method", "check_network", "check_subspace"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bayes_rpp.testing' has no attribute {name!r}")
    return getattr(load_module(f"bayes_rpp.testing.{_HOMES[name]}"), name)
