"""Notebooks hold the code of their pages, and pages of results the commands that made them."""

import json
import os
import subprocess
from importlib import import_module

import pytest

from tests.snippets import ROOT, blocks

COUNT = 15  # of notebooks, each of which tests/test_notebooks_run.py runs
RESULTS = sorted(p.name for p in (ROOT / "docs/results").glob("*.md") if p.name != "index.md")


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: import_module(f"scripts.{name}")


def test_notebooks_hold_the_code_of_their_sources(scripts):
    notebooks = scripts("notebooks")
    for source in notebooks.SOURCES:
        made = notebooks.notebook(source)
        code = ["".join(c["source"]) for c in made["cells"] if c["cell_type"] == "code"]
        if source.endswith(".md"):
            assert code == [block.strip() for block in blocks(source)]
        else:
            compile("\n".join(code), source, "exec")
            assert "\n".join(code).count("\n") > 20
        text = "".join("".join(c["source"]) for c in made["cells"] if c["cell_type"] == "markdown")
        assert ".md)" not in text
        assert "```python" not in text
        assert len(json.dumps(made)) < 50_000
        assert len({c["id"] for c in made["cells"]}) == len(made["cells"])


def test_the_gallery_links_every_notebook(scripts):
    notebooks = scripts("notebooks")
    assert len(notebooks.SOURCES) == COUNT
    gallery = (ROOT / "docs/gallery.md").read_text()
    for source in notebooks.SOURCES:
        assert f"(notebooks/{notebooks.name_of(source)})" in gallery


@pytest.mark.parametrize("name", RESULTS)
def test_a_page_of_results_names_its_command(name, scripts):
    assert scripts("stale").sources(ROOT / "docs/results" / name)


def test_pages_older_than_their_code_are_named(tmp_path, scripts):
    stale = scripts("stale")

    def commit(file, text, seconds):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        dated = {f"GIT_{who}_{what}": v for who in ("AUTHOR", "COMMITTER") for what, v in about.items()}
        dated |= {"GIT_AUTHOR_DATE": f"{seconds} +0000", "GIT_COMMITTER_DATE": f"{seconds} +0000"}
        for command in (["add", "-A"], ["commit", "-qm", file]):
            subprocess.run(["git", *command], cwd=tmp_path, env=os.environ | dated, check=True)

    about = {"NAME": "a", "EMAIL": "a@b.c"}
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    commit("examples/one.py", "1", 1_000_000_000)
    commit("docs/results/one.md", "by `python\nexamples/one.py 3`", 1_000_000_100)
    commit("benchmarks/two.py", "1", 1_000_000_000)
    commit("docs/results/two.md", "by `python -m benchmarks.two`", 1_000_000_100)
    assert list(stale.stale(tmp_path)) == []
    commit("benchmarks/two.py", '"""Words."""\nimport os\n\n1  # one\nprint(1)', 1_000_000_200)
    assert list(stale.stale(tmp_path)) == []  # it does what it did
    commit("benchmarks/two.py", "x = 2", 1_000_000_300)
    assert list(stale.stale(tmp_path)) == [("docs/results/two.md", "benchmarks/two.py")]
    commit("docs/results/two.md", "by `python -m benchmarks.two`\n\n| 1 | 2 |\n", 1_000_000_400)
    assert list(stale.stale(tmp_path)) == []
    commit("benchmarks/two.py", "x = 3", 1_000_000_500)
    commit("docs/results/two.md", "With `python -m benchmarks.two`\n\n| 1 | 2 |\n", 1_000_000_600)
    assert list(stale.stale(tmp_path)) == [("docs/results/two.md", "benchmarks/two.py")]  # words make no figures new
