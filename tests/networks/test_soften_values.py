"""Softened modules that look at values, and modules that cannot be softened: known when they are softened."""

import numpy as np
import pytest

import bayes_rpp as rpp

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn")

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing soft", "ignore::bayes_rpp.inference.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype(np.float32)
Y = np.tanh(X[:, :2])


class Net(nn.Module):
    def __init__(self, before=lambda x: x, between=lambda h: h):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 2)
        self.before, self.between = before, between

    def forward(self, x):
        return self.b(self.between(torch.tanh(self.a(self.before(x)))))


def branch(x):
    if x.abs().max() > 100:  # the side that no example takes
        x = x / 255
    return x


def check(x):
    assert torch.isfinite(x).all()
    return x


def loop(x):
    while x.abs().max() > 3.0:
        x = x / 2
    return x


def numpy(x):
    return x + 0 * torch.as_tensor(np.sign(x.detach().numpy()))


def item(x):
    str(x.sum().item())
    return x


def tolist(x):
    len(x.tolist())
    return x


LOOKS = {
    "branch on x": Net(branch),
    "assert on x": Net(check),
    "loop over x": Net(loop),
    "numpy of x": Net(numpy),
    "item of x": Net(item),
    "list of x": Net(tolist),
    "branch on a hidden layer": Net(between=branch),
    "item of a hidden layer": Net(between=item),
}


def fitted(net, method, **options):
    return rpp.fit(rpp.Model(net, sigma_b=0.1), X, Y, method, engine="pyro", progress=False, **options)


@pytest.mark.parametrize("name", LOOKS)
def test_they_are_trained_member_by_member(name):
    net = rpp.soften(LOOKS[name], 4)
    assert not net.capabilities.vectorized
    same = rpp.soften(Net(loop if "loop" in name else lambda x: x), 4)
    assert same.capabilities.vectorized or "loop" in name
    start = {k: np.stack([v, v + 0.1]) for k, v in net.initial.items()}
    post = fitted(net, rpp.DeepEnsemble(members=2, epochs=3, batch_size=6), init=start)
    if "loop" not in name:  # the numbers are those of the module that does not look
        wanted = fitted(same, rpp.DeepEnsemble(members=2, epochs=3, batch_size=6), init=start)
        for k in net.parameters:
            np.testing.assert_allclose(post.samples[k], wanted.samples[k], atol=1e-5)
    else:
        assert np.isfinite(post.predict(X).mean).all()


METHODS = [
    rpp.MAP(epochs=2),
    rpp.DeepEnsemble(epochs=2, members=2),
    rpp.MAP(epochs=2, batch_size=5),
    rpp.SVI(epochs=2, draws=2, members=2),
    rpp.Laplace(epochs=2, draws=2, polish=1),
    rpp.Laplace(epochs=2, draws=2, polish=1, curvature="kronecker"),
    rpp.NUTS(chains=1, warmup=20, draws=2, max_tree_depth=2),
    rpp.HMC(chains=1, warmup=20, draws=2, trajectory_length=0.1),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_every_method_takes_them(method):
    soft = rpp.soften(LOOKS["branch on x"], 4)
    for net in (
        soft,
        rpp.networks.LinearPath(soft),
        rpp.networks.restrict(soft, {"a.weight": rpp.subspaces.ZeroSubspace((3, 4))}),
    ):
        assert not net.capabilities.vectorized
        post = fitted(net, method)
        assert np.isfinite(post.predict(X).mean).all()
        assert np.isfinite(post.metrics(X, Y)["nll"])


def test_sweeps_take_them():
    soft = rpp.soften(LOOKS["branch on x"], 4)
    for net in (soft, rpp.networks.LinearPath(soft)):
        found = rpp.sweep(rpp.Model(net), (X, Y), rpp.MAP(epochs=2), sigma_b=[0.1, 1.0], engine="pyro", progress=False)
        assert np.isfinite(found["loss"]).all()


def test_hamiltonians_of_them():
    class Energy(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 1)

        def forward(self, x):
            return torch.tanh(self.a(branch(x)))

    net = rpp.HamiltonianNetwork(rpp.soften(Energy(), 4), dt=0.1, steps=1)
    assert not net.capabilities.vectorized
    post = rpp.fit(rpp.Model(net, sigma_b=0.1), X, X, rpp.MAP(epochs=2), progress=False)
    assert np.isfinite(post.predict(X).mean).all()


class Sub(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.head = inner, nn.Linear(2, 2)

    def forward(self, x):
        return self.head(self.inner(x))


class Returns(nn.Linear):
    def __init__(self, what):
        super().__init__(4, 2)
        self.what = what

    def forward(self, x):
        return self.what(super().forward(x))


class NoGradient(Net):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


def mlp():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def traced(module):
    return torch.jit.trace(module, torch.zeros(1, 4))


def quantized(module):
    return torch.ao.quantization.quantize_dynamic(module, {nn.Linear})


REFUSED = [
    (
        lambda: torch.jit.script(mlp()),
        r"runs in Python, got one that torch.jit compiled \(all of it\); the module that",
    ),
    (lambda: traced(mlp()), r"torch.jit compiled \(all of it\)"),
    (lambda: Sub(torch.jit.script(mlp())), r"torch.jit compiled \(layer 'inner'\)"),
    (lambda: nn.DataParallel(mlp()), r"run on one device, got a DataParallel \(all of it\); module.module, the one"),
    (lambda: Sub(nn.DataParallel(mlp())), r"\(layer 'inner'\); module.inner.module in its place would do"),
    (lambda: nn.Sequential(nn.LazyLinear(2)), r"must have weights, got '0.weight' that is made at the first call"),
    (lambda: nn.Sequential(nn.Linear(4, 2), nn.LazyBatchNorm1d()), "got '1.weight' that is made at the first call"),
    (lambda: nn.Linear(4, 2, device="meta"), "got 'weight' on the meta device, .*to_empty"),
    (lambda: quantized(mlp()), r"got quantized ones \(layer '0', a Linear\); the module before"),
    (lambda: Sub(quantized(mlp())), r"got quantized ones \(layer 'inner.0'"),
    (lambda: Returns(lambda y: (y, y)), "the output is a tuple; one tensor would do"),
    (lambda: Returns(lambda y: {"logits": y}), "the output is a dict; one tensor would do"),
    (lambda: Returns(lambda y: y.tolist()), "the output is a list; one tensor would do"),
    (lambda: nn.Linear(5, 2), r"module must run on an input of shape \(2, 4\), got an error: mat1 and"),
    (NoGradient, "by its weights, got none for 'a.weight', 'a.bias', 'b.weight', 'b.bias'; a forward in"),
    (lambda: Net(between=lambda h: h.detach()), "got none for 'a.weight', 'a.bias'"),
    (lambda: Net(between=lambda h: torch.as_tensor(h.numpy())), "by its weights, got an error: .*numpy"),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*quantize")
@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_cannot_be_softened_is_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        rpp.soften(make(), 4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["compile", "inside", "in place", "half", "bfloat16", "double"])
def test_what_is_compiled_or_of_another_precision_is_softened(kind):
    torch.manual_seed(0)
    module = Sub(mlp())
    wanted = rpp.soften(module, 4)
    if kind == "compile":
        module = torch.compile(module)
    elif kind == "inside":
        module.inner = torch.compile(module.inner)
    elif kind == "in place":
        module.compile()
    else:
        module = getattr(module, kind)()
    net = rpp.soften(module, 4)
    assert net.table == wanted.table
    params = {k: np.float32(v) for k, v in net.initial.items()}
    found = net(params, X)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted(params, X), atol=1e-6)
    plain = rpp.networks.to_torch(net, params)
    assert type(plain).__name__ == "Sub"
    dtype = torch.float64 if kind == "double" else torch.float32
    with torch.no_grad():
        np.testing.assert_allclose(plain(torch.as_tensor(X, dtype=dtype)).numpy(), found, atol=1e-6)


# --- parts that the module itself keeps from being trained ---


class Frozen(nn.Module):
    """A head on a backbone without gradient."""

    def __init__(self, backbone, size):
        super().__init__()
        torch.manual_seed(0)
        self.backbone, self.head = backbone, nn.Linear(size, 2)

    def forward(self, x):
        with torch.no_grad():
            h = self.backbone(x)
        return self.head(h[0] if isinstance(h, tuple) else h)


def tied():
    first = nn.Linear(4, 4)
    return nn.Sequential(first, nn.Tanh(), first, nn.Tanh())


BACKBONES = {
    "linear": (lambda: nn.Linear(4, 3), 3),
    "deep": (lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), 3),
    "convolution": (lambda: nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 2, 3), nn.Flatten()), 4),
    "normalised": (lambda: nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)), 3),
    "tied": (tied, 4),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), 3),
    "recurrent": (lambda: nn.GRU(4, 3), 3),
}


@pytest.mark.parametrize("kind", BACKBONES)
def test_a_skipped_part_without_gradient_is_constant(kind):
    make, size = BACKBONES[kind]
    module = Frozen(make(), size).eval()
    net = rpp.soften(module, 4, skip=["backbone"])
    assert list(net.parameters) == ["head.weight", "head.bias"]
    assert "constant, as no gradient reaches it" in net.table
    with torch.no_grad():
        wanted = module(torch.as_tensor(X)).numpy()
    np.testing.assert_allclose(net(net.initial, X), wanted, atol=1e-6)
    y = RNG.normal(size=(len(X), 2))
    post = rpp.fit(rpp.Model(net), X, y, rpp.MAP(epochs=1), engine="pyro", progress=False)
    plain = post.to_torch()
    for name, value in module.backbone.state_dict().items():
        np.testing.assert_array_equal(plain.state_dict()[f"backbone.{name}"], value)
    # A module with another backbone is another network.
    with torch.no_grad():
        for p in module.backbone.parameters():
            p.add_(0.3)
    other = rpp.Model(rpp.soften(module, 4, skip=["backbone"]))
    with pytest.raises(ValueError, match="init must be a posterior of the same network"):
        rpp.fit(other, X, y, rpp.MAP(epochs=1), init=post, engine="pyro", progress=False)


def test_skip_is_named_where_it_would_do():
    deep = BACKBONES["deep"][0]
    with pytest.raises(ValueError, match=r"torch.no_grad, or skip=\['backbone.0', 'backbone.2'\], which keeps them"):
        rpp.soften(Frozen(deep(), 3), 4)
    with pytest.raises(ValueError, match=r"got none for 'backbone.2.weight', 'backbone.2.bias'.*skip=\['backbone.2'\]"):
        rpp.soften(Frozen(deep(), 3), 4, skip=["backbone.0"])
    with pytest.raises(ValueError, match=r"torch.no_grad, would do"):  # nothing would be left
        rpp.soften(NoGradient(), 4, skip=["*"])


def test_a_skipped_part_with_gradient_is_inferred():
    net = rpp.soften(Sub(mlp()), 4, skip=["inner"])
    assert "inner.0.weight" in net.parameters
    assert "constant" not in net.table
