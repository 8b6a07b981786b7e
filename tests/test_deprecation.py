"""Old names work, and each use of one is a warning at the user's line that says the new one."""

import dataclasses
import inspect
import os
import subprocess
import sys

import pytest

import bayes_rpp as rpp
from bayes_rpp._deprecation import renamed_arguments, renamed_attribute, renamed_value

MOVED = {
    "analysis": "Comparison Energy GroupErrorMap degree_of_symmetry energy_by_layer equivariance_interval "
    "group_error_map log_error_density",
    "groups": "parse_group parse_rep",
    "inference": "Checkpoint ConvergenceWarning Prediction Progress Summary TrainingError cache_compilations "
    "predictive_metrics",
    "networks": "Capabilities Capacity LinearPath ModuleNetwork Network capacity restrict to_torch uniform_rep",
    "plots": "plot_asymmetry plot_comparison plot_equivariance_kde plot_equivariance_posterior plot_group_map "
    "plot_sweep",
    "subspaces": "ComposedSubspace ConvolutionSubspace DenseSubspace EquivariantSubspace FullSubspace NestedSubspace "
    "SolverError SpanSubspace Subspace ZeroSubspace band block_pattern equivariant_basis",
}


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, names in MOVED.items() for n in names.split()])
def test_names_that_have_moved(module, name):
    says = rf"^bayes_rpp\.{name} is bayes_rpp\.{module}\.{name} now; version 0\.3 will not have the old name$"
    for _ in range(2):  # each use
        with pytest.warns(DeprecationWarning, match=says) as caught:
            old = getattr(rpp, name)
        assert caught[0].filename == __file__
    assert old is getattr(getattr(rpp, module), name)
    assert name not in dir(rpp)


def test_an_import_of_an_old_name_points_at_its_line(tmp_path):
    (tmp_path / "mine.py").write_text("import sys\nfrom bayes_rpp import band\nprint(band.__name__)\n")
    home = {"PYTHONPATH": os.getcwd(), "PYTHONWARNINGS": "default::DeprecationWarning"}
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, env=os.environ | home, capture_output=True, text=True
    )
    assert done.stdout == "band\n"
    assert "mine.py:2: DeprecationWarning: bayes_rpp.band is bayes_rpp.subspaces.band now" in done.stderr


@renamed_arguments(colour="color")
def paint(color="red", *, size=1):
    return color, size


@renamed_arguments(colour="color")
@dataclasses.dataclass(frozen=True)
class Paint:
    color: str = "red"
    finish: str = "gloss"
    hue = renamed_attribute("hue", "color")
    shade = renamed_attribute("shade", "shaded")

    def __post_init__(self):
        object.__setattr__(self, "finish", renamed_value("finish", self.finish, {"mat": "matte"}))

    def shaded(self, by):
        return f"{self.color}, {by}"


@pytest.mark.parametrize(
    ("use", "found", "says"),
    [
        (lambda: paint(colour="blue", size=2), ("blue", 2), "colour= is color= now"),
        (lambda: Paint(colour="blue").color, "blue", "colour= is color= now"),
        (lambda: Paint().hue, "red", "Paint.hue is color now"),
        (lambda: Paint().shade(2), "red, 2", "Paint.shade is shaded now"),
        (lambda: Paint(finish="mat").finish, "matte", "finish='mat' is 'matte' now"),
    ],
)
def test_old_arguments_attributes_and_values(use, found, says):
    with pytest.warns(DeprecationWarning, match=says) as caught:
        assert use() == found
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_new_names_do_not_warn():
    assert paint("blue", size=2) == paint(color="blue", size=2) == ("blue", 2)
    assert dataclasses.replace(Paint(), finish="matte") == Paint(color="red", finish="matte")
    assert str(inspect.signature(Paint)) == "(color: str = 'red', finish: str = 'gloss') -> None"
    assert renamed_value("finish", None, {"mat": "matte"}) is None


def test_both_names_of_an_argument():
    with pytest.raises(TypeError, match="colour and color are one argument; color alone would do"):
        paint(color="red", colour="blue")
