"""Table 3 by one command, small here: what it writes, and that stopped ones go on."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayes_rpp.cli import app
from bayes_rpp.reproduce import table3

for needed in ("stable_baselines3", "mujoco"):
    pytest.importorskip(needed)


def call(*arguments):
    return CliRunner().invoke(app, ["reproduce", "table3", *map(str, arguments)])


def fake(trial):
    """A row as a fit would give it: arms differ by a factor, seeds by another."""
    if len(fake.done) == fake.stop:
        raise KeyboardInterrupt
    fake.done.append(trial.key)
    error = 0.1 * 2.0 ** table3.ARMS.index(trial.arm) * (1 + trial.seed)
    row = dict(zip(table3.KEY, trial.key, strict=True)) | {"examples": trial.transitions, "seconds": 1.0}
    if trial.arm == "strict" and trial.seed == 1:  # diverged
        return row
    errors = {f"{metric}_{h}": error * h / 100 for metric in ("all", "reference") for h in trial.horizons}
    before, after = (dict.fromkeys(table3.TIMES, share) for share in (0.5, 0.9))
    return row | errors | {
        "one_step": 0.1, "equivariance_error": 0.01, "coverage": json.dumps(before),
        "recalibrated": json.dumps(after), "sigmas": "{}", "rollouts": 7,
    }  # fmt: skip


@pytest.fixture
def fakes(monkeypatch):
    fake.done, fake.stop = [], -1
    monkeypatch.setattr(table3, "run_trial", fake)
    monkeypatch.setattr(table3, "collected", lambda trial: None)
    return fake


def test_a_stopped_run_goes_on(fakes, tmp_path):
    options = ("--environment", "Hopper-v5", "--trials", 2, "--transitions", 100, "--jobs", 1, "--out", tmp_path)
    fakes.stop = 3
    assert call(*options).exit_code != 0
    assert len(fakes.done) == 3
    fakes.stop = -1
    result = call(*options)
    assert result.exit_code == 0, result.output
    assert len(fakes.done) == len(set(fakes.done)) == 10
    # Another number in the same folder: what is done stays.
    result = call(*options, "--transitions", 50)
    assert result.exit_code == 0, result.output
    assert len(fakes.done) == 20
    table = pd.read_csv(tmp_path / "table3.csv")
    assert table["transitions"].tolist() == [50] * 5 + [100] * 5
    first = table.set_index("arm").iloc[:5]
    assert first.loc["MLP", "100 steps, %"] == "15 (10 to 20)"
    assert first.loc["RPP", "over MLP's, 100 steps"] == "8 (8 to 8)"
    assert first.loc["strict", "100 steps, %"] == "inf (160 to inf)"
    assert first.loc["MLP", "paper"] == 9.8
    shares = pd.read_csv(tmp_path / "table3-coverage.csv")
    assert (shares["ensemble"] == 0.5).all()
    assert (shares["recalibrated"] == 0.9).all()
    assert (tmp_path / "table3.png").stat().st_size > 10_000
    assert (tmp_path / "table3-coverage.png").stat().st_size > 10_000
    text = (tmp_path / "table3.md").read_text()
    assert "0.50 -> 0.90" in text
    result = call(*options, "--members", 5)
    assert result.exit_code == 2
    assert "with members 3; another folder" in result.output


def test_small_trials(tmp_path):
    """The real thing: a short collection, four fits, rollouts."""
    result = call("--quick", "--environment", "Hopper-v5", "--trials", 1, "--engine", "pyro", "--jobs", 1,
                  "--members", 2, "--out", tmp_path)  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = pd.read_csv(tmp_path / "trials.csv").set_index("arm")
    assert list(rows.index) == list(table3.ARMS)
    assert (rows["examples"] == 200).all()
    assert rows.loc["strict", "equivariance_error"] < 1e-5
    assert (rows.loc[["MLP", "wide MLP", "two pathways", "RPP"], "equivariance_error"] > 1e-3).all()
    assert set(json.loads(rows.loc["RPP", "sigmas"])) == {
        "noise", "sigma_b.layers.0", "sigma_b.layers.1", "sigma_b.output"
    }  # fmt: skip
    assert set(json.loads(rows.loc["two pathways", "sigmas"])) == {
        "noise", "sigma_a.residual.layers.0", "sigma_a.residual.layers.1", "sigma_a.residual.output"
    }  # fmt: skip
    assert "mirrored_5" not in rows  # it is no symmetry of the hopper's
    errors = rows[["all_5", "all_10", "all_20"]].to_numpy()
    assert ((errors > 0) & (errors <= 1)).all()
    assert (rows["reference_5"] < rows["all_5"]).all()


def test_a_strict_model_does_as_well_on_mirrored_trajectories(tmp_path):
    settings = {"members": 2, "epochs": 1, "engine": "pyro", "folder": tmp_path}
    rows = [table3.run_trial(t) for t in table3.trials(["Walker2d-v5"], [100], 1, True, **settings)]
    errors = {row["arm"]: (row["all_10"], row["mirrored_10"]) for row in rows if row["arm"] in ("MLP", "strict")}
    assert errors["strict"][0] == pytest.approx(errors["strict"][1], rel=1e-3)
    assert errors["MLP"][0] != pytest.approx(errors["MLP"][1], rel=1e-3)


def test_trials_come_smallest_and_first_seed_first():
    settings = {"members": 2, "epochs": 1, "engine": "pyro", "folder": None}
    todo = table3.trials(["a", "b"], [9, 5], 2, False, **settings)
    assert [t.key for t in todo[:11]] == [
        (name, 5, arm, seed) for seed, name in ((0, "a"), (0, "b")) for arm in table3.ARMS
    ] + [("a", 5, "MLP", 1)]
    assert np.unique([t.transitions for t in todo[20:]]).tolist() == [9]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--environment", "Ant-v5"), "environment must be one of Swimmer-v5, Hopper-v5, Walker2d-v5, got 'Ant-v5'"),
        (("--members", 1), "members must be 2 or more for the spread of rollouts, got 1"),
        (("--transitions", 0), "transitions must be a whole number >= 1, got 0"),
        (("--arm", "RPP"), "arm must be left out of table3, which has none, got ['RPP']"),
        (("--steps", 3), "steps must be left out of table3, which has none, got 3"),
    ],
)
def test_bad_options(options, message, tmp_path):
    result = call(*options, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.output
