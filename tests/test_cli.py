import html
import os
import runpy
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayes_rpp import Posterior, __version__
from bayes_rpp.cli import app


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_the_package_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bayes_rpp", "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("bayes_rpp", run_name="__main__")
    assert stopped.value.code == 0
    assert "Usage: bayes-rpp" in capsys.readouterr().out


def test_demo_writes_what_it_says(engine, tmp_path):
    out = tmp_path / "out"
    options = ["--engine", engine, "--members", "2", "--epochs", "3", "--channels", "6", "--seed", "1"]
    result = run("demo", *options, "--out", str(out))
    assert result.exit_code == 0, result.output
    files = {"inertia.nc", "modified_inertia.nc", "equivariance_kde.png", "table.md"}
    assert {f.name for f in out.iterdir()} == files
    assert all(str(out / f) in result.output for f in files)
    post = Posterior.load(out / "inertia.nc")
    assert post.samples["output.weight"].shape[:2] == (1, 2)
    assert post.engine == engine
    table = (out / "table.md").read_text()
    assert table in result.output
    assert "| modified inertia |" in table
    assert np.isfinite(post.training["equivariance_error"][:, [0, 2]]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "jax"], "engine must be 'pyro' or 'numpyro', got 'jax'"),
        (["--members", "1"], "members must be 2 or more for a density over them, got 1"),
        (["--epochs", "0"], "epochs must be a whole number >= 1, got 0"),
        (["--channels", "0"], "channels must be a whole number >= 1, got 0"),
    ],
)
def test_bad_options_say_what_would_do(options, message, tmp_path):
    result = run("demo", *options, "--out", str(tmp_path))
    assert result.exit_code == 2
    assert f"error: {message}" in result.output
    assert "Traceback" not in result.output


def test_info():
    result = run("info")
    assert result.exit_code == 0
    assert f"bayes-rpp {__version__}" in result.output
    assert "numpyro" in result.output
    assert "cpu" in result.output or "cuda" in result.output


@pytest.fixture
def linear_file(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    y = x[:, 1:] * [1.0, 1.0, 2.0] + 0.1 * rng.normal(size=(60, 3))
    np.savez(tmp_path / "data.npz", x=x, y=y)
    return tmp_path / "data.npz"


LINEAR = ["--rep-in", "Scalar + Vector", "--rep-out", "Vector", "--layers", "0"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compare_names_the_symmetry_and_writes_what_it_says(linear_file, tmp_path):
    out = tmp_path / "out"
    groups = ["--group", "none=Trivial(3)", "--group", "about z=SO(2) * Trivial(1)", "--group", "O(3)"]
    result = run("compare", str(linear_file), *LINEAR[:4], *groups, "--models", "functions", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert "about z: no sign of breaking" in result.output
    assert "O(3) does not hold exactly" in result.output
    files = {"comparison.csv", "verdict.txt", "comparison.png", "map_1_about_z.png", "map_2_O_3.png", "report.html"}
    assert {f.name for f in out.iterdir()} == files
    assert (out / "verdict.txt").read_text() in result.output
    page = (out / "report.html").read_text()
    assert page.count("<img") == page.count("<source") == 3
    assert "about z: no sign of breaking" in page
    assert "below which breakings stay unseen" in page
    assert "http" not in page
    again = html.unescape(page[page.index("<pre>bayes-rpp compare ") + 5 : page.index("</pre>")])
    assert shlex.split(again)[1:3] == ["compare", str(linear_file)]
    assert all(group in shlex.split(again) for group in groups)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compare_by_functions(linear_file, tmp_path):
    out = tmp_path / "out"
    groups = ["--group", "none=Trivial(3)", "--group", "about z=SO(2) * Trivial(1)"]
    result = run("compare", str(linear_file), *LINEAR[:4], *groups, "--out", str(out))
    assert result.exit_code == 0, result.output
    assert "about z: no sign of breaking" in result.output
    assert "Functions were compared" in (out / "verdict.txt").read_text()
    assert {"comparison.csv", "comparison.png", "map_1_about_z.png"} < {f.name for f in out.iterdir()}
    mixed = [*groups, "--group", "both=[SO(2) * Trivial(1), Trivial(1) * SO(2)]"]
    result = run("compare", str(linear_file), *LINEAR[:4], *mixed, "--out", str(out))
    assert result.exit_code == 0, result.output
    shares = "in the sum both = about z + Trivial(1) * SO(2), by mean squares at these x: about z"
    assert f"Shares of the function {shares}" in result.output
    assert not list(out.glob("map_*both*"))
    result = run("compare", str(linear_file), *LINEAR, *groups, "--models", "functions", "--out", str(out))
    assert result.exit_code == 2
    assert "layers was given, which only networks have" in result.output


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compare_reads_tables_too_and_leaves_whole_files(linear_file, tmp_path, monkeypatch):
    """The same table from an npz with more arrays than x and y, and from columns of a csv that are named."""
    x, y = (np.load(linear_file)[k] for k in "xy")
    np.savez(tmp_path / "more.npz", x=x, y=y, other=np.zeros(7))
    table = pd.DataFrame(np.hstack([y, x, x[:, :1]]), columns=["fx", "fy", "fz", "m", "px", "py", "pz", "more"])
    table.to_csv(tmp_path / "data.csv", index=False)
    options = [*LINEAR[:4], "--group", "none=Trivial(3)", "--group", "about z=SO(2) * Trivial(1)"]
    named = ["--inputs", "m,px,py,pz", "--targets", "fx,fy,fz"]
    found = []
    for file, more in (("more.npz", []), ("data.csv", named)):
        out = tmp_path / file.replace(".", "-")
        result = run("compare", str(tmp_path / file), *options, *more, "--out", str(out))
        assert result.exit_code == 0, result.output
        found.append(pd.read_csv(out / "comparison.csv", index_col=[0, 1]).drop(columns="seconds"))
    pd.testing.assert_frame_equal(*found, rtol=1e-4)

    verdict = (out / "verdict.txt").read_text()

    def full_disk(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr("bayes_rpp._files.os.fsync", full_disk)
    result = run("compare", str(tmp_path / "data.csv"), *options, *named, "--seed", "1", "--out", str(out))
    assert result.exit_code == 2
    assert "error: No space left" in result.output
    assert (out / "verdict.txt").read_text() == verdict
    assert not list(out.glob(".*part*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--inputs", "z", "--group", "O(3)"], "inputs must be of the columns x, y, x[0]"),
        (["--group", "O3"], "'O3' in 'O3' is not understood"),
        (["--group", "O(3)", "--group", "O(3)"], "group must have names that differ, got one twice"),
        (["--group", "both=[O(3)]"], "groups['both'] must be a Group, or a list of two or more, got [O(3)]"),
        (["--group", "O(2)"], "x must have 3 columns, the size of rep_in, got 4"),
        (["--group", "O(3)", "--starts", "0"], "starts must be a whole number >= 1, got 0"),
    ],
)
def test_bad_options_of_compare_say_what_would_do(options, message, linear_file, tmp_path):
    result = run("compare", str(linear_file), *LINEAR, *options, "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert f"error: {message}" in result.output
    assert "Traceback" not in result.output


def test_compare_says_what_is_wrong_with_a_file(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name, message in [
        ("text.npz", "no npz file"),
        ("other.npz", "targets must be names of columns of"),
        ("one.npy", "has the ending '.npy'"),
        ("missing.npz", "there is no file"),
    ]:
        result = run("compare", str(tmp_path / name), *LINEAR, "--group", "O(3)")
        assert result.exit_code == 2
        assert message in result.output


def test_a_folder_for_what_is_compiled(tmp_path):
    (tmp_path / "taken").write_text("")
    result = run("--cache", str(tmp_path / "taken"), "info")
    assert result.exit_code == 2
    assert "error: --cache" in result.output
    for folder, made in (("off", False), (str(tmp_path / "own"), True)):
        command = [sys.executable, "-c", "from bayes_rpp.cli import app; app()", "--cache", folder, "info"]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)})
        assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == (["own"] if made else [])
