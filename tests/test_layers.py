"""What `make lint` checks of imports sees those inside of functions and those by name, too."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("grimp")
pytest.importorskip("importlinter")

import grimp

from scripts.import_contracts import loaded, with_names

ROOT = Path(__file__).parent.parent


def test_names_of_modules_are_imports():
    source = """
from bayes_rpp._imports import load_module
def run(engine, home):
    load_module("json")
    importlib.import_module(f"here.{engine}")
    load_module(f"{home}.{engine}.map")
    load_module(home)
    print("json")
"""
    assert list(loaded(source)) == [(4, "json"), (5, "here.*"), (6, "*.*.map")]
    graph = with_names(grimp.build_graph("bayes_rpp", exclude_type_checking_imports=True, cache_dir=None))
    for importer, imported in (
        ("priors.parametrization", "priors.pyro"),
        ("inference.optimise.mode", "inference.curvature.numpyro"),
        ("inference.optimise.mode", "inference.curvature.pyro"),
        ("inference.posterior.posterior", "inference.posterior.storage"),
    ):
        assert graph.direct_import_exists(importer=f"bayes_rpp.{importer}", imported=f"bayes_rpp.{imported}")


CONFIG = """
[tool.importlinter]
root_package = "house"
exclude_type_checking_imports = true
contract_types = [
  "layers_and_names: scripts.import_contracts.Layers",
  "acyclic_and_names: scripts.import_contracts.AcyclicSiblings",
]
[[tool.importlinter.contracts]]
name = "layers"
type = "layers_and_names"
containers = ["house"]
layers = ["roof", "cellar"]
[[tool.importlinter.contracts]]
name = "circles"
type = "acyclic_and_names"
ancestors = ["house"]
"""


@pytest.mark.parametrize(
    ("line", "layers", "circles"),
    [
        ("", "KEPT", "KEPT"),
        ("if TYPE_CHECKING:\n    import house.roof", "KEPT", "KEPT"),
        ("def later():\n    import house.roof", "BROKEN", "BROKEN"),
        ("def later():\n    load_module('house.roof')", "BROKEN", "BROKEN"),
    ],
)
def test_what_goes_up_is_found(line, layers, circles, tmp_path):
    for name, text in {
        "pyproject.toml": CONFIG,
        "house/__init__.py": "",
        "house/roof.py": "import house.cellar",
        "house/cellar.py": f"from typing import TYPE_CHECKING\n{line}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from importlinter.cli import lint_imports; lint_imports()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"layers {layers}" in done.stdout
    assert f"circles {circles}" in done.stdout
