"""A small spread on a large offset, such as an hour of Unix seconds, is data; a constant up to rounding is none."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_rpp as rpp
from bayes_rpp._numerics import varies
from bayes_rpp.analysis.standardize import Standardization

pytest.importorskip("pyro")

RNG = np.random.default_rng(0)
GRID = 2.0**-8  # values on it can be moved by whole numbers without rounding
X = np.round(RNG.normal(size=(60, 3)) / GRID) * GRID
Y = np.round((X @ RNG.normal(size=(3, 2)) + 0.1 * RNG.normal(size=(60, 2))) / GRID) * GRID
QUICK = {"engine": "pyro", "method": rpp.MAP(epochs=30), "random_state": 0}
OFFSETS = (1e3, -(2.0**20), 1.7e9, 1e12)


def of(values, group=None, rep=None, together="copy"):
    rep = rep or values.shape[1] * rpp.Scalar
    return Standardization.of(values, rep, [group or rpp.Trivial(1)], together=together)


@pytest.mark.parametrize("offset", OFFSETS)
def test_predictions_do_not_depend_on_offsets(offset):
    plain = rpp.RPPRegressor(**QUICK).fit(X, Y)
    moved = rpp.RPPRegressor(**QUICK).fit(X + offset, Y - 3 * offset)
    mean, std = plain.predict(X, return_std=True)
    far, its = moved.predict(X + offset, return_std=True)
    np.testing.assert_allclose(far + 3 * offset, mean, atol=1e-3)
    np.testing.assert_allclose(its, std, rtol=1e-3)
    assert far.dtype == np.float64
    drawn = [e.sample_y(x, 3) for e, x in ((plain, X), (moved, X + offset))]
    np.testing.assert_allclose(drawn[1] + 3 * offset, drawn[0], atol=1e-3)
    assert moved.score(X + offset, Y - 3 * offset) > 0.9


def test_unix_seconds():
    s, u = RNG.uniform(0, 3600, 200), RNG.normal(size=200)
    y = np.sin(2 * np.pi * s / 3600) + 0.3 * u
    scores = []
    for start in (0.0, 1.7e9):
        x = np.c_[start + s, u]
        method = rpp.MAP(epochs=200)
        scores.append(rpp.RPPRegressor(**QUICK | {"method": method}).fit(x[:150], y[:150]).score(x[150:], y[150:]))
    assert scores[0] > 0.98
    assert scores[1] == pytest.approx(scores[0], abs=1e-3)


def test_classes_and_kinds_of_columns():
    y = X[:, 0] > 0
    far = pd.DataFrame(
        {"time": (1_700_000_000_000_000_000 + 1e9 * X[:, 0]).astype(np.int64), "level": 300 + 1e-4 * X[:, 1]}
    )
    for x in (X[:, :2], far):
        classifier = rpp.RPPClassifier(**QUICK | {"method": rpp.MAP(epochs=100)}).fit(x, y)
        assert classifier.score(x, y) > 0.95


@settings(deadline=None, max_examples=50)
@given(st.integers(-(2**31), 2**31), st.sampled_from([2.0**-8, 1.0, 2.0**8]), st.sampled_from([np.float64, np.int64]))
def test_standardised_values_do_not_depend_on_offsets(offset, size, dtype):
    values = np.round(X / GRID) * (size if dtype is np.float64 else 1)
    near, far = (of(v.astype(dtype)) for v in (values, values + offset))
    np.testing.assert_allclose(far.scale, near.scale, rtol=1e-6)
    np.testing.assert_allclose(far.center - offset, near.center, atol=1e-3 * size)
    np.testing.assert_allclose(
        far.undo(far((values + offset).astype(np.float64))), values + offset, rtol=1e-12, atol=1e-9
    )


def test_kelvins_in_float32_are_data():
    values = (300 + 1e-4 * RNG.normal(size=(500, 1))).astype(np.float32)
    assert 0.7e-4 < of(values).scale[0] < 1.3e-4


STILL = {
    "one number": np.full(60, 0.1),
    "ones": np.linalg.norm(X / np.linalg.norm(X, axis=1, keepdims=True), axis=1),
    "ones in float32": np.linalg.norm((X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), axis=1),
    "sums that cancel": (1e9 + X[:, 0]) - X[:, 0],
    "whole": np.full(60, 7),
    "zeros": np.zeros(60),
    "small": np.full(60, 1e-200),
}


@pytest.mark.parametrize("kind", STILL)
def test_constants_up_to_rounding_stay(kind):
    values = STILL[kind][:, None]
    assert of(values).scale == 1
    assert not varies(values).any()


def test_sizes_at_the_ends_of_float64():
    for size in (1e-200, 1e200):
        found = of(size * X)
        np.testing.assert_allclose(found.scale / size, of(X).scale)
        np.testing.assert_allclose(found(size * X), of(X)(X))


def test_a_block_keeps_one_scale():
    """One that varies and one that does not: a rotation mixes them."""
    values = np.c_[np.zeros(60), 1e9 + np.zeros(60), X[:, 0]]
    found = of(values, rpp.SO(3), rpp.Vector)
    assert len(set(found.scale)) == 1


def test_without_standardising_the_noise_is_that_of_a_small_spread():
    y = 2.0**20 + 1e-3 * X[:, 0]
    with pytest.warns(UserWarning, match="y varies so little beside its size, in column 0, that float32"):
        e = rpp.RPPRegressor(**QUICK, standardize=False).fit(X, y)
    assert e.posterior_.model.likelihood.noise <= 1e-2 * 1.01 * y.std() / 1e-3


@pytest.mark.parametrize("which", ["x", "y"])
def test_fit_and_sweep_say_what_float32_loses(which):
    model = rpp.Model(rpp.MLP(3, 2, layers=0))
    x, y = (X + 1.7e9, Y) if which == "x" else (X, Y + 1.7e9)
    message = rf"{which} varies so little beside its size, in column 0, 1.*{which} - {which}.mean\(axis=0\) would do"
    with pytest.warns(UserWarning, match=message):
        rpp.fit(model, x, y, rpp.MAP(epochs=1), engine="pyro", progress=False)
    with pytest.warns(UserWarning, match=message):
        rpp.sweep(model, (x, y), rpp.MAP(epochs=1), engine="pyro", progress=False)


def test_positions_far_from_the_origin_of_a_rotation():
    """Nothing commutes with rotations that would bring them nearer."""
    e = rpp.RPPRegressor("SO(3)", "Vector", "Scalar", **QUICK)
    with pytest.warns(UserWarning, match="X varies so little beside its size, in column 0, 1, 2"):
        e.fit(X + 1e9, Y[:, 0])


def test_an_engine_in_float64_loses_nothing():
    import torch

    model = rpp.Model(rpp.MLP(3, 2, layers=0))
    torch.set_default_dtype(torch.float64)
    try:
        post = rpp.fit(model, X + 1.7e9, Y, rpp.MAP(epochs=1), engine="pyro", progress=False)
    finally:
        torch.set_default_dtype(torch.float32)
    assert post.predict(X).samples.dtype == np.float64


def test_comparisons_do_not_depend_on_offsets():
    data = [X[:, :1], X[:, 1:2]]
    options = {"rep_in": rpp.Scalar, "rep_out": rpp.Scalar, "layers": 0, "engine": "pyro", "progress": False}
    found = [
        rpp.compare_symmetries(data[0] + offset, data[1] - offset, {"none": rpp.Trivial(2)}, **options)
        for offset in (0.0, 1.7e9)
    ]
    np.testing.assert_allclose(found[1].table["log_evidence"], found[0].table["log_evidence"], rtol=1e-4)


def test_tables_of_the_command_line(tmp_path):
    from bayes_rpp.own_data.fitting import How, Kind, fit_columns
    from bayes_rpp.own_data.tables import read_columns

    scores = []
    for start in (0, 1_700_000_000):
        path = tmp_path / f"{start}.csv"
        pd.DataFrame({"t": start + X[:, 0], "u": X[:, 1], "y": start + Y[:, 0]}).to_csv(path, index=False)
        columns = read_columns(path, [], ["y"])
        fitted = fit_columns(columns, Kind.auto, How.map, {}, test_fraction=0.2, seed=0, engine="pyro", layers=1)
        scores.append(fitted.scores()["test"]["rmse"])
    assert scores[1] == pytest.approx(scores[0], rel=1e-2)


def test_predictions_are_float64():
    net = rpp.MLP(1, 1, layers=0)
    draws = 1.7e9 + np.arange(4.0).reshape(1, 4, 1)
    samples = {"output.weight": np.zeros((1, 4, 1, 1)), "output.bias": draws}
    post = rpp.Posterior(rpp.Model(net, likelihood=rpp.Gaussian(1e-6)), samples, x=[[0.0]], y=[[1.7e9]])
    p = post.predict([[0.0]])
    assert p.mean[0, 0] == 1.7e9 + 1.5
    assert p.std[0, 0] == pytest.approx(np.std(np.arange(4.0)))
    single = rpp.Posterior(post.model, {k: v.astype(np.float32) for k, v in samples.items()}, x=[[0.0]], y=[[1.7e9]])
    q = single.predict([[0.0]])
    assert q.mean.dtype == q.std.dtype == np.float64
    assert q.mean[0, 0] == samples["output.bias"].astype(np.float32).astype(np.float64).mean()


def test_transition_models_scale_what_varies():
    near, far = (of(values, together="mixed") for values in (X, X + 1.7e9))
    np.testing.assert_allclose(far.scale, near.scale, rtol=1e-6)
    assert of(np.full((5, 3), 0.1), together="mixed").scale.tolist() == [1, 1, 1]


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_transitions_that_do_not_follow_are_seen(offset):
    states = offset + np.cumsum(1e-2 * RNG.normal(size=(21, 2)), axis=0)
    parts = (states[:-1], np.zeros((20, 1)), states[1:])
    rpp.rl.Transitions(*parts, np.zeros(20, dtype=bool))
    swapped = states[1:].copy()
    swapped[3] += 5.0
    with pytest.raises(ValueError, match=r"next_states\[3\] must be states\[4\] where ends\[3\] is False, got another"):
        rpp.rl.Transitions(*parts[:2], swapped, np.zeros(20, dtype=bool))


def test_the_normaliser_of_observations():
    pytest.importorskip("stable_baselines3")
    from bayes_rpp.rl.torch.normalise import _Statistics

    values = (1e4 + RNG.normal(size=(400, 3))).astype(np.float32)
    found = _Statistics(shape=(3,))
    for part in np.split(values, 40):
        found.update(part)
    np.testing.assert_allclose(found.mean, values.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.var, values.var(axis=0, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize(("shift_x", "shift_y", "name"), [(100.0, 0.0, "X"), (0.0, 1e4, "y"), (0.0, 0.0, "")])
def test_vectors_far_from_the_origin_are_named(shift_x, shift_y, name):
    """Their mean is no centre that all rotations leave: it cannot be subtracted."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    y = x[:, :1] * x[:, 1:] + [0, 0, shift_y]
    x = x + np.array([0, 0, 0, shift_x])
    model = rpp.RPPRegressor(
        "O(3)", "Scalar + Vector", "Vector", channels=8, layers=1, method=rpp.MAP(epochs=1), engine="pyro"
    )
    if name:
        with pytest.warns(UserWarning, match=f"the mean of {name} is .* times its spread in column"):
            model.fit(x, y)
    else:
        model.fit(x, y)


def test_scalars_and_fixed_directions_are_centred_without_a_word():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4)) + np.array([1e6, 0, 0, 1e4])  # a scalar, and z, which rotations about it leave
    model = rpp.RPPRegressor(
        "SO(2) * Trivial(1)", "Scalar + Vector", "Scalar", channels=8, layers=1, method=rpp.MAP(epochs=1), engine="pyro"
    )
    model.fit(x, x[:, 1:2] ** 2)
