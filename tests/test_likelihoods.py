import numpy as np
import pytest
from scipy.stats import norm

from bayes_rpp import EMLP, Bernoulli, Categorical, Gaussian, Model, O, Poisson, Prior, Scalar, StudentT, Vector
from bayes_rpp.engines.base import get_engine
from bayes_rpp.models.data import check_data
from bayes_rpp.models.likelihoods import likelihood_from_config

nd = pytest.importorskip("numpyro.distributions")
pd = pytest.importorskip("pyro.distributions")

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


CASES = {
    "gaussian": (INFERRED, Y),
    "student": (StudentT(nd.HalfNormal(0.5), nd.Gamma(2.0, 0.1)), Y),
    "fixed student": (StudentT(0.3, 5.0), Y),
    "bernoulli": (Bernoulli(), (Y > 0).astype(float)),
    "categorical": (Categorical(), np.array([[0.0], [3], [1], [1], [2]])),
    "cool categorical": (Categorical(temperature=0.7), np.array([[0.0], [3], [1], [1], [2]])),
    "poisson": (Poisson(), np.floor(np.abs(3 * Y))),
}
LATENTS = {"noise": np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]), "df": np.array([[3.0, 4, 5], [6, 7, 8]])}
each_likelihood = pytest.mark.parametrize("name", CASES)


@each_likelihood
def test_log_prob_is_the_libraries_own(name, engine):
    import torch

    lib = get_engine(engine)
    likelihood, y = CASES[name]
    latents = {k: LATENTS[k] for k in likelihood.latents}
    array = torch.as_tensor if engine == "pyro" else np.asarray
    # In the model, examples have a dimension of their own, which the numbers broadcast over.
    of_draws = {k: array(v[..., None]) for k, v in latents.items()}
    distribution = likelihood.distribution(lib, array(F), of_draws)
    assert tuple(distribution.batch_shape) == (2, 3, 5)
    got = np.asarray(distribution.log_prob(likelihood.observed(lib, lib.array(y))))
    np.testing.assert_allclose(likelihood.log_prob(F, y, latents), got, rtol=1e-4, atol=1e-5)


@each_likelihood
def test_expansions_are_the_gradient_and_its_expectation(name):
    """To finite differences; the curvature of StudentT in mean over y."""
    likelihood, y = CASES[name]
    numbers = {k: float(LATENTS[k][0, 1]) for k in likelihood.latents}
    f = F[0, 0]
    slope, bend = likelihood.expansion(f, y, numbers)
    assert bend.shape == (*f.shape, f.shape[1])
    eye = np.eye(f.shape[1])
    for i, e in enumerate(1e-5 * eye):
        ends = [likelihood.log_prob(f + s * e, y, numbers) for s in (1, -1)]
        np.testing.assert_allclose(slope[:, i], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-6)
        if not isinstance(likelihood, StudentT):
            ends = [likelihood.expansion(f + s * e, y, numbers)[0] for s in (1, -1)]
            np.testing.assert_allclose(bend[:, :, i], (ends[1] - ends[0]) / 2e-5, rtol=1e-5, atol=1e-6)
    if isinstance(likelihood, StudentT):
        many = likelihood.sample(np.random.default_rng(0), np.zeros((200_000, 1)), numbers)
        fisher = (likelihood.expansion(np.zeros_like(many), many, numbers)[0] ** 2).mean()
        assert bend[0, 0, 0] == pytest.approx(fisher, rel=0.02)


@each_likelihood
def test_samples_have_the_mean_and_variance(name):
    likelihood, y = CASES[name]
    f = np.broadcast_to(F[:1, :1], (1, 1, *F.shape[2:]))
    latents = {k: LATENTS[k][-1:, -1:] for k in likelihood.latents}
    many = np.repeat(f, 20_000, axis=0)
    drawn = likelihood.sample(
        np.random.default_rng(0), many, {k: np.repeat(v, 20_000, axis=0) for k, v in latents.items()}
    )
    assert drawn.shape[2:] == y.shape
    if isinstance(likelihood, Categorical):
        drawn = drawn == np.arange(4)
    variance = np.broadcast_to(likelihood.variance(f, latents), f.shape)[0, 0]
    np.testing.assert_allclose(
        drawn.mean(axis=(0, 1)), likelihood.mean(f)[0, 0], atol=5 * (variance.max() / 20_000) ** 0.5
    )
    np.testing.assert_allclose(drawn.var(axis=(0, 1)), variance, rtol=0.25)


def test_students_variance_is_infinite_up_to_two_degrees():
    assert np.isinf(StudentT(0.1, 2.0).variance(F, {})).all()


@pytest.mark.parametrize(
    ("likelihood", "y", "message"),
    [
        (Bernoulli(), [[0.0, 2.0]], "y must be 0 or 1, got 2 in row 0, column 1"),
        (Categorical(), [[2.0]], "y must be a class from 0 to 1, got 2 in row 0, column 0"),
        (Categorical(), [0.5], r"y must be a class from 0 to 1, got 0\.5 in row 0, column 0"),
        (Categorical(), [[0, 1]], "y must have 1 column, as a Categorical likelihood needs, got 2"),
        (Poisson(), [[1.5, 0]], r"y must be a count 0, 1, 2, \.\.\., got 1\.5 in row 0, column 0"),
        (Poisson(), [[-1.0, 0]], "a count"),
    ],
)
def test_data_that_cannot_come_from_it_are_named(likelihood, y, message):
    model = Model(EMLP(Vector, 2 * Scalar, O(3), layers=0), likelihood=likelihood)
    with pytest.raises(ValueError, match=message):
        check_data(model, np.zeros((len(y), 3)), y)


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
    engines = {name: get_engine(name) for name in ("pyro", "numpyro")}
    assert type(prior.distribution(engines["pyro" if lib is pd else "numpyro"])) is type(make(lib))
    assert float(prior.distribution(engines["numpyro"]).log_prob(0.7)) == pytest.approx(
        float(make(lib).log_prob(_number(lib, 0.7)))
    )
    assert prior.start > 0


def _number(lib, value):
    import torch

    return torch.tensor(value) if lib is pd else value


def test_config_makes_it_again():
    for likelihood in (Gaussian(0.2), INFERRED, *(likelihood for likelihood, _ in CASES.values())):
        assert likelihood_from_config(type(likelihood).__name__, likelihood.config()) == likelihood


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Gaussian(0), ValueError, "noise must be a number > 0, got 0"),
        (lambda: Gaussian(-0.1), ValueError, r"noise must be a number > 0, got -0\.1"),
        (lambda: Gaussian(float("inf")), ValueError, "noise must be a number > 0, got inf"),
        (lambda: Gaussian("0.1"), TypeError, r"noise must be a positive number, or a distribution, got '0\.1'"),
        (
            lambda: Gaussian(nd.Normal(0, 1)),
            ValueError,
            "noise must be a distribution of positive numbers, got a Normal",
        ),
        (lambda: Gaussian(nd.HalfNormal(np.ones(3))), ValueError, "shape \\(3,\\)"),
        (lambda: Categorical(0), ValueError, "temperature must be a number > 0, got 0"),
        (lambda: Categorical(nd.HalfNormal(1.0)), TypeError, "temperature must be a number > 0, got a distribution"),
        (lambda: Prior("Normal", {}), ValueError, r"family must be one of HalfNormal,.*, got 'Normal'"),
        (
            lambda: Prior("HalfNormal", {"scale": -1.0}),
            ValueError,
            r"scale of HalfNormal must be a finite number > 0, got -1\.0",
        ),
        (lambda: Prior("HalfNormal", {"rate": 1.0}), ValueError, "arguments of HalfNormal"),
        (lambda: likelihood_from_config("Cauchy", {}), ValueError, "Cauchy"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
