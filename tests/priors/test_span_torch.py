"""What SpanSubspace.of reads off layers of torch, e3nn and escnn."""

import numpy as np
import pytest

from bayes_rpp.subspaces import ConvolutionSubspace, SpanSubspace
from tests.networks.torch_modules import need_escnn

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn")

RNG = np.random.default_rng(0)
EVERYTHING = {"stride": 2, "padding": 2, "dilation": 2, "groups": 2, "padding_mode": "circular"}


def members(span, count=3):
    """Random elements (count, *shape)."""
    return span.decode(RNG.normal(size=(count, span.rank)))


@pytest.mark.parametrize(
    ("layer", "grid", "options"),
    [
        (nn.Conv1d(2, 3, 3), (6,), {}),
        (nn.Conv1d(2, 4, 3, **EVERYTHING), (7,), EVERYTHING),
        (nn.Conv2d(2, 3, (3, 2), padding=(1, 0), bias=False), (4, 3), {"padding": (1, 0)}),
        (nn.Conv3d(1, 2, 2, stride=2), (4, 2, 3), {"stride": 2}),
    ],
)
def test_convolutions_are_the_convolution_subspace(layer, grid, options):
    found = SpanSubspace.of(layer, (layer.in_channels, *grid))
    wanted = ConvolutionSubspace(layer.in_channels, layer.out_channels, layer.kernel_size, grid, **options)
    assert (found.shape, found.rank) == (wanted.shape, wanted.rank)
    w = RNG.normal(size=found.shape)
    np.testing.assert_allclose(found.project(w), wanted.project(w), atol=1e-12)
    if layer.bias is None:
        assert found.bias is None
    else:
        positions = found.shape[0] // layer.out_channels
        tied = SpanSubspace.tied(np.repeat(np.arange(layer.out_channels), positions))
        b = RNG.normal(size=found.shape[0])
        np.testing.assert_allclose(found.bias.project(b), tied.project(b), atol=1e-12)


def test_plain_linear_layers_are_all_matrices():
    found = SpanSubspace.of(nn.Linear(3, 4))
    assert (found.shape, found.rank, found.bias.rank) == ((4, 3), 12, 4)
    # What the parameters make together counts: shared over two tokens, they are block diagonal.
    found = SpanSubspace.of(nn.Linear(3, 4, bias=False), (2, 3))
    assert (found.shape, found.rank, found.bias) == ((8, 6), 12, None)


def test_layers_that_vmap_cannot_run_are_read_one_by_one():
    class Branching(nn.Linear):
        def forward(self, x):
            scale = 1.0 if float(self.weight.sum()) > -1e9 else 0.0
            return scale * super().forward(x)

    assert SpanSubspace.of(Branching(3, 2)).rank == 6


def test_the_layer_is_left_as_it_is():
    layer = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2).requires_grad_(False)).train()
    state, before = torch.get_rng_state(), {k: v.clone() for k, v in layer.state_dict().items()}
    assert SpanSubspace.of(layer, 3).rank == 6
    assert (torch.get_rng_state() == state).all()
    assert torch.get_default_dtype() == torch.float32
    assert layer.training
    assert layer[0].training
    assert all(p.grad is None and p.dtype == torch.float32 for p in layer.parameters())
    assert all((before[k] == v).all() for k, v in layer.state_dict().items())


def test_e3nn_linear_commutes_with_rotations():
    o3 = pytest.importorskip("e3nn.o3")
    layer = o3.Linear("3x0e + 2x1o + 1x2e", "2x0e + 1x0o + 2x1o + 1x2e", biases=True)
    found = SpanSubspace.of(layer)
    assert found.rank == layer.weight_numel
    assert found.bias.rank == 2
    for g in o3.rand_matrix(4):
        d_in, d_out = (irreps.D_from_matrix(-g).double().numpy() for irreps in (layer.irreps_in, layer.irreps_out))
        for w in members(found):
            np.testing.assert_allclose(d_out @ w, w @ d_in, atol=2e-6)
        for b in members(found.bias):
            np.testing.assert_allclose(d_out @ b, b, atol=2e-6)


def test_escnn_convolution_commutes_with_quarter_turns():
    need_escnn()
    from escnn import gspaces
    from escnn import nn as enn

    space = gspaces.rot2dOnR2(4)
    t_in = enn.FieldType(space, [space.trivial_repr, space.irrep(1)])
    t_out = enn.FieldType(space, [space.regular_repr, space.irrep(1), space.trivial_repr])
    found = SpanSubspace.of(enn.R2Conv(t_in, t_out, 3, padding=1).eval(), (t_in.size, 5, 5))
    assert found.bias.rank == 2
    for g in space.testing_elements:
        d_in, d_out = (_on_grid(t, g, (5, 5)) for t in (t_in, t_out))
        for w in members(found):
            np.testing.assert_allclose(d_out @ w, w @ d_in, atol=1e-6)
        for b in members(found.bias):
            np.testing.assert_allclose(d_out @ b, b, atol=1e-6)


def test_escnn_linear_commutes_with_its_group():
    need_escnn()
    from escnn import gspaces
    from escnn import nn as enn

    space = gspaces.no_base_space(gspaces.rot2dOnR2(8).fibergroup)
    t_in, t_out = (enn.FieldType(space, r) for r in ([space.regular_repr, space.irrep(1)], [space.regular_repr]))
    found = SpanSubspace.of(enn.Linear(t_in, t_out))
    assert found.bias.rank == 1
    for g in space.testing_elements:
        d_in, d_out = (t.representation(g) for t in (t_in, t_out))
        for w in members(found):
            np.testing.assert_allclose(d_out @ w, w @ d_in, atol=1e-6)


def _on_grid(kind, g, grid):
    """The matrix of an element on flattened fields: it turns the grid and the fibre."""
    from escnn.nn import GeometricTensor

    size = kind.size * int(np.prod(grid))
    fields = GeometricTensor(torch.eye(size).reshape(size, kind.size, *grid), kind)
    return fields.transform(g).tensor.reshape(size, size).T.double().numpy()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Sequential(nn.Linear(3, 3), nn.ReLU()), 3, "not linear in its parameters: relative error"),
        (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), 3, "not linear in its parameters"),
        (nn.Sequential(nn.Tanh(), nn.Linear(3, 3)), 3, "not affine in its input: relative error"),
        (nn.LayerNorm(3), 3, "not affine in its input"),
        (nn.ReLU(), 3, "layer must have parameters, for a choice of matrices, got a ReLU without"),
        (nn.Conv2d(1, 1, 3), None, "input_shape must be given, as a Conv2d does not say it, got None"),
        (nn.Bilinear(2, 3, 1), None, "input_shape must be given, as a Bilinear does not say it, got None"),
        (nn.Conv2d(1, 1, 3), (4,), r"input_shape must suit Conv2d, got \(4,\), where it fails: Expected 3D"),
        (nn.Conv2d(64, 64, 3), (64, 16, 16), "too many numbers .*ConvolutionSubspace.*residual='kernel'"),
    ],
)
def test_what_is_not_linear_is_refused(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        SpanSubspace.of(layer, shape)


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"layer must be a torch\.nn\.Module or a Flax module, got a function"):
        SpanSubspace.of(members)
