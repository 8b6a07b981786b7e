"""Fits that start from weights that are good already: a trained module's, or a mode's."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.inference.methods import GENTLE, RATE

# On purpose: such fits are what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:the fit predicts the training data no better")

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def problem():
    """Data of a module, and the module, softened."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(16, 2)
    )
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(2.0)
        y = module(torch.as_tensor(X)).numpy()
    return rpp.soften(module, 4), y + 0.05 * RNG.normal(size=y.shape).astype(np.float32)


def fit(problem, method, engine="pyro", sigmas=(3.0, 0.3), n=60, **options):
    net, y = problem
    model = rpp.Model(net, sigma_a=sigmas[0], sigma_b=sigmas[1], likelihood=rpp.Gaussian(0.05))
    options = {"init": net.initial, **options}
    return rpp.fit(model, X[:n], y[:n], method, engine=engine, progress=False, **options)


def loss(problem, params):
    net, y = problem
    return float(np.mean((net({k: np.float32(params[k]) for k in net.parameters}, X) - y) ** 2))


def members(post):
    return [{k: w[0, m] for k, w in post.samples.items()} for m in range(post.draws)]


@pytest.mark.parametrize("method", [rpp.MAP(epochs=5, batch_size=6), rpp.DeepEnsemble(members=2, epochs=20)])
def test_the_defaults_keep_what_a_module_has_learned(problem, method):  # warnings are errors
    before = loss(problem, problem[0].initial)
    post = fit(problem, method)
    for params in members(post):
        assert loss(problem, params) < 1.5 * before


@pytest.mark.filterwarnings("ignore:the fit ended where")  # after two epochs of 0.03
@pytest.mark.parametrize("kind", [rpp.MAP, rpp.DeepEnsemble, rpp.Laplace])
def test_the_default_learning_rate_depends_on_where_it_starts(problem, kind):
    method = kind(epochs=2)
    assert method.rate == RATE == 0.03
    given = fit(problem, method)
    assert f"learning_rate={GENTLE}" in given.method
    same = fit(problem, kind(epochs=2, learning_rate=GENTLE))
    for k in given.samples:
        np.testing.assert_array_equal(given.samples[k], same.samples[k])
    for options in ({"init": None}, {"init": given}):  # from the prior, or from a posterior, as ever
        post = fit(problem, method, **options)
        wanted = fit(problem, kind(epochs=2, learning_rate=RATE), **options)
        for k in post.samples:
            np.testing.assert_array_equal(post.samples[k], wanted.samples[k])


def test_svi_keeps_its_own_default(problem):
    assert "learning_rate=0.02" in fit(problem, rpp.SVI(epochs=1, draws=2)).method


WORSE = "the fit ended where the training data are less likely than at init: .* after "
CASES = [
    (rpp.MAP(epochs=5, learning_rate=1.0), (3.0, 0.3), r"A smaller learning_rate \(now 1\)"),
    (rpp.MAP(epochs=3, learning_rate=0.5, schedule="constant"), (3.0, 0.3), r"A smaller learning_rate \(now 0.5\)"),
    (rpp.DeepEnsemble(members=2, epochs=5, learning_rate=1.0), (3.0, 0.3), r"A smaller learning_rate \(now 1\)"),
    (rpp.MAP(epochs=80, learning_rate=0.3), (0.01, 0.01), r"The prior asks for it, as the weights .* are \d+ of its"),
    (rpp.MAP(epochs=80, learning_rate=0.1), (0.02, 0.001), r"The prior asks for it.*larger sigma_a and sigma_b"),
    (rpp.MAP(epochs=80, learning_rate=0.3), (0.01, 0.0), r"The prior asks for it"),
]


@pytest.mark.parametrize(("method", "sigmas", "reason"), CASES)
def test_a_result_that_is_worse_than_its_start_is_named(problem, method, sigmas, reason):
    with pytest.warns(UserWarning, match=WORSE + ".*" + reason):
        post = fit(problem, method, sigmas=sigmas)
    assert loss(problem, members(post)[0]) > loss(problem, problem[0].initial)


def test_no_word_where_the_result_is_better_or_there_was_no_start(problem):
    fit(problem, rpp.MAP(epochs=2, learning_rate=1.0), init=None)
    poor = {k: 0.0 * w for k, w in problem[0].initial.items()}
    fit(problem, rpp.MAP(epochs=20, learning_rate=0.03), init=poor)
    fit(problem, rpp.MAP(epochs=2), init=fit(problem, rpp.MAP(epochs=50)))


V, S = rpp.Vector, rpp.Scalar
STRICT = [  # the network, and how strict the second model is
    (lambda: rpp.EMLP(V, V, rpp.O(3), layers=0), 0.0),
    (lambda: rpp.EMLP(V, V, rpp.O(3), channels=16, layers=1, bilinear="full"), 0.0),
    (lambda: rpp.EMLP(V, V, rpp.O(3), channels=16, layers=1, bilinear="full"), {"*.bias": 1e-3, "*": 0.0}),
    (lambda: rpp.EMLP(V, V + S, rpp.SO(2) * rpp.Trivial(1), layers=0), 0.0),
    (lambda: rpp.networks.restrict(rpp.MLP(3, 3, layers=0), {"output.weight": BAND}), {"*.weight": 0.0, "*": 1.0}),
]
BAND = rpp.subspaces.SpanSubspace.masked(np.eye(3, dtype=bool))


@pytest.mark.parametrize(
    ("make", "strict", "method"),
    [(*case, rpp.MAP(epochs=120)) for case in STRICT] + [(*STRICT[0], rpp.DeepEnsemble(members=2, epochs=120))],
)
def test_no_word_of_what_a_strict_model_cannot_start_from(make, strict, method):
    net = make()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = x @ rng.normal(size=(3, net.rep_out.size)) + 0.05 * rng.normal(size=(60, net.rep_out.size))
    like = rpp.Gaussian(0.1)
    free = rpp.fit(rpp.Model(net, sigma_b=1.0, likelihood=like), x, y, method, engine="pyro", progress=False)
    model = rpp.Model(net, sigma_b=strict, likelihood=like)
    post = rpp.fit(model, x, y, method, init=free, engine="pyro", progress=False)
    assert post.log_likelihood().mean() < free.log_likelihood().mean() - 0.1


@pytest.fixture(scope="module")
def overfit():
    """A network, few data with others for validation, and weights that follow the few."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 3))
    y = x @ rng.normal(size=(3, 3)) + 0.3 * rng.normal(size=(60, 3))
    net = rpp.MLP(3, 3, channels=32, layers=1)
    model = rpp.Model(net, sigma_b=3.0, likelihood=rpp.Gaussian(0.3))
    method = rpp.MAP(epochs=300, batch_size=None)
    return (
        net,
        (x[:12], y[:12]),
        (x[12:], y[12:]),
        rpp.fit(model, x[:12], y[:12], method, engine="pyro", progress=False),
    )


@pytest.mark.parametrize("sigma", [0.1, 0.3, 3.0])
@pytest.mark.parametrize("kind", [rpp.MAP, rpp.DeepEnsemble])
def test_no_word_where_validation_chose_the_end(overfit, kind, sigma):
    net, data, validation, init = overfit
    model = rpp.Model(net, sigma_b=sigma, likelihood=rpp.Gaussian(0.3))
    method = kind(epochs=150, batch_size=None, patience=30, **({"members": 2} if kind is rpp.DeepEnsemble else {}))
    post = rpp.fit(model, *data, method, init=init, validation=validation, engine="pyro", progress=False)
    assert post.log_likelihood(*validation).mean() > init.log_likelihood(*validation).mean()


@pytest.mark.filterwarnings("ignore:the fit predicts the training data no better than their mean")  # as is meant here
def test_the_prior_is_named_only_where_the_weights_are_large_beside_it():
    """Few data, which a draw of the prior fits exactly: the mode is nearer to zero, as it should be."""
    net, x = rpp.MLP(3, 20, layers=0), np.random.default_rng(1).normal(size=(4, 3))
    start = {k: np.random.default_rng(2).normal(size=p.shape) for k, p in net.parameters.items()}
    y = net(start, x)

    def ends(sigma):
        model = rpp.Model(net, sigma_a=sigma, sigma_b=0.0, scale=None, likelihood=rpp.Gaussian(1.5))
        post = rpp.fit(model, x, y, rpp.MAP(epochs=300), init=start, engine="pyro", progress=False)
        best = model.likelihood.log_prob(y[None, None], y, {}).mean()
        return best - post.log_likelihood().mean()

    assert ends(1.0) > 0.5
    with pytest.warns(UserWarning, match=r"The prior asks for it, as the weights 'output.weight' .* are 5 of its"):
        assert ends(0.2) > 1.0


KEPT = [(rpp.MAP, "pyro"), (rpp.DeepEnsemble, "pyro"), (rpp.SVI, "pyro"), (rpp.DeepEnsemble, "numpyro")]


@pytest.mark.parametrize(("method", "engine"), KEPT)
def test_a_start_that_is_best_is_kept(problem, method, engine):
    pair = (X[40:], problem[1][40:])
    options = {"members": 2} if method is rpp.DeepEnsemble else {"draws": 3} if method is rpp.SVI else {}
    rough = method(epochs=6, patience=3, learning_rate=2.0, **options)
    net = problem[0]
    if engine == "numpyro":  # a softened torch module runs in Pyro
        net = rpp.MLP(4, 2, channels=8, layers=1)
        model = rpp.Model(net, sigma_a=3.0, likelihood=rpp.Gaussian(0.05))
        good = rpp.fit(model, X[:40], problem[1][:40], rpp.MAP(epochs=300), engine="pyro", progress=False)
        start = {k: good.samples[k][0, 0] for k in net.parameters}
        post = rpp.fit(
            model, X[:40], problem[1][:40], rough, engine=engine, init=start, validation=pair, progress=False
        )
    else:
        start = net.initial
        post = fit(problem, rough, n=40, validation=pair)
    if method is rpp.SVI:  # its draws are around the start
        for k in net.parameters:
            assert np.abs(post.samples[k] - start[k]).max() < 3.0
    else:
        for params in members(post):
            for k in net.parameters:
                np.testing.assert_allclose(params[k], start[k], atol=1e-4)
    assert post.training["loss"].shape[1] == 3  # and no epoch was better


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (rpp.NUTS(chains=4, warmup=20, draws=5), "each of the 4 chains, or one for all, got 2; chains=2 would do"),
        (rpp.DeepEnsemble(members=3), "each of the 3 members, or one for all, got 2; members=2 would do"),
    ],
)
def test_too_few_starts_are_counted(method, words):
    model = rpp.Model(rpp.MLP(4, 2, layers=0))
    shapes = {k: p.shape for k, p in model.net.parameters.items()}
    two = rpp.Posterior(model, {k: np.zeros((1, 2, *s)) for k, s in shapes.items()}, x=X, y=X[:, :2])
    with pytest.raises(ValueError, match=words):
        rpp.fit(model, X, X[:, :2], method, init=two)
