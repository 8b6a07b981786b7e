"""Attention and recurrent layers by plain linear ones, which are soft on tokens as others are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from bayes_rpp.networks.soften.options import OF_TOKENS, Options
from bayes_rpp.networks.soften.torch.layers import linear
from bayes_rpp.networks.soften.torch.replace import replace_layers

PROJECTIONS = ("q_proj", "k_proj", "v_proj")


def opened(module: nn.Module, options: Options) -> nn.Module:
    """Put `Attention` and `Recurrent` in place of torch's own layers that are to have a residual of tokens, wherever
    they share no parameter with others. It changes the module."""
    owners = Counter(id(p) for m in module.modules() for p in m._parameters.values() if p is not None)
    found: dict[str, nn.Module] = {}
    for path, m in module.named_modules():
        kind = next((k for k in (Attention, Recurrent) if k.takes(m)), None)
        if kind is None or options.residual(path) not in OF_TOKENS or options.skips(path):
            continue
        if all(owners[id(p)] == 1 for p in m.parameters()):
            found[path] = kind(m).train(m.training)
    return replace_layers(module, found)


def closed(module: nn.Module) -> nn.Module:
    """Undo `opened` for layers that have no residual any more. It changes the module."""
    found = {p: m for p, m in module.named_modules() if isinstance(m, (Attention, Recurrent))}
    plain = {p for p, m in found.items() if all(isinstance(c, (nn.Linear, nn.ModuleList)) for c in [*m.modules()][1:])}
    return replace_layers(module, {p: found[p].closed().train(found[p].training) for p in plain})


class Attention(nn.Module):
    """nn.MultiheadAttention with layers q_proj, k_proj, v_proj and out_proj; takes its `state_dict`, too."""

    in_proj_bias = None  # so that nn.TransformerEncoder takes no fast path around the layers
    _qkv_same_embed_dim = False
    q_proj: Any
    k_proj: Any
    v_proj: Any

    @staticmethod
    def takes(m: nn.Module) -> bool:
        return type(m) is nn.MultiheadAttention and m.bias_k is None and not m.add_zero_attn

    def __init__(self, m: Any) -> None:
        super().__init__()
        self.embed_dim, self.num_heads = m.embed_dim, m.num_heads
        self.dropout, self.batch_first = m.dropout, m.batch_first
        for name, (w, b) in zip(PROJECTIONS, _projections(dict(m.named_parameters())), strict=True):
            self.add_module(name, _linear(w, b))
        self.out_proj = _linear(m.out_proj.weight, m.out_proj.bias)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As nn.MultiheadAttention, of batches."""
        if query.ndim != 3:
            raise ValueError(f"query must have shape (n, tokens, features), got {tuple(query.shape)}")
        if is_causal and attn_mask is None:
            raise ValueError("attn_mask must be given with is_causal, got None")
        if not self.batch_first:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        q, k, v = (
            project(t).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for project, t in zip((self.q_proj, self.k_proj, self.v_proj), (query, key, value), strict=True)
        )
        mask = _mask(attn_mask, key_padding_mask, q, k)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.mT * q.shape[-1] ** -0.5
            weights = F.dropout(torch.softmax(scores if mask is None else scores + mask, -1), dropout)
            y = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        y = self.out_proj(y.transpose(1, 2).flatten(2))
        return (y if self.batch_first else y.transpose(0, 1)), weights

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        names = ("in_proj_weight", "in_proj_bias", *(f"{p}_weight" for p in PROJECTIONS))
        found = {n: state_dict.pop(prefix + n) for n in names if prefix + n in state_dict}
        if found:
            for p, (w, b) in zip(PROJECTIONS, _projections(found), strict=True):
                state_dict |= {f"{prefix}{p}.weight": w} | ({} if b is None else {f"{prefix}{p}.bias": b})
        super()._load_from_state_dict(state_dict, prefix, *args)

    def closed(self) -> nn.MultiheadAttention:
        """torch's own layer of these values."""
        q, k, v = self.q_proj, self.k_proj, self.v_proj
        new = nn.MultiheadAttention(
            self.embed_dim, self.num_heads, self.dropout, q.bias is not None, kdim=k.in_features, vdim=v.in_features,
            batch_first=self.batch_first, dtype=q.weight.dtype, device=q.weight.device,
        )  # fmt: skip
        with torch.no_grad():
            for (w, b), layer in zip(_projections(dict(new.named_parameters())), (q, k, v), strict=True):
                _copy(w, b, layer)
            _copy(new.out_proj.weight, new.out_proj.bias, self.out_proj)
        return new


class States(nn.Linear):
    """The map of the state before each step, (n, steps, state) to (n, steps, gates). States come one after another, so
    a residual may see their own step alone."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias


class Recurrent(nn.Module):
    """nn.LSTM, nn.GRU or nn.RNN with a layer for the inputs of all steps, and one for the state before each, of each
    layer and direction; takes its `state_dict`, too."""

    inputs: nn.ModuleList
    states: nn.ModuleList

    @staticmethod
    def takes(m: nn.Module) -> bool:
        return type(m) in (nn.LSTM, nn.GRU, nn.RNN) and not m.proj_size

    def __init__(self, m: Any) -> None:
        super().__init__()
        self.kind, self.mode = type(m), m.mode
        self.options = {k: getattr(m, k) for k in ("input_size", "hidden_size", "num_layers", "bias", "batch_first",
                                                   "dropout", "bidirectional")}  # fmt: skip
        if self.kind is nn.RNN:
            self.options["nonlinearity"] = m.nonlinearity
        self.batch_first, self.dropout = m.batch_first, m.dropout
        self.suffixes = [f"_l{k}{d}" for k in range(m.num_layers) for d in ("", "_reverse")[: 1 + m.bidirectional]]
        for part, name in (("inputs", "ih"), ("states", "hh")):
            made = [
                _linear(getattr(m, f"weight_{name}{s}"), getattr(m, f"bias_{name}{s}", None)) for s in self.suffixes
            ]
            self.add_module(part, nn.ModuleList(made if part == "inputs" else map(States, made)))

    def forward(self, x: torch.Tensor, hx: Any = None) -> tuple[torch.Tensor, Any]:
        """As torch's, of batches."""
        if not isinstance(x, torch.Tensor) or x.ndim != 3:
            raise ValueError(f"x must be a tensor (n, steps, features), got {getattr(x, 'shape', type(x).__name__)}")
        x = x if self.batch_first else x.transpose(0, 1)
        given: Any = (None,) if hx is None else hx if isinstance(hx, tuple) else (hx,)
        ends: list[tuple[torch.Tensor, ...]] = []
        both = 1 + self.options["bidirectional"]
        for layer in range(self.options["num_layers"]):
            found = []
            for k in range(layer * both, (layer + 1) * both):
                start = x.new_zeros(len(x), self.options["hidden_size"])
                state = (start, start) if hx is None else tuple(g[k] for g in given)
                y, end = self._run(k, x, state, backwards=k % both == 1)
                found.append(y)
                ends.append(end)
            x = torch.cat(found, -1)
            if layer + 1 < self.options["num_layers"]:
                x = F.dropout(x, self.dropout, self.training)
        last = tuple(torch.stack(e) for e in zip(*ends, strict=True))
        return (x if self.batch_first else x.transpose(0, 1)), last if self.mode == "LSTM" else last[0]

    def _run(self, k: int, x: torch.Tensor, state: Any, backwards: bool) -> tuple[torch.Tensor, Any]:
        steps = list(zip(self.inputs[k](x).unbind(1), *self._of_states(k, x), strict=True))
        outputs = []
        for now, matrix, offset in reversed(steps) if backwards else steps:
            state = self._step(now, state[0] @ matrix + offset, *state)
            outputs.append(state[0])
        kept = state if self.mode == "LSTM" else state[:1]
        return torch.stack(outputs[::-1] if backwards else outputs, 1), kept

    def _of_states(self, k: int, x: torch.Tensor) -> tuple[Any, Any]:
        """The matrix (state, gates) and offset (gates,) of each step, read off the layer at 0 and at unit states."""
        size = self.options["hidden_size"]
        units = torch.cat([x.new_zeros(1, size), torch.eye(size, dtype=x.dtype, device=x.device)])
        y = self.states[k](units.unsqueeze(1).expand(-1, x.shape[1], -1))
        return (y[1:] - y[:1]).unbind(1), y[0].unbind(0)

    def _step(
        self, now: torch.Tensor, before: torch.Tensor, h: torch.Tensor, c: Any = None
    ) -> tuple[torch.Tensor, ...]:
        if self.mode == "LSTM":
            i, f, g, o = (now + before).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(c), c
        if self.mode == "GRU":
            (r, z, n), (r_h, z_h, n_h) = now.chunk(3, -1), before.chunk(3, -1)
            n, z = torch.tanh(n + torch.sigmoid(r + r_h) * n_h), torch.sigmoid(z + z_h)
            return (1 - z) * n + z * h, h
        h = torch.tanh(now + before) if self.mode == "RNN_TANH" else torch.relu(now + before)
        return h, h

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for k, s in enumerate(self.suffixes):
            for part, name in (("inputs", "ih"), ("states", "hh")):
                for what in ("weight", "bias"):
                    if (old := f"{prefix}{what}_{name}{s}") in state_dict:
                        state_dict[f"{prefix}{part}.{k}.{what}"] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def closed(self) -> nn.Module:
        """torch's own layer of these values."""
        like: Any = next(self.parameters())
        new = self.kind(**self.options, dtype=like.dtype, device=like.device)
        with torch.no_grad():
            for part, name in ((self.inputs, "ih"), (self.states, "hh")):
                for s, layer in zip(self.suffixes, part, strict=True):
                    _copy(getattr(new, f"weight_{name}{s}"), getattr(new, f"bias_{name}{s}", None), layer)
        return new


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    made = linear(weight.detach(), None if bias is None else bias.detach()).to(weight.device)
    made.weight.requires_grad_(weight.requires_grad)
    if bias is not None:
        made.bias.requires_grad_(bias.requires_grad)
    return made


def _copy(weight: torch.Tensor, bias: torch.Tensor | None, layer: Any) -> None:
    weight.copy_(layer.weight)
    if bias is not None:
        bias.copy_(layer.bias)


def _projections(values: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Weight and bias of queries, keys and values, among the parameters of nn.MultiheadAttention by name."""
    packed, biases = values.get("in_proj_weight"), values.get("in_proj_bias")
    weights = [values[f"{p}_weight"] for p in PROJECTIONS] if packed is None else _thirds(packed)
    return list(zip(weights, [None] * 3 if biases is None else _thirds(biases), strict=True))


def _thirds(packed: torch.Tensor) -> list[Any]:
    return [t.requires_grad_(packed.requires_grad) if not t.requires_grad else t for t in packed.detach().chunk(3)]


def _mask(attn: Any, padding: Any, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor | None:
    """What is added to the scores, (n or 1, heads or 1, tokens or 1, tokens)."""
    total = None
    for mask, shape in ((attn, (-1, q.shape[1], q.shape[2], k.shape[2])), (padding, (-1, 1, 1, k.shape[2]))):
        if mask is None:
            continue
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill(mask, -torch.inf)
        mask = mask[None, None] if mask.ndim == 2 and shape[1] != 1 else mask.reshape(shape)
        total = mask if total is None else total + mask
    return total
