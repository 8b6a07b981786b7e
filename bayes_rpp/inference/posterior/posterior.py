"""The posterior that every method returns: draws of the weights, and the verbs by which one asks about them.

Files are imported when first needed: xarray takes as long to import as all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import DTypeLike, NDArray

from bayes_rpp._deprecation import renamed_arguments
from bayes_rpp._html import paragraph, table
from bayes_rpp._types import ArrayLike
from bayes_rpp.inference.posterior import diagnostics
from bayes_rpp.inference.posterior.draws import Draws, Prediction
from bayes_rpp.inference.posterior.metrics import predictive_metrics
from bayes_rpp.models.data import check_inputs
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.networks.network import Network

if TYPE_CHECKING:
    import torch
    from flax import nnx

__all__ = ["Posterior", "Prediction"]

ASK = (
    "predict(x), metrics(x, y), equivariance_error(x), asymmetry(), summary(), log_likelihood(), to_arviz(), "
    "to_torch(), save(path)"
)


@renamed_arguments(centre="center")
@dataclass(frozen=True, eq=False, repr=False)
class Posterior(Draws):
    """Samples of a model's weights, (chain, draw, *shape), and predictions from them.

    A deep ensemble has one chain with a draw for each member, MAP a single draw. Made by `fit` and by `Posterior.load`.
    It does not change: `replace` makes another one.

    Attributes:
        model: what was fitted.
        samples: parameter name -> (chain, draw, *shape) weights W, and inferred numbers such as "noise" or "sigma_b".
        sample_stats: of HMC and NUTS: name -> (chain, draw), as in ArviZ ("diverging", "tree_depth", "n_steps", "lp",
            "energy", "acceptance_rate", "step_size").
        x, y: the training data.
        training: record name -> (member, epoch), NaN where nothing was recorded.
        log_evidence: log p(y | x) of the model as the method approximates it (Laplace), or None.
        center: of Laplace with linearized predictions: parameter name -> (*shape) weights W_0, float64, or
            (chain, *shape) where each chain is around a mode of its own; else None. With one, the outputs of a draw W
            are f(W_0) + J (W - W_0) in all that follows, but for `to_torch`.
        method, engine, seed: how it was made.

    Raises:
        TypeError, ValueError: if samples lack a parameter of the network or an inferred number of the likelihood, their
            shapes do not fit, or x and y are no data for the model.
    """

    def to_torch(self, chain: int = 0, draw: int = 0) -> torch.nn.Module:
        """One draw of the network as a plain torch module; see `bayes_rpp.networks.to_torch`."""
        from bayes_rpp.networks.export.export import to_torch

        return to_torch(self.model.net, {k: self.samples[k][chain, draw] for k in self.model.net.parameters})

    def to_flax(self, chain: int = 0, draw: int = 0) -> nnx.Module:
        """One draw of a softened nnx module as a plain one; see `bayes_rpp.networks.to_flax`."""
        from bayes_rpp.networks.export.export import to_flax

        return to_flax(self.model.net, {k: self.samples[k][chain, draw] for k in self.model.net.parameters})

    def asymmetry(self, pathway: int = 0) -> dict[str, NDArray]:
        """How far the data break the symmetry: sigma_b / sigma_a of each layer, (chain, draw).

        In the model's own units: with scale="fan_in", the residual signal's share of the equivariant one. Follows the
        data where sigma_b is inferred (and sigma_a, or the scale of y is known). It is a ratio of the prior's sizes, by
        layer, and says where in the network the symmetry bends; of MAP and ensembles it is a mode, and does not rank
        groups. How far the function breaks a symmetry is its equivariance error with its interval:
        `analysis.equivariance_interval(post.equivariance_error(x, group=G))`.

        Args:
            pathway: of a network with nested pathways: all that lies outside of this one against what lies inside, in
                squares: sqrt(sigma_1^2 + ... + sigma_b^2) / sigma_0 for the first.
        """
        return diagnostics.asymmetry(self, pathway)

    def metrics(self, x: ArrayLike, y: ArrayLike, *, seed: int = 0) -> dict[str, float]:
        """How well the posterior predicts: log-likelihood, errors, and calibration; see `predictive_metrics`."""
        return predictive_metrics(self, x, y, seed=seed)

    def stack(self, x: ArrayLike, y: ArrayLike) -> Posterior:
        """Chains, or the members of an ensemble, weighted by how well they together predict held-out data, rather than
        equally: the draws of one chain, of which each has its share; see `inference.stacking_weights`.

        Chains of networks sit in modes, and those of a bad one pull the prediction down. Weights and the modes' own
        masses are two things: these are the best for prediction.

        Args:
            x, y: data that the posterior was not fitted to.

        Returns:
            Posterior of one chain, of as many draws as before and 1000 at least, whose `method` names the weights.

        Raises:
            TypeError, ValueError: if there is one chain of one draw, the draws are linearized ones, or x and y do not
                fit.
        """
        from bayes_rpp.inference.posterior.stacking import stack

        return stack(self, x, y)

    def summary(self, x: ArrayLike | None = None, *, points: int = 5) -> diagnostics.Summary:
        """Whether to trust it: mean, standard deviation, R-hat and effective sample size of the inferred numbers and of
        the network's outputs, and warnings in words.

        Args:
            x: (n, d_in) inputs to look at the outputs of; weights of networks have no identity of their own, as hidden
                units may swap places. None: `points` training inputs.
            points: how many.
        """
        return diagnostics.summarize(self, None if x is None else check_inputs(self.model, x), points)

    def _repr_html_(self) -> str:
        made = {"method": self.method, "engine": self.engine, "chains": self.chains, "draws": self.draws}
        if self.log_evidence is not None:
            made["log evidence"] = f"{self.log_evidence:.4g}"
        made |= self._shown | {"inferred": ", ".join(self.model.latents) or "weights alone", "ask": ASK}
        return paragraph(type(self).__name__, "font-weight: bold") + table(made.items())

    @property
    def _shown(self) -> dict[str, Any]:
        """What was fitted, in few words."""
        return {"network": self.model.net}

    def to_arviz(self) -> Any:
        """Groups posterior, sample_stats, posterior_predictive, log_likelihood, observed_data, constant_data and
        training, as a DataTree, or as InferenceData where ArviZ before 1.0 is installed."""
        from bayes_rpp.inference.posterior.storage import to_arviz

        return to_arviz(self)

    def save(self, path: str | Path, *, thin: int = 1, dtype: DTypeLike | None = None) -> Path:
        """Write samples, model, network, data and training record to one netCDF file; returns its path. A network made
        of code, such as a softened module, is not written: `load` asks for it. Nor is a Parametrization of your own,
        which the loaded model leaves open.

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
        likelihood: Likelihood | None = None,
    ) -> Self:
        """Read what `save` wrote, in any process.

        Args:
            path: of the file.
            custom: functions rho of custom representations by name, as functions are not stored.
            net: the network, made again, where it is code: a softened module, or a Network of your own.
            likelihood: the likelihood, made again, where it is of a class of your own.

        Raises:
            FileNotFoundError, ValueError: if there is no file, it is not one of these, or net or likelihood is needed
                or no fit.
        """
        from bayes_rpp.inference.posterior.storage import load

        return load(cls, path, custom, net, likelihood)
