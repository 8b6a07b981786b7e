"""Networks as plain torch modules."""

import copy

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

import bayes_rpp as rpp
from bayes_rpp.priors.subspaces.torch import run
from tests.networks.torch_modules import MODULES, make

# The modules that have nothing to soften are here for other reasons.
pytestmark = pytest.mark.filterwarnings("ignore:soften made nothing soft")

RNG = np.random.default_rng(0)
CASES = [(name, None) for name in MODULES] + [(n, r) for n in ("cnn", "escnn") for r in ("dense", "local", "kernel")]


def weights(net):
    return {k: (0.3 * RNG.normal(size=p.shape)).astype(np.float32) for k, p in net.parameters.items()}


def agree(module, net, params, atol=1e-5):
    x = RNG.uniform(size=(4, net.rep_in.size)).astype(np.float32)
    shape = (4, *(net.input_shape or (net.rep_in.size,)))
    with torch.no_grad():
        found = run(module, {}, torch.as_tensor(x).reshape(shape)).reshape(4, -1)
    wanted = net(params, x)
    np.testing.assert_allclose(found, wanted, atol=atol * max(1.0, np.abs(wanted).max()))


def trains(module, net):
    """A step changes it, its state goes into a copy, and the weights that it was made of stay."""
    shape = net.input_shape or (net.rep_in.size,)
    x = torch.rand(4, *shape)
    before = run(module, {}, x).detach()
    module.train()
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    run(module, {}, x).square().mean().backward()
    optimizer.step()
    module.eval()
    with torch.no_grad():
        assert not torch.allclose(run(module, {}, x), before)


NETWORKS = {
    "mlp": rpp.MLP(3, 2, channels=5, layers=2),
    "linear": rpp.MLP(3, 2, layers=0),
    "emlp": rpp.EMLP(2 * rpp.Scalar + rpp.Vector, rpp.T(2), rpp.SO(3), channels=20, layers=2),
    "emlp without bilinear": rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(2), channels=9, layers=1, bilinear=False),
    "permutations": rpp.EMLP(2 * rpp.Vector, rpp.Scalar, rpp.S(3), channels=2 * rpp.Vector, layers=1),
}


@pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)
def test_own_networks(net):
    params = weights(net)
    kept = copy.deepcopy(params)
    module = rpp.networks.to_torch(net, params)
    agree(module, net, params)
    trains(module, net)
    assert all((params[k] == kept[k]).all() for k in params)
    other = rpp.networks.to_torch(net, weights(net))
    other.load_state_dict(module.state_dict())
    x = torch.rand(2, net.rep_in.size)
    torch.testing.assert_close(other(x), module(x))
    assert sum(p.numel() for p in module.parameters()) == net.size
    layers = [m for m in module.modules() if isinstance(m, nn.Linear)]
    assert len(layers) == 1 + (net.layers if isinstance(net, rpp.MLP) else len(net.hidden))


def test_an_mlp_is_a_sequential():
    module = rpp.networks.to_torch(NETWORKS["mlp"], weights(NETWORKS["mlp"]))
    assert [type(m) for m in module] == [nn.Linear, nn.SiLU, nn.Linear, nn.SiLU, nn.Linear]
    double = {k: v.astype(np.float64) for k, v in weights(NETWORKS["mlp"]).items()}
    assert rpp.networks.to_torch(NETWORKS["mlp"], double)[0].weight.dtype == torch.float64


@pytest.mark.parametrize(("name", "residual"), CASES)
@pytest.mark.parametrize("start", ["initial", "random"])
def test_softened_modules(name, residual, start):
    original, shape = make(name)
    net = rpp.soften(original, shape, residual=residual)
    params = weights(net) if start == "random" else {k: v.astype(np.float32) for k, v in net.initial.items()}
    kept = copy.deepcopy(params)
    module = rpp.networks.to_torch(net, params)
    assert not any("bayes_rpp.networks.soften.torch.network" in type(m).__module__ for m in module.modules())
    assert not module.training
    agree(module, net, params)
    trains(module, net)
    assert all((params[k] == kept[k]).all() for k in params)
    agree(rpp.networks.to_torch(net, params), net, params)  # nor has the network changed
    double = rpp.networks.to_torch(net, {k: v.astype(np.float64) for k, v in params.items()})
    assert {p.dtype for p in double.parameters()} == {torch.float64}


def kinds(module, *, of):
    return [type(m).__name__ for m in module.modules() if isinstance(m, of)]


def test_convolutions_are_found_again():
    original, shape = make("cnn")
    some = (nn.Conv2d, nn.Linear)
    for residual, broken in (("dense", nn.Sequential), ("local", None)):
        net = rpp.soften(original, shape, residual=residual)
        module = rpp.networks.to_torch(net, {k: v.astype(np.float32) for k, v in net.initial.items()})
        assert kinds(module, of=some) == kinds(original, of=some)
        torch.testing.assert_close(module[0].weight, original[0].weight.detach(), check_stride=False)
        assert (module[0].padding, module[0].padding_mode) == ((1, 1), "circular")  # "same" in numbers
        module = rpp.networks.to_torch(net, weights(net))
        assert not kinds(module, of=nn.Conv2d)
        assert broken is None or isinstance(module[0], broken)
        # A bias that varies from place to place is no convolution's, either.
        params = {**net.initial, "0.bias": RNG.normal(size=net.initial["0.bias"].shape)}
        assert kinds(rpp.networks.to_torch(net, params), of=nn.Conv2d) == ["Conv2d"]


def test_escnn_keeps_its_types():
    original, shape = make("escnn")
    net = rpp.soften(original, shape)
    module = rpp.networks.to_torch(net, weights(net))
    assert kinds(module, of=nn.Conv2d) == ["Conv2d", "Conv2d"]
    from escnn.nn import GeometricTensor

    y = module(GeometricTensor(torch.rand(2, *shape), original.in_type))
    assert y.type == original.out_type


def test_shared_parameters_stay_shared():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    net = rpp.soften(module, 3)
    params = weights(net)
    made = rpp.networks.to_torch(net, params)
    agree(made, net, params)
    assert made[0].weight is made[1].weight


def test_a_draw_of_a_posterior():
    net = NETWORKS["mlp"]
    x, y = RNG.normal(size=(8, 3)).astype(np.float32), RNG.normal(size=(8, 2)).astype(np.float32)
    samples = {k: RNG.normal(size=(2, 3, *p.shape)).astype(np.float32) for k, p in net.parameters.items()}
    post = rpp.Posterior(rpp.Model(net), samples, x=x, y=y)
    with torch.no_grad():
        found = post.to_torch(chain=1, draw=2)(torch.as_tensor(x))
    np.testing.assert_allclose(found, post.function(1, 2)(x), atol=1e-5)


class Other(rpp.networks.Network):
    def __call__(self, params, x):
        return x

    def config(self):
        return {}


@pytest.mark.parametrize(
    ("net", "change", "error", "message"),
    [
        (
            Other(2, 2, None),
            {},
            TypeError,
            "net must be one that has a torch module, ConvNet, EMLP, MLP, TorchNetwork, got a Other",
        ),
        (3, {}, TypeError, "net must be a Network, got a int"),
        (
            NETWORKS["linear"],
            {"output.bias": np.ones(3)},
            ValueError,
            r"params\['output\.bias'\] must have shape \(2,\), got one that has shape \(3,\)",
        ),
        (
            NETWORKS["linear"],
            None,
            ValueError,
            r"params\['output\.weight'\] must have shape \(2, 3\), got one that is missing",
        ),
    ],
)
def test_bad_arguments_are_named(net, change, error, message):
    params = {} if change is None or not isinstance(net, rpp.MLP) else weights(net) | change
    with pytest.raises(error, match=message):
        rpp.networks.to_torch(net, params)


CONVNETS = {
    "dense": rpp.ConvNet((2, 6, 5), 3, channels=[4, 3], strides=[1, 2], dense=[7]),
    "local": rpp.ConvNet((2, 6, 5), 3, channels=[4], padding=1, weights="local", norm=True),
    "circular": rpp.ConvNet((1, 8), 2, channels=[3, 2], kernel_size=4, padding_mode="circular", norm=True),
    "table": rpp.ConvNet.for_table(11, 2, channels=[4, 4]),
}


@pytest.mark.parametrize("strict", [True, False], ids=["convolutions", "any"])
@pytest.mark.parametrize("kind", CONVNETS)
def test_convolutional_networks_become_plain_layers(kind, strict):
    net, rng = CONVNETS[kind], np.random.default_rng(0)
    params = {k: p.color(rng.normal(size=p.shape)) for k, p in rpp.Model(net, sigma_b=0.3).priors.items()}
    if strict:
        params = {k: net.parameters[k].subspace.project(w) for k, w in params.items()}
    params = {k: w.astype(np.float32) for k, w in params.items()}
    x = rng.normal(size=(6, net.rep_in.size)).astype(np.float32)
    module = rpp.networks.to_torch(net, params)
    agree(module, net, params)
    np.testing.assert_allclose(module(torch.tensor(x)).detach().numpy(), net(params, x), atol=1e-5)
    kinds = [type(m) for m in module.modules()]
    convolutions = [k for k in kinds if k in (torch.nn.Conv1d, torch.nn.Conv2d)]
    assert len(convolutions) == (len(net.convolutions) if strict else 0)
    again = rpp.networks.to_torch(net, {k: w * 0.5 for k, w in params.items()})
    again.load_state_dict(module.state_dict())
    np.testing.assert_array_equal(again(torch.tensor(x)).detach(), module(torch.tensor(x)).detach())
    trains(module, net)


def test_a_module_of_float64_comes_back_in_its_own_precision():
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 2)).double()
    net = rpp.soften(module, (1, 4, 4), residual="local")
    single = {k: w.astype(np.float32) for k, w in net.initial.items()}
    again, x = rpp.networks.to_torch(net, single), torch.rand(3, 1, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(again(x), module(x), atol=1e-5, rtol=1e-5)
