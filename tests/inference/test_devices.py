"""What a GPU would show, on a machine without: where tensors are made, where random numbers come from, and how precise
products are."""

import numpy as np
import pytest

import bayes_rpp as rpp

torch = pytest.importorskip("torch")
pytest.importorskip("pyro")


@pytest.fixture
def elsewhere():
    """A default device that holds no numbers: what is made there by mistake fails as soon as it is looked at."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


def test_numpy_arrays_are_computed_on_the_cpu_whatever_the_default_device_is(elsewhere):
    energy = rpp.EMLP(2 * rpp.Vector, rpp.Scalar, rpp.O(2), channels=9, layers=1)
    net = rpp.HamiltonianNetwork(energy, dt=0.1, steps=1)
    params = {k: 0.1 * np.ones(p.shape) for k, p in net.parameters.items()}
    on_numpy = pytest.importorskip("bayes_rpp.engines.torch").on_numpy
    assert np.isfinite(on_numpy(net, params, np.ones((3, net.rep_in.size)))).all()


def test_layers_are_read_off_on_the_cpu(elsewhere):
    layer = torch.nn.Conv1d(1, 2, 3, padding=1, device="cpu")
    span = rpp.subspaces.SpanSubspace.of(layer, (1, 5))
    assert (span.rank, span.bias.rank) == (6, 2)


def test_a_module_is_softened_where_it_is(elsewhere):
    module = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3, device="cpu"), torch.nn.Tanh())
    net = rpp.soften(module, (1, 5))
    x = np.ones((2, 1, 5), dtype=np.float32)
    np.testing.assert_allclose(
        net(net.initial, x), module(torch.from_numpy(x)).detach().numpy().reshape(2, 6), atol=1e-5
    )


def test_whole_numbers_are_moved_once():
    from bayes_rpp.engines.libraries import fixed_indices

    copies, like = np.arange(5), torch.zeros(2)
    first = fixed_indices(copies, like)
    assert first is fixed_indices(copies, like)
    assert first.dtype == torch.int64
    assert fixed_indices(copies, torch.zeros(2, device="meta")).device.type == "meta"


@pytest.mark.parametrize("transform", ["vmap", "jacrev", "both"])
def test_constants_are_moved_once_within_transforms_too(transform):
    """As all steps of members run within."""
    from bayes_rpp.engines.torch import converted

    value, x, seen = np.arange(3.0), torch.ones(2, 3), []

    def function(x):
        seen.append(converted(value, x))
        return (x * seen[-1]).sum()

    run = {"vmap": torch.func.vmap(function), "jacrev": torch.func.jacrev(function)}
    run["both"] = torch.func.vmap(torch.func.jacrev(function))
    first = run[transform](x)
    assert torch.equal(run[transform](x), first)
    assert seen[0] is seen[1]
    y = torch.ones(3, requires_grad=True)
    function(y).backward()
    assert seen[2] is seen[0]
    np.testing.assert_array_equal(y.grad, value)


def test_zeros_are_on_the_device_of_the_features():
    net = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), channels=30, layers=1)
    for kind in (net, net.replace(bilinear="full")):
        params = {k: torch.zeros(p.shape, device="meta") for k, p in kind.parameters.items()}
        assert kind(params, torch.zeros(4, 3, device="meta")).device.type == "meta"


class FakeDevice:
    """Random numbers of a device: their state counts the draws."""

    def __init__(self):
        self.state = torch.tensor([7], dtype=torch.uint8)

    def get_rng_state(self):
        return self.state.clone()

    def set_rng_state(self, state):
        self.state = state.clone()

    def manual_seed(self, seed):
        self.state = torch.tensor([seed], dtype=torch.uint8)


def test_random_numbers_are_those_of_the_default_device(monkeypatch):
    from bayes_rpp.engines import pyro as engine

    fake, before = FakeDevice(), torch.get_rng_state()
    monkeypatch.setattr(torch, "get_default_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch, "cuda", fake)
    start = engine.seeded(3)
    assert start.tolist() == [3]
    assert fake.state.tolist() == [7]
    with engine.random_state(start) as now:
        fake.state += 1
        assert now().tolist() == [4]
    assert fake.state.tolist() == [7]
    assert engine.ENGINE.device == "torch: cuda"
    assert torch.equal(torch.get_rng_state(), before)


def test_random_numbers_of_the_cpu_are_those_of_a_generator():
    """As in checkpoints of before."""
    from bayes_rpp.engines.pyro import random_state, seeded

    assert torch.equal(seeded(5), torch.Generator().manual_seed(5).get_state())
    with random_state(seeded(5)):
        found = torch.rand(3)
    assert torch.equal(found, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_products_of_priors_are_precise_on_a_gpu(monkeypatch):
    """JAX's default there is TF32."""
    jax = pytest.importorskip("jax")
    pytest.importorskip("numpyro")
    subspace = rpp.subspaces.DenseSubspace((6,), np.eye(6)[:, :2])
    prior = rpp.ResidualPathway(subspace, 1.0, 0.01).numpyro()

    def precisions():
        traced = jax.make_jaxpr(jax.grad(lambda w: prior.log_prob(w)))(np.ones(6, dtype=np.float32))
        return [line for line in str(traced).splitlines() if "dot_general" in line], str(traced)

    assert "HIGHEST" not in precisions()[1]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    products, text = precisions()
    assert products
    assert text.count("HIGHEST") >= len(products)
