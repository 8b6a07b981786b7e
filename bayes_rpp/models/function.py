"""The model function: a model's weights, its network and its likelihood as the sample sites of an engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from bayes_rpp._arrays import array_namespace
from bayes_rpp._deprecation import renamed_arguments
from bayes_rpp._given import engine_array
from bayes_rpp.engines.base import Engine
from bayes_rpp.priors.parametrization import Parametrization, get_parametrization

if TYPE_CHECKING:
    from bayes_rpp.models.model import Model


@renamed_arguments(parametrisation="parametrization")
def run(
    model: Model,
    engine: Engine,
    x: Any,
    y: Any,
    *,
    size: int | None = None,
    members: int | None = None,
    parametrization: str | Parametrization | None = None,
    given: Mapping[str, Any] | None = None,
) -> Any:
    """See `Model.pyro`."""
    net, likelihood, given = model.net, model.likelihood, given or {}
    if engine.name not in net.engines:
        raise ValueError(f"this network cannot run in {engine.name}; model.{net.engines[0]} would do")
    unknown = [k for k in given if k not in model.latents]
    if unknown:
        known = ", ".join(map(repr, model.latents)) or "nothing"
        raise ValueError(f"given must have numbers that the model infers, {known}, got {unknown[0]!r}")
    form = get_parametrization(parametrization or model.parametrization or "pathways")
    if (rows := net.encode(x)) is not x and y is not None:
        y = net.encode_outputs(y, rows)
    if y is not None:
        y = engine.array(y if net.capabilities.partial else engine_array(y, "y"))
    x = net.rows(engine.array(engine_array(rows, "x")))
    _check_shapes(model, x, y, members)
    with engine.plate("members", members, dim=-2) if members else nullcontext():
        latents = {k: engine.array(v) for k, v in given.items()}
        for k, p in model.latents.items():
            if k not in given:
                latents[k] = engine.sample(k, p.distribution(engine))
        params = {name: _weight(model, engine, form, name, latents) for name in model.priors}
        n, f = x.shape[-2], _outputs(model, engine, params, x)
        with engine.plate("data", n, dim=-1), engine.scale((n if size is None else size) / n):
            seen = None if y is None else likelihood.targets(engine, y, model.net.rep_out.size)
            scatter = (likelihood.distribution if y is None else likelihood.objective)(engine, f, latents)
            if seen is not None and (there := net.counted(x)) is not None:
                xp = array_namespace(seen)
                seen, scatter = xp.where(there, seen, xp.zeros_like(seen)), scatter.base_dist.mask(there).to_event(1)
            engine.sample("y", scatter, obs=seen)
    return f


def _weight(model: Model, engine: Engine, form: Parametrization, name: str, latents: Mapping[str, Any]) -> Any:
    whole = model.priors[name]
    if name not in model.sites:
        return engine.zeros(whole.shape)
    site, prior = model.site(name, latents)
    w = form.sample(engine, site, prior)
    return engine.deterministic(name, whole.support.decode(w), len(whole.shape)) if whole.is_strict else w


def _outputs(model: Model, engine: Engine, params: dict[str, Any], x: Any) -> Any:
    """Outputs (*lead, n, d_out) for weights (*lead, 1, *shape): plates of members, particles or draws make the lead,
    and the plate of examples, at dim -1, the dimension of size one."""
    shapes = {k: prior.shape for k, prior in model.priors.items()}
    leads = {k: tuple(w.shape[: w.ndim - len(shapes[k])]) for k, w in params.items()}
    lead = max(leads.values(), key=len)
    if not lead:
        return engine.compiled(model.net)(params, x)
    count = math.prod(lead)
    flat = {}
    for name, w in params.items():
        w = w.reshape((1,) * (len(lead) - len(leads[name])) + tuple(w.shape))
        flat[name] = engine.broadcast_to(w, lead + shapes[name]).reshape((count, *shapes[name]))
    if x.ndim > 2:
        x = engine.broadcast_to(x, lead[:-1] + tuple(x.shape[-2:])).reshape((count, *x.shape[-2:]))
    f = engine.vmap(model.net, (0, 0 if x.ndim > 2 else None))(flat, x)
    return f.reshape(lead[:-1] + tuple(f.shape[-2:]))


def _check_shapes(model: Model, x: Any, y: Any, members: int | None) -> None:
    inputs, outputs = model.net.rep_in.size, model.net.rep_out.size
    columns = model.likelihood.columns(outputs)
    owner = "the size of rep_out" if columns == outputs else f"as a {type(model.likelihood).__name__} likelihood needs"
    for name, a, size, wanted in (("x", x, inputs, "the size of rep_in"), ("y", y, columns, owner)):
        if a is None:
            continue
        if a.ndim != 2 and (not members or tuple(a.shape[:-2]) != (members,)):
            raise ValueError(f"{name} must have shape (examples, {size}), got {tuple(a.shape)}")
        if a.shape[-1] != size:
            raise ValueError(f"{name} must have {size} column{'s' * (size != 1)}, {wanted}, got {a.shape[-1]}")
    if y is not None and y.shape[-2] != x.shape[-2]:
        raise ValueError(f"y must have {x.shape[-2]} examples, as x has, got {y.shape[-2]}")
