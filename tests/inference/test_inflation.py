"""Standard deviations of functions by leave-one-out: against refits, and what of a posterior they change."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_rpp import MAP, Bernoulli, D, Gaussian, GaussianProcess, Posterior, Scalar, Trivial, Vector, fit, kernels
from bayes_rpp.models.process.evidence import GaussianEvidence
from bayes_rpp.models.process.inducing import InducedEvidence

REPS = (Scalar + Vector, Vector + Scalar)
FIXED = {"kernel": kernels.RBF(), "lengthscale": 1.5, "mean_size": 1.0, "likelihood": Gaussian(0.2), "scale": None}
POINTS = np.arange(5)  # that are inducing


@pytest.mark.parametrize("induced", [False, True])
def test_it_is_the_size_of_what_refits_without_an_example_are_off_by(induced):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 3))
    gp = GaussianProcess(*REPS, D(3), sigma_a=1.0, sigma_b=0.3, offset=[0, 0, 0.5], **FIXED)

    def evidence(rows):
        return InducedEvidence(gp, x[rows], y[rows], 0, POINTS) if induced else GaussianEvidence(gp, x[rows], y[rows])

    whole, squares = evidence(slice(None)), []
    count, basis = len(POINTS) if induced else 0, whole.covariance.outputs.basis
    for i in range(count, 12):
        other = evidence(np.delete(np.arange(12), i)).conditional({}).marginal(x[i : i + 1])
        spread = np.diag(basis.T @ other.covariance[0] @ basis) + 0.2**2
        squares.append(((y[i] - other.mean[0]) @ basis) ** 2 / spread)
    found = [gaps**2 / np.einsum("iaa->ia", s)[..., None] for _, gaps, s in whole._without({})]
    each = sum(f.reshape(12, -1).sum(axis=1) for f in found)  # inducing points themselves stay in the bound
    np.testing.assert_allclose(each[count:], np.sum(squares, axis=1), rtol=1e-6)
    assert whole.inflation({}) == pytest.approx(np.sqrt(each.sum() / y.size), rel=1e-9)


@pytest.fixture(scope="module")
def kink():
    """A function that is not as smooth as an RBF takes it for, without noise."""
    x = np.random.default_rng(0).uniform(-2, 2, size=(30, 1))
    return fit(GaussianProcess(Scalar, Scalar, Trivial(1), kernel=kernels.RBF()), x, np.abs(x), MAP(), progress=False)


def test_all_standard_deviations_are_larger_by_it_and_means_are_not(kink, tmp_path):
    plain, s = replace(kink, inflation=1.0), kink.inflation
    assert s > 1.05
    z = np.linspace(-2, 2, 9)[:, None]
    one, other = kink.predict(z), plain.predict(z)
    np.testing.assert_allclose(one.mean, other.mean)
    np.testing.assert_allclose(one.std, s * other.std, rtol=1e-9)
    np.testing.assert_allclose(kink.covariance(z), s**2 * plain.covariance(z), rtol=1e-9)
    mean = kink.mean_function(z)
    np.testing.assert_allclose(kink.outputs(z) - mean, s * (plain.outputs(z) - mean), atol=1e-6)
    np.testing.assert_allclose(kink.function()(z) - mean, s * (plain.function()(z) - mean), atol=1e-6)
    y = np.abs(z)
    logp = -0.5 * ((y - one.mean) / one.std) ** 2 - np.log(one.std) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(kink.log_predictive(z, y), logp[:, 0], rtol=1e-9)
    np.testing.assert_array_equal(kink.left_out(), plain.left_out())
    assert any("leave-one-out" in note for note in kink.summary().notes)
    again = Posterior.load(kink.save(tmp_path / "kink.nc"))
    assert again.inflation == s
    np.testing.assert_allclose(again.predict(z).std, one.std)


@pytest.mark.parametrize(
    "given", [{"likelihood": Gaussian(0.01)}, {"sigma_a": 1.0}, {"likelihood": Bernoulli()}], ids=str
)
def test_what_is_given_is_taken_as_it_is(kink, given):
    gp = GaussianProcess(Scalar, Scalar, Trivial(1), kernel=kernels.RBF(), **given)
    y = (kink.y > 1).astype(float) if isinstance(given.get("likelihood"), Bernoulli) else kink.y
    assert fit(gp, kink.x, y, MAP(), progress=False).inflation == 1.0
