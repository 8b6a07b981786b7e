"""What a model takes as data: inputs and outputs, checked against its network and likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._given import finite_array, real_array
from bayes_rpp._types import ArrayLike
from bayes_rpp.networks.network import Network

if TYPE_CHECKING:
    from bayes_rpp.models.model import Model
    from bayes_rpp.models.process.prior import FunctionPrior

    AnyModel: TypeAlias = Model | FunctionPrior

Data = tuple[NDArray, NDArray]


def check_data(model: AnyModel, x: Any, y: Any, names: tuple[str, str] = ("x", "y")) -> Data:
    """Inputs and outputs as float32, or float64 if they were; raises errors that name the argument."""
    outputs, likelihood = model.rep_out.size, model.likelihood
    columns = likelihood.columns(outputs)
    if columns != outputs and _ndim(y, names[1]) == 1:  # classes
        y = real_array(y, names[1])[:, None]
    a = check_inputs(model, x, names[0])
    net: Any = getattr(model, "net", None)
    there = None if net is None else net.counted(a)
    if net is None:
        functions: Any = model
        y = functions.encode_outputs(y, a, names[1])
    elif there is not None:
        y = _filled(net.encode_outputs(y, a, names[1]), there, names[1])
    kind = f", as a {type(likelihood).__name__} likelihood needs"
    if there is None and _ndim(y, names[1]) > 2:  # images, as classes of their pixels
        y = real_array(y, names[1]).reshape(len(y), -1)
    fits = columns == outputs
    because, advice = (", the size of rep_out", model.rep_out.advice) if fits else (kind, None)
    b = finite_array(y, names[1], columns=columns, because=because, advice=advice)
    if len(a) != len(b):
        raise ValueError(f"{names[1]} must have {len(a)} examples, as {names[0]} has, got {len(b)}")
    if not len(a):
        raise ValueError(f"{names[0]} must have at least one example, got none")
    likelihood.check(b, outputs, names[1])
    return a, floating(b) if there is None else np.where(there, floating(b), np.nan)


def _ndim(y: Any, name: str) -> int:
    return int(y.ndim) if hasattr(y, "ndim") else real_array(y, name).ndim


def _filled(y: Any, there: NDArray, name: str) -> Any:
    """y with zeros where there is nothing to be seen."""
    y = real_array(y, name)
    return np.where(there, y, 0) if y.shape == there.shape else y


def check_inputs(model: AnyModel, x: ArrayLike, name: str = "x") -> NDArray:
    """Inputs alone, likewise."""
    coded: Any = getattr(model, "net", model)
    a = flat_inputs(model, coded.encode(x, name), name)
    rep = model.rep_in
    return floating(finite_array(a, name, columns=rep.size, because=", the size of rep_in", advice=rep.advice))


def flat_inputs(model: AnyModel | Network, x: Any, name: str) -> Any:
    """Images and the like (n, *input_shape) as rows; anything else as it is."""
    if model.input_shape is None or np.ndim(x) <= 2:
        return x
    if np.shape(x)[1:] != model.input_shape:
        wanted = f"(examples, {', '.join(map(str, model.input_shape))})"
        raise ValueError(f"{name} must have shape {wanted} or (examples, {model.rep_in.size}), got {np.shape(x)}")
    return real_array(x, name).reshape(len(x), model.rep_in.size)


def floating(a: NDArray) -> NDArray:
    """As float32, or float64 where it was so or has whole numbers that float32 would round."""
    if a.dtype == np.float64:
        return a
    found = a.astype(np.float32)
    return found if a.dtype.kind not in "iu" or np.array_equal(found.astype(np.float64), a) else a.astype(np.float64)
