"""Smaller files of posteriors: fewer draws and shorter numbers, and words about large ones before they are written."""

import shutil
from collections import namedtuple

import numpy as np
import pytest
import xarray as xr

import bayes_rpp as rpp
from bayes_rpp.inference.posterior import thinning

HALF = rpp.Prior("HalfNormal", {"scale": 1.0})
Usage = namedtuple("Usage", "total used free")


def posterior(chains=2, draws=40, dtype=np.float32, spread=0.1, size=0.5, scale=1.0):
    rng = np.random.default_rng(0)
    net = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), channels=16, layers=1)
    model = rpp.Model(net, sigma_b=rpp.PerLayer(HALF), likelihood=rpp.Gaussian(HALF))
    samples = {}
    for k, p in net.parameters.items():
        middle = size * rng.normal(size=p.shape)
        samples[k] = (scale * (middle + spread * rng.normal(size=(chains, draws, *p.shape)))).astype(dtype)
    samples |= {k: 1e-9 * np.exp(rng.normal(size=(chains, draws))).astype(dtype) for k in model.latents}
    stats = {"diverging": np.zeros((chains, draws), dtype=bool), "lp": rng.normal(size=(chains, draws))}
    x = rng.normal(size=(30, 3))
    return rpp.Posterior(model, samples, x=x, y=x, sample_stats=stats)


@pytest.mark.parametrize("thin", [1, 2, 3, 7, 39, 40])
def test_each_kth_draw_is_kept_and_predicts_the_same(thin, tmp_path):
    post = posterior()
    again = rpp.Posterior.load(post.save(tmp_path / "p.nc", thin=thin))
    assert (again.chains, again.draws) == (2, -(-40 // thin))
    np.testing.assert_array_equal(again.predict(post.x).samples, post.predict(post.x).samples[:, ::thin])
    np.testing.assert_array_equal(again.sample_stats["lp"], post.sample_stats["lp"][:, ::thin])
    np.testing.assert_array_equal(again.samples["noise"], post.samples["noise"][:, ::thin])


@pytest.mark.parametrize(
    ("dtype", "given", "within", "share"),
    [
        ("float16", np.float32, 2e-3, 0.62),
        ("float16", np.float64, 2e-3, 0.35),
        ("float32", np.float64, 1e-6, 0.6),
        (np.float32, np.float32, 0, 1.0),
        (np.float16, np.float32, 2e-3, 0.62),
        ("float64", np.float32, 1e-6, 2.0),
    ],
)
def test_shorter_weights_predict_the_same_to_rounding(dtype, given, within, share, tmp_path):
    post = posterior(draws=200, dtype=given)
    whole = post.save(tmp_path / "whole.nc").stat().st_size
    path = post.save(tmp_path / "short.nc", dtype=dtype)
    assert path.stat().st_size < share * whole + 1
    again = rpp.Posterior.load(path)
    want, got = post.predict(post.x), again.predict(post.x)
    assert again.samples["output.weight"].dtype in (np.float32, np.float64)
    np.testing.assert_allclose(got.mean, want.mean, rtol=within, atol=within)
    np.testing.assert_allclose(got.std, want.std, rtol=10 * within)
    for k in post.model.latents:  # of a size that float16 does not have
        np.testing.assert_array_equal(again.samples[k], post.samples[k])
    assert post.samples["output.weight"].dtype == given  # the one in memory stays


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": 1e6}, "hold '.*' .up to .*, got 'float16'"),  # overflows
        ({"scale": 1e-9}, "hold '.*' .up to .*, got 'float16'"),  # becomes zero
        ({"spread": 1e-5}, "keep '.*', got 'float16', which rounds it by .* of the standard deviation of its draws"),
        ({"spread": 1e-4, "size": 3.0}, "keep '.*', got 'float16', which rounds it by"),
        ({"dtype": np.float64, "spread": 1e-6}, "keep '.*', got 'float16', which rounds it by"),
    ],
)
def test_what_float16_cannot_hold_is_an_error(options, words, tmp_path):
    post = posterior(**options)
    with pytest.raises(ValueError, match=f"dtype must {words}") as raised:
        post.save(tmp_path / "p.nc", dtype="float16")
    assert "'float32' would do" in str(raised.value)
    assert not list(tmp_path.iterdir())
    rpp.Posterior.load(post.save(tmp_path / "p.nc", dtype="float32"))


def test_one_draw_has_no_spread_to_lose(tmp_path):
    post = posterior(chains=1, draws=1)
    again = rpp.Posterior.load(post.save(tmp_path / "p.nc", dtype="float16"))
    np.testing.assert_allclose(again.predict(post.x).mean, post.predict(post.x).mean, atol=3e-3)


@pytest.mark.parametrize("spread", [0.2, 0.05])
def test_modes_with_centres(spread, tmp_path):
    post = posterior(spread=spread)
    center = {k: post.samples[k].mean(axis=1, dtype=np.float64) for k in post.model.net.parameters}
    post = post.replace(center=center)
    again = rpp.Posterior.load(post.save(tmp_path / "p.nc", thin=4, dtype="float16"))
    want = post.predict(post.x).samples[:, ::4]
    np.testing.assert_allclose(again.predict(post.x).samples, want, atol=5e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thin": 0}, "thin must be a whole number >= 1, got 0"),
        ({"thin": True}, "thin must be a whole number >= 1, got True"),
        ({"thin": 2.0}, r"thin must be a whole number >= 1, got 2\.0"),
        ({"thin": 41}, "thin must be from 1 to 40, the draws of a chain, got 41"),
        ({"dtype": "int8"}, "dtype must be 'float16' or 'float32', got 'int8'"),
        ({"dtype": "half a byte"}, "dtype must be 'float16' or 'float32', got 'half a byte'"),
        ({"dtype": 7}, "dtype must be 'float16' or 'float32', got 7"),
    ],
)
def test_bad_options_are_named(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        posterior().save(tmp_path / "p.nc", **options)
    assert not list(tmp_path.iterdir())


def test_a_large_file_says_its_size(tmp_path, monkeypatch):
    post = posterior()
    size = sum(v.nbytes for v in post.samples.values())
    monkeypatch.setattr(thinning, "LARGE", size / 2)
    with pytest.warns(UserWarning, match=r"p.nc takes .* MB: 80 draws of \d+ weights in float32. save\(thin=10\)"):
        post.save(tmp_path / "p.nc")
    post.save(tmp_path / "p.nc", thin=4)  # says nothing
    assert thinning._bytes(2.3e9) == "2.3 GB"


def test_a_disk_without_the_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    post = posterior()
    path = post.save(tmp_path / "p.nc")
    before = path.read_bytes()
    size = sum(v.nbytes for v in post.samples.values())
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10 * size, 9 * size, size // 2))
    with pytest.raises(OSError, match=r"p.nc takes .* MB but there are .* MB free in .*; save\(thin=") as raised:
        post.save(path)
    assert raised.value.errno == 28
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.nc"]
    assert rpp.Posterior.load(post.save(path, thin=4)).draws == 10


def test_others_read_the_file(tmp_path):
    with xr.open_datatree(posterior().save(tmp_path / "p.nc", dtype="float16"), engine="h5netcdf") as tree:
        assert tree["posterior"]["output.weight"].dtype == np.float16


def test_an_ensemble_keeps_each_kth_member(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 3))
    net = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), layers=0)
    method = rpp.DeepEnsemble(members=5, epochs=2)
    post = rpp.fit(rpp.Model(net), x, x, method, engine="pyro", progress=False)
    again = rpp.Posterior.load(post.save(tmp_path / "p.nc", thin=2))
    np.testing.assert_array_equal(again.samples["output.weight"], post.samples["output.weight"][:, ::2])
    np.testing.assert_array_equal(again.training["loss"], post.training["loss"][::2])


@pytest.mark.parametrize(
    ("method", "members"),
    [
        (rpp.DeepEnsemble(members=4, epochs=3), [0, 2]),
        (rpp.DeepEnsemble(members=3, epochs=3), [0, 2]),
        (rpp.SVI(epochs=3, draws=4), [0]),
        (rpp.SVI(epochs=3, draws=4, members=2), [0, 1]),
        (rpp.SVI(epochs=3, draws=2, members=2), [0, 1]),
        (rpp.Laplace(epochs=3, draws=4, polish=0), [0]),
    ],
)
def test_the_training_records_are_those_of_the_members_that_are_kept(method, members, tmp_path):
    net = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), layers=0)
    x = np.random.default_rng(0).normal(size=(20, 3))
    post = rpp.fit(rpp.Model(net), x, x, method, engine="pyro", progress=False)
    again = rpp.Posterior.load(post.save(tmp_path / "p.nc", thin=2))
    np.testing.assert_array_equal(again.training["loss"], post.training["loss"][members])
    assert post.training["loss"].shape[0] == method.count  # the posterior itself is as it was
    again.to_arviz()
