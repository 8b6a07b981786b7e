"""`soften` on modules of torch, e3nn and escnn."""

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

import bayes_rpp as rpp
from bayes_rpp.engines.base import get_engine
from tests.networks import torch_modules
from tests.networks.torch_modules import MODULES, make, outputs

# The modules that have nothing to soften are here for other reasons.
pytestmark = pytest.mark.filterwarnings("ignore:soften made nothing soft")

CONVOLUTIONAL = ["cnn", "one_dimensional", "grouped", "escnn", "escnn_in_torch", "escnn_mixed", "escnn_solid"]
CASES = [(name, None) for name in MODULES] + [(n, r) for n in CONVOLUTIONAL for r in ("dense", "local", "kernel")]


def inputs(net, n=3):
    return np.random.default_rng(0).uniform(0.0, 1.0, (n, *net.input_shape)).astype(np.float32)


def start(net, dtype=np.float32):
    return {k: v.astype(dtype) for k, v in net.initial.items()}


def layers(net):
    return {layer.name: layer for layer in net.layers}


@pytest.mark.parametrize(("name", "residual"), CASES)
def test_initial_weights_are_the_module(name, residual):
    module, shape = make(name)
    before, state = {k: v.clone() for k, v in module.state_dict().items()}, torch.get_rng_state()
    net = rpp.soften(module, shape, residual=residual)
    assert (torch.get_rng_state() == state).all()
    assert module.training
    assert all((before[k] == v).all() for k, v in module.state_dict().items())
    x = inputs(net)
    wanted = outputs(module, x)
    found = net(start(net), x.reshape(len(x), -1))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(net(start(net), x), wanted, atol=1e-5, rtol=1e-5)
    exact = net(net.initial, x.astype(np.float64))
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact, wanted, atol=1e-5, rtol=1e-5)
    # Weights of softened layers lie in their subspaces, and every one of them is of use.
    for layer in net.layers:
        if layer.subspace is not None:
            weight = net.initial[f"{layer.name}.weight" if layer.name else "weight"]
            np.testing.assert_allclose(layer.subspace.project(weight), weight, atol=1e-6)
    # Members run as one, or one by one, and have gradients.
    t = torch.as_tensor(x).flatten(1)
    two = {k: torch.as_tensor(np.stack([v, 0.9 * v])).requires_grad_() for k, v in start(net).items()}
    y = get_engine("pyro").vmap(net, (0, None))(two, t)
    np.testing.assert_allclose(y[0].detach(), wanted, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(y[1].detach(), net({k: v[1].detach() for k, v in two.items()}, t).detach(), atol=1e-5)
    y.square().sum().backward()
    assert all(p.grad is not None for p in two.values())


# escnn cannot copy its groups of rotations in space.
@pytest.mark.parametrize("name", [name for name in MODULES if name != "escnn_solid"])
def test_copies_run(name):
    module, shape = make(name)
    net = rpp.soften(module, shape)
    x, params = inputs(net), start(net)
    np.testing.assert_array_equal(copy.deepcopy(net)(params, x), net(params, x))
    if name in ("cnn", "e3nn", "transformer"):
        if name == "e3nn":  # its class is local to a function; what counts is that the layers go through
            net = rpp.soften(module.first, shape)
            params = start(net)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(net))(params, x), net(params, x))


def test_cnn_listing():
    module, shape = make("cnn")
    net = rpp.soften(module, shape)
    assert net.table.splitlines() == [
        "layer  kind         weight      rank",
        "0      Conv2d       75 x 50     54 of 3750   residual: any linear map",
        "1      BatchNorm2d  left alone               normalisation",
        "3      Conv2d       16 x 75     108 of 1200  residual: any linear map",
        "6      Linear       2 x 16      32 of 32     residual: none of its own",
    ]
    assert list(net.parameters) == [f"{k}.{p}" for k in (0, 1, 3, 6) for p in ("weight", "bias")]
    assert net.parameters["0.bias"].subspace.rank == 3
    assert net.parameters["0.bias"].shape == (75,)
    assert (net.initial["1.weight"] == 0).all()
    assert net.engines == ("pyro",)
    kinds = rpp.soften(module, shape, residual={"0": "kernel", "*": "local"}, skip=["6"])
    shapes = {k: None if v.subspace is None else v.subspace.shape for k, v in layers(kinds).items()}
    assert shapes == {"0": (3, 2, 3, 3), "1": None, "3": (16, 27), "6": None}


def test_transformer_listing():
    module, shape = make("transformer")
    notes = {k: v.note for k, v in layers(rpp.soften(module, shape)).items() if v.subspace is None}
    assert notes == {
        "self_attn": "attention",
        "self_attn.out_proj": "part of attention",
        "norm1": "normalisation",
        "norm2": "normalisation",
    }
    module, shape = make("recurrent")
    notes = {k: v.note for k, v in layers(rpp.soften(module, shape)).items() if v.subspace is None}
    assert notes == {"embed": "embedding", "gru": "recurrent"}


def test_steerable_layers_have_their_kernels_within_all_kernels():
    module, shape = make("escnn")
    for residual, wanted in ((None, (4, 1, 3, 3)), ("dense", (100, 25)), ("local", (100, 9))):
        net = rpp.soften(module, shape, residual=residual)
        subspace = layers(net)["0"].subspace
        assert subspace.shape == wanted
        inside = subspace.levels[0] if residual else subspace
        assert inside.rank == module[0].weights.numel()
        if residual:
            assert isinstance(subspace, rpp.subspaces.NestedSubspace)
            assert subspace.rank == 36


def test_modules_that_use_layers_in_odd_ways():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.twice = nn.Conv1d(1, 1, 3, padding=1), nn.Conv1d(1, 1, 1)
            self.a, self.b, self.unused = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(2, 2)
            self.b.weight = self.a.weight
            self.shared = self.again = nn.Linear(4, 4)
            self.scale = nn.Parameter(torch.ones(4))

        def forward(self, x):
            x = self.conv(x[:, None])
            x = self.twice(x) + self.twice(x[..., :2]).sum(-1, keepdim=True)
            return self.scale * self.again(self.shared(self.b(self.a(input=x[:, 0]))))

    module = Odd()
    net = rpp.soften(module, 4)
    found = {k: v.note for k, v in layers(net).items() if v.subspace is None}
    assert found == {
        "": "holds other layers",
        "twice": "called with inputs of different shapes: (1, 2), (1, 4)",
        "a": "its weight is b.weight as well",
        "b": "its weight is a.weight as well",
        "unused": "never called, or not as a layer",
    }
    assert "(module)" in net.table
    assert {"shared.weight", "a.weight", "a.bias", "b.bias", "scale"} < set(net.parameters)
    assert not {"again.weight", "b.weight"} & set(net.parameters)
    assert net.initial["shared.weight"].any()
    assert not net.initial["a.weight"].any()


def test_subspaces_may_be_given():
    group = rpp.SO(3)
    inner = rpp.subspaces.EquivariantSubspace(rpp.Vector(group), rpp.Vector(group))
    module = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    net = rpp.soften(module, 3, subspaces={"0.w*": inner, "*.weight": rpp.subspaces.ZeroSubspace((3, 3))})
    assert net.parameters["0.weight"].subspace is inner
    assert layers(net)["0"].subspace is inner
    assert net.parameters["2.weight"].subspace.rank == 0
    assert net.parameters["2.bias"].subspace.rank == 3


@pytest.mark.parametrize("name", ["cnn", "e3nn", "escnn_in_torch", "escnn"])
@pytest.mark.parametrize("method", [rpp.MAP, rpp.DeepEnsemble])
def test_fit_lowers_the_loss(name, method):
    module, shape = make(name)
    net = rpp.soften(module, shape)
    x = np.random.default_rng(1).normal(size=(16, int(np.prod(shape)))).astype(np.float32)
    y = np.tanh(x[:, :1] + x[:, 1:2]) * np.ones((1, net.rep_out.size), dtype=np.float32)
    options = {"members": 2} if method is rpp.DeepEnsemble else {}
    post = rpp.fit(
        rpp.Model(net, sigma_b=0.1),
        x,
        y,
        method(epochs=15, batch_size=8, learning_rate=0.01, **options),
        engine="pyro",
        init=net.initial,
        progress=False,
    )
    loss = post.training["loss"]
    assert (loss[:, -1] < loss[:, 0]).all()
    assert post.predict(x).mean.shape == y.shape


def draw(net, sigma_a, sigma_b):
    """Weights of the prior, as numpy arrays."""
    rng, params = np.random.default_rng(0), {}
    for name, prior in rpp.Model(net, sigma_a=sigma_a, sigma_b=sigma_b).priors.items():
        at = prior.strict() if prior.is_strict else prior
        value = at.color(rng.normal(size=at.shape))
        params[name] = prior.support.decode(value) if prior.is_strict else value
    return params


@pytest.mark.filterwarnings("ignore:module has batch normalisation that has seen no data")
@pytest.mark.parametrize("residual", ["kernel", "dense", "local"])
def test_only_the_residual_breaks_the_symmetry_of_escnn(residual):
    torch.manual_seed(0)
    module, shape = torch_modules.escnn(pool=False)
    net = rpp.soften(module, shape, residual=residual)
    x = inputs(net).astype(np.float64)
    # As matrices, steerable kernels are nested within the kernels, and these within all maps.
    cases = [(1.0, 0.0, False), (1.0, 0.3, True)]
    if residual != "kernel":
        cases = [([1.0, 0.0], 0.0, False), ([1.0, 0.3], 0.0, True), ([1.0, 0.0], 0.3, True)]
    for sigma_a, sigma_b, broken in cases:
        params = draw(net, sigma_a, sigma_b)
        y, turned = (net(params, a).reshape(3, 3, 3) for a in (x, np.rot90(x, axes=(2, 3)).copy()))
        error = np.abs(turned - np.rot90(y, axes=(1, 2))).max() / np.abs(y).max()
        assert (error > 1e-2) if broken else (error < 1e-6)


def test_only_the_residual_breaks_the_symmetry_of_e3nn():
    module, _ = make("e3nn")
    reps = {"rep_in": 2 * rpp.Scalar + rpp.Vector, "rep_out": rpp.Scalar + rpp.Vector, "group": rpp.O(3)}
    # The product's own parameters are left alone, and any values of them are equivariant.
    net = rpp.soften(module, 5, **reps)
    x = np.random.default_rng(0).normal(size=(20, 5))
    for sigma_b, broken in ((0.0, False), (0.3, True)):
        params = draw(net, 1.0, sigma_b)
        # e3nn's constants are float32.
        error = rpp.equivariance_error(lambda a, p=params: net(p, a), x, net.rep_in, net.rep_out, net.group)
        assert (np.median(error) > 1e-2) if broken else (error.max() < 1e-5)


@pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")
@pytest.mark.parametrize("name", ["cnn", "e3nn"])
def test_softened_modules_are_sampled(name):
    module, shape = make(name)
    net = rpp.soften(module, shape)
    x = np.random.default_rng(1).normal(size=(8, int(np.prod(shape))))
    y = np.zeros((8, net.rep_out.size))
    for method in (rpp.NUTS(chains=1, warmup=20, draws=3, max_tree_depth=2), rpp.SVI(epochs=3, draws=4)):
        post = rpp.fit(rpp.Model(net), x, y, method, init=rpp.fit(rpp.Model(net), x, y, rpp.MAP(2), progress=False),
                       progress=False)  # fmt: skip
        assert np.isfinite(post.predict(x).mean).all()


def test_modules_keep_their_state_and_examples_apart(tmp_path):
    norm = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    norm.train()(torch.randn(50, 3) * 3 + 1)
    net = rpp.soften(norm, 3)
    file = rpp.save_network(tmp_path / "net", net, net.initial)
    assert rpp.load_network(file, net=rpp.soften(norm, 3))[0].size == net.size
    fresh = nn.Sequential(norm[0], nn.BatchNorm1d(2))
    with pytest.warns(UserWarning, match=r"that has seen no data \(1\)"):
        other = rpp.soften(fresh, 3)
    with pytest.raises(ValueError, match="its module has another state"):
        rpp.load_network(file, net=other)

    class Mixing(nn.Linear):
        def forward(self, x):
            return super().forward(x - x.mean(0))

    with pytest.raises(
        ValueError, match="module must map each example by itself, got an output that depends on the others"
    ):
        rpp.soften(nn.Sequential(Mixing(3, 2)), 3)

    class Log(nn.Linear):
        def forward(self, x):
            return torch.log(-super().forward(x).abs())

    with pytest.raises(ValueError, match="module must give finite outputs at inputs between 0 and 1, got others"):
        rpp.soften(nn.Sequential(Log(3, 2)), 3)


def test_one_row_of_an_image_is_no_row():
    net = rpp.soften(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), (1, 16))
    x = np.random.default_rng(0).normal(size=(5, 1, 16)).astype(np.float32)
    assert net({k: v.astype(np.float32) for k, v in net.initial.items()}, x).shape == (5, 3)
