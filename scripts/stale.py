"""Which pages of results are older than the code that they show?

    python scripts/stale.py        a line for each; run what it names, and the page is new again

Each page names its commands; their files are `examples/NAME.py`, `benchmarks/NAME.py`, or of `bayes_rpp/reproduce/`. A
page is as old as the last commit that changed a row of its tables, not its words, and older than a file whose code was
another then: comments, form, types, imports and what is only printed or written are no such change. One of the
library beneath may move figures too, which this does not see: new pages say version and date.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    (r"python examples/(\w+)\.py", "examples/{}.py"),
    (r"python -m benchmarks[. ](\w+)", "benchmarks/{}.py"),
    (r"bayes-rpp reproduce fig(\d)", "bayes_rpp/reproduce/figure{}.py"),
    (r"bayes-rpp reproduce table(\d)", "bayes_rpp/reproduce/table{}.py"),
    (r"bayes-rpp demo()", "bayes_rpp/cli.py{}"),
    (r"python -m benchmarks`()", "benchmarks/rows.py{}"),
)
BESIDE = {"print", "write_text", "write_page", "cache_compilations"}
FIGURES = r"^\|.*[0-9]"  # a row of a table


def sources(page: Path, root: Path = ROOT) -> list[str]:
    """The files of the commands that a page names, as far as there are such."""
    text = " ".join(page.read_text().split())  # commands may be broken over lines
    found = {form.format(name) for pattern, form in COMMANDS for name in re.findall(pattern, text)}
    return sorted(source for source in found if (root / source).exists())


def stale(root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """(page, file) where the code of the file is not what it was when the page's figures were committed."""
    for page in sorted(p for p in (root / "docs/results").glob("*.md") if p.name != "index.md"):
        name = page.relative_to(root).as_posix()
        made = _git(root, "log", "-1", "-G", FIGURES, "--format=%H", "--", name).strip()
        made = made or _git(root, "log", "-1", "--format=%H", "--", name).strip()
        for source in sources(page, root) if made else []:
            changed = _git(root, "diff", "--name-only", made, "--", source).split()
            yield from ((name, file) for file in changed if file.endswith(".py") and not _same(root, made, file))


def _same(root: Path, commit: str, file: str) -> bool:
    """Whether the code of a file does what it did."""
    before = _git(root, "show", f"{commit}:{file}", check=False)
    now = (root / file).read_text() if (root / file).exists() else ""
    return _code(before) == _code(now)


def _code(text: str) -> str:
    """What makes figures."""
    return ast.dump(_Figures().visit(ast.parse(text)))


class _Figures(ast.NodeTransformer):
    """Leaves out what does not: types, texts, imports, where the package has a thing, and what is only written."""

    def visit(self, node: ast.AST) -> Any:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()) | ast.AnnAssign(value=None):
                return None
            case ast.Expr(value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))) if name in BESIDE:
                return None
            case ast.Attribute(attr=name) if _root(node) == "rpp":
                return ast.Name(name)
            case ast.AnnAssign(target=target, value=value):
                node = ast.Assign([target], value, lineno=0)
            case ast.FunctionDef():
                node.returns = None
            case ast.arg():
                node.annotation = None
        return self.generic_visit(node)


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return getattr(node, "id", "")


def _git(root: Path, *command: str, check: bool = True) -> str:
    return subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=check).stdout


if __name__ == "__main__":
    for page, source in stale():
        print(f"{page} is older than {source}")
