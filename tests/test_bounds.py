"""The oldest versions that are tested are those that pyproject.toml admits, and the workflow calls the Makefile."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
APART = {"torch"}  # whose older CPU builds are not to be had: see constraints-lowest.txt
CHECKERS = {"import-linter", "mypy", "pre-commit", "pre-commit-hooks", "pytest-cov", "ruff"}  # of any version


def bounds():
    """Name and lower bound of each dependency but for the documentation, the peers and SBX, which run apart."""
    extras = {k: v for k, v in PROJECT["optional-dependencies"].items() if k not in ("docs", "peers", "sbx")}
    for text in [*PROJECT["dependencies"], *(d for v in extras.values() for d in v)]:
        found = re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", text)
        if found:
            yield found[1], found[2]
        else:
            assert text.startswith("bayes-rpp["), f"{text} has no lower bound"


def test_the_oldest_versions_are_those_of_the_project():
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
    named = {}
    for name, bound in bounds():
        assert named.setdefault(name, bound) == bound, f"{name} has two lower bounds"
    assert set(oldest) == set(named) - CHECKERS
    for name, version in oldest.items():
        if name not in APART:
            assert re.fullmatch(re.escape(named[name]) + r"(\.\d+)*", version), name


@pytest.mark.parametrize("target", ["test", "lint", "docs", "release", "coverage", "lowest"])
def test_workflows_and_the_makefile_know_each_other(target):
    yaml = pytest.importorskip("yaml")
    workflow = ROOT / ".github" / "workflows" / "tests.yml"
    if not workflow.exists():
        pytest.skip("not in the archive of a release")
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    steps = [step.get("run", "") for job in jobs for step in job["steps"]]
    assert any(re.fullmatch(rf"make (PYTHON=python )?{target}", step) for step in steps)
    assert f"\n{target}: " in (ROOT / "Makefile").read_text()
