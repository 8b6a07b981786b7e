"""Every method on every engine, against a posterior that is known in closed form."""

from functools import partial

import numpy as np
import pytest

from bayes_rpp import (
    EMLP,
    MAP,
    DeepEnsemble,
    EquivarianceTracker,
    Gaussian,
    Model,
    O,
    Prior,
    Scalar,
    Vector,
    datasets,
    fit,
)
from bayes_rpp.inference import TrainingError
from tests.inference.known import LinearProblem

METHODS = [kind(epochs=150, batch_size=None, learning_rate=0.3) for kind in (MAP, partial(DeepEnsemble, members=3))]
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)


@pytest.mark.parametrize(
    ("method", "parametrization", "sigma_b"),
    [
        (METHODS[1], "whitened", 0.2),
        (METHODS[1], "whitened", 0.0),
        (METHODS[1], "pathways", 0.2),
        (METHODS[0], "pathways", 0.0),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [  # other pairs of what the cases above have
            (METHODS[1], "pathways", 0.0), (METHODS[0], "pathways", 0.2),
            (METHODS[1], "weights", 0.2), (METHODS[1], "weights", 0.0),
        ]),
    ],
    ids=lambda v: type(v).__name__ if v in METHODS else str(v),
)  # fmt: skip
def test_finds_the_mode_in_every_parametrisation(engine, method, parametrization, sigma_b):
    problem = LinearProblem(sigma_b, parametrization)
    post = fit(problem.model, problem.x, problem.y, method, engine=engine, progress=False)
    for name, mode in problem.mode.items():
        found = post.samples[name]
        assert found.shape == (1, method.count, *mode.shape)
        np.testing.assert_allclose(found, np.broadcast_to(mode, found.shape), atol=2e-3)


@each_method
def test_same_seed_same_posterior_and_first_members_do_not_depend_on_the_rest(engine, method):
    problem = LinearProblem()
    short = type(method)(**{**vars(method), "epochs": 3, "batch_size": 10})
    a, b = (fit(problem.model, problem.x, problem.y, short, engine=engine, progress=False, seed=4) for _ in range(2))
    one_method = MAP(epochs=3, batch_size=10, learning_rate=0.3)
    one = fit(problem.model, problem.x, problem.y, one_method, engine=engine, progress=False, seed=4)
    other = fit(problem.model, problem.x, problem.y, short, engine=engine, progress=False, seed=5)
    for name in problem.mode:
        np.testing.assert_array_equal(a.samples[name], b.samples[name])
        np.testing.assert_allclose(a.samples[name][:, :1], one.samples[name], rtol=1e-4, atol=1e-6)
        assert np.abs(a.samples[name] - other.samples[name]).max() > 1e-3
    if method.count > 1:
        assert np.abs(np.diff(a.samples["output.weight"], axis=1)).max() > 1e-3


@pytest.mark.parametrize("sigma_b", [0.2, 0.0])
@pytest.mark.parametrize("parametrization", ["weights", "whitened", "pathways"])
def test_engines_take_the_same_steps(parametrization, sigma_b):
    problem = LinearProblem(sigma_b, parametrization)
    method = DeepEnsemble(members=2, epochs=20, batch_size=None)
    a, b = (fit(problem.model, problem.x, problem.y, method, engine=e, progress=False) for e in ("numpyro", "pyro"))
    np.testing.assert_allclose(a.training["loss"], b.training["loss"], rtol=1e-4)


def test_engines_follow_the_same_path():
    """20 full-batch steps of an EMLP from the same initial values: losses to 1e-4 relative."""
    data = datasets.modified_inertia(200)
    net = EMLP(data.rep_in, data.rep_out, data.group, channels=40, layers=2)
    method = DeepEnsemble(members=2, epochs=20, batch_size=None)
    losses = [
        fit(Model(net), data.x, data.y, method, engine=e, progress=False).training["loss"] for e in ("numpyro", "pyro")
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_loss_is_minus_the_log_joint(engine):
    problem = LinearProblem(parametrization="weights")
    post = fit(problem.model, problem.x, problem.y, MAP(epochs=1, learning_rate=1e-12), engine=engine, progress=False)
    prior = sum(p.log_prob(post.samples[k])[0, 0] for k, p in problem.model.priors.items())
    want = -(prior + post.log_likelihood().sum()) / len(problem.x)
    np.testing.assert_allclose(post.training["loss"], want, rtol=1e-4)


def test_minibatches_find_the_mode_too(engine):
    problem = LinearProblem(n=64)
    method = MAP(epochs=40, batch_size=16, learning_rate=0.1)
    post = fit(problem.model, problem.x, problem.y, method, engine=engine, progress=False)
    np.testing.assert_allclose(post.samples["output.weight"][0, 0], problem.mode["output.weight"], atol=0.02)


def test_inferred_noise(engine):
    problem = LinearProblem(n=400, noise=Prior("HalfNormal", {"scale": 1.0}))
    post = fit(problem.model, problem.x, problem.y, METHODS[0], engine=engine, progress=False)
    assert post.samples["noise"].shape == (1, 1)
    np.testing.assert_allclose(post.samples["noise"], 0.3, atol=0.02)


def test_init_continues_from_a_posterior(engine):
    problem = LinearProblem()
    short = DeepEnsemble(members=2, epochs=1, learning_rate=1e-9)
    start = fit(problem.model, problem.x, problem.y, METHODS[1], engine=engine, progress=False)
    again = fit(problem.model, problem.x, problem.y, short, engine=engine, init=start, progress=False)
    for name in problem.mode:
        np.testing.assert_allclose(again.samples[name], start.samples[name][:, :2], atol=1e-5)
    zeros = {name: np.zeros(w.shape) for name, w in problem.mode.items()}
    from_zero = fit(problem.model, problem.x, problem.y, short, engine=engine, init=zeros, progress=False)
    np.testing.assert_allclose(from_zero.samples["output.weight"], 0, atol=1e-6)


def test_early_stopping_keeps_each_members_best_epoch(engine):
    data, held_out = datasets.inertia(30), datasets.inertia(100, seed=1)
    net = EMLP(data.rep_in, data.rep_out, data.group, channels=20, layers=1)
    method = DeepEnsemble(members=4, epochs=300, batch_size=10, patience=10)  # not as many as dimensions
    pair = (held_out.x, held_out.y)
    post = fit(Model(net), data.x, data.y, method, engine=engine, validation=pair, progress=False)
    curve = post.training["validation_loss"]
    assert curve.shape[1] < 300
    assert np.isfinite(curve).all()
    best = -post.log_likelihood(held_out.x, held_out.y)[0].mean(axis=-1)
    np.testing.assert_allclose(best, curve.min(axis=1), rtol=1e-4)


def test_a_loss_that_is_not_finite_stops_and_says_where(engine):
    problem = LinearProblem()
    method = DeepEnsemble(members=2, epochs=50, learning_rate=1e25, schedule="constant", batch_size=None)
    with pytest.raises(
        TrainingError, match=r"loss of member \d became (nan|inf) at epoch \d+, step 1 of 1; a smaller"
    ) as caught:
        fit(problem.model, problem.x, problem.y, method, engine=engine, progress=False)
    kept = caught.value.posterior
    assert kept is None or all(np.isfinite(w).all() for w in kept.samples.values())


def test_callbacks_see_progress_and_can_stop(engine):
    problem, seen = LinearProblem(), []

    def stop_at_three(progress):
        seen.append((progress.epoch, progress.loss.shape, progress.posterior.draws, progress.validation_loss))
        return np.mean(progress.epoch == 3) > 0.5  # a bool of numpy

    post = fit(
        problem.model, problem.x, problem.y, METHODS[1], engine=engine, callbacks=[stop_at_three], progress=False
    )
    assert seen == [(e, (3,), 3, None) for e in (1, 2, 3)]
    assert post.training["loss"].shape == (3, 3)


def test_progress_bar_shows_loss_and_equivariance_error(engine, capsys):
    data = datasets.inertia(20)
    net = EMLP(data.rep_in, data.rep_out, data.group, channels=10, layers=1)
    fit(Model(net), data.x, data.y, DeepEnsemble(members=2, epochs=2), engine=engine)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "loss=" in shown
    assert "equivariance error=" in shown


def test_nothing_global_changes(engine):
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    problem = LinearProblem()
    random_state = np.random.get_state()[1].copy()  # noqa: NPY002
    torch_state = torch.random.get_rng_state()
    fit(problem.model, problem.x, problem.y, MAP(epochs=2), engine=engine, progress=False)
    np.testing.assert_array_equal(np.random.get_state()[1], random_state)  # noqa: NPY002
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert not jax.config.jax_enable_x64


MODEL = LinearProblem().model
X, Y = LinearProblem().x, LinearProblem().y


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": X[:, :3]}, ValueError, "x must have 4 columns, the size of rep_in, got 3"),
        ({"y": Y[:, :3]}, ValueError, "y must have 4 columns, the size of rep_out, got 3"),
        ({"y": Y[:5]}, ValueError, "y must have 40 examples, as x has, got 5"),
        ({"x": X[0]}, ValueError, "two dimensions"),
        ({"x": X[:0], "y": Y[:0]}, ValueError, "x must have at least one example, got none"),
        (
            {"x": np.where(np.arange(40)[:, None] == 7, np.nan, X)},
            ValueError,
            r"x must be finite, got NaN or infinite values in 1 of 40 rows \(first: row 7\)",
        ),
        (
            {"y": np.full_like(Y, np.inf)},
            ValueError,
            r"y must be finite, got NaN or infinite values in 40 of 40 rows \(first: row 0\)",
        ),
        ({"x": np.full((40, 4), "a")}, TypeError, "x must hold numbers, got dtype <U1"),
        ({"engine": "jax"}, ValueError, "engine must be 'pyro' or 'numpyro', got 'jax'"),
        ({"method": MAP}, TypeError, r"MAP\(\) would do"),
        ({"method": "map"}, TypeError, "method must be a Method, got 'map'"),
        ({"seed": -1}, ValueError, "seed must be a whole number >= 0, got -1"),
        ({"seed": None}, ValueError, "seed must be a whole number >= 0, got None"),
        ({"validation": X}, TypeError, "validation"),
        ({"validation": (X[:, :1], Y)}, ValueError, "validation x must have 4 columns, the size of rep_in, got 1"),
        ({"method": MAP(patience=3)}, ValueError, "patience must be None without validation data, got 3"),
        ({"callbacks": [3]}, TypeError, "callbacks must be functions of Progress, got 3"),
        ({"callbacks": [EquivarianceTracker]}, TypeError, "callbacks must be functions of Progress, got <class"),
        ({"y": Y[:, 0]}, ValueError, r"y must have two dimensions \(examples, columns\), got shape \(40,\)"),
        ({"init": 3}, TypeError, "init must be a Posterior, or weights by parameter name, got a int"),
        ({"init": {}}, ValueError, r"init must have all weights, got no 'output\.weight', 'output\.bias'"),
        (
            {"init": {"output.weight": np.zeros(3), "output.bias": np.zeros(4)}},
            ValueError,
            r"init\['output\.weight'\] must have shape \(4, 4\) or \(1, 4, 4\), got \(3,\)",
        ),
        (
            {"init": {"output.weight": np.full((4, 4), np.nan), "output.bias": np.zeros(4)}},
            ValueError,
            r"init\['output\.weight'\] must be finite, got NaN or infinite values",
        ),
        ({"model": "model"}, TypeError, "model must be a Model or a GaussianProcess, got a str"),
        ({"model": Model}, TypeError, "model must be a Model or a GaussianProcess, got the class Model; Model"),
    ],
)
def test_bad_input_is_named(change, error, message):
    arguments = {"model": MODEL, "x": X, "y": Y, "method": MAP(epochs=1), "progress": False, **change}
    with pytest.raises(error, match=message):
        fit(arguments.pop("model"), arguments.pop("x"), arguments.pop("y"), arguments.pop("method"), **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number >= 1, got 0"),
        ({"batch_size": 0}, "batch_size must be a whole number >= 1, got 0"),
        ({"learning_rate": -1.0}, "learning_rate must be a number > 0, got -1"),
        ({"schedule": "step"}, "schedule must be 'cosine' or 'constant', got 'step'"),
        ({"patience": 0}, "patience must be a whole number >= 1, got 0"),
        ({"members": True}, "members must be a whole number >= 1, got True"),
    ],
)
def test_bad_methods_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        DeepEnsemble(**change)


def test_a_missing_engine_says_what_to_install(monkeypatch):
    import importlib

    module = importlib.import_module("bayes_rpp.engines.base")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'bayes-rpp\[pyro\]'"):
        fit(MODEL, X, Y, MAP(), engine="pyro")


def test_schedules():
    cosine, constant = MAP(learning_rate=0.1).rates(10), MAP(learning_rate=0.1, schedule="constant").rates(10)
    np.testing.assert_allclose(constant, 0.1)
    assert cosine[0] == 0.1
    assert (np.diff(cosine) < 0).all()
    assert 0 < cosine[-1] < 0.01


def test_gaussian_is_the_default_likelihood():
    assert Model(LinearProblem().net).likelihood == Gaussian(0.1)


def test_nothing_to_infer_is_an_error(engine):
    model = Model(EMLP(Scalar, Vector, O(3), layers=0), sigma_b=0.0)
    with pytest.raises(ValueError, match="model must have something to infer, got priors that fix every weight"):
        fit(model, np.ones((4, 1)), np.ones((4, 3)), MAP(), engine=engine, progress=False)


def test_one_draw_starts_all_members(engine):
    problem = LinearProblem(sigma_b=0.0, parametrization="whitened")
    one = fit(problem.model, problem.x, problem.y, METHODS[0], engine=engine, progress=False)
    short = DeepEnsemble(members=2, epochs=1, learning_rate=1e-9)
    many = fit(problem.model, problem.x, problem.y, short, engine=engine, init=one, progress=False)
    for name in problem.mode:
        np.testing.assert_allclose(many.samples[name][0], np.repeat(one.samples[name][0], 2, axis=0), atol=1e-5)
