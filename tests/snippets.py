"""Runs the code of a page with smaller numbers, as it stands else, and scripts in processes of their own."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

ROOT = Path(__file__).parent.parent
# Indented blocks, of lists, too; an example's source is included in the gallery, and holds no code of the page.
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```", flags=re.DOTALL | re.MULTILINE)


def blocks(page: str) -> list[str]:
    """The Python code of a page, such as "docs/start.md", block by block."""
    found = [dedent(code) for _, code in BLOCK.findall((ROOT / page).read_text())]
    return [code for code in found if not code.startswith("--8<--")]


def run(page: str, smaller: Mapping[str, str]) -> dict[str, Any]:
    """Run the blocks of a page in order in one name space, which is returned.

    Args:
        page: its path.
        smaller: text of the code -> what stands there in the test. What is not found any more is an error.
    """
    names: dict[str, Any] = {"__name__": "snippets"}
    unused = set(smaller)
    for code in blocks(page):
        for large, small in smaller.items():
            if large in code:
                unused.discard(large)
                code = code.replace(large, small)
        exec(compile(code, page, "exec"), names)
    assert not unused, f"{page} does not say {sorted(unused)} any more"
    return names


def run_script(script: Path, arguments: str = "", *, cwd: Path, limit: float | None = None) -> str:
    """Run a file in a process of its own, and return what it printed; where it fails, say how its stderr ends.

    Args:
        script: the file.
        arguments: its arguments, apart by spaces.
        cwd: the folder that it runs in.
        limit: seconds that it may take.
    """
    settings = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, script, *arguments.split()]
    try:
        done = subprocess.run(command, cwd=cwd, env=settings, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"").decode(errors="replace")
        raise AssertionError(f"{script.name} took longer than {limit} s, and said last:\n{said[-3000:]}") from None
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
