"""Convolutions as a subspace: against the dense Q Q^T, against torch's own, and within memory."""

import itertools
import tracemalloc

import numpy as np
import pytest

from bayes_rpp.subspaces import ConvolutionSubspace

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
GRIDS = [((5,), 3), ((4, 5), (3, 2)), ((2, 3, 2), 2)]
SETTINGS = list(
    itertools.product(GRIDS, (1, 2), (1, 2), (1, 2), (0, 1, "same"), ("zeros", "circular"), ("dense", "local"))
)


def made(setting):
    (grid, kernel), stride, dilation, groups, padding, mode, weights = setting
    span = [d * dilation for d in np.broadcast_to(np.array(kernel) - 1, len(grid))]
    room = padding == "same" or all(n + 2 * padding > s for n, s in zip(grid, span, strict=True))
    options = {"dilation": dilation, "groups": groups, "padding": padding, "padding_mode": mode, "weights": weights}
    return ConvolutionSubspace(2, 4, kernel, grid, stride=stride, **options) if room else None


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{len(g[0])}d")
def test_projection_is_the_dense_one(grid):
    """All strides, dilations, groups, paddings and kinds of weights, to 1e-12."""
    spaces = [s for s in map(made, (c for c in SETTINGS if c[0] is grid)) if s]
    assert len(spaces) > 60
    for s in spaces:
        q, w = s.basis(), RNG.normal(size=(2, *s.shape))
        np.testing.assert_allclose(q.T @ q, np.eye(s.rank), atol=1e-12)
        flat = w.reshape(2, s.size)
        np.testing.assert_allclose(s.project(w).reshape(2, s.size), flat @ q @ q.T, atol=1e-12)
        np.testing.assert_allclose(s.leverage().ravel(), (q**2).sum(axis=1), atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{len(g[0])}d")
def test_the_weights_of_a_kernel_convolve(grid):
    seen = 0
    for s in filter(None, map(made, (c for c in SETTINGS if c[0] is grid))):
        kernel, x = RNG.normal(size=(4, 2 // s.groups, *s.kernel_size)), RNG.normal(size=(3, 2, *s.input_size))
        pads = [p for pair in reversed(s.padding) for p in pair]
        mode = {"zeros": "constant", "circular": "circular"}[s.padding_mode]
        padded = torch.nn.functional.pad(torch.tensor(x), pads, mode=mode)
        convolve = getattr(torch.nn.functional, f"conv{len(s.input_size)}d")
        y = convolve(padded, torch.tensor(kernel), stride=s.stride, dilation=s.dilation, groups=s.groups).numpy()
        w = s.from_kernel(kernel)
        assert y.shape[2:] == s.output_size
        np.testing.assert_allclose(s.apply(w, x.reshape(3, -1)), y.reshape(3, -1), atol=1e-12)
        np.testing.assert_allclose(s.project(w), w, atol=1e-12)
        again = s.from_kernel(s.kernel(w))
        np.testing.assert_allclose(again, w, atol=1e-12)
        seen += 1
    assert seen > 60


def test_local_weights_are_a_kernel_of_its_own_at_each_position():
    dense, local = (ConvolutionSubspace(2, 3, 3, (4, 4), padding=1, weights=k) for k in ("dense", "local"))
    assert dense.shape == (48, 32)
    assert local.shape == (48, 18)
    w, x = RNG.normal(size=local.shape), RNG.normal(size=(5, 32))
    y = local.apply(w, x)
    windows = torch.nn.functional.unfold(torch.tensor(x.reshape(5, 2, 4, 4)), 3, padding=1).numpy()  # (n, 18, 16)
    np.testing.assert_allclose(
        y.reshape(5, 3, 16), np.einsum("cpk,nkp->ncp", w.reshape(3, 16, 18), windows), atol=1e-12
    )


def test_a_large_layer_is_projected_within_a_gigabyte():
    """64 channels on 32 x 32: local weights are projected, and the coordinates of a dense weight (17 GB, of which
    only a view exists here) are found."""
    local = ConvolutionSubspace(64, 64, 3, (32, 32), padding="same", weights="local")
    dense = ConvolutionSubspace(64, 64, 3, (32, 32), padding="same")
    w = np.ones(local.shape, dtype=np.float32)
    tracemalloc.start()
    projected = local.project(w)
    beta = dense.encode(np.broadcast_to(np.float32(1.0), dense.shape))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e9
    assert beta.shape == (64 * 64 * 9,)
    np.testing.assert_allclose(beta.reshape(-1, 9)[0], np.sqrt(dense.counts), rtol=1e-4)
    seen = local.leverage() > 0
    np.testing.assert_allclose(projected[seen], 1.0, rtol=1e-4)
    assert (projected[~seen] == 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_channels": 0}, "in_channels must be a whole number >= 1, got 0"),
        ({"groups": 3}, "groups must divide in_channels, 2, got 3"),
        ({"kernel_size": (3, 3, 3)}, r"kernel_size must be one number, or 2, one for each dimension, got \(3, 3, 3\)"),
        ({"kernel_size": 9}, r"kernel_size must fit input_size \(5, 5\), got \(9, 9\)"),
        ({"input_size": (1, 2, 3, 4)}, "1 to 3 dimensions"),
        ({"stride": 0}, "stride must be a whole number >= 1, got 0"),
        ({"padding": -1}, "padding must be whole numbers >= 0, or pairs of them, got -1"),
        ({"padding": "full"}, r"padding must be a number, pairs \(before, after\), 'same' or 'valid', got 'full'"),
        ({"padding": (1, 2, 3)}, r"padding must be one number, or 2, one for each dimension, got \(1, 2, 3\)"),
        ({"padding_mode": "reflect"}, "padding_mode must be 'zeros' or 'circular', got 'reflect'"),
        ({"weights": "sparse"}, "weights must be 'dense' or 'local', got 'sparse'"),
    ],
)
def test_bad_input_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        ConvolutionSubspace(**{"in_channels": 2, "out_channels": 4, "kernel_size": 3, "input_size": (5, 5)} | settings)
