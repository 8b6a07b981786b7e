"""The picture of a sweep."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from bayes_rpp.plots import plot_sweep

A, B = [0.1, 1.0], [0.0, 0.01, 1.0]
MSE = np.array([[[3.0, 5.0], [2.0, np.nan], [8.0, 8.0]], [[1.0, 30.0], [np.nan, np.nan], [4.0, 4.0]]])
FOUND = xr.Dataset(
    {
        "mse": (("sigma_a", "sigma_b", "seed"), MSE),
        "loss": (("sigma_a", "sigma_b", "seed"), np.full((2, 3, 2), np.nan)),
    },
    {"sigma_a": A, "sigma_b": B, "seed": [0, 1]},
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_medians_ticks_and_the_best_cell():
    ax = plot_sweep(FOUND)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.1", "1"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "0.01", "1"]
    assert ax.get_xlabel().startswith("sigma_a")
    assert ax.get_ylabel().startswith("sigma_b")
    shown = {t.get_position(): t.get_text() for t in ax.texts}
    assert shown == {(0, 0): "4", (1, 0): "15.5", (0, 1): "2", (0, 2): "8", (1, 2): "4"}
    (frame,) = ax.patches
    assert frame.get_center() == pytest.approx((0, 1))
    assert ax.get_title() == "lowest: sigma_a=0.1, sigma_b=0.01"
    assert "median of 2 seeds" in ax.figure.axes[1].get_ylabel()
    highest = plot_sweep(FOUND, ax=plt.figure().subplots(), best="highest")
    assert highest.get_title() == "highest: sigma_a=1, sigma_b=0"
    assert plot_sweep(FOUND.median("seed")).get_title() == ax.get_title()


def test_one_value_for_all_and_zeros_can_be_drawn():
    for values in (np.ones((2, 3, 2)), np.zeros((2, 3, 2)), 1e-9 * MSE, -MSE, MSE - 1):
        plot_sweep(FOUND.assign(mse=FOUND["mse"].copy(data=values))).figure.canvas.draw()


def test_zero_beside_others_is_the_best_and_has_a_colour():
    ax = plot_sweep(FOUND.assign(mse=(FOUND["mse"] - 4.0).clip(min=0.0)))
    assert ax.get_title() == "lowest: sigma_a=0.1, sigma_b=0.01"
    assert {t.get_position(): t.get_text() for t in ax.texts}[0, 1] == "0"
    hidden = np.ma.getmaskarray(ax.images[0].norm(ax.images[0].get_array()))
    np.testing.assert_array_equal(hidden, [[False, False], [False, True], [False, False]])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"found": 3}, TypeError, "found must be what sweep gives, got a int"),
        ({"found": FOUND.isel(sigma_a=0)}, ValueError, "found must have sigma_a, got none"),
        ({"value": "nll"}, ValueError, "value must be one of 'mse', 'loss', got 'nll'"),
        ({"value": "loss"}, ValueError, "found must have a result for 'loss' in some cell, got none"),
        ({"best": "most"}, ValueError, "best must be 'lowest' or 'highest', got 'most'"),
    ],
)
def test_bad_input_is_named(change, error, message):
    with pytest.raises(error, match=message):
        plot_sweep(**{"found": FOUND, **change})
