"""Softened Flax modules, nnx and linen."""

from functools import partial

import numpy as np
import pytest

pytest.importorskip("flax")

import jax
import jax.numpy as jnp
from flax import linen, nnx

import bayes_rpp as rpp
from tests.networks.flax_modules import CNN, SHAPE, Gain, LinenCNN, One

# The modules that have nothing to soften are here for other reasons.
pytestmark = pytest.mark.filterwarnings("ignore:soften made nothing soft")

RNG = np.random.default_rng(0)
linen_variables, linen_outputs = (jax.jit(partial(f, train=False)) for f in (LinenCNN().init, LinenCNN().apply))


class Attention(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.embed = nnx.Linear(3, 4, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(num_heads=2, in_features=4, decode=False, rngs=rngs)
        self.norm = nnx.LayerNorm(4, rngs=rngs)
        self.shift = nnx.Param(jnp.ones(4))
        self.unused = nnx.Linear(2, 2, rngs=rngs)

    def __call__(self, x):
        x = self.embed(x)
        return (self.norm(x + self.attention(x)) + self.shift[...]).mean(axis=1)


def images(n, shape=SHAPE):
    return RNG.normal(size=(n, *shape)).astype(np.float32)


def evaluated(module, x):
    module = nnx.clone(module)
    module.eval()
    return np.asarray(nnx.jit(lambda m, x: m(x))(module, jnp.asarray(x))).reshape((len(x), -1))


@pytest.fixture(scope="module")
def cnn():
    module = CNN()
    return module, rpp.soften(module, SHAPE, centre="zero")


def kind(net, name):
    return next(layer for layer in net.layers if layer.name == name)


def test_a_cnn_with_batch_normalisation(cnn):
    module, net = cnn
    assert isinstance(net, rpp.networks.ModuleNetwork)
    assert net.engines == ("numpyro",)
    assert [layer.name for layer in net.layers] == ["layers.0", "norm", "layers.1", "gain", "out"]
    assert list(net.parameters) == [
        *(f"{p}.{k}" for p in ("layers.0", "layers.1") for k in ("weight", "bias")),
        *("gain.weight", "out.weight", "out.bias", "norm.bias", "norm.scale"),
    ]
    assert net.parameters["layers.1.weight"].shape == (2 * 2 * 3, 3 * 4 * 6)
    assert net.parameters["layers.1.weight"].subspace.rank == 3 * 2 * 9
    assert net.parameters["layers.1.bias"].subspace.rank == 2
    assert net.parameters["gain.weight"].subspace.rank == 2
    assert net.parameters["out.weight"].shape == (2, 12)
    assert kind(net, "norm").subspace is None
    assert "normalisation" in net.table
    assert not net.initial["norm.scale"].any()
    assert module.dropout.deterministic is False  # not changed
    x = images(5)
    np.testing.assert_allclose(net(net.initial, x.reshape(5, -1)), evaluated(module, x), atol=1e-5)


def test_arrays_in_and_out(cnn):
    net, x = cnn[1], images(5).reshape(5, -1)
    single = {k: v.astype(np.float32) for k, v in net.initial.items()}
    wanted = net(net.initial, x)
    assert (type(wanted), wanted.dtype, wanted.shape) == (np.ndarray, np.float64, (5, 2))
    assert net(single, x).dtype == np.float32
    np.testing.assert_allclose(net(single, x.reshape(5, *SHAPE)), wanted, atol=1e-5)
    np.testing.assert_allclose(net(single, x.reshape(1, 5, -1)), wanted[None], atol=1e-5)
    params = {k: jnp.asarray(v) for k, v in single.items()}
    y = jax.jit(net)(params, jnp.asarray(x))
    assert isinstance(y, jax.Array)
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    many = {k: jnp.stack([v, 0.5 * v]) for k, v in params.items()}
    both = jax.jit(jax.vmap(net, (0, None)))(many, jnp.asarray(x))
    np.testing.assert_allclose(both[0], wanted, atol=1e-5)
    assert np.abs(both[1] - wanted).max() > 1e-3
    slopes = jax.jit(jax.grad(lambda p: net(p, jnp.asarray(x)).sum()))(params)
    assert all(np.abs(v).max() > 0 for v in slopes.values())


def grouped(**settings):
    return nnx.Conv(4, 6, (3, 2), feature_group_count=2, bias_init=nnx.initializers.ones, rngs=nnx.Rngs(0), **settings)


@pytest.mark.parametrize("residual", ["dense", "local", "kernel"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"strides": (2, 1)},
        {"padding": "VALID", "kernel_dilation": (1, 2)},
        {"padding": "CIRCULAR", "kernel_dilation": 2},
        {"padding": ((1, 0), (0, 2)), "use_bias": False},
        {"padding": 1, "strides": 3},
    ],
    ids=str,
)
def test_convolutions(settings, residual):
    module = One(grouped(**settings))
    net = rpp.soften(module, (5, 6, 4), residual=residual)
    weight = net.parameters["layer.weight"].subspace
    assert type(weight) is (rpp.subspaces.FullSubspace if residual == "kernel" else rpp.subspaces.ConvolutionSubspace)
    x = images(3, (5, 6, 4))
    np.testing.assert_allclose(net(net.initial, x.reshape(3, -1)), evaluated(module, x), atol=1e-5)
    if residual != "kernel":
        np.testing.assert_allclose(weight.project(net.initial["layer.weight"]), net.initial["layer.weight"], atol=1e-9)


@pytest.mark.parametrize(
    ("layer", "shape", "rank"),
    [
        (lambda r: nnx.Conv(2, 3, (3,), rngs=r), (5, 2), 18),
        (lambda r: nnx.Conv(2, 3, (3,), padding="CAUSAL", rngs=r), (5, 2), 18),
        (lambda r: nnx.Conv(2, 3, (3,), padding="REFLECT", rngs=r), (5, 2), 18),
        (lambda r: nnx.Conv(2, 3, (3,), padding=1, input_dilation=2, rngs=r), (5, 2), 18),
        (lambda r: nnx.Conv(2, 1, (2,), mask=jnp.asarray([[[1.0], [0.0]]] * 2), rngs=r), (5, 2), 2),
        (lambda r: nnx.Conv(1, 2, (2, 2, 2), rngs=r), (2, 3, 3, 1), 16),
        (lambda r: nnx.ConvTranspose(2, 3, (2, 2), strides=2, rngs=r), (2, 3, 2), 24),
        (lambda r: nnx.Linear(3, 2, rngs=r), (4, 3), 6),
        (lambda r: nnx.LinearGeneral((4, 3), 2, axis=(-2, -1), rngs=r), (4, 3), 24),
        (lambda r: nnx.Einsum("nab,bc->nac", (3, 2), (2,), rngs=r), (4, 3), 6),
        (lambda r: Gain(3, r), (4, 3), 3),
    ],
)
def test_other_layers(layer, shape, rank):
    module = One(layer(nnx.Rngs(0)))
    net = rpp.soften(module, shape)
    assert net.parameters["layer.weight"].subspace.rank == rank
    x = images(3, shape)
    np.testing.assert_allclose(net(net.initial, x.reshape(3, -1)), evaluated(module, x), atol=1e-5)


def test_a_layer_by_itself():
    net = rpp.soften(nnx.Conv(2, 3, (3,), rngs=nnx.Rngs(0)), (4, 2))
    assert list(net.parameters) == ["weight", "bias"]
    assert list(rpp.soften(linen.Dense(2), 3).parameters) == ["weight", "bias"]


@pytest.mark.parametrize(
    ("residual", "shape"), [(None, (72, 48)), ({"Block_0.*": "local"}, (72, 18)), ("kernel", (3, 2, 3, 3))]
)
def test_linen(residual, shape):
    module, x = LinenCNN(), images(5)
    variables = jax.tree.map(lambda a: a + 0.1, linen_variables(jax.random.key(1), x))
    net = rpp.soften(module.bind(variables), SHAPE, residual=residual)
    assert [layer.name for layer in net.layers] == ["Block_0.Conv_0", "Block_0.BatchNorm_0", "Conv_0", "Dense_0"]
    assert net.parameters["Block_0.Conv_0.weight"].shape == shape
    wanted = linen_outputs(variables, x)
    np.testing.assert_allclose(net(net.initial, x.reshape(5, -1)), wanted, atol=1e-5)


def test_linen_modules_without_weights_are_initialised():
    module, x = LinenCNN(), images(5)
    with pytest.warns(UserWarning, match=r"that has seen no data \(Block_0.BatchNorm_0\)"):
        net = rpp.soften(module, SHAPE)
    wanted = linen_outputs(linen_variables(jax.random.key(0), x), x)
    np.testing.assert_allclose(net(net.initial, x.reshape(5, -1)), wanted, atol=1e-5)


def test_what_is_left_alone_is_listed():
    module = Attention()
    net = rpp.soften(module, (5, 3))
    notes = {layer.name: layer.note for layer in net.layers}
    assert notes == {
        "": "parameters of its own, beside its layers",
        "embed": "residual: none of its own",
        "attention": "attention",
        "norm": "normalisation",
        "unused": "never called",
    }
    assert "attention.query.kernel" in net.parameters
    assert not net.initial["shift"].any()
    x = images(3, (5, 3))
    np.testing.assert_allclose(net(net.initial, x.reshape(3, -1)), evaluated(module, x), atol=1e-5)
    changed = {**net.initial, "shift": np.ones(4)}  # a difference from the module's value
    np.testing.assert_allclose(net(changed, x.reshape(3, -1)), evaluated(module, x) + 1, atol=1e-5)
    assert rpp.soften(module, (5, 3), skip=["em*"]).parameters["embed.kernel"].shape == (3, 4)


class Product(Gain):
    def __call__(self, x, z):
        return x * z * self.gain[...]


class Odd(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.twice, self.product = nnx.Linear(2, 2, rngs=rngs), Product(2, rngs)
        self.stack = nnx.vmap(lambda rngs: nnx.Linear(2, 2, rngs=rngs))(rngs.split(4))
        self.first, self.tied = nnx.Linear(2, 2, rngs=rngs), nnx.Linear(2, 2, rngs=rngs)
        self.tied.kernel = self.first.kernel
        self.one, self.bent = nnx.Conv(2, 2, (2,), rngs=rngs), nnx.PReLU()
        self.cell = nnx.RNN(nnx.SimpleCell(2, 2, rngs=rngs))

    def __call__(self, x):
        x = self.tied(self.first(self.twice(x)))
        x = jax.vmap(self.one)(x)  # one example at a time
        x = self.product(x, x)
        x = nnx.vmap(lambda layer, x: layer(x), in_axes=(0, 1), out_axes=1)(self.stack, x)
        return self.twice(self.cell(self.bent(x))[:, -1])


def test_layers_called_in_odd_ways_are_left_alone():
    module = Odd()
    net = rpp.soften(module, (4, 2))
    notes = {layer.name: layer.note for layer in net.layers}
    assert notes["twice"] == "called with inputs of different shapes: (2,), (4, 2)"
    assert notes["first"] == notes["tied"] == "shares parameters with another layer"
    assert notes["one"] == "its first axis is not the batch"
    assert "not linear in its parameters" in notes["bent"]
    assert notes["product"] == "called with several arguments"
    assert notes["stack"] == "one of many whose parameters are stacked"
    assert notes["cell"] == "recurrent"
    x = images(3, (4, 2))
    np.testing.assert_allclose(net(net.initial, x.reshape(3, -1)), evaluated(module, x), atol=1e-5)


def test_subspaces_by_pattern():
    rep = 3 * rpp.Vector
    module = nnx.Sequential(nnx.Linear(9, 9, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(9, 3, rngs=nnx.Rngs(1)))
    given = {
        "layers.0.w*": rpp.subspaces.EquivariantSubspace(rep(rpp.O(3)), rep(rpp.O(3))),
        "layers.2.weight": rpp.subspaces.EquivariantSubspace(rep(rpp.O(3)), rpp.Vector(rpp.O(3))),
        "*.bias": rpp.subspaces.ZeroSubspace((9,)),
    }
    with pytest.raises(
        ValueError, match=r"subspaces\['\*\.bias'\] must have shape \(3,\) of layers\.2\.bias, got \(9,\)"
    ):
        rpp.soften(module, 9, subspaces=given)
    given["layers.0.bias"] = given.pop("*.bias")
    with pytest.warns(UserWarning, match=r"not equivariant under O\(3\) .* error is 0\.\d+\. A pointwise function"):
        net = rpp.soften(module, 9, subspaces=given, rep_in=rep, rep_out=rpp.Vector, group=rpp.O(3))
    assert net.parameters["layers.0.weight"].subspace.rank == 9
    assert kind(net, "layers.0").note == "subspace as given"
    assert net.rep_in.rep == rep


@pytest.mark.parametrize(
    ("make", "method"),
    [(CNN, rpp.DeepEnsemble(members=2, epochs=15)), (LinenCNN, rpp.MAP(epochs=15))],
    ids=["nnx", "linen"],
)
def test_fit(make, method):
    module = make()
    if make is LinenCNN:  # with running statistics
        variables = linen_variables(jax.random.key(1), images(5))
        module = module.bind(jax.tree.map(lambda a: a + 0.1, variables))
    net = rpp.soften(module, SHAPE)
    x = images(16).reshape(16, -1)
    model = rpp.Model(net, sigma_b=0.05, likelihood=rpp.Gaussian(0.3))
    post = rpp.fit(model, x, x[:, :2], method, engine="numpyro", init=net.initial, progress=False)
    loss = post.training["loss"]
    assert (loss[:, -1] < loss[:, 0]).all()
    assert post.predict(x).mean.shape == (16, 2)


def test_without_a_residual_weights_stay_convolutions():
    net = rpp.soften(One(nnx.Conv(2, 1, (3, 3), rngs=nnx.Rngs(0))), SHAPE)
    x = images(8).reshape(8, -1)
    post = rpp.fit(rpp.Model(net, sigma_b=0.0), x, x[:, :24], rpp.MAP(epochs=3), engine="numpyro", progress=False)
    w = post.samples["layer.weight"]
    np.testing.assert_allclose(net.parameters["layer.weight"].subspace.project(w), w, atol=1e-5)
    assert np.abs(w).max() > 0
