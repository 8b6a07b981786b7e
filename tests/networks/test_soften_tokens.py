"""What of a torch module is soft, frozen and exported: linear layers on tokens, parameters without gradient, merged
layers in torch alone."""

import io

import numpy as np
import pytest

import bayes_rpp as rpp

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn")

HALF = rpp.Prior("HalfNormal", {"scale": 0.5})
TOKENS = (2, 3, 4)  # two axes of tokens


class DeepSet(nn.Module):
    def __init__(self):
        super().__init__()
        self.phi, self.rho = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.rho(torch.tanh(self.phi(x)).sum((1, 2)))


def deep_set():
    torch.manual_seed(0)
    return DeepSet()


def noisy(net, seed=0):
    """Weights of all kinds."""
    rng = np.random.default_rng(seed)
    return {k: v + 0.3 * rng.normal(size=v.shape) for k, v in net.initial.items()}


@pytest.mark.parametrize(("residual", "shape"), [("local", (30, 4)), ("dense", (30, 24))])
def test_a_linear_layer_on_tokens_is_a_convolution_of_kernel_size_1(residual, shape):
    module = deep_set()
    net = rpp.soften(module, TOKENS, residual=residual)
    subspace = net.parameters["phi.weight"].subspace
    assert (subspace.shape, subspace.rank) == (shape, 20)
    assert net.parameters["phi.bias"].subspace.rank == 5
    assert net.parameters["rho.weight"].subspace.rank == 10
    x = torch.randn(6, *TOKENS)
    rows = x.flatten(1).double().numpy()
    np.testing.assert_allclose(net(net.initial, rows), module(x).detach(), atol=1e-5)
    # The strict network is a function of the set: the order of tokens does not matter; the residual's is.
    params = noisy(net)
    strict = {k: p.subspace.project(params[k]) for k, p in net.parameters.items()}
    turned = x.flatten(1, 2)[:, torch.randperm(6)].flatten(1).double().numpy()
    np.testing.assert_allclose(net(strict, rows), net(strict, turned), atol=1e-10)
    assert np.abs(net(params, rows) - net(params, turned)).max() > 0.01
    # Merged, it is the same in torch's own layers.
    plain = rpp.networks.to_torch(net, params)
    np.testing.assert_allclose(plain(x.double()).detach(), net(params, rows), atol=1e-10)
    plain = rpp.networks.to_torch(net, strict)
    np.testing.assert_allclose(plain(x.double()).detach(), net(strict, rows), atol=1e-10)


@pytest.mark.filterwarnings("ignore:soften made nothing soft")
def test_parameters_that_do_not_require_gradients_stay():
    module = deep_set()
    module.phi.weight.requires_grad_(False)
    for net in (
        rpp.soften(module, TOKENS, residual={"phi": "local", "rho": "dense"}, skip=["rho"]),
        rpp.soften(deep_set(), TOKENS, residual="local", freeze=["phi"]),
    ):
        assert "phi.weight" not in net.parameters
        assert "phi.weight" in net.state()
        assert "frozen" in net.table
        x = np.random.default_rng(0).normal(size=(8, 24))
        post = rpp.fit(rpp.Model(net), x, x[:, :2], rpp.MAP(epochs=2), progress=False)
        plain = post.to_torch()
        np.testing.assert_array_equal(plain.phi.weight.detach(), module.phi.weight.detach())
        assert not np.allclose(plain.rho.weight.detach(), module.rho.weight.detach())


def test_freeze_is_checked():
    with pytest.raises(TypeError, match="freeze must be a list of patterns of layers, got 'phi'"):
        rpp.soften(deep_set(), TOKENS, freeze="phi")
    with pytest.raises(ValueError, match="freeze must have patterns that fit a layer, got 'psi'"):
        rpp.soften(deep_set(), TOKENS, freeze=["psi"])
    nnx = pytest.importorskip("flax.nnx")
    with pytest.raises(ValueError, match=r"freeze must be empty for a Flax module, got \['a'\]; skip"):
        rpp.soften(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), 2, freeze=["a"])


def test_per_layer_is_a_number_for_each_layer():
    block = lambda: nn.Sequential(nn.Conv1d(1, 1, 3, padding=1), nn.Tanh(), nn.Conv1d(1, 1, 3, padding=1))  # noqa: E731
    net = rpp.soften(nn.Sequential(block(), block(), nn.Flatten(), nn.Linear(4, 1)), (1, 4))
    found = rpp.Model(net, sigma_b=rpp.PerLayer(HALF)).latents
    assert list(found) == ["sigma_b.0.0", "sigma_b.0.2", "sigma_b.1.0", "sigma_b.1.2", "sigma_b.3"]
    blocks = rpp.Model(net, sigma_b=rpp.PerLayer(HALF, blocks=True))
    assert list(blocks.latents) == ["sigma_b.0", "sigma_b.1", "sigma_b.3"]
    for given in (rpp.PerLayer(HALF), rpp.PerLayer(HALF, blocks=True)):
        sigmas = rpp.priors.Sigmas(given, "sigma_b", net.parameters)
        assert rpp.priors.Sigmas.from_config(sigmas.config()) == given
    one = rpp.soften(nn.Conv1d(1, 1, 3), (1, 4))
    assert list(rpp.Model(one, sigma_b=rpp.PerLayer(HALF)).latents) == ["sigma_b.weight", "sigma_b.bias"]


CONVOLUTIONS = {
    "strided": (nn.Conv2d(1, 2, 3, padding=1, stride=2), (1, 5, 5)),
    "circular": (nn.Conv2d(2, 4, 3, padding=2, dilation=2, groups=2, padding_mode="circular"), (2, 5, 5)),
    "row": (nn.Conv1d(2, 3, 3, padding="same"), (2, 6)),
    "solid": (nn.Conv3d(1, 2, 2), (1, 3, 3, 4)),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_merged_local_weights_are_torchs_own(kind):
    conv, shape = CONVOLUTIONS[kind]
    net = rpp.soften(nn.Sequential(conv, nn.Tanh()), shape, residual="local")
    params = noisy(net)
    x = torch.randn(5, *shape, dtype=torch.float64)
    plain = rpp.networks.to_torch(net, params)
    wanted = net(params, x.flatten(1).numpy())
    np.testing.assert_allclose(plain(x).detach().flatten(1), wanted, atol=1e-12)
    subspace = net.parameters["0.weight"].subspace
    by_hand = np.tanh(subspace.apply(params["0.weight"], x.flatten(1).numpy()) + params["0.bias"])
    np.testing.assert_allclose(wanted, by_hand, atol=1e-12)
    # Members at once, each with its own gradient, are members one by one.
    assert net.capabilities.vectorized
    two = {k: torch.as_tensor(np.stack([v, noisy(net, 1)[k]])) for k, v in params.items()}
    loss = torch.func.grad(lambda p: net(p, x.flatten(1)).square().sum())
    together = torch.func.vmap(loss)(two)
    for k in two:
        torch.testing.assert_close(together[k][1], loss({n: v[1] for n, v in two.items()})[k])
    # Files of it, and what torch makes of it, know no other package, and take any number of examples.
    file = io.BytesIO()
    torch.save(plain, file)
    assert b"bayes_rpp" not in file.getvalue()
    file.seek(0)
    traced = torch.jit.trace(plain, x)
    made = [torch.load(file, weights_only=False), traced]
    if kind == "strided":
        made.append(torch.export.export(plain, (x,), dynamic_shapes=({0: torch.export.Dim("n")},)).module())
    for module in made:
        torch.testing.assert_close(module(x[:3]), plain(x[:3]))
