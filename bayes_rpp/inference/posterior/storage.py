"""Posteriors as xarray: for ArviZ, and to and from netCDF files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_rpp._files import check_hdf5, reading, understanding, write_netcdf
from bayes_rpp._imports import load_arviz, load_module
from bayes_rpp._warnings import warn_user
from bayes_rpp.inference.posterior.draws import Draws
from bayes_rpp.inference.posterior.thinning import D, check_room, thinned
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.models.storage import model_from_spec, model_spec, process_from_spec, process_spec
from bayes_rpp.networks.network import Network
from bayes_rpp.networks.probe import check_probe, probe_spec
from bayes_rpp.networks.storage import INNER, Custom, existing
from bayes_rpp.priors.parametrization import PARAMETRIZATIONS, Parametrization

FORMAT = 3  # 1: without what `_is_new` names; 3: of functions


def to_arviz(post: Draws) -> Any:
    """All groups, in the form that the installed ArviZ speaks."""
    f = post.outputs(post.x)
    latents = post.latents
    y = post.model.likelihood.sample(np.random.default_rng(post.seed), f, latents)
    extra = {
        "posterior_predictive": {"y": y},
        "log_likelihood": {"y": post.model.likelihood.predictive.log_prob(f, post.y, latents)},
    }
    tree = _tree(post, extra)
    try:
        modern = int(version("arviz").split(".")[0]) >= 1
    except PackageNotFoundError:  # arviz-base alone
        modern = True
    if modern:
        return tree
    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    return load_arviz().InferenceData(**groups, attrs=tree.attrs)


def save(post: Draws, path: str | Path, thin: int = 1, dtype: Any = None) -> Path:
    post, path = thinned(post, thin, dtype), Path(path)
    if path.suffix not in (".nc", ".netcdf", ".h5"):
        path = path.with_name(path.name + ".nc")
    check_room(post, path)
    tree = _tree(post, {})
    tree.attrs["bayes_rpp"] = json.dumps(_spec(post))
    write_netcdf(tree, path)
    return path


def load(
    kind: type[D],
    path: str | Path,
    custom: Custom | None = None,
    net: Network | None = None,
    likelihood: Likelihood | None = None,
) -> D:
    path = existing(path, ".nc")
    with reading(path, "a file that Posterior.save wrote, whole, would do"):
        check_hdf5(path)
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            attributes = dict(tree.attrs)
            groups = {
                name: {str(k): v.values for k, v in node.to_dataset().data_vars.items()}
                for name, node in tree.children.items()
            }
    if "bayes_rpp" not in attributes:
        raise ValueError(f"{path} was not written by Posterior.save")
    with understanding(path):
        return _from_groups(kind, json.loads(attributes["bayes_rpp"]), groups, attributes, custom, net, likelihood)


def _from_groups(
    kind: type[D],
    spec: Any,
    groups: Mapping[str, dict[str, Any]],
    attributes: Mapping[str, Any],
    custom: Custom | None,
    net: Network | None,
    likelihood: Likelihood | None,
) -> D:
    if spec["format"] > FORMAT:
        raise ValueError(f"it has format {spec['format']}; this version reads up to {FORMAT}: upgrade bayes-rpp")
    # float16 is for files: it would be slow and coarse to compute with.
    samples = {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in groups["posterior"].items()}
    found: dict[str, Any] = {}
    if "process" in spec:
        model: Any = process_from_spec(spec["process"], custom, likelihood)
        kind, found = next(k for k in kind.__subclasses__() if k.stored == "process"), {"level": spec["level"]}
        if "inducing" in spec:
            found["inducing"] = np.array(spec["inducing"])
        found["inflation"] = float(spec.get("inflation", 1.0))
    else:
        model = model_from_spec(spec, custom, net, samples, likelihood)
    post = kind(
        model,
        samples,
        x=groups["constant_data"]["x"],
        y=groups["observed_data"]["y"],
        training=groups.get("training", {}),
        sample_stats=groups.get("sample_stats", {}),
        log_evidence=float(attributes["log_evidence"]) if "log_evidence" in attributes else None,
        center=groups.get("centre"),
        method=str(spec["method"]),
        engine=str(spec["engine"]),
        seed=int(spec["seed"]),
        **found,
    )
    if "process" in spec:
        return post
    check_probe(model.net, _first({k: samples[k] for k in model.net.parameters}), spec["net"])
    return post


def _spec(post: Draws) -> dict[str, Any]:
    made = {"method": post.method, "engine": post.engine, "seed": post.seed}
    if isinstance(post.model, GaussianProcess):
        if post.inducing is not None:
            made["inducing"] = post.inducing.tolist()
        made["inflation"] = post.inflation
        return {"process": process_spec(post.model), "level": post.level, "format": 3} | made
    spec = model_spec(post.model) | made
    form = post.model.parametrization
    if isinstance(form, Parametrization):  # on which what a posterior says does not depend
        spec["parametrisation"] = form.name if PARAMETRIZATIONS.get(form.name) == form else None
        if spec["parametrisation"] is None:
            warn_user(
                f"the file does not hold the parametrization, {form!r}, which is code; what is loaded goes on as if it "
                "were None, and model.replace(parametrization=...) would do"
            )
    spec["format"] = 2 if _is_new(spec["net"]) else 1  # which older versions read
    if "parameters" in spec["net"]:
        spec["net"] |= probe_spec(post.model.net, _first(post.samples))
    return spec


def _is_new(net: Mapping[str, Any]) -> bool:
    """Whether a network's description has products, or the probe of several points of networks that are code."""
    inner = next((net[name] for name in INNER.values() if name in net), None)
    return _is_new(inner) if inner else "parameters" in net or "products" in net["settings"]


def _first(samples: Mapping[str, Any]) -> dict[str, Any]:
    """The first draw."""
    return {k: v[0, 0] for k, v in samples.items()}


def _tree(post: Draws, extra: Mapping[str, Any]) -> Any:
    """DataTree of the posterior; the network's outputs have the dimensions example and output."""
    from_dict = load_module("arviz_base").from_dict  # newer versions load parts of jax, which reading does not need

    dims: dict[str, list[str]] = {"y": ["example", "output"]}
    options: dict[str, Any] = {"sample_dims": ["chain", "draw"], "check_conventions": False}
    tree = from_dict({"posterior": post.samples}, **options)
    if post.sample_stats:
        tree = _join(tree, from_dict({"sample_stats": post.sample_stats}, **options))
    for name, group in extra.items():
        kept = {"y": dims["y"][: group["y"].ndim - 2]}
        tree = _join(tree, from_dict({name: group}, dims=kept, **options))
    data = {"observed_data": {"y": post.y}, "constant_data": {"x": post.x}}
    tree = _join(tree, from_dict(data, sample_dims=[], dims=dims | {"x": ["example", "input"]}))
    if post.training:
        epochs = next(iter(post.training.values())).shape[1]
        records = {"training": post.training}
        coords = {"epoch": np.arange(1, epochs + 1)}
        tree = _join(tree, from_dict(records, sample_dims=["member", "epoch"], coords=coords))
    if post.center is not None:
        tree = _join(tree, from_dict({"centre": post.center}, sample_dims=[]))
    if post.log_evidence is not None:
        tree.attrs["log_evidence"] = post.log_evidence
    return tree


def _join(tree: Any, other: Any) -> Any:
    for name, node in other.children.items():
        tree[name] = node
    return tree
