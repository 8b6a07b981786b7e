import subprocess
import sys

import pytest

import bayes_rpp


def test_import_loads_neither_torch_nor_jax():
    code = (
        "import sys, bayes_rpp as rpp\n"
        "net = rpp.EMLP(rpp.Vector, rpp.Scalar, rpp.O(3), channels=10, layers=1)\n"
        "rpp.Model(net); rpp.DeepEnsemble(); rpp.datasets.inertia(3); rpp.fit\n"
        "assert not {'torch', 'jax', 'pyro', 'numpyro', 'arviz', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_star_without_scikit_learn():
    code = (
        "import sys\n"
        "sys.modules['sklearn'] = None\n"
        "from bayes_rpp import *\n"
        "assert EMLP and 'RPPRegressor' not in globals()\n"
        "import bayes_rpp\n"
        "try:\n"
        "    bayes_rpp.RPPRegressor\n"
        "except ImportError as error:\n"
        "    assert 'bayes-rpp[sklearn]' in str(error)\n"
        "else:\n"
        "    raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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
    from pathlib import Path

    root = Path(bayes_rpp.__file__).parent
    pyro, numpyro = {"pyro", "torch"}, {"numpyro", "flax", "jax"}
    rooms = {"torch": pyro, "pyro": pyro, "jax": numpyro, "numpyro": numpyro, "optax": numpyro, "flax": numpyro}
    for file in root.rglob("*.py"):
        parts = {*file.relative_to(root).parts, file.stem}
        for line in file.read_text().splitlines():
            found = re.match(r"(?:from|import) (\w+)", line)
            if found and found[1] in rooms:
                assert rooms[found[1]] & parts, f"{file}: {line}"
