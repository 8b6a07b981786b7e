"""Softened modules whose layers share what they have, or keep what they compute."""

import copy
import pickle

import numpy as np
import pytest

import bayes_rpp as rpp

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn")
parametrizations = pytest.importorskip("torch.nn.utils.parametrizations")

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing soft")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype(np.float32)


class Stack(nn.Module):
    """Layers one after another, as often as they are listed."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x.flatten(1)


class Unflat(nn.Module):
    """A convolution on a row, twice the same one."""

    def __init__(self):
        super().__init__()
        self.first = self.again = nn.Conv1d(1, 1, 3, padding=1)
        self.register_buffer("scale", torch.full((4,), 0.7))
        self.again_scale = nn.Module()
        self.again_scale.register_buffer("scale", self.scale)  # a buffer in two places

    def forward(self, x):
        x = torch.tanh(self.first(x[:, None])) * self.scale
        return self.again(x)[:, 0] * self.again_scale.scale


class Tied(nn.Module):
    """Weight tying, and the same layer called by what it holds."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Embedding(5, 4), nn.Linear(4, 5)
        self.decoder.weight = self.encoder.weight
        self.square = nn.Linear(4, 4)

    def forward(self, x):
        h = self.encoder(x.abs().clamp(0, 4).long()).mean(1)
        h = torch.tanh(nn.functional.linear(h, self.square.weight)) + self.square(h)
        return self.decoder(h)


class Keeps(nn.Module):
    """Keeps its last activations, in an attribute and in a list."""

    def __init__(self):
        super().__init__()
        self.layer, self.last, self.all = nn.Linear(4, 4), None, []

    def forward(self, x):
        self.last = self.layer(x)
        self.all.append(self.last)
        return torch.tanh(self.last)


def twice():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer)


def thrice():
    layer = nn.Linear(4, 4)
    return Stack(layer, nn.Sequential(layer, nn.Tanh()), layer)


def tied_biases():
    a, b = nn.Linear(4, 4), nn.Linear(4, 4)
    b.bias = a.bias
    return Stack(a, b, a)


def spectral():
    layer = parametrizations.spectral_norm(nn.Linear(4, 4))
    return Stack(layer, nn.Linear(4, 4), layer)


MODULES = {
    "twice": twice,
    "thrice": thrice,
    "convolution": Unflat,
    "tied": Tied,
    "tied biases": tied_biases,
    "keeps": Keeps,
    "weight_norm": lambda: Stack(parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 2)),
    "spectral_norm": spectral,
    "orthogonal": lambda: Stack(parametrizations.orthogonal(nn.Linear(4, 4))),
    "hooks": lambda: Stack(nn.utils.weight_norm(nn.Linear(4, 4))),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("name", MODULES)
def test_layers_that_share_or_keep(name):
    torch.manual_seed(0)
    module = MODULES[name]()
    if name == "keeps":
        module(torch.zeros(1, 4))  # with the history of a training loop
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with torch.no_grad():
        wanted = module.eval()(torch.as_tensor(X)).numpy()
    kept = len(getattr(module, "all", ()))
    net = rpp.soften(module, 4)
    start = {k: v.astype(np.float32) for k, v in net.initial.items()}
    np.testing.assert_allclose(net(start, X), wanted, atol=1e-6)

    y = np.tanh(X[:, :1]) * np.ones((1, net.rep_out.size))
    method = rpp.DeepEnsemble(members=2, epochs=3, learning_rate=0.1)
    post = rpp.fit(rpp.Model(net, sigma_b=0.1), X, y, method, init=net.initial, engine="pyro", progress=False)
    assert not np.allclose(post.outputs(X)[0, 0], wanted, atol=1e-3)  # trained
    for d in range(2):
        with torch.no_grad():
            plain = post.to_torch(draw=d)(torch.as_tensor(X)).numpy()
        np.testing.assert_allclose(plain, post.outputs(X)[0, d], atol=1e-5)
    params = {k: post.samples[k][0, 0] for k in net.parameters}
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), copy.deepcopy(pickle.loads(pickle.dumps(net)))):
        np.testing.assert_array_equal(again(params, X), net(params, X))
    # Nothing of all this is left in the module.
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert len(getattr(module, "all", ())) == kept
    with torch.no_grad():
        np.testing.assert_array_equal(module(torch.as_tensor(X)).numpy(), wanted)


def test_what_is_tied_is_one_weight():
    net = rpp.soften(twice(), 4)
    assert list(net.parameters) == ["0.weight", "0.bias"]
    plain = rpp.networks.to_torch(net, {k: np.float32(v) for k, v in net.initial.items()})
    assert plain[0] is plain[2]
    net = rpp.soften(tied_biases(), 4)
    plain = rpp.networks.to_torch(net, {k: np.float32(v) for k, v in net.initial.items()})
    assert plain.layers[0].bias is plain.layers[1].bias


def test_an_exception_half_way_leaves_all_as_it_was():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.last, self.fail = nn.Linear(4, 4), None, [False]

        def forward(self, x):
            self.last = self.layer(x)
            if self.fail[0]:
                raise RuntimeError("half-way")
            return self.layer(self.last)

    module = Fails()
    net = rpp.soften(module, 4)
    params = {k: np.float32(v) for k, v in net.initial.items()}
    wanted = net(params, X)
    net.module.fail[0] = True
    with pytest.raises(RuntimeError, match="half-way"):
        net({k: 2 * v for k, v in params.items()}, X)
    with pytest.raises(RuntimeError, match="half-way"):
        rpp.fit(rpp.Model(net, sigma_b=0.1), X, X, rpp.MAP(epochs=1), progress=False)
    net.module.fail[0] = False
    assert net.module.last is None
    assert module.last is None
    np.testing.assert_array_equal(copy.deepcopy(net)(params, X), wanted)
    module.fail[0] = True
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(ValueError, match="half-way"):
        rpp.soften(module, 4)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert module.training
    assert all(p.requires_grad for p in module.parameters())


def test_modules_that_write_into_their_input_leave_the_data():
    x = X.copy()
    net = rpp.soften(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)), 4)
    for method in (rpp.SVI(epochs=2, draws=2), rpp.MAP(epochs=2)):
        post = rpp.fit(rpp.Model(net, sigma_b=0.1), x, X[:, :2], method, progress=False)
        post.predict(x)
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(post.x, X)


def test_modules_that_cannot_be_copied_are_named():
    import threading

    module = nn.Linear(4, 4)
    module.lock = threading.Lock()
    with pytest.raises(ValueError, match=r"one that copy.deepcopy can copy, got a Linear .*lock"):
        rpp.soften(module, 4)
