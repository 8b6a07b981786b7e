import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayes_rpp import (
    EMLP,
    MLP,
    D,
    Group,
    Lorentz,
    O,
    Pseudoscalar,
    Regular,
    Rep,
    S,
    Scalar,
    T,
    Vector,
    load_network,
    save_network,
)
from tests.networks.test_emlp import strict_weights

FILES = Path(__file__).parent / "files"  # written at commit 0945f08, with the outputs that were computed there

NETS = [
    EMLP(Scalar + 2 * Vector, T(2), O(3), channels=30, layers=1),
    EMLP(Scalar + 2 * Vector, T(2), O(3), channels=30, layers=1, bilinear="full"),
    EMLP(Vector, T(1, 1), Lorentz(), channels=[2 * Scalar + Vector + T(1, 1)]),
    EMLP(Vector.on(0) + Vector.on(1), Pseudoscalar, O(2) * S(3), channels=20, layers=1),
    EMLP(Regular, Vector * (Scalar + Vector), D(4), channels=3 * Regular, layers=1, bilinear=False),
    EMLP(Vector, Vector, Group(2, discrete_generators=[[[0, 1], [1, 0]]], name="swap"), channels=10, layers=1),
    MLP(3, 2, channels=5, layers=2),
]


@pytest.mark.parametrize("net", NETS, ids=repr)
def test_a_saved_network_gives_the_same_outputs(net, tmp_path):
    params = strict_weights(net)
    x = np.random.default_rng(0).normal(size=(4, net.rep_in.size))
    again, weights = load_network(save_network(tmp_path / "net", net, params))
    assert repr(again) == repr(net)
    np.testing.assert_array_equal(again(weights, x), net(params, x))


def test_and_in_another_process_without_an_engine(tmp_path):
    net = NETS[0]
    params = strict_weights(net)
    x = np.random.default_rng(0).normal(size=(4, net.rep_in.size))
    save_network(tmp_path / "net.npz", net, params)
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, numpy as np, bayes_rpp as rpp\n"
        f"net, w = rpp.load_network(r'{tmp_path / 'net.npz'}')\n"
        f"np.save(r'{tmp_path / 'y.npy'}', net(w, np.load(r'{tmp_path / 'x.npy'}')))\n"
        "assert 'torch' not in sys.modules and 'jax' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), net(params, x))


def square(g):
    return np.kron(g, g)


def test_custom_representations_come_back_by_name(tmp_path):
    rep = Rep.custom(square)
    net = EMLP(rep, Scalar, O(2), channels=[2 * Vector + rep])
    path = save_network(tmp_path / "net.npz", net, strict_weights(net))
    again, _ = load_network(path, custom={"square": square})
    assert again.rep_in.size == 4
    with pytest.raises(ValueError, match="custom representation 'square'"):
        load_network(path)


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="params must have all weights of the network, got no"):
        save_network(tmp_path / "net.npz", NETS[0], {})
    with pytest.raises(FileNotFoundError):
        load_network(tmp_path / "nothing.npz")


def test_names_with_dots_are_kept(tmp_path):
    net = NETS[0]
    for seed, name in enumerate(("net_v1.2", "net_v1.3")):
        assert save_network(tmp_path / name, net, strict_weights(net, seed)).name == f"{name}.npz"
    _, weights = load_network(tmp_path / "net_v1.2")
    np.testing.assert_array_equal(weights["output.weight"], strict_weights(net, 0)["output.weight"])


def test_two_functions_of_one_name_are_refused(tmp_path):
    net = EMLP(Rep.custom(square, "f"), Rep.custom(lambda g: g, "f"), O(2), layers=0)
    with pytest.raises(ValueError, match="two custom representations have the name 'f'"):
        save_network(tmp_path / "net", net, strict_weights(net))


@pytest.mark.parametrize(
    ("name", "judged"),
    [
        ("rotation", (True, True)),  # by 72 degrees, typed with eleven decimals
        ("rotation_in_space", (False, True)),  # and about another axis
        ("nearly_skew", (True, True)),  # to 1e-7
        ("rotation_in_a_product", (True, True)),
        ("orthogonal", (True, True)),  # channels=20 had no products then
        ("product", (True, True)),
    ],
)
def test_files_of_before_load_and_predict_the_same(name, judged, tmp_path):
    net, params = load_network(FILES / f"{name}.npz")
    with np.load(FILES / "outputs.npz") as outputs:
        x, y = outputs[f"{name}.x"], outputs[f"{name}.y"]
    np.testing.assert_allclose(net(params, x), y, rtol=1e-6, atol=1e-6)
    assert (net.group.is_orthogonal, net.group.is_unimodular) == judged
    again, weights = load_network(save_network(tmp_path / "again", net, params))
    assert again.group == net.group
    np.testing.assert_array_equal(again(weights, x), net(params, x))


def test_files_keep_whether_a_group_was_taken_as_orthogonal(tmp_path):
    for off, wanted in ((1e-11, False), (1e-14, True)):
        group = Group(2, discrete_generators=[np.diag([1.0, -1.0 - off])], exact=True)
        assert group.is_orthogonal == group.is_unimodular == wanted
        net = EMLP(Vector + Scalar, Vector, group, channels=6, layers=1)
        again, _ = load_network(save_network(tmp_path / "net", net, strict_weights(net)))
        assert again.group == group
        assert again.group.is_orthogonal == again.group.is_unimodular == wanted
