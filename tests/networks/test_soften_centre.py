"""`soften(centre="module")`: weights are differences from the module's, which are the middle of the prior."""

import numpy as np
import pytest

import bayes_rpp as rpp

X = np.random.default_rng(0).uniform(size=(12, 36))
Y = np.arange(12) % 3


def module(library):
    if library == "torch":
        torch = pytest.importorskip("torch")
        nn = torch.nn
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.SiLU(), nn.Flatten(), nn.Linear(32, 3)), (1, 6, 6)
    nnx = pytest.importorskip("flax.nnx")
    conv, head = nnx.Conv(1, 2, (3, 3), padding="VALID", rngs=nnx.Rngs(0)), nnx.Linear(32, 3, rngs=nnx.Rngs(1))
    return nnx.Sequential(conv, nnx.silu, lambda h: h.reshape((len(h), -1)), head), (6, 6, 1)


@pytest.mark.parametrize("library", ["torch", "flax"])
def test_the_prior_is_about_the_module(library, tmp_path):
    cnn, shape = module(library)
    net = rpp.soften(cnn, shape, centre="module", residual="local")
    plain = rpp.soften(cnn, shape, residual="local")
    assert all((w == 0).all() for w in net.initial.values())
    np.testing.assert_allclose(net(net.initial, X), plain(plain.initial, X), atol=1e-6)
    moved = {k: 0.1 * np.random.default_rng(len(k)).normal(size=w.shape) for k, w in net.initial.items()}
    together = {k: plain.initial[k] + w for k, w in moved.items()}
    np.testing.assert_allclose(net(moved, X), plain(together, X), atol=1e-5)
    # With hardly any room in the prior the module stays as it is; about zero it would not.
    model = rpp.Model(net, sigma_a=1e-4, sigma_b=1e-4, likelihood=rpp.Categorical())
    post = rpp.fit(model, X, Y, rpp.MAP(epochs=20), init=net.initial, progress=False)
    np.testing.assert_allclose(post.outputs(X)[0, 0], plain(plain.initial, X), atol=1e-2)
    again = rpp.Posterior.load(post.save(tmp_path / "post.nc"), net=net)
    np.testing.assert_array_equal(again.outputs(X), post.outputs(X))
    with pytest.raises(ValueError, match="net"):
        rpp.Posterior.load(tmp_path / "post.nc", net=plain)
    if library == "torch":
        import torch

        merged = post.to_torch(chain=0, draw=0)(torch.as_tensor(X, dtype=torch.float32).reshape(-1, *shape))
        np.testing.assert_allclose(merged.detach().numpy(), post.outputs(X)[0, 0], atol=1e-5)


def test_another_centre_is_named():
    cnn, shape = module("torch")
    with pytest.raises(ValueError, match=r"centre must be 'zero', 'module' or None, got 'mean'"):
        rpp.soften(cnn, shape, centre="mean")


@pytest.mark.filterwarnings("ignore:module has batch normalisation that has seen no data")
@pytest.mark.parametrize("library", ["torch", "flax"])
def test_left_open_it_is_the_module_where_normalisation_has_seen_data(library):
    cnn, shape = module(library)
    assert not rpp.soften(cnn, shape, residual="local").centered
    if library == "torch":
        nn = pytest.importorskip("torch.nn")
        norm = nn.BatchNorm2d(1)
        normed = nn.Sequential(norm, cnn)
    else:
        nnx = pytest.importorskip("flax.nnx")
        norm = nnx.BatchNorm(1, rngs=nnx.Rngs(0))
        normed = nnx.Sequential(norm, *cnn.layers)
    for make in (rpp.soften, lambda *given, **options: rpp.SoftModule(*given, **options).net):
        assert not make(normed, shape, residual="local").centered
    if library == "torch":
        norm(norm.running_mean.new_ones(2, 1, 6, 6))  # in training mode
    else:
        norm.mean[...] += 0.5
    for make in (rpp.soften, lambda *given, **options: rpp.SoftModule(*given, **options).net):
        net = make(normed, shape, residual="local")
        assert net.centered
        assert repr(net).endswith("weights about the module's)")
        assert not make(normed, shape, residual="local", centre="zero").centered
