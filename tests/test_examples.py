"""Every example runs as a script from start to end, with smaller numbers, and writes what it says."""

import shutil
from importlib.util import find_spec

import pytest

from tests.snippets import ROOT, run_script

# Example -> arguments, text of the code -> what stands there in the test, files that it writes.
EXAMPLES = {
    "quickstart": (
        "",
        {"channels=128, layers=3": "channels=10, layers=1", "members=5, epochs=200": "members=2, epochs=20"},
        "quickstart.png quickstart.nc",
    ),
    "active_learning": (
        "",
        {
            "3.0, 3, 10, 25, 3": "3.0, 1, 10, 13, 3",
            "np.arange(310), np.arange(1000, 1200)": "np.arange(20), np.arange(1000, 1020)",
        },
        "docs/results/active_learning.md docs/results/active_learning.png",
    ),
    "asymmetry_dial": (
        "1",
        {"warmup=300, draws=300": "warmup=20, draws=20", "(0.0, 0.25, 0.5, 0.75, 1.0)": "(0.0, 1.0)"},
        "docs/results/asymmetry_dial.png",
    ),
    "asymmetry_evidence": (
        "0 1",
        {'"channels": 3 * rpp.Scalar + 4 * rpp.Vector': '"layers": 0'},
        "docs/results/asymmetry_evidence.md docs/results/asymmetry_evidence.png",
    ),
    "bilinear": ("2", {"(384, 64)": "(10,)", '"epochs": 40': '"epochs": 2'}, "docs/results/bilinear.md"),
    "charged_particles": (
        "",
        {"300, 500, 3, 300, 32": "20, 20, 2, 2, 6"},
        "docs/results/charged_particles.md docs/results/charged_particles.png",
    ),
    "classifiers": ("--trials 1 --data product --engine pyro", {}, "docs/results/classifiers.md"),
    "compare_inertia": (
        "2",
        {"channels=384, layers=3": "channels=10, layers=1", '"epochs": 150': '"epochs": 2'},
        "docs/results/inertia.md",
    ),
    "compare_posteriors": (
        "",
        {
            "epochs=2000": "epochs=50",
            "epochs=5000": "epochs=50",
            "warmup=500, draws=1000": "warmup=20, draws=20",
            "draws=500": "draws=20",
        },
        "docs/results/compare_posteriors.png",
    ),
    "discover_geomagnetism": (
        "",
        {
            "(300, 1000)": "(60, 80)",
            "(0, 1, 2, 3)": "(0,)",
            "(1000, 2)": "(50, 2)",
            "1, 2, 3, 4, 6, 8, 10, 13": "1, 13",
        },
        "docs/results/discover_geomagnetism.md docs/results/discover_geomagnetism.png",
    ),
    "discover_mechanics": (
        "",
        {"EXAMPLES, STEP, NOISE = 100": "EXAMPLES, STEP, NOISE = 30", "MOTION = 10.0": "MOTION = 1.0"},
        "docs/results/discover_mechanics.md docs/results/discover_mechanics.png",
    ),
    "discover_tables": (
        "",
        {"STATES, PATIENTS = 300, 442": "STATES, PATIENTS = 25, 40"},
        "docs/results/discover_tables.md docs/results/discover_tables.png",
    ),
    "estimators": ("--trials 1 --data linear --engine pyro", {}, "docs/results/estimators.md"),
    "functions_compare": (
        "0",
        {'TASKS["EXAMPLES"]\n': "20\n", "1000, 1_000": "50, 1_000"},
        "docs/results/functions_compare.md",
    ),
    "functions_inertia": (
        "--examples 20 --noise 0 --seeds 1",
        {"TESTS = 1000": "TESTS = 20", "method=None": "method=rpp.MAP(epochs=2)"},
        "docs/results/functions_inertia.md",
    ),
    "group_map": ("2", {"channels=384, layers=3": "channels=10, layers=1"}, "docs/results/group_map.md"),
    "layer_softness": (
        "40 1",
        {
            "(1, 4, 8, 8)": "(1, 2, 2, 2)",
            "nn.Linear(32, 10)": "nn.Linear(8, 10)",
            "epochs=60, burn_in=15": "epochs=3, burn_in=1",
            "every=15, steps=8": "every=1, steps=1",
        },
        "docs/results/layer_softness.md",
    ),
    "lorentz_jets": (
        "",
        {"200, 2000, 5, 300": "40, 50, 1, 2"},
        "docs/results/lorentz_jets.md docs/results/lorentz_jets.png",
    ),
    "molecule": (
        "12",
        {"slice(1000, 1300), 3, 1600, 32": "slice(1000, 1020), 2, 8, 6", "FEW, MOST = 25, 100": "FEW, MOST = 10, 12"},
        "docs/results/molecule.md docs/results/molecule.png",
    ),
    "nested_symmetry": ("", {"warmup=500, draws=500": "warmup=50, draws=20"}, "docs/results/nested_symmetry.md"),
    "planets": (
        "",
        {"6, 10, 200, 5": "3, 4, 40, 1", "moons(20, 2)": "moons(3, 2)"},
        "docs/results/planets.md docs/results/planets.png",
    ),
    "prior_over_functions": (
        "",
        {"PIXELS, LENGTHSCALE = 41": "PIXELS, LENGTHSCALE = 15"},
        "docs/results/prior_over_functions.png",
    ),
    "restrictions": ("", {"epochs=1500": "epochs=10"}, ""),
    "robot": ("", {"3000, 300, 100": "60, 20, 1"}, "docs/results/robot.md docs/results/robot.png"),
    "soft_digits": (
        "1",
        {"(100, 300), 1000": "(30, 40), 100", "STEPS, BATCH = 400, 50": "STEPS, BATCH = 4, 20"},
        "docs/results/soft_digits.md docs/results/soft_digits.png",
    ),
    "steerable_subgroup": (
        "",
        {"epochs=150": "epochs=2", "N = 9, 400": "N = 7, 20", "images(1000, 1)": "images(10, 1)"},
        "docs/results/steerable_subgroup.md",
    ),
    "table1": (
        "--trials 1 --members 2 --epochs 1 --width 2",
        {"[16, 16, 32]": "[2, 2, 2]"},
        "docs/results/table1.md",
    ),
    "tuned_or_grid": ("1 1", {"EXAMPLES, OBSERVED = 80": "EXAMPLES, OBSERVED = 15"}, "docs/results/tuned_or_grid.md"),
    "unknown_symmetry": ("", {}, "docs/results/unknown_symmetry.md docs/results/unknown_symmetry_scores.png"),
    "which_symmetry": ("1", {"channels=CHANNELS": "layers=0"}, "docs/results/which_symmetry.md"),
}


def test_every_example_is_listed():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name, tmp_path):
    if name == "steerable_subgroup" and not find_spec("escnn"):
        pytest.skip("needs escnn: scripts/install-escnn.sh")
    arguments, smaller, written = EXAMPLES[name]
    code = (ROOT / "examples" / f"{name}.py").read_text()
    for large, small in smaller.items():
        assert large in code, f"examples/{name}.py does not say {large!r} any more"
        code = code.replace(large, small)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "docs" / "results").mkdir(parents=True)
    script = tmp_path / "examples" / f"{name}.py"
    script.write_text(code)
    assert run_script(script, arguments, cwd=tmp_path)
    for file in written.split():
        assert (tmp_path / file).stat().st_size > 100
