"""The evidence of a GaussianProcess: against dense covariances, and its derivatives against differences."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bayes_rpp import (
    SO,
    Bernoulli,
    Categorical,
    D,
    Gaussian,
    GaussianProcess,
    Group,
    O,
    Poisson,
    Prior,
    S,
    Scalar,
    StudentT,
    T,
    Trivial,
    Vector,
    kernels,
)
from bayes_rpp.models.process.conditional import assemble
from bayes_rpp.models.process.covariance import Covariance
from bayes_rpp.models.process.laplace import evidence_of
from bayes_rpp.models.process.reduction import Classes, Whole, prior_of
from bayes_rpp.subspaces import equivariant_basis

MIRROR = Group(2, discrete_generators=[np.diag([1.0, -1.0])], name="mirror")
SOME = Prior("HalfNormal", {"scale": 1.0})
REPS = (Scalar + Vector, Vector + Scalar)
N = 6


def inputs(size, n=N, seed=0):
    return np.random.default_rng(seed).normal(size=(n, size))


def at(gp, seed=0):
    """Numbers for all sites, of a size of about 1."""
    rng = np.random.default_rng(seed)
    found = {k: float(np.exp(0.3 * rng.normal())) for k in gp.latents}
    return found | {k: 5.0 * v for k, v in found.items() if k == "df"}


def rbf(x, z, scale):
    return np.exp(-0.5 * (((x[:, None] - z[None]) / scale) ** 2).sum(-1))


def averaged(k, x, before, after, scale):
    """Mean over the group of k(x, g x') rho(g), with all outputs of an example side by side."""
    found = [np.kron(k(x, x @ before.rho(g).T, scale), after.rho(g)) for g in before.group.elements]
    return np.mean(found, axis=0)


@pytest.mark.parametrize("scale", [None, "data"])
@pytest.mark.parametrize("groups", [[D(3)], [D(4), MIRROR], [MIRROR, D(3), Trivial(2)]], ids=str)
def test_the_evidence_is_that_of_the_dense_covariance(groups, scale):
    a = [0.9, 0.5, 0.3][: len(groups)]
    gp = GaussianProcess(
        *REPS,
        groups,
        sigma_a=a if len(groups) > 1 else a[0],
        sigma_b=0.4,
        lengthscale={"Scalar": 1.5, "Vector": 0.8},
        likelihood=Gaussian(0.2),
        mean="constant",
        offset=[0.1, -0.2, 0.5],
        mean_size=2.0,
        scale=scale,
    )
    x, y = inputs(3), inputs(3, seed=1)
    lengths = np.array([1.5, 0.8, 0.8])
    parts = [averaged(rbf, x, REPS[0](g), REPS[1](g), lengths) for g in [*groups, Trivial(2)]]
    pieces = [[0, 1], [2]]  # what all groups keep apart
    total = np.zeros((3 * N, 3 * N))
    for sigma, k in zip([*a, 0.4], parts, strict=True):
        size = np.ones(3)
        if scale is not None:
            diagonal = np.diag(k).reshape(N, 3).mean(axis=0)
            own = np.concatenate([np.full(len(p), diagonal[p].mean()) for p in pieces])
            size = own + 0.03 * diagonal.mean()
        root = np.tile(size**-0.5, N)
        total += sigma**2 * root[:, None] * k * root
    q = equivariant_basis(Scalar(groups[0]), REPS[1](groups[0]))
    total += 4.0 * np.kron(np.ones((N, N)), q @ q.T) + 0.04 * np.eye(3 * N)
    wanted = multivariate_normal.logpdf((y - [0.1, -0.2, 0.5]).ravel(), cov=total)
    evidence = evidence_of(gp, x, y)
    value, slopes = evidence({})
    assert value == pytest.approx(wanted, abs=1e-8)
    assert slopes == {}
    covariance = Covariance(gp, x)
    flat = assemble(covariance, covariance.own({}).total).reshape(3 * N, 3 * N)
    np.testing.assert_allclose(flat, total - 0.04 * np.eye(3 * N), atol=1e-12)


KERNELS = {
    "RBF": kernels.RBF(),
    "Matern52": kernels.Matern52(),
    "Polynomial": kernels.Polynomial(2),
    "sum": kernels.RBF(variance=SOME) + kernels.Polynomial(1, variance=SOME, lengthscale=2.0),
    "product": kernels.Matern52(lengthscale=SOME) * kernels.Polynomial(2) + kernels.RBF(),
}
GROUPS = {"D(3)": D(3), "list": [SO(2), MIRROR], "free": Trivial(2)}


@pytest.mark.parametrize("scale", [None, "data"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("group", GROUPS)
def test_derivatives_of_the_exact_evidence(group, kernel, scale):
    group = GROUPS[group]
    gp = GaussianProcess(
        *REPS,
        group,
        kernel=KERNELS[kernel],
        sigma_a=[SOME, SOME] if isinstance(group, list) else SOME,
        sigma_b=SOME if group != Trivial(2) else None,
        lengthscale=SOME,
        likelihood=Gaussian(SOME),
        mean="linear",
        mean_size=1.0,
        ard=True,
        scale=scale,
    )
    check_derivatives(gp, inputs(3), inputs(3, seed=1))


@pytest.mark.parametrize("scale", [None, "data"])
@pytest.mark.parametrize(
    ("likelihood", "group", "rep_out"),
    [
        (Bernoulli(), O(2), 2 * Scalar),
        (Categorical(0.5), D(3), Vector + Scalar),
        (Categorical(), [S(3), Trivial(3)], Vector),
        (Poisson(), O(2), Scalar),
        (Poisson(), D(4), Vector),
        (StudentT(0.5, 4.0), O(2), Vector),
        (StudentT(SOME, SOME), [O(2), MIRROR], Scalar + Vector),
    ],
    ids=str,
)
def test_derivatives_of_the_approximate_evidence(likelihood, group, rep_out, scale):
    several = isinstance(group, list)
    gp = GaussianProcess(
        Scalar + Vector,
        rep_out,
        group,
        kernel=kernels.RBF() + kernels.Polynomial(1, variance=SOME),
        sigma_a=[SOME, SOME] if several else SOME,
        sigma_b=0.5 if several else SOME,
        lengthscale=SOME,
        likelihood=likelihood,
        mean_size=1.0,
        scale=scale,
    )
    rng = np.random.default_rng(0)
    x, size = inputs(gp.rep_in.size), gp.rep_out.size
    y = {
        "Bernoulli": rng.integers(2, size=(N, size)),
        "Categorical": rng.integers(size, size=(N, 1)),
        "Poisson": rng.poisson(2.0, size=(N, size)),
        "StudentT": rng.standard_t(4, size=(N, size)),
    }[type(likelihood).__name__].astype(float)
    check_derivatives(gp, x, y)


def check_derivatives(gp, x, y, step=1e-4):
    evidence = evidence_of(gp, x, y)
    latents = at(gp)
    _, slopes = evidence(latents)
    assert set(slopes) == set(gp.latents)
    for name, value in latents.items():
        ends = [evidence(latents | {name: value * np.exp(s * step)})[0] for s in (1, -1)]
        assert slopes[name] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-4), name


@pytest.mark.parametrize("group", [Trivial(3), O(2)], ids=str)
def test_classes_that_are_alike_are_as_the_dense_ones(group, monkeypatch):
    rep_in = Vector if group == Trivial(3) else Scalar + Vector
    gp = GaussianProcess(rep_in, 4 * Scalar, group, likelihood=Categorical(0.7), sigma_a=SOME, lengthscale=SOME)
    gp = gp.replace(sigma_b=None if group == Trivial(3) else SOME, mean_size=1.3, kernel=kernels.RBF())
    n = 15
    x, y, z = inputs(3, n), np.random.default_rng(0).integers(4, size=(n, 1)).astype(float), inputs(3, 5, seed=2)
    latents = {k: 3.0 * v for k, v in at(gp).items()}

    def found(kind):
        evidence = evidence_of(gp, x, y)
        prior = prior_of(evidence.covariance, evidence.covariance.own(latents).total)
        assert type(prior) is kind
        value, slopes = evidence(latents)
        one = evidence.conditional(latents)
        at_z = one.marginal(z)
        return value, *slopes.values(), at_z.mean, at_z.covariance, one.covariances(z), evidence.left_out(latents)

    alike = found(Classes)
    monkeypatch.setattr("bayes_rpp.models.process.reduction.are_alike", lambda *_: False)
    for one, other in zip(alike, found(Whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)


def test_laplace_of_gaussian_noise_is_exact():
    """The approximation knows nothing of noise being Gaussian."""
    from bayes_rpp.models.process.laplace import LaplaceEvidence

    gp = GaussianProcess(*REPS, D(3), sigma_a=SOME, sigma_b=SOME, lengthscale=SOME, likelihood=Gaussian(SOME))
    gp = gp.replace(offset=[0.0, 0.0, 0.3], mean_size=1.0)
    x, y = inputs(3), inputs(3, seed=1)
    latents, z = at(gp), inputs(3, 4, seed=2)
    exact, near = evidence_of(gp, x, y), LaplaceEvidence(gp, x, y)
    assert near(latents)[0] == pytest.approx(exact(latents)[0], abs=1e-8)
    for name, slope in exact(latents)[1].items():
        assert near(latents)[1][name] == pytest.approx(slope, abs=1e-5)
    one, other = exact.conditional(latents), near.conditional(latents)
    np.testing.assert_allclose(other.marginal(z).mean, one.marginal(z).mean, atol=1e-8)
    np.testing.assert_allclose(other.marginal(z).covariance, one.marginal(z).covariance, atol=1e-8)
    np.testing.assert_allclose(other.covariances(z), one.covariances(z), atol=1e-8)
    np.testing.assert_allclose(near.left_out(latents), exact.left_out(latents), atol=0.2)


@pytest.mark.parametrize("group", [SO(3), O(3), SO(3) * SO(2)], ids=str)
def test_the_error_of_averages_is_reported(group):
    """What `error` says is about what new points and elements show."""
    reps = (Vector.on(0) + Vector.on(1), Vector.on(0)) if group.factors else (2 * Vector, T(2))
    gp = GaussianProcess(*reps, group, sigma_a=1.0, sigma_b=0.0, lengthscale=2.5, mean=None)
    x = inputs(gp.rep_in.size, 5 if group.factors else 15)
    errors = []
    for level in range(1 if group.factors else 2):
        covariance = Covariance(gp, x, level)
        reported = covariance.error({})
        prepared = covariance.own({})
        g = group.sample(1, 9)[0]
        plain = assemble(covariance, covariance.cross(x, {}, prepared))
        moved = assemble(covariance, covariance.cross(x @ gp.rep_in.rho(g).T, {}, prepared))
        wanted = np.einsum("ab,nbmc->namc", gp.rep_out.rho(g), plain)
        shown = np.abs(moved - wanted).max() / np.einsum("iaia->ia", plain).mean()
        assert shown < 4 * reported + 1e-10
        assert reported < 30 * shown + 1e-10
        errors.append(reported)
    assert errors == sorted(errors, reverse=True)
    assert 1e-6 < errors[0] < 0.3


def test_the_reported_error_does_not_hang_on_the_order_of_examples():
    """Errors are largest at points far out, which may be the last ones."""
    gp = GaussianProcess(Vector, Vector, SO(3), sigma_a=1.0, sigma_b=0.0, lengthscale=1.0, mean=None)
    x = inputs(3, 200) * np.linspace(0.01, 1, 200)[:, None]
    ahead, behind = (Covariance(gp, some).error({}) for some in (x, x[::-1]))
    assert 1 / 3 < ahead / behind < 3


def test_a_linear_mean_is_as_symmetric_as_its_average():
    gp = GaussianProcess(Vector, Vector, SO(4), sigma_a=1e-9, sigma_b=0.0, lengthscale=100.0, mean="linear")
    x = inputs(4)
    covariance = Covariance(gp, x)
    prepared = covariance.own({})
    g = gp.group.sample(1, 0)[0]
    plain, moved = (assemble(covariance, covariance.cross(z, {}, prepared)) for z in (x, x @ g.T))
    shown = np.abs(moved - np.einsum("ab,nbmc->namc", g, plain)).max() / np.einsum("iaia->ia", plain).mean()
    assert shown < 4 * covariance.error({})


def test_the_mode_with_outliers_is_one():
    """Steps by the expected curvature have not come to it in a hundred, where the noise is small."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    y = np.tanh(x[:, :1]) * x[:, 2:] + 0.1 * rng.standard_t(3, size=(40, 2))
    gp = GaussianProcess(2 * Scalar + Vector, Vector, SO(2), sigma_a=1.0, sigma_b=0.5, lengthscale=2.0, mean=None)
    evidence = evidence_of(gp.replace(likelihood=StudentT(0.05, 4.0)), x, y)
    prior = Whole(evidence.covariance, evidence.covariance.own({}).total)
    mode = evidence._mode(prior, {})
    np.testing.assert_allclose(prior.times(mode.gradient), mode.f, atol=1e-3)
