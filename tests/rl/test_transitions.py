"""Transitions by episode: cut, divided, kept in files, and collected from an agent."""

import numpy as np
import pytest

from bayes_rpp import rl
from bayes_rpp.rl.transitions import Transitions, collect_transitions


def line(lengths, d=2, a=1, seed=0):
    """Episodes of a state that moves by the action: s' = s + a on every column."""
    rng = np.random.default_rng(seed)
    parts = []
    for n in lengths:
        actions = rng.normal(size=(n, a))
        states = rng.normal(size=d) + np.concatenate([np.zeros((1, 1)), np.cumsum(actions[:, :1], axis=0)])
        parts.append((states[:-1], actions, states[1:], np.arange(n) == n - 1))
    return Transitions(*(np.concatenate(p) for p in zip(*parts, strict=True)), "line")


def test_episodes_are_counted_and_the_last_one_ends():
    t = line([3, 2])
    assert t.episodes.tolist() == [0, 0, 0, 1, 1]
    cut = Transitions(t.states[:4], t.actions[:4], t.next_states[:4], t.ends[:4])
    assert cut.ends.tolist() == [False, False, True, True]
    assert np.allclose(t.changes, t.actions)
    assert t.x.shape == (5, 3)


def test_windows_are_trajectories():
    t = line([7, 2, 5])
    states, actions = t.windows(3)
    assert states.shape == (3, 4, 2)  # two of the first episode, one of the last
    assert np.allclose(states[:, 1:] - states[:, :-1], actions)
    assert np.allclose(states[:, 0], t.states[[0, 3, 9]])
    assert len(t.windows(3, every=1)[0]) == 5 + 3
    with pytest.raises(ValueError, match="steps must be at most 7, as long as the longest episode is, got 8"):
        t.windows(8)


def test_split_keeps_episodes_whole():
    t = line([10] * 20)
    parts = t.split(0.2, 0.1, seed=3)
    assert [len(p) for p in parts] == [140, 40, 20]
    firsts = [{tuple(row) for row in p.states} for p in parts]
    assert not any(firsts[i] & firsts[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    assert all((np.bincount(p.episodes) == 10).all() for p in parts)
    again, other = t.split(0.2, 0.1, seed=3), t.split(0.2, 0.1, seed=4)
    assert np.array_equal(again[2].states, parts[2].states)
    assert not np.array_equal(other[2].states, parts[2].states)
    with pytest.raises(ValueError, match="2 episode"):
        line([5, 5]).split()


def test_taken_rows_stay_trajectories_where_they_follow_one_another():
    t = line([6, 4]).take([0, 1, 3, 6, 7])
    assert t.ends.tolist() == [False, True, True, False, True]
    assert len(line([50]).sample(20, seed=1)) == 20
    for rows in ([0, 0], [-1], [10], [], [0.5]):
        with pytest.raises(ValueError, match="rows must be different whole numbers from 0 to 9, got"):
            line([6, 4]).take(rows)


def test_files(tmp_path):
    t = line([4, 3])
    again = Transitions.load(t.save(tmp_path / "here" / "t.npz"))
    assert again.environment == "line"
    assert all(np.array_equal(getattr(again, k), getattr(t, k)) for k in ("states", "actions", "next_states", "ends"))
    (tmp_path / "half.npz").write_bytes((tmp_path / "here" / "t.npz").read_bytes()[:300])
    (tmp_path / "text.npz").write_text("no transitions")
    for name in ("half", "text"):
        with pytest.raises(ValueError, match="cannot be read"):
            Transitions.load(tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError):
        Transitions.load(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": np.zeros((4, 1))}, "actions must have 5 rows, as states has, got 4"),
        ({"next_states": np.zeros((5, 3))}, "next_states must have 2 columns, as states, got 3"),
        ({"states": np.full((5, 2), np.nan)}, "states must be finite, got NaN or infinite values in 5 of 5 rows"),
        ({"ends": np.zeros(5)}, r"ends must be a True or False for each row, got float64 of shape \(5,\)"),
        (
            {"ends": np.array([False, False, False, False, True])},
            r"next_states\[2\] must be states\[3\] where ends\[2\] is False, got another",
        ),
    ],
)
def test_bad_input(change, message):
    t = line([3, 2])
    given = {k: getattr(t, k) for k in ("states", "actions", "next_states", "ends")}
    with pytest.raises((TypeError, ValueError), match=message):
        Transitions(**given | change)


def test_bad_settings_of_the_collection():
    pytest.importorskip("stable_baselines3")
    for arguments, message in (
        (("Pendulum-v1", 0), "n must be a whole number >= 1, got 0"),
        ((3, 100), "environment must be a Symmetry or an id, got 3"),
        (("NoSuchThing-v1", 100), "environment must be one that Gymnasium can make, got"),
        (("CartPole-v1", 100), "vectors of real numbers"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            collect_transitions(*arguments)


def test_a_small_collection(tmp_path):
    pytest.importorskip("stable_baselines3")
    gymnasium = pytest.importorskip("gymnasium")
    t = collect_transitions("Pendulum-v1", 300, seed=1, cache=tmp_path)
    assert np.bincount(t.episodes).tolist() == [200, 100]
    # Actions are in the environment's units: the simulator answers them as the agent saw.
    assert 1 < np.abs(t.actions).max() <= 2
    env = gymnasium.make("Pendulum-v1").unwrapped
    env.reset()
    for k in (0, 150, 250):
        cos, sin, speed = t.states[k]
        env.state = np.array([np.arctan2(sin, cos), speed])
        assert np.allclose(env.step(t.actions[k].astype(np.float32))[0], t.next_states[k], atol=1e-5)
    file = next(tmp_path.iterdir())
    before = file.stat().st_mtime_ns
    again = collect_transitions("Pendulum-v1", 300, seed=1, cache=tmp_path)
    assert np.array_equal(again.states, t.states)
    assert file.stat().st_mtime_ns == before
    line([300], d=3).save(file)
    assert collect_transitions("Pendulum-v1", 300, seed=1, cache=tmp_path).environment == "line"
    line([299], d=3).save(file)
    with pytest.raises(ValueError, match="removing the file would do"):
        collect_transitions("Pendulum-v1", 300, seed=1, cache=tmp_path)


@pytest.mark.slow
def test_collections_of_mujoco():
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("mujoco")
    for env, d, a in ((rl.symmetry("Hopper-v5"), 11, 3), ("InvertedDoublePendulum-v5", 9, 1)):
        t = collect_transitions(env, 2000)
        assert t.states.shape == (2000, d)
        assert t.actions.shape == (2000, a)
        assert [len(p) > 100 for p in t.split()] == [True] * 3
        t.windows(5)
