"""What networks can do, passed on by those that are made around others; and networks that stay as they are made."""

import copy
import pickle
from dataclasses import replace
from functools import cached_property, lru_cache
from inspect import signature

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import HamiltonianNetwork
from bayes_rpp._arrays import array_namespace
from bayes_rpp.networks import Capabilities, LinearPath, restrict
from bayes_rpp.networks.network import Parameter
from bayes_rpp.networks.storage import NETWORKS

RNG = np.random.default_rng(0)
ABOUT_Z = rpp.Group(3, [[[0, -1, 0], [1, 0, 0], [0, 0, 0]]], name="SO(2)")
EMLP = rpp.EMLP(2 * rpp.Scalar + rpp.Vector, rpp.Vector, rpp.SO(3), channels=12, layers=2, subgroups=[ABOUT_Z])
CONV = rpp.ConvNet((2, 3, 4), 1, channels=[3, 2], dense=[5], norm=True, kernel_size=(3, 1))
MLP = rpp.MLP(4, 1, channels=5, layers=2)
OURS = [
    EMLP,
    CONV,
    MLP,
    LinearPath(CONV),
    HamiltonianNetwork(MLP, dt=0.1, steps=3),
    HamiltonianNetwork(CONV, dt=1, steps=1),
    rpp.ParticleNetwork(3, features=rpp.Vector, types=["C", "H"], channels=6, layers=1, pooled="mean"),
]
IDS = ["emlp", "conv", "mlp", "linear path", "hamiltonian", "hamiltonian of images", "particles"]


class Own(rpp.networks.Network):
    """f(x) = factor W x, with attributes that are set after the constructor of Network, and one that is computed."""

    def __init__(self, factor=2.0, **can):
        super().__init__(4, 1, None, capabilities=Capabilities(**can))
        self.factor = factor
        self.parameters["weight"] = Parameter(rpp.subspaces.FullSubspace((1, 4)))
        self.name = "own"

    def __call__(self, params, x):
        return self.doubled / 2 * self.rows(x) @ array_namespace(x).matrix_transpose(params["weight"])

    @cached_property
    def doubled(self):
        return 2 * self.factor

    def config(self):
        return {"factor": self.factor}


def weights(net):
    return {k: RNG.normal(size=p.shape) for k, p in net.parameters.items()}


@pytest.mark.parametrize(
    "can",
    [
        {"engines": ("pyro",), "input_shape": (2, 2), "vectorized": False, "evaluations": 3},
        {"engines": ("numpyro",), "traceable": False},
    ],
)
def test_the_record_is_passed_on_whole(can):
    net = Own(**can)
    assert net.capabilities == Capabilities(**can, is_code=True)
    assert (net.engines, net.input_shape) == (net.capabilities.engines, net.capabilities.input_shape)
    free = restrict(net, {"weight": rpp.subspaces.FullSubspace((1, 4))})
    assert (
        LinearPath(net).capabilities
        == LinearPath(LinearPath(net)).capabilities
        == free.capabilities
        == net.capabilities
    )
    motion = HamiltonianNetwork(LinearPath(net), dt=0.1, steps=2, substeps=3)
    evaluations = 24 * net.capabilities.evaluations
    assert motion.capabilities == replace(net.capabilities, traceable=False, evaluations=evaluations)


def test_the_record_of_ours():
    assert {type(net).__name__ for net in OURS} == set(NETWORKS)
    assert not any(net.capabilities.is_code for net in OURS)
    assert [net.input_shape for net in OURS] == [None, (2, 3, 4), None, (2, 3, 4), None, (2, 3, 4), None]

    class Mine(rpp.MLP):
        def __init__(self, factor):
            super().__init__(4, 1, channels=5)
            self.factor = factor

    assert LinearPath(Mine(2.0)).capabilities.is_code  # what a subclass holds is in no config


@pytest.mark.parametrize(
    "net", [CONV, LinearPath(CONV), HamiltonianNetwork(CONV, dt=1, steps=2), Own(input_shape=(2, 2))]
)
@pytest.mark.parametrize("library", ["numpy", "torch", "jax.numpy"])
def test_images_are_taken_as_rows_are(net, library):
    lib = pytest.importorskip(library)
    x = RNG.normal(size=(3, *net.input_shape)).astype(np.float32)
    params = {k: lib.asarray(w.astype(np.float32)) for k, w in weights(net).items()}
    found, wanted = (net(params, lib.asarray(a)) for a in (x, x.reshape(3, -1)))
    np.testing.assert_array_equal(found, wanted)
    assert found.shape == (3, net.rep_out.size)


def test_images_reach_a_linear_path_in_a_fit():
    pytest.importorskip("pyro")
    x, y = RNG.normal(size=(5, 2, 3, 4)), RNG.normal(size=(5, 1))
    post = rpp.fit(rpp.Model(LinearPath(CONV)), x, y, rpp.MAP(epochs=1), engine="pyro", progress=False)
    np.testing.assert_array_equal(post.predict(x).mean, post.predict(x.reshape(5, -1)).mean)


def test_a_record_is_no_attribute_of_a_class_or_network():
    with pytest.raises(TypeError, match=r"Old\.engines must be given to the constructor: super\(\)\.__init__"):
        type("Old", (Own,), {"engines": ("pyro",)})

    class Older(Own):
        def __init__(self):
            super().__init__()
            self.vectorized = False

    with pytest.raises(AttributeError, match=r"vectorized cannot be set, .*=Capabilities\(vectorized=...\)"):
        Older()


@pytest.mark.parametrize(
    ("net", "name", "would"),
    [
        (MLP, "channels", r"net\.replace\(channels=\.\.\.\) would do"),
        (CONV, "input_shape", r"net\.replace\(input_shape=\.\.\.\) would do"),
        (MLP, "engines", "another network would do"),
        (Own(), "factor", r"net\.replace\(factor=\.\.\.\) would do"),
        (Own(), "capabilities", "another network would do"),
    ],
)
def test_networks_are_frozen(net, name, would):
    before = getattr(net, name)
    for same in (net, copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net)), restrict(net, {})):
        with pytest.raises(AttributeError, match=f"{name} cannot be set, as networks are frozen; {would}"):
            setattr(same, name, before)
        with pytest.raises(TypeError, match="does not support item assignment"):
            same.parameters["more"] = Parameter(rpp.subspaces.FullSubspace((2,)))


@pytest.mark.parametrize(
    "net", [*OURS, Own(), restrict(MLP, {"output.weight": rpp.subspaces.ZeroSubspace((1, 5))})], ids=repr
)
def test_copies_and_pickles(net):
    params, x = weights(net), RNG.normal(size=(3, net.rep_in.size))
    wanted = net(params, x)
    for same in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(same(params, x), wanted)
        assert same.capabilities == net.capabilities
        assert repr(same) == repr(net)


@pytest.mark.parametrize("net", OURS, ids=IDS)
def test_a_network_is_built_again(net):
    same = net.replace()
    assert same is not net
    assert same.key == net.key
    params, x = weights(net), RNG.normal(size=(3, net.rep_in.size))
    np.testing.assert_array_equal(same(params, x), net(params, x))


def test_changes():
    assert MLP.replace(layers=1).config() == {"channels": 5, "layers": 1}
    assert Own().replace(factor=3.0).doubled == 6.0
    assert LinearPath(MLP).replace(net=CONV).input_shape == (2, 3, 4)
    assert HamiltonianNetwork(Own(), dt=0.1, steps=2).replace(steps=3).rep_out.size == 12
    assert CONV.replace(norm=False, strides=2).config() == CONV.config() | {"norm": False, "strides": [2, 2]}
    wide = EMLP.replace(channels=20)
    assert [len(wide.hidden), wide.subgroups] == [2, (ABOUT_Z,)]
    assert wide.blocks[0].rep_out.size > EMLP.blocks[0].rep_out.size
    assert EMLP.replace(layers=3).hidden == [EMLP.hidden[0]] * 3
    assert EMLP.replace(channels=[rpp.Vector]).hidden == [rpp.Vector]
    plain = rpp.EMLP(rpp.Vector, rpp.T(2), rpp.O(3), channels=[4 * rpp.Scalar + 4 * rpp.Vector], products=False)
    assert plain.replace().key == plain.key
    assert plain.replace(group=rpp.SO(3)).group == rpp.SO(3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'width'"):
        MLP.replace(width=3)
    with pytest.raises(ValueError, match="channels must be a whole number >= 1, got 0"):
        MLP.replace(channels=0)
    restricted = restrict(MLP, {"output.weight": rpp.subspaces.ZeroSubspace((1, 5))})
    with pytest.raises(TypeError, match=r"restrict\(\.\.\.\) of another"):
        restricted.replace(channels=3)
    assert LinearPath(restricted).replace(net=MLP).net is MLP


@pytest.mark.filterwarnings("ignore:.*nothing soft")
def test_softened_modules_are_made_again():
    nn = pytest.importorskip("torch").nn
    net = rpp.soften(nn.Sequential(nn.Linear(4, 2), nn.LayerNorm(2)), 4)
    with pytest.raises(AttributeError, match=r"initial cannot be set, .*; soften\(module, ...\) again would do"):
        net.initial = {}
    with pytest.raises(
        TypeError, match=r"group of a TorchNetwork cannot change, .* soften\(module, ...\) again would do"
    ):
        net.replace(group=rpp.O(3))
    again = pickle.loads(pickle.dumps(net))
    with pytest.raises(AttributeError, match="module cannot be set"):
        again.module = net.module
    assert LinearPath(net).engines == again.engines == ("pyro",)
    assert not LinearPath(net).capabilities.traceable
    assert net.key is net


@pytest.mark.filterwarnings("ignore:.*nothing soft")
def test_flax_modules_keep_their_engine_and_images():
    nnx = pytest.importorskip("flax.nnx")
    net = rpp.soften(nnx.Conv(1, 1, (2, 2), padding="VALID", rngs=nnx.Rngs(0)), (2, 2, 1))
    for around in (
        LinearPath(net),
        HamiltonianNetwork(net, dt=0.1, steps=1),
        restrict(net, {"bias": rpp.subspaces.FullSubspace((1,))}),
    ):
        assert (around.engines, around.input_shape) == (("numpyro",), (2, 2, 1))
        assert around.capabilities.is_code
    with pytest.raises(AttributeError, match=r"untrained cannot be set, .* soften\(module, ...\) again"):
        net.untrained = ()


def test_files_ask_for_what_is_around_code(tmp_path):
    net = LinearPath(LinearPath(Own()))
    path = rpp.save_network(tmp_path / "net", net, weights(net))
    with pytest.raises(ValueError, match="does not hold its network, a LinearPath that is code"):
        rpp.load_network(path)
    assert rpp.load_network(path, net=net)[0] is net


@pytest.mark.parametrize("net", OURS, ids=IDS)
def test_keys_of_ours_are_their_configuration(net):
    again = copy.deepcopy(net)
    assert again is not net
    assert (again.key, hash(again.key)) == (net.key, hash(net.key))
    assert again != net  # networks themselves are told apart
    compiled = lru_cache(maxsize=None)(lambda key: object())
    assert compiled(net.key) is compiled(again.key)
    assert len({other.key for other in OURS}) == len(OURS)


def test_keys_tell_apart_what_is_not_the_same():
    others = [
        MLP.replace(layers=1),
        MLP.replace(rep_in=rpp.Vector, group=rpp.O(4)),
        MLP.replace(rep_in=rpp.Vector, group=rpp.SO(4)),
        restrict(MLP, {"output.weight": rpp.subspaces.ZeroSubspace((1, 5))}),
        LinearPath(MLP),
        Own(),
        Own(),
        LinearPath(Own()),
        HamiltonianNetwork(MLP, dt=0.1, steps=3),
        HamiltonianNetwork(MLP, dt=0.2, steps=3),
        HamiltonianNetwork(MLP.replace(layers=0), dt=0.2, steps=3),
        EMLP.replace(subgroups=[]),
        EMLP,
    ]
    assert len({net.key for net in [MLP, *others]}) == 1 + len(others)
    rotations = [rpp.Rep.custom(rho, name="twice") for rho in (lambda g: g @ g, lambda g: g)]
    abelian = [rpp.MLP(rep, 1, rpp.SO(2), channels=5) for rep in rotations]
    assert abelian[0].key != abelian[1].key  # by the function, whatever its name


def test_signatures_are_those_of_the_constructors():
    assert list(signature(rpp.MLP).parameters) == ["rep_in", "rep_out", "group", "channels", "layers"]
    assert list(signature(Own).parameters) == ["factor", "can"]


class Unmade(Own):
    """It forgets to call the constructor of Network."""

    def __init__(self):
        self.factor = 3.0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (Unmade, TypeError, r"Unmade\.__init__ must call super\(\)\.__init__\(rep_in, rep_out, group\), got no call"),
        (lambda: Parameter(3), TypeError, r"subspace must be a Subspace, got 3; FullSubspace\(\(2, 3\)\) would do"),
        (
            lambda: Capabilities(engines="pyro"),
            ValueError,
            "engines must be a tuple of 'numpyro' or 'pyro', got 'pyro'",
        ),
        (lambda: Capabilities(engines=()), ValueError, r"engines must be a tuple .*, got \(\)"),
        (lambda: Own(engines=("jax",)), ValueError, r"engines must be a tuple .*, got \('jax',\)"),
    ],
)
def test_what_is_not_made_right_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
