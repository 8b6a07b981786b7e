"""RPPRegressor: a regression with soft symmetry, as scikit-learn's tools take it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.base import RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from bayes_rpp._deprecation import renamed_arguments, renamed_attribute
from bayes_rpp._given import check_unmasked
from bayes_rpp._numerics import rms, varies
from bayes_rpp._types import ArrayLike, EngineName
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.estimators.base import FLOATS, How, RandomState, RPPEstimator, stacked
from bayes_rpp.inference.methods import MAP, Laplace
from bayes_rpp.inference.posterior.functions import FunctionPosterior
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.models.likelihoods import Gaussian
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.priors.hyper import Inferable, Prior, Sigma
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep

# In standard deviations of y. Small enough that weights learn whatever there is; early stopping sees to the rest.
FITTING = 0.1
LESS = 0.5  # of it: a noise found below is that of a second training
START = 0.3  # of the evidence's tuning
NOISES = (1e-3, 10.0)  # what is looked for


@renamed_arguments(standardise="standardize")
class RPPRegressor(RegressorMixin, RPPEstimator):
    """Regression whose prior prefers a symmetry as far as the data have it: by functions or by networks.

    Parameters are looked at in `fit`. Sample weights are not supported. The default is functions for small data, a
    GaussianProcess whose numbers have the highest evidence, and networks above (docs/results/estimators.md sets both
    beside other regressors).

    Args:
        group: that acts on inputs and outputs: a Group, or text such as "O(3)" or "SO(2) * Trivial(1)". None: no
            symmetry is known, and the network is an MLP.
        rep_in: how it acts on the columns of X: a Rep, or text such as "2*Scalar + Vector". Given exactly if group is.
        rep_out: how it acts on the columns of y, likewise. None: it leaves them as they are.
        channels: width of the hidden layers of networks. None: 128 with a group, 64 without.
        layers: number of hidden layers of networks; 0 is a linear model. None: 2.
        sigma_a: prior standard deviation of what is equivariant: of the weights, as in Model, or of f in standardised
            units, as in GaussianProcess. None: 1 for weights; of f it is inferred.
        sigma_b: that of the residual; 0 is strictly equivariant. None: learned, of networks for each layer with a
            HalfNormal prior, which suits symmetries that hold, that nearly hold, and that do not.
        noise: standard deviation of y around the function, or a distribution to infer it from, in standardised units: 1
            is the standard deviation of y (with standardize=False, in those of y). One for all columns. None: it is
            inferred, but for MAP and ensembles found on examples held out, as the joint mode of noise and weights takes
            all of y for noise, or none; Laplace infers it best with evidence="maximize".
        method: "auto", functions or networks by the rule below; "gp", functions of any number of examples that fit in
            memory; None, an ensemble of 5 networks, of up to 300 epochs, that stops early; or MAP, DeepEnsemble,
            Laplace, SVI, NUTS or HMC of a network, whose numbers grids reach as "method__epochs".
            `Laplace(evidence="maximize")` with `sigma_a=Prior("HalfNormal", {"scale": 1.0})` holds out none.
        validation_fraction: share of the examples that networks hold out, for methods with patience and to find the
            noise; functions hold out none.
        engine: "numpyro" or "pyro", for networks. None: as in `fit`.
        standardize: whether X and y are brought to a size of about 1, in ways that commute with the group: shifts along
            what it leaves fixed, and one scale for each copy of a representation. Predictions are in the units of y.
        random_state: an int makes fits repeatable; a RandomState, or None.
        progress: whether networks show a bar with loss and equivariance error while they train.

    "auto" takes functions for up to 2,000 rows of the largest covariance matrix (examples, times the size of the
    largest irreducible part of rep_out) and, with a group, up to 3e7 pairs of examples times elements of its average:
    500 examples of O(3), 707 of SO(3). It takes networks for more, for groups that are not compact, do not act by
    orthogonal matrices or are averaged over at random (S(6), SO(4) and larger ones), and where `channels`, `layers` or
    sigmas by layer or parameter are given, which with "gp" are an error. Without a group the kernel is RBF or
    Matern 5/2, with one lengthscale or (of up to 20 columns) one for each, by evidence less half of log n for each
    number; with a group it is GaussianProcess's own, with a lengthscale for each kind of block.

    Attributes:
        posterior_: the Posterior, of standardised data; its `model` is a GaussianProcess or a Model.
        standardize_x_, standardize_y_: from the units of the user to those of `posterior_`, and with `undo` back.
        n_features_in_, feature_names_in_: of X; names only where it has them.
    """

    standardize_y_: Standardization
    standardise_y_ = renamed_attribute("standardise_y_", "standardize_y_")

    def __init__(
        self,
        group: Group | str | None = None,
        rep_in: Rep | str | None = None,
        rep_out: Rep | str | None = None,
        *,
        channels: int | Rep | None = None,
        layers: int | None = None,
        sigma_a: Sigma | None = None,
        sigma_b: Sigma | None = None,
        noise: Inferable | None = None,
        method: How = "auto",
        validation_fraction: float = 0.2,
        engine: EngineName | None = None,
        standardize: bool = True,
        random_state: RandomState = None,
        progress: bool = False,
    ) -> None:
        self.group, self.rep_in, self.rep_out = group, rep_in, rep_out
        self.channels, self.layers = channels, layers
        self.sigma_a, self.sigma_b, self.noise = sigma_a, sigma_b, noise
        self.method, self.validation_fraction, self.engine = method, validation_fraction, engine
        self.standardize, self.random_state, self.progress = standardize, random_state, progress

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Find the posterior.

        Args:
            X: (n, n_features).
            y: (n,) or (n, n_targets).

        Raises:
            TypeError, ValueError: naming the parameter or the array that does not fit.
        """
        check_unmasked(X, "X")
        check_unmasked(y, "y")
        x, checked = validate_data(self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True)
        self._one_target = checked.ndim == 1
        y = np.reshape(checked, (len(x), -1))
        shape = x.shape[1], y.shape[1], f"y has {y.shape[1]} column(s)"
        likelihood = None if self.noise is None else Gaussian(self.noise)
        model = self._functions(len(x), *shape, likelihood) or self._network(*shape)
        self.standardize_y_ = self._standardization(y, model.rep_out.rep, model.group, "y")
        size = 1.0 if self.standardize or not varies(y).any() else float(rms(y - y.mean(axis=0), axis=0).max())
        y = self.standardize_y_(y.astype(np.float64))
        if isinstance(model, GaussianProcess):
            self.posterior_ = self._fit_functions(model, x, y)
            return self
        method = self._method(len(x))
        calibrates = self.noise is None and isinstance(method, MAP) and not isinstance(method, Laplace)
        noise = self.noise
        if noise is None:
            start = START if isinstance(method, Laplace) else 1.0
            noise = FITTING * size if calibrates else Prior("HalfNormal", {"scale": start * size})
        seed = self._seed()
        self.posterior_, held = self._fit(x, y, model, Gaussian(noise), calibrates=calibrates, seed=seed)
        if calibrates and held is not None:
            self.posterior_ = _stacked(self.posterior_, *held, size)
            found = _noise_of(self.posterior_)
            if found < FITTING * size * LESS:  # weights learn what a noise of 0.1 hides from them
                again, _ = self._fit(x, y, model, Gaussian(found), calibrates=True, seed=seed)
                both = self.posterior_, _stacked(again, *held, size)
                self.posterior_ = max(both, key=lambda post: post.log_predictive(*held).sum())
        return self

    def predict(self, X: ArrayLike, return_std: bool = False) -> NDArray | tuple[NDArray, NDArray]:
        """Expected y at points.

        Args:
            X: (n, n_features).
            return_std: whether to return the standard deviation of a new observation as well: spread of the posterior
                and noise together.

        Returns:
            (n,), or (n, n_targets) if y was so, in the units of y; with return_std a pair of them.
        """
        x = self._points(X)
        p = self.posterior_.predict(x, samples=False)
        mean = self._targets(self.standardize_y_.undo(p.mean))
        return (mean, self._targets(p.std * self.standardize_y_.scale)) if return_std else mean

    def sample_y(self, X: ArrayLike, n_samples: int = 1, random_state: RandomState = 0) -> NDArray:
        """Draw new observations. Each sample follows one draw of the network, or function, over all points, with noise
        on top; functions are drawn at up to 1,200 numbers together.

        Args:
            X: (n, n_features).
            n_samples: how many.
            random_state: an int, a RandomState, or None.

        Returns:
            (n, n_samples), or (n, n_targets, n_samples) if y had columns.
        """
        x = self._points(X)
        rng = np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max))
        post = self.posterior_
        chosen = rng.integers(post.chains * post.draws, size=n_samples)
        draws, which = np.unique(chosen, return_inverse=True)
        if isinstance(post, FunctionPosterior):
            f = post.outputs(x).reshape(-1, len(x), post.model.rep_out.size)[draws]
        else:
            f = np.stack([post.function(*divmod(int(d), post.draws))(x) for d in draws])
        latents = {k: v.ravel()[chosen] for k, v in post.latents.items()}
        drawn = post.model.likelihood.sample(rng, f[which], latents)
        return np.moveaxis(self._targets(self.standardize_y_.undo(drawn)), 0, -1)

    def _targets(self, values: NDArray) -> NDArray:
        """(..., n, n_targets) in the shape that y had."""
        return values[..., 0] if self._one_target else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _noise_of(post: Posterior) -> float:
    likelihood: Any = post.model.likelihood
    return float(likelihood.noise)


def _stacked(post: Posterior, x: NDArray, y: NDArray, size: float) -> Posterior:
    """Members weighed by examples held out, and the noise of the same."""
    return _calibrated(stacked(_calibrated(post, x, y, size), x, y), x, y, size)


def _calibrated(post: Posterior, x: NDArray, y: NDArray, size: float) -> Posterior:
    """With the noise of examples held out."""
    found = held_out_noise(post.outputs(x)[0], y, size)
    return post.replace(model=post.model.replace(likelihood=Gaussian(found)))


def held_out_noise(f: NDArray, y: NDArray, size: float) -> float:
    """The noise with which examples that were not trained on are most probable, max_s log N(y | mean f, var f + s^2).

    Args:
        f: (draws, n, columns) outputs there; their spread is part of the prediction.
        y: (n, columns) what came.
        size: of y; the noise is looked for between a thousandth and ten times of it.
    """
    f = f.astype(np.float64)
    squares, spread = (y.astype(np.float64) - f.mean(axis=0)) ** 2, f.var(axis=0)

    def negative(log_noise: float) -> float:
        variance = spread + np.exp(2 * log_noise)
        return float((squares / variance + np.log(variance)).mean())

    low, high = (np.log(size * limit) for limit in NOISES)
    return float(np.exp(minimize_scalar(negative, bounds=(low, high), method="bounded").x))
