"""What of a Flax module, and of the arguments of `soften`, is refused, and in which words."""

import numpy as np
import pytest

pytest.importorskip("flax")

import jax.numpy as jnp
from flax import nnx

import bayes_rpp as rpp
from bayes_rpp.networks.soften import options as limits
from tests.networks.flax_modules import CNN, SHAPE, Gain, LinenCNN, One

# The modules that have nothing to soften are here for other reasons.
pytestmark = pytest.mark.filterwarnings("ignore:soften made nothing soft")


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (
            CNN,
            {"residual": "wide"},
            ValueError,
            "residual must be 'dense', 'local', 'separable', 'low-rank', 'kernel' or.*, got 'wide'",
        ),
        (
            CNN,
            {"residual": {"nothing": "local"}},
            ValueError,
            "residual must have patterns that fit a layer, got 'nothing'",
        ),
        (CNN, {"skip": ["none*"]}, ValueError, r"skip must have patterns that fit a layer, got 'none\*'"),
        (
            CNN,
            {"subspaces": {"x": rpp.subspaces.ZeroSubspace((1,))}},
            ValueError,
            "subspaces must have patterns that fit a parameter, got 'x'",
        ),
        (CNN, {"subspaces": {"out.weight": 3}}, TypeError, r"subspaces\['out\.weight'\] must be a Subspace, got 3"),
        (CNN, {"input_shape": (4, 6, 3)}, ValueError, r"module must run on input_shape \(.*got "),
        (LinenCNN, {"input_shape": (4,)}, ValueError, r"module must run on input_shape \(.*got "),
        (
            CNN,
            {"rep_in": rpp.Vector, "group": rpp.O(3)},
            ValueError,
            "rep_in must have size 48, the inputs of the module, got 3",
        ),
        (lambda: nnx.Sequential(lambda x: x.sum()), {}, ValueError, r"one array of shape \(n, outputs\)"),
        (lambda: nnx.Sequential(lambda x: (x, x)), {}, ValueError, r"one array of shape \(n, outputs\)"),
    ],
)
def test_bad_arguments_are_named(make, options, error, message):
    with pytest.raises(error, match=message):
        rpp.soften(make(), **{"input_shape": SHAPE, **options})


def test_too_large_weights_are_refused(monkeypatch):
    monkeypatch.setattr(limits, "LARGEST", 1000)
    module = CNN()
    with pytest.raises(
        ValueError, match=r"layer 'layers.0' would have a weight of 72 x 48.*residual='local', or skip="
    ):
        rpp.soften(module, SHAPE)
    with pytest.raises(ValueError, match=r"residual='kernel', or skip="):
        rpp.soften(module, SHAPE, residual="local")
    with pytest.raises(ValueError, match=r"layer 'layer' would have a weight of 40 x 40.*; skip=\['layer'\] would do"):
        rpp.soften(One(Gain(2, nnx.Rngs(0))), (4, 5, 2))
    assert rpp.soften(module, SHAPE, residual="kernel").size < 1000


class Looks(nnx.Module):
    def __init__(self, look=lambda x: x, after=lambda y: y):
        self.layer, self.look, self.after = nnx.Linear(4, 2, rngs=nnx.Rngs(0)), look, after

    def __call__(self, x):
        return self.after(self.layer(self.look(x)))


def item(x):
    float(x.max())
    return x


def check(x):
    assert jnp.isfinite(x).all()
    return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Looks(lambda x: x / 255 if x.max() > 100 else x), r"traced array .*; jnp.where or jax.lax.cond"),
        (lambda: Looks(check), r"; jnp.where or jax.lax.cond"),
        (lambda: Looks(item), r"; jnp.where or jax.lax.cond"),
        (lambda: Looks(lambda x: jnp.asarray(np.asarray(x))), r"; jnp.where or jax.lax.cond"),
        (lambda: Looks(after=lambda y: (y, y)), "one array of shape"),
        (lambda: Looks(after=lambda y: {"logits": y}), "one array of shape"),
        (lambda: nnx.eval_shape(Looks), "must have weights, got a Looks that holds their shapes alone"),
        (lambda: nnx.jit(Looks()), "must be a Flax module, got a JitWrapped"),
    ],
)
def test_what_cannot_be_softened_is_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        rpp.soften(make(), 4)
