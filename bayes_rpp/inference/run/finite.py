"""Why a log density is not finite at some weights: which weights, which examples, or which number's prior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.engines.base import get_engine
from bayes_rpp.inference.run.task import Task
from bayes_rpp.models.outputs import evaluate
from bayes_rpp.priors.pathway import ResidualPathway

LIMIT = float(np.finfo(np.float32).max)  # engines compute in float32


def why_not_finite(task: Task, weights: Mapping[str, NDArray], member: int) -> str | None:
    """What is wrong with weights and numbers (members, ...) of one member, and what would do; None if nothing is."""
    values = {k: np.asarray(v[member], dtype=np.float64) for k, v in weights.items()}
    with np.errstate(all="ignore"):
        return _arrays(task, values) or _outputs(task, values) or _priors(task, values)


def in_float32(task: Task) -> str:
    """What to say where each part is finite by itself."""
    x, y = (float(np.nanmax(np.abs(a))) for a in (task.x, task.y))
    return (
        f"numbers overflow on the way in float32 (x is up to {x:.2g}, y up to {y:.2g}, the likelihood "
        f"{task.model.likelihood}); {_advice(task)}"
    )


def _advice(task: Task) -> str:
    start = "weights that predict y roughly" if task.weights is None else "smaller weights"
    return f"x and y scaled to about 1, or {start} as init, would do"


def _arrays(task: Task, values: Mapping[str, NDArray]) -> str | None:
    """Weights and data that float32 cannot hold."""
    for name, a in (
        {"x": task.x, "y": np.nan_to_num(task.y)} | {k: values[k] for k in task.model.net.parameters}
    ).items():
        if not np.abs(a).max(initial=0.0) <= LIMIT:
            advice = "scaled to about 1" if name in "xy" else "smaller weights as init"
            return f"{name} has numbers beyond {LIMIT:.2g}, the largest of float32; {advice} would do"
    return None


def _outputs(task: Task, values: Mapping[str, NDArray]) -> str | None:
    """Examples without a finite output or likelihood."""
    model, n = task.model, len(task.x)
    params = {k: values[k].astype(np.float32) for k in model.net.parameters}
    f = evaluate(model, {k: w[None, None] for k, w in params.items()}, task.x.astype(np.float32))[0, 0]
    largest = max(float(np.abs(w).max(initial=0.0)) for w in params.values())
    if (bad := np.flatnonzero(~np.isfinite(f).all(axis=1))).size:
        size = float(np.abs(task.x[bad[0]]).max())
        return (
            f"the network's output is not finite at {bad.size} of {n} examples (first: row {bad[0]}, where x is up to "
            f"{size:.2g}) with weights of up to {largest:.2g}; {_advice(task)}"
        )
    numbers = {k: values[k] for k in model.likelihood.latents}
    logp = model.likelihood.log_prob(f, task.y, numbers)
    if (bad := np.flatnonzero(~(np.abs(logp) <= LIMIT / n))).size:
        row = bad[0]
        given = "".join(f", {k} {float(v):.2g}" for k, v in numbers.items())
        return (
            f"log p(y | x) of {model.likelihood} is {_shown(logp[row])} at {bad.size} of {n} examples (first: row "
            f"{row}, where y is {_largest(task.y[row])} and the network's output {_largest(f[row])}{given}); "
            f"{_advice(task)}"
        )
    return None


def _priors(task: Task, values: Mapping[str, NDArray]) -> str | None:
    """Weights and numbers without a prior density."""
    model, engine = task.model, get_engine(task.engine)
    for k, p in model.latents.items():
        value = np.asarray(values[k])
        found = float(p.distribution(engine).log_prob(engine.array(value)))
        if not abs(found) <= LIMIT:
            given = ", ".join(f"{name}={v:g}" for name, v in p.arguments.items())
            return (
                f"the prior of {k}, {p.family}({given}), has the log density {_shown(found)} at {float(value):.2g}; "
                f"init without {k}, or with a number near {p.start:.2g}, would do"
            )
    for name in model.sites:
        prior = model.prior(name, {k: values[k] for k in model.latents})
        square = _square(prior, values[name])
        if not square <= LIMIT:
            return (
                f"the prior of {name} has the log density -inf at weights of up to {_largest(values[name])} (its "
                f"standard deviations are {prior.sigma_inside:.2g} within the symmetry, {prior.sigma_b:.2g} outside); "
                "init within what the prior allows, or larger sigmas, would do"
            )
    return None


def _square(prior: ResidualPathway, w: NDArray) -> float:
    """|eps|^2 of the weights."""
    eps: Any = prior.strict().whiten(prior.support.encode(w)) if prior.is_strict else prior.whiten(w)
    return float(np.sum(np.asarray(eps, dtype=np.float64) ** 2))


def _largest(a: NDArray) -> str:
    return f"{float(np.asarray(a).flat[np.abs(a).argmax()]):.2g}"


def _shown(value: Any) -> str:
    return "nan" if np.isnan(value) else f"{'-' if value < 0 else ''}inf"
