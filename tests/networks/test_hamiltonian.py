from importlib import import_module

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import bayes_rpp as rpp
from bayes_rpp import EMLP, MLP, SO, HamiltonianNetwork, Lorentz, O, Pseudoscalar, Scalar, Vector
from bayes_rpp._arrays import constant
from bayes_rpp.networks import Network
from bayes_rpp.networks.network import Parameter
from bayes_rpp.priors.subspaces.base import FullSubspace
from tests.networks.test_emlp import strict_weights

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
torch = pytest.importorskip("torch")


class Springs(Network):
    """Two springs: H = (omega_1 (q_1^2 + p_1^2) + omega_2 (q_2^2 + p_2^2)) / 2, which turns each pair."""

    def __init__(self):
        super().__init__(4, 1, None)
        self.parameters["omega"] = Parameter(FullSubspace((2,)))

    def __call__(self, params, x):
        weights = params["omega"] @ constant(np.tile(np.eye(2), 2), x)
        return 0.5 * (weights * x**2).sum(-1)[..., None]

    def config(self):
        return {}


def pendulum_net(steps=4, substeps=1, seed=0, **options):
    data = rpp.datasets.pendulum(6)
    energy = EMLP(data.rep_in, Scalar, data.group, channels=18, layers=1, **options)
    net = HamiltonianNetwork(energy, dt=0.2, steps=steps, substeps=substeps)
    return net, strict_weights(energy, seed), data.x.astype(float)


def tensors(params, dtype=torch.float64):
    return {k: torch.tensor(w, dtype=dtype) for k, w in params.items()}


def scipy_states(net, params, x, times):
    """By DOP853, and the energy's gradient by central differences."""

    def field(t, z):
        steps = 1e-5 * np.eye(len(z))
        h = net.hamiltonian(params, np.concatenate([z + steps, z - steps]))
        g, half = (h[: len(z)] - h[len(z) :]) / 2e-5, len(z) // 2
        return np.concatenate([g[half:], -g[:half]])

    return np.stack([solve_ivp(field, (0, times[-1]), z, "DOP853", times, rtol=1e-8, atol=1e-9).y.T for z in x])


def test_springs_turn_exactly():
    net, omega, dt = HamiltonianNetwork(Springs(), dt=0.1, steps=10), np.array([1.0, 2.5]), 0.1
    x = np.random.default_rng(0).normal(size=(5, 4))
    angle = omega * dt * np.arange(1, 11)[:, None]
    q, p = x[:, None, :2], x[:, None, 2:]
    want = np.concatenate([q * np.cos(angle) + p * np.sin(angle), p * np.cos(angle) - q * np.sin(angle)], axis=-1)
    errors = []
    for substeps in (1, 2):
        net = HamiltonianNetwork(Springs(), dt=dt, steps=10, substeps=substeps)
        found = net({"omega": omega}, x)
        assert found.shape == (5, 40)
        errors.append(np.abs(found.reshape(want.shape) - want).max())
    assert errors[0] < 1e-3
    assert 12 < errors[0] / errors[1] < 20  # of fourth order
    back = HamiltonianNetwork(Springs(), dt=-dt, steps=10, substeps=8)({"omega": omega}, found[:, -4:])
    np.testing.assert_allclose(back[:, -4:], x, atol=1e-4)
    # Leading dimensions are free.
    np.testing.assert_allclose(net({"omega": omega}, x.reshape(1, 5, 4))[0], net({"omega": omega}, x))


def test_against_other_solvers():
    net, params, x = pendulum_net(substeps=8)
    times = 0.2 * np.arange(1, 5)
    found = net(params, x).reshape(len(x), 4, 12)
    assert np.abs(found[:, -1] - x).max() > 0.1
    np.testing.assert_allclose(found, scipy_states(net, params, x, times), rtol=1e-5, atol=1e-5)
    energy = net.hamiltonian(params, found)
    start = np.broadcast_to(net.hamiltonian(params, x)[:, None], energy.shape)
    np.testing.assert_allclose(energy, start, rtol=1e-5, atol=1e-5)


def test_against_diffrax():
    diffrax = pytest.importorskip("diffrax")
    net, params, x = pendulum_net(substeps=8, bilinear=False)
    weights = {k: jnp.asarray(w, jnp.float32) for k, w in params.items()}

    def field(t, z, _):
        g = jax.grad(lambda z: net.hamiltonian(weights, z))(z)
        return jnp.concatenate([g[6:], -g[:6]])

    def solve(z):
        term, solver, save = diffrax.ODETerm(field), diffrax.Tsit5(), diffrax.SaveAt(ts=0.2 * jnp.arange(1, 5))
        steps = diffrax.PIDController(rtol=1e-5, atol=1e-6)
        return diffrax.diffeqsolve(term, solver, 0.0, 0.8, 0.05, z, saveat=save, stepsize_controller=steps).ys

    want = jax.jit(jax.vmap(solve))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(net(params, x).reshape(want.shape), want, rtol=1e-3, atol=1e-3)


def test_libraries_agree_also_over_members():
    net, params, x = pendulum_net(steps=2, bilinear=False)
    stacked = {k: np.stack([w, 0.5 * w]) for k, w in params.items()}
    want = np.stack([net({k: w[i] for k, w in stacked.items()}, x) for i in (0, 1)])
    assert want.dtype == np.float64
    by_torch = torch.func.vmap(net, (0, None))(tensors(stacked), torch.tensor(x))
    np.testing.assert_allclose(by_torch.numpy(), want, atol=1e-8)
    single = {k: jnp.asarray(w, jnp.float32) for k, w in stacked.items()}
    by_jax = jax.jit(jax.vmap(net, (0, None)))(single, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(np.asarray(by_jax), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_numpy_arrays_go_to_either_library(library):
    library = import_module(f"bayes_rpp.engines.{library}")
    net = HamiltonianNetwork(Springs(), dt=0.1, steps=3)
    x, omega = np.random.default_rng(0).normal(size=(4, 4)), np.array([1.0, 2.0])
    for dtype, limit in ((np.float32, 1e-5), (np.float64, 1e-12)):
        found = library.on_numpy(net._states, {"omega": omega.astype(dtype)}, x)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, net({"omega": omega}, x), atol=limit)


def test_strict_networks_are_equivariant():
    net, params, x = pendulum_net(steps=2)
    reps = (net.rep_in.rep, net.rep_out.rep)
    assert net.rep_out.size == 24
    assert rpp.equivariance_error(lambda x: net(params, x), x, *reps, net.group).max() < 1e-6
    free = MLP(net.rep_in.rep, Scalar, net.group, channels=8)
    loose = HamiltonianNetwork(free, dt=0.2, steps=2)
    weights = strict_weights(free)
    assert rpp.equivariance_error(lambda x: loose(weights, x), x, *reps, net.group).max() > 1e-3


def test_gradient_by_the_weights():
    net, params, x = pendulum_net(steps=1, bilinear=False)
    rng = np.random.default_rng(1)
    move = {k: rng.normal(size=w.shape) for k, w in params.items()}
    along = {k: tensors(params)[k].requires_grad_() for k in params}
    (net(along, torch.tensor(x)) ** 2).sum().backward()
    slope = sum((along[k].grad.numpy() * move[k]).sum() for k in params if along[k].grad is not None)
    h = 1e-6
    up, down = ((net({k: params[k] + s * h * move[k] for k in params}, x) ** 2).sum() for s in (1, -1))
    assert slope == pytest.approx((up - down) / (2 * h), rel=1e-6)
    single = {k: jnp.asarray(w, jnp.float32) for k, w in params.items()}
    by_jax = jax.jit(jax.grad(lambda p: (net(p, jnp.asarray(x, jnp.float32)) ** 2).sum()))(single)
    assert sum(float((by_jax[k] * move[k]).sum()) for k in params) == pytest.approx(slope, rel=1e-3)


def springs_data():
    x = np.random.default_rng(0).normal(size=(40, 4))
    return x, HamiltonianNetwork(Springs(), dt=0.3, steps=2)({"omega": np.array([0.5, 1.5])}, x)


@pytest.mark.parametrize(
    ("engine", "method"),
    [
        ("numpyro", rpp.DeepEnsemble(epochs=30, members=2)),
        ("pyro", rpp.DeepEnsemble(epochs=30, members=2)),
        ("pyro", rpp.Laplace(epochs=30, draws=3)),
    ],
    ids=["numpyro-ensemble", "pyro-ensemble", "pyro-laplace"],
)
def test_fit_and_save(engine, method, tmp_path):
    x, y = springs_data()
    net = HamiltonianNetwork(MLP(4, 1, channels=6, layers=1), dt=0.3, steps=2)
    model = rpp.Model(net, likelihood=rpp.Gaussian(0.1))
    post = rpp.fit(model, x, y, method=method, engine=engine, seed=0, progress=False)
    losses = post.training["loss"]
    assert (losses[:, -1] < losses[:, 0]).all()
    again = rpp.Posterior.load(post.save(tmp_path / "post.nc"))
    assert repr(again.model.net) == repr(net)
    np.testing.assert_allclose(again.predict(x).mean, post.predict(x).mean, atol=1e-5)


def test_files(tmp_path):
    net, params, x = pendulum_net(substeps=2)
    again, weights = rpp.load_network(rpp.save_network(tmp_path / "net", net, params))
    assert repr(again) == repr(net)
    np.testing.assert_array_equal(again(weights, x), net(params, x))
    # A network of your own is code, so that the one around it is given again.
    springs, omega = HamiltonianNetwork(Springs(), dt=0.1, steps=2), {"omega": np.array([1.0, 2.0])}
    path = rpp.save_network(tmp_path / "springs", springs, omega)
    with pytest.raises(ValueError, match="net=, made again, would do"):
        rpp.load_network(path)
    assert rpp.load_network(path, net=springs)[0] is springs
    with pytest.raises(ValueError, match=r"net must give the outputs of the file's network, got others"):
        rpp.load_network(path, net=HamiltonianNetwork(Springs(), dt=0.2, steps=2))


def test_softened_modules_learn_energies():
    nnx = pytest.importorskip("flax.nnx")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    modules = [torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))]
    modules.append(nnx.Sequential(nnx.Linear(4, 5, rngs=nnx.Rngs(0)), nnx.tanh, nnx.Linear(5, 1, rngs=nnx.Rngs(0))))
    for module, engines in zip(modules, (("pyro",), ("numpyro",)), strict=True):
        with pytest.warns(UserWarning, match="nothing soft"):
            energy = rpp.soften(module, 4)
        net = HamiltonianNetwork(energy, dt=0.1, steps=3, substeps=4)
        assert net.engines == engines
        start = {k: w.astype(np.float32) for k, w in energy.initial.items()}
        found = net(start, x)
        assert found.shape == (3, 12)
        energies = net.hamiltonian(start, found.reshape(3, 3, 4))
        np.testing.assert_allclose(energies, np.repeat(net.hamiltonian(start, x)[:, None], 3, 1), atol=1e-5)


def test_errors_name_the_argument():
    good = MLP(4, 1)
    for options, message in [
        ({"dt": 0.0}, r"dt must be a number other than 0, got 0\.0"),
        ({"dt": np.inf}, "dt must be a number other than 0, got inf"),
        ({"dt": "0.1"}, r"dt must be a number other than 0, got '0\.1'"),
        ({"steps": 0}, "steps must be a whole number >= 1, got 0"),
        ({"substeps": 1.5}, r"substeps must be a whole number >= 1, got 1\.5"),
    ]:
        with pytest.raises(ValueError, match=message):
            HamiltonianNetwork(good, **({"dt": 0.1, "steps": 2} | options))
    with pytest.raises(TypeError, match="energy must be a Network, got a int"):
        HamiltonianNetwork(3, dt=0.1, steps=2)
    for energy, message in [
        (MLP(4, 2), r"energy must have one Scalar, which the.*, got 2 \* Scalar, of size 2, under Trivial\(1\)"),
        (
            EMLP(2 * Vector, Pseudoscalar, O(3), channels=8),
            r"energy must have.*, got Pseudoscalar, of size 1, under O\(3\)",
        ),
        (MLP(3, 1), r"energy must have a rep_in of even size, q then p, got 3 \* Scalar of size 3"),
        (MLP(3 * Scalar + Vector, Scalar, SO(3)), "energy must have a rep_in by which .* keeps the form dq"),
        (MLP(2 * Vector, Scalar, Lorentz()), "energy must have a rep_in by which .* keeps the form dq"),
    ]:
        with pytest.raises(ValueError, match=message):
            HamiltonianNetwork(energy, dt=0.1, steps=2)
    assert HamiltonianNetwork(MLP(Vector + Vector.dual, Scalar, Lorentz()), dt=0.1, steps=2).rep_out.size == 16
