"""The covariance of a GaussianProcess as a kernel of GPyTorch: the same numbers, gradients, and posteriors."""

import numpy as np
import pytest

from bayes_rpp import MAP, SO, D, Gaussian, GaussianProcess, Group, O, Prior, Scalar, Vector, fit, kernels
from bayes_rpp.models.process.conditional import assemble
from bayes_rpp.models.process.covariance import Covariance
from bayes_rpp.models.process.laplace import evidence_of

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
pytest.importorskip("torch")

MIRROR = Group(2, discrete_generators=[np.diag([1.0, -1.0])], name="mirror")
SOME = Prior("HalfNormal", {"scale": 1.0})
REPS = (Scalar + Vector, Vector + Scalar)
RICH = kernels.RBF(variance=SOME) * kernels.Matern52() + kernels.Polynomial(2, variance=0.3, lengthscale=2.0)
CASES = {
    "D(3)": (D(3), {"kernel": RICH, "sigma_a": SOME, "sigma_b": SOME, "mean_size": 2.0}),
    "list": ([SO(2), MIRROR], {"kernel": RICH, "sigma_b": 0.3, "mean": None, "ard": True}),
    "linear": (O(2), {"kernel": kernels.Matern52(), "sigma_b": 0.0, "mean": "linear", "mean_size": 1.5}),
}


def torch_of(array):
    import torch

    return torch.as_tensor(np.array(array, dtype=np.float64))


def made(case, scale):
    pytest.importorskip("gpytorch")
    group, options = CASES[case]
    gp = GaussianProcess(*REPS, group, **options, scale=scale, likelihood=Gaussian(SOME))
    rng = np.random.default_rng(0)
    x, z, y = rng.normal(size=(6, 3)) + np.array([2.0, 0, 0]), rng.normal(size=(4, 3)), rng.normal(size=(6, 3))
    sites = sorted({*gp.latents, *gp.open} - {"mean_size"})
    numbers = {k: float(np.exp(0.3 * rng.normal())) for k in sites}
    return gp, x, z, y, numbers, kernels.to_gpytorch(gp, x, numbers)


@pytest.mark.parametrize("scale", [None, "data"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_covariance(case, scale):
    gp, x, z, _, numbers, kernel = made(case, scale)
    covariance = Covariance(gp, x)
    prepared = covariance.own(numbers)
    own = assemble(covariance, prepared.total).reshape(18, 18)
    cross = assemble(covariance, covariance.cross(z, numbers, prepared)).reshape(12, 18)
    found = kernel(torch_of(x)).to_dense().detach().numpy()
    np.testing.assert_allclose(found, own, atol=1e-10)
    np.testing.assert_allclose(kernel(torch_of(z), torch_of(x)).to_dense().detach().numpy(), cross, atol=1e-10)
    np.testing.assert_allclose(kernel(torch_of(x), diag=True).detach().numpy(), np.diag(own), atol=1e-10)
    batch = kernel(torch_of(np.stack([x, x + 1]))).to_dense().detach().numpy()
    np.testing.assert_allclose(batch[0], own, atol=1e-10)
    single = kernel.float()(torch_of(x).float()).to_dense().detach().numpy()
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, own, atol=1e-4 * np.abs(own).max())


@pytest.mark.parametrize("scale", [None, "data"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_evidence(case, scale):
    import torch

    gp, x, _, y, numbers, kernel = made(case, scale)
    evidence = evidence_of(gp, x, y)
    value, slopes = evidence(numbers)
    noise = numbers["noise"]
    covariance = kernel(torch_of(x)).to_dense() + noise**2 * torch.eye(18, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(torch.zeros(18, dtype=torch.float64), covariance)
    logp = normal.log_prob(torch_of(y.ravel()))
    assert float(logp.detach()) == pytest.approx(value, abs=1e-8)
    logp.backward()
    seen = set()
    for name in numbers:
        if name == "noise":
            continue
        raw = kernel.get_parameter(f"raw_{name.replace('.', '_')}")
        by_log = float(raw.grad / torch.sigmoid(raw.detach())) * numbers[name]  # raw -> softplus(raw)
        assert by_log == pytest.approx(slopes[name], rel=1e-6, abs=1e-8), name
        seen.add(name)
    trained = {n for n, p in kernel.named_parameters() if p.requires_grad}
    assert trained == {f"raw_{n.replace('.', '_')}" for n in seen}


@pytest.mark.filterwarnings("ignore:x and y have . example")
def test_an_exact_gp_has_our_posterior():
    torch, gpytorch = pytest.importorskip("torch"), pytest.importorskip("gpytorch")
    _, x, z, y, _, _ = made("D(3)", "data")
    gp = GaussianProcess(*REPS, O(2), kernel=kernels.RBF(), mean_size=2.0, offset=[0, 0, 0.5])
    gp = gp.replace(likelihood=Gaussian(0.3))
    post = fit(gp, x, y, MAP(), progress=False)
    numbers = {k: float(v.flat[0]) for k, v in post.samples.items()}
    kernel = kernels.to_gpytorch(post.model, post.x, numbers, post.level)

    class Model(gpytorch.models.ExactGP):
        def __init__(self, x, y, likelihood):
            super().__init__(x, y, likelihood)
            self.kernel = kernel

        def forward(self, x):
            mean = torch_of(post.model.offset).expand(len(x), 3)
            return gpytorch.distributions.MultitaskMultivariateNormal(mean, self.kernel(x))

    likelihood = gpytorch.likelihoods.MultitaskGaussianLikelihood(num_tasks=3, has_task_noise=False).double()
    likelihood.noise = 0.3**2
    model = Model(torch_of(x), torch_of(y), likelihood)
    loss = -gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)(model(torch_of(x)), torch_of(y))
    assert float(-18 * loss.detach()) == pytest.approx(post.log_evidence, abs=1e-6)
    loss.backward()
    assert torch.isfinite(kernel.raw_sigma_a.grad)
    model.eval()
    likelihood.eval()
    with torch.no_grad():
        found = likelihood(model(torch_of(z)))
    wanted = post.predict(z)
    np.testing.assert_allclose(found.mean.numpy(), wanted.mean, atol=1e-8)
    np.testing.assert_allclose(found.stddev.numpy(), wanted.std, atol=1e-8)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"gp": O(2)}, TypeError, "gp must be a GaussianProcess, got a Group"),
        ({"x": None}, ValueError, "x must be the training inputs for scale='data', got None"),
        ({"x": np.zeros((3, 2))}, ValueError, "x must have 3 columns"),
        ({"numbers": {"sigma_c": 1.0}}, ValueError, "numbers must be of .*'sigma_b', got 'sigma_c'"),
        ({"numbers": {"sigma_a": -1.0}}, ValueError, r"numbers\['sigma_a'\] must be a number > 0, got -1.0"),
        (
            {"gp": GaussianProcess(Vector, Scalar + Vector, O(2), conservative=True)},
            ValueError,
            "gp must be one with conservative=False",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(given, kind, message):
    with pytest.raises(kind, match=message):
        kernels.to_gpytorch(**{"gp": GaussianProcess(*REPS, O(2)), "x": np.zeros((3, 3))} | given)
