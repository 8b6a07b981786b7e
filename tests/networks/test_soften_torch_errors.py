"""What of a torch module, and of the arguments of `soften`, is refused, and in which words."""

import pytest

pytest.importorskip("torch")

from torch import nn

import bayes_rpp as rpp
from bayes_rpp.networks.soften import options as limits

# The modules that have nothing to soften are here for other reasons.
pytestmark = pytest.mark.filterwarnings("ignore:soften made nothing soft")

CONV = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"residual": "any"},
            ValueError,
            "residual must be 'dense', 'local', 'separable', 'low-rank', 'kernel' or a dict.*, got 'any'",
        ),
        (
            {"residual": 3},
            TypeError,
            "residual must be 'dense', 'local', 'separable', 'low-rank', 'kernel' or a dict of these by layer, got 3",
        ),
        (
            {"residual": {"0": "any"}},
            ValueError,
            r"residual\['0'\] must be one of 'dense', 'local', .*, got 'any'",
        ),
        ({"residual": {"conv": "local"}}, ValueError, "residual must have patterns that fit a layer, got 'conv'"),
        ({"skip": "0"}, TypeError, "skip must be a list of patterns of layers, got '0'"),
        ({"skip": ["5"]}, ValueError, "skip must have patterns that fit a layer, got '5'"),
        ({"subspaces": {"2.weight": 3}}, TypeError, r"subspaces\['2\.weight'\] must be a Subspace, got 3"),
        ({"subspaces": [3]}, TypeError, r"subspaces must be a dict of subspaces by parameter, got \[3\]"),
        (
            {"subspaces": {"x.*": rpp.subspaces.ZeroSubspace((2, 4))}},
            ValueError,
            r"subspaces must have patterns that fit a parameter, got 'x\.\*'",
        ),
        (
            {"subspaces": {"2.weight": rpp.subspaces.ZeroSubspace((2, 3))}},
            ValueError,
            r"subspaces\['2\.weight'\] must have shape \(2, 4\) of 2\.weight, got \(2, 3\)",
        ),
        (
            {"rep_in": rpp.Vector, "group": rpp.O(3)},
            ValueError,
            "rep_in must have size 16, the inputs of the module, got 3",
        ),
        (
            {"rep_out": 3 * rpp.Scalar, "group": rpp.O(3)},
            ValueError,
            "rep_out must have size 2, the outputs of the module, got 3",
        ),
        ({"input_shape": (2, 4, 4)}, ValueError, r"module must run on an input of shape \(2, 2, 4, 4\), got an error:"),
        ({"module": nn.ReLU()}, ValueError, "module must have parameters to infer, got a ReLU without"),
        (
            {"module": nn.Flatten(0), "input_shape": 4},
            ValueError,
            r"module must make an output \(2, \.\.\.\) of 2 examples, got \(8,\)",
        ),
        ({"module": nn.GRU(4, 2), "input_shape": (3, 4)}, ValueError, "a tuple; one tensor"),
    ],
)
def test_bad_arguments_are_named(options, error, message):
    with pytest.raises(error, match=message):
        rpp.soften(**{"module": CONV, "input_shape": (1, 4, 4), **options})


def test_weights_that_would_be_too_large_are_named(monkeypatch):
    monkeypatch.setattr(limits, "LARGEST", 50)
    with pytest.raises(
        ValueError, match=r"layer '0' .* 4 x 16, .* 50 .*residual=\{'0': 'local' or 'separable'\}, or skip"
    ):
        rpp.soften(CONV, (1, 4, 4))
    assert rpp.soften(CONV, (1, 4, 4), residual="local").parameters["0.weight"].shape == (4, 9)
    assert rpp.soften(CONV, (1, 4, 4), skip=["0"]).parameters["0.weight"].shape == (1, 1, 3, 3)
    module = nn.Sequential(nn.ConvTranspose1d(1, 1, 3), nn.Flatten())
    assert "its matrix would have 18 x 16" in rpp.soften(module, (1, 16)).layers[0].note


def test_modules_that_look_into_their_layers_are_refused():
    class Nosy(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 1, 3)

        def forward(self, x):
            return self.conv(x) * self.conv.stride[0]

    with pytest.raises(ValueError, match="module must run with new layers in place of its own, got an error:"):
        rpp.soften(Nosy(), (1, 5))
    assert rpp.soften(Nosy(), (1, 5), residual="kernel").layers[0].subspace is not None
