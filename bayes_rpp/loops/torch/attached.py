"""Residuals attached to the layers of a torch module, with the terms of the prior; and the module without them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bayes_rpp.models.model import Model
from bayes_rpp.networks.soften import options as limits
from bayes_rpp.networks.soften.options import Options, joined
from bayes_rpp.networks.soften.torch.choices import Choice, choose
from bayes_rpp.networks.soften.torch.layers import CONVOLUTIONS, Kernel, Layer, Tokens
from bayes_rpp.networks.soften.torch.look import Look, own_copy
from bayes_rpp.networks.soften.torch.opened import opened
from bayes_rpp.networks.soften.torch.replace import replace_layers
from bayes_rpp.networks.soften.torch.residual import (
    Coordinates,
    Deviation,
    OwnTerm,
    Pathway,
    Residual,
    attach,
    detach,
    pathways_of,
)
from bayes_rpp.networks.soften.torch.supported import uncompiled
from bayes_rpp.priors.subspaces.base import Subspace


def as_given(module: nn.Module, options: Options) -> nn.Module:
    """A copy in the same mode, attention and recurrent layers as `opened` has them."""
    kept = own_copy(module)
    for new, old in zip(kept.modules(), module.modules(), strict=True):
        new.training = old.training
    return opened(uncompiled(kept), options)


def with_residuals(
    module: nn.Module, seen: Look, model: Model, learned: Mapping[str, nn.Parameter], centered: bool
) -> tuple[nn.Module, list[OwnTerm]]:
    """Attach residuals to a module's layers.

    Args:
        module: it is changed.
        seen: what is to become of its layers.
        model: whose prior the coordinates have.
        learned: site -> logarithm of its sigma.
        centered: whether the prior of softened and plain linear layers is centred at their values.

    Returns:
        The module, and the terms of the prior for its own parameters.
    """
    values, new, terms = dict(module.named_parameters()), dict[str, nn.Module](), list[OwnTerm]()
    for name in seen.frozen:
        values[name].requires_grad_(False)
    like = next(iter(values.values()))
    parts = {k: pathways_of(p.subspace, model.covariance_terms(k), learned) for k, p in model.net.parameters.items()}
    for path, choice in seen.choices.items():
        layer, here = module.get_submodule(path), {k: parts[joined(path, k)] for k in choice.weights}
        if any(seen.weights[joined(path, k)][0] is not s for k, (s, _) in choice.weights.items()):
            given = {k: seen.weights[joined(path, k)] for k in here}
            whole = {k: _whole(*here[k], *given[k], like) for k in here}
            new[path] = Residual(_layer(layer, path, choice), whole["weight"], whole.get("bias"))
            continue
        rest = {k: Coordinates(p, like, choice.weights[k][0].shape) for k, (_, p) in here.items() if p}
        if choice.layer is not None and rest:
            attach(layer, Residual(choice.layer, rest.get("weight"), rest.get("bias")))
        own = [joined(path, n) for n, _ in layer.named_parameters(recurse=False) if n != "residual"]
        for k, (deviation, _) in here.items():
            names = own if choice.layer is not None else [joined(path, k)]
            if deviation.is_zero and not centered:
                raise ValueError("sigma_a must be positive with centre='zero', got 0; centre='module' would do")
            if deviation.is_zero:
                for n in names:
                    values[n].requires_grad_(False)
                continue
            center = torch.cat([values[n].detach().reshape(-1) for n in names]) if centered else None
            terms.append(OwnTerm(names, deviation, center, choice.own.get(k), like))
    for name in [n for n in seen.order if n not in seen.weights]:
        terms.append(OwnTerm([name], parts[name][0], values[name].detach().reshape(-1).clone(), None, like))
    return replace_layers(module, new), terms


class Plain:
    """A module without its residuals.

    Args:
        module: with residuals; it is changed.
        replaced: path -> shape of an example, of layers that have weights of their own form once they are softened.
        options: they were softened with.

    Attributes:
        module: without residuals.
        residuals: path -> Residual.
        paths: of all layers whose weights `values` knows.
    """

    def __init__(self, module: nn.Module, replaced: Mapping[str, tuple[int, ...]], options: Options) -> None:
        self.module, self._shapes, self._options = module, replaced, options
        self.residuals: dict[str, Residual] = {}
        for path, layer in list(module.named_modules()):
            found = detach(layer)
            found = layer if found is None and isinstance(layer, Residual) else found
            if found is not None and found not in self.residuals.values():
                self.residuals[path] = found
        self.paths = list(dict.fromkeys([*replaced, *self.residuals]))

    def values(self, path: str) -> dict[str, NDArray]:
        """Weight, and bias if there is one, float64."""
        layer, residual = self.module.get_submodule(path), self.residuals.get(path)
        if residual is not None and layer is residual:
            parts = {"weight": residual.weight, "bias": residual.bias}
            return residual.added({k: np.zeros(()) for k, p in parts.items() if p is not None})
        choice = choose(layer, self._shapes[path], self._options.residual(path), limits.LARGEST)
        own = {k: w for k, (_, w) in choice.weights.items()}
        return own if residual is None else residual.added(own)


def _whole(own: Deviation, rest: list[Pathway], subspace: Subspace, value: NDArray, like: torch.Tensor) -> Coordinates:
    """All of a weight by coordinates."""
    first = [] if own.is_zero or not subspace.levels[0].rank else [("a", subspace.levels[0], own)]
    found = Coordinates([*first, *rest], like, subspace.shape)
    found.start(value)
    return found


def _layer(layer: nn.Module, path: str, choice: Choice) -> Layer:
    """How weights act, in place of a layer whose weights are in subspaces that were given."""
    if choice.layer is not None:
        return choice.layer
    weight, bias = choice.weights["weight"][1], choice.weights["bias"][1] if "bias" in choice.weights else None
    if isinstance(layer, nn.Linear):
        return Tokens(layer, weight, bias)
    if isinstance(layer, CONVOLUTIONS):
        return Kernel(layer, weight, bias)
    raise ValueError(f"subspaces must be of linear layers and convolutions, got one of {path!r}, a transposed one")
