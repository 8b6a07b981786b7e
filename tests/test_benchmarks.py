"""That the suite runs and says what it found; never how fast anything is."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.devices import has_gpu

ROOT = Path(__file__).parents[1]


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return pytest.importorskip("benchmarks.rows")


def test_a_row_knows_whether_its_target_is_met(rows):
    assert rows.Row("time", 3.0, 4).met
    assert not rows.Row("time", 5.0, 4).met
    assert rows.Row("gain", 5.0, 4, least=True).met
    assert not rows.Row("gain", 3.0, 4, least=True).met
    assert rows.Row("exponent", 1.5).met is None
    assert str(rows.Row("memory", 2.5, 2, unit="GB", figures={"n": 10})) == "| memory | 2.5 GB | <= 2 | **no** | n 10 |"


def test_medians_alternate_and_leave_out_the_first(rows):
    calls = []
    found = rows.medians([lambda: calls.append("a"), lambda: calls.append("b")], repeats=2)
    assert "".join(calls) == "ababab"
    assert len(found) == 2


def test_what_was_measured_is_kept(tmp_path, rows):
    calls = []

    def measure(name, seed):
        calls.append((name, seed))
        return {"value": seed}

    file = tmp_path / "kept.jsonl"
    rows.kept(file, [("a", 1), ("b", 1)], measure)
    found = rows.kept(file, [("a", 1), ("b", 2)], measure)
    assert calls == [("a", 1), ("b", 1), ("b", 2)]
    assert found == [{"key": ["a", 1], "value": 1}, {"key": ["b", 2], "value": 2}]


def test_every_name_is_a_benchmark():
    names = set(_run("-c", "import benchmarks; print(*benchmarks.NAMES)").stdout.split())
    files = {p.stem for p in (ROOT / "benchmarks").glob("[a-z]*.py")}
    alone = {f for f in files if f.startswith(("peers", "fits"))}
    alone |= {"rows", "gpu", "gpu_rows", "intervals", "samplers", "trained"}
    assert names == files - alone


def test_command_writes_rows(tmp_path):
    pytest.importorskip("torch")
    done = _run("-m", "benchmarks", "prediction", "--quick", "--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["quick"]
    assert len(found["rows"]) == 2
    for row in found["rows"]:
        assert row["benchmark"] == "prediction"
        assert row["value"] > 0
        assert row["met"] == (row["value"] <= row["target"])
        assert row["name"] in done.stdout


@pytest.mark.slow
def test_gpu_benchmark_runs_and_goes_on_where_it_stopped(tmp_path):
    """In tiny sizes on the CPU; two rows are taken away, and only they are measured again."""
    pytest.importorskip("pyro")
    pytest.importorskip("numpyro")
    command = ("-m", "benchmarks.gpu", "--quick", "--out", str(tmp_path / "gpu"), "--seconds", "600")
    done = _run(*command)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "gpu" / "rows.json"
    first = json.loads(file.read_text())
    what = [(r["engine"], r["what"]) for r in first["rows"]]
    assert len(set(what)) == len(what) == 15
    assert {r["device"] for r in first["rows"]} == {"cpu"}
    assert all(value > 0 for r in first["rows"] for value in r["figures"].values())
    table = (tmp_path / "gpu" / "gpu.md").read_text()
    for row in first["rows"]:
        assert f"| {row['what']} | {row['engine']} | cpu |" in table
    gone = ("step, MLP, width 8, batch 20", "members together: 2, MLP, width 8")
    kept = [r for r in first["rows"] if (r["engine"], r["what"]) not in {("pyro", w) for w in gone}]
    file.write_text(json.dumps(first | {"rows": kept}))
    again = _run(*command)
    assert again.returncode == 0, again.stderr
    assert [text for text in again.stdout.splitlines() if "| pyro | cpu |" in text] == [
        text for text in again.stdout.splitlines() if text.startswith("| ") and "ms a step" in text
    ]
    second = json.loads(file.read_text())
    assert [r for r in second["rows"] if r in kept] == kept
    assert sorted((r["engine"], r["what"]) for r in second["rows"]) == sorted(what)


def test_gpu_benchmark_keeps_rows_of_machines_apart_and_says_what_is_left(tmp_path, rows):
    gpu = pytest.importorskip("benchmarks.gpu")
    kept = gpu.Rows(tmp_path, quick=True)
    kept.keep(("pyro", "gpu", "Laplace, 10 examples"), {"first, s": 2.0, "again, s": 1.0})
    kept.keep(("pyro", "cpu", "Laplace, 10 examples"), {"first, s": 3.0, "again, s": 2.5})
    assert gpu.Rows(tmp_path, quick=True).rows == kept.rows
    assert "| Laplace, 10 examples | pyro | gpu | first, s 2, again, s 1 | 2.5 |" in gpu.table(kept, "python")
    with pytest.raises(ValueError, match="another would do"):
        gpu.Rows(tmp_path, quick=False)
    assert gpu.main(["--quick", "--out", str(tmp_path / "new"), "--seconds", "0"]) == 1


def test_gpu_benchmark_says_where_there_is_no_gpu(engine, tmp_path, rows, capsys):
    gpu = pytest.importorskip("benchmarks.gpu")
    if has_gpu(engine):
        pytest.skip("there is one")
    lane = gpu.Lane(gpu.Rows(tmp_path, quick=True), "gpu", {0}, end=time.monotonic() + 600)
    assert lane._process(engine, gpu.keys_of(engine, True)) == []
    assert "sees no GPU" in capsys.readouterr().err


def test_peers_are_measured_once_and_ranked(tmp_path, rows, capsys):
    """One fit in a process of its own, which a second call does not repeat."""
    pytest.importorskip("sklearn")
    peers = pytest.importorskip("benchmarks.peers")
    kept, out = tmp_path / "kept.jsonl", tmp_path / "peers.md"
    command = ("-m", "benchmarks.peers", "--splits", "1", "--data", "wine", "--model", "gradient", "--kept", str(kept))
    done = _run(*command, "--out", str(out))
    assert done.returncode == 0, done.stderr
    (line,) = map(json.loads, kept.read_text().splitlines())
    assert line["key"] == ["wine", "scikit-learn, gradient boosting", 0]
    assert 0.8 < line["score"] <= 1
    ours = {"key": ["wine", "**bayes-rpp, default**", 0], "nll": line["nll"] + 0.04, "score": line["score"]}
    ours |= {"calibration": 0.0, "seconds": 1.0, "memory": 1.0}
    kept.write_text("".join(json.dumps(each) + "\n" for each in (line, ours)))
    assert peers.main([*command[2:], "--model", "default", "--out", str(out)]) == 0
    assert capsys.readouterr().out == "", "nothing was left to measure"
    page = out.read_text()
    assert (
        f"| wine | 2 of 2 | {ours['nll']:.3f} | {line['nll']:.3f} (scikit-learn, gradient boosting) | within 0.05"
        in page
    )


def test_scores_of_peers(rows):
    peers = pytest.importorskip("benchmarks.peers")
    y = np.array([0, 1, 1, 0])
    p = np.array([[0.8, 0.2], [0.2, 0.8], [0.8, 0.2], [0.8, 0.2]])
    found = peers.scores(y, p)
    assert found["nll"] == pytest.approx(-(3 * np.log(0.8) + np.log(0.2)) / 4)
    assert (found["score"], found["calibration"]) == (0.75, pytest.approx(0.05))
    number = np.array([[0.0], [1.0]])
    found = peers.scores(number, (np.zeros((2, 1)), np.full((2, 1), 0.5)))
    assert (found["score"], found["calibration"]) == (pytest.approx(np.sqrt(0.5)), 0.5)
    assert found["nll"] == pytest.approx(0.5 * np.log(2 * np.pi * 0.25) + 1)


@pytest.mark.parametrize(
    ("arguments", "message"), [(["nothing"], "'nothing' is no benchmark"), (["--json", "a/b/c"], "no such folder")]
)
def test_wrong_arguments_are_named(arguments, message):
    done = _run("-m", "benchmarks", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def _run(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
