"""RPPClassifier: classes by a network with soft symmetry, as scikit-learn's tools take it."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._deprecation import renamed_arguments
from bayes_rpp._given import check_unmasked
from bayes_rpp._types import ArrayLike, EngineName, Labels
from bayes_rpp.estimators.base import FLOATS, RandomState, RPPEstimator, validate_data
from bayes_rpp.inference.methods import Method
from bayes_rpp.models.likelihoods import Categorical
from bayes_rpp.priors.hyper import Sigma
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep

from sklearn.base import ClassifierMixin  # isort: skip (base says what to install where it is missing)
from sklearn.utils.multiclass import check_classification_targets  # isort: skip


@renamed_arguments(standardise="standardize")
class RPPClassifier(ClassifierMixin, RPPEstimator):
    """Two or more classes by a network whose prior prefers a symmetry as far as the data have it.

    Parameters are looked at in `fit`. Sample weights are not supported. Its probabilities are set beside those of
    scikit-learn's classifiers in docs/results/estimators.md.

    Args:
        group, rep_in: as in RPPRegressor.
        rep_out: how the group acts on the classes in the order of `classes_`, such as "Vector" where it permutes them;
            of the size of their number. None: it leaves them as they are.
        channels, layers, sigma_a, sigma_b, method, engine, standardize, random_state: as in RPPRegressor.
        temperature: what the network's outputs are divided by to give logits: below 1 the prior expects sure classes.
            At 1 its probabilities stay near those of chance on tables of some hundred rows.
        validation_fraction: share of each class that is held out for early stopping, where the method has patience.

    Attributes:
        classes_: (n_classes,) the labels, sorted.
        posterior_: the Posterior, of standardised X and of the classes' numbers in `classes_`.
        standardize_x_: from the units of the user to those of `posterior_`.
        n_features_in_, feature_names_in_: of X; names only where it has them.
    """

    classes_: NDArray

    def __init__(
        self,
        group: Group | str | None = None,
        rep_in: Rep | str | None = None,
        rep_out: Rep | str | None = None,
        *,
        channels: int | Rep | None = None,
        layers: int = 2,
        sigma_a: Sigma = 1.0,
        sigma_b: Sigma | None = None,
        temperature: float = 0.1,
        method: Method | None = None,
        validation_fraction: float = 0.2,
        engine: EngineName | None = None,
        standardize: bool = True,
        random_state: RandomState = None,
    ) -> None:
        self.group, self.rep_in, self.rep_out = group, rep_in, rep_out
        self.channels, self.layers = channels, layers
        self.sigma_a, self.sigma_b, self.temperature = sigma_a, sigma_b, temperature
        self.method, self.validation_fraction, self.engine = method, validation_fraction, engine
        self.standardize, self.random_state = standardize, random_state

    def fit(self, X: ArrayLike, y: ArrayLike | Labels) -> Self:
        """Find the posterior.

        Args:
            X: (n, n_features).
            y: (n,) labels of any kind, two different ones or more.

        Raises:
            TypeError, ValueError: naming the parameter or the array that does not fit.
        """
        check_unmasked(X, "X")
        check_unmasked(y, "y", labels=True)
        x, labels = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        count = len(self.classes_)
        if count < 2:
            raise ValueError(f"y must have two classes or more, got {self.classes_[0]!r} alone")
        net = self._network(x.shape[1], count, f"y has {count} classes")
        self.posterior_, _ = self._fit(x, numbers[:, None], net, Categorical(self.temperature))
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """Probability of each class at points (n, n_features), (n, n_classes) in the order of `classes_`."""
        x = self._points(X)
        return self.posterior_.predict(x, samples=False).mean

    def predict(self, X: ArrayLike) -> NDArray:
        """The most probable class at points (n, n_features), (n,) labels."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]
