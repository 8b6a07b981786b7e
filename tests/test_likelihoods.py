import numpy as np
import numpyro.distributions as nd
import pyro.distributions as pd
import pytest
from scipy.stats import norm

from bayes_rpp import Gaussian, Prior
from bayes_rpp.likelihoods import likelihood_from_config

RNG = np.random.default_rng(0)
F, Y = RNG.normal(size=(2, 3, 5, 4)), RNG.normal(size=(5, 4))
INFERRED = Gaussian(nd.HalfNormal(0.5))


def test_log_prob_and_moments():
    fixed = Gaussian(0.3)
    np.testing.assert_allclose(fixed.log_prob(F, Y, {}), norm(F, 0.3).logpdf(Y).sum(axis=-1))
    noise = {"noise": np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])}
    got = INFERRED.log_prob(F, Y, noise)
    np.testing.assert_allclose(got[1, 2], norm(F[1, 2], 0.6).logpdf(Y).sum(axis=-1))
    assert INFERRED.variance(F, noise)[0, 1, 0, 0] == pytest.approx(0.04)
    drawn = fixed.sample(np.random.default_rng(0), np.zeros((1, 1, 20_000, 1)), {})
    assert drawn.std() == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize("lib", [nd, pd], ids=["numpyro", "pyro"])
@pytest.mark.parametrize(
    "make",
    [
        lambda lib: lib.HalfNormal(0.5),
        lambda lib: lib.LogNormal(-1.0, 0.5),
        lambda lib: lib.Gamma(2.0, 3.0),
        lambda lib: lib.HalfCauchy(0.5),
        lambda lib: lib.Exponential(2.0),
        lambda lib: lib.InverseGamma(2.0, 3.0),
    ],
)
def test_distributions_of_either_library_are_read(make, lib):
    prior = Prior.of(make(lib), "noise")
    assert type(prior.distribution(lib)) is type(make(lib))
    assert float(prior.distribution(nd).log_prob(0.7)) == pytest.approx(float(make(lib).log_prob(_number(lib, 0.7))))
    assert prior.start > 0


def _number(lib, value):
    import torch

    return torch.tensor(value) if lib is pd else value


def test_config_makes_it_again():
    for likelihood in (Gaussian(0.2), INFERRED):
        assert likelihood_from_config("Gaussian", likelihood.config()) == likelihood


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Gaussian(0), ValueError, "noise is 0"),
        (lambda: Gaussian(-0.1), ValueError, "noise is -0.1"),
        (lambda: Gaussian(float("inf")), ValueError, "noise is inf"),
        (lambda: Gaussian("0.1"), TypeError, "noise is '0.1'"),
        (lambda: Gaussian(nd.Normal(0, 1)), ValueError, "noise is a Normal"),
        (lambda: Gaussian(nd.HalfNormal(np.ones(3))), ValueError, "shape \\(3,\\)"),
        (lambda: Prior("Normal", {}), ValueError, "family is 'Normal'"),
        (lambda: Prior("HalfNormal", {"scale": -1.0}), ValueError, "scale of HalfNormal is -1"),
        (lambda: Prior("HalfNormal", {"rate": 1.0}), ValueError, "arguments of HalfNormal"),
        (lambda: likelihood_from_config("Cauchy", {}), ValueError, "Cauchy"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
