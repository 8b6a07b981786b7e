"""The same answers on a GPU as in closed form and on the CPU; skipped where there is none.

They choose the device themselves. Where JAX has a GPU, the others run on it as they are:
python -m pytest tests/test_gpu.py tests/test_contracts.py tests/inference/test_known_posteriors.py -k "gpu or numpyro"
"""

import copy

import numpy as np
import pytest

import bayes_rpp as rpp
from tests.devices import has_gpu
from tests.inference.known import SmallLinearProblem
from tests.inference.laplace_cases import run

pytestmark = pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")  # of short chains


@pytest.fixture
def on_gpu(engine):
    """The engine, where what it makes is made on the GPU."""
    if not has_gpu(engine):
        pytest.skip(f"{engine} sees no GPU")
    if engine == "numpyro":
        yield engine
    else:
        with pytest.importorskip("torch").device("cuda"):
            yield engine


@pytest.fixture
def torch():
    """With products as precise as the CPU's."""
    pytest.importorskip("pyro")
    if not has_gpu("pyro"):
        pytest.skip("torch sees no GPU")
    torch = pytest.importorskip("torch")
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield torch
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("parametrization", ["whitened", "weights", "pathways"])
def test_the_mode_is_the_exact_one(on_gpu, parametrization):
    problem = SmallLinearProblem(parametrization=parametrization)
    post = run(problem, rpp.DeepEnsemble(members=2, epochs=400, batch_size=None, learning_rate=0.1), on_gpu)
    for name, mode in problem.mode.items():
        np.testing.assert_allclose(post.samples[name][0], np.stack([mode] * 2), atol=5e-3)


METHODS = {
    "Laplace": (rpp.Laplace(epochs=400, draws=20_000), 0.03),
    "SVI": (rpp.SVI(1000, None, learning_rate=0.03, guide="full", particles=50, draws=20_000), 0.05),
    "NUTS": (rpp.NUTS(chains=4, warmup=100, draws=300), 0.3),
}


@pytest.mark.parametrize("name", METHODS)
def test_the_posterior_is_the_exact_one(on_gpu, name):
    """Mean and covariance, within so much of their norms."""
    if name == "NUTS" and on_gpu == "pyro":
        pytest.skip("one chain at a time, a launch for each operation")
    (method, within), problem = METHODS[name], SmallLinearProblem()
    post = run(problem, method, on_gpu)
    theta = problem.theta(post).reshape(-1, len(problem.mean))
    assert np.linalg.norm(theta.mean(axis=0) - problem.mean) < within * np.linalg.norm(problem.mean)
    assert np.linalg.norm(np.cov(theta.T) - problem.covariance) < within * np.linalg.norm(problem.covariance)


def test_a_fit_goes_on_where_it_stopped(on_gpu, tmp_path):
    problem = SmallLinearProblem()
    method = rpp.MAP(epochs=6, batch_size=4)
    whole = run(problem, method, on_gpu)

    class Stop(Exception):
        pass

    def stop(state):
        if state.epoch == 3:
            raise Stop

    where = tmp_path / "fit"
    with pytest.raises(Stop):
        run(problem, method, on_gpu, callbacks=[stop], checkpoint=where)
    resumed = run(problem, method, on_gpu, checkpoint=where)
    for name, weights in whole.samples.items():
        np.testing.assert_allclose(resumed.samples[name], weights, atol=1e-5)


NETWORKS = {
    "EMLP": lambda: rpp.EMLP(2 * rpp.Vector + rpp.Scalar, rpp.Vector * rpp.Vector, rpp.O(3), channels=20, layers=2),
    "full": lambda: rpp.EMLP(2 * rpp.Vector, rpp.Vector, rpp.SO(3), channels=20, layers=1, bilinear="full"),
    "MLP": lambda: rpp.MLP(3, 2, None, channels=16, layers=2),
    "ConvNet": lambda: rpp.ConvNet((2, 6, 6), 4, channels=[3, 4]),
    "particles": lambda: rpp.ParticleNetwork(4, features=rpp.Vector, out=rpp.Vector, channels=8, layers=1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_the_same_functions_as_on_numpy(on_gpu, name):
    net, rng = NETWORKS[name](), np.random.default_rng(0)
    drawn = {k: rng.normal(size=p.shape) / np.sqrt((1, *p.shape)[-1]) for k, p in net.parameters.items()}
    params = {k: w.astype(np.float32) for k, w in drawn.items()}
    x = rng.normal(size=(7, net.rep_in.size)).astype(np.float32)
    want = np.asarray(net({k: p.astype(float) for k, p in params.items()}, x.astype(float)))
    if on_gpu == "pyro":
        torch = pytest.importorskip("torch")
        found = net({k: torch.tensor(p) for k, p in params.items()}, torch.tensor(x))
        assert found.device.type == "cuda"
        found = found.cpu().numpy()
    else:
        found = np.asarray(pytest.importorskip("jax").jit(net)(params, x))
    np.testing.assert_allclose(found, want, atol=5e-3 * np.abs(want).max())  # products in TF32


def cnn(torch):
    nn = torch.nn
    torch.manual_seed(0)
    first, second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2)
    return nn.Sequential(first, nn.BatchNorm2d(4), nn.ReLU(), second, nn.Flatten(), nn.Linear(36, 3)), (2, 8, 8)


@pytest.mark.parametrize("residual", ["local", "separable", "low-rank"])
def test_a_soft_module_trains_as_on_the_cpu(torch, residual):
    """Outputs, penalty, gradients and what is merged."""
    module, shape = cnn(torch)
    here = rpp.SoftModule(module, shape, residual=residual, sigma_b=0.3)
    with torch.no_grad():
        for p in here.residual_parameters():
            p.normal_(std=0.1)
    there = copy.deepcopy(here).to("cuda")
    x, y = torch.rand(16, *shape), torch.arange(16) % 3
    for soft in (here, there):
        device = next(soft.parameters()).device
        (torch.nn.functional.cross_entropy(soft(x.to(device)), y.to(device)) + soft.penalty() / 16).backward()
    moved = dict(there.named_parameters())
    for name, p in here.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(
                moved[name].grad.cpu(), p.grad, rtol=1e-3, atol=1e-4, msg=lambda m, k=name: k + m
            )
    plain = there.eval().merge()
    assert next(plain.parameters()).device.type == "cuda"
    torch.testing.assert_close(plain(x.cuda()).cpu(), here.eval()(x), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(there.penalty().cpu(), here.penalty(), rtol=1e-4, atol=1e-4)


def test_a_module_made_on_the_gpu_and_its_state_are_of_use_on_the_cpu(torch, tmp_path):
    module, shape = cnn(torch)
    soft = rpp.SoftModule(module.cuda(), shape, residual="separable", sigma_b=0.3)
    x, y = torch.rand(30, *shape), torch.arange(30) % 3
    optimizer = torch.optim.Adam(soft.parameters(), lr=1e-3, fused=True)
    for _ in range(3):
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(soft(x.cuda()), y.cuda())
        optimizer.zero_grad(set_to_none=True)
        (loss + soft.penalty() / 30).backward()
        optimizer.step()
    post = soft.eval().posterior([soft.state_dict()], x, y, likelihood=rpp.Categorical())
    want = soft(x.cuda()).detach().softmax(-1).cpu().numpy()
    np.testing.assert_allclose(np.squeeze(post.predict(x.numpy()).mean), want, atol=1e-3)
    file = tmp_path / "weights.pt"
    torch.save(soft.state_dict(), file)
    again = rpp.SoftModule(cnn(torch)[0], shape, residual="separable", sigma_b=0.3)
    again.load_state_dict(torch.load(file, map_location="cpu"))
    np.testing.assert_allclose(again.eval()(x).detach().softmax(-1).numpy(), want, atol=1e-3)


def test_batches_of_a_loader_are_moved_when_their_turn_comes(torch):
    module, shape = cnn(torch)
    x, y = torch.rand(24, *shape), torch.arange(24) % 3
    module(x)  # the batch normalisation sees data
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8)
    net = rpp.soften(module, shape, residual="low-rank")
    with torch.device("cuda"):
        model = rpp.Model(net, likelihood=rpp.Categorical())
        post = rpp.fit(model, loader, None, rpp.MAP(epochs=2), progress=False)
    assert np.isfinite(post.predict(x.numpy()).mean).all()
