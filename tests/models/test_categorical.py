"""Weights of classes, label smoothing, and a class for each of several places."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.engines.base import ENGINES, get_engine
from bayes_rpp.models.likelihoods import likelihood_from_config

RNG = np.random.default_rng(0)
F, Y = RNG.normal(size=(6, 12)), RNG.integers(0, 3, size=(6, 4))
CASES = {
    "weights": (rpp.Categorical(weights=[1.0, 2.0, 0.5]), F[:, :3], Y[:, :1]),
    "smoothed": (rpp.Categorical(0.7, label_smoothing=0.2), F[:, :3], Y[:, :1]),
    "both, of several places": (rpp.Categorical(weights=(1, 2, 0.5), label_smoothing=0.1, classes=3), F, Y),
    "several places": (rpp.Categorical(classes=3), F, Y),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.mark.parametrize("name", ENGINES)
def test_the_density_that_is_trained_with_is_numpys_up_to_a_constant(case, name):
    pytest.importorskip({"pyro": "pyro", "numpyro": "numpyro"}[name])
    likelihood, f, y = case
    engine, gaps = get_engine(name), []
    for outputs in (f, 2 * f + 1, np.zeros_like(f)):
        found = likelihood.objective(engine, engine.array(outputs), {})
        assert tuple(found.batch_shape) == (6,)
        logp = found.log_prob(likelihood.targets(engine, engine.array(y), f.shape[1]))
        gaps.append(np.asarray(logp) - likelihood.log_prob(outputs, y, {}))
    np.testing.assert_allclose(gaps[1:], [gaps[0]] * 2, atol=1e-5)
    plain = likelihood.distribution(engine, engine.array(f), {})
    wanted = likelihood.predictive.log_prob(f, y, {})
    np.testing.assert_allclose(plain.log_prob(likelihood.observed(engine, engine.array(y))), wanted, atol=1e-5)


def test_the_loss_is_that_of_torch(case):
    torch = pytest.importorskip("torch")
    likelihood, f, y = case
    weight = None if likelihood.weights is None else torch.as_tensor(likelihood.weights, dtype=torch.float64)
    loss = torch.nn.CrossEntropyLoss(weight, label_smoothing=likelihood.label_smoothing, reduction="sum")
    logits = torch.as_tensor(f / likelihood.temperature).reshape(6, 3, -1)
    assert -likelihood.log_prob(f, y, {}).sum() == pytest.approx(float(loss(logits, torch.as_tensor(y))))


def test_derivatives_draws_and_moments(case):
    likelihood, f, y = case
    slope, bend = likelihood.expansion(f, y, {})
    for i, step in enumerate(1e-5 * np.eye(f.shape[1])):
        ends = [likelihood.log_prob(f + s * step, y, {}) for s in (1, -1)]
        np.testing.assert_allclose(slope[:, i], (ends[0] - ends[1]) / 2e-5, atol=1e-6)
        slopes = [likelihood.expansion(f + s * step, y, {})[0] for s in (1, -1)]
        np.testing.assert_allclose(bend[:, i], -(slopes[0] - slopes[1]) / 2e-5, atol=1e-6)
    many = likelihood.sample(np.random.default_rng(0), np.broadcast_to(f, (4000, *f.shape)), {})
    assert many.shape == (4000, *y.shape)
    p = likelihood.by_class(likelihood.mean(f))
    np.testing.assert_allclose((many[..., None] == np.arange(3)).mean(axis=0), p, atol=0.05)
    assert likelihood_from_config("Categorical", likelihood.config()) == likelihood


def test_images_are_fitted_with_a_class_for_each_pixel(tmp_path):
    pytest.importorskip("pyro")
    x = RNG.normal(size=(40, 4)).astype(np.float32)
    y = (x[:, :2, None] > x[:, None, 2:]).astype(int)  # (n, 2, 2)
    net = rpp.MLP(4, 8, channels=16, layers=1)
    model = rpp.Model(net, likelihood=rpp.Categorical(classes=2, weights=[1.0, 1.5]))
    post = rpp.fit(model, x, y, rpp.MAP(epochs=60), engine="pyro", progress=False)
    found = post.metrics(x, y)
    assert found["accuracy"] > 0.85
    p = rpp.Categorical(classes=2).by_class(post.predict(x).mean)
    logp = np.log(np.take_along_axis(p, y.reshape(40, 4, 1), -1)).sum()
    assert found["nll"] == pytest.approx(-logp / 40, rel=1e-4)  # of classes as they come, without the weights
    post.save(tmp_path / "post.nc")
    assert rpp.Posterior.load(tmp_path / "post.nc").model.likelihood == model.likelihood
    wrong = rpp.Model(net, likelihood=rpp.Categorical(classes=2, weights=[1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match=r"weights must have a number for each of the 2 classes, got 3"):
        rpp.fit(wrong, x, y, rpp.MAP(epochs=1))
    wrong = rpp.Model(net, likelihood=rpp.Categorical(classes=3))
    with pytest.raises(ValueError, match="classes must divide the 8 outputs of the network, got 3"):
        rpp.fit(wrong, x, y, rpp.MAP(epochs=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": [1.0, -1.0]}, r"weights must be a list of numbers > 0, one for each class, got .*would do"),
        ({"weights": 2.0}, "weights must be a list of numbers > 0"),
        ({"label_smoothing": 1.0}, "label_smoothing must be a number from 0 to below 1, got 1.0"),
        ({"classes": 1}, "classes must be a whole number >= 2, got 1"),
    ],
)
def test_wrong_numbers_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        rpp.Categorical(**options)
