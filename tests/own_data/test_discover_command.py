"""`bayes-rpp discover`: a table, and the symmetry that nobody named."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_rpp as rpp
from bayes_rpp.cli import app


def run(*arguments):
    return CliRunner().invoke(app, ["discover", *map(str, arguments)])


@pytest.fixture
def table(tmp_path):
    """A force on (px, py, pz) that turns with it about z."""
    rng = np.random.default_rng(0)
    p = rng.normal(size=(50, 3))
    force = np.sin(p[:, 2:]) * p + np.cross([0, 0, 0.5], p) + 0.02 * rng.normal(size=(50, 3))
    names = ["fx", "fy", "fz", "px", "py", "pz", "more"]
    pd.DataFrame(np.hstack([force, p, p[:, :1]]), columns=names).to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


NAMED = ["--inputs", "px,py,pz", "--targets", "fx,fy,fz"]
VECTORS = ["--rep-in", "Vector", "--rep-out", "Vector", "--within", "SO(3)"]


def test_discover_writes_what_it_says(table, tmp_path):
    out = tmp_path / "out"
    result = run(table, *NAMED, *VECTORS, "--out", out)
    assert result.exit_code == 0, result.output
    assert {f.name for f in out.iterdir()} == {"verdict.txt", "spectrum.csv", "symmetries.png", "report.html"}
    assert all(str(f) in result.output for f in out.iterdir())
    verdict = (out / "verdict.txt").read_text()
    assert verdict.splitlines()[0] in result.output
    assert "px and py" in verdict
    page = (out / "report.html").read_text()
    assert all(text in page for text in (verdict.splitlines()[0], "prefers-color-scheme: dark", "--within"))
    assert page.count("<img") == page.count("<source") == 1
    assert "http" not in page
    columns = pd.read_csv(table)
    x, y = columns[["px", "py", "pz"]].to_numpy(), columns[["fx", "fy", "fz"]].to_numpy()
    found = rpp.discover_symmetry(x, y, rep_in=rpp.Vector, rep_out=rpp.Vector, within=rpp.SO(3))
    assert found.dimension == 1
    pd.testing.assert_frame_equal(pd.read_csv(out / "spectrum.csv", index_col=0), found.table)


def test_columns_that_nobody_knows(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    y = np.sin((x**2).sum(axis=1) / 2) + 0.02 * rng.normal(size=60)
    pd.DataFrame({"east": x[:, 0], "north": x[:, 1], "height": y}).to_csv(tmp_path / "hill.csv", index=False)
    result = run(tmp_path / "hill.csv", "--targets", "height", "--no-discrete", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    verdict = (tmp_path / "out" / "verdict.txt").read_text()
    assert "rotation in the plane of columns east and north" in verdict
    assert "Beside it" not in verdict
    assert "--no-discrete" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--inputs", "z", "--targets", "fx"], "inputs must be of the columns fx, fy, fz"),
        ([*NAMED, "--rep-in", "Vector"], "rep_out must be given where rep_in is"),
        ([*NAMED, "--within", "SO(3)"], "within must be None without rep_in and rep_out"),
        ([*NAMED, *VECTORS[:4], "--within", "SO3"], "'SO3' in 'SO3' is not understood"),
        ([*NAMED, "--rep-in", "Vektor", "--rep-out", "Vector"], "rep_in: 'Vektor' in 'Vektor' is not understood"),
        ([*NAMED, *VECTORS, "--model", "trees"], "model must be one of 'auto', 'functions', 'networks'"),
        ([*NAMED, *VECTORS, "--draws", "3"], "draws must be a whole number >= 20, got 3"),
        ([*NAMED, *VECTORS, "--model", "trees"], "model must be one of 'auto', 'functions', 'networks', or a model"),
    ],
)
def test_bad_options_of_discover_say_what_would_do(options, message, table, tmp_path):
    result = run(table, *options, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert f"error: {message}" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()
