"""Networks of bodies to stand beside `ParticleNetwork`: EGNN, written here, and one of e3nn's tensor products.

Each takes charges (n, 5, 1), positions and velocities (n, 5, 3), and says how far each body moves, (n, 5, 3). Both are
strictly equivariant under permutations, translations, rotations and reflections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Tensor = torch.Tensor
Given = tuple[NDArray, NDArray, NDArray]
LEARNING_RATE = {"EGNN": 1e-2, "e3nn": 1e-2}  # of EGNN the best of three on systems of another seed


def _mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class EGNN(nn.Module):
    """Equations 3 to 7 of Satorras, Hoogeboom and Welling (2021), with h_i = |v_i| and a_ij = q_i q_j at the start:

    m_ij = phi_e(h_i, h_j, |x_i - x_j|^2, a_ij),    h_i += phi_h(h_i, sum_j m_ij)
    v_i = phi_v(h_i) v_i + mean_j (x_i - x_j) phi_x(m_ij),    x_i += v_i
    """

    def __init__(self, width: int = 32, layers: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(1, width)
        self.edges, self.nodes, self.turns, self.speeds = (nn.ModuleList() for _ in range(4))
        for _ in range(layers):
            self.edges.append(nn.Sequential(_mlp(2 * width + 2, width, width), nn.SiLU()))
            self.nodes.append(_mlp(2 * width, width, width))
            self.turns.append(_mlp(width, width, 1))
            self.speeds.append(_mlp(width, width, 1))

    def forward(self, q: Tensor, x: Tensor, v: Tensor) -> Tensor:
        start, n = x, x.shape[1]
        h = self.first(v.norm(dim=-1, keepdim=True))
        products, others = (q * q.mT)[..., None], 1 - torch.eye(n)[..., None]
        for edge, node, turn, speed in zip(self.edges, self.nodes, self.turns, self.speeds, strict=True):
            r = x[:, :, None] - x[:, None]
            ends = [h[:, :, None].expand(-1, -1, n, -1), h[:, None].expand(-1, n, -1, -1)]
            m = edge(torch.cat([*ends, (r**2).sum(-1, keepdim=True), products], dim=-1)) * others
            v = speed(h) * v + (r * turn(m)).sum(2) / (n - 1)
            x = x + v
            h = h + node(torch.cat([h, m.sum(2)], dim=-1))
        return x - start


def e3nn_network(layers: int = 2, radial: int = 8) -> nn.Module:
    """Messages as of NequIP (Batzner et al. 2022): tensor products of features with spherical harmonics of relative
    positions, weighted by a network of distances and products of charges; gates by scalars."""
    from e3nn import o3, set_optimization_defaults

    set_optimization_defaults(jit_script_fx=False)  # as members run side by side

    hidden, given = o3.Irreps("16x0e + 8x1o + 4x1e + 4x2e"), o3.Irreps("2x0e + 1x1o")
    harmonics = o3.Irreps("1x0e + 1x1o + 1x2e")

    class Message(nn.Module):
        def __init__(self, before: Any, after: Any) -> None:
            super().__init__()
            made, paths = [], []
            for i, (mul, a) in enumerate(before):
                for j, (_, b) in enumerate(harmonics):
                    for ir in a * b:
                        if ir in after:
                            made.append((mul, ir))
                            paths.append((i, j, len(made) - 1, "uvu", True))
            self.product = o3.TensorProduct(
                before, harmonics, o3.Irreps(made), paths, internal_weights=False, shared_weights=False
            )
            self.weights = _mlp(radial + 1, 16, self.product.weight_numel)
            self.stays, self.goes = o3.Linear(before, after, biases=True), o3.Linear(o3.Irreps(made), after)

        def forward(self, h: Tensor, edges: tuple[Tensor, Tensor], seen: Tensor, shown: Tensor, n: int) -> Tensor:
            here, there = edges
            m = self.product(h[there], shown, self.weights(seen))
            return self.stays(h) + self.goes(torch.zeros(len(h), m.shape[1]).index_add(0, here, m) / (n - 1) ** 0.5)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [given, *[hidden] * layers]
            self.messages = nn.ModuleList(Message(a, b) for a, b in pairwise(widths))
            count = f"{hidden.num_irreps}x0e"
            self.gates = nn.ModuleList(o3.Linear(hidden, o3.Irreps(count), biases=True) for _ in range(layers))
            self.times = o3.ElementwiseTensorProduct(hidden, count)
            self.last = o3.Linear(hidden, o3.Irreps("1x1o"))

        def forward(self, q: Tensor, x: Tensor, v: Tensor) -> Tensor:
            batch, n = x.shape[:2]
            pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
            first, second = (torch.tensor(a) for a in zip(*pairs, strict=True))
            offset = n * torch.arange(batch)[:, None]
            edges = ((offset + first).ravel(), (offset + second).ravel())
            q, x, v = (a.reshape(batch * n, -1) for a in (q, x, v))
            r = x[edges[1]] - x[edges[0]]
            d = r.norm(dim=-1, keepdim=True)
            basis = torch.exp(-0.5 * (radial * (torch.exp(-d) - torch.linspace(0, 1, radial))) ** 2)
            seen = torch.cat([basis, q[edges[0]] * q[edges[1]]], dim=-1)
            shown = o3.spherical_harmonics(harmonics, r, normalize=True, normalization="component")
            h = torch.cat([q, v.norm(dim=-1, keepdim=True), v], dim=-1)
            for message, gate in zip(self.messages, self.gates, strict=True):
                h = message(h, edges, seen, shown, n)
                h = self.times(h, torch.nn.functional.silu(gate(h)))
            return (v + self.last(h)).reshape(batch, n, 3)

    return Net()


NETWORKS: dict[str, Callable[[], nn.Module]] = {"EGNN": EGNN, "e3nn": e3nn_network}


def ensemble(
    name: str, given: Given, y: NDArray, new: Given, *, members: int, steps: int, batch: int, seed: int
) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation of a new observation, each of y's shape: members that differ in their starts and
    batches, with normal noise of one size, which is fitted too; Adam, whose steps fall to zero as a cosine."""
    now, later, target = _tensors(given), _tensors(new), _tensors([y])[0]
    torch.manual_seed(seed)
    nets, rng = [NETWORKS[name]() for _ in range(members)], np.random.default_rng(seed)
    weights = {k: torch.stack([n.get_parameter(k).detach() for n in nets]).requires_grad_() for k in _names(nets[0])}
    buffers = dict(nets[0].named_buffers())
    log_noise = torch.full((members,), -2.0, requires_grad=True)

    def one(w: Any, b: Any, *parts: Tensor) -> Tensor:
        return torch.func.functional_call(nets[0], (w, b), parts)

    together = torch.func.vmap(one, in_dims=(0, None, 0, 0, 0))
    optimizer = torch.optim.Adam([*weights.values(), log_noise], lr=LEARNING_RATE[name])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = np.stack([rng.choice(len(y), size=batch, replace=False) for _ in range(members)])
        found = together(weights, buffers, *(a[rows] for a in now))
        noise = log_noise.exp()[:, None, None, None]
        optimizer.zero_grad()
        (0.5 * ((target[rows] - found) / noise) ** 2 + noise.log()).mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        means = together(weights, buffers, *(a.expand(members, *a.shape) for a in later)).double().numpy()
    variance = float((2 * log_noise).exp().mean())
    return means.mean(axis=0), np.sqrt(means.var(axis=0) + variance)


def _names(net: nn.Module) -> list[str]:
    return [name for name, _ in net.named_parameters()]


def _tensors(arrays: Sequence[NDArray]) -> list[Tensor]:
    return [torch.as_tensor(a, dtype=torch.float32) for a in arrays]
