"""Figure 5 and Table 2 by one command, small ones here."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
pytest.importorskip("sbx")

from typer.testing import CliRunner

from bayes_rpp import rl
from bayes_rpp.cli import app
from bayes_rpp.reproduce import figure5
from bayes_rpp.rl.curves import Curve


def call(*arguments):
    return CliRunner().invoke(app, ["reproduce", *map(str, arguments)])


def fake(trial):
    """A row as a training would give it: the arms differ by 10 and a little, the seeds by 100."""
    fake.done.append(trial.key)
    if len(fake.done) == fake.stop:
        raise KeyboardInterrupt
    level = 100.0 * trial.seed + 10.0 * figure5.ARMS.index(trial.arm) + (trial.seed % 2)
    row = dict(zip(figure5.KEY, trial.key, strict=True))
    rate = trial.rate or trial.task.rate
    errors = {"step": [100, 600, 700], "policy": [0.4, 0.1, 0.3], "critic": [0.2, 0.0, 0.1]}
    values = np.linspace(0.0, 2 * level, figure5.POINTS)
    return row | {
        "steps": trial.task.steps,
        "learning_rate": rate,
        "area": level,
        "final": 2 * level,
        "episodes": 3,
        "policy_error": 0.2,
        "largest_policy_error": 0.25 + trial.seed / 100,
        "seconds": 1.2 if trial.arm == "RPP" else 1.0,
        "curve": json.dumps(values.tolist()),
        "errors": json.dumps(errors),
    }


@pytest.fixture
def fakes(monkeypatch):
    fake.done, fake.stop = [], -1
    monkeypatch.setattr(figure5, "run_trial", fake)
    return fake


def test_curves_are_means_of_the_episodes_that_ended():
    curve = Curve(np.array([10, 20, 90]), np.array([1.0, 3.0, 7.0]), 0.0)
    np.testing.assert_array_equal(curve.at(np.array([5, 10, 20, 39, 100]), 30), [1.0, 1.0, 2.0, 2.0, 7.0])
    np.testing.assert_array_equal(curve.at(np.array([80]), 30), [3.0])  # none ended lately: the last one
    together = Curve(np.array([10, 20, 20]), np.array([1.0, 3.0, 5.0]), 0.0)
    np.testing.assert_array_equal(together.at(np.array([80]), 30), [4.0])
    assert np.isnan(Curve(np.zeros(0, int), np.zeros(0), 0.0).at(np.array([1]), 1)).all()


def test_tables_curves_and_paired_differences(fakes, tmp_path):
    result = call("fig5", "--environment", "double-pendulum", "--trials", 4, "--jobs", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert len(fakes.done) == 16
    table = pd.read_csv(tmp_path / "fig5.csv").set_index("arm")
    assert table.loc["SAC", "RPP's area less it"] == "+20 [+20, +20]"
    assert table.loc["SAC", "area"].startswith("150.5 ± ")
    long = pd.read_csv(tmp_path / "fig5-curves.csv")
    assert len(long) == 16 * figure5.POINTS
    assert table["at most"].tolist() == [0.28] * 4
    assert table["time of a step"].tolist() == [1.0, 1.0, 1.2, 1.0]
    errors = pd.read_csv(tmp_path / "fig5-errors.csv")
    assert len(errors) == 16 * 3
    assert errors["policy"].max() == 0.4
    assert long["step"].max() == figure5.TASKS["double-pendulum"].steps
    assert (tmp_path / "fig5.png").stat().st_size > 10_000
    assert "| double-pendulum | strict | 4 |" in (tmp_path / "fig5.md").read_text()


def test_intervals_are_those_of_student():
    areas = pd.DataFrame({"RPP": [3.0, 5.0, 4.0], "SAC": [1.0, 2.0, 3.0]})
    assert figure5.difference(areas, "RPP", "SAC") == "+2 [-0.484, +4.48]"  # 2 ± 4.303 / sqrt(3)
    assert figure5.difference(areas[:1], "RPP", "SAC") == "+2"


def test_a_stopped_run_goes_on(fakes, tmp_path, monkeypatch):
    fakes.stop = 3
    options = ("fig5", "--environment", "swimmer", "--arm", "SAC", "--arm", "RPP", "--jobs", 1, "--out", tmp_path)
    assert call(*options, "--trials", 2).exit_code != 0
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 2
    fakes.stop = -1
    assert call(*options, "--trials", 2).exit_code == 0
    assert len(fakes.done) == 5
    assert call(*options, "--trials", 3).exit_code == 0
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 6
    refused = call(*options, "--steps", 77)
    assert refused.exit_code == 2
    assert "with steps None; another folder, the same options" in refused.output
    other = figure5.TASKS["swimmer"]
    monkeypatch.setitem(figure5.TASKS, "swimmer", dataclasses.replace(other, rate=1e-3))
    assert "with settings " in call(*options, "--trials", 3).output


@pytest.fixture
def optimised():
    """XLA with its optimisations: without them and the fusion emitters SBX's loop of gradient steps becomes NaN."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def test_small_trainings(optimised, tmp_path):
    options = ("--quick", "--gradient-steps", 1, "--trials", 1, "--jobs", 1)
    result = call("fig5", "--environment", "hopper", *options, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    rows = pd.read_csv(tmp_path / "trials.csv")
    assert rows["area"].between(1, 1000).all()
    assert (rows["episodes"] > 5).all()
    assert (rows["gradient_steps"] == 1).all()
    assert list(rows["arm"]) == list(figure5.ARMS)
    errors = pd.read_csv(tmp_path / "fig5-errors.csv").set_index("arm")[["policy", "critic"]]
    assert np.isfinite(errors).all(axis=None)
    assert (errors.loc[["strict", "RPP"]] < 1e-5).all(axis=None)  # closed: 300 steps are before the first look
    assert (errors.loc["SAC"] > 0.01).all(axis=None)


@pytest.mark.parametrize(
    ("broken", "plain"),
    [("tilted-double-pendulum", "double-pendulum"), ("tilted-swimmer", "swimmer"), ("lame-walker2d", "walker2d"),
     ("tilted-ant", "ant")],
)  # fmt: skip
def test_symmetries_are_broken_by_gravity_or_a_weaker_leg(broken, plain):
    tasks = figure5.TASKS[broken], figure5.TASKS[plain]
    found, exact = (rl.measure_symmetry(t.make(), rl.symmetry(t.env_id), 20).step for t in tasks)
    assert exact < 1e-6
    assert 0.01 < found < 1.0


def test_table_2(tmp_path):
    result = call(
        "table2", "--environment", "Walker2d-v5", "--environment", "Hopper-v5", "--trials", 20, "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "table2.csv").set_index("environment")
    assert table.loc["Walker2d-v5", "step, perturbed"] < 1e-6
    assert table.loc["Hopper-v5", "step, perturbed"] > 1
    assert "| Walker2d-v5 | left-right | 2 | exact |" in (tmp_path / "table2.md").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("fig5", "--environment", "pendulum"),
            "environment must be one of double-pendulum, tilted-double-pendulum, swimmer, tilted-swimmer, walker2d",
        ),
        (("fig5", "--arm", "PPO"), "arm must be one of SAC, two pathways, RPP, strict, got 'PPO'"),
        (("fig5", "--steps", 0), "steps must be a whole number >= 1, got 0"),
        (("fig5", "--gradient-steps", 0), "gradient-steps must be a whole number >= 1, got 0"),
        (("fig5", "--learning-rate", 2), "learning-rate must be a number between 0 and 1, got 2.0"),
        (("fig5", "--first-seed", -1), "first-seed must be a whole number >= 0, got -1"),
        (("fig5", "--setting", "inertia"), "setting must be left out of fig5, which has none, got ['inertia']"),
        (("fig2", "--steps", 3), "steps must be left out of fig2, which has none, got 3"),
        (("table2", "--environment", "Walker"), "env_id must be one of Walker2d-v5, Hopper-v5, HalfCheetah-v5"),
    ],
)
def test_bad_options_are_named(options, said, tmp_path):
    result = call(*options, "--out", tmp_path)
    assert result.exit_code == 2
    assert said in result.output
