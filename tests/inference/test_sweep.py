"""A sweep gives what its fits one by one give."""

import itertools

import numpy as np
import pytest
import xarray as xr

from bayes_rpp import (
    EMLP,
    MAP,
    MLP,
    Categorical,
    ConvNet,
    DeepEnsemble,
    Gaussian,
    Model,
    Prior,
    datasets,
    fit,
    soften,
    sweep,
)
from bayes_rpp.inference import Checkpoint, TrainingError
from bayes_rpp.inference.run.checkpoint import Store
from bayes_rpp.inference.sweep.cells import Cell, programs
from tests.inference.known import LinearProblem, NestedProblem

METHOD = MAP(epochs=4, batch_size=12)
QUIET = {"progress": False}


def one_by_one(model, data, test, found, method=METHOD, **options):
    """Assert that each cell is its fit."""
    for values in itertools.product(*(found[d].values for d in found.dims)):
        cell = found.sel(dict(zip(found.dims, values, strict=True)))
        sigmas = {"sigma_a": model.sigma_a, "sigma_b": model.sigma_b.given}
        sigmas |= {k: float(cell[k]) for k in sigmas if k in found.dims}
        if sigmas["sigma_a"] == sigmas["sigma_b"] == 0:
            assert np.isnan(cell["loss"])
            continue
        same = {"likelihood": model.likelihood, "scale": model.scale, "parametrization": model.parametrization}
        alone = Model(model.net, **sigmas, **same)
        post = fit(alone, *data, method, seed=int(cell["seed"]), progress=False, **options)
        np.testing.assert_allclose(cell["loss"], post.training["loss"][0, -1], rtol=1e-4)
        np.testing.assert_allclose(cell["nll"], post.metrics(*test)["nll"], rtol=1e-4)
        error = post.equivariance_error(test[0]).mean()
        np.testing.assert_allclose(cell["equivariance_error"], error, rtol=1e-4, atol=1e-6)
        mean = post.predict(test[0]).mean
        if "mse" in found:
            np.testing.assert_allclose(cell["mse"], ((mean - test[1]) ** 2).mean(), rtol=1e-4)
        else:
            np.testing.assert_allclose(cell["error"], (mean.argmax(axis=-1) != np.ravel(test[1])).mean())


def test_cells_are_the_fits_one_by_one(engine):
    problem = LinearProblem(noise=Prior("HalfNormal", {"scale": 1.0}))
    data, test = (problem.x[:30], problem.y[:30]), (problem.x[30:], problem.y[30:])
    sigmas = {"sigma_a": [0.3, 1.5], "sigma_b": [0.0, 0.02, 0.5]}
    found = sweep(problem.model, data, METHOD, **sigmas, seeds=(0, 7), test=test, engine=engine, **QUIET)
    assert found.sizes == {"sigma_a": 2, "sigma_b": 3, "seed": 2}
    one_by_one(problem.model, data, test, found.isel(sigma_a=[-1], sigma_b=[0, 1], seed=[-1]), engine=engine)


@pytest.mark.parametrize("parametrization", ["weights", "whitened"])
def test_the_models_own_parametrisation_counts(parametrization):
    problem = LinearProblem(parametrization=parametrization)
    data = problem.x, problem.y
    found = sweep(problem.model, data, METHOD, sigma_b=[0.02, 0.5], test=data, engine="pyro", **QUIET)
    one_by_one(problem.model, data, data, found, engine="pyro")


def test_emlp_with_zeros_in_both_priors():
    data = datasets.modified_inertia(40)
    net = EMLP(data.rep_in, data.rep_out, data.group, channels=8, layers=1)
    model, pair = Model(net, likelihood=Gaussian(0.5)), (data.x, data.y)
    with pytest.warns(RuntimeWarning, match="1 of 4 cells .* 0 for both.*: sigma_a=0, sigma_b=0, seed=0$"):
        found = sweep(model, data, METHOD, sigma_a=[0, 1], sigma_b=[0, 0.1], test=data, engine="pyro", **QUIET)
    assert found["equivariance_error"].sel(sigma_a=1, sigma_b=0) < 1e-5
    one_by_one(model, pair, pair, found, engine="pyro")


def test_softened_torch_module_and_classes():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    cnn = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(32, 3)
    )
    rng = np.random.default_rng(0)
    data = rng.normal(size=(30, 1, 4, 4)), rng.integers(3, size=30)
    model = Model(soften(cnn, (1, 4, 4)), likelihood=Categorical())
    found = sweep(model, data, METHOD, sigma_b=[0.0, 0.1, 1.0], seeds=2, test=data, **QUIET)
    assert found.attrs["engine"] == "pyro"
    one_by_one(model, data, data, found)


def test_convolutions_nested_pathways_and_priors_by_parameter():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 16)), rng.normal(size=(24, 2))
    net = ConvNet((1, 4, 4), 2, channels=[2])
    by_name = {"layers.*": 1.0, "*": 0.5}
    found = sweep(Model(net, sigma_a=by_name), (x, y), METHOD, sigma_b=[0.1, 1.0], test=(x, y), engine="pyro", **QUIET)
    assert found.sizes == {"sigma_b": 2, "seed": 1}
    one_by_one(Model(net, sigma_a=by_name), (x, y), (x, y), found, engine="pyro")
    nested = NestedProblem()
    data = nested.x, nested.y
    found = sweep(nested.model, data, METHOD, sigma_b=[0.1, 1.0], test=data, engine="pyro", **QUIET)
    one_by_one(nested.model, data, data, found, engine="pyro")


def test_sigmas_that_the_model_infers_are_inferred_in_each_cell(engine):
    problem = LinearProblem()
    prior = Prior("HalfNormal", {"scale": 0.1})
    model = Model(problem.model.net, sigma_b=prior, likelihood=problem.model.likelihood)
    data = problem.x, problem.y
    for swept in ({}, {"sigma_a": [0.3, 1.0]}):
        kept = []
        scores = {"scores": lambda post, kept=kept: kept.append(float(post.samples["sigma_b"][0, 0])) or {}}
        found = sweep(model, data, METHOD, **swept, seeds=[0, 3], engine=engine, **scores, **QUIET)
        assert "sigma_b" not in found.dims
        last = found.isel(sigma_a=-1, seed=1)
        alone = Model(model.net, sigma_a=float(last["sigma_a"]), sigma_b=prior, likelihood=model.likelihood)
        post = fit(alone, *data, METHOD, engine=engine, seed=3, progress=False)
        assert float(last["loss"]) == pytest.approx(post.training["loss"][0, -1], rel=1e-4)
        assert kept[-1] == pytest.approx(post.samples["sigma_b"][0, 0], rel=1e-3)


def test_parts_that_fit_the_memory_give_the_same(engine, tmp_path):
    problem = LinearProblem()
    options = {"sigma_b": [0.1, 0.4], "seeds": range(3), "engine": engine, **QUIET}
    data = problem.x, problem.y
    whole = sweep(problem.model, data, METHOD, **options)
    parts = sweep(problem.model, data, METHOD, **options, memory=1.5e-5, checkpoint=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    np.testing.assert_allclose(parts["loss"], whole["loss"], rtol=1e-5)


def test_programs_hold_cells_of_one_structure():
    model = LinearProblem().model
    cells = [Cell(a, b, s) for a in (0.0, 1.0) for b in (0.0, 0.1, 0.3) for s in range(2)]
    sizes = [len(part) for part in programs(model, cells, 10, memory=4.0, most=12)]
    assert sizes == [2, 4, 2, 4]
    assert [len(part) for part in programs(model, cells, 10, memory=1e-9, most=12)] == [1] * 12
    for part in programs(model, cells, 10, memory=4.0, most=12):
        assert len({(c.sigma_a == 0, c.sigma_b == 0) for c in part}) == 1


def test_members_of_one_batch_of_operations():
    pytest.importorskip("numpyro")
    from bayes_rpp.inference.optimise.map.numpyro import members_together
    from bayes_rpp.inference.run.task import Task

    def together(net, members, **options):
        x, y = np.zeros((50, net.rep_in.size)), np.zeros((50, net.rep_out.size))
        return members_together(Task(Model(net), x, y, MAP(batch_size=10), "numpyro", 0, **options), members)

    small, large = MLP(4, 4, channels=8, layers=1), MLP(4, 4, channels=500, layers=2)
    assert together(small, 20) == 20
    assert together(large, 20) == 1
    assert together(small, 20, memory=2e-4) == 10
    assert together(small, 20, memory=1e-9) == 1
    assert 8 <= together(small, 100_000) < 10_000


class Stop(Exception):
    pass


def test_a_stopped_sweep_goes_on(tmp_path, monkeypatch):
    problem = LinearProblem()
    data = problem.x, problem.y
    options = {"sigma_b": [0.0, 0.1, 0.4], "seeds": range(2), "test": data, "engine": "pyro", **QUIET}
    whole = sweep(problem.model, data, METHOD, **options)
    saved, save = [], Store.save

    def stop_sometimes(self, state, *args):
        save(self, state, *args)
        saved.append(int(state["epoch"]))
        if len(saved) in (2, 6):
            raise Stop

    monkeypatch.setattr(Store, "save", stop_sometimes)
    options["checkpoint"] = Checkpoint(tmp_path, every=0)
    for _ in range(2):
        with pytest.raises(Stop):
            sweep(problem.model, data, METHOD, **options)
    again = sweep(problem.model, data, METHOD, **options)
    assert saved == [1, 2, 3, 4, 1, 2, 3, 4]
    xr.testing.assert_allclose(again, whole, rtol=1e-5)
    with pytest.raises(ValueError, match="checkpoint must hold this run, got"):
        sweep(problem.model, data, METHOD, **{**options, "seeds": range(1, 3)})


def test_a_cell_that_diverges_leaves_the_others(engine):
    problem = LinearProblem()
    data, tiny = (problem.x, problem.y), 1e-30  # its precision is more than float32 holds
    with pytest.warns(RuntimeWarning, match=r"1 of 2 cells .* loss became (nan|inf) at epoch 1: .* sigma_b=1e-30, s"):
        found = sweep(problem.model, data, METHOD, sigma_b=[0.1, tiny], test=data, engine=engine, **QUIET)
    assert np.isnan(found.sel(sigma_b=tiny).to_array()).all()
    one_by_one(problem.model, data, data, found.drop_sel(sigma_b=tiny), engine=engine)
    with pytest.raises(TrainingError):
        fit(Model(problem.net, sigma_b=tiny), *data, METHOD, engine=engine, **QUIET)


def test_scores_and_files(tmp_path):
    problem = LinearProblem()
    data = problem.x, problem.y

    def scores(post):
        if post.seed == 1:
            raise ZeroDivisionError("of this seed")
        return {"size": np.abs(post.samples["output.weight"]).mean(), "sigma": post.model.sigma_b.given}

    with pytest.warns(RuntimeWarning, match="1 of 2 cells.*scoring raised ZeroDivisionError: of this seed: .*seed=1"):
        found = sweep(problem.model, data, METHOD, seeds=range(2), scores=scores, engine="pyro", **QUIET)
    assert set(found.data_vars) == {"loss", "size", "sigma"}
    np.testing.assert_array_equal(found["sigma"].values.ravel(), [0.2, np.nan])
    assert np.isfinite(found["loss"]).all()
    found.to_netcdf(tmp_path / "found.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "found.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again.load(), found)
    assert "MAP(epochs=4" in found.attrs["method"]


def test_the_bar_shows_all_cells(capsys):
    problem = LinearProblem()
    sweep(problem.model, (problem.x, problem.y), METHOD, sigma_b=[0, 0.1], seeds=range(3), engine="pyro")
    shown = capsys.readouterr().err
    assert "24/24" in shown
    assert "loss=" in shown


MODEL, X, Y = LinearProblem().model, LinearProblem().x, LinearProblem().y


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": 3}, TypeError, "model must be a Model, got a int"),
        ({"data": X}, TypeError, r"data must be a Dataset or a pair \(x, y\), got a ndarray"),
        ({"data": (X[:, :3], Y)}, ValueError, "data x must have 4 columns, the size of rep_in, got 3"),
        ({"test": (X, Y[:5])}, ValueError, "test y must have 40 examples, as test x has, got 5"),
        ({"method": DeepEnsemble()}, TypeError, r"method must be MAP\(\.\.\.\), of which.*, got DeepEnsemble"),
        ({"method": MAP}, TypeError, r"MAP\(\) would do"),
        ({"method": MAP(patience=2)}, ValueError, "patience must be None, as a sweep has no validation data, got 2"),
        ({"sigma_a": [-1.0]}, ValueError, r"sigma_a must be a finite number >= 0, got -1\.0"),
        ({"sigma_b": []}, ValueError, "sigma_b must be different numbers >= 0, got"),
        ({"sigma_b": [0.1, 0.1]}, ValueError, "sigma_b must be different numbers >= 0, got"),
        ({"sigma_b": [[0.1, 1.0]]}, TypeError, r"sigma_b must be a number >= 0, got \[0\.1, 1\.0\]"),
        (
            {"sigma_b": Prior("HalfNormal", {"scale": 1.0})},
            TypeError,
            r"sigma_b must be a number >= 0, got Prior\(family='HalfNormal',",
        ),
        (
            {"sigma_a": 0, "sigma_b": 0},
            ValueError,
            r"no cell has a result: parameter output\.weight: sigma_a or sigma_b",
        ),
        ({"seeds": [-1]}, ValueError, "seeds must be whole numbers >= 0, got"),
        ({"seeds": [1, 1]}, ValueError, "one comes twice"),
        ({"seeds": ()}, ValueError, "seeds must be whole numbers >= 0, got"),
        ({"scores": 3}, TypeError, "scores must be a function of a Posterior that returns a dict of numbers, got 3"),
        ({"engine": "jax"}, ValueError, "engine must be 'pyro' or 'numpyro', got 'jax'"),
        ({"memory": 0}, ValueError, "memory must be a number > 0, got 0"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be a folder's path, got 3"),
        ({"model": NestedProblem().model, "sigma_a": [1.0]}, ValueError, r"no cell .* has 2 pathway\(s\)"),
    ],
)
def test_bad_input_is_named(change, error, message):
    arguments = {"model": MODEL, "data": (X, Y), "method": METHOD, **QUIET, **change}
    if isinstance(arguments["model"], Model) and arguments["model"].net.rep_in.size != 4:
        arguments["data"] = (X[:, :2], Y[:, :2])
    with pytest.raises(error, match=message):
        sweep(arguments.pop("model"), arguments.pop("data"), arguments.pop("method"), **arguments)


def test_default_method_and_networks_without_a_group():
    net = MLP(4, 4, channels=4, layers=1)
    found = sweep(Model(net), (X, Y), MAP(epochs=1), test=(X, Y), engine="pyro", **QUIET)
    assert found.sizes == {"sigma_a": 1, "sigma_b": 1, "seed": 1}
    assert float(found["equivariance_error"].squeeze()) == 0
