"""Transition models and their rollouts, on linear systems whose trajectories are known."""

from types import SimpleNamespace

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.rl.rollouts import Recalibration, Rollout, interval_coverage, relative_error, rollout
from bayes_rpp.rl.transition_model import (
    DoubledMLP,
    TransitionModel,
    default_method,
    fit_transitions,
    transition_network,
)
from bayes_rpp.rl.transitions import Transitions

A, B = np.array([[-0.1, 0.05], [-0.05, -0.1]]), np.array([[0.2], [0.1]])
MIRROR = SimpleNamespace(  # (s, a) to (-s, -a), which linear systems have
    group=rpp.Group(1, discrete_generators=[[[-1.0]]], name="mirror"), rep_state=2 * rpp.Vector, rep_action=rpp.Vector
)


def linear(n=300, length=30, offset=0.0, seed=0):
    """Episodes of s' = s + A s + B a + offset."""
    rng = np.random.default_rng(seed)
    states, actions, after = [], [], []
    for _ in range(n // length):
        s = rng.normal(size=2)
        for _ in range(length):
            a = rng.normal(size=1)
            states.append(s)
            actions.append(a)
            s = s + A @ s + B @ a + offset
            after.append(s)
    ends = np.arange(len(states)) % length == length - 1
    return Transitions(np.array(states), np.array(actions), np.array(after), ends, "linear")


def exact(members=((A, B),)):
    """A transition model whose members are linear maps, in standardised units."""
    data = linear()
    net = rpp.MLP(3, 2, layers=0)
    sx, sy = (
        Standardization(np.array([0.3, -0.2, 0.1]), np.array([2.0, 0.5, 3.0])),
        Standardization(np.ones(2) * 0.1, np.ones(2) * 4),
    )
    weights = [np.concatenate([a, b], axis=1) for a, b in members]
    samples = {
        "output.weight": np.stack([w * sx.scale / sy.scale[:, None] for w in weights])[None],
        "output.bias": np.stack([(w @ sx.center - sy.center) / sy.scale for w in weights])[None],
    }
    post = rpp.Posterior(rpp.Model(net, sigma_b=0.0), samples, x=sx(data.x), y=sy(data.changes))
    return TransitionModel(post, sx, sy)


def test_rollouts_of_a_linear_system_are_its_trajectories():
    states, actions = linear().windows(20, every=5)
    found = rollout(exact(), states[:, 0], actions)
    assert np.allclose(found.mean, states, atol=1e-10)
    assert found.samples.shape == (1, *states.shape)
    assert (found.std == 0).all()
    assert relative_error(found.mean, states) == pytest.approx(1e-7)  # the clamp


def test_each_member_goes_its_own_way():
    other = A * 0.5
    states, actions = linear().windows(10)
    found = rollout(exact([(A, B), (other, B)]), states[:, 0], actions)
    s = states[:, 0]
    for t in range(10):
        s = s + s @ other.T + actions[:, t] @ B.T
        assert np.allclose(found.samples[1, :, t + 1], s, atol=1e-10)
    assert np.allclose(found.samples[0], states, atol=1e-10)
    assert np.allclose(found.mean, found.samples.mean(axis=0))
    assert np.allclose(found.std, found.samples.std(axis=0, ddof=1))


def test_relative_errors_are_those_of_the_definition():
    true = np.ones((2, 4, 4))
    predicted = true.copy()
    predicted[:, 1:, :2] = 3.0  # rms of the difference: 2 on half of the columns
    expected = np.sqrt(2.0) / (1 + np.sqrt(5.0))
    assert relative_error(predicted, true) == pytest.approx(expected)
    # Half of the columns: 2 / (3 + 1), and one time in four with the clamp.
    assert relative_error(predicted, true, metric="reference") == pytest.approx(0.5 ** (3 / 4) * 1e-7 ** (1 / 4))
    assert relative_error(predicted, true, 1, metric="reference") == pytest.approx((0.5 * 1e-7) ** 0.5)
    predicted[0, 2:] = np.inf  # two of six are lost
    assert relative_error(predicted, true) == pytest.approx(expected ** (4 / 6))
    assert relative_error(predicted, true, 1) == pytest.approx(expected)


def test_a_member_that_runs_away_has_an_error_of_one():
    away = exact([(np.eye(2) * 1e30, B)])
    states, actions = linear().windows(30)
    assert relative_error(rollout(away, states[:, 0], actions).mean, states) == pytest.approx(1.0, rel=1e-2)


def gaussian_rollout(n, spread, seed):
    """Rollouts whose truth scatters by spread[t] while they claim a standard deviation of 1."""
    rng = np.random.default_rng(seed)
    steps = len(spread)
    mean = np.zeros((n, steps + 1, 3))
    std = np.concatenate([np.zeros((n, 1, 3)), np.ones((n, steps, 3))], axis=1)
    true = mean + np.concatenate([[0.0], spread])[:, None] * rng.normal(size=mean.shape)
    return Rollout(mean, std, np.zeros((2, *mean.shape))), true


def test_coverage_and_recalibration_by_step():
    spread = np.array([1.0, 2.0, 0.5])
    found, true = gaussian_rollout(4000, spread, 0)
    assert np.allclose(interval_coverage(found, true, 0.9), [0.9, 0.589, 0.999], atol=0.01)
    again = Recalibration.fit(*gaussian_rollout(4000, spread, 1), 0.9)
    assert np.allclose(again.factors, spread, rtol=0.05)
    assert np.allclose(interval_coverage(again(found), true, 0.9), 0.9, atol=0.015)
    assert np.array_equal(again(found).mean, found.mean)
    short = Rollout(found.mean[:, :2], found.std[:, :2], found.samples[:, :, :2])
    assert np.allclose(again(short).std[:, 1], again.factors[0])


def test_fits_find_a_linear_system_and_keep_its_symmetry():
    pytest.importorskip("pyro")  # which has nothing to compile
    method = rpp.DeepEnsemble(members=2, epochs=25, batch_size=50, learning_rate=0.05)
    settings = {"width": 16, "layers": 1, "method": method, "engine": "pyro", "progress": False}
    data, test = linear(), linear(seed=1)
    states, actions = test.windows(10)
    for sigma_b in (0.0, 0.1):
        model = fit_transitions(data, MIRROR, sigma_b=sigma_b, **settings)
        found = rollout(model, states[:, 0], actions)
        assert relative_error(found.mean, states) < 0.1
        error = model.equivariance_error(test.states, test.actions, MIRROR)
        assert error.shape == (2, len(test))
        assert (error.max() < 1e-5) == (sigma_b == 0.0)
    free = fit_transitions(data, **settings)
    assert 1e-4 < free.equivariance_error(test.states, test.actions, MIRROR).mean() < 0.5


def test_networks():
    net = transition_network(MIRROR, width=9)
    assert net.rep_in.size == 3
    assert [b.rep_out.size for b in net.blocks] == [8, 8]
    assert not any("bilinear" in k or "swish" in k for k in net.parameters)
    rotation = SimpleNamespace(group=rpp.SO(2), rep_state=rpp.Vector + rpp.Scalar, rep_action=rpp.Scalar)
    assert transition_network(rotation, width=12).rep_in.size == 4
    assert isinstance(transition_network(None, sizes=(2, 1)), rpp.MLP)
    with pytest.raises(ValueError, match="width must be 2 or more, as mirror has so many elements, got 1"):
        transition_network(MIRROR, width=1)
    with pytest.raises(TypeError, match="symmetry must have group, got 3"):
        transition_network(3)
    with pytest.raises(ValueError, match="sizes"):
        transition_network(None)


def test_the_doubled_network_is_a_sum_of_two_pathways():
    net, plain = DoubledMLP(3, 2, channels=4, layers=1), rpp.MLP(3, 2, channels=4, layers=1)
    rng = np.random.default_rng(0)
    params = {k: rng.normal(size=p.shape) for k, p in net.parameters.items()}
    joined = {k: params[k] + params[f"residual.{k}"] for k in plain.parameters}
    x = rng.normal(size=(5, 3))
    assert np.allclose(net(params, x), plain(joined, x))
    model = rpp.Model(net, sigma_a=net.sigmas(rpp.PerLayer(rpp.Prior("HalfNormal", {"scale": 0.01}))), sigma_b=0.0)
    assert set(model.latents) == {"sigma_a.residual.layers.0", "sigma_a.residual.output"}
    fixed = rpp.Model(net, sigma_a=net.sigmas(0.1), sigma_b=0.0)
    assert fixed.priors["residual.output.weight"].sigma_a == pytest.approx(0.1 * fixed.priors["output.weight"].sigma_a)


def test_standardising_commutes_with_the_group():
    swap = np.eye(5)[[1, 0, 2, 3, 4]] * [1, 1, 1, -1, 1]
    rep = rpp.Rep.custom(lambda g: swap if g[0, 0] < 0 else np.eye(5))(MIRROR.group)
    values = np.random.default_rng(0).normal(size=(50, 5)) * [1, 3, 5, 7, 0] + [1, 2, 3, 4, 6.0]
    found = Standardization.of(values, rep.rep, [MIRROR.group], together="mixed")
    assert np.allclose(found(values @ swap.T), found(values) @ swap.T)
    assert found.center[3] == 0
    assert found.scale[0] == found.scale[1]
    assert found.scale[4] == 1  # a column that stands still
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    mixed = rpp.Group(3, discrete_generators=[turned @ np.diag([1, 1, -1.0]) @ turned.T])
    assert len(set(Standardization.of(values[:, :3], rpp.Vector, [mixed], together="mixed").scale)) == 1


def test_bad_input():
    model, states, actions = exact(), np.zeros((4, 2)), np.zeros((4, 5, 1))
    cases = [
        (
            lambda: rollout(None, states, actions),
            TypeError,
            r"model must be what rl\.fit_transitions returns, got a NoneType",
        ),
        (
            lambda: rollout(model, states, actions[:, 0]),
            ValueError,
            r"actions must have shape \(rollouts, steps, size of an action\), got \(4, 1\)",
        ),
        (
            lambda: rollout(model, states[:3], actions),
            ValueError,
            r"states must have a row for each of 4 rollouts, got shape \(3, 2\)",
        ),
        (
            lambda: rollout(model, states[:, :1], actions),
            ValueError,
            "states must have 2 columns, as the model's states, got 1",
        ),
        (
            lambda: rollout(model, states, np.zeros((4, 5, 2))),
            ValueError,
            "actions must have 1 column, as the model's actions, got 2",
        ),
        (
            lambda: rollout(model, states, actions * np.nan),
            ValueError,
            "actions must be finite, got NaN or infinite values in 4 of 4 rows",
        ),
        (
            lambda: relative_error(np.zeros((3, 2)), np.zeros((3, 2))),
            ValueError,
            r"predicted must have.*, got \(3, 2\)",
        ),
        (
            lambda: relative_error(np.zeros((1, 3, 2)), np.zeros((1, 4, 2))),
            ValueError,
            r"true must have shape \(1, 3, 2\), as predicted has, got \(1, 4, 2\)",
        ),
        (
            lambda: relative_error(np.zeros((1, 3, 2)), np.zeros((1, 3, 2)), 3),
            ValueError,
            "steps must be a whole number from 1 to 2, as long as the rollouts are, got 3",
        ),
        (
            lambda: relative_error(np.zeros((1, 3, 2)), np.zeros((1, 3, 2)), metric="mse"),
            ValueError,
            "metric must be 'all' or 'reference', got 'mse'",
        ),
        (
            lambda: fit_transitions(None),
            TypeError,
            r"transitions must be what rl\.collect_transitions gives, got a NoneType",
        ),
        (
            lambda: fit_transitions(linear(), net=rpp.MLP(4, 2)),
            ValueError,
            "net must have an input of size 3, as states have size 2 and actions 1, got 4",
        ),
        (
            lambda: fit_transitions(linear(), MIRROR, validation=3),
            TypeError,
            r"validation must be Transitions, as of split\(\), got a int",
        ),
        (lambda: Recalibration.fit(rollout(model, states, actions), np.zeros((4, 6, 2))), ValueError, "1 member"),
        (lambda: Recalibration(np.ones(3), 0.9)(rollout(model, states, actions)), ValueError, "5 steps"),
        (
            lambda: interval_coverage(rollout(model, states, actions), np.zeros((4, 6, 2)), 2),
            ValueError,
            "level must be a number between 0 and 1, got 2",
        ),
        (lambda: model.equivariance_error(states, actions[:, 0], 3), TypeError, "symmetry must have group, got 3"),
    ]
    for call, kind, message in cases:
        with pytest.raises(kind, match=message):
            call()


def test_default_ensembles_take_some_thousands_of_steps():
    for n, batch, steps in ((2000, 64, 8000), (50_000, 128, 5000)):
        method = default_method(n)
        assert method.batch_size == batch
        assert 0.9 * steps < method.epochs * (n // batch) <= steps
    assert default_method(50).epochs == 300
    assert default_method(10_000_000, members=2).epochs == 10
