"""ConvNet: RPP, Conv and MLP as settings of its prior, on numpy, torch and JAX arrays and both engines."""

import numpy as np
import pytest

from bayes_rpp import (
    MAP,
    MLP,
    Categorical,
    ConvNet,
    DeepEnsemble,
    Gaussian,
    Model,
    Posterior,
    Scalar,
    Vector,
    Z,
    datasets,
    equivariance_error,
    fit,
    load_network,
    save_network,
)
from bayes_rpp.subspaces import ConvolutionSubspace

# On purpose: such fits are what is tested.
pytestmark = [
    pytest.mark.filterwarnings("ignore:1 of 2 members lag"),
    pytest.mark.filterwarnings("ignore:the fit predicts the training data no better"),
]

jnp = pytest.importorskip("jax.numpy")
torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
SHIFTS = {"rep_in": Vector.on(0) * Vector.on(1), "rep_out": 3, "group": Z(4) * Z(4)}


def draw(model, seed=0):
    rng = np.random.default_rng(seed)
    return {k: p.color(rng.normal(size=p.shape)) for k, p in model.priors.items()}


def kernels(net):
    """Weights that convolve, and the same network by torch."""
    params = {
        k: p.subspace.project(RNG.normal(size=p.shape)) if "layers" in k else RNG.normal(size=p.shape)
        for k, p in net.parameters.items()
    }

    def by_torch(x):
        h = torch.tensor(x.reshape(len(x), *net.input_shape))
        for k, layer in enumerate(net.convolutions):
            kernel = torch.tensor(layer.kernel(params[f"layers.{k}.weight"]))
            bias = params[f"layers.{k}.bias"].reshape(layer.out_channels, -1)[:, 0]
            h = torch.nn.functional.conv2d(h, kernel, torch.tensor(bias), stride=layer.stride, padding=1)
            h = torch.nn.functional.silu(h)
        return h.flatten(1).numpy() @ params["output.weight"].T + params["output.bias"]

    return params, by_torch


@pytest.mark.parametrize("weights", ["dense", "local"])
def test_projected_weights_are_a_convolutional_network(weights):
    net = ConvNet((2, 5, 4), 3, channels=[4, 3], strides=[1, 2], padding=1, weights=weights)
    params, by_torch = kernels(net)
    x = RNG.normal(size=(6, 40))
    y = net(params, x)
    np.testing.assert_allclose(y, by_torch(x), atol=1e-12)
    for array in (torch.as_tensor, jnp.asarray):
        got = net({k: array(v) for k, v in params.items()}, array(x))
        np.testing.assert_allclose(np.asarray(got), y, rtol=1e-3, atol=1e-3 if array is jnp.asarray else 1e-10)
    np.testing.assert_allclose(net(params, x.reshape(2, 3, 40)), y.reshape(2, 3, 3), atol=1e-12)


def test_the_prior_decides_how_soft_the_convolutions_are():
    """With circular padding and nothing after the convolution, sigma_b = 0 commutes with shifts."""
    s = ConvolutionSubspace(1, 1, 3, (4, 4), padding="same", padding_mode="circular")
    x = RNG.normal(size=(20, 16))
    grid = {"rep_in": SHIFTS["rep_in"], "rep_out": SHIFTS["rep_in"], "group": SHIFTS["group"]}
    noise = RNG.normal(size=s.shape)

    def error(sigma_b):
        w = s.project(noise) + sigma_b * noise
        return equivariance_error(lambda v: s.apply(w, v), x, **grid).mean()

    errors = [error(sigma_b) for sigma_b in (0.0, 0.03, 0.3)]
    assert errors[0] < 1e-12 < 0.01 < errors[1] < errors[2]


def test_conv_and_mlp_are_settings_of_the_prior():
    net = ConvNet((1, 4, 4), 3, channels=[2, 2])
    conv, mlp = Model(net, sigma_b=0.0), Model(net, sigma_a=0.0, sigma_b=1.0)
    for k, w in draw(conv).items():
        subspace = net.parameters[k].subspace
        np.testing.assert_allclose(subspace.project(w), w, atol=1e-10)
    plain = Model(MLP(16, 3, channels=32, layers=2), sigma_b=0.0)
    for k, p in mlp.priors.items():
        assert p.isotropic_sigma == pytest.approx(plain.priors[k].isotropic_sigma)
    assert [p.shape for p in mlp.priors.values()] == [p.shape for p in plain.priors.values()]
    # fan_in keeps the signal's variance, whichever prior it is
    x = RNG.normal(size=(4, 16))
    for model in (conv, mlp, Model(net)):
        signals = [x @ draw(model, seed)["layers.0.weight"].T for seed in range(200)]
        assert np.var(signals) == pytest.approx((x**2).mean(), rel=0.25)


def test_presets():
    shapes = [c.input_size for c in ConvNet.for_table(11, 1).convolutions]
    assert shapes == [(4, 3)] * 4
    assert [ConvNet.for_table(n, 1, channels=[1]).convolutions[0].input_size for n in (8, 9, 1, 2)] == [
        (3, 3), (3, 3), (1, 1), (2, 1),
    ]  # fmt: skip
    net = ConvNet.for_cifar10(2, weights="local")
    assert [c.out_channels for c in net.convolutions] == [2, 4, 4, 8, 8, 16, 16, 32]
    assert net.parameters["output.weight"].shape == (10, 64 * 2)
    params = draw(Model(net, sigma_b=0.05))
    y = net(params, RNG.normal(size=(2, 3072)))
    assert y.shape == (2, 10)
    assert 0.05 < y.std() < 5


def test_a_tables_rows_are_padded_with_zeros():
    narrow, wide = ConvNet.for_table(7, 2, channels=[3]), ConvNet((1, 3, 3), 2, channels=[3])
    params = draw(Model(wide))
    x = RNG.normal(size=(5, 7))
    np.testing.assert_allclose(narrow(params, x), wide(params, np.pad(x, ((0, 0), (0, 2)))), atol=1e-12)
    assert narrow.input_shape is None


def test_images_are_fitted_saved_and_predicted(engine, tmp_path):
    data = datasets.digits()
    x, y = data.x[:128].reshape(-1, 1, 8, 8), data.y[:128]
    net = ConvNet(data.input_shape, 10, channels=[3], strides=2, dense=[12], norm=True)
    model = Model(net, sigma_a=2.0, sigma_b=0.3, likelihood=Categorical())
    method = DeepEnsemble(members=2, epochs=20, batch_size=32)
    post = fit(model, x, y, method, engine=engine, validation=(x[:8], y[:8]), progress=False)
    assert post.metrics(x, y)["accuracy"] > 0.5
    again = Posterior.load(post.save(tmp_path / "p.nc"))
    np.testing.assert_array_equal(again.predict(x).mean, post.predict(x.reshape(128, 64)).mean)
    assert repr(again.model.net) == repr(net)
    with pytest.raises(ValueError, match=r"x must have shape \(examples, 1, 8, 8\) or.*, got \(128, 8, 8, 1\)"):
        post.predict(x.reshape(128, 8, 8, 1))


def test_numbers_of_numpy_are_numbers(tmp_path):
    net = ConvNet(
        np.array([1, 8, 8]), np.int64(10), channels=[np.int64(2)], kernel_size=np.int64(3), strides=np.int64(2)
    )
    again, _ = load_network(save_network(tmp_path / "net", net, draw(Model(net))))
    assert again.config() == net.config()


def test_both_engines_train_the_same_network():
    x, y = RNG.normal(size=(40, 8)), RNG.normal(size=(40, 1))
    model = Model(ConvNet.for_table(8, 1, channels=[2, 2]), likelihood=Gaussian(0.5))
    posts = [fit(model, x, y, MAP(5, 20), engine=e, progress=False) for e in ("numpyro", "pyro")]
    for name in model.priors:
        np.testing.assert_allclose(posts[0].samples[name], posts[1].samples[name], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((8, 1), {}, r"input_shape must be \(channels, \*grid\), got 8"),
        (((3,), 1), {}, r"input_shape must be \(channels, \*grid\), got \(3,\)"),
        (((1, 4, 4), 0), {}, "outputs must be a whole number >= 1, got 0"),
        (((1, 4, 4), 1), {"channels": [0]}, "channels must be a whole number >= 1, got 0"),
        (((1, 4, 4), 1), {"strides": [1]}, r"strides must be a number, or 2, one for each of channels, got \[1\]"),
        (((1, 4, 4), 1), {"kernel_size": 9, "padding": 0}, r"kernel_size must fit input_size \(4, 4\), got \(9, 9\)"),
        (
            ((1, 4, 4), 1),
            {"columns": 17},
            r"columns must be from 1 to 16, the units of input_shape \(1, 4, 4\), got 17",
        ),
        (((1, 4, 4), 1), {"rep_in": Vector, "group": Z(4)}, "rep_in must have size 16, got 4"),
        (((1, 4, 4), 1), {"weights": "sparse"}, "weights must be 'dense' or 'local', got 'sparse'"),
        (((1, 4, 4), 1), {"channels": []}, r"channels must be a list of one number or more, got \[\]"),
        (((1, 4, 4), 1), {"channels": 4}, "channels must be a list of one number or more, got 4"),
        (((1, -4, 4), 1), {}, r"input_shape must be \(channels, \*grid\), got \(1, -4, 4\)"),
        (((3, 224, 224), 10), {"channels": [64]}, "layer 0 would have a weight of 3211264 x 150528.*weights='local'"),
        (((1, 4, 4), 1), {"rep_in": 16 * Scalar}, "group must be given with rep_in or rep_out, got None"),
    ],
)
def test_bad_input_is_named(arguments, settings, message):
    with pytest.raises(ValueError, match=message):
        ConvNet(*arguments, **settings)
