"""`SoftModule` of nnx modules: they train as any other, and come back."""

import numpy as np
import pytest

pytest.importorskip("flax")

import jax
import jax.numpy as jnp
import optax
from flax import linen, nnx

import bayes_rpp as rpp
from tests.networks.flax_modules import module_list

SHAPE = (6, 6, 1)


class Net(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.body = module_list([nnx.Conv(1, 3, (3, 3), rngs=rngs), nnx.ConvTranspose(3, 2, (2, 2), rngs=rngs)])
        self.norm, self.drop = nnx.BatchNorm(3, rngs=rngs), nnx.Dropout(0.1, rngs=rngs)
        self.norm.mean[...] = jnp.asarray([0.1, -0.2, 0.3])
        self.head = nnx.Linear(72, 3, rngs=rngs)

    def __call__(self, x):
        h = self.body[1](nnx.relu(self.norm(self.body[0](x))))
        return self.head(self.drop(h.reshape((len(x), -1))))


RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, *SHAPE)).astype(np.float32), np.arange(20) % 3


def evaluated(module, x=X):
    module = nnx.clone(module)
    module.eval()
    return np.asarray(nnx.jit(lambda m, x: m(x))(module, jnp.asarray(x)))


@nnx.jit
def step(soft, optimizer):
    def loss(m):
        nll = optax.softmax_cross_entropy_with_integer_labels(m(jnp.asarray(X)), jnp.asarray(Y)).mean()
        return nll + m.penalty() / len(X)

    value, slopes = nnx.value_and_grad(loss)(soft)
    optimizer.update(soft, slopes)
    return value


@pytest.fixture(scope="module")
def trained():
    """A softened module, its weights and outputs before, what it cost, and states on the way."""
    soft = rpp.SoftModule(Net(), SHAPE, residual="local", sigma_b=0.4)
    start = soft.weights(), evaluated(soft)
    optimizer = nnx.Optimizer(soft, optax.adam(0.03), wrt=nnx.Param)
    losses, states = [], []
    for _ in range(3):
        losses += [float(step(soft, optimizer)) for _ in range(2)]
        states.append(jax.tree.map(jnp.copy, nnx.state(soft)))
    return soft, start, losses, states


def test_it_is_the_module_at_first_and_trains(trained):
    soft, (weights, outputs), losses, _ = trained
    assert isinstance(soft, rpp.SoftModule)
    assert isinstance(soft, nnx.Module)
    np.testing.assert_allclose(outputs, evaluated(Net()), atol=1e-5)
    reference = rpp.soften(Net(), SHAPE, residual="local")
    assert soft.table == reference.table
    for name, w in reference.initial.items():
        np.testing.assert_allclose(weights[name], w, atol=1e-5)
    assert losses[-1] < losses[0]
    assert np.abs(np.asarray(soft.module.body[0].residual.weight.b[...])).max() > 0
    assert np.abs(np.asarray(soft.module.norm.mean[...]) - np.asarray(Net().norm.mean[...])).max() > 0  # trained, too


def test_the_penalty_is_the_prior_of_the_pathways(trained):
    soft = trained[0]
    total, params = 0.0, soft.weights()
    for name, prior in soft.model.priors.items():
        w = params[name].astype(np.float64)
        path, _, what = name.rpartition(".")
        if prior.subspace.rank == prior.subspace.size:
            total += 0.5 * (w**2).sum() / prior.isotropic_sigma**2
            continue
        layer = soft.module.body[int(path[-1])]
        b = np.asarray(getattr(layer.residual, what).b[...], dtype=np.float64)
        own = w - prior.sigma_b * b
        np.testing.assert_allclose(prior.subspace.project(own), own, atol=1e-5)
        total += 0.5 * (own**2).sum() / prior.sigma_a**2 + 0.5 * (b**2).sum()
    assert float(nnx.jit(lambda m: m.penalty())(soft)) == pytest.approx(total, rel=1e-4)


def test_sigmas_are_learned_around_the_module():
    half = rpp.Prior("HalfNormal", {"scale": 0.5})
    soft = rpp.SoftModule(Net(), SHAPE, residual="local", sigma_b=half, centre="module")
    assert soft.sigmas == pytest.approx({"sigma_b": 0.5})
    penalty, slopes = nnx.jit(nnx.value_and_grad(lambda m: m.penalty()))(soft)
    assert float(penalty) == pytest.approx(-half.log_prob(0.5)[0], rel=1e-4)  # weights are where their priors are
    assert float(slopes["log_sigma_b"][...]) == pytest.approx(1.0, rel=1e-4)  # of sigma^2 / 2 s^2 by log sigma


def test_it_is_merged_and_its_states_are_a_posterior(trained):
    soft, _, _, states = trained
    merged, wanted = soft.merge(), evaluated(soft)
    np.testing.assert_allclose(merged(jnp.asarray(X)), wanted, atol=1e-4)
    assert not [p for p, _ in nnx.iter_graph(merged) if "residual" in p]
    assert isinstance(merged.head, nnx.Linear)
    post = soft.posterior([*states[:2], soft], X, Y, likelihood=rpp.Categorical())
    np.testing.assert_allclose(post.outputs(post.x)[0, 2], wanted, atol=1e-4)
    assert np.isfinite(post.metrics(X, Y)["nll"])
    again = nnx.clone(soft)
    nnx.update(again, states[1])
    np.testing.assert_allclose(post.outputs(post.x)[0, 1], evaluated(again), atol=1e-4)
    np.testing.assert_allclose(post.to_flax(0, 1)(jnp.asarray(X)), evaluated(again), atol=1e-4)
    with pytest.raises(ValueError, match=r"members\[0\] must be a state of this SoftModule, got one that differs in "):
        soft.posterior([nnx.state(Net())], X, Y, likelihood=rpp.Categorical())
    with pytest.raises(TypeError, match=r"members must be a list of nnx\.States or SoftModules, got one State"):
        soft.posterior(states[0], X, Y)


def test_without_residuals_it_is_merged_into_its_own_layers():
    soft = rpp.SoftModule(Net(), SHAPE, residual="local", sigma_b=0.0)
    merged = soft.merge()
    assert type(merged.body[0]) is nnx.Conv
    np.testing.assert_allclose(merged(jnp.asarray(X)), evaluated(Net()), atol=1e-5)


def test_a_single_layer_is_merged_into_another():
    conv = rpp.SoftModule(nnx.Conv(1, 2, (4, 4), padding="VALID", rngs=nnx.Rngs(0)), SHAPE)
    assert type(conv.merge()) is nnx.Conv  # at first it is a convolution
    b = conv.module.residual.bias.b
    b.copy_from(b.replace(jnp.ones_like(b[...])))
    np.testing.assert_allclose(conv.merge()(jnp.asarray(X)), evaluated(conv), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"module": linen.Dense(2)}, "module must be an nnx module, got one of linen .*ToNNX"),
        ({"module": 3}, "module must be a torch.nn.Module or an nnx.Module of Flax, got a int"),
        ({"residual": "low-rank"}, "residual must be 'dense', 'local' or 'kernel' for a Flax module, got 'low-rank'"),
        ({"freeze": ["head"]}, "freeze must be empty for a Flax module, got .*wrt=filter"),
        ({"centre": "mean"}, "centre must be 'zero', 'module' or None, got 'mean'"),
        ({"sigma_a": 0.0}, "sigma_a must be positive for a Flax module, got 0"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        rpp.SoftModule(**{"module": Net(), "input_shape": SHAPE} | options)
