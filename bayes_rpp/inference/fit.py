"""`fit`: the one verb. It checks what it is given and hands the task to the method's file in the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.inference.methods import Method
from bayes_rpp.inference.posterior import Posterior
from bayes_rpp.inference.task import Callback, Data, Task, check_data, check_method
from bayes_rpp.models import Model

ENGINES = {"numpyro": "numpyro", "pyro": "pyro-ppl"}


def fit(
    model: Model,
    x: Any,
    y: Any,
    method: Method,
    *,
    engine: str | None = None,
    seed: int = 0,
    init: Posterior | Mapping[str, NDArray] | None = None,
    callbacks: Sequence[Callback] | Callback = (),
    progress: bool = True,
    validation: Data | None = None,
) -> Posterior:
    """Find the posterior of a model.

    Args:
        model: network, prior and likelihood.
        x: (n, d_in) inputs, d_in the size of rep_in. Columns of a size of about 1 train best.
        y: (n, d_out) outputs; scaled likewise, and invariant ones centred.
        method: MAP(), DeepEnsemble(members=10), ...
        engine: "numpyro" or "pyro". None: numpyro if it is installed, else pyro. Both start from the same values and
            give the same members up to rounding.
        seed: of initial values and the order of data.
        init: start from a posterior (its first draws), or from weights by parameter name, each (*shape) for all members
            or (members, *shape), in place of draws from the prior.
        callbacks: functions of Progress, called after each epoch; one that returns True stops the training.
        progress: whether to show a bar with loss and equivariance error.
        validation: (x, y) whose loss is recorded after each epoch, and that early stopping looks at.

    Returns:
        Posterior, with (chain=1, draw=members) samples of the weights.

    Raises:
        TypeError, ValueError: naming the argument that does not fit, and what would do.
        ImportError: if the engine's packages are not installed.
        TrainingError: if a loss becomes NaN or infinite.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model is a {type(model).__name__}; Model(net, sigma_a=..., sigma_b=...) would do")
    x, y = check_data(model, x, y)
    check_method(method)
    chosen = check_engine(engine)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed is {seed!r}; a whole number >= 0 would do")
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise TypeError("validation must be a pair (x, y)")
        validation = check_data(model, *validation, names=("validation x", "validation y"))
    callbacks = (callbacks,) if callable(callbacks) else callbacks
    for callback in callbacks:
        if not callable(callback) or isinstance(callback, type):
            raise TypeError(
                f"callbacks has {callback!r}; functions of Progress, such as EquivarianceTracker(group), would do"
            )
    names = [c.name for c in callbacks if hasattr(c, "name")]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(
            f"callbacks has two records of the name {twice.pop()!r}; EquivarianceTracker(group, name=...) "
            "tells them apart"
        )
    weights = None if init is None else _start(model, init, getattr(method, "count", 1))
    task = Task(model, x, y, method, chosen, int(seed), weights, tuple(callbacks), bool(progress), validation)
    return import_module(f"bayes_rpp.inference.{chosen}.{method.name}").fit(task)


def check_engine(engine: str | None) -> str:
    """The engine's name; raises ValueError for an unknown one, ImportError for one that is not installed."""
    if engine is None:
        engine = next((name for name in ENGINES if find_spec(name)), "numpyro")
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; 'pyro' or 'numpyro' would do")
    if not find_spec(engine):
        raise ImportError(f"engine {engine!r} needs {ENGINES[engine]}: pip install 'bayes-rpp[{engine}]'")
    return engine


def _start(model: Model, init: Any, members: int) -> dict[str, NDArray]:
    """Initial weights with leading dimension members."""
    if isinstance(init, Posterior):
        init = {k: v.reshape((-1, *v.shape[2:]))[:members] for k, v in init.samples.items()}
    elif not isinstance(init, Mapping):
        raise TypeError(f"init is a {type(init).__name__}; a Posterior, or weights by parameter name, would do")
    shapes = {name: p.shape for name, p in model.priors.items()}
    missing = [name for name in shapes if name not in init]
    if missing:
        raise ValueError(f"init has no {', '.join(map(repr, missing))}; the network's weights are {', '.join(shapes)}")
    shapes |= {k: () for k in model.likelihood.latents if k in init}
    weights = {}
    for name, shape in shapes.items():
        w = np.asarray(init[name], dtype=np.float64)
        if w.shape not in (shape, (1, *shape), (members, *shape)):
            raise ValueError(f"init[{name!r}] has shape {w.shape}; {shape} or {(members, *shape)} would do")
        if not np.isfinite(w).all():
            raise ValueError(f"init[{name!r}] holds values that are not finite")
        if name not in model.priors and (w <= 0).any():
            raise ValueError(f"init[{name!r}] holds values <= 0; positive numbers would do")
        weights[name] = np.broadcast_to(w, (members, *shape))
    return weights
