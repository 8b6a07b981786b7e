"""Which pages of results are older than the code that they show?

    python scripts/stale.py        a line for each; run what it names, and the page is new again

Each page names its commands; their files are `examples/NAME.py`, `benchmarks/NAME.py`, or of `bayes_rpp/reproduce/`. A
page is as old as the last commit that changed a row of its tables, not its words, and older than a file whose code was
another then: comments, form, imports and what is only printed or written are no such change. One of the library beneath
may move figures too, which this does not see: new pages say version and date.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    (r"python examples/(\w+)\.py", "examples/{}.py"),
    (r"python -m benchmarks[. ](\w+)", "benchmarks/{}.py"),
    (r"bayes-rpp reproduce fig(\d)", "bayes_rpp/reproduce/figure{}.py"),
    (r"bayes-rpp reproduce table(\d)", "bayes_rpp/reproduce/table{}.py"),
    (r"bayes-rpp demo()", "bayes_rpp/cli.py{}"),
    (r"python -m benchmarks`()", "benchmarks/rows.py{}"),
)
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
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [n for n in body if not _is_beside(n)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_beside(node: ast.AST) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))):
            return name in ("print", "write_text", "write_page")
    return False


def _git(root: Path, *command: str, check: bool = True) -> str:
    return subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=check).stdout


if __name__ == "__main__":
    for page, source in stale():
        print(f"{page} is older than {source}")
