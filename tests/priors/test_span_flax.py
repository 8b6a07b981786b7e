"""Subspaces read off Flax layers."""

import numpy as np
import pytest

pytest.importorskip("flax")

import jax
import jax.numpy as jnp
from flax import linen, nnx

from bayes_rpp.priors.subspaces import flax as columns
from bayes_rpp.subspaces import ConvolutionSubspace, SpanSubspace

GRID = (4, 5)


def rngs():
    return nnx.Rngs(0)


class Scaled(nnx.Module):
    """Linear in its one parameter, which stands in two places, beside a constant."""

    def __init__(self):
        self.a = nnx.Param(jnp.ones(2))
        self.constant = nnx.Variable(jnp.arange(6.0).reshape(3, 2))

    def __call__(self, x):
        return x @ (self.constant[...] * self.a[...]) + self.a[...]


class Strict(nnx.Module):
    """Insists on float32."""

    def __init__(self):
        self.a = nnx.Param(jnp.ones((3, 2)))

    def __call__(self, x):
        if x.dtype != jnp.float32:
            raise TypeError("float32 only")
        return x @ self.a[...]


class Mixes(nnx.Module):
    """Looks at all examples of the batch."""

    def __init__(self):
        self.a = nnx.Param(jnp.ones(3))

    def __call__(self, x):
        return (x + x.mean(axis=0)) * self.a[...]


def channels_first(n):
    """Entry of the channel-last order for each of the channel-first one."""
    return np.arange(np.prod(GRID) * n).reshape(*GRID, n).transpose(2, 0, 1).ravel()


@pytest.mark.parametrize("settings", [{}, {"padding": "VALID", "strides": (2, 1)}, {"padding": "CIRCULAR"}])
@pytest.mark.parametrize("library", ["nnx", "linen"])
def test_a_convolution_is_the_convolution_subspace(library, settings):
    make = {
        "nnx": lambda **s: nnx.Conv(2, 3, (3, 3), rngs=rngs(), **s),
        "linen": lambda **s: linen.Conv(3, (3, 3), **s),
    }
    layer = make[library](**settings)
    span = SpanSubspace.of(layer, (*GRID, 2))
    padding, stride = {"VALID": "valid", "CIRCULAR": 1}.get(settings.get("padding"), "same"), settings.get("strides", 1)
    mode = "circular" if padding == 1 else "zeros"
    conv = ConvolutionSubspace(2, 3, 3, GRID, stride=stride, padding=padding, padding_mode=mode)
    assert span.shape == conv.shape
    assert span.rank == conv.rank
    positions = np.prod(conv.output_size)
    rows = np.arange(positions * 3).reshape(positions, 3).T.ravel()
    w = np.random.default_rng(0).normal(size=span.shape)
    mine = span.project(w)[rows][:, channels_first(2)]
    np.testing.assert_allclose(mine, conv.project(w[rows][:, channels_first(2)]), atol=1e-9)
    assert span.bias.shape == conv.shape[:1]
    assert span.bias.rank == 3


def test_linear_layers_are_full():
    span = SpanSubspace.of(nnx.Linear(3, 2, rngs=rngs()))
    assert (span.shape, span.rank, span.bias.rank) == ((2, 3), 6, 2)
    assert SpanSubspace.of(linen.Dense(2, use_bias=False), 3).bias is None
    span = SpanSubspace.of(nnx.LinearGeneral((2, 3), (4,), axis=(-2, -1), rngs=rngs()), (2, 3))
    assert (span.shape, span.rank) == ((4, 6), 24)


def test_a_layer_of_your_own():
    t, bias, shape = columns.columns_of(Scaled(), (3,))
    assert shape == (2, 3)
    wanted = np.zeros((6, 2))
    wanted[:3, 0], wanted[3:, 1] = [0, 2, 4], [1, 3, 5]
    np.testing.assert_allclose(t.toarray(), wanted, atol=1e-12)
    np.testing.assert_allclose(bias.toarray(), np.eye(2), atol=1e-12)
    with pytest.raises(ValueError, match="no function of each example by itself"):
        SpanSubspace.of(Mixes(), 3)


def test_float32_where_float64_is_impossible():
    assert SpanSubspace.of(Strict(), 3).rank == 6
    assert SpanSubspace.of(linen.Conv(2, (3,), dtype=jnp.float32), (5, 2)).rank == 12
    assert jnp.zeros(1).dtype == jnp.float32  # nothing changed outside


@pytest.mark.parametrize("library", ["nnx", "linen"])
def test_the_matrix_of_a_layer(library):
    x = np.random.default_rng(0).normal(size=(6, *GRID, 2)).astype(np.float32)
    if library == "nnx":
        layer = nnx.Conv(2, 3, (2, 2), rngs=rngs(), bias_init=nnx.initializers.ones)
    else:
        module = linen.Conv(3, (2, 2), bias_init=linen.initializers.ones)
        layer = module.bind(module.init(jax.random.key(1), x))
    w, b = columns.matrix_of(layer, (*GRID, 2))
    np.testing.assert_allclose(x.reshape(6, -1) @ w.T + b, np.asarray(layer(x)).reshape(6, -1), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (lambda: nnx.PReLU(), 3, "not linear in its parameters: outputs of a size of .* are off by"),
        (lambda: nnx.LayerNorm(3, rngs=rngs()), 3, "not affine in its input"),
        (lambda: linen.LayerNorm(), 3, "not affine in its input"),
        (lambda: nnx.Dropout(0.5), 3, "layer must have parameters, got Dropout without"),
        (lambda: linen.Dense(2), None, "input_shape must be given, as Dense does not say it itself, got None"),
        (
            lambda: nnx.Linear(3, 2, rngs=rngs()),
            4,
            r"input_shape must suit Linear, got \(4,\), where it fails: dot_general",
        ),
        (
            lambda: linen.Conv(2, (3, 3, 3)),
            (2, 2),
            r"input_shape must suit Conv, got \(2, 2\), where it fails: operands",
        ),
        (lambda: nnx.Linear(300, 300, rngs=rngs()), None, "more than 2e\\+09"),
        (lambda: nnx.Embed(3, 2, rngs=rngs()), 3, "Embed"),
    ],
)
def test_bad_layers_are_named(make, shape, message):
    with pytest.raises(ValueError, match=message):
        SpanSubspace.of(make(), shape)
