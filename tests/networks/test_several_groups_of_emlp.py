"""EMLP with a list of groups: pathways with the symmetry of each, chains as ever, files, and what is refused."""

import numpy as np
import pytest

from bayes_rpp import (
    EMLP,
    MLP,
    SO,
    Group,
    Model,
    O,
    Regular,
    S,
    Scalar,
    Trivial,
    Vector,
    equivariance_error,
    load_network,
    save_network,
)
from bayes_rpp.networks import LinearPath, restrict
from bayes_rpp.networks.groups import generated
from bayes_rpp.subspaces import DenseSubspace, NestedSubspace, SumSubspace

TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]])
ABOUT_Z = Group(3, [TURN], name="about z")
ABOUT_X = Group(3, [np.roll(TURN, 1, axis=(0, 1))], name="about x")
REP = Scalar + 2 * Vector
X = np.random.default_rng(0).normal(size=(30, 7))


def strict(net, sigma_a):
    """A draw of the weights without a residual."""
    model, rng, params = Model(net, sigma_a=sigma_a, sigma_b=0.0), np.random.default_rng(1), {}
    for name, prior in model.priors.items():
        if not prior.is_strict:
            params[name] = prior.color(rng.normal(size=prior.shape))
        elif prior.support.rank:
            at = prior.strict()
            params[name] = prior.support.decode(at.color(rng.normal(size=at.shape)))
        else:
            params[name] = np.zeros(prior.shape)
    return params


def error(net, sigma_a, group):
    params = strict(net, sigma_a)
    return equivariance_error(lambda v: net(params, v), X, REP, Vector, group).max()


@pytest.mark.parametrize("groups", [[ABOUT_Z, ABOUT_X], [ABOUT_Z, S(3)], [S(3), ABOUT_Z, ABOUT_X]], ids=repr)
def test_one_sigma_alone_has_its_groups_symmetry(groups):
    net = EMLP(REP, Vector, groups, channels=30, layers=2)
    assert net.pathways == len(groups)
    for k, group in enumerate(groups):
        alone = [float(j == k) for j in range(len(groups))]
        assert error(net, alone, group) < 1e-10
        assert all(error(net, alone, other) > 0.01 for other in groups if other is not group)
    assert all(error(net, [1.0] * len(groups), group) > 0.01 for group in groups)


def test_the_group_is_what_all_generate():
    net = EMLP(REP, Vector, [ABOUT_Z, ABOUT_X], channels=20, layers=1)
    assert net.groups == (ABOUT_Z, ABOUT_X)
    shared = EMLP(REP, Vector, SO(3), list(net.hidden))
    for name, p in shared.parameters.items():
        if "bilinear" in name:
            assert net.parameters[name].shape == p.shape
    both = generated([SO(2) * Trivial(1), Trivial(2) * O(1)])
    assert [f.dim for f in both.factors] == [2, 1]
    assert both == SO(2) * O(1)
    assert generated([ABOUT_Z, SO(3), ABOUT_X]) == SO(3)
    net = EMLP(Vector.on(0), Vector.on(1), [S(2) * O(2), SO(2) * Trivial(2)], layers=0)
    assert net.rep_in.size == net.rep_out.size == 2


def test_nested_groups_in_a_list_are_a_chain():
    one = EMLP(REP, Vector, [SO(3), ABOUT_Z], channels=20, layers=1)
    two = EMLP(REP, Vector, SO(3), channels=20, layers=1, subgroups=[ABOUT_Z])
    assert one.key == two.key
    assert repr(one) == repr(two)
    assert isinstance(one.parameters["output.weight"].subspace, NestedSubspace)
    assert EMLP(REP, Vector, [SO(3)], channels=20).key == EMLP(REP, Vector, SO(3), channels=20).key


def test_weights_that_all_groups_leave_alike_have_one_subspace():
    net = EMLP(Scalar, Vector, [SO(3), S(3)], layers=0)
    assert [len(p.subspace.levels) for p in net.parameters.values()] == [2, 2]
    net = EMLP(Scalar + Scalar, Scalar, [ABOUT_Z, ABOUT_X], layers=0)
    assert [len(p.subspace.levels) for p in net.parameters.values()] == [1, 1]
    prior = Model(net, sigma_a=[3.0, 4.0], sigma_b=0.0, scale=None).priors["output.weight"]
    np.testing.assert_allclose(prior.covariance(), 25 * np.eye(2))


def test_files_and_changes_keep_the_groups(tmp_path):
    net = EMLP(REP, Vector, [ABOUT_Z, S(3)], channels=20, layers=1)
    params = strict(net, [1.0, 0.5])
    again, weights = load_network(save_network(tmp_path / "net.npz", net, params))
    assert again.groups == net.groups
    assert again.key == net.key
    np.testing.assert_array_equal(again(weights, X), net(params, X))
    wider = net.replace(channels=40)
    assert wider.groups == net.groups
    assert wider.replace(group=O(3)).groups == (O(3),)
    path = LinearPath(net)
    assert path.pathways == 2
    assert isinstance(path.parameters["linear.weight"].subspace, SumSubspace)


def test_sums_of_any_subspaces_can_restrict_a_network():
    rng = np.random.default_rng(0)
    both = SumSubspace([DenseSubspace((2, 3), rng.normal(size=(6, 2))) for _ in range(2)])
    net = restrict(MLP(3, 2, layers=0), {"output.weight": both})
    prior = Model(net, sigma_a=[1.0, 0.5], sigma_b=0.1, scale=None).priors["output.weight"]
    bases = [s.basis() for s in both.levels]
    want = bases[0] @ bases[0].T + 0.25 * bases[1] @ bases[1].T + 0.01 * np.eye(6)
    np.testing.assert_allclose(prior.covariance(), want, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: EMLP(REP, Vector, []), TypeError, r"group must be a Group or a list of groups, got \[\]"),
        (lambda: EMLP(REP, Vector, [SO(3), "S(3)"]), TypeError, "group must be a Group or a list of groups, got"),
        (lambda: EMLP(REP, Vector, "SO(3)"), TypeError, "group must be a Group or a list of groups, got 'SO"),
        (lambda: EMLP(REP, Vector, [SO(3), SO(2)]), ValueError, r"the same R\^dim, got SO\(3\) on R\^3 and SO\(2\)"),
        (lambda: EMLP(REP, Vector, [SO(3), ABOUT_Z, SO(3)]), ValueError, r"different maps, got SO\(3\) beside SO\(3\)"),
        (
            lambda: EMLP(REP, Vector, [ABOUT_Z, ABOUT_X], subgroups=[ABOUT_Z]),
            ValueError,
            "subgroups must be left out where group is a list",
        ),
        (lambda: EMLP(REP, Vector, ABOUT_Z, subgroups=[ABOUT_X]), ValueError, r"group=\[\.\.\.\], a list, would do"),
        (lambda: EMLP(Regular, Scalar, [S(3), ABOUT_Z]), ValueError, "rep_in must fit the group"),
        (
            lambda: Model(EMLP(REP, Vector, [ABOUT_Z, ABOUT_X], channels=10, layers=1), sigma_a=1.0),
            ValueError,
            r"sigma_a must be a list of 2, one for each group, as the network has 2 pathway\(s\), got 1\.0",
        ),
    ],
)
def test_bad_input_is_named(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
