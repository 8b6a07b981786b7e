import re

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import rl

gymnasium = pytest.importorskip("gymnasium")

TABLE = rl.symmetries()
NAMED = [(row.environment, row.name, row.verdict) for row in TABLE.itertuples()]
# A rotation of the world is nearly exact only: contacts are pyramids.
EXACT = [(e, n) for e, n, v in NAMED if v.startswith("exact") and not rl.symmetry(e, n).rotation]
# Violations of a step's change that were measured on their own, for plain and for perturbed states.
APPROXIMATE = {
    ("HalfCheetah-v5", "leg-swap"): (0.32, 0.37),
    ("HalfCheetah-v5", "front-back"): (0.28, 0.36),
    ("HalfCheetah-v5", "front-back-swap"): (0.26, 0.30),
    ("Swimmer-v5", "front-back-shear"): (0.60, 0.62),
    ("Ant-v5", "legs-root-fixed"): (0.24, 0.34),
    ("Ant-v5", "legs-root-spin"): (0.24, 0.37),
    ("Humanoid-v5", "left-right"): (0.0082, 0.011),
    ("InvertedPendulum-v5", "mirror"): (0.0027, 0.0030),
}

THIRD = np.array([[-0.5, -(0.75**0.5)], [0.75**0.5, -0.5]])


@pytest.mark.parametrize(("env_id", "name"), EXACT)
def test_exact_symmetries_hold_in_the_simulator(env_id, name):
    found = rl.measure_symmetry(env_id, name, 40, seed=1)
    assert found.step < 1e-6
    assert found.null > 0.5
    if rl.symmetry(env_id, name).verdict == "exact":
        assert found.reward < 1e-6


@pytest.mark.parametrize(("env_id", "name"), APPROXIMATE)
def test_approximate_symmetries_are_as_far_off_as_they_were(env_id, name):
    low, high = APPROXIMATE[env_id, name]
    found = [rl.measure_symmetry(env_id, name, 150, perturbation=p, seed=0).step for p in (0.0, 0.2)]
    assert all(0.8 * low < f < 1.2 * high for f in found), found


@pytest.mark.parametrize(("env_id", "name"), [(e, n) for e, n, v in NAMED if v == "wrong"])
def test_misspecified_symmetries_are_wrong(env_id, name):
    assert rl.measure_symmetry(env_id, name, 60).step > 0.1


def test_nearly_exact_ones():
    assert rl.measure_symmetry("InvertedDoublePendulum-v5", n=60).step < 1e-6
    assert rl.measure_symmetry("Humanoid-v5", "world-rotation", 40).step < 0.03


@pytest.mark.parametrize(("env_id", "name"), [(e, n) for e, n, _ in NAMED])
def test_representations_are_those_of_the_tables(env_id, name):
    sym = rl.symmetry(env_id, name)
    state, action = sym.rep_state(sym.group), sym.rep_action(sym.group)
    assert (state.size, action.size) == (len(sym.state_names), len(sym.action_names))
    if sym.rotation:
        assert sym.order is None
        return
    for k, g in enumerate(sym.group.discrete_generators):
        np.testing.assert_allclose(state.rho(g), sym.state_generators[k], atol=1e-12)
        np.testing.assert_allclose(action.rho(g), sym.action_generators[k], atol=1e-12)
    s, a = sym.matrices()
    assert len(s) == len(a) == sym.order


def test_orders():
    order = {(r.environment, r.name): r.order for r in TABLE.itertuples()}
    assert order["Walker2d-v5", "left-right"] == "2"
    assert order["Ant-v5", "legs"] == "8"
    assert order["Ant-v5", "left-right-legs"] == "16"
    assert order["Humanoid-v5", "world-rotation"] == "SO(2)"


def test_a_network_of_the_package_takes_them():
    sym = rl.symmetry("Walker2d-v5")
    net = rpp.EMLP(sym.rep_state + sym.rep_action, sym.rep_state, sym.group, channels=8, layers=1)
    assert net.rep_in.size == 23
    subspace = rpp.subspaces.EquivariantSubspace(sym.rep_state(sym.group), sym.rep_action(sym.group))
    w = subspace.decode(np.random.default_rng(0).normal(size=subspace.rank))
    np.testing.assert_allclose(sym.action_generators[0] @ w, w @ sym.state_generators[0], atol=1e-10)


def test_small_observations():
    for env_id, size in (("Ant-v5", 27), ("Humanoid-v5", 45)):
        with rl.symmetry(env_id).make() as env:
            assert env.observation_space.shape == (size,)


class Point(gymnasium.Env):
    """A point on a line that is pulled to the right by `wind`."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    wind = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.normal(size=2)
        return self.state, {}

    def step(self, action):
        x, v = self.state
        v = v + 0.1 * (float(action[0]) + self.wind)
        self.state = np.array([x + 0.1 * v, v])
        return self.state, -(x**2), False, False, {}


def test_an_environment_and_tables_of_the_users_own():
    mirror = rl.Symmetry({"perm": [0, 1], "signs": [-1, -1]}, -np.eye(1), name="mirror")
    env = Point()

    def place(env, obs):
        env.state = np.array(obs)

    assert rl.measure_symmetry(env, mirror, 50, set_state=place).step < 1e-12
    env.wind = 1.0
    assert rl.measure_symmetry(env, mirror, 50, set_state=place).step > 0.1
    with pytest.raises(TypeError, match=r"Point has no MuJoCo simulator .* give set_state="):
        rl.measure_symmetry(env, mirror, 50)
    with pytest.raises(ValueError, match="env_id must be given to Symmetry for it to make an environment, got none"):
        mirror.make()
    with pytest.raises(ValueError, match=r"env_id must be one of Walker2d-v5, Hopper-v5,.*, got 'None'"):
        rl.measure_symmetry(env, "mirror")


def test_several_generators_and_rotations_of_the_users_own():
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    square = rl.Symmetry([quarter, np.diag([1.0, -1.0])], [np.eye(1), -np.eye(1)], name="square")
    assert square.order == 8
    turn = rl.Symmetry(quarter, np.zeros((1, 1)), rotation=True)
    s, a = turn.sample(5, seed=0)
    np.testing.assert_allclose(s @ s.transpose(0, 2, 1), np.broadcast_to(np.eye(2), (5, 2, 2)), atol=1e-12)
    assert (a == 1).all()
    assert rl.Symmetry(THIRD.astype(np.float32), np.eye(1)).order == 3
    trivial = rl.Symmetry.trivial(3, 2)
    assert trivial.order == 1
    assert trivial.rep_state(trivial.group).size == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rl.symmetry("Walker3d-v5"), "env_id must be one of Walker2d-v5, Hopper-v5, HalfCheetah-v5,"),
        (lambda: rl.symmetry("Walker2d-v5", "up"), "name must be one of left-right for Walker2d-v5, got 'up'"),
        (lambda: rl.Symmetry({"perm": [0, 0]}, np.eye(1)), "state['perm'] must be each of 0 to 1 once, got [0, 0]"),
        (
            lambda: rl.Symmetry({"perm": [1, 0], "signs": [1, 2]}, np.eye(1)),
            "state['signs'] must be 2 numbers 1 or -1, got [1.0, 2.0]",
        ),
        (
            lambda: rl.Symmetry({"permutation": [1, 0]}, np.eye(1)),
            "state must have the keys 'perm' and 'signs', got ['permutation']",
        ),
        (
            lambda: rl.Symmetry(np.eye(2), np.ones((1, 2))),
            "action must be finite square matrices (k, n, n) or one (n, n), got shape (1, 1, 2)",
        ),
        (lambda: rl.Symmetry([np.eye(2)] * 2, np.eye(1)), "action must have 2 generators, as state has, got 1"),
        (lambda: rl.Symmetry(np.zeros((2, 2)), np.eye(1)), "state has a singular matrix"),
        (
            lambda: rl.Symmetry(2 * np.eye(2), np.eye(1)),
            "generator 0 of state and action must have a power up to 200 that is the identity, got none",
        ),
        (
            lambda: rl.Symmetry([np.eye(6)[[1, 0, 2, 3, 4, 5]], np.roll(np.eye(6), 1, 0)], [np.eye(1)] * 2),
            "state and action must generate a group of at most 200 elements, got one of more",
        ),
        (
            lambda: rl.Symmetry([np.diag([1, -1]), [[0.6, 0.8], [0.8, -0.6]]], [np.eye(1)] * 2),
            "state and action must generate a group of at most 200 elements, got one of more",
        ),
        (
            lambda: rl.Symmetry(np.eye(2), np.eye(1), rotation=True),
            "state must be one generator of a rotation, a matrix A with exp(2 pi A) = 1",
        ),
        (lambda: rl.Symmetry("left", np.eye(1)), "state must be a table {'perm': [...], 'signs': [...]}, a square"),
        (lambda: rl.Symmetry(1j * np.eye(2), np.eye(1)), "state must be real, got complex numbers"),
        (
            lambda: rl.Symmetry(np.round(THIRD, 3), np.eye(1)),
            "(state, action)[0] must be exact, got a matrix that is off",
        ),
        (lambda: rl.measure_symmetry("Walker2d-v5", n=0), "n must be a whole number >= 1, got 0"),
        (
            lambda: rl.measure_symmetry("Walker2d-v5", perturbation=-1.0),
            "perturbation must be a standard deviation >= 0, got -1.0",
        ),
        (
            lambda: rl.measure_symmetry("Ant-v5", rl.Symmetry.trivial(105, 8)),
            "obs must have 14 to 29 numbers, as AntEnv has 15 positions and 14",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        call()


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="env must have observations of size 27, as 'left-right' has, got"):
        rl.measure_symmetry(gymnasium.make("Ant-v5"), rl.symmetry("Ant-v5"))


def test_without_gymnasium_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(ImportError, match=r"pip install 'bayes-rpp\[rl\]'"):
        rl.symmetry("Walker2d-v5").make()
