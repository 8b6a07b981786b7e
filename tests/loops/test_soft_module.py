"""`SoftModule`: a softened module that trains as any other, and what is made of it afterwards."""

import copy
import io
import pickle

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

import bayes_rpp as rpp
from bayes_rpp.loops.torch.soft_module import SoftModule as OfTorch
from tests.networks.torch_modules import MODULES, make

pytestmark = pytest.mark.filterwarnings("ignore:soften made nothing soft")
SHAPE = (1, 6, 6)


class Net(nn.Module):
    """A residual network in small."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.drop = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.Dropout(0.2)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        h = torch.relu(self.norm(self.first(x)))
        return self.head(self.drop((h + self.second(h)).mean((2, 3))))


def net():
    torch.manual_seed(0)
    return Net()


def data(n=20):
    random = torch.Generator().manual_seed(1)
    return torch.rand(n, *SHAPE, generator=random), torch.arange(n) % 3


def train(module, loss, steps=3, optimizer=torch.optim.SGD, **options):
    o = optimizer([p for p in module.parameters() if p.requires_grad], lr=0.05, **options)
    for _ in range(steps):
        torch.manual_seed(2)
        o.zero_grad()
        loss(module).backward()
        o.step()
    return module


def test_it_is_a_soft_module_wherever_it_comes_from():
    assert isinstance(pickle.loads(pickle.dumps(OfTorch(net(), SHAPE))), rpp.SoftModule)
    assert not isinstance(net(), rpp.SoftModule)
    with pytest.raises(TypeError, match="bases of Mine must not have SoftModule"):
        type("Mine", (rpp.SoftModule,), {})


def cross_entropy(module):
    x, y = data()
    return nn.functional.cross_entropy(module(x), y)


def with_penalty(soft):
    return cross_entropy(soft) + soft.penalty() / 20


def moved(soft):
    """Coordinates other than zero, and running statistics."""
    torch.manual_seed(3)
    with torch.no_grad():
        for p in soft.residual_parameters():
            p.normal_()
    soft.train()(data()[0])
    return soft


CASES = [(name, r) for name in MODULES for r in ((None, "local") if name in ("cnn", "escnn", "grouped") else (None,))]


@pytest.mark.parametrize(("name", "residual"), CASES)
def test_it_is_the_module_and_what_soften_makes_of_it(name, residual):
    module, shape = make(name)
    if not hasattr(module, "in_type"):
        module.train()
    # A steerable convolution's local residual is a chain: the group's kernels within all kernels.
    sigma_a = [1.0, 0.5] if (name, residual) == ("escnn", "local") else 1.0
    soft = rpp.SoftModule(module, shape, sigma_a=sigma_a, sigma_b=0.3, residual=residual)
    x = torch.rand(4, *shape)
    x = __import__("escnn").nn.GeometricTensor(x, module.in_type) if hasattr(module, "in_type") else x
    tensor = lambda y: getattr(y, "tensor", y).detach().numpy()  # noqa: E731
    outputs = []
    for m in (module, soft):
        torch.manual_seed(0)
        outputs.append(tensor(m(x)))
    np.testing.assert_allclose(*outputs, atol=1e-5, rtol=1e-4)
    # Moved off, it has the weights of the softened network, and the merged module does the same.
    torch.manual_seed(3)
    with torch.no_grad():
        for p in soft.parameters():
            p.add_(0.3 * torch.randn_like(p))
    soft.eval()
    reference = rpp.soften(module, shape, residual=residual)
    assert soft.table == reference.table
    weights, wanted = soft.weights(), tensor(soft(x))
    assert {k: v.shape for k, v in weights.items()} == {k: p.shape for k, p in reference.parameters.items()}
    assert all(v.dtype == np.float32 for v in weights.values())
    if not any(isinstance(m, nn.BatchNorm2d) for m in soft.modules()):  # which the softened network saw before training
        found = reference(weights, np.asarray(getattr(x, "tensor", x)).reshape(4, -1))
        np.testing.assert_allclose(found, wanted.reshape(4, -1), atol=1e-4, rtol=1e-3)
    merged = soft.merge()
    assert not any("bayes_rpp" in type(m).__module__ for m in merged.modules() if not hasattr(m, "in_type"))
    np.testing.assert_allclose(tensor(merged(x)), wanted, atol=1e-4, rtol=1e-3)
    # The penalty is the prior's, of the coordinates: -log N(A; sigma_a) - log N(b) up to a constant.
    loss = soft.penalty()
    loss.backward()
    assert loss > 0
    assert all(p.grad is not None for p in soft.residual_parameters())


@pytest.mark.parametrize("centre", ["zero", "module"])
def test_the_penalty_is_the_prior_of_the_pathways(centre):
    soft = moved(rpp.SoftModule(net(), SHAPE, sigma_a=0.7, sigma_b=0.3, centre=centre))
    with torch.no_grad():
        for p in soft.module.parameters():
            p.add_(0.1)
    total, params = 0.0, soft.weights()
    residuals = {"first.weight": soft.module.first.residual.weight.b, "first.bias": soft.module.first.residual.bias.b,
                 "second.weight": soft.module.second.residual.weight.b}  # fmt: skip
    for name, prior in soft.model.priors.items():
        w, b = params[name].astype(np.float64), residuals.get(name)
        if b is None:
            total += 0.5 * (w**2).sum() / prior.isotropic_sigma**2
        else:
            b = b.detach().numpy().astype(np.float64)
            own = w - prior.sigma_b * b
            np.testing.assert_allclose(prior.subspace.project(own), own, atol=1e-5)
            total += 0.5 * (own**2).sum() / prior.sigma_a**2 + 0.5 * (b**2).sum()
    np.testing.assert_allclose(soft.penalty().item(), total, rtol=1e-4)
    start = rpp.SoftModule(net(), SHAPE, sigma_a=0.7, centre=centre).penalty().item()
    assert (start == 0.0) if centre == "module" else (start > 1.0)


def test_without_residuals_training_is_that_of_torch():
    plain = train(net(), cross_entropy)
    soft = train(rpp.SoftModule(net(), SHAPE, sigma_b=0.0), cross_entropy)
    for name, p in plain.state_dict().items():
        np.testing.assert_array_equal(soft.module.state_dict()[name], p)
    assert not soft.residual_parameters()
    x, _ = data()
    torch.testing.assert_close(soft.merge()(x), plain.eval()(x))


def test_own_loops_states_and_copies():
    soft = rpp.SoftModule(net(), SHAPE, sigma_b=0.3)
    before = with_penalty(soft).item()
    train(soft, with_penalty, 20, torch.optim.AdamW)
    assert with_penalty(soft).item() < before
    assert all((p != 0).any() for p in soft.residual_parameters())
    x, _ = data()
    wanted = soft.eval()(x)
    # A state goes through a file into another one; so does the whole, and a copy.
    file = io.BytesIO()
    torch.save(soft.state_dict(), file)
    file.seek(0)
    other = rpp.SoftModule(net(), SHAPE, sigma_b=0.3)
    other.load_state_dict(torch.load(file))
    for m in (other, copy.deepcopy(soft)):
        torch.testing.assert_close(m.eval()(x), wanted)
        torch.testing.assert_close(m.penalty(), soft.penalty())
    # The plain module's state goes in as it is.
    missing = soft.module.load_state_dict(net().state_dict(), strict=False).missing_keys
    assert all("residual" in k for k in missing)
    assert soft.to(torch.float64).penalty().dtype == torch.float64
    assert soft(x.double()).dtype == torch.float64
    assert soft.weights()["first.weight"].dtype == np.float64
    assert next(soft.merge().parameters()).dtype == torch.float64


def test_sigmas_are_learned():
    half = rpp.Prior("HalfNormal", {"scale": 0.5})
    soft = rpp.SoftModule(net(), SHAPE, sigma_a=rpp.Prior("LogNormal", {"loc": 0.0, "scale": 1.0}), sigma_b=half)
    assert soft.sigmas == pytest.approx({"sigma_a": 1.0, "sigma_b": 0.5})
    names = [n for n, _ in soft.named_parameters()]
    assert {"log_sigma_a", "log_sigma_b"} < set(names)
    # At fixed coordinates, the gradient is that of the hyperprior and of what the layers' own weights are.
    numbers = rpp.SoftModule(net(), SHAPE, sigma_a=1.0, sigma_b=0.5)
    at = [rpp.SoftModule(net(), SHAPE, sigma_a=1.0 + e, sigma_b=0.5).penalty().item() for e in (-1e-3, 1e-3)]
    soft.penalty().backward()
    hyper = -half.log_prob(0.5)[0] - rpp.Prior("LogNormal", {"loc": 0.0, "scale": 1.0}).log_prob(1.0)[0]
    assert soft.penalty().item() == pytest.approx(numbers.penalty().item() + hyper, rel=1e-5)
    assert float(soft.log_sigma_a.grad) == pytest.approx((at[1] - at[0]) / 2e-3 + 1.0, rel=0.05)
    train(soft, with_penalty, 3, torch.optim.Adam)
    assert soft.sigmas["sigma_b"] != 0.5
    post = soft.posterior([soft.state_dict()], *data(), likelihood=rpp.Categorical())
    assert post.samples["sigma_b"][0, 0] == pytest.approx(soft.sigmas["sigma_b"])


def test_states_are_a_posterior():
    soft = rpp.SoftModule(net(), SHAPE, sigma_b=0.3, centre="module")
    members, outputs = [], []
    x, y = data()
    for k in range(3):
        train(soft, with_penalty, 2, torch.optim.Adam)
        soft.train()(x * (k + 1))  # other running statistics
        members.append(copy.deepcopy(soft.state_dict()) if k else copy.deepcopy(soft))
        with torch.no_grad():
            outputs.append(soft.eval()(x).numpy())
        soft.train()
    members[1] = {f"module.{k}": v for k, v in members[1].items()}  # as DataParallel has it
    post = soft.posterior(members, x.numpy(), y.numpy(), likelihood=rpp.Categorical())
    np.testing.assert_allclose(post.outputs(post.x)[0], outputs, atol=1e-4)
    wanted = torch.softmax(torch.as_tensor(np.array(outputs)), -1).mean(0)
    np.testing.assert_allclose(post.predict(x.numpy()).mean, wanted, atol=1e-4)
    assert np.isfinite(post.metrics(x.numpy(), y.numpy())["nll"])
    torch.testing.assert_close(post.to_torch(0, 2)(x), torch.as_tensor(outputs[2]), atol=1e-4, rtol=1e-3)
    with pytest.raises(ValueError, match=r"members\[0\] must be a state of this SoftModule, got one that differs in "):
        soft.posterior([net().state_dict()], x, y, likelihood=rpp.Categorical())
    with pytest.raises(ValueError, match="members must be one state_dict or more, got none"):
        soft.posterior([], x, y)
    with pytest.raises(TypeError, match="members must be a list of state_dicts or SoftModules, got one OrderedDict"):
        soft.posterior(soft.state_dict(), x, y)
    noise = rpp.Gaussian(rpp.Prior("HalfNormal", {"scale": 1.0}))
    with pytest.raises(ValueError, match="likelihood must have known numbers, got noise to infer"):
        soft.posterior(members, x, y, likelihood=noise)


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.image, self.head = nn.Embedding(5, 4), nn.Conv1d(1, 2, 3), nn.Linear(10, 2)

    def forward(self, words, image, *, flip=None):
        h = torch.cat([self.words(words).mean(1), self.image(image).flatten(1)], 1)
        h = h if flip is None else h * flip
        return {"logits": self.head(h), "hidden": h}


def test_several_inputs_by_place_and_name_and_dicts():
    words, image = torch.tensor([[0, 4, 2], [1, 1, 3]]), torch.rand(2, 1, 5)
    module = Several()
    for inputs in ((words, (1, 5)), {"words": words, "image": (1, 5)}):
        soft = rpp.SoftModule(module, inputs)
        assert soft.layers[1].subspace is not None
        for args, kwargs in (((words, image), {}), ((), {"words": words, "image": image, "flip": 2.0})):
            found, wanted = soft(*args, **kwargs), module(*args, **kwargs)
            assert found.keys() == wanted.keys()
            torch.testing.assert_close(found["logits"], wanted["logits"])
    with torch.no_grad():
        soft.residual_parameters()[0].normal_()
    torch.testing.assert_close(soft.merge()(words, image)["logits"], soft(words, image)["logits"])
    with pytest.raises(TypeError, match="posterior must be of a module that takes and returns one tensor"):
        soft.posterior([soft], image, image)
    with pytest.raises(ValueError, match="module must run on examples of"):
        rpp.SoftModule(module, (1, 5))


@pytest.mark.filterwarnings("ignore:soften made nothing soft")
def test_tensors_of_examples_are_of_the_modules_precision_or_whole_numbers():
    assert rpp.SoftModule(nn.Linear(3, 2), torch.zeros(2, 3, dtype=torch.float64), centre="module").takes_rows
    words = torch.tensor([[0, 1, 2]])
    soft = rpp.SoftModule(nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2)), words, centre="module")
    with pytest.raises(TypeError, match=r"one tensor of floating-point numbers, .* x\.long\(\), would do"):
        soft.posterior([soft], words, np.zeros((1, 2)))


def test_frozen_parts_stay():
    module = net()
    module.first.requires_grad_(False)
    soft = rpp.SoftModule(module, SHAPE, freeze=["head"])
    assert "first" in soft.table
    frozen = {n: p.clone() for n, p in soft.module.named_parameters() if not p.requires_grad}
    assert sorted(frozen) == ["first.bias", "first.weight", "head.bias", "head.weight"]
    train(soft, with_penalty, 2, torch.optim.Adam)
    for name, p in frozen.items():
        torch.testing.assert_close(soft.module.get_parameter(name), p)
    assert set(soft.weights()) == {"norm.weight", "norm.bias", "second.weight"}
    post = soft.posterior([soft], *data(), likelihood=rpp.Categorical())
    torch.testing.assert_close(torch.as_tensor(post.outputs(post.x)[0, 0]), soft.eval()(data()[0]).detach(),
                               atol=1e-4, rtol=1e-3)  # fmt: skip
    # sigma_a = 0 around the module's values: the residual alone is trained.
    soft = rpp.SoftModule(net(), SHAPE, sigma_a=0.0, centre="module", skip=["norm", "head"], freeze=["norm", "head"])
    assert [p.shape for p in soft.parameters() if p.requires_grad] == [p.shape for p in soft.residual_parameters()]


def test_subspaces_that_are_given():
    group = rpp.O(3)
    inner = rpp.subspaces.EquivariantSubspace(rpp.Vector(group), rpp.Vector(group))
    module = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    soft = rpp.SoftModule(module, 3, subspaces={"0.weight": inner}, sigma_b=0.2)
    x = torch.randn(4, 3)
    torch.testing.assert_close(soft(x), module(x))
    np.testing.assert_allclose(soft.weights()["0.weight"], module[0].weight.detach(), atol=1e-6)
    train(soft, lambda m: m(x).square().mean() + m.penalty() / 4, 2, torch.optim.Adam)
    torch.testing.assert_close(soft.merge()(x), soft(x))
    strict = rpp.SoftModule(module, 3, subspaces={"0.weight": inner}, sigma_b=0.0)
    np.testing.assert_allclose(inner.project(strict.weights()["0.weight"]), strict.weights()["0.weight"], atol=1e-6)


def test_mixed_precision_and_data_parallel():
    soft = moved(rpp.SoftModule(net(), SHAPE, sigma_b=0.3))
    x, y = data()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.cross_entropy(soft(x), y) + soft.penalty() / 20
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in soft.parameters())
    parallel = nn.DataParallel(soft)  # without a GPU, the module itself
    torch.testing.assert_close(parallel.eval()(x), soft(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"centre": "mean"}, "centre must be 'zero', 'module' or None, got 'mean'"),
        ({"sigma_a": 0.0}, "sigma_a must be positive with centre='zero', got 0"),
        ({"freeze": ["body"]}, r"freeze must have patterns that fit a layer, got 'body'"),
        ({"freeze": ["*"]}, "module must have parameters to infer, got a Net without that are not frozen"),
        ({"module": nn.DataParallel(Net())}, "module must run on one device, got a DataParallel"),
        ({"module": nn.Sequential(rpp.SoftModule(Net(), SHAPE))}, "module must be one without residuals"),
        ({"module": 3}, "module must be a torch.nn.Module or an nnx.Module of Flax, got a int"),
        ({"input_shape": "image"}, "input_shape must be the shape of one example, several shapes, .* got 'image'"),
        ({"input_shape": (2, 6, 6)}, "module must run on examples of .*, got an error: "),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        rpp.SoftModule(**{"module": net(), "input_shape": SHAPE} | options)
