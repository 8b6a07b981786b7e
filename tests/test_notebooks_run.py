"""Every notebook runs in a process of its own, from the first cell to the last, with the numbers that it has."""

import pytest

from scripts import notebooks
from tests.snippets import run_script

LIMIT = 300  # seconds: nobody waits longer for a page


def test_what_takes_longer_is_stopped_and_what_it_said_is_told(tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text("import sys, time\nprint('the last words', file=sys.stderr, flush=True)\ntime.sleep(60)\n")
    with pytest.raises(AssertionError, match=r"notebook\.py took longer than 2 s, and said last:\nthe last words"):
        run_script(script, cwd=tmp_path, limit=2)


@pytest.mark.slow
@pytest.mark.parametrize("source", notebooks.SOURCES)
def test_a_notebook_runs(source, tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text("\n\n".join(cell for kind, cell in notebooks.cells_of(source) if kind == "code"))
    (tmp_path / "docs/results").mkdir(parents=True)  # where examples write
    run_script(script, cwd=tmp_path, limit=LIMIT)
