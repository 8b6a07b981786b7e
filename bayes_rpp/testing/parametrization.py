"""The contract of parametrizations: other coordinates of the same prior."""

from __future__ import annotations

import numpy as np

from bayes_rpp.priors.parametrization import Parametrization
from bayes_rpp.priors.pathway import ResidualPathway
from bayes_rpp.priors.subspaces.base import DenseSubspace, FullSubspace
from bayes_rpp.priors.subspaces.nested import NestedSubspace
from bayes_rpp.testing.arrays import libraries, same

DRAWS = 40_000
SITE = "layer.weight"


def check_parametrization(form: Parametrization, seed: int = 0) -> None:
    """Check that a parametrization does what models and methods ask of it.

    join(split(w)) is w, for numpy, torch and JAX arrays with leading dimensions; what is drawn at the sites, joined,
    has the covariance of the prior: with one pathway, with two, and the same in all directions.

    Args:
        form: to be given to `Model(parametrization=...)`.
        seed: of the weights and draws.

    Raises:
        AssertionError: naming what does not hold.
    """
    assert isinstance(form, Parametrization), f"form must be a Parametrization, got a {type(form).__name__}"
    hash(form)  # what is compiled is found by it
    rng = np.random.default_rng(seed)
    inner = DenseSubspace((2, 2), rng.normal(size=(4, 1)))
    outer = DenseSubspace((2, 2), np.column_stack([inner.basis(), rng.normal(size=4)]))
    for prior in (
        ResidualPathway(outer, 1.3, 0.4),
        ResidualPathway(NestedSubspace([inner, outer]), (1.3, 0.7), 0.4),
        ResidualPathway(FullSubspace((2, 2)), 0.8, 0.0),
    ):
        _check(form, prior, rng)


def _check(form: Parametrization, prior: ResidualPathway, rng: np.random.Generator) -> None:
    parts = form.parts(SITE, prior)
    assert parts, f"parts must name a site, got none for {prior}"
    assert all(s.startswith(SITE) for s in parts), f"sites must begin with the weight's name, got {', '.join(parts)}"
    w = rng.normal(size=(3, *prior.shape))
    for name, array, tolerance in libraries():
        values = form.split(SITE, prior, array(w))
        assert values.keys() == parts.keys(), f"split must give {', '.join(parts)}, got {', '.join(values)}"
        for site, part in parts.items():
            assert tuple(values[site].shape) == (3, *part.shape), f"{site} must have the shape of its prior"
        same(form.join(SITE, prior, values), w, f"join(split) of {name} arrays", 10 * tolerance)
    drawn = {site: part.color(rng.normal(size=(DRAWS, *part.shape))) for site, part in parts.items()}
    flat = form.join(SITE, prior, drawn).reshape(DRAWS, -1)
    products = flat[:, :, None] * flat[:, None, :]
    gap = np.abs(products.mean(axis=0) - prior.covariance())
    error = products.std(axis=0) / np.sqrt(DRAWS)
    assert (gap < 6 * error + 1e-9).all(), f"what is drawn must have the covariance of {prior}"
