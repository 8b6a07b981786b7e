"""The posterior that every method returns: samples of the weights as numpy arrays, and what follows from them.

Nothing here needs an engine: networks run on numpy arrays, so a saved posterior is used wherever numpy is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import check_unmasked, finite_array
from bayes_rpp._numerics import rms
from bayes_rpp.inference.posterior.moments import predictive_moments
from bayes_rpp.inference.posterior.outputs import CHUNK, Block, blocks, centre_of, evaluate, linearised
from bayes_rpp.inference.run.task import check_data, flat_inputs, floating
from bayes_rpp.models.model import Model
from bayes_rpp.networks.network import Network
from bayes_rpp.networks.storage import check_weight
from bayes_rpp.symmetry.equivariance import Probe
from bayes_rpp.symmetry.groups import Group

if TYPE_CHECKING:
    import torch

    from bayes_rpp.inference.posterior.diagnostics import Summary


@dataclass(frozen=True)
class Prediction:
    """The posterior predictive at n points.

    Attributes:
        mean: (n, d_out) expected y; with Bernoulli and Categorical, the probability of a one or of each class. float64.
        std: (n, d_out) of a new observation: spread of the samples and noise together. float64.
        samples: (chain, draw, n, d_out) expected y of each draw of the network; with a seed, new observations (with
            Categorical (chain, draw, n, 1), the classes). None where `predict(x, samples=False)` was asked for.
    """

    mean: NDArray
    std: NDArray
    samples: Any = field(repr=False, default=None)


class Posterior:
    """Samples of a model's weights, (chain, draw, *shape), and predictions from them.

    A deep ensemble has one chain with a draw for each member, MAP a single draw. Made by `fit` and by `Posterior.load`.

    Attributes:
        model: what was fitted.
        samples: parameter name -> (chain, draw, *shape) weights W, and inferred numbers such as "noise" or "sigma_b".
        sample_stats: of HMC and NUTS: name -> (chain, draw), as in ArviZ ("diverging", "tree_depth", "n_steps", "lp",
            "energy", "acceptance_rate", "step_size").
        x, y: the training data.
        training: record name -> (member, epoch), NaN where nothing was recorded.
        log_evidence: log p(y | x) of the model as the method approximates it (Laplace), or None.
        centre: of Laplace with linearised predictions: parameter name -> (*shape) weights W_0, float64, or
            (chain, *shape) where each chain is around a mode of its own; else None. With one, the outputs of a draw W
            are f(W_0) + J (W - W_0) in all that follows, but for `to_torch`.
        method, engine, seed: how it was made.

    Raises:
        TypeError, ValueError: if samples lack a parameter of the network or an inferred number of the likelihood, their
            shapes do not fit, or x and y are no data for the model.
    """

    def __init__(
        self,
        model: Model,
        samples: Mapping[str, NDArray],
        *,
        x: NDArray,
        y: NDArray,
        training: Mapping[str, NDArray] | None = None,
        sample_stats: Mapping[str, NDArray] | None = None,
        log_evidence: float | None = None,
        centre: Mapping[str, NDArray] | None = None,
        method: str = "",
        engine: str = "",
        seed: int = 0,
    ) -> None:
        for name, arrays in (("samples", samples), ("centre", centre or {})):
            for k, v in arrays.items():
                check_unmasked(v, f"{name}[{k!r}]")
        self.model, self.samples = model, {k: np.asarray(v) for k, v in samples.items()}
        _check_samples(model, self.samples)
        self.x, self.y = check_data(model, x, y)
        self.training, self.sample_stats = dict(training or {}), dict(sample_stats or {})
        self.log_evidence = log_evidence
        self.centre = None if centre is None else {k: np.asarray(v, dtype=np.float64) for k, v in centre.items()}
        self.method, self.engine, self.seed = method, engine, seed

    @property
    def chains(self) -> int:
        return next(iter(self.samples.values())).shape[0]

    @property
    def draws(self) -> int:
        return next(iter(self.samples.values())).shape[1]

    def predict(self, x: Any, seed: int | None = None, *, samples: bool = True) -> Prediction:
        """Predict at new points.

        Args:
            x: (n, d_in), or (n, *input_shape) of networks that have one, such as images; here and in all that follow.
            seed: None leaves `samples` without observation noise; a number adds it.
            samples: whether to keep what each draw predicts, which takes chains * draws * n * d_out numbers. False:
                mean and std alone, in memory for a part of the draws and rows at a time.

        Raises:
            TypeError, ValueError: if x does not fit rep_in or is not finite, or seed is given without samples.
        """
        x = self._points(x)
        likelihood, latents = self.model.likelihood, self.latents
        if not samples:
            if seed is not None:
                raise ValueError(
                    f"seed is {seed} but samples is False; seed adds noise to samples, and mean and std have it "
                    "already: seed=None, or samples=True, would do"
                )
            mean, std = np.empty((2, len(x), self.model.net.rep_out.size))
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

    def equivariance_error(self, x: Any, *, group: Group | None = None, seed: int = 0) -> NDArray:
        """Eq. 2's |a - b| / (|a| + |b|) of each draw at each point, (chain, draw, n), one random g for each point.

        Args:
            x: (n, d_in).
            group: whose equivariance; None: the network's.
            seed: of the elements g, which all draws share.
        """
        net = self.model.net
        probe = Probe(self._points(x), net.rep_in, net.rep_out, group or net.group, seed)
        probe.warn_if_empty()
        return self.measure(probe)

    def measure(self, probe: Probe) -> NDArray:
        """Eq. 2 of each draw at prepared points and elements, (chain, draw, n)."""
        found = np.empty((self.chains, self.draws, len(probe.x)))
        for c, d in np.ndindex(self.chains, self.draws):
            found[c, d] = probe.error(self.function(c, d))
        return found

    def function(self, chain: int = 0, draw: int = 0) -> Callable[[NDArray], NDArray]:
        """One draw of the network as a function of (n, d_in) arrays."""
        params = {k: self.samples[k][chain, draw] for k in self.model.net.parameters}
        dtype = next(iter(params.values())).dtype
        net, centre = self.model.net, centre_of(self.model, self.centre, chain)
        if centre is not None:
            return _in_pieces(lambda x: linearised(net, centre, params, x))
        return _in_pieces(lambda x: net(params, np.asarray(x, dtype=dtype)))

    def outputs(self, x: NDArray) -> NDArray:
        """Outputs of each draw at (n, d_in) points, (chain, draw, n, d_out)."""
        return evaluate(self.model, self.samples, x, self.centre)

    def blocks(self, x: NDArray) -> Iterator[Block]:
        """The same piece by piece, in bounded memory."""
        return blocks(self.model, self.samples, x, self.centre)

    def to_torch(self, chain: int = 0, draw: int = 0) -> torch.nn.Module:
        """One draw of the network as a plain torch module; see `bayes_rpp.to_torch`."""
        from bayes_rpp.networks.export.export import to_torch

        return to_torch(self.model.net, {k: self.samples[k][chain, draw] for k in self.model.net.parameters})

    def log_likelihood(self, x: Any = None, y: Any = None) -> NDArray:
        """log p(y_i | x_i, W) of each draw and example, (chain, draw, n); of the training data if none are given."""
        if (x is None) != (y is None):
            raise ValueError("x and y go together; give both, or neither for the training data")
        x, y = (self.x, self.y) if x is None else check_data(self.model, x, y)
        found = np.empty((self.chains, self.draws, len(x)))
        for b in self.blocks(x):
            found[b.chain, b.draws, b.rows] = self.model.likelihood.log_prob(b.f, y[b.rows], b.of(self.latents))
        return found

    def asymmetry(self, pathway: int = 0) -> dict[str, NDArray]:
        """How far the data break the symmetry: sigma_b / sigma_a of each layer, (chain, draw).

        In the model's own units: with scale="fan_in", the residual signal's share of the equivariant one. Follows the
        data where sigma_b is inferred (and sigma_a, or the scale of y is known).

        Args:
            pathway: of a network with nested pathways: all that lies outside of this one against what lies inside, in
                squares: sqrt(sigma_1^2 + ... + sigma_b^2) / sigma_0 for the first.
        """
        from bayes_rpp.inference.posterior.diagnostics import asymmetry

        return asymmetry(self, pathway)

    def metrics(self, x: Any, y: Any, *, seed: int = 0) -> dict[str, float]:
        """How well the posterior predicts: log-likelihood, errors, and calibration; see `predictive_metrics`."""
        from bayes_rpp.inference.posterior.metrics import predictive_metrics

        return predictive_metrics(self, x, y, seed=seed)

    def summary(self, x: Any = None, *, points: int = 5) -> Summary:
        """Whether to trust it: mean, standard deviation, R-hat and effective sample size of the inferred numbers and of
        the network's outputs, and warnings in words.

        Args:
            x: (n, d_in) inputs to look at the outputs of; weights of networks have no identity of their own, as hidden
                units may swap places. None: `points` training inputs.
            points: how many.
        """
        from bayes_rpp.inference.posterior.diagnostics import summarise

        return summarise(self, None if x is None else self._points(x), points)

    def to_arviz(self) -> Any:
        """Groups posterior, sample_stats, posterior_predictive, log_likelihood, observed_data, constant_data and
        training, as a DataTree, or as InferenceData where ArviZ before 1.0 is installed."""
        from bayes_rpp.inference.posterior.storage import to_arviz

        return to_arviz(self)

    def save(self, path: str | Path, *, thin: int = 1, dtype: Any = None) -> Path:
        """Write samples, model, network, data and training record to one netCDF file; returns its path. A network made
        of code, such as a softened module, is not written: `load` asks for it.

        Args:
            path: of the file.
            thin: keep each thin-th draw of a chain; of an ensemble, each thin-th member.
            dtype: of the weights in the file: "float32", or "float16", which `load` reads as float32. None: as they
                are. Inferred numbers keep theirs.

        Warns:
            UserWarning: if the file takes more than 500 MB.

        Raises:
            ValueError: if thin or dtype is out of range, or the dtype is too coarse for these weights.
            OSError: if the disk has not the room. An older file stays whole.
        """
        from bayes_rpp.inference.posterior.storage import save

        return save(self, path, thin, dtype)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        custom: Mapping[str, Callable[[NDArray], Any]] | None = None,
        net: Network | None = None,
    ) -> Posterior:
        """Read what `save` wrote, in any process.

        Args:
            path: of the file.
            custom: functions rho of custom representations by name, as functions are not stored.
            net: the network, made again, where it is code: a softened module, or a Network of your own.

        Raises:
            FileNotFoundError, ValueError: if there is no file, it is not one of these, or net is needed or no fit.
        """
        from bayes_rpp.inference.posterior.storage import load

        return load(path, custom, net)

    @property
    def latents(self) -> dict[str, NDArray]:
        """Samples of the likelihood's inferred numbers, (chain, draw)."""
        return {k: self.samples[k] for k in self.model.likelihood.latents}

    def _points(self, x: Any) -> NDArray:
        x = flat_inputs(self.model.net, x, "x")
        return floating(finite_array(x, "x", columns=self.model.net.rep_in.size, owner="rep_in has size {}"))

    def __repr__(self) -> str:
        return (
            f"Posterior({self.method}, engine={self.engine!r}, {self.chains} chain(s) of {self.draws} draw(s), "
            f"{self.model.net.size} weights)"
        )


def _in_pieces(function: Callable[[NDArray], NDArray]) -> Callable[[NDArray], NDArray]:
    """The same function with CHUNK rows at a time, as hidden layers are wide."""

    def whole(x: NDArray) -> NDArray:
        if len(x) <= CHUNK:
            return function(x)
        return np.concatenate([function(x[start : start + CHUNK]) for start in range(0, len(x), CHUNK)])

    return whole


def _check_samples(model: Model, samples: Mapping[str, NDArray]) -> None:
    wanted: dict[str, tuple[int, ...]] = {k: p.shape for k, p in model.net.parameters.items()}
    wanted |= dict.fromkeys(model.likelihood.latents, ())
    missing = [k for k in wanted if k not in samples]
    if missing:
        raise ValueError(f"samples has no {', '.join(map(repr, missing))}; the model has {', '.join(wanted)}")
    lead = samples[next(iter(wanted))].shape[:2]
    if 0 in lead or len(lead) < 2:
        raise ValueError(f"samples has {lead} chains and draws; one of each at least would do")
    for k, shape in wanted.items():
        check_weight(f"samples[{k!r}]", samples[k], lead + shape)
