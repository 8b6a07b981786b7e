"""Networks with other subspaces, and linear models beside networks."""

import numpy as np
import pytest

from bayes_rpp import (
    EMLP,
    MAP,
    MLP,
    SO,
    Gaussian,
    Group,
    Model,
    O,
    Posterior,
    Scalar,
    Vector,
    equivariance_error,
    fit,
    load_network,
    save_network,
)
from bayes_rpp.networks import LinearPath, restrict
from bayes_rpp.subspaces import SpanSubspace, band

RNG = np.random.default_rng(0)
LOCAL = {"output.weight": SpanSubspace.masked(band(4, 4, 1))}


def test_strict_restrictions_hold_in_the_fit(engine, tmp_path):
    free = MLP(4, 4, layers=0)
    net = restrict(free, LOCAL)
    x, y = RNG.normal(size=(50, 4)), RNG.normal(size=(50, 4))
    post = fit(Model(net, sigma_b=0.0), x, y, MAP(20), engine=engine, progress=False)
    w = post.samples["output.weight"][0, 0]
    assert (w[~band(4, 4, 1)] == 0).all()
    assert np.abs(w[band(4, 4, 1)]).min() > 0
    assert free.parameters["output.weight"].subspace.rank == 16
    # The restriction is code: the file asks for the network, and takes no other.
    path = post.save(tmp_path / "p.nc")
    with pytest.raises(ValueError, match="the file does not hold its network, a MLP"):
        Posterior.load(path)
    with pytest.raises(ValueError, match=r"net must fit the file, got shape and ranks .* of parameter"):
        Posterior.load(path, net=MLP(4, 4, layers=1))
    np.testing.assert_array_equal(Posterior.load(path, net=net).predict(x).mean, post.predict(x).mean)
    file = save_network(tmp_path / "n.npz", net, {k: v[0, 0] for k, v in post.samples.items()})
    assert load_network(file, net=net)[0] is net


def test_linear_path(tmp_path):
    net = LinearPath(MLP(3, 2, channels=5, layers=1))
    params = {k: RNG.normal(size=p.shape) for k, p in net.parameters.items()}
    x = RNG.normal(size=(7, 3))
    inner = net.net({k[4:]: v for k, v in params.items() if k.startswith("net.")}, x)
    np.testing.assert_allclose(net(params, x), x @ params["linear.weight"].T + params["linear.bias"] + inner)
    model = Model(net, sigma_a={"net.output.*": 0.1, "*": 1.0}, sigma_b=0.0, likelihood=Gaussian(0.1))
    assert set(model.sites) == set(net.parameters)
    again, weights = load_network(save_network(tmp_path / "net", net, params))
    np.testing.assert_array_equal(again(weights, x), net(params, x))
    assert repr(again) == repr(net)


def test_the_linear_path_of_a_nested_network_is_nested():
    about_z = Group(3, [[[0, -1, 0], [1, 0, 0], [0, 0, 0]]], name="SO(2)")
    net = LinearPath(EMLP(Vector, Vector, SO(3), channels=8, layers=1, subgroups=[about_z]))
    assert [s.rank for s in net.parameters["linear.weight"].subspace.levels] == [1, 3]


def test_a_restricted_network_is_not_taken_for_the_plain_one(tmp_path):
    net = restrict(MLP(4, 4, layers=0), LOCAL)
    file = save_network(tmp_path / "n", net, {k: RNG.normal(size=p.shape) for k, p in net.parameters.items()})
    with pytest.raises(
        ValueError,
        match=r"net must fit the file, got .*\[16\]\] of parameter 'output.weight' where it has .*\[10\]",
    ):
        load_network(file, net=MLP(4, 4, layers=0))


def test_a_linear_path_is_restricted_as_the_network_is():
    net = LinearPath(EMLP(Scalar + Vector, Vector, O(3), channels=8, layers=1))
    params = {k: p.subspace.project(RNG.normal(size=p.shape)) for k, p in net.parameters.items()}
    x = RNG.normal(size=(20, 4))
    assert equivariance_error(lambda v: net(params, v), x, Scalar + Vector, Vector, O(3)).max() < 1e-12
    assert np.abs(params["linear.weight"]).max() > 1e-3


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: restrict("net", LOCAL), TypeError, "net must be a Network, got a str"),
        (
            lambda: restrict(MLP(4, 4, layers=0), {"*.weight": 3}),
            TypeError,
            r"subspaces\['\*\.weight'\] must be a Subspace, got 3",
        ),
        (
            lambda: restrict(MLP(4, 4, layers=0), {"w": LOCAL["output.weight"]}),
            ValueError,
            "subspaces must have patterns that fit a parameter, got 'w'",
        ),
        (
            lambda: restrict(MLP(3, 4, layers=0), LOCAL),
            ValueError,
            r"subspaces\['output\.weight'\] must have shape \(4, 3\) of output\.weight, got \(4, 4\)",
        ),
        (lambda: LinearPath(3), TypeError, "net must be a Network, got a int"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
