"""Energies and forces as one Gaussian process: what it is given, its evidence, and posteriors."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bayes_rpp import (
    EMLP,
    MAP,
    NUTS,
    D,
    EnergyForces,
    Gaussian,
    GaussianProcess,
    Group,
    Model,
    O,
    Posterior,
    Prior,
    Scalar,
    StudentT,
    Trivial,
    Vector,
    fit,
    kernels,
)
from bayes_rpp.models.process.conditional import assemble
from bayes_rpp.models.process.covariance import Covariance
from bayes_rpp.models.process.defaults import with_defaults
from bayes_rpp.models.process.laplace import evidence_of

MIRROR = Group(2, discrete_generators=[np.diag([1.0, -1.0])], name="mirror")
SOME = Prior("HalfNormal", {"scale": 1.0})
BOTH, ALONE = (2 * Vector, Scalar + 2 * Vector), (2 * Vector, 2 * Vector)
FIXED = {"kernel": kernels.RBF(), "lengthscale": 2.0, "sigma_a": 1.0, "sigma_b": 0.2, "mean_size": 1.0}


def springs(n, seed=0, broken=0.0):
    """Particles in the plane on springs of length 1, and a field that turns with nothing: x (n, 2 k), E and F."""
    rng = np.random.default_rng(seed)
    p = rng.normal(size=(n, 3, 2)) + np.array([[0, 0], [3, 0], [0, 3]])
    gaps = p[:, [0, 1, 2]] - p[:, [1, 2, 0]]
    r = np.linalg.norm(gaps, axis=2, keepdims=True)
    pull = -(r - 1) * gaps / r
    forces = pull - np.roll(pull, 1, axis=1) - broken * np.array([1.0, 0.0])
    energies = 0.5 * ((r - 1) ** 2).sum((1, 2)) + broken * p[:, :, 0].sum(1)
    return p.reshape(n, 6), np.concatenate([energies[:, None], forces.reshape(n, 6)], axis=1)


def differences(f, x, step=1e-4):
    """-dE/dx of the first output of f."""
    ends = [[f(x + s * step * e)[:, 0] for e in np.eye(x.shape[1])] for s in (-1, 1)]
    return ((np.array(ends[0]) - np.array(ends[1])) / (2 * step)).T


def test_the_springs_are_what_they_say():
    x, y = springs(3, broken=0.7)

    def energy(x):
        p = x.reshape(-1, 3, 2)
        r = np.linalg.norm(p - p[:, [1, 2, 0]], axis=2)
        return 0.5 * ((r - 1) ** 2).sum(1, keepdims=True) + 0.7 * p[:, :, 0].sum(1, keepdims=True)

    np.testing.assert_allclose(energy(x), y[:, :1], atol=1e-12)
    np.testing.assert_allclose(differences(energy, x), y[:, 1:], atol=1e-6)


GROUPS = {"D(3)": D(3), "list": [D(4), MIRROR], "free": Trivial(2)}
KERNELS = {
    "RBF": kernels.RBF(),
    "sum": kernels.Matern52(lengthscale=SOME) + kernels.Polynomial(2, variance=SOME),
    "product": kernels.RBF() * kernels.Polynomial(1, variance=SOME),
}


@pytest.mark.parametrize("scale", [None, "data"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("group", "reps"), [("D(3)", BOTH), ("list", BOTH), ("free", ALONE)])
def test_derivatives_of_the_evidence(group, reps, kernel, scale):
    group = GROUPS[group]
    gp = GaussianProcess(
        *reps,
        group,
        kernel=KERNELS[kernel],
        sigma_a=[SOME, SOME] if isinstance(group, list) else SOME,
        sigma_b=None if group == Trivial(2) else SOME,
        lengthscale=SOME,
        likelihood=EnergyForces(SOME, SOME) if reps is BOTH else Gaussian(SOME),
        mean_size=1.0,
        scale=scale,
        conservative=True,
    )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 4)), rng.normal(size=(4, gp.rep_out.size))
    evidence = evidence_of(gp, x, y)
    latents = {k: float(np.exp(0.3 * rng.normal())) for k in gp.latents}
    value, slopes = evidence(latents)
    assert set(slopes) == set(gp.latents)
    for name, number in latents.items():
        ends = [evidence(latents | {name: number * np.exp(s * 1e-4)})[0] for s in (1, -1)]
        assert slopes[name] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-4, abs=1e-4), name
    covariance = Covariance(gp, x)
    flat = assemble(covariance, covariance.own(latents).total).reshape(y.size, y.size)
    sizes = [latents["noise.energy"], *[latents["noise.forces"]] * 4] if reps is BOTH else [latents["noise"]] * 4
    observed = flat + np.diag(np.tile(sizes, 4) ** 2)
    assert value == pytest.approx(multivariate_normal.logpdf(y.ravel(), cov=observed), abs=1e-8)


def test_data_makes_sigmas_those_of_forces():
    gp = GaussianProcess(*BOTH, D(3), **FIXED | {"sigma_b": 0.0}, mean=None, conservative=True)
    covariance = Covariance(gp, np.random.default_rng(0).normal(size=(20, 4)))
    own = covariance.own({}).total[0]
    assert np.einsum("iaia->ia", own)[:, 1:].mean() == pytest.approx(1 / 1.03)  # but for the floor of all averages


def test_numbers_that_are_left_out_are_of_the_scale_of_each():
    x, y = springs(20)
    gp = GaussianProcess(3 * Vector, Scalar + 3 * Vector, O(2), kernel=kernels.RBF(), conservative=True)
    assert {"noise.energy", "noise.forces"} <= gp.open
    full = with_defaults(gp, x, y * [1e3, *[1.0] * 6] + [7.0, *[0.0] * 6])
    assert not full.is_open
    assert full.latents["noise.energy"].start > 100 * full.latents["noise.forces"].start
    np.testing.assert_allclose(full.offset, [1e3 * y[:, 0].mean() + 7.0, *[0.0] * 6])
    alone = with_defaults(GaussianProcess(3 * Vector, 3 * Vector, O(2), conservative=True), x, y[:, 1:])
    assert "noise" in alone.latents
    np.testing.assert_array_equal(alone.offset, 0.0)


@pytest.fixture(scope="module")
def fitted():
    x, y = springs(12)
    gp = GaussianProcess(3 * Vector, Scalar + 3 * Vector, O(2), kernel=kernels.RBF(), conservative=True)
    return fit(gp, x, y, MAP(), progress=False)


def test_forces_are_minus_the_gradient(fitted):
    z, wanted = springs(30, seed=1)
    np.testing.assert_allclose(differences(fitted.mean_function, z), fitted.mean_function(z)[:, 1:], atol=1e-6)
    scores = fitted.metrics(z, wanted)
    assert 0.7 < scores["coverage_90"] <= 1
    assert fitted.predict(z).std.shape == (30, 7)


def test_drawn_functions_are_conservative(fitted):
    """Along a line the work of the forces is what the energy loses."""
    a, b = springs(2, seed=3)[0]
    t = np.linspace(0, 1, 60)
    f = fitted.function(draw=1)(a + t[:, None] * (b - a))
    power = f[:, 1:] @ (b - a)
    work = ((power[1:] + power[:-1]) / 2 * np.diff(t)).sum()
    scale = np.abs(power).max()
    assert f[0, 0] - f[-1, 0] == pytest.approx(work, abs=5e-3 * scale)


def test_forces_tell_much_of_the_energy(fitted):
    x, y = springs(12)
    z, wanted = springs(200, seed=1)
    alone = fit(GaussianProcess(3 * Vector, Scalar, O(2), kernel=kernels.RBF()), x, y[:, :1], MAP(), progress=False)
    error, before = (
        np.sqrt(np.mean((post.predict(z, samples=False).mean[:, 0] - wanted[:, 0]) ** 2)) for post in (fitted, alone)
    )
    assert error < 0.6 * before


def test_energies_that_are_not_known_follow_from_forces():
    (x, y), (z, wanted) = springs(12), springs(50, seed=1)
    y = y * [0.0, *[1.0] * 6]
    options = {"kernel": kernels.RBF(), "likelihood": EnergyForces(1e6, 0.01), "conservative": True}
    post = fit(GaussianProcess(3 * Vector, Scalar + 3 * Vector, O(2), **options), x, y, MAP(), progress=False)
    found = post.mean_function(z)[:, 0]
    gaps = (found - found.mean()) - (wanted[:, 0] - wanted[:, 0].mean())
    assert gaps.std() < 0.3 * wanted[:, 0].std()


def test_a_strict_one_is_equivariant_and_a_soft_one_finds_the_field():
    x, y = springs(12, broken=1.0)
    gp = GaussianProcess(3 * Vector, Scalar + 3 * Vector, D(4), conservative=True, **FIXED | {"sigma_b": 0.0})
    z, g = springs(8, seed=1)[0], D(4).sample(1, 3)[0]
    post = fit(gp, x, y, MAP(), progress=False)
    before, after = gp.rep_in.rho(g), gp.rep_out.rho(g)
    np.testing.assert_allclose(post.mean_function(z @ before.T), post.mean_function(z) @ after.T, atol=1e-8)
    assert post.equivariance_error(z).max() < 1e-3
    soft = gp.replace(group=O(2), sigma_a=None, sigma_b=None, lengthscale=None)
    ratios = [
        fit(soft, *springs(20, broken=size), MAP(), progress=False).asymmetry()["f"].flat[0] for size in (0.0, 1.0)
    ]
    assert ratios[0] < 0.01
    assert ratios[1] > 0.03


def test_columns_without_a_force():
    """Charges are inputs, of which the energy is a function, and have no force."""
    rng = np.random.default_rng(0)
    x = np.concatenate([springs(10)[0][:, :4], rng.normal(size=(10, 2))], axis=1)
    gap = x[:, :2] - x[:, 2:4]
    q = x[:, 4:5] * x[:, 5:]
    y = np.concatenate([q * (gap**2).sum(1, keepdims=True), -2 * q * gap, 2 * q * gap], axis=1)
    reps = (2 * Vector + 2 * Scalar, Scalar + 2 * Vector)
    gp = GaussianProcess(*reps, O(2), kernel=kernels.RBF(), conservative=range(4))
    assert gp.config()["conservative"] == [0, 1, 2, 3]
    post = fit(gp, x, y, MAP(), progress=False)
    f = post.mean_function(x)
    np.testing.assert_allclose(differences(post.mean_function, x)[:, :4], f[:, 1:], atol=1e-6)
    assert np.corrcoef(f.ravel(), y.ravel())[0, 1] > 0.99


def test_a_file_predicts_the_same(fitted, tmp_path):
    again = Posterior.load(fitted.save(tmp_path / "post.nc"))
    assert repr(again.model) == repr(fitted.model)
    z = springs(5, seed=1)[0]
    one, other = fitted.predict(z), again.predict(z)
    np.testing.assert_allclose(other.mean, one.mean, atol=1e-9)
    np.testing.assert_allclose(other.samples, one.samples, atol=1e-9)
    np.testing.assert_allclose(again.covariance(z), fitted.covariance(z), atol=1e-9)
    np.testing.assert_allclose(again.left_out(), fitted.left_out(), atol=1e-9)
    assert "noise.forces" in str(fitted.summary())
    noise = fitted.predict(z).std ** 2 - np.einsum("iaia->ia", fitted.covariance(z))
    numbers = [(fitted.inflation * fitted.samples[f"noise.{k}"].flat[0]) ** 2 for k in ("energy", "forces")]
    np.testing.assert_allclose(noise, np.broadcast_to([numbers[0], *[numbers[1]] * 6], noise.shape), atol=1e-9)


@pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")
def test_nuts_samples_a_noise_each(engine):
    x, y = springs(8)
    options = FIXED | {"sigma_b": 0.0, "likelihood": EnergyForces(SOME, SOME)}
    gp = GaussianProcess(3 * Vector, Scalar + 3 * Vector, D(3), conservative=True, **options)
    rng = np.random.default_rng(0)
    y = y + rng.normal(size=y.shape) * [1.0, *[0.05] * 6]
    post = fit(gp, x, y, NUTS(chains=2, warmup=20, draws=20), engine=engine, progress=False)
    assert set(post.samples) == {"noise.energy", "noise.forces", "log_evidence"}
    assert np.median(post.samples["noise.energy"]) > np.median(post.samples["noise.forces"])
    evidence = evidence_of(post.model, x, y)
    at = {k: float(v[0, 3]) for k, v in post.samples.items()}
    assert evidence(at)[0] == pytest.approx(at["log_evidence"], abs=1e-2)


@pytest.mark.parametrize("likelihood", [EnergyForces(0.2, 0.05), EnergyForces(SOME, 0.05)], ids=str)
def test_networks_take_a_noise_each(likelihood, engine):
    x, y = springs(20)
    net = EMLP(3 * Vector, Scalar + 3 * Vector, O(2), layers=0)
    post = fit(Model(net, likelihood=likelihood), x, y, MAP(epochs=3), engine=engine, progress=False)
    assert ("noise.energy" in post.samples) == bool(likelihood.latents)
    numbers = {k: np.asarray(v) for k, v in post.samples.items() if k in likelihood.latents}
    sizes = [numbers.get("noise.energy", np.array([[0.2]]))[0, 0], *[0.05] * 6]
    f = post.outputs(x.astype(np.float32))[0, 0]
    wanted = multivariate_normal.logpdf(y - f, cov=np.diag(sizes) ** 2)
    np.testing.assert_allclose(post.log_predictive(x, y), wanted, rtol=1e-4)


@pytest.mark.parametrize(
    ("reps", "options", "kind", "message"),
    [
        ((2 * Vector, Vector), {}, ValueError, r"rep_out must be Scalar \+ that of rep_in.*got Vector of size 2 for 4"),
        ((2 * Vector, 2 * Vector + Scalar), {}, ValueError, r"rep_out must be Scalar \+ that of rep_in"),
        ((2 * Vector, 4 * Scalar), {}, ValueError, r"rep_out must be Scalar \+ that of rep_in"),
        (BOTH, {"conservative": [0, 1]}, ValueError, r"rep_out must be .* the columns of conservative"),
        ((Vector, Scalar + Scalar), {"conservative": [0]}, ValueError, r"keeps apart from others, got \[0\]"),
        (BOTH, {"conservative": [0, 9]}, ValueError, "conservative must be columns of x from 0 to 3"),
        (BOTH, {"conservative": [0, 0]}, TypeError, "conservative must be True, False, or different columns"),
        (BOTH, {"conservative": "yes"}, TypeError, "conservative must be True, False, or different columns"),
        (BOTH, {"conservative": None}, TypeError, "conservative must be True, False, or different columns"),
        (BOTH, {"likelihood": StudentT(0.1, 3.0)}, ValueError, "likelihood must be Gaussian or EnergyForces"),
        (ALONE, {"likelihood": EnergyForces()}, ValueError, "EnergyForces only where conservative=True"),
        (BOTH, {"likelihood": EnergyForces(), "conservative": False}, ValueError, "EnergyForces only where"),
        (BOTH, {"mean": "linear"}, ValueError, r"mean must be 'constant' or None.*Polynomial\(1\) would do"),
    ],
)
def test_what_does_not_fit_is_named(reps, options, kind, message):
    with pytest.raises(kind, match=message):
        GaussianProcess(*reps, O(2), **{"conservative": True} | options)
