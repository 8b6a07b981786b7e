"""Which pages of results are older than the code that they show, by the dates of their last commits?

    python scripts/stale.py        a line for each; run what it names, and the page is new again

Each page names its commands; their files are `examples/NAME.py`, `benchmarks/NAME.py`, or `bayes_rpp/reproduce/`. A
change of the library beneath may move figures too, which this does not see: new pages say version and date.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    (r"python examples/(\w+)\.py", "examples/{}.py"),
    (r"python -m benchmarks[. ](\w+)", "benchmarks/{}.py"),
    (r"bayes-rpp (reproduce) ", "bayes_rpp/{}"),
    (r"bayes-rpp demo()", "bayes_rpp/cli.py{}"),
    (r"python -m benchmarks`()", "benchmarks/rows.py{}"),
)


def sources(page: Path, root: Path = ROOT) -> list[str]:
    """The files of the commands that a page names, as far as there are such."""
    text = " ".join(page.read_text().split())  # commands may be broken over lines
    found = {form.format(name) for pattern, form in COMMANDS for name in re.findall(pattern, text)}
    return sorted(source for source in found if (root / source).exists())


def committed(path: Path | str, root: Path = ROOT) -> int:
    """Seconds of the last commit that changed a file or folder; 0 where none did."""
    command = ["git", "log", "-1", "--format=%ct", "--", str(path)]
    return int(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout or 0)


def stale(root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """(page, source) where the source was committed later than the page."""
    for page in sorted((root / "docs/results").glob("*.md")):
        made = committed(page, root)
        for source in sources(page, root):
            if committed(source, root) > made:
                yield page.relative_to(root).as_posix(), source


if __name__ == "__main__":
    for page, source in stale():
        print(f"{page} is older than {source}")
