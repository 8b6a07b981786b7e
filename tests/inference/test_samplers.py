"""SVI, HMC and NUTS: starts, guides of one's own, what stays untouched, and bad input."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bayes_rpp import HMC, MAP, NUTS, SVI, DeepEnsemble, Model, Prior, fit
from tests.inference.known import LinearProblem, SmallLinearProblem

jax = pytest.importorskip("jax")
numpyro = pytest.importorskip("numpyro")
pyro = pytest.importorskip("pyro")
torch = pytest.importorskip("torch")

PROBLEM = SmallLinearProblem()
SHORT = [NUTS(2, 20, 5), HMC(2, 20, 5), SVI(members=2, epochs=3, draws=5)]
each_method = pytest.mark.parametrize("method", SHORT, ids=lambda m: type(m).__name__)
pytestmark = pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")


def run(method, engine, model=PROBLEM.model, **options):
    return fit(model, PROBLEM.x, PROBLEM.y, method, engine=engine, progress=False, **options)


@each_method
def test_same_seed_same_draws_and_nothing_global_changes(engine, method):
    random_state = np.random.get_state()[1].copy()  # noqa: NPY002
    torch_state = torch.random.get_rng_state()
    pyro.clear_param_store()
    a, b, other = (run(method, engine, seed=seed) for seed in (4, 4, 5))
    for name, values in a.samples.items():
        assert values.shape[:2] == (2, 5)
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(values, b.samples[name])
        assert np.abs(values - other.samples[name]).max() > 1e-4
    assert np.abs(np.diff(a.samples["output.weight"], axis=0)).max() > 1e-4  # chains differ
    np.testing.assert_array_equal(np.random.get_state()[1], random_state)  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert not list(pyro.get_param_store().keys())
    assert not jax.config.jax_enable_x64


def test_the_first_chains_do_not_depend_on_the_rest(engine):
    few, many = (run(SVI(members=m, epochs=3, draws=5), engine) for m in (1, 2))
    np.testing.assert_allclose(few.samples["output.weight"], many.samples["output.weight"][:1], rtol=1e-4, atol=1e-6)


def test_each_guide_starts_at_a_member(engine):
    ensemble = run(DeepEnsemble(members=2, epochs=1), engine)
    method = SVI(members=2, epochs=1, learning_rate=1e-9, init_scale=1e-6, draws=3)
    post = run(method, engine, init=ensemble)
    for name, w in ensemble.samples.items():
        np.testing.assert_allclose(post.samples[name], np.repeat(w[0][:, None], 3, axis=1), atol=1e-4)


@pytest.mark.parametrize("kind", [NUTS, HMC])
def test_each_chain_starts_at_a_member(engine, kind):
    """With a prior and likelihood so narrow that a chain cannot go far, and members that are far apart."""
    model = Model(PROBLEM.net, sigma_b=Prior("HalfNormal", {"scale": 1.0}), likelihood=PROBLEM.model.likelihood)
    start = {k: np.stack([w, w + 3.0]) for k, w in PROBLEM.mode.items()} | {"sigma_b": np.array([0.5, 2.0])}
    from importlib import import_module

    from bayes_rpp.inference.run.sites import Sites
    from bayes_rpp.inference.run.task import Task

    sampler = import_module(f"bayes_rpp.inference.sample.{engine}").Sampler
    sites = Sites(model, "whitened")
    task = Task(model, PROBLEM.x, PROBLEM.y, kind(2, 20, 5), engine, 0, weights=start)
    for chain in range(2):
        initial = {k: v[None] for k, v in sites.values({k: v[chain] for k, v in start.items()}).items()}
        made = sampler(task, sites, initial, [0])
        state = made.state()
        z = (
            made._cut(np.asarray(made._state.z["sites"]))
            if engine == "numpyro"
            else {k: v.numpy() for k, v in made._z.items()}
        )
        assert float(np.squeeze(z["sigma_b"])) == pytest.approx(np.log(start["sigma_b"][chain]), abs=1e-5)
        np.testing.assert_allclose(np.squeeze(z["output.weight_base"]), initial["output.weight_base"][0], atol=1e-4)
        assert state


def guides(engine):
    if engine == "numpyro":
        return {
            "class": numpyro.infer.autoguide.AutoDiagonalNormal,
            "function": lambda model: _numpyro_guide,
        }
    return {"class": pyro.infer.autoguide.AutoDiagonalNormal, "function": lambda model: _pyro_guide}


def _numpyro_guide(x, y, **_):
    for name, shape in (("output.weight_base", (2, 2)), ("output.bias_base", (2,))):
        loc = numpyro.param(f"{name}_loc", np.zeros(shape))
        scale = numpyro.param(
            f"{name}_scale", 0.1 * np.ones(shape), constraint=numpyro.distributions.constraints.positive
        )
        numpyro.sample(name, numpyro.distributions.Normal(loc, scale).to_event(len(shape)))


def _pyro_guide(x, y, **_):
    for name, shape in (("output.weight_base", (2, 2)), ("output.bias_base", (2,))):
        loc = pyro.param(f"{name}_loc", torch.zeros(shape))
        scale = pyro.param(f"{name}_scale", 0.1 * torch.ones(shape), constraint=pyro.distributions.constraints.positive)
        pyro.sample(name, pyro.distributions.Normal(loc, scale).to_event(len(shape)))


@pytest.mark.parametrize(("engine", "kind"), [("numpyro", "function"), ("pyro", "class")], indirect=["engine"])
def test_guides_of_ones_own(engine, kind):
    """Each fits the mean, as the mean-field guide does; members do not share parameters."""
    method = SVI(guide=guides(engine)[kind], members=2, epochs=400, batch_size=None, learning_rate=0.05, draws=400)
    post = run(method, engine)
    theta = PROBLEM.theta(post)
    np.testing.assert_allclose(theta.mean(axis=1), np.stack([PROBLEM.mean] * 2), atol=0.1)
    assert np.abs(np.diff(theta.mean(axis=1), axis=0)).max() > 1e-6
    assert not list(pyro.get_param_store().keys())


def test_a_guide_without_the_models_sites_is_named(engine):
    empty = {"numpyro": lambda x, y, **_: None, "pyro": lambda x, y, **_: None}[engine]
    with pytest.raises((ValueError, KeyError, RuntimeError), match=r"output|guide|optimizer|parameter"):
        run(SVI(guide=lambda model: empty, epochs=1, draws=2), engine)


def test_map_takes_inferred_sigmas(engine):
    """The residual of a strict truth shrinks, that of a broken one does not (group lasso)."""
    found = []
    for broken in (0.0, 1.0):
        y = PROBLEM.x @ (np.eye(2) + broken * np.array([[1.0, 0.5], [0.5, -1.0]])).T
        model = Model(PROBLEM.net, sigma_b=Prior("HalfNormal", {"scale": 0.05}), likelihood=PROBLEM.model.likelihood)
        post = fit(model, PROBLEM.x, y, MAP(epochs=400, learning_rate=0.1), engine=engine, progress=False)
        found.append(float(post.samples["sigma_b"][0, 0]))
    assert found[1] > 3 * found[0]


LEARNED = Model(PROBLEM.net, sigma_b=Prior("HalfNormal", {"scale": 1.0}), parametrization="pathways")


@pytest.mark.parametrize(
    ("method", "options", "error", "message"),
    [
        (
            NUTS(),
            {"callbacks": [print]},
            ValueError,
            "callbacks must be None for NUTS, which has no epochs, got a list",
        ),
        (
            HMC(),
            {"validation": (PROBLEM.x, PROBLEM.y)},
            ValueError,
            "validation must be None for HMC, which has no epochs, got a tuple",
        ),
        (NUTS(chain_method="vectorized"), {"engine": "pyro"}, ValueError, r"chain_method must.*, got 'vectorized'"),
        (
            MAP(),
            {"executor": ThreadPoolExecutor(1)},
            ValueError,
            "executor must be None for MAP, which is one task, got a ThreadPoolExecutor",
        ),
        (NUTS(), {"executor": 3}, TypeError, r"executor must be a concurrent\.futures\.Executor, got 3"),
        (MAP(), {"model": LEARNED}, ValueError, r"parametrization must be one in which a.*, got 'pathways'"),
        (
            NUTS(3),
            {"init": {"output.weight": np.zeros((2, 2, 2)), "output.bias": np.zeros(2)}},
            ValueError,
            "init.*shape",
        ),
    ],
)
def test_bad_input_is_named(method, options, error, message):
    with pytest.raises(error, match=message):
        run(method, options.pop("engine", "numpyro"), options.pop("model", PROBLEM.model), **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NUTS(chains=0), "chains must be a whole number >= 1, got 0"),
        (lambda: NUTS(draws=1.5), r"draws must be a whole number >= 1, got 1\.5"),
        (lambda: HMC(warmup=5), "warmup must be 20 or more, got 5"),
        (lambda: HMC(target_accept=1.0), "target_accept must be between 0 and 1, got 1.0"),
        (lambda: HMC(trajectory_length=-1), "trajectory_length must be a number > 0, got -1"),
        (lambda: NUTS(trajectory_length=1), "trajectory_length must be None for NUTS, which finds it, got 1"),
        (lambda: NUTS(chain_method="batched"), "chain_method must be one of 'vectorized', .*, got 'batched'"),
        (lambda: NUTS(max_tree_depth=0), "max_tree_depth must be a whole number >= 1, got 0"),
        (lambda: SVI(guide="flow"), "guide must be one of 'mean_field', .*, got 'flow'"),
        (lambda: SVI(rank=3), "rank must be None with guide='mean_field', got 3"),
        (lambda: SVI(guide="low_rank", rank=0), "rank must be a whole number >= 1, got 0"),
        (lambda: SVI(init_scale=0), "init_scale must be a number > 0, got 0"),
        (lambda: SVI(particles=0), "particles must be a whole number >= 1, got 0"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_progress_bar_shows_the_phase(engine, capsys):
    fit(LinearProblem().model, LinearProblem().x, LinearProblem().y, NUTS(1, 20, 10), engine=engine)
    shown = capsys.readouterr().err
    for word in ("30/30", "warm-up", "sampling", "divergences="):
        assert word in shown
