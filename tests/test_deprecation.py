"""Old names work, and each use of one is a warning at the user's line that says the new one."""

import dataclasses
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp._deprecation import renamed_arguments, renamed_attribute, renamed_values
from bayes_rpp.analysis.comparison import Comparison
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.rl.transition_model import TransitionModel

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
        renamed_values(self, finish={"mat": "matte"})

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
    assert Paint(finish=None).finish is None


def test_both_names_of_an_argument():
    with pytest.raises(TypeError, match="colour and color are one argument; color alone would do"):
        paint(color="red", colour="blue")


NET = rpp.MLP(2, 1, layers=0)
MODEL = rpp.Model(NET)
X, Y = np.random.default_rng(0).normal(size=(2, 12, 2))
POSTERIOR = rpp.Posterior(MODEL, {k: np.ones((1, 2, *p.shape)) for k, p in NET.parameters.items()}, x=X, y=Y[:, :1])
CENTER = {k: np.zeros(p.shape) for k, p in NET.parameters.items()}
Z = Standardization.none(2)
COMPARISON = Comparison(None, None, None, {}, {}, {}, Z, Z)
USES = {
    "Model": (lambda: rpp.Model(NET, parametrisation="weights").parametrization, "weights"),
    "Model.replace": (lambda: MODEL.replace(parametrisation="weights").parametrization, "weights"),
    "Model.parametrisation": (lambda: MODEL.parametrisation, None),
    "LinearProblem": (lambda: rpp.testing.LinearProblem(parametrisation="weights").model.parametrization, "weights"),
    "Method": (lambda: rpp.NUTS().parametrisation(MODEL), "whitened"),
    "evidence": (lambda: rpp.Laplace(evidence="maximise"), rpp.Laplace(evidence="maximize")),
    "predictions": (lambda: rpp.Laplace(predictions="linearised"), rpp.Laplace()),
    "HMC": (lambda: rpp.HMC(chain_method="vectorised").chain_method, "vectorized"),
    "NUTS": (lambda: dataclasses.replace(rpp.NUTS(), chain_method="vectorised").chain_method, "vectorized"),
    "Posterior": (lambda: rpp.Posterior(MODEL, POSTERIOR.samples, x=X, y=Y[:, :1], centre=CENTER).center, CENTER),
    "Posterior.replace": (lambda: POSTERIOR.replace(centre=CENTER).center, CENTER),
    "Posterior.centre": (lambda: POSTERIOR.centre, None),
    "Standardization": (lambda: Z.centre.tolist(), [0, 0]),
    "Comparison x": (lambda: COMPARISON.standardise_x, Z),
    "Comparison y": (lambda: COMPARISON.standardise_y, Z),
    "TransitionModel x": (lambda: TransitionModel(POSTERIOR, Z, Z).standardise_x, Z),
    "TransitionModel y": (lambda: TransitionModel(POSTERIOR, Z, Z).standardise_y, Z),
}


@pytest.mark.parametrize("use", USES)
def test_old_spellings(use):
    with pytest.warns(DeprecationWarning, match=r"is(e|ation).*iz(e|ation)|centre.*center") as caught:
        assert USES[use][0]() == USES[use][1]
    assert len(caught) == 1
    assert caught[0].filename == __file__ or use == "NUTS"  # which is at the line of dataclasses.replace


def numpyro_sites():
    with pytest.importorskip("numpyro").handlers.seed(rng_seed=0), sys.modules["numpyro"].handlers.trace() as sites:
        MODEL.numpyro(X, parametrisation="whitened")
    return sites


def pyro_sites():
    with pytest.importorskip("pyro").poutine.trace() as traced:
        MODEL.pyro(X, parametrisation="whitened")
    return traced.trace.nodes


@pytest.mark.parametrize("sites", [numpyro_sites, pyro_sites])
def test_old_spelling_in_model_functions(sites):
    with pytest.warns(DeprecationWarning, match="parametrisation= is parametrization= now") as caught:
        assert "output.weight_base" in sites()
    assert caught[0].filename == __file__


def test_methods_of_other_packages_keep_their_parametrisation():
    with pytest.warns(DeprecationWarning, match="Own.parametrisation is parametrization now"):

        class Own(rpp.inference.Method):
            def parametrisation(self, model):
                return "weights"

    assert Own().parametrization(MODEL) == "weights"


@pytest.mark.parametrize("kind", ["RPPRegressor", "RPPClassifier"])
def test_old_spellings_of_estimators(kind):
    pytest.importorskip("sklearn")
    with pytest.warns(DeprecationWarning, match="standardise= is standardize= now") as caught:
        model = getattr(rpp, kind)(standardise=False).set_params(standardise=True)
    assert [w.filename for w in caught] == [__file__] * 2
    model.standardize_x_ = model.standardize_y_ = Z
    with pytest.warns(DeprecationWarning, match=r"standardise(_x_)? is standardize"):
        assert (model.standardise, model.standardise_x_) == (True, Z)
    assert "standardize" in model.get_params()
    assert "standardise" not in model.get_params()


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda: COMPARISON.judgement, "Comparison.judgement is judgment now"),
        (lambda: list(MODEL.pathways("output.weight"))[2:], "Model.pathways is covariance_terms now"),
    ],
)
def test_other_names_of_attributes(use, says):
    with pytest.warns(DeprecationWarning, match=says):
        assert not use()


def test_old_attribute_of_the_regressor():
    model = rpp.RPPRegressor()
    model.standardize_y_ = Z
    with pytest.warns(DeprecationWarning, match="standardise_y_ is standardize_y_"):
        assert model.standardise_y_ is Z
