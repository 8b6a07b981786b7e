"""What the estimators share: the symmetry, the network or the functions, and the method that their parameters name."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from bayes_rpp._deprecation import renamed_arguments, renamed_attribute
from bayes_rpp._given import check_unmasked
from bayes_rpp._numerics import rms
from bayes_rpp._types import ArrayLike, EngineName
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.datasets.splits import split_rows
from bayes_rpp.engines.base import check_engine
from bayes_rpp.estimators.functions import are_orthogonal, are_small, fit_functions, networks_alone
from bayes_rpp.estimators.nested import numbers_of, with_numbers
from bayes_rpp.inference.fit import fit
from bayes_rpp.inference.methods import DeepEnsemble, Method, Optimizer
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.posterior.stacking import stacking_weights
from bayes_rpp.inference.run.rounding import warn_of_rounding
from bayes_rpp.inference.run.task import check_method
from bayes_rpp.models.data import Data
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.likelihoods import Categorical
from bayes_rpp.models.model import Model
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.networks.emlp import EMLP
from bayes_rpp.networks.mlp import MLP
from bayes_rpp.networks.network import Network
from bayes_rpp.priors.hyper import PerLayer, Prior, Sigma
from bayes_rpp.priors.kernels.scalar import RBF
from bayes_rpp.symmetry.groups import Group, Trivial
from bayes_rpp.symmetry.parse import parse_group, parse_rep
from bayes_rpp.symmetry.representations import Rep, Scalar, bind_rep

LAYERS, SIGMA_A = 2, 1.0
CHANNELS = (64, 128)  # without and with a group, whose tensors of higher rank need more
FLOATS = [np.float64, np.float32]  # those of X that are kept, as they say what rounding is
HYPERPRIOR = 0.005  # scale of sigma_b: exact, approximate and wrong symmetries are all told by it
MEMBERS, STEPS, EPOCHS, PATIENCE = 5, 3000, (20, 300), 50
SHARES = 2  # of each member, in which weights are counted
COUNTED = "members counted"
CHANCE = 3.0  # standard errors by which a member may be worse
BATCHES, BATCH_SIZE = 8, (16, 128)

How: TypeAlias = Method | Literal["auto", "gp"] | None
RandomState: TypeAlias = int | np.random.RandomState | None


class RPPEstimator(BaseEstimator):
    """Base of RPPRegressor and RPPClassifier; scikit-learn finds their parameters in their own `__init__`."""

    group: Group | str | None
    rep_in: Rep | str | None
    rep_out: Rep | str | None
    channels: int | Rep | None
    layers: int | None
    sigma_a: Sigma | None
    sigma_b: Sigma | None
    method: How
    validation_fraction: float
    engine: EngineName | None
    standardize: bool
    random_state: RandomState
    progress: bool

    posterior_: Posterior
    standardize_x_: Standardization
    standardise = renamed_attribute("standardise", "standardize")
    standardise_x_ = renamed_attribute("standardise_x_", "standardize_x_")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; deep: also the numbers of the method and of distributions, as "method__epochs" and
        "noise__scale"."""
        found: dict[str, Any] = super().get_params(deep=False)
        inner = {f"{name}__{k}": v for name, value in found.items() for k, v in numbers_of(value).items()}
        return found | inner if deep else found

    @renamed_arguments(standardise="standardize")
    def set_params(self, **params: Any) -> Self:
        """Set parameters, also those inside of a method or distribution, which is replaced by another.

        Raises:
            ValueError: naming a parameter that there is not, and what would do.
        """
        inside: dict[str, dict[str, Any]] = {}
        for key in list(params):
            name, nested, inner = key.partition("__")
            if nested and name in self._get_param_names():
                inside.setdefault(name, {})[inner] = params.pop(key)
        super().set_params(**params)
        for name, changes in inside.items():
            setattr(self, name, with_numbers(getattr(self, name), changes, name))
        return self

    def equivariance_error(self, X: ArrayLike, *, seed: int = 0) -> NDArray:
        """How far the fitted function is from equivariant: Eq. 2's |a - b| / (|a| + |b|), a random g for each point.

        Args:
            X: (n, n_features) points.
            seed: of the group elements g.

        Returns:
            (chain, draw, n), from 0 to 1, of each draw of the network or functions, of the outputs in standardised
            units; for classes of the logits.
        """
        x = self._points(X)
        return self.posterior_.equivariance_error(x, seed=seed)

    def _points(self, X: ArrayLike) -> NDArray:
        """Checked and standardised inputs."""
        check_is_fitted(self)
        check_unmasked(X, "X")
        x = validate_data(self, X, dtype=FLOATS, reset=False)
        return self.standardize_x_(x.astype(np.float64))

    def _method(self, n: int) -> Method:
        """The method for n examples."""
        return default_method(n) if self.method in (None, "auto") else check_method(self.method)

    def _fit(
        self,
        x: NDArray,
        y: NDArray,
        net: Network,
        likelihood: Likelihood,
        *,
        calibrates: bool = False,
        seed: int | None = None,
    ) -> tuple[Posterior, Data | None]:
        """The posterior of checked x (n, d_in) in the user's units and y (n, columns) in the model's, and what was held
        out, in the model's units, if anything was: for early stopping, or to calibrate."""
        self.standardize_x_ = self._standardization(x, net.rep_in.rep, net.group, "X")
        # A plain network has no residual: its weights are all inside.
        residual = PerLayer(Prior("HalfNormal", {"scale": HYPERPRIOR})) if isinstance(net, EMLP) else 0.0
        sigma_b = residual if self.sigma_b is None else self.sigma_b
        sigma_a = SIGMA_A if self.sigma_a is None else self.sigma_a
        model = Model(net, sigma_a=sigma_a, sigma_b=sigma_b, likelihood=likelihood)
        method = self._method(len(x))
        seed = self._seed() if seed is None else seed
        x = self.standardize_x_(x.astype(np.float64))
        warn_of_rounding(check_engine(self.engine, net.engines), X=x, y=y)
        x, y = x.astype(np.float32), y.astype(np.float32)
        stops = isinstance(method, Optimizer) and method.patience is not None
        train, held = np.arange(len(x)), None
        if stops or calibrates:
            classes = y[:, 0] if isinstance(likelihood, Categorical) else None
            train, held = split_rows(len(x), self._held_out(len(x)), seed, classes)
        validation = None if held is None else (x[held], y[held])
        options: dict[str, Any] = {"engine": self.engine, "seed": seed, "progress": self.progress}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*lag behind the best one", ConvergenceWarning)  # they weigh less
            post = fit(model, x[train], y[train], method, validation=validation if stops else None, **options)
        # In float32 the prediction for a row would depend, by rounding, on the rows it is asked for with.
        return post.replace(samples={k: v.astype(np.float64) for k, v in post.samples.items()}), validation

    def _functions(
        self, n: int, columns: int, outputs: int, owner: str, likelihood: Likelihood | None
    ) -> GaussianProcess | None:
        """What to fit to n examples if it is functions; None for a network."""
        if not isinstance(self.method, str):
            return None
        if self.method not in ("auto", "gp"):
            raise TypeError(f"method must be 'auto', 'gp' or a Method such as MAP(), got {self.method!r}")
        group, rep_in, rep_out = self._symmetry(columns, outputs, owner)
        unused = networks_alone(self)
        if self.method == "auto" and (unused or not are_orthogonal(group, rep_in, rep_out)):
            return None
        for name, value in unused.items():
            raise ValueError(
                f"{name} must be None with method='gp', as functions have no such thing, got {value!r}; method=None, "
                "networks, would do"
            )
        sigmas: dict[str, Any] = {"sigma_a": self.sigma_a, "sigma_b": self.sigma_b}
        kernel = RBF() if group.is_trivial else None
        gp = GaussianProcess(rep_in, rep_out, group, kernel=kernel, **sigmas, likelihood=likelihood)
        return gp if self.method == "gp" or are_small(gp, n) else None

    def _fit_functions(self, gp: GaussianProcess, x: NDArray, y: NDArray) -> Posterior:
        """Their posterior, as `_fit` finds that of networks."""
        self.standardize_x_ = self._standardization(x, gp.rep_in.rep, gp.group, "X")
        return fit_functions(gp, self.standardize_x_(x.astype(np.float64)), y, self.engine, self._seed())

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _held_out(self, n: int) -> int:
        """How many of n examples to hold out, one at least."""
        share = self.validation_fraction
        if isinstance(share, bool) or not isinstance(share, (int, float, np.number)) or not 0 < share < 1:
            raise ValueError(f"validation_fraction must be a number between 0 and 1, got {share!r}; 0.2 would do")
        if n < 2:
            raise ValueError("X must have 2 samples or more where some are held out, got 1 sample")
        return min(max(1, round(share * n)), n - 1)

    def _standardization(self, values: NDArray, rep: Rep, group: Group, name: str) -> Standardization:
        if not self.standardize:
            return Standardization.none(values.shape[1])
        found = Standardization.of(values, rep, [group], together="copy")
        found.warn_of_offset(values, name)
        return found

    def _network(self, columns: int, outputs: int, owner: str) -> Network:
        """The network from X of so many columns to so many outputs, of which `owner` is the description."""
        group, rep_in, rep_out = self._symmetry(columns, outputs, owner)
        known = self.group is not None
        channels: Any = self.channels if self.channels is not None else CHANNELS[known]
        layers = LAYERS if self.layers is None else self.layers
        if not known:
            return MLP(columns, outputs, group, channels=channels, layers=layers)
        return EMLP(rep_in, rep_out, group, channels=channels, layers=layers)

    def _symmetry(self, columns: int, outputs: int, owner: str) -> tuple[Group, Rep, Rep]:
        """The group, and how it acts on X of so many columns and so many outputs; without a group the trivial one."""
        group = parsed(self.group, parse_group, Group, "group")
        if group is None:
            for name in ("rep_in", "rep_out"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"group must be given where {name} is, got None and {name}={getattr(self, name)!r}; "
                        "group='O(3)' would do"
                    )
            return Trivial(1), columns * Scalar, outputs * Scalar
        rep_in = parsed(self.rep_in, parse_rep, Rep, "rep_in")
        rep_out = parsed(self.rep_out, parse_rep, Rep, "rep_out")
        if rep_in is None:
            raise ValueError(f"rep_in must say how {group} acts on X, got None; '2*Scalar + Vector' would do")
        sizes = (("rep_in", rep_in, columns, f"X has {columns} columns"), ("rep_out", rep_out, outputs, owner))
        for name, rep, size, what in sizes:
            if rep is not None and (found := bind_rep(rep, group, name)).size != size:
                raise ValueError(f"{name} must have size {size}, as {what}, got {found.size}{found.advice(size)}")
        return group, rep_in, outputs * Scalar if rep_out is None else rep_out


def parsed(value: Any, parse: Any, kind: type, name: str) -> Any:
    """A Group or Rep, from text if need be; None stays None.

    Raises:
        TypeError, ValueError: naming the parameter.
    """
    if value is None or isinstance(value, kind):
        return value
    if not isinstance(value, str):
        example = "'O(3)'" if kind is Group else "'2*Scalar + Vector'"
        raise TypeError(f"{name} must be a {kind.__name__} or text, got {value!r}; {example} would do")
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def stacked(post: Posterior, x: NDArray, y: NDArray) -> Posterior:
    """An ensemble whose members count by how well they predict examples held out, each as often as its weight: the mean
    of the weights of stacking (Yao et al. 2018) and of equal ones. Those alone would leave one member, and no spread,
    where the best is so by chance; of the equal ones have none those that are worse than the best beyond it."""
    members = post.draws
    if post.chains > 1 or members < 2 or not post.method.startswith("DeepEnsemble("):
        return post
    scores = post.log_likelihood(x, y)[0].T.astype(np.float64)
    lost = scores[:, [scores.mean(axis=0).argmax()]] - scores
    # Of fewer than CHANCE^2 examples nothing is beyond chance: a mean is at most the root of the mean square.
    equal = lost.mean(axis=0) <= CHANCE * rms(lost, axis=0) / np.sqrt(len(lost))
    weights = (stacking_weights(scores) + equal / equal.sum()) / 2
    counts = np.round(weights * SHARES * members).astype(int)
    counts //= np.gcd.reduce(counts)
    rows = np.repeat(np.arange(members), counts)
    return post.replace(
        samples={k: v[:, rows] for k, v in post.samples.items()},
        method=f"{post.method}, {COUNTED} {' '.join(map(str, counts))} times",
    )


def default_method(n: int) -> DeepEnsemble:
    """An ensemble of up to about 3000 steps (more only of many examples) in batches that suit n examples, which stops
    early."""
    batch = int(np.clip(n // BATCHES, *BATCH_SIZE))
    epochs = int(np.clip(STEPS // max(1, n // batch), *EPOCHS))
    return DeepEnsemble(members=MEMBERS, epochs=epochs, batch_size=batch, patience=PATIENCE)
