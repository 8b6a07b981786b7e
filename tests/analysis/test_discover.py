"""Symmetries that nobody named are found, named and ready for models; those that are not there are not."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import bayes_rpp as rpp
from bayes_rpp.analysis import symmetries_of
from bayes_rpp.analysis.discovery import networks
from bayes_rpp.symmetry.discovery.actions import column_actions, known_actions
from bayes_rpp.symmetry.discovery.algebra import bracket_defect
from bayes_rpp.symmetry.discovery.constrained import SLACK
from bayes_rpp.symmetry.discovery.softly import JITTER, Softly
from bayes_rpp.symmetry.discovery.spectrum import _residuals

V, S = rpp.Vector, rpp.Scalar
AXIS = np.array([0.6, 0.0, 0.8])


def about_axis(x):
    h, r = x @ AXIS, np.linalg.norm(x - np.outer(x @ AXIS, AXIS), axis=1)
    return np.sin(h)[:, None] * x + 0.5 * np.cross(AXIS, x) + np.outer(np.exp(-r), AXIS)


def radial(x):
    return x * np.exp(-(x**2).sum(axis=1, keepdims=True) / 4)


def neither(x):
    return np.stack([np.sin(x[:, 0]) + x[:, 1] ** 2 / 2, x[:, 0] * x[:, 2], np.cos(x[:, 1] + x[:, 2])], axis=1)


def interval(x):
    q = x[:, :1] ** 2 - (x[:, 1:] ** 2).sum(axis=1, keepdims=True)
    return np.tanh(q / 2) + 0.1 * q


def data(f, n, d, seed=0, noise=0.02):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = f(x)
    return x, y / y.std() + noise * rng.normal(size=y.shape)


def axis_error(found):
    """Degrees between the axis of the rotation that was found and the true one."""
    a = found.generators[0]
    axis = np.array([a[2, 1], a[0, 2], a[1, 0]])
    return np.degrees(np.arccos(min(1.0, abs(axis @ AXIS) / np.linalg.norm(axis))))


@pytest.mark.parametrize("known", [True, False], ids=["representations", "columns"])
def test_the_evidence_has_exact_derivatives(known):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(14, 3)), rng.normal(size=(14, 3)) + 1.0
    actions = known_actions(V, V, 3, None) if known else column_actions(3, 3)
    directions = np.linalg.qr(rng.normal(size=(len(actions), 2)))[0].T
    q = actions.kinds.max() + 1
    numbers = np.concatenate([0.3 * rng.normal(size=q) + 0.7, [0.3, -1.0, -2.0]])
    model = Softly(x, y, np.arange(6), actions, directions, numbers)
    moving = 0.3 * rng.normal(size=(4, *directions.shape))
    at = np.concatenate([numbers, 0.1 * rng.normal(size=4)])

    def value(t):
        turned = directions + np.tensordot(t[q + 3 :], moving, 1)
        return Softly(x, y, np.arange(6), actions, turned, t[: q + 3]).density(t[: q + 3])

    steps = 1e-5 * np.eye(len(at))
    numeric = [(value(at + s) - value(at - s)) / 2e-5 for s in steps]
    np.testing.assert_allclose(model._evidence(at, moving)[1], numeric, rtol=1e-4, atol=1e-4)


def test_the_evidence_is_that_of_the_whole_covariance():
    rng = np.random.default_rng(3)
    x, y, points = rng.normal(size=(12, 3)), rng.normal(size=(12, 3)), np.arange(5)
    directions = np.linalg.qr(rng.normal(size=(9, 2)))[0].T
    numbers = np.array([0.5, 0.2, -0.7, -1.5])
    model = Softly(x, y, points, known_actions(V, V, 3, None), directions, numbers)
    constraint, (a2, b2, noise2) = model.constraint(numbers, directions), np.exp(2 * numbers[-3:])
    cross = np.einsum("kbja,jnz->nakbz", constraint.loadings, constraint.cross(x / np.exp(0.5))).reshape(36, -1)
    own = constraint.joined(constraint.between(constraint), constraint) + SLACK**2 * np.eye(30)
    whole = np.kron(model.kernel(numbers), np.eye(3))
    c = (a2 + b2) * (whole + JITTER * np.eye(36)) + noise2 * np.eye(36) - a2 * cross @ np.linalg.solve(own, cross.T)
    middle, spread = model._prior()
    prior = -0.5 * (((numbers - middle) / spread) ** 2).sum()
    expected = multivariate_normal(np.zeros(36), c).logpdf(y.ravel()) + prior
    np.testing.assert_allclose(model.density(numbers), expected, rtol=1e-9)


def test_the_constraint_is_that_of_a_compact_groups_average():
    """With L_A f = 0 at enough points the covariance is nearly equivariant: K(gx, gx') = g K(x, x') g^T."""
    rng = np.random.default_rng(2)
    x, turn = rng.normal(size=(1, 2)), np.array([[0.0, -1.0], [1.0, 0.0]])
    z = rng.normal(size=(80, 2))
    actions = known_actions(V, V, 2, rpp.SO(2))
    both = np.concatenate([x, x @ turn.T, z])
    model = Softly(both, np.zeros((len(both), 2)), np.arange(len(both)), actions, np.eye(1), np.zeros(4))
    constraint = model.constraint(model.numbers, model.directions)
    cross = np.einsum("kbja,jnz->nakbz", constraint.loadings, constraint.cross(both / model.scales(model.numbers)))
    cross = cross.reshape(2 * len(both), -1)
    own = constraint.joined(constraint.between(constraint), constraint) + 1e-8 * np.eye(cross.shape[1])
    k = np.kron(model.kernel(model.numbers), np.eye(2)) - cross @ np.linalg.solve(own, cross.T)
    assert k[0, 0] > 0.05
    np.testing.assert_allclose(k[2:4, 2:4], turn @ k[:2, :2] @ turn.T, atol=2e-3)
    np.testing.assert_allclose(k[:2, 2:4], k[:2, :2] @ turn.T, atol=2e-3)


def test_rotation_about_an_axis():
    x, y = data(about_axis, 45, 3)
    found = rpp.discover_symmetry(x, y, rep_in=V, rep_out=V)
    assert found.dimension == 1
    assert axis_error(found) < 3
    assert found.is_exact
    assert "rotation about (0.6" in found.verdict
    assert found.spectrum.upper[0] < 0.05 < found.spectrum.lower[1]
    post = rpp.fit(rpp.GaussianProcess(V, V, found.group), x, y, rpp.MAP(), progress=False)
    assert post.equivariance_error(x[:20], group=found.group).mean() < 0.02


def test_the_whole_of_so3_within_it():
    x, y = data(radial, 40, 3)
    found = rpp.discover_symmetry(x, y, rep_in=V, rep_out=V, within=rpp.SO(3))
    assert found.dimension == 3
    assert found.group == rpp.O(3)  # of one vector, all functions of SO(3) have it
    assert [name for name, _, nats in found.discrete if nats == 0] == ["-1"]
    assert found.verdict.endswith("-1 (as every function of it has). The group is O(3).")
    assert found.probabilities[3] > 0.95


def test_boosts_which_no_average_reaches():
    x, y = data(interval, 100, 2)
    found = rpp.discover_symmetry(x, y, rep_in=V, rep_out=S)
    assert found.dimension == 1
    np.testing.assert_allclose(found.generators[0] / found.generators[0][0, 1], [[0, 1], [1, 0]], atol=0.05)
    assert found.group.name in str(rpp.EMLP(V, S, found.group, channels=8, layers=1))
    new, clean = data(interval, 300, 2, seed=1, noise=0.0)
    mean, std = found.predict(new)
    assert np.mean(np.abs(mean - clean) < 2 * std) > 0.9
    free = rpp.fit(rpp.GaussianProcess(V, S, rpp.Trivial(2)), x, y, rpp.MAP(), progress=False)
    assert np.abs(mean - clean).mean() < np.abs(free.predict(new).mean - clean).mean()
    with pytest.raises(ValueError, match="x must have 2 columns, got 3"):
        found.predict(np.zeros((1, 3)))


def test_none():
    x, y = data(neither, 30, 3)
    found = rpp.discover_symmetry(x, y, rep_in=V, rep_out=V, discrete=False)
    assert found.dimension == 0
    assert found.group == rpp.Trivial(3)
    assert found.verdict.startswith("No continuous symmetry")


def test_a_broken_rotation_is_near_and_its_axis_the_least_violated_one():
    def broken(x):
        return about_axis(x) + 0.2 * x[:, :1] ** 2 * np.array([0.0, 1.0, 0.0])

    x, y = data(broken, 100, 3)
    found = rpp.discover_symmetry(x, y, rep_in=V, rep_out=V, within=rpp.SO(3), discrete=False)
    assert found.dimension == 1
    assert not found.is_exact
    assert "nearly" in found.verdict
    assert found.spectrum.lower[0] > 0.01
    own = symmetries_of(broken, x, rep_in=V, rep_out=V, within=rpp.SO(3)).spectrum.directions[0]
    turned = abs((own * found.generators[0]).sum()) / np.linalg.norm(found.generators[0])
    assert np.degrees(np.arccos(min(1.0, turned))) < 3


def test_where_a_symmetry_is_rejected_its_model_still_says_how_far_it_is_broken():
    """A free fit says 0.25 to 0.38."""
    found = pytest.importorskip("benchmarks.discovery_calibration").one(0.2, 8)
    assert found["dimension"] == 0
    assert found["lower"] < found["true"] < found["upper"]


def test_the_residual_has_the_posterior_of_a_fine_grid():
    x, y = data(lambda x: about_axis(x) + 0.1 * x[:, :1] * x[:, 1:2], 40, 3)
    a = AXIS / np.linalg.norm(AXIS)
    turn = np.array([[0.0, -a[2], a[1]], [a[2], 0.0, -a[0]], [-a[1], a[0], 0.0]])
    actions = known_actions(V, V, 3, rpp.SO(3))
    direction = actions.coordinates(turn[None])
    numbers = np.array([0.7, 0.5, -2.0, -3.5])
    model = Softly(x, y, np.arange(40), actions, direction / np.linalg.norm(direction), numbers).fitted()
    assert model.numbers[-2] > -4  # peaked
    models, weights = _residuals(model)
    logs = np.array([m.numbers[-2] for m in models])
    fine = model.numbers[-2] + np.linspace(-1.5, 1.5, 41)
    density = np.array([model.density(np.r_[model.numbers[:-2], v, model.numbers[-1]]) for v in fine])
    density = np.exp(density - density.max()) / np.exp(density - density.max()).sum()
    mean, deviation = density @ fine, np.sqrt(density @ fine**2 - (density @ fine) ** 2)
    assert weights @ logs == pytest.approx(mean, abs=0.2 * deviation)
    assert np.sqrt(weights @ (logs - weights @ logs) ** 2) == pytest.approx(deviation, rel=0.3)


def test_bumps_that_few_data_let_look_nearly_symmetric_are_not():
    """Their own least violation is 0.28; a model with a rotation fills in between the data, and says 0.13."""
    rng = np.random.default_rng(4)
    axis = rng.normal(size=3)
    x = rng.normal(size=(100, 3))
    bumps = np.random.default_rng(abs(int(1e6 * axis[0] / np.linalg.norm(axis))))
    centers = 1.5 * bumps.normal(size=(6, 3))
    y = np.exp(-((x[:, None] - centers) ** 2).sum(axis=2) / 2) @ bumps.normal(size=(6, 1))
    y = y / y.std() + 0.02 * rng.normal(size=y.shape)
    assert rpp.discover_symmetry(x, y, rep_in=V, rep_out=S, within=rpp.SO(3), seed=4).dimension == 0


def test_columns_whose_representation_nobody_knows():
    """z -> z^2 turns by twice the angle."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    square = np.stack([x[:, 0] ** 2 - x[:, 1] ** 2, 2 * x[:, 0] * x[:, 1]], axis=1)
    y = square * (1 + np.sin((x**2).sum(axis=1, keepdims=True))) + 0.02 * rng.normal(size=(80, 2))
    found = rpp.discover_symmetry(x, y, columns=["u", "v"], targets=["p", "q"])
    assert found.dimension == 1
    a = found.generators[0]
    assert abs(a[2, 3] / a[0, 1]) == pytest.approx(2, abs=0.05)
    assert "twice" in found.verdict
    (_, mirror, nats), *others = found.discrete  # O(2)
    assert not others
    assert nats > 10
    assert np.linalg.det(mirror[:2, :2]) == np.linalg.det(mirror[2:, 2:]) == -1
    gp = rpp.GaussianProcess(found.rep_in, found.rep_out, found.group)
    assert gp.rep_in.size == gp.rep_out.size == 2


def test_directions_that_the_data_do_not_excite_are_unknown():
    """Points in a plane know of the rotation in it, and of no other."""
    x, y = data(lambda x: radial(x * [1.0, 1.0, 0.0]), 40, 3)
    x[:, 2] = y[:, 2] = 0.0
    found = rpp.discover_symmetry(x, y, rep_in=V, rep_out=V, discrete=False)
    assert found.dimension == 1
    np.testing.assert_allclose(found.generators[0, 2], 0, atol=1e-9)
    assert found.spectrum.is_known.sum() == 4
    assert any("say nothing" in d for d in found.doubts)


def test_discrete_symmetries_of_columns_without_a_continuous_one():
    x, y = data(lambda x: (np.cos(x[:, 0]) + np.sin(x[:, 1] + 0.5 * x[:, 0] ** 2))[:, None], 45, 2)
    found = rpp.discover_symmetry(x, y, columns=["u", "v"])
    assert found.dimension == 0
    assert found.names == ["y is even in u"]
    assert "Of discrete ones there is: y is even in u" in found.verdict
    np.testing.assert_array_equal(found.group.discrete_generators, [np.diag([-1.0, 1, 1])])
    post = rpp.fit(rpp.GaussianProcess(found.rep_in, found.rep_out, found.group, sigma_b=0.0), x, y, rpp.MAP())
    np.testing.assert_allclose(post.predict(x * [-1, 1]).mean, post.predict(x).mean, atol=1e-6)


def test_a_symmetry_of_small_turns_alone_is_doubted():
    rng = np.random.default_rng(0)
    x = np.array([3.0, 0.0]) + 0.3 * rng.normal(size=(60, 2))
    y = np.sin(2 * np.linalg.norm(x, axis=1)) + 0.02 * rng.normal(size=60)
    found = rpp.discover_symmetry(x, y, rep_in=V, rep_out=S, within=rpp.SO(2), discrete=False)
    assert found.dimension == 1
    assert any("it is seen for small turns" in d for d in found.doubts)


def test_networks_see_all_examples_and_functions_judge(monkeypatch):
    monkeypatch.setattr(networks, "STEPS", 400)
    monkeypatch.setattr(networks, "EPOCHS", (20, 60))
    monkeypatch.setattr(networks, "CHANNELS", 32)
    monkeypatch.setattr(networks, "MANY", (150, 100))
    monkeypatch.setattr(networks, "CLOSE", (150, 150))
    x, y = data(lambda x: np.sin((x**2).sum(axis=1, keepdims=True) / 2), 400, 2)
    found = rpp.discover_symmetry(x, y, rep_in=V, rep_out=S, model="networks", discrete=False)
    assert found.names[0].startswith("rotation in the plane of columns 1 and 2")
    assert found.group == rpp.SO(2)
    assert found.networks.dimension in (0, 1)
    assert "All 400 examples were looked at by networks" in found.verdict
    post = rpp.fit(rpp.GaussianProcess(V, S, rpp.Trivial(2)), x[:60], y[:60], rpp.MAP(), progress=False)
    again = rpp.discover_symmetry(x[:60], y[:60], rep_in=V, rep_out=S, model=post, discrete=False)
    assert again.group == rpp.SO(2)


def test_few_numbers_are_for_functions_and_many_for_networks():
    none = {"to_x": lambda x: x, "to_y": lambda y: y, "engine": None, "seed": 0}
    assert networks.outputs_of("auto", np.zeros((3000, 2)), np.zeros((3000, 1)), **none) is None
    with pytest.raises(TypeError, match=r"model must be 'auto', .* a model or a posterior, got a int"):
        networks.outputs_of(3, np.zeros((3000, 2)), np.zeros((3000, 1)), **none)


def test_symmetries_of_functions_and_posteriors():
    x = np.random.default_rng(0).normal(size=(60, 3))
    found = symmetries_of(radial, x, rep_in=V, rep_out=V)
    assert found.dimension == 3
    assert found.group == rpp.SO(3)
    assert symmetries_of(neither, x, rep_in="Vector", rep_out="Vector").dimension == 0
    net = rpp.EMLP(V, V, rpp.SO(3), channels=24, layers=2)
    post = rpp.fit(rpp.Model(net, sigma_b=0.0), x, radial(x), rpp.MAP(epochs=300), progress=False)
    of_network = post.symmetries(x)
    assert of_network.dimension == 3
    assert bracket_defect(of_network.generators) < 1e-9
    gp = rpp.fit(rpp.GaussianProcess(V, V, rpp.SO(3), sigma_b=0.0), x, radial(x), rpp.MAP(), progress=False)
    assert gp.symmetries(x).dimension == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rep_out": None}, "rep_out must be given where rep_in is"),
        ({"rep_in": 2 * V}, "rep_in and rep_out must fit the 3 columns"),
        ({"within": rpp.S(3)}, "within must have a Lie algebra"),
        ({"within": rpp.SO(2)}, "rep_in and rep_out must fit"),
        ({"within": "SO(2)"}, "rep_in and rep_out must fit"),
        ({"within": [rpp.SO(3)]}, "within must be a Group, got .*; SO"),
        ({"rep_in": "Vektor"}, "rep_in: 'Vektor' in 'Vektor' is not understood"),
        ({"rep_in": V(rpp.SO(3))}, "rep_in must be of any group, got .*; Vector would do"),
        ({"rep_out": 3}, "rep_out must be a representation, got 3"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"y": np.ones((20, 3))}, "y must differ from example to example"),
        ({"rep_in": None, "rep_out": None, "within": rpp.SO(3)}, "within must be None"),
        ({"draws": 3}, "draws must be"),
        ({"model": "trees"}, "model must be one of 'auto', 'functions', 'networks', or a model"),
        ({"y": np.zeros((9, 3))}, "y must have 20 examples"),
        ({"x": np.full((20, 3), np.nan)}, "x must"),
        ({"x": np.zeros((5, 3)), "y": np.zeros((5, 3))}, "x must have at least 10 examples"),
    ],
)
def test_bad_input(changes, message):
    x, y = data(radial, 20, 3)
    arguments = {"x": x, "y": y, "rep_in": V, "rep_out": V} | changes
    with pytest.raises((TypeError, ValueError), match=message):
        rpp.discover_symmetry(arguments.pop("x"), arguments.pop("y"), **arguments)


def test_the_cone_of_a_least_violated_direction_needs_no_peak_of_the_evidence():
    rng = np.random.default_rng(1)
    x, y, direction = rng.normal(size=(14, 3)), rng.normal(size=(14, 3)), np.eye(3)[:1]
    actions = known_actions(V, V, 3, rpp.SO(3))
    model = Softly(x, y, np.arange(6), actions, direction, np.array([0.5, 0.0, 0.0, -1.0]), scatter=1e-3 * np.eye(3))
    assert model.uncertainty(np.eye(3)[1:, None]).max() < 0.11
