import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import bayes_rpp

FACES = [
    "analysis", "engines", "groups", "inference", "kernels", "models", "networks", "plots", "priors", "rl", "subspaces",
    "testing",
]  # fmt: skip


def test_import_loads_neither_torch_nor_jax():
    code = (
        "import sys, bayes_rpp as rpp\n"
        "net = rpp.EMLP(rpp.Vector, rpp.Scalar, rpp.O(3), channels=10, layers=1)\n"
        "rpp.Model(net); rpp.DeepEnsemble(); rpp.datasets.inertia(3)\n"
        "assert not {'pandas', 'xarray', 'scipy.stats', 'matplotlib'} & set(sys.modules)\n"
        "rpp.fit\n"
        "assert not {'torch', 'jax', 'pyro', 'numpyro', 'arviz', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("face", [*(f for f in FACES if f not in ("rl", "testing")), "datasets", "testing"])
def test_modules_are_reached_without_an_import_of_their_own(face):
    heavy = "'torch', 'jax', 'pyro', 'numpyro', 'arviz', 'sklearn'" + (", 'numpy'" if face != "datasets" else "")
    code = (
        "import sys, bayes_rpp as rpp\n"
        "assert 'numpy' not in sys.modules\n"
        f"from importlib import import_module; assert import_module('bayes_rpp.{face}') is rpp.{face}\n"
        f"assert '{face}' in dir(rpp) and not {{{heavy}}} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def loaded_for_types(module):
    """Names that a module imports under TYPE_CHECKING, but for its own submodules."""
    tree = ast.parse(Path(module.__file__).read_text())
    blocks = [n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"]
    imports = [i for block in blocks for i in block.body if isinstance(i, ast.ImportFrom)]
    return {alias.name: i.module for i in imports for alias in i.names if alias.asname is None}


@pytest.mark.parametrize("face", ["", *FACES])
def test_the_names_of_a_module_are_those_that_type_checkers_see(face):
    for needed in ("sbx", "stable_baselines3", "sklearn"):
        pytest.importorskip(needed)
    module = import_module(f"bayes_rpp.{face}".rstrip("."))
    known = loaded_for_types(module)
    assert sorted({*module.__all__} - {"datasets"}) == sorted(known)
    assert {*module.__all__} <= {*dir(module)}
    for name, home in known.items():
        assert getattr(module, name) is getattr(import_module(home), name)
        assert getattr(module, name).__doc__


@pytest.mark.parametrize("name", bayes_rpp.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(bayes_rpp, name)
    assert value.__doc__
    assert name in dir(bayes_rpp)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bayes_rpp.nothing


def test_engines_stay_in_their_rooms():
    """torch and Pyro are imported only below or in files named pyro or torch, JAX, NumPyro and Flax likewise."""
    import re

    root = Path(bayes_rpp.__file__).parent
    pyro, numpyro = {"pyro", "torch"}, {"numpyro", "flax", "jax"}
    rooms = {"torch": pyro, "pyro": pyro, "jax": numpyro, "numpyro": numpyro, "optax": numpyro, "flax": numpyro}
    for file in root.rglob("*.py"):
        parts = {*file.relative_to(root).parts, file.stem}
        for line in file.read_text().splitlines():
            found = re.match(r"(?:from|import) (\w+)", line)
            if found and found[1] in rooms:
                assert rooms[found[1]] & parts, f"{file}: {line}"
