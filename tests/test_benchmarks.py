"""That the suite runs and says what it found; never how fast anything is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_every_name_is_a_benchmark():
    names = set(_run("-c", "import benchmarks; print(*benchmarks.NAMES)").stdout.split())
    files = {p.stem for p in (ROOT / "benchmarks").glob("[a-z]*.py")}
    assert names == files - {"rows"}


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


@pytest.mark.parametrize(
    ("arguments", "message"), [(["nothing"], "'nothing' is no benchmark"), (["--json", "a/b/c"], "no such folder")]
)
def test_wrong_arguments_are_named(arguments, message):
    done = _run("-m", "benchmarks", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def _run(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
