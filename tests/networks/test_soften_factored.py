"""Residuals of few weights: position by fixed functions, channels and kernels by weights."""

import numpy as np
import pytest

import bayes_rpp as rpp

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn")

from bayes_rpp.networks.soften.torch.factored import Waves, summed, waves  # noqa: E402
from bayes_rpp.networks.soften.torch.layers import Convolution  # noqa: E402
from bayes_rpp.networks.soften.torch.local import Grid, locally  # noqa: E402
from bayes_rpp.networks.soften.torch.rows import by_rows  # noqa: E402

KINDS = ("separable", "low-rank")
LAYERS = {
    "strided": (lambda: nn.Conv2d(2, 4, 3, padding=1, stride=2), (2, 5, 6)),
    "grouped": (lambda: nn.Conv2d(2, 4, 3, padding=2, dilation=2, groups=2, padding_mode="circular"), (2, 5, 5)),
    "row": (lambda: nn.Conv1d(2, 3, 4, padding="same", bias=False), (2, 6)),
    "reflected": (lambda: nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="reflect"), (2, 4, 5)),
    "tokens": (lambda: nn.Linear(4, 3), (2, 3, 4)),
}


def made(name):
    torch.manual_seed(0)
    layer, shape = LAYERS[name]
    return nn.Sequential(layer(), nn.Tanh()).double(), shape


def test_waves_are_slow_orthogonal_and_of_mean_square_1():
    for size in ((4, 6), (5,), (2, 3, 4)):
        w = np.concatenate([np.ones((1, np.prod(size))), waves(size)])
        np.testing.assert_allclose(w @ w.T / w.shape[1], np.eye(len(w)), atol=1e-12)
    assert (np.diff(waves((4, 6))[0].reshape(4, 6), axis=0) == 0).all()
    assert waves((1, 1)).shape == (0, 1)
    assert len(waves((8, 1))) == 2


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_factored_residual_is_linear_in_its_coordinates_and_merges(name, kind):
    module, shape = made(name)
    net = rpp.soften(module, shape, residual=kind)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, *shape))
    tensor = torch.as_tensor(x)
    np.testing.assert_allclose(net(net.initial, x.reshape(5, -1)), module(tensor).detach().flatten(1), atol=1e-12)
    assert net.parameters["0.weight"].subspace.size < 60 * module[0].weight.numel()
    params = {k: v + rng.normal(size=v.shape) for k, v in net.initial.items()}
    strict = {k: p.subspace.project(v) for (k, p), v in zip(net.parameters.items(), params.values(), strict=True)}
    for weights in (params, strict):
        plain = rpp.networks.to_torch(net, weights)
        np.testing.assert_allclose(plain(tensor).detach().flatten(1), net(weights, x.reshape(5, -1)), atol=1e-10)
        assert not any("bayes_rpp" in type(m).__module__ for m in plain.modules())
    assert any(isinstance(m, type(module[0])) for m in plain.modules())  # strict: the layer that it was
    assert np.abs(net(params, x.reshape(5, -1)) - net(strict, x.reshape(5, -1))).max() > 0.05
    # Members at once are members one by one.
    assert net.capabilities.vectorized


def test_a_convolution_to_a_single_position_has_a_low_rank_residual():
    module, x = nn.Conv2d(2, 3, (3, 4)), np.random.default_rng(0).normal(size=(5, 24)).astype(np.float32)
    net = rpp.soften(module, (2, 3, 4), residual="low-rank")
    wanted = module(torch.as_tensor(x).reshape(5, 2, 3, 4)).detach().flatten(1)
    np.testing.assert_allclose(net(net.initial, x), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_smooth_input_has_the_variance_of_other_residuals(kind):
    net = rpp.soften(nn.Conv2d(3, 16, 3, padding=1, bias=False).double(), (3, 8, 8), residual=kind)
    model = rpp.Model(net, sigma_a=1e-9, sigma_b=0.5)
    x, rng = np.ones((1, 192)), np.random.default_rng(0)
    prior = model.priors["weight"]
    draws = [net({"weight": prior.color(rng.normal(size=prior.shape))}, x) for _ in range(100)]
    assert 0.25 < np.std(draws) < 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_loop_it_is_the_same_prior_and_trains(kind):
    module = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(75, 2))
    soft = rpp.SoftModule(module, (2, 5, 5), residual=kind, sigma_a=0.7, sigma_b=0.3)
    x = torch.rand(6, 2, 5, 5)
    torch.testing.assert_close(soft(x), module(x))
    optimizer = torch.optim.Adam(soft.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (soft(x).square().mean() + soft.penalty() / 6).backward()
        optimizer.step()
    assert all((p != 0).any() for p in soft.residual_parameters())
    weights = soft.weights()
    torch.testing.assert_close(soft.merge()(x), soft(x), atol=1e-5, rtol=1e-4)
    total = 0.0
    for name, prior in soft.model.priors.items():
        inside, outside = prior.squares(weights[name].astype(float)) if prior.isotropic_sigma is None else (
            (weights[name].astype(float) ** 2).sum(), 0.0)  # fmt: skip
        total += 0.5 * (inside / prior.sigma_inside**2 + outside / prior.sigma_b**2)
    assert soft.penalty().item() == pytest.approx(total, rel=1e-4)
    found = rpp.soften(module, (2, 5, 5), residual=kind)(weights, x.flatten(1).numpy())
    np.testing.assert_allclose(found, soft(x).detach(), atol=1e-5)
    post = soft.posterior([soft.state_dict()], x.numpy(), np.zeros((6, 2)), likelihood=rpp.Gaussian(0.1))
    np.testing.assert_allclose(post.outputs(post.x)[0, 0], soft(x).detach(), atol=1e-5)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", ["strided", "row"])
def test_rows_are_local_maps(name):
    module, shape = made(name)
    net = rpp.soften(module, shape, residual="local")
    layer = net.module[0]
    assert isinstance(layer, Convolution)
    torch.manual_seed(0)
    arguments = [torch.randn(s, dtype=torch.float64, requires_grad=True)
                 for s in (layer.weight.shape, layer.weight.shape[:1], (3, *shape))]  # fmt: skip
    found, wanted = (f(Grid(layer.subspace), *arguments) for f in (by_rows, locally))
    torch.testing.assert_close(found, wanted)
    first = [torch.autograd.grad(y.square().sum(), arguments, retain_graph=True) for y in (found, wanted)]
    again = [torch.autograd.grad(y.square().sum(), arguments, create_graph=True) for y in (found, wanted)]
    second = [torch.autograd.grad(sum(g.square().sum() for g in gs), arguments) for gs in again]
    for a, b in (*zip(*first, strict=True), *zip(*again, strict=True), *zip(*second, strict=True)):
        torch.testing.assert_close(a, b)


def test_flax_has_none_of_these():
    nnx = pytest.importorskip("flax.nnx")
    with pytest.raises(
        ValueError, match="residual must be 'dense', 'local' or 'kernel' for a Flax module, got 'low-rank'"
    ):
        rpp.soften(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), 2, residual="low-rank")


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
@pytest.mark.parametrize("residual", ["local", "separable"])
def test_convolutions_that_reflect_are_soft_in_loops(mode, residual):
    module, x = nn.Sequential(nn.Conv1d(2, 3, 3, padding=1, padding_mode=mode), nn.Tanh()), torch.rand(4, 2, 5)
    soft = rpp.SoftModule(module, (2, 5), residual=residual, sigma_b=0.3)
    torch.testing.assert_close(soft(x), module(x))
    with torch.no_grad():
        for p in soft.residual_parameters():
            p.normal_()
    assert (soft(x) - module(x)).abs().max() > 0.01
    torch.testing.assert_close(soft.merge()(x), soft(x))


def test_the_sum_of_waves_has_the_gradients_of_its_terms():
    each = torch.randn(2, 2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    out = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(Waves.apply(each, out), summed(each, out))
    assert torch.autograd.gradcheck(Waves.apply, (each, out))
    assert torch.autograd.gradgradcheck(Waves.apply, (each, out))
