"""Energies and forces of systems of one size: kernels of distances, averaged over the orders of like particles."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import bayes_rpp as rpp
from bayes_rpp.models.process.conditional import assemble
from bayes_rpp.models.process.covariance import Covariance
from bayes_rpp.models.process.laplace import evidence_of

SOME = rpp.Prior("HalfNormal", {"scale": 1.0})
REPS = 4 * rpp.Vector, rpp.Scalar + 4 * rpp.Vector, rpp.O(3)
TYPES = ["N", "H", "H", "O"]
NOISE = rpp.EnergyForces(0.01, 0.02)
FIXED = {"sigma_a": 1.0, "lengthscale": {"distances": 0.7, "positions": 2.0}, "likelihood": NOISE, "mean_size": 1.0}


def process(reps=REPS, **changes):
    return rpp.GaussianProcess(*reps, **{"conservative": True, "particles": TYPES, "sigma_b": 0.1} | FIXED | changes)


def molecules(n, seed=0, field=0.0):
    """Particles on springs of a length for each pair of types, and a charge that a field pulls at."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4, 3)) * 0.3 + 2 * np.eye(4, 3)
    lengths = np.array([[0, 1, 1, 2], [1, 0, 3, 2], [1, 3, 0, 2], [2, 2, 2, 0.0]])
    r = x[:, :, None] - x[:, None]
    d = np.sqrt((r**2).sum(-1)) + np.eye(4)
    f = -((d - lengths) * (1 - np.eye(4)) / d)[..., None] * r
    charge = np.array([1.0, -1.0, -1.0, 1.0])
    e = 0.25 * ((d - lengths) ** 2 * (1 - np.eye(4))).sum((1, 2)) - field * x[:, :, 2] @ charge
    forces = f.sum(2)
    forces[..., 2] += field * charge
    return rpp.Particles(x, types=[TYPES] * n), e, forces


def gradient(f, x, step=1e-5):
    ends = [[f(x + s * step * e)[:, 0] for e in np.eye(x.shape[1])] for s in (-1, 1)]
    return ((np.array(ends[0]) - np.array(ends[1])) / (2 * step)).T


def scalar(a, b, soft):
    """The kernel of inverse distances, in the residual times a polynomial of positions about their mean."""
    i, j = np.triu_indices(4, 1)
    gap = 1 / np.linalg.norm(a[i] - a[j], axis=1) - 1 / np.linalg.norm(b[i] - b[j], axis=1)
    u = ((a - a.mean(0)) * (b - b.mean(0))).sum() / 2.0**2
    return np.exp(-0.5 * (gap**2).sum() / 0.7**2) * (u + u**2 if soft else 1.0)


def rows(x):
    return np.stack(x.positions).reshape(len(x), -1)


def test_covariances_are_the_derivatives_of_a_kernel_of_distances():
    """Against the energies' covariance written out, and its second differences."""
    x, z = (rows(molecules(1, seed=s)[0]) for s in (0, 1))
    for changes in ({"sigma_b": 0.0}, {"sigma_a": 0.0, "sigma_b": 1.0}):
        gp = process(**changes, scale=None, mean=None, kernel=rpp.kernels.RBF())

        def energy(a, b, soft="sigma_a" in changes):
            a, b = a.reshape(4, 3), b.reshape(4, 3)
            return np.mean([scalar(a, one, soft) for one in (b, b[[0, 2, 1, 3]])])

        k = Covariance(gp, x).parts[-1].kernel.cross(x, z, Covariance(gp, x).values({}))[0]
        h, steps = 1e-4, np.eye(12)
        a, b = x[0], z[0]
        assert k[0, 0, 0, 0] == pytest.approx(energy(a, b))
        by = [(energy(a, b - h * s) - energy(a, b + h * s)) / (2 * h) for s in steps]
        np.testing.assert_allclose(k[0, 0, 0, 1:], by, atol=1e-7)
        both = [
            [sum(p * q * energy(a + p * h * s, b + q * h * t) for p in (1, -1) for q in (1, -1)) for t in steps]
            for s in steps
        ]
        np.testing.assert_allclose(k[0, 1:, 0, 1:], np.array(both) / (4 * h * h), atol=1e-6)


@pytest.mark.parametrize("reps", [REPS, (REPS[0], REPS[0], REPS[2])])
def test_evidence_and_its_derivatives(reps):
    both = reps is REPS
    inferred = {"sigma_a": SOME, "sigma_b": SOME, "lengthscale": SOME}
    kernel = rpp.kernels.Matern52() + rpp.kernels.RBF(variance=SOME, lengthscale={"distances": SOME})
    gp = process(reps, **inferred, likelihood=NOISE if both else rpp.Gaussian(0.02), kernel=kernel)
    x, e, f = molecules(5)
    x, y = rows(x), np.concatenate([e[:, None], f.reshape(5, 12)], axis=1)[:, int(not both) :]
    evidence, rng = evidence_of(gp, x, y), np.random.default_rng(0)
    latents = {k: float(np.exp(0.3 * rng.normal())) for k in gp.latents}
    assert {k for k in latents if k.endswith("positions")} == {"lengthscale_0.positions"}
    value, slopes = evidence(latents)
    for name, number in latents.items():
        ends = [evidence(latents | {name: number * np.exp(s * 1e-4)})[0] for s in (1, -1)]
        assert slopes[name] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-4, abs=1e-4), name
    covariance = Covariance(gp, x)
    flat = assemble(covariance, covariance.own(latents).total).reshape(y.size, y.size)
    noise = np.tile([0.01, *[0.02] * 12][int(not both) :], 5) ** 2
    assert value == pytest.approx(multivariate_normal.logpdf(y.ravel(), cov=flat + np.diag(noise)), abs=1e-7)


def test_the_posterior_is_that_of_a_dense_gaussian_and_has_the_symmetries(tmp_path):
    x, e, f = molecules(8, field=0.3)
    z = molecules(3, seed=1)[0]
    gp = process()
    post = rpp.fit(gp, x, (e, f), rpp.MAP(), progress=False)
    p = post.predict(z)
    a, b = rows(x), rows(z)
    k = Covariance(post.model, a)
    own = k.own({})
    flat = assemble(k, own.total).reshape(8 * 13, 8 * 13) + np.diag(np.tile([0.01, *[0.02] * 12], 8) ** 2)
    cross = assemble(k, k.cross(b, {}, own)).reshape(3 * 13, 8 * 13)
    y = np.concatenate([e[:, None], f.reshape(8, 12)], axis=1) - post.model.offset
    mean = (cross @ np.linalg.solve(flat, y.ravel())).reshape(3, 13) + post.model.offset
    np.testing.assert_allclose(p.mean, mean, atol=1e-6)
    alone = assemble(k, k.between(b, b, {}, own)).reshape(3 * 13, 3 * 13)
    variance = np.diag(alone - cross @ np.linalg.solve(flat, cross.T)).reshape(3, 13)
    np.testing.assert_allclose(p.std**2 - [1e-4, *[4e-4] * 12], variance, rtol=1e-5, atol=1e-8)

    np.testing.assert_allclose(gradient(post.mean_function, b), post.mean_function(b)[:, 1:], atol=1e-6)
    shifted, turned = z.translated([1.0, 2.0, 3.0]), z.permuted([[0, 2, 1, 3]] * 3)
    np.testing.assert_allclose(post.predict(shifted).mean, p.mean, atol=1e-9)
    back = post.predict(turned).mean
    np.testing.assert_allclose(back[:, 0], p.mean[:, 0], atol=1e-9)
    np.testing.assert_allclose(back[:, 1:].reshape(3, 4, 3)[:, [0, 2, 1, 3]], p.mean[:, 1:].reshape(3, 4, 3), atol=1e-9)

    g = rpp.O(3).sample(1, 0)[0]
    strict = rpp.fit(gp.replace(sigma_b=0.0), x, (e, f), rpp.MAP(), progress=False)
    for one, least, most in ((strict, -1.0, 1e-9), (post, 1e-3, 10.0)):
        at, moved = (one.mean_function(v.reshape(3, 12)) for v in (np.stack(z.positions), np.stack(z.positions) @ g.T))
        gap = np.abs(moved[:, 1:].reshape(3, 4, 3) - at[:, 1:].reshape(3, 4, 3) @ g.T).max()
        assert least < gap < most
    again = rpp.Posterior.load(post.save(tmp_path / "p.nc"))
    np.testing.assert_array_equal(again.predict(z).mean, p.mean)
    assert again.model.systems.types == ("N", "H", "H", "O")
    assert test_error(post, molecules(20, 2, 0.3)) < test_error(strict, molecules(20, 2, 0.3))


def test_error(post, data):
    return post.metrics(data[0], data[1:])["rmse"]


test_error.__test__ = False


def test_what_does_not_fit():
    x, e, f = molecules(3)
    gp, p = process(), np.stack(x.positions)
    with pytest.raises(ValueError, match=r"x must be systems of one size .* got 4 particles and, in system 1, 3; "):
        rpp.fit(gp, rpp.Particles([p[0], p[1, :3]], types=[TYPES, TYPES[:3]]), (e[:2], f[:2]), rpp.MAP())
    with pytest.raises(ValueError, match="x must have the particles N, H, H, O, in this order, got N, H, O, H"):
        rpp.fit(gp, x.permuted([[0, 1, 3, 2]] * 3), (e, f), rpp.MAP())
    overlapping = p.copy()
    overlapping[1, 2] = overlapping[1, 0]
    with pytest.raises(ValueError, match=r"x must have particles apart .* got two in one place in system 1"):
        rpp.fit(gp, overlapping, (e, f), rpp.MAP())
    with pytest.raises(ValueError, match="y must have 3 energies and forces, got 2 and 3"):
        rpp.fit(gp, x, (e[:2], f), rpp.MAP())
    with pytest.raises(ValueError, match=r"y must be forces alone where rep_out is 4 \* Vector, got a pair; y\[1\]"):
        rpp.fit(process((REPS[0], *REPS[::2]), likelihood=rpp.Gaussian(0.1)), x, (e, f), rpp.MAP())
    for changes, words in (
        ({"particles": ["N"]}, "particles must be two at least"),
        ({"particles": ["H"] * 8}, "particles must have at most 5,040 orders within types, got 40,320; labels"),
        ({"particles": 4}, "particles must be Particles of one size, or a label for each particle, got a int"),
        ({"particles": ["N", "H"]}, r"rep_in must be 2 \* Vector, the positions of particles, got 4 \* Vector"),
        ({"particles": rpp.Particles(p, np.ones((3, 4, 1)))}, "particles must have no features"),
        ({"group": rpp.SO(3)}, r"group must be O\(3\) where particles are given"),
        ({"conservative": False, "likelihood": None}, "conservative must be True where particles are given"),
    ):
        reps = [k * rpp.Vector for k in (8, 8)] if changes.get("particles") == ["H"] * 8 else REPS[:2]
        reps = [rpp.Vector, rpp.Vector] if changes.get("particles") == ["N"] else reps
        changes = {"likelihood": rpp.Gaussian(0.1)} | changes
        with pytest.raises((TypeError, ValueError), match=words):
            process((*reps, changes.pop("group", rpp.O(3))), **changes)
