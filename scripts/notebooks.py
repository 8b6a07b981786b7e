"""Notebooks of pages and examples, made when the documentation is built: nothing is kept twice, and outputs are absent.

    python scripts/notebooks.py [FOLDER]        writes them there, "notebooks" if left out

`mkdocs build` calls `on_files` and has them in the site. Examples are in jupytext's percent format, so `jupytext --to
ipynb examples/quickstart.py` makes the same of one.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "docs/start.md", "docs/howto/own-data.md", "docs/tasks/table.md", "docs/tasks/torch-network.md",
    "docs/tasks/unknown-symmetry.md", "docs/which-symmetry.md", "docs/howto/own-training-loop.md", "docs/functions.md",
    "docs/particles.md", "docs/howto/reinforcement-learning.md", "examples/quickstart.py",
    "examples/nested_symmetry.py", "examples/unknown_symmetry.py", "examples/lorentz_jets.py",
    "examples/robot.py",
)  # fmt: skip
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```\n?", flags=re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[([^\]]*)\]\((?!http)[^)]*\)")  # to other pages, which are not beside a notebook

Cell = tuple[str, str]  # "markdown" or "code", and the text


def cells_of(source: str) -> list[Cell]:
    text = (ROOT / source).read_text()
    return [(kind, cell) for kind, cell in (_page(text) if source.endswith(".md") else _script(text)) if cell]


def _page(text: str) -> list[Cell]:
    cells, end = [], 0
    for found in BLOCK.finditer(text):
        cells += [("markdown", _prose(text[end : found.start()])), ("code", dedent(found[2]).strip())]
        end = found.end()
    return [*cells, ("markdown", _prose(text[end:]))]


def _prose(text: str) -> str:
    return LINK.sub(r"\1", text).strip("\n")


def _script(text: str) -> list[Cell]:
    """The docstring as text, then the cells that `# %% Title` begins; the first part is the imports."""
    lines = text.splitlines()
    first = ast.parse(text).body[0]
    assert isinstance(first, ast.Expr), "an example begins with a docstring"
    assert first.end_lineno is not None
    cells: list[Cell] = [("markdown", ast.get_docstring(ast.parse(text)) or "")]
    for part in re.split(r"^# %% ?", "\n".join(lines[first.end_lineno :]), flags=re.MULTILINE):
        title, _, code = part.partition("\n") if cells[1:] or not part.startswith("\n") else ("", "", part)
        cells += [("markdown", f"## {title}" if title else ""), ("code", code.strip())]
    return cells


def notebook(source: str) -> dict[str, Any]:
    """In the format 4.5, without outputs."""
    made = []
    for number, (kind, text) in enumerate(cells_of(source)):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        cell["source"] = text.splitlines(keepends=True)
        made.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": about, "nbformat": 4, "nbformat_minor": 5}


def name_of(source: str) -> str:
    return f"{Path(source).stem}.ipynb"


def on_files(files: Any, config: Any) -> Any:
    """What mkdocs calls: the notebooks are files of the site, and links to them are checked."""
    from mkdocs.structure.files import File

    for source in SOURCES:
        content = json.dumps(notebook(source), indent=1) + "\n"
        files.append(File.generated(config, f"notebooks/{name_of(source)}", content=content))
    return files


def main(folder: str = "notebooks") -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        path = Path(folder, name_of(source))
        path.write_text(json.dumps(notebook(source), indent=1) + "\n")
        print(path)


if __name__ == "__main__":
    main(*sys.argv[1:2])
