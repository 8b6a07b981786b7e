import numpy as np
import pytest
from typer.testing import CliRunner

from bayes_rpp import Posterior, __version__
from bayes_rpp.cli import app


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_demo_writes_what_it_says(engine, tmp_path):
    out = tmp_path / "out"
    options = ["--engine", engine, "--members", "2", "--epochs", "3", "--channels", "20", "--seed", "1"]
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
        (["--engine", "jax"], "engine is 'jax'"),
        (["--members", "1"], "members is 1"),
        (["--epochs", "0"], "epochs is 0"),
        (["--channels", "0"], "channels is 0"),
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
