"""The check of examples/which_symmetry.py: networks on data of known symmetry."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "which_symmetry.py"


@pytest.mark.slow
def test_at_least_eight_of_nine_answers_are_right():
    example = runpy.run_path(str(EXAMPLE))
    rows = [example["run"](truth, seed) for seed in range(example["SEEDS"]) for truth in example["BROKEN"]]
    assert sum(r["best"] == r["truth"] for r in rows) >= 8
