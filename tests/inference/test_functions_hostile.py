"""Functions of data that are hard on numbers: right, or a clear error."""

import numpy as np
import pytest

from bayes_rpp import (
    MAP,
    SO,
    Bernoulli,
    D,
    Gaussian,
    GaussianProcess,
    O,
    Poisson,
    Prior,
    Pseudoscalar,
    Scalar,
    Trivial,
    Vector,
    fit,
    kernels,
)
from bayes_rpp.models.process.bound import density
from bayes_rpp.models.process.defaults import with_defaults
from bayes_rpp.models.process.laplace import evidence_of

REPS = (Scalar + Vector, Scalar + Vector)


def data(n=20, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    s, v = x[:, :1], x[:, 1:]
    y = np.concatenate([(v**2).sum(1, keepdims=True), v * np.sin(s)], axis=1)
    return x, y + 0.05 * rng.normal(size=y.shape)


def run(x, y, group=None, **options):
    return fit(GaussianProcess(*REPS, group or D(4), **options), x, y, MAP(), progress=False)


@pytest.fixture(scope="module")
def plain():
    x, y = data()
    return run(x, y)


NEW = data(8, seed=1)[0]


def same(post, plain, z=NEW, scale=1.0, offset=0.0, atol=0.02):
    found, wanted = post.predict(z), plain.predict(NEW)
    np.testing.assert_allclose((found.mean - offset) / scale, wanted.mean, atol=atol)
    np.testing.assert_allclose(found.std / scale, wanted.std, rtol=0.15, atol=0.005)


@pytest.mark.parametrize("of_x", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("of_y", [1e-6, 1.0, 1e6])
def test_units_do_not_matter(plain, of_x, of_y):
    x, y = data()
    post = run(of_x * x, of_y * y)
    same(post, plain, of_x * NEW, of_y)
    assert post.log_evidence == pytest.approx(plain.log_evidence - y.size * np.log(of_y), abs=0.5)


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_a_large_offset_of_y(plain, far):
    x, y = data()
    offset = np.array([far, 0.0, 0.0])
    same(run(x, y + offset), plain, offset=offset)


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_a_large_offset_of_a_column_that_does_not_move(plain, far):
    x, y = data()
    shift = np.array([far, 0.0, 0.0])
    post = run(x + shift, y)
    same(post, plain, NEW + shift)


def test_the_same_example_twice(plain):
    x, y = data()
    twice = run(np.concatenate([x, x[:1]]), np.concatenate([y, y[:1]]))
    same(twice, plain, atol=0.1)
    with pytest.warns(UserWarning, match="x and y have 10 examples that are copies of others"):
        many = run(np.concatenate([x, x[:10]]), np.concatenate([y, y[:10]]))
    assert np.isfinite(many.log_evidence)
    given = run(np.concatenate([x, x[:10]]), np.concatenate([y, y[:10]]), likelihood=Gaussian(0.05))
    assert np.abs(given.predict(NEW).mean - plain.predict(NEW).mean).max() < 0.3
    # Without noise to speak of, and also told another value.
    exact = run(np.concatenate([x, x]), np.concatenate([y, y]), likelihood=Gaussian(1e-6))
    np.testing.assert_allclose(exact.predict(x).mean, y, atol=1e-3)
    apart = run(np.concatenate([x, x]), np.concatenate([y, y + 0.4]))
    assert np.abs(apart.predict(x).mean - (y + 0.2)).max() < 0.4
    assert float(apart.samples["noise"].flat[0]) > 0.1


def test_images_of_an_example():
    """A strict model that sees x and gx, with what belongs to them."""
    x, y = data(10)
    gp = GaussianProcess(*REPS, D(4), sigma_b=0.0, likelihood=Gaussian(0.05))
    g = gp.group.sample(3, 0)
    xs, ys = (np.concatenate([a, *(a @ rep.rho(h).T for h in g)]) for a, rep in ((x, gp.rep_in), (y, gp.rep_out)))
    post = fit(gp, xs, ys, MAP(), progress=False)
    assert np.isfinite(post.log_evidence)
    assert post.metrics(xs, ys)["rmse"] < 0.15


def test_columns_that_do_not_vary():
    x, y = data()
    x = x * [0.0, 1.0, 1.0] + [7.0, 0.0, 0.0]
    for ard in (False, True):
        post = run(x, y, ard=ard)
        assert np.isfinite(post.log_evidence)
        near = x + np.array([1e-3, 0.0, 0.0])  # next to it, the same
        np.testing.assert_allclose(post.predict(near).mean, post.predict(x).mean, atol=0.01)
    zero = run(x * [0.0, 1.0, 1.0], y * [0.0, 1.0, 1.0])
    assert np.abs(zero.predict(x * [0.0, 1.0, 1.0]).mean[:, 0]).max() < 0.1
    still = run(x, np.full_like(y, 3.0) * [1.0, 0.0, 0.0])
    np.testing.assert_allclose(still.predict(x).mean, still.y, atol=0.01)


@pytest.mark.filterwarnings("ignore:x and y have . example")
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("group", [D(4), SO(2), Trivial(2)], ids=str)
def test_one_or_two_examples(n, group):
    x, y = data(n)
    post = run(x, y, group)
    found = post.predict(NEW)
    assert np.isfinite(found.mean).all()
    assert (found.std > 0).all()
    assert np.isfinite(post.metrics(NEW, data(8, seed=1)[1])["nll"])
    far = post.predict(x + 100.0)
    assert (far.std >= post.predict(x).std - 1e-6).all()


@pytest.mark.parametrize(
    ("likelihood", "y"), [(Bernoulli(), 1.0), (Bernoulli(), 0.0), (Poisson(), 0.0), (Poisson(), 900.0)]
)
def test_outputs_that_are_all_alike(likelihood, y):
    x = data()[0]
    gp = GaussianProcess(Scalar + Vector, Scalar, D(4), likelihood=likelihood)
    post = fit(gp, x, np.full((len(x), 1), y), MAP(), progress=False)
    assert np.isfinite(post.log_evidence)
    mean = post.predict(x).mean
    np.testing.assert_allclose(mean, y, rtol=0.1, atol=0.2)


def test_single_precision_and_whole_numbers():
    x, y = data()
    one = run(x.astype(np.float32), y.astype(np.float32)).predict(NEW)
    np.testing.assert_allclose(one.mean, run(x, y).predict(NEW).mean, atol=1e-2)
    whole = np.round(3 * x).astype(int)
    assert np.isfinite(run(whole, y).predict(whole).mean).all()


def test_numbers_that_overflow_have_no_density_and_raise_nothing():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    kernel = kernels.RBF() + kernels.Polynomial(degree=3, variance=Prior("HalfNormal", {"scale": 1.0}))
    gp = GaussianProcess(Scalar + Vector, Vector, O(2), kernel=kernel)
    gp = with_defaults(gp, x, y)
    evidence, size = evidence_of(gp, x, y), len(gp.latents)
    for k in range(size):
        for z in np.eye(size)[k] * np.linspace(-750, 750, 31)[:, None]:
            value, slope = density(evidence, gp.latents, z)
            assert value < np.inf
            assert np.isfinite(slope).all()
            assert value > -np.inf or not slope.any()


@pytest.mark.parametrize("scale", ["data", None])
def test_a_symmetry_that_allows_only_zero_leaves_all_to_the_rest(scale):
    x = np.random.default_rng(0).normal(size=(40, 2))
    y = np.sin(x[:, :1])
    post = fit(GaussianProcess(Vector, Pseudoscalar, O(2), scale=scale), x, y, MAP(), progress=False)
    assert post.metrics(x, y)["rmse"] < 1e-3
    assert np.isinf(post.asymmetry()["f"]).all()
    assert not post.pathway_sizes()[0].any()
    strict = fit(post.model.replace(sigma_b=0.0), x, y, MAP(), progress=False)
    assert np.abs(strict.predict(x, samples=False).mean).max() < 1e-6
    assert post.log_evidence > strict.log_evidence + 50


def test_numbers_that_multiply_nothing_are_left_alone():
    x, y = data()
    post = run(x, y, sigma_a=0.0, sigma_b=0.0)
    assert np.isfinite(post.log_evidence)
    with pytest.raises(ValueError, match="sigma_a or sigma_b must be positive, got 0 for all"):
        GaussianProcess(*REPS, D(4), sigma_a=0.0, sigma_b=0.0, mean=None)


def test_what_a_function_of_a_posterior_is_asked_for(plain):
    with pytest.raises(ValueError, match="draw must be a whole number from 0 to 99, got 100"):
        plain.function(draw=100)
    assert repr(plain.function(draw=3)) == "SampledFunction(points=0)"
    with pytest.raises(TypeError, match=r"group must be a Group, got the text 'O\(2\)'; groups.parse_group"):
        GaussianProcess(*REPS, "O(2)")


def test_scalars_beside_vectors_have_a_force_only_if_it_is_said():
    with pytest.raises(ValueError, match=r"conservative must be the columns of x .*got True; \[1, 2\] would do"):
        GaussianProcess(*REPS, O(2), conservative=True)
    assert GaussianProcess(*REPS, O(2), conservative=[1, 2]).forces.energy
    assert not GaussianProcess(*REPS, O(2), conservative=[0, 1, 2]).forces.energy
