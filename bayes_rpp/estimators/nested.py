"""Numbers of a method or of a distribution as parameters of the estimator that holds it: `method__epochs`.

Both are frozen, so that where scikit-learn changes a nested object in place, the estimator takes another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bayes_rpp.inference.methods import Method
from bayes_rpp.priors.hyper import PerLayer, Prior

EXAMPLES = {"method": "MAP()", None: "Prior('HalfNormal', {'scale': 1.0})"}


def numbers_of(value: Any) -> dict[str, Any]:
    """Name -> value of what may be set in a parameter; empty where it has nothing inside."""
    if isinstance(value, Method):
        return value.get_params()
    if isinstance(value, PerLayer):
        return dict(Prior.of(value.distribution, "value").arguments)
    return dict(Prior.of(value, "value").arguments) if _is_distribution(value) else {}


def with_numbers(value: Any, changes: Mapping[str, Any], name: str) -> Any:
    """A parameter with some of its numbers changed.

    Raises:
        ValueError: naming the one that it does not have and what would do, or that is out of range.
    """
    known = numbers_of(value)
    for k in changes:
        if not known:
            example = EXAMPLES["method" if name == "method" else None]
            raise ValueError(f"{name} must have {k} for {name}__{k} to set, got {value!r}; {name}={example} would do")
        if k not in known:
            kind = type(value).__name__ if isinstance(value, Method) else "the distribution"
            able = ", ".join(f"{name}__{other}" for other in known)
            raise ValueError(f"{name} must have {k} for {name}__{k} to set, got {kind}; {able} would do")
    if isinstance(value, Method):
        return replace(value, **changes)
    if isinstance(value, PerLayer):
        return replace(value, distribution=with_numbers(value.distribution, changes, name))
    prior = Prior.of(value, name)
    return Prior(prior.family, {**prior.arguments, **changes})


def _is_distribution(value: Any) -> bool:
    return isinstance(value, Prior) or (hasattr(value, "log_prob") and hasattr(value, "arg_constraints"))
