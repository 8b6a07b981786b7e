"""What type checkers make of calls: mypy takes the right ones, and sees each wrong one."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

import bayes_rpp as rpp

ROOT = Path(__file__).parent.parent
TYPED = ROOT / "tests" / "typed"


@pytest.fixture(scope="module")
def errors():
    """(file, line) -> codes of mypy's errors, sorted; seconds where `make lint` has filled the cache."""
    api = pytest.importorskip("mypy.api")
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    files = [os.path.relpath(file) for file in sorted(TYPED.glob("*_calls.py"))]
    said, trouble, _ = api.run([*options, "--no-pretty", "--hide-error-context", *files])
    assert not trouble
    found = {}
    for file, line, code in re.findall(r"^(.*?):(\d+): error: .*\[([\w-]+)\]$", said, re.MULTILINE):
        found.setdefault((Path(file).name, int(line)), []).append(code)
    assert f"Found {sum(map(len, found.values()))} errors" in said, said
    return {where: sorted(codes) for where, codes in found.items()}


def test_right_calls_have_no_errors(errors):
    assert not [where for where in errors if where[0] == "right_calls.py"]


def test_wrong_calls_are_seen(errors):
    lines = (TYPED / "wrong_calls.py").read_text().splitlines()
    wanted = {n: sorted(line.partition("  # ")[2].split()) for n, line in enumerate(lines, 1) if "  # " in line}
    assert {line: codes for (file, line), codes in errors.items() if file == "wrong_calls.py"} == wanted


def test_shapes_of_signatures_are_checked_in_the_tests():
    class Wrong(rpp.subspaces.FullSubspace):
        def project(self, w):
            return super().project(w)

        def decode(self, beta):
            return super().decode(beta)[..., 0]

    with pytest.raises(TypeError, match=r"the return value of .*Subspace.project") as raised:
        Wrong((3, 2)).project(np.ones((4, 3, 2)))
    assert "Expected type: Shaped[Any, '*w']" in str(raised.value)
    with pytest.raises(TypeError, match=r"the parameters of .*Normal.mean"):
        rpp.Gaussian(0.1).mean(np.ones(3))
    with pytest.raises(TypeError, match=r"Float\[ndarray, 'n d_out'\]"):
        rpp.inference.Prediction(np.ones((3, 2)), np.ones((4, 2)))
