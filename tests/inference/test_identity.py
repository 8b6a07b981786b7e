"""What is resumed, started from or loaded is what it was, and not another module of the same architecture."""

import copy
import functools
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp._arrays import array_namespace
from bayes_rpp.inference.run.identity import described
from bayes_rpp.networks.network import Network, Parameter
from bayes_rpp.priors.subspaces.base import FullSubspace

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn")

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing soft")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 4)).astype(np.float32)
Y = np.tanh(X[:, :2])


def seeded(module):
    """The same weights, whatever is drawn in between."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=random))
    return module


def norm(state):
    module = seeded(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)))
    module[1].running_mean[:] = 0.1 * state
    module[1].num_batches_tracked += 1
    return rpp.soften(module, 4)


def variance(state):
    module = seeded(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)))
    module[1].running_var[2] = 1 + state
    module[1].num_batches_tracked += 1
    return rpp.soften(module, 4)


class Buffered(nn.Linear):
    def __init__(self, state):
        super().__init__(4, 2)
        self.register_buffer("scale", torch.tensor([1.0, 1.0, 1.0, 1.0 + state]), persistent=False)

    def forward(self, x):
        return torch.tanh(super().forward(x * self.scale))


class Frozen(nn.Module):
    """Weights that are no parameters."""

    def __init__(self, state):
        super().__init__()
        self.head, self.features = seeded(nn.Linear(3, 2)), torch.eye(4)[:3] + 0.1 * state

    def forward(self, x):
        return self.head(x @ self.features.T)


def center(state):
    """Other values of what is left alone, from which weights are differences."""
    module = seeded(nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2)))
    with torch.no_grad():
        module[1].bias += 0.1 * state
    return rpp.soften(module, 4)


class Own(Network):
    """A network of one's own with a number that its config does not have."""

    def __init__(self, state):
        super().__init__(4, 2, None)
        self.factor = 1.0 + state
        self.parameters = {"weight": Parameter(FullSubspace((2, 4)))}

    def __call__(self, params, x):
        w = params["weight"]
        return self.factor * (x @ array_namespace(w).matrix_transpose(w))

    def config(self):
        return {}


NETWORKS = {
    "running mean": norm,
    "running variance of one channel": variance,
    "buffer": lambda state: rpp.soften(seeded(Buffered(state)), 4),
    "frozen": lambda state: rpp.soften(Frozen(state), 4),
    "centre": center,
    "linear path": lambda state: rpp.networks.LinearPath(norm(state)),
    "own": Own,
}
NAMES = {
    "running mean": " in 1.running_mean",
    "running variance of one channel": " in 1.running_var",
    "buffer": " in scale",
    "centre": " in 1.bias",
}


def fitted(net, method=None, **options):
    method = method or rpp.MAP(epochs=2)
    return rpp.fit(rpp.Model(net, sigma_b=0.1), X, Y, method, engine="pyro", progress=False, **options)


@pytest.mark.parametrize("name", NETWORKS)
def test_another_module_is_refused(name, tmp_path):
    make = NETWORKS[name]
    post = fitted(make(0), checkpoint=tmp_path / "run")
    file = post.save(tmp_path / "post.nc")
    # Made again, it is the same.
    again = fitted(make(0), checkpoint=tmp_path / "run")
    for k in post.samples:
        np.testing.assert_array_equal(again.samples[k], post.samples[k])
    rpp.Posterior.load(file, net=make(0))
    fitted(make(0), init=post)
    # With another state it is not.
    other = make(1)
    with pytest.raises(
        ValueError,
        match=r"checkpoint must hold this run, got .* of another \(network's outputs differ\).*load its state_dict",
    ):
        fitted(other, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match="net must give the outputs of the file's network, got others"):
        rpp.Posterior.load(file, net=other)
    with pytest.raises(ValueError, match=f"whose network differs{NAMES.get(name, '')}: .*off by .*state_dict"):
        fitted(other, init=post)
    start = {k: post.samples[k][0, 0] for k in other.parameters}
    assert fitted(other, init=start).samples.keys() == post.samples.keys()


METHODS = [
    rpp.SVI(epochs=2, draws=2),
    rpp.Laplace(epochs=1, draws=2),
    rpp.NUTS(chains=1, warmup=20, draws=2, max_tree_depth=2),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning")
def test_all_methods_refuse_it(method, tmp_path):
    fitted(norm(0), method, checkpoint=tmp_path)
    fitted(norm(0), method, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="network's outputs differ"):
        fitted(norm(1), method, checkpoint=tmp_path)


def test_sweeps_refuse_it(tmp_path):
    def sweep(net):
        return rpp.sweep(rpp.Model(net), (X, Y), rpp.MAP(epochs=1), sigma_b=[0.1], engine="pyro", progress=False,
                         checkpoint=tmp_path)  # fmt: skip

    sweep(norm(0))
    sweep(norm(0))
    with pytest.raises(ValueError, match="network's outputs differ"):
        sweep(norm(1))


def test_other_subspaces_of_the_same_rank_are_refused(tmp_path):
    def net(column):
        mask = np.zeros((2, 4), dtype=bool)
        mask[:, column] = True
        return rpp.networks.restrict(
            rpp.MLP(4, 2, layers=0), {"output.weight": rpp.subspaces.SpanSubspace.masked(mask)}
        )

    post = fitted(net(0), checkpoint=tmp_path / "run")
    file = post.save(tmp_path / "post.nc")
    fitted(net(0), checkpoint=tmp_path / "run")
    rpp.Posterior.load(file, net=net(0))
    with pytest.raises(
        ValueError, match=r"checkpoint must hold this run, got .* of another \(network's subspaces differ\)"
    ):
        fitted(net(1), checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match="net must have the subspaces of the file's network"):
        rpp.Posterior.load(file, net=net(1))
    fitted(net(1), init=post)  # the function is the same: a start like any other


def test_other_functions_of_a_custom_representation_are_refused(tmp_path):
    def net(power):
        rho = rpp.Rep.custom(lambda g: np.linalg.det(g) ** power * g, name="mine")
        return rpp.EMLP(rho, rpp.Vector, rpp.O(3), layers=0)

    def run(power):
        return rpp.fit(rpp.Model(net(power)), X[:, :3], X[:, :3], rpp.MAP(epochs=1), engine="pyro", progress=False,
                       checkpoint=tmp_path)  # fmt: skip

    run(0)
    run(0)
    with pytest.raises(ValueError, match="network's subspaces differ"):
        run(1)


def test_flax_modules(tmp_path):
    nnx, jnp = pytest.importorskip("flax.nnx"), pytest.importorskip("jax.numpy")

    class Net(nnx.Module):
        def __init__(self, state):
            rngs = nnx.Rngs(0)
            self.a, self.norm = nnx.Linear(4, 2, rngs=rngs), nnx.BatchNorm(2, rngs=rngs)
            self.norm.mean[...] = jnp.asarray([0.1, 0.1 + state])

        def __call__(self, x):
            return self.norm(self.a(x))

    def run(state, **options):
        model = rpp.Model(rpp.soften(Net(state), 4), sigma_b=0.1)
        return rpp.fit(model, X, Y, rpp.MAP(epochs=1), progress=False, **options)

    post = run(0, checkpoint=tmp_path)
    run(0, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="network's outputs differ"):
        run(1, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"whose network differs in norm.mean: "):
        run(1, init=post)


def test_checkpoints_of_older_versions_are_named(tmp_path):
    fitted(norm(0), checkpoint=tmp_path)
    path = tmp_path / "state.npz"
    with np.load(path) as file:
        arrays = dict(file)
    run = json.loads(str(arrays["run"]))
    del run["format"], run["network"]
    np.savez(path, **arrays | {"run": np.array(json.dumps(run))})
    with pytest.raises(ValueError, match="must hold a run of this version of bayes-rpp, got one of another"):
        fitted(norm(0), checkpoint=tmp_path)


SCRIPT = """
import sys, json, functools
import numpy as np, numpyro.distributions, pyro.infer.autoguide
import bayes_rpp as rpp
x = np.random.default_rng(0).normal(size=(10, 3))
model = rpp.Model(rpp.MLP(3, 1, layers=0), sigma_b=numpyro.distributions.HalfNormal(0.3),
                  sigma_a={"*": numpyro.distributions.Gamma(2.0, float(sys.argv[2]))},
                  likelihood=rpp.Gaussian(numpyro.distributions.HalfNormal(1.0)))
guides = [lambda model: pyro.infer.autoguide.AutoNormal(model, init_scale=float(sys.argv[3])), "mean_field",
          pyro.infer.autoguide.AutoNormal, functools.partial(pyro.infer.autoguide.AutoNormal, init_scale=0.05)]
for k, guide in enumerate(guides):
    method = rpp.SVI(epochs=2, draws=2, guide=guide)
    rpp.fit(model, x, x[:, :1], method, engine="pyro", progress=False, checkpoint=f"{sys.argv[1]}/{k}")
rpp.fit(model, x, x[:, :1], rpp.MAP(epochs=2), engine="pyro", progress=False, checkpoint=f"{sys.argv[1]}/map")
"""


def test_the_same_call_in_another_process_is_the_same_run(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    subprocess.run([*command, "1.0", "0.1"], env={**environment, "PYTHONHASHSEED": "1"}, check=True)
    written = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("state.npz")}
    assert len(written) == 5
    subprocess.run([*command, "1.0", "0.1"], env={**environment, "PYTHONHASHSEED": "2"}, check=True)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("state.npz")} == written  # read, not run


def test_functions_are_described_by_their_code():
    def made(scale, deep=1):
        def inner(x, y=[deep]):  # noqa: B006
            return [inner, scale * x + y[0], {"a", "b"}]

        return inner

    assert described(made(1.0)) == described(made(1.0))
    assert described(made(1.0)) != described(made(2.0))
    assert described(made(1.0)) != described(made(1.0, 2))
    assert described(lambda x: x + 1) == described(lambda x: x + 1)
    assert described(lambda x: x + 1) != described(lambda x: x + 2)
    assert described(lambda x: np.sin(x)) != described(lambda x: np.cos(x))
    assert described(rpp.MAP(epochs=np.int64(3))) == described(rpp.MAP(epochs=3))
    assert described(rpp.MAP(epochs=3)) != described(rpp.DeepEnsemble(epochs=3))
    assert described(np.arange(3)) != described(np.arange(3.0))
    json.dumps(described([made(1.0), rpp.SVI(guide=made(1.0)), np.float32(1.0), {1, 2}, np.arange(2), print]))


def test_objects_are_known_by_their_class_and_state(tmp_path):
    class Guide:
        def __init__(self, scale, **more):
            self.scale, self.me, self.more = scale, self, more

        def __call__(self, model):
            from pyro.infer.autoguide import AutoNormal

            return AutoNormal(model, init_scale=self.scale)

    def run(guide):
        fitted(rpp.MLP(4, 2, layers=0), rpp.SVI(epochs=1, draws=1, guide=guide), checkpoint=tmp_path)

    run(Guide(0.1))
    run(Guide(0.1))
    with pytest.raises(ValueError, match=r"checkpoint must hold this run, got .* of another \(method differ\)"):
        run(Guide(0.2))
    with pytest.raises(TypeError, match="got a lock, which only its address tells from others; a function or class"):
        run(Guide(0.1, lock=threading.Lock()))


def test_no_address_is_in_a_description():
    torch_dist, jax_dist = pytest.importorskip("pyro.distributions"), pytest.importorskip("numpyro.distributions")
    model = rpp.Model(rpp.MLP(4, 2, layers=0))
    things = [torch_dist.HalfNormal(0.3), jax_dist.LogNormal(0.0, 1.0), model, model.pyro, seeded(nn.Linear(2, 2))]
    for value in [*things, np.sin, torch.tanh, print, 1j, b"b", range(3), torch.float32, functools.lru_cache(fitted)]:
        text = json.dumps(described(value))
        assert " at 0x" not in text
        assert text == json.dumps(described(copy.deepcopy(value)))
    assert described(jax_dist.HalfNormal(0.3)) != described(jax_dist.HalfNormal(0.4))
    assert described(torch.ones(2)) != described(torch.zeros(2))
    assert described(rpp.Model(model.net, sigma_b=0.1)) != described(model)


def test_a_parametrization_of_ones_own_can_be_resumed_and_saved(tmp_path):
    from bayes_rpp.priors.parametrization import Whitened

    class Own(Whitened):
        def __init__(self, number):
            self.number = number

    def run(number):
        model = rpp.Model(rpp.MLP(4, 2, layers=0), parametrization=Own(number))
        return rpp.fit(model, X, Y, rpp.MAP(epochs=1), engine="pyro", progress=False, checkpoint=tmp_path)

    post = run(1)
    run(1)
    with pytest.warns(UserWarning, match=r"does not hold the parametrization, Own\(\), which is code"):
        path = post.save(tmp_path / "p.nc")
    again = rpp.Posterior.load(path)
    assert again.model.parametrization is None
    np.testing.assert_array_equal(again.outputs(X), post.outputs(X))
    with pytest.raises(ValueError, match=r"checkpoint must hold this run, got .* of another \(model differ\)"):
        run(2)
