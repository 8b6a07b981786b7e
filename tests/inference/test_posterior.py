import json
import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import xarray as xr

from bayes_rpp import (
    EMLP,
    MLP,
    DeepEnsemble,
    EquivarianceTracker,
    Gaussian,
    Model,
    O,
    Posterior,
    Prior,
    Rep,
    Scalar,
    T,
    Vector,
    datasets,
    equivariance_error,
    fit,
)
from bayes_rpp.networks import LinearPath, restrict
from bayes_rpp.subspaces import FullSubspace

DATA, TEST = datasets.modified_inertia(60), datasets.modified_inertia(30, seed=1)


@pytest.fixture(scope="module")
def post():
    net = EMLP(DATA.rep_in, DATA.rep_out, DATA.group, channels=20, layers=1)
    model = Model(net, likelihood=Gaussian(Prior("HalfNormal", {"scale": 2.0})))
    tracker = EquivarianceTracker(DATA.group, every=2, x=TEST.x)
    return fit(model, DATA.x, DATA.y, DeepEnsemble(members=3, epochs=5), callbacks=[tracker], progress=False)


def test_predict(post):
    p = post.predict(TEST.x)
    assert p.mean.shape == p.std.shape == (30, 9)
    assert p.samples.shape == (1, 3, 30, 9)
    f = np.stack([post.function(0, d)(TEST.x) for d in range(3)])
    np.testing.assert_allclose(p.samples[0], f, rtol=1e-5)
    np.testing.assert_allclose(p.mean, f.mean(axis=0), rtol=1e-4, atol=1e-5)
    total = f.var(axis=0) + (post.samples["noise"] ** 2).mean()
    np.testing.assert_allclose(p.std, np.sqrt(total), rtol=1e-4)
    drawn = post.predict(TEST.x, seed=0)
    np.testing.assert_array_equal(drawn.mean, p.mean)
    assert 0 < np.abs(drawn.samples - p.samples).mean() < 5 * post.samples["noise"].max()
    np.testing.assert_array_equal(drawn.samples, post.predict(TEST.x, seed=0).samples)


def test_long_inputs_go_in_pieces(post):
    x = np.tile(TEST.x, (100, 1))
    np.testing.assert_allclose(post.predict(x).mean[-30:], post.predict(TEST.x).mean, rtol=1e-4, atol=1e-4)


def test_a_posterior_does_not_change_and_can_be_replaced(post):
    for name in ("samples", "model", "x", "center"):
        with pytest.raises(FrozenInstanceError):
            setattr(post, name, None)
    first = post.replace(samples={k: v[:, :1] for k, v in post.samples.items()}, training={})
    assert type(first) is Posterior
    assert (first.draws, first.method, first.model) == (1, post.method, post.model)
    np.testing.assert_array_equal(first.outputs(post.x), post.outputs(post.x)[:, :1])
    with pytest.raises(ValueError, match="samples must have all sites, got no "):
        post.replace(samples={})


def test_equivariance_error_is_eq_2_of_each_draw(post):
    error = post.equivariance_error(TEST.x, seed=3)
    assert error.shape == (1, 3, 30)
    want = equivariance_error(post.function(0, 1), TEST.x, DATA.rep_in, DATA.rep_out, DATA.group, seed=3)
    np.testing.assert_allclose(error[0, 1], want, rtol=1e-6)


def test_log_likelihood(post):
    got = post.log_likelihood(TEST.x, TEST.y)
    f = post.predict(TEST.x).samples.astype(float)
    noise = post.samples["noise"][..., None, None].astype(float)
    want = (-0.5 * ((TEST.y - f) / noise) ** 2 - np.log(noise) - 0.5 * np.log(2 * np.pi)).sum(axis=-1)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert post.log_likelihood().shape == (1, 3, 60)


def test_to_arviz(post):
    tree = post.to_arviz()
    groups = ("posterior", "posterior_predictive", "log_likelihood", "observed_data", "constant_data", "training")
    for group in groups:
        assert group in tree.groups() if callable(tree.groups) else f"/{group}" in tree.groups
    assert tree["posterior"]["output.weight"].dims[:2] == ("chain", "draw")
    assert tree["posterior"]["noise"].shape == (1, 3)
    assert tree["posterior_predictive"]["y"].dims == ("chain", "draw", "example", "output")
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "example")
    assert tree["training"]["loss"].dims == ("member", "epoch")
    np.testing.assert_array_equal(tree["training"]["epoch"], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(tree["observed_data"]["y"], DATA.y)


def test_save_and_load(post, tmp_path):
    path = post.save(tmp_path / "fit")
    assert path.suffix == ".nc"
    again = Posterior.load(tmp_path / "fit")
    assert repr(again) == repr(post)
    np.testing.assert_array_equal(again.predict(TEST.x).mean, post.predict(TEST.x).mean)
    np.testing.assert_array_equal(again.training["equivariance_error"], post.training["equivariance_error"])
    assert again.model.likelihood == post.model.likelihood
    again.to_arviz()
    # A loaded posterior starts another fit.
    method = DeepEnsemble(members=2, epochs=1)
    more = fit(again.model, again.x, again.y, method, engine="pyro", init=again, progress=False)
    assert more.draws == 2
    with xr.open_datatree(path, engine="h5netcdf") as tree:  # as ArviZ and others read it
        assert "posterior" in tree.children


def test_a_loaded_posterior_needs_no_engine(post, tmp_path):
    path = post.save(tmp_path / "fit.nc")
    np.save(tmp_path / "x.npy", TEST.x)
    code = (
        "import sys, numpy as np, bayes_rpp as rpp\n"
        f"p = rpp.Posterior.load(r'{path}')\n"
        f"np.save(r'{tmp_path / 'y.npy'}', p.predict(np.load(r'{tmp_path / 'x.npy'}')).mean)\n"
        "assert 'torch' not in sys.modules and 'jax' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), post.predict(TEST.x).mean)


def twice(g):
    return np.kron(np.eye(2), g)


def test_custom_representations_come_back_by_name(tmp_path):
    rep = Rep.custom(twice)
    net = EMLP(rep, Scalar, O(2), channels=[2 * Vector + rep])
    x, y = np.random.default_rng(0).normal(size=(10, 4)), np.zeros((10, 1))
    method = DeepEnsemble(members=2, epochs=1)
    path = fit(Model(net), x, y, method, engine="pyro", progress=False).save(tmp_path / "fit.nc")
    assert Posterior.load(path, custom={"twice": twice}).predict(x).mean.shape == (10, 1)
    with pytest.raises(ValueError, match="custom representation 'twice'"):
        Posterior.load(path)


def test_bad_input_is_named(post, tmp_path):
    with pytest.raises(ValueError, match="x must have 20 columns, the size of rep_in, got 19"):
        post.predict(TEST.x[:, :19])
    with pytest.raises(
        ValueError, match=r"x must be finite, got NaN or infinite values in 2 of 2 rows \(first: row 0\)"
    ):
        post.equivariance_error(np.full((2, 20), np.nan))
    with pytest.raises(ValueError, match="x and y must be given together, got one"):
        post.log_likelihood(TEST.x)
    with pytest.raises(FileNotFoundError, match="no file"):
        Posterior.load(tmp_path / "nothing.nc")
    xr.Dataset().to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="not written by"):
        Posterior.load(tmp_path / "other.nc")


def spec_of(path):
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        return json.loads(tree.attrs["bayes_rpp"])


NETS = {  # and the format of their files
    "products": (lambda: EMLP(Vector, T(2), O(3), channels=8 * Scalar + Vector + T(2), layers=1), 2),
    "products within": (lambda: LinearPath(EMLP(Vector, T(2), O(3), channels=8 * Scalar + Vector + T(2), layers=1)), 2),
    "no products": (lambda: EMLP(Vector, Vector, O(3), channels=20, layers=1), 1),
    "no layers": (lambda: EMLP(Vector, Vector, O(3), layers=0), 1),
    "plain": (lambda: MLP(Vector, T(2), O(3), channels=8), 1),
    "plain within": (lambda: LinearPath(MLP(Vector, T(2), O(3), channels=8)), 1),
    "code": (lambda: restrict(MLP(3, 9, layers=0), {"*.bias": FullSubspace((9,))}), 2),
}


@pytest.mark.parametrize("kind", NETS)
def test_files_have_the_oldest_format_that_holds_their_network(kind, tmp_path):
    make, number = NETS[kind]
    net = make()
    rng = np.random.default_rng(0)
    samples = {k: rng.normal(size=(1, 2, *p.shape)) for k, p in net.parameters.items()}
    x = rng.normal(size=(5, 3))
    post = Posterior(Model(net), samples, x=x, y=rng.normal(size=(5, net.rep_out.size)))
    path = post.save(tmp_path / "post")
    assert spec_of(path)["format"] == number
    assert ('"products"' in json.dumps(spec_of(path)["net"])) == kind.startswith("products")
    again = Posterior.load(path, net=net if kind == "code" else None)
    np.testing.assert_array_equal(again.predict(x).mean, post.predict(x).mean)
