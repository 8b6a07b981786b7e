"""The paper's experiments by one command, small ones here: what they write, and that stopped ones go on."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayes_rpp as rpp
from bayes_rpp.cli import app
from bayes_rpp.reproduce import figure2, trials
from bayes_rpp.reproduce.settings import METHODS, NOISE, SETTINGS
from bayes_rpp.reproduce.trials import Table, run_trial


def call(*arguments):
    return CliRunner().invoke(app, ["reproduce", *map(str, arguments)])


def fake(trial):
    """A row as a fit would give it."""
    if fake.left == 0:
        raise KeyboardInterrupt
    fake.left -= 1
    fake.done.append(trial.key)
    mse = {"RPP": 0.2, "RPP, learned": 0.1, "EMLP": 0.3, "MLP": 3.0}[trial.method] * (1 + trial.seed)
    row = dict(zip(("setting", "method", "trial"), trial.key, strict=True))
    return row | {
        "mse": mse,
        "training_mse": mse / 2,
        "equivariance_error": 0.01,
        "sigma_b": "0.1",
        "epochs": trial.epochs,
        "seconds": 1.0,
    }


@pytest.fixture
def fakes(monkeypatch):
    fake.left, fake.done = -1, []
    monkeypatch.setattr(trials, "run_trial", fake)
    return fake


def test_every_setting_has_a_model_for_every_method():
    for setting in SETTINGS.values():
        small = setting.quick()
        data = small.data(0)
        for method in METHODS:
            model = small.model(method, data)
            assert model.net.rep_in.size == data.x.shape[1]
            assert model.net.rep_out.size == data.y.shape[1]
            assert model.likelihood.noise == pytest.approx(NOISE * np.sqrt((data.y**2).mean()), rel=1e-5)
            assert model.infers_sigmas == (method == "RPP, learned")
    assert SETTINGS["misspecified-inertia"].data(0).group.name == rpp.SL(3).name
    assert SETTINGS["misspecified-pendulum"].data(0).group.name == rpp.SO(3).name


def test_learned_is_one_setting_for_all():
    models = [s.quick().model("RPP, learned", s.quick().data(0)) for s in SETTINGS.values()]
    assert {json.dumps({k: p.config() for k, p in m.latents.items()}) for m in models} == {
        json.dumps({k: p.config() for k, p in models[0].latents.items()})
    }


def test_a_trial_tests_on_data_it_has_not_seen():
    setting = SETTINGS["inertia"].quick()
    row = run_trial(trials.Trial(setting, "MLP", 0, 30, "numpyro"))
    assert 0 < row["training_mse"] < row["mse"]
    assert 0 < row["equivariance_error"] < 1
    again = run_trial(trials.Trial(setting, "MLP", 0, 30, "numpyro"))
    assert again["mse"] == row["mse"]


def test_the_pendulum_with_a_learned_prior():
    setting = SETTINGS["windy-pendulum"].quick()
    row = run_trial(trials.Trial(setting, "RPP, learned", 0, 2, "pyro"))
    assert set(json.loads(row["sigma_b"])) == {"layers.0", "output"}
    assert 0 < row["mse"] < 1
    assert 0 < row["equivariance_error"] < 0.1


def test_a_fit_that_diverges_is_a_row(monkeypatch):
    def diverges(*_, **__):
        raise rpp.inference.TrainingError("the loss became nan", None)

    monkeypatch.setattr(trials, "fit", diverges)
    row = run_trial(trials.Trial(SETTINGS["inertia"].quick(), "EMLP", 1, 2, "numpyro"))
    assert np.isnan(row["mse"])
    assert (row["method"], row["trial"], row["epochs"]) == ("EMLP", 1, 2)


def test_figure_2_writes_tables_and_a_picture(fakes, tmp_path):
    result = call(
        "fig2", "--trials", 3, "--setting", "modified-inertia", "--setting", "inertia", "--jobs", 1, "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    assert len(fakes.done) == 3 * 2 * len(METHODS)
    table = pd.read_csv(tmp_path / "fig2.csv")
    line = table[(table["setting"] == "inertia") & (table["method"] == "RPP")].iloc[0]
    assert line["test MSE, median"] == 0.4
    assert line["range"] == "0.2 to 0.6"
    assert (line["paper"], line["authors' code"]) == (0.27, 0.38)
    assert list(table["setting"].unique()) == ["modified inertia", "inertia"]
    found = xr.load_dataset(tmp_path / "fig2.nc", engine="h5netcdf")
    assert float(found["mse"].sel(setting="inertia", model="MLP", trial=2)) == 9.0
    assert (tmp_path / "fig2.png").stat().st_size > 10_000


def test_a_stopped_run_goes_on(fakes, tmp_path):
    fakes.left = 3
    options = ("fig2", "--trials", 2, "--setting", "inertia", "--jobs", 1, "--out", tmp_path)
    assert call(*options).exit_code != 0
    first = list(fakes.done)
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 3
    fakes.left = -1
    assert call(*options).exit_code == 0
    assert len(fakes.done) == len(set(fakes.done)) == 8
    assert fakes.done[:3] == first
    # More trials take up those that are done; fewer show only their own.
    assert call(*options[:2], 3, *options[3:]).exit_code == 0
    assert len(fakes.done) == len(set(fakes.done)) == 12
    assert call(*options[:2], 1, *options[3:]).exit_code == 0
    assert (pd.read_csv(tmp_path / "fig2.csv")["trials"] == 1).all()
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 12
    assert call(*options, "--no-resume").exit_code == 0
    assert len(fakes.done) == 20


def test_another_run_is_not_taken_up(fakes, tmp_path):
    options = ("fig2", "--trials", 1, "--setting", "inertia", "--jobs", 1, "--out", tmp_path)
    assert call(*options, "--epochs", 3).exit_code == 0
    result = call(*options, "--epochs", 4)
    assert result.exit_code == 2
    assert "with epochs 3; another folder" in result.output
    assert "--no-resume" in result.output


def test_what_is_begun_anew_leaves_nothing_of_before(fakes, tmp_path):
    options = ("fig2", "--trials", 1, "--setting", "inertia", "--jobs", 1, "--out", tmp_path)
    assert call(*options, "--epochs", 3).exit_code == 0
    fakes.left = 0
    assert call(*options, "--epochs", 4, "--no-resume").exit_code != 0
    fakes.left = -1
    assert call(*options, "--epochs", 4).exit_code == 0
    assert set(pd.read_csv(tmp_path / "trials.csv")["epochs"]) == {4}
    result = call("fig3-right", "--out", tmp_path)
    assert result.exit_code == 2
    assert "figure fig2" in result.output


def test_workers_give_the_rows_of_this_process(tmp_path):
    todo = [trials.Trial(SETTINGS["inertia"].quick(), "MLP", seed, 2, "numpyro") for seed in range(2)]
    table = Table(tmp_path, {}, resume=True)
    rows = sorted(trials.run(todo, table, jobs=2), key=lambda row: row["trial"])
    assert [r["mse"] for r in rows] == pytest.approx([run_trial(t)["mse"] for t in todo], rel=1e-5)


def test_a_trial_that_diverged_counts_as_infinite():
    rows = [{"setting": "inertia", "method": "MLP", "trial": k, "mse": m, "equivariance_error": m} for k, m in
            enumerate((1.0, np.nan, np.nan))]  # fmt: skip
    line = figure2.summary(pd.DataFrame(rows)).iloc[0]
    assert (line["test MSE, median"], line["range"]) == ("inf", "1 to inf")


def test_figure_3_left(tmp_path):
    options = ("fig3-left", "--quick", "--trials", 2, "--epochs", 2, "--out", tmp_path)
    result = call(*options)
    assert result.exit_code == 0, result.output
    post = rpp.Posterior.load(tmp_path / "inertia.nc")
    assert post.training["equivariance_error"].shape == (2, 2)
    table = pd.read_csv(tmp_path / "fig3-left.csv")
    assert list(table["data"]) == ["inertia", "modified inertia"]
    assert (tmp_path / "fig3-left.png").stat().st_size > 10_000
    # Killed while the second posterior was written: what was trained is taken up.
    (tmp_path / "modified_inertia.nc").write_bytes(b"half")
    assert call(*options).exit_code == 0
    again = rpp.Posterior.load(tmp_path / "modified_inertia.nc")
    assert again.training["equivariance_error"].shape == (2, 2)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "fig3-left.csv"), table)


def test_figure_3_right(tmp_path):
    options = ("fig3-right", "--quick", "--trials", 1, "--epochs", 1, "--out", tmp_path)
    result = call(*options)
    assert result.exit_code == 0, result.output
    found = xr.load_dataset(tmp_path / "fig3-right.nc", engine="h5netcdf")
    assert found["mse"].dims == ("sigma_a", "sigma_b", "seed")
    assert found["mse"].shape == (6, 6, 1)
    assert np.isfinite(found["mse"]).all()
    assert (tmp_path / "fig3-right.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("fig2", "--trials", 0), "trials must be a whole number >= 1, got 0"),
        (("fig2", "--setting", "moment"), "setting must be one of inertia, modified-inertia"),
        (("fig3-left", "--setting", "inertia"), "setting must be left out of fig3-left, which has none, got"),
        (("fig3-left", "--trials", 1), "trials must be 2 or more for a density over members, got 1"),
        (("fig3-left", "--jobs", 2), "jobs must be left out of fig3-left, which has none, got 2"),
        (("fig2", "--engine", "stan"), "engine must be 'pyro' or 'numpyro', got 'stan'"),
    ],
)
def test_bad_options_are_named(options, said, tmp_path):
    result = call(*options, "--out", tmp_path)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "run.json").exists()
