"""Draws of a model's weights as numpy arrays, and what follows from them without a further look: outputs, predictions.

Nothing here needs an engine: networks run on numpy arrays, so a saved posterior is used wherever numpy is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayes_rpp._deprecation import renamed_arguments, renamed_attribute
from bayes_rpp._given import check_unmasked
from bayes_rpp._numerics import rms
from bayes_rpp._types import ArrayLike, Float, Shaped
from bayes_rpp.inference.posterior.moments import predictive_moments
from bayes_rpp.models.data import check_data, check_inputs
from bayes_rpp.models.model import Model
from bayes_rpp.models.outputs import CHUNK, Block, blocks, center_of, evaluate, linearized
from bayes_rpp.networks.storage import check_weight
from bayes_rpp.symmetry.discovery.sampled import FunctionSymmetries, symmetries_of
from bayes_rpp.symmetry.equivariance import Probe
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import bind_rep


@dataclass(frozen=True)
class Prediction:
    """The posterior predictive at n points.

    Attributes:
        mean: (n, d_out) expected y; with Bernoulli and Categorical, the probability of a one or of each class. float64.
        std: (n, d_out) of a new observation: spread of the samples and noise together. float64.
        samples: (chain, draw, n, d_out) expected y of each draw of the network; with a seed, new observations (with
            Categorical (chain, draw, n, 1), the classes). None where `predict(x, samples=False)` was asked for.
    """

    mean: Float[NDArray, "n d_out"]
    std: Float[NDArray, "n d_out"]
    samples: Float[NDArray, "chain draw n columns"] | Any = field(repr=False, default=None)


@dataclass(frozen=True, eq=False, repr=False)
class Draws:
    """What diagnostics, metrics and files look at; `Posterior` has its attributes, and their verbs."""

    stored: ClassVar[str] = ""  # what a file of it has in place of a network

    model: Model
    samples: dict[str, NDArray]
    _: KW_ONLY
    x: NDArray
    y: NDArray
    training: dict[str, NDArray] = field(default_factory=dict)
    sample_stats: dict[str, NDArray] = field(default_factory=dict)
    log_evidence: float | None = None
    center: dict[str, NDArray] | None = None
    method: str = ""
    engine: str = ""
    seed: int = 0

    centre = renamed_attribute("centre", "center")

    def __post_init__(self) -> None:
        for name, arrays in (("samples", self.samples), ("center", self.center or {})):
            for k, v in arrays.items():
                check_unmasked(v, f"{name}[{k!r}]")
        samples, center = {k: np.asarray(v) for k, v in self.samples.items()}, self.center
        _check_samples(self.model, samples)
        x, y = check_data(self.model, self.x, self.y)
        if center is not None:
            center = {k: np.asarray(v, dtype=np.float64) for k, v in center.items()}
        found = {"samples": samples, "x": x, "y": y, "center": center}
        found |= {"training": dict(self.training or {}), "sample_stats": dict(self.sample_stats or {})}
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @renamed_arguments(centre="center")
    def replace(self, **changes: Any) -> Self:
        """Another one with some attributes changed; raises TypeError for one that there is not."""
        return dataclasses.replace(self, **changes)

    @property
    def chains(self) -> int:
        return next(iter(self.samples.values())).shape[0]

    @property
    def draws(self) -> int:
        return next(iter(self.samples.values())).shape[1]

    def predict(self, x: ArrayLike, seed: int | None = None, *, samples: bool = True) -> Prediction:
        """Predict at new points.

        Args:
            x: (n, d_in), or (n, *input_shape) of networks that have one, such as images; here and in all that follow.
            seed: None leaves `samples` without observation noise; a number adds it.
            samples: whether to keep what each draw predicts, which takes chains * draws * n * d_out numbers. False:
                mean and std alone, in memory for a part of the draws and rows at a time.

        Raises:
            TypeError, ValueError: if x does not fit rep_in or is not finite, or seed is given without samples.
        """
        x = check_inputs(self.model, x)
        likelihood, latents = self.model.likelihood, self.latents
        if not samples:
            if seed is not None:
                raise ValueError(
                    f"seed must be None where samples is False, got {seed}; it adds noise to samples, and mean and std "
                    "have it already: seed=None, or samples=True, would do"
                )
            mean, std = np.empty((2, len(x), self.model.rep_out.size))
            predictive_moments(likelihood, latents, self.blocks(x), mean, std)
            return Prediction(mean, std)
        f = self.outputs(x)
        each = likelihood.mean(f)
        mean = each.mean(axis=(0, 1), dtype=np.float64)
        noise = np.sqrt(likelihood.variance(f, latents).mean(axis=(0, 1), dtype=np.float64))
        std = np.hypot(rms(each - mean, axis=(0, 1)), noise)
        if seed is not None:
            each = likelihood.sample(np.random.default_rng(seed), f, latents)
        return Prediction(mean, std, each.astype(f.dtype))

    def equivariance_error(
        self, x: ArrayLike, *, group: Group | None = None, seed: int = 0
    ) -> Float[NDArray, "{self.chains} {self.draws} n"]:
        """Eq. 2's |a - b| / (|a| + |b|) of each draw at each point, (chain, draw, n), one random g for each point.

        Args:
            x: (n, d_in).
            group: whose equivariance; None: the network's.
            seed: of the elements g, which all draws share.

        Raises:
            TypeError, ValueError: if x does not fit rep_in, or group cannot act on its columns as rep_in says.
        """
        model = self.model
        if isinstance(group, Group):
            for rep in (model.rep_in, model.rep_out):
                if (size := bind_rep(rep.rep, group, "group").size) != rep.size:
                    raise ValueError(
                        f"group must act on R^{model.group.dim}, as the model's {model.group} does, so that {rep.rep} "
                        f"has size {rep.size}, got {group} on R^{group.dim}, under which it has size {size}; "
                        f"{_example(group, model.group)} would do"
                    )
        probe = Probe(check_inputs(model, x), model.rep_in, model.rep_out, group or model.group, seed)
        probe.warn_if_empty()
        return self.measure(probe)

    def symmetries(
        self, x: ArrayLike, *, within: Group | None = None, tolerance: float = 0.1, points: int = 100
    ) -> FunctionSymmetries:
        """The Lie algebra under which the draws are equivariant, exactly or nearly; see `analysis.symmetries_of`.

        Args:
            x: (n, d_in), of which `points` are used.
            within: the group in whose Lie algebra to look. None: all matrices on the space of the model's group, or of
                models without a representation (`Trivial(1)`), all pairs of matrices on the columns of x and y.
            tolerance: strength of violation below which a direction is kept; 1 is what an unrelated one has.
        """
        model = self.model
        known = {} if model.group.dim == 1 else {"rep_in": model.rep_in.rep, "rep_out": model.rep_out.rep}
        x, dim = check_inputs(model, x), model.group.dim
        return symmetries_of(self, x, **known, within=within, tolerance=tolerance, points=points, dim=dim)

    def measure(self, probe: Probe) -> Float[NDArray, "{self.chains} {self.draws} n"]:
        """Eq. 2 of each draw at prepared points and elements, (chain, draw, n)."""
        found = np.empty((self.chains, self.draws, len(probe.x)))
        for c, d in np.ndindex(self.chains, self.draws):
            found[c, d] = probe.error(self.function(c, d))
        return found

    def function(self, chain: int = 0, draw: int = 0) -> Callable[[NDArray], NDArray]:
        """One draw of the network as a function of (n, d_in) arrays."""
        params = {k: self.samples[k][chain, draw] for k in self.model.net.parameters}
        dtype = next(iter(params.values())).dtype
        net, center = self.model.net, center_of(self.model, self.center, chain)
        if center is not None:
            return _in_pieces(lambda x: linearized(net, center, params, x), net.rep_out.size)
        return _in_pieces(lambda x: net(params, np.asarray(x, dtype=dtype)), net.rep_out.size)

    def outputs(self, x: ArrayLike) -> Float[NDArray, "{self.chains} {self.draws} n {self.model.rep_out.size}"]:
        """Outputs of each draw at (n, d_in) points, or systems, (chain, draw, n, d_out)."""
        return evaluate(self.model, self.samples, check_inputs(self.model, x), self.center)

    def blocks(self, x: NDArray) -> Iterator[Block]:
        """The same piece by piece, in bounded memory."""
        return blocks(self.model, self.samples, x, self.center)

    def log_likelihood(
        self, x: ArrayLike | None = None, y: ArrayLike | None = None
    ) -> Float[NDArray, "{self.chains} {self.draws} n"]:
        """log p(y_i | x_i, W) of each draw and example, (chain, draw, n); of the training data if none are given."""
        if (x is None) != (y is None):
            raise ValueError("x and y must be given together, got one; neither, for the training data, would do")
        x, y = (self.x, self.y) if x is None or y is None else check_data(self.model, x, y)
        found = np.empty((self.chains, self.draws, len(x)))
        likelihood = self.model.likelihood.predictive
        for b in self.blocks(x):
            found[b.chain, b.draws, b.rows] = likelihood.log_prob(b.f, y[b.rows], b.of(self.latents))
        return found

    def log_predictive(
        self, x: Shaped[NDArray, "n d_in"], y: Shaped[NDArray, "n columns"], f: NDArray | None = None
    ) -> Float[NDArray, " n"]:
        """log p(y_i | x_i, data) of each example, (n,), the mean over draws inside of the logarithm.

        Args:
            f: the outputs at x, if they are at hand.
        """
        logp = self.model.likelihood.predictive.log_prob(self.outputs(x) if f is None else f, y, self.latents)
        return np.asarray(logsumexp(logp, axis=(0, 1)) - np.log(self.chains * self.draws))

    @property
    def _size(self) -> str:
        return f"{self.model.net.size} weights"

    @property
    def latents(self) -> dict[str, NDArray]:
        """Samples of the likelihood's inferred numbers, (chain, draw)."""
        return {k: self.samples[k] for k in self.model.likelihood.latents}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.method}, engine={self.engine!r}, {self.chains} chain(s) of {self.draws} "
            f"draw(s), {self._size})"
        )


def _in_pieces(function: Callable[[NDArray], NDArray], size: int) -> Callable[[NDArray], NDArray]:
    """The same function of so many outputs with CHUNK rows at a time, as hidden layers are wide; and of no rows."""

    def whole(x: NDArray) -> NDArray:
        if not len(x):
            return np.empty((0, size), dtype=np.result_type(x, np.float32))
        if len(x) <= CHUNK:
            return function(x)
        return np.concatenate([function(x[start : start + CHUNK]) for start in range(0, len(x), CHUNK)])

    return whole


def _example(group: Group, wanted: Group) -> str:
    """Of a group that acts as another one, on a space of the size that is wanted."""
    if wanted.factors or group.dim >= wanted.dim:
        return str(wanted)
    return f"{group} * Trivial({wanted.dim - group.dim})"


def _check_samples(model: Model, samples: Mapping[str, NDArray]) -> None:
    wanted = model.sampled
    missing = [k for k in wanted if k not in samples]
    if missing:
        raise ValueError(
            f"samples must have all sites, got no {', '.join(map(repr, missing))}; the model has {', '.join(wanted)}"
        )
    lead = samples[next(iter(wanted))].shape[:2]
    if 0 in lead or len(lead) < 2:
        raise ValueError(f"samples must have one chain and draw at least, got {lead}")
    for k, shape in wanted.items():
        check_weight(f"samples[{k!r}]", samples[k], lead + shape)
