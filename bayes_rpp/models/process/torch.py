"""The covariance of a GaussianProcess as a kernel of GPyTorch, as `Covariance` has it for numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gpytorch
import numpy as np
import torch

from bayes_rpp.models.process.covariance import FLOOR, Covariance, Part
from bayes_rpp.models.process.prior import Entry
from bayes_rpp.priors.kernels.scalar import RBF, Leaf, Matern52, Polynomial

Tensor = torch.Tensor


class EquivariantKernel(gpytorch.kernels.Kernel):
    """See `to_gpytorch`.

    Args:
        covariance: with its training inputs, parts and averages.
        starts: site -> number.
    """

    has_lengthscale = False

    def __init__(self, covariance: Covariance, starts: Mapping[str, float]) -> None:
        super().__init__()
        gp = covariance.gp
        self._covariance = covariance
        self._names: dict[str, str] = {}  # of a number -> of its parameter
        leaves, several = range(len(gp.kernel.leaves)), len(gp.sigmas_a) > 1
        named = {f"sigma_a_{k}" if several else "sigma_a": s for k, s in enumerate(gp.sigmas_a)}
        named |= {"sigma_b": gp.sigma_b} | {f"variance_{k}": gp.variances[k] for k in leaves}
        for k in leaves:
            argument = "lengthscale" if len(leaves) == 1 else f"lengthscale_{k}"
            named |= {f"{argument}.{kind}": entry for kind, entry in gp.lengthscales[k].items()}
        for name, entry in named.items():
            if entry != 0.0:
                self._register(name, entry, starts)
        constants = gp.mean_size**2 * gp.constants if gp.mean is not None else 0.0 * gp.constants
        arrays = {
            "x": covariance.x,
            "shift": covariance.shift,
            "basis": covariance.outputs.basis,
            "constants": constants,
        }
        bound = list(gp.bound)
        for i, part in enumerate(covariance.parts):
            elements, weights = part.kernel.average.whole
            before, after = bound[i] if i < len(bound) else bound[0]
            arrays |= {f"moving_{i}": before.rho(elements)}
            arrays |= {f"acting_{i}": weights[:, None, None] * self._placed(after.rho(elements))}
        for name, array in arrays.items():
            self.register_buffer(name, torch.as_tensor(array.copy()))

    def _register(self, name: str, entry: Entry, starts: Mapping[str, float]) -> None:
        raw, value = f"raw_{name.replace('.', '_')}", starts[entry] if isinstance(entry, str) else entry
        constraint = gpytorch.constraints.Positive()
        start = constraint.inverse_transform(torch.tensor(value, dtype=torch.float64))
        self.register_parameter(raw, torch.nn.Parameter(start, requires_grad=isinstance(entry, str)))
        self.register_constraint(raw, constraint)
        self._names[name] = raw

    def _placed(self, rho: np.ndarray) -> np.ndarray:
        """In the coordinates of the outputs; what the parts have with each other is zero."""
        found = np.zeros_like(rho)
        for part, block in self._covariance.outputs.blocks(rho).items():
            for p in self._covariance.places[part]:
                found[:, p[:, None], p] = block
        return found

    def number(self, name: str) -> Tensor:
        """One of the numbers, by the name that sites have: "sigma_a", "lengthscale.Vector"."""
        raw = self._names[name]
        return getattr(self, f"{raw}_constraint").transform(getattr(self, raw))

    def num_outputs_per_input(self, x1: Tensor, x2: Tensor) -> int:
        return int(self._covariance.gp.rep_out.size)

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        x1, x2 = x1 - self.shift, x2 - self.shift
        d = len(self.constants)
        total: Any = self.constants[:, None, :].expand(*x1.shape[:-1], d, x2.shape[-2], d)
        if diag:
            total = torch.diagonal(self.constants).expand(*x1.shape[:-1], d)
        for i, part in enumerate(self._covariance.parts):
            if part.sigma != 0.0:
                k, acting = self._scalar(i, part, x1, x2, diag), self._acting(i, part)
                total = total + torch.einsum("...nk,kaa->...na" if diag else "...knm,kab->...namb", k, acting)
        return total.flatten(-2) if diag else total.flatten(-2).flatten(-3, -2)

    def _acting(self, i: int, part: Part) -> Tensor:
        """(k, d_out, d_out) what the elements of a part do to outputs, times its variance and their weight, and over
        the mean variance of each irreducible part of the outputs where these are divided by it."""
        acting, sigma = getattr(self, f"acting_{i}"), self._sigma(i, part)
        root = torch.ones_like(self.basis[0])
        if self._covariance.gp.scale is not None and part.fixed is None:
            means = self._scalar(i, part, self.x, self.x, True).mean(dim=0) @ torch.einsum("kaa->ka", acting)
            places = self._covariance.places.values()
            variances = torch.stack([means[p[0]].mean() for p in places])
            shares = variances.new_tensor([p.size / len(self.basis) for p in places])
            variances = (variances + FLOOR * (shares * variances).sum()).clamp_min(torch.finfo(variances.dtype).tiny)
            for p, variance in zip(places, variances, strict=True):
                root = root.index_put((torch.as_tensor(p.ravel()),), variance.rsqrt())
        scaled = self.basis * root
        return sigma**2 * scaled @ acting @ scaled.T

    def _sigma(self, i: int, part: Part) -> Tensor | float:
        if part.fixed is not None:
            return self._covariance.gp.mean_size
        gp = self._covariance.gp
        if i == len(gp.sigmas_a):
            return self.number("sigma_b")
        return self.number(f"sigma_a_{i}" if len(gp.sigmas_a) > 1 else "sigma_a")

    def _scalar(self, i: int, part: Part, x1: Tensor, x2: Tensor, diag: bool) -> Tensor:
        """Of x1 (..., n, d_in) and x2 (..., m, d_in) moved by each element: (..., k, n, m), or (..., n, k) of pairs."""
        moved = x2[..., None, :, :] @ getattr(self, f"moving_{i}").mT  # (..., k, m, d_in)
        leaves: Iterator[Any] = self._leaves(part, x1, moved, diag)
        found: Any = part.kernel.kernel.combine(leaves)[0]
        return found

    def _leaves(self, part: Part, x1: Tensor, moved: Tensor, diag: bool) -> Iterator[Tensor]:
        for k, leaf in enumerate(part.kernel.kernel.leaves):
            scale, variance = self._numbers(k, part)
            a, b = x1[..., None, :, :] / scale, moved / scale
            if diag:
                u = (((a - b) ** 2) if leaf.stationary else a * b).sum(-1).mT
            elif leaf.stationary:
                u = ((a**2).sum(-1)[..., None] + (b**2).sum(-1)[..., None, :] - 2 * a @ b.mT).clamp_min(0.0)
            else:
                u = a @ b.mT
            yield variance * VALUES[type(leaf)](leaf, u)

    def _numbers(self, k: int, part: Part) -> tuple[Tensor, Tensor | float]:
        """Lengthscales (d_in,) and variance of a leaf."""
        if part.fixed is not None:
            return torch.as_tensor(part.fixed.lengthscales[k]).to(self.shift), part.fixed.variances[k]
        kinds, several = self._covariance.gp.kinds, len(self._covariance.gp.kernel.leaves) > 1
        scale = torch.ones_like(self.shift)
        for kind, columns in kinds.items():
            number = self.number(f"lengthscale_{k}.{kind}" if several else f"lengthscale.{kind}")
            scale = scale.index_put((torch.as_tensor(columns),), number.to(scale.dtype))
        return scale, self.number(f"variance_{k}")


def _matern(leaf: Any, u: Tensor) -> Tensor:
    s = (5 * u).clamp_min(1e-30).sqrt()  # whose gradient is finite where points coincide
    return (1 + s + s**2 / 3) * torch.exp(-s)


VALUES: dict[type[Leaf], Callable[[Any, Tensor], Tensor]] = {
    RBF: lambda leaf, u: torch.exp(-0.5 * u),
    Matern52: _matern,
    Polynomial: lambda leaf, u: (leaf.offset + u) ** leaf.degree,
}
