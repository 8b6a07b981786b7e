"""The residual pathway prior over functions: what a GaussianProcess is given, checked, and what of it is inferred."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp._given import finite_array
from bayes_rpp._types import ArrayLike, EngineName
from bayes_rpp.models.frozen import Frozen
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.normal import Gaussian
from bayes_rpp.models.process.forces import check_noise, forces_of
from bayes_rpp.models.process.kinds import block_kinds, fixed_part
from bayes_rpp.models.process.one_size import OneSize
from bayes_rpp.networks.particles.systems import Particles
from bayes_rpp.priors.hyper import Inferable, Prior
from bayes_rpp.priors.kernels.scalar import RBF, Kernel, Lengthscale, number
from bayes_rpp.priors.pathway import check_sigma
from bayes_rpp.symmetry.averages import ORTHOGONAL, Average, check_compact, haar_average, off_orthogonal
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, Representation, bind_rep

Entry = float | str  # a number, or the site of one that is inferred


class FunctionPrior(Frozen):
    """See `GaussianProcess`."""

    called = "gp"
    parametrization = None
    infers_sigmas = True
    input_shape = None
    engines: tuple[EngineName, ...] = ("numpyro", "pyro")

    def __init__(
        self,
        rep_in: Rep,
        rep_out: Rep,
        group: Group | Sequence[Group],
        *,
        kernel: Kernel | None = None,
        sigma_a: Inferable | Sequence[Inferable | None] | None = None,
        sigma_b: Inferable | None = None,
        lengthscale: Lengthscale | None = None,
        likelihood: Likelihood | None = None,
        mean: Literal["constant", "linear"] | None = "constant",
        ard: bool = False,
        scale: Literal["data"] | None = "data",
        offset: ArrayLike | None = None,
        mean_size: float | None = None,
        tolerance: float = 0.01,
        inducing: int | None = None,
        conservative: bool | Sequence[int] = False,
        particles: Particles | Sequence[str | int] | None = None,
    ) -> None:
        groups = (group,) if isinstance(group, Group) else group
        if isinstance(group, str):
            raise TypeError(f"group must be a Group, got the text {group!r}; groups.parse_group({group!r}) would do")
        if not isinstance(groups, (list, tuple)) or not groups or not all(isinstance(g, Group) for g in groups):
            raise TypeError(f"group must be a Group or a list of groups, got {group!r}; O(3) would do")
        self.groups = tuple(groups)
        for k, one in enumerate(self.groups):
            check_compact(one, "group" if len(self.groups) == 1 else f"group[{k}]")
            if one.dim != self.groups[0].dim:
                raise ValueError(
                    f"group must be a list of groups on the same R^dim, got {self.groups[0]} on R^{self.groups[0].dim} "
                    f"and {one} on R^{one.dim}; SO(2) * Trivial(1) acts on R^3, as O(3) does, and would do"
                )
        self._ins = tuple(_orthogonal(bind_rep(rep_in, g, "rep_in"), "rep_in") for g in self.groups)
        self._outs = tuple(_orthogonal(bind_rep(rep_out, g, "rep_out"), "rep_out") for g in self.groups)
        self.group, self.rep_in, self.rep_out = self.groups[0], self._ins[0], self._outs[0]
        self.forces = forces_of(conservative, self._ins, self._outs)
        self.systems = OneSize.of(particles, self.rep_in, self.groups, self.forces)
        if kernel is not None and not isinstance(kernel, Kernel):
            raise TypeError(f"kernel must be a Kernel, got {kernel!r}; kernels.RBF() would do")
        if likelihood is not None and not isinstance(likelihood, Likelihood):
            raise TypeError(f"likelihood must be a Likelihood, got {likelihood!r}; Gaussian(0.1) would do")
        if likelihood is not None:
            check_noise(likelihood, self.forces)
        if mean not in (None, "constant", "linear"):
            raise ValueError(f"mean must be 'constant', 'linear' or None, got {mean!r}")
        if mean == "linear" and self.forces is not None:
            raise ValueError(
                "mean must be 'constant' or None for an energy, whose linear part is a constant force, got 'linear'; "
                "kernel=RBF() + Polynomial(1) would do"
            )
        if scale not in (None, "data"):
            raise ValueError(f"scale must be 'data' or None, got {scale!r}")
        if isinstance(number(tolerance, "tolerance"), Prior):
            raise TypeError(f"tolerance must be a number > 0, got {tolerance!r}; 0.01 would do")
        self.inducing = None if inducing is None else whole_number(inducing, "inducing")
        if inducing is not None and not isinstance(likelihood, (Gaussian, type(None))):
            raise ValueError(
                f"inducing must be None with likelihood={likelihood!r}, as the bound is that of a Gaussian likelihood, "
                f"got {inducing}; Gaussian() would do"
            )
        if inducing is not None and self.forces is not None:
            raise ValueError(
                f"inducing must be None for an energy and its forces, whose posterior is exact alone, got {inducing}; "
                "some of the rows would do"
            )
        self.kernel = kernel if kernel is not None else RBF()
        self.likelihood = likelihood if likelihood is not None else Gaussian()
        self.mean, self.ard, self.scale, self.tolerance = mean, bool(ard), scale, tolerance
        self._arguments: dict[str, Any] = {"rep_in": rep_in, "rep_out": rep_out, "group": list(self.groups)}
        self._arguments |= {"kernel": kernel, "sigma_a": sigma_a, "sigma_b": sigma_b, "lengthscale": lengthscale}
        self._arguments |= {"likelihood": likelihood, "mean": mean, "ard": ard, "scale": scale, "offset": offset}
        self._arguments |= {"mean_size": mean_size, "tolerance": tolerance, "inducing": inducing}
        self._arguments["conservative"] = conservative if isinstance(conservative, bool) else list(conservative)
        if self.systems is not None:
            self._arguments["particles"] = list(self.systems.types)
        self.latents: dict[str, Prior] = {}
        self.open: set[str] = {"kernel"} if kernel is None and self.systems is None else set()
        self.sigmas_a = tuple(self._sigma(v, n) for n, v in _by_group(sigma_a, len(self.groups)).items())
        if sigma_b is None and all(g.is_trivial for g in self.groups):
            sigma_b = 0.0  # the first part is free already
        self.sigma_b = self._sigma(sigma_b, "sigma_b")
        if all(isinstance(s, float) and s == 0 for s in (*self.sigmas_a, self.sigma_b)) and self.mean is None:
            raise ValueError("sigma_a or sigma_b must be positive, got 0 for all, with which f is always 0")
        self.kinds = block_kinds(self._ins, self.ard) if self.systems is None else self.systems.kinds
        self.lengthscales = tuple(self._lengthscales(lengthscale))
        self.variances = tuple(self._entry(leaf.variance, f"variance_{k}") for k, leaf in enumerate(self.kernel.leaves))
        if likelihood is not None:
            self.latents |= likelihood.latents
        elif self.forces is not None and self.forces.energy:
            self.open |= {"noise.energy", "noise.forces"}
        else:
            self.open.add("noise")
        self.offset = np.zeros(self.rep_out.size)
        if offset is not None:
            size = self.rep_out.size
            self.offset = finite_array([offset], "offset", columns=size, because=", the size of rep_out")[0]
            self.offset.setflags(write=False)
        self.mean_size = 1.0
        if mean_size is not None:
            self.mean_size = check_sigma(mean_size, "mean_size")
        elif mean is not None:
            self.open.add("mean_size")
        self.priors: dict[str, Any] = {}  # of weights, of which it has none
        self.sites: dict[str, Any] = {}

    @property
    def bound(self) -> Iterator[tuple[Representation, Representation]]:
        """rep_in and rep_out of each group."""
        return zip(self._ins, self._outs, strict=True)

    @property
    def constants(self) -> NDArray[np.float64]:
        """(d_out, d_out) the projector on the constants that the first group leaves fixed."""
        return fixed_part(self.rep_out) if self.forces is None else self.forces.constants

    def averages(self, level: int) -> list[Average]:
        """Over each of the groups, where functions are averaged."""
        return [] if self.systems is not None else [haar_average(g, level) for g in self.groups]

    def seen(self, x: NDArray) -> NDArray:
        """What the kernel sees of x, the columns that `kinds` counts."""
        return x if self.systems is None else self.systems.features(x)[0]

    def encode(self, x: Any, name: str = "x") -> Any:
        """Systems as rows; other inputs as they are."""
        return x if self.systems is None else self.systems.encode(x, name)

    def encode_outputs(self, y: Any, x: NDArray, name: str = "y") -> Any:
        """Energies and forces of systems as rows; other outputs as they are."""
        return y if self.systems is None else self.systems.encode_outputs(y, len(x), name, self.rep_out.size)

    @property
    def sampled(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of what a posterior must have draws of."""
        return dict.fromkeys((*self.latents, "log_evidence"), ())

    @property
    def is_open(self) -> bool:
        """Whether numbers were left out, whose distributions depend on data, as `with_defaults` of defaults.py says."""
        return bool(self.open)

    def replace(self, **changes: Any) -> Self:
        """Another one, with some arguments changed; raises TypeError for one that there is not."""
        return type(self)(**self._arguments | changes)

    def config(self) -> dict[str, Any]:
        """Its arguments."""
        return dict(self._arguments)

    def _sigma(self, value: Any, name: str) -> Entry:
        if value is None or isinstance(value, Prior) or hasattr(value, "log_prob"):
            return self._entry(value, name)
        found = check_sigma(value, name)
        if not isinstance(found, float):
            raise TypeError(f"{name} must be one number >= 0 or a distribution, got {value!r}; 1.0 would do")
        return found

    def _entry(self, value: Any, site: str, named: str = "") -> Entry:
        """A number, or the site of one that is inferred."""
        if value is None:
            self.open.add(site)
            return site
        found = number(value, named or site)
        if isinstance(found, Prior):
            self.latents[site] = found
            return site
        return found

    def _lengthscales(self, given: Any) -> Iterator[dict[str, Entry]]:
        leaves, shared = self.kernel.leaves, self.by_kind(given)
        for k, leaf in enumerate(leaves):
            # Of systems the residual alone has one of positions.
            idle = ["positions"] if self.systems is not None and (k or self.sigma_b == 0.0) else []
            argument = "lengthscale" if len(leaves) == 1 else f"lengthscale_{k}"
            value = shared | {n: v for n, v in self.by_kind(leaf.lengthscale).items() if v is not None}
            seen = [n for n in self.kinds if n not in idle]
            entries = {n: self._entry(value[n], f"{argument}.{n}", f"lengthscale[{n!r}]") for n in seen}
            yield entries | dict.fromkeys(idle, 1.0)

    def by_kind(self, value: Any) -> dict[str, Any]:
        """A lengthscale, as it may be given, for each kind of block; None where nothing is."""
        if not isinstance(value, Mapping):
            return dict.fromkeys(self.kinds, value)
        for name in value:
            if name not in self.kinds:
                known = ", ".join(map(repr, self.kinds))
                raise ValueError(f"lengthscale must be by kind of block, {known}, got {name!r}")
        return {name: value.get(name) for name in self.kinds}

    def __repr__(self) -> str:
        group = self.group if len(self.groups) == 1 else list(self.groups)
        shown = {k: v for k, v in self._arguments.items() if k not in ("rep_in", "rep_out", "group") and v is not None}
        options = "".join(f", {k}={v!r}" for k, v in shown.items())
        return f"GaussianProcess({self.rep_in.rep}, {self.rep_out.rep}, {group}{options})"


def _by_group(sigma_a: Any, count: int) -> dict[str, Any]:
    if isinstance(sigma_a, np.ndarray) and sigma_a.ndim == 1:
        sigma_a = sigma_a.tolist()
    if count == 1 and not isinstance(sigma_a, (list, tuple)):
        return {"sigma_a": sigma_a}
    names = [f"sigma_a_{k}" for k in range(count)] if count > 1 else ["sigma_a"]
    if sigma_a is None:
        return dict.fromkeys(names)
    if not isinstance(sigma_a, (list, tuple)) or len(sigma_a) != count:
        have = f"{len(sigma_a)} of them" if isinstance(sigma_a, (list, tuple)) else repr(sigma_a)
        raise ValueError(f"sigma_a must be a list of {count}, one for each group, got {have}")
    return dict(zip(names, sigma_a, strict=True))


def _orthogonal(rep: Representation, name: str) -> Representation:
    """Raise ValueError unless it acts by orthogonal matrices, which keep distances and so the kernel."""
    off = off_orthogonal(rep)
    if off > ORTHOGONAL:
        raise ValueError(
            f"{name} must act by orthogonal matrices, which keep the distances that the kernel looks at, got {rep.rep} "
            f"(off by {off:.2g}); a network, Model(EMLP(...)), would do"
        )
    return rep
