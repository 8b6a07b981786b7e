"""RPPClassifier: classes with soft symmetry, as scikit-learn's tools take it."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from bayes_rpp._deprecation import renamed_arguments
from bayes_rpp._given import check_unmasked
from bayes_rpp._types import ArrayLike, EngineName, Labels
from bayes_rpp.estimators.base import FLOATS, How, RandomState, RPPEstimator, stacked
from bayes_rpp.inference.posterior.functions import FunctionPosterior
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.models.likelihoods import Bernoulli, Categorical
from bayes_rpp.priors.hyper import Sigma
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep

TEMPERATURE = 0.1


@renamed_arguments(standardise="standardize")
class RPPClassifier(ClassifierMixin, RPPEstimator):
    """Two or more classes by functions or a network whose prior prefers a symmetry as far as the data have it.

    Parameters are looked at in `fit`. Sample weights are not supported. Its probabilities are set beside those of
    scikit-learn's classifiers in docs/results/classifiers.md.

    Args:
        group, rep_in: as in RPPRegressor.
        rep_out: how the group acts on the classes in the order of `classes_`, such as "Vector" where it permutes them;
            of the size of their number. None: it leaves them as they are.
        channels, layers, sigma_a, sigma_b, method, engine, standardize, random_state, progress: as in RPPRegressor, but
            that functions have sigmas in units of logits, and that "auto" takes them for up to 1,000 examples of two
            classes and, of more that no group permutes, while their number times the cube of that of examples is up to
            2.5e10, or with 2 to 20 columns and no group a third of it: 1,357 examples of ten classes.
        temperature: what a network's outputs are divided by to give logits: below 1 the prior expects sure classes.
            None: 0.1. At 1 its probabilities stay near those of chance on tables of some hundred rows. Functions have
            none, as their sigmas are inferred: given, it means networks, and with method="gp" it is an error.
        validation_fraction: share of each class that is held out for early stopping, where the method has patience.

    Of functions, probabilities are those of the posterior mean of the logits: averaged over Laplace's approximation, as
    `posterior_.predict` has them, they come out shy where classes are well apart (Kuss and Rasmussen 2005, JMLR 6).

    Attributes:
        classes_: (n_classes,) the labels, sorted.
        posterior_: the Posterior, of standardised X and of the classes' numbers in `classes_`. Functions have one logit
            for two classes.
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
        layers: int | None = None,
        sigma_a: Sigma | None = None,
        sigma_b: Sigma | None = None,
        temperature: float | None = None,
        method: How = "auto",
        validation_fraction: float = 0.2,
        engine: EngineName | None = None,
        standardize: bool = True,
        random_state: RandomState = None,
        progress: bool = False,
    ) -> None:
        self.group, self.rep_in, self.rep_out = group, rep_in, rep_out
        self.channels, self.layers = channels, layers
        self.sigma_a, self.sigma_b, self.temperature = sigma_a, sigma_b, temperature
        self.method, self.validation_fraction, self.engine = method, validation_fraction, engine
        self.standardize, self.random_state, self.progress = standardize, random_state, progress

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
            raise ValueError(f"y must have two classes or more, got one class, {self.classes_.tolist()[0]!r}")
        binary = count == 2 and self.rep_out is None
        likelihood = Bernoulli() if binary else Categorical()
        gp = self._functions(len(x), x.shape[1], 1 if binary else count, f"y has {count} classes", likelihood)
        if gp is not None:
            self.posterior_ = self._fit_functions(gp, x, numbers[:, None].astype(np.float64))
            return self
        net = self._network(x.shape[1], count, f"y has {count} classes")
        temperature = TEMPERATURE if self.temperature is None else self.temperature
        self.posterior_, held = self._fit(x, numbers[:, None], net, Categorical(temperature))
        if held is not None:
            self.posterior_ = stacked(self.posterior_, *held)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """Probability of each class at points (n, n_features), (n, n_classes) in the order of `classes_`."""
        x = self._points(X)  # first: it says that nothing was fitted
        return class_probabilities(self.posterior_, x)

    def predict(self, X: ArrayLike) -> NDArray:
        """The most probable class at points (n, n_features), (n,) labels."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


def class_probabilities(post: Posterior, x: NDArray) -> NDArray:
    """Of each class, (n, n_classes), at standardised points (n, n_features)."""
    if not isinstance(post, FunctionPosterior):
        return post.predict(x, samples=False).mean
    p = post.model.likelihood.mean(post.mean_function(x))
    return np.hstack([1 - p, p]) if p.shape[1] == 1 else p
