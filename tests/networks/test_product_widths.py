"""How a width is shared out under a product of groups: features with an index of each factor carry what passes."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.networks.allocation import hidden_rep
from bayes_rpp.networks.terms import is_permutation

ATOMS, SPACE = rpp.Vector.on(0), rpp.Vector.on(1)
GROUP = rpp.S(3) * rpp.O(3)


def test_features_with_both_indices_take_half_of_the_width():
    rep = hidden_rep(128, (ATOMS * SPACE)(GROUP), SPACE(GROUP))
    (both,) = (ATOMS * SPACE).terms[0][0:1]
    copies = dict(rep.terms)
    assert copies[both] * 9 >= 63
    assert abs(rep(GROUP).size - 128) <= 9
    assert rpp.T(2).on(0).terms[0][0] not in copies
    assert {rpp.Scalar.terms[0][0], ATOMS.terms[0][0], SPACE.terms[0][0]} < set(copies)


def test_points_have_products_and_gates_of_their_own():
    """Invariants of each point multiply what that point has; and the whole is equivariant."""
    net = rpp.EMLP(ATOMS * SPACE, SPACE, GROUP, channels=64, layers=2)
    atoms, both = (rep.terms[0][0] for rep in (ATOMS, ATOMS * SPACE))
    assert is_permutation(GROUP, atoms)
    assert not is_permutation(GROUP, both)
    assert not is_permutation(GROUP, SPACE.terms[0][0])
    for block in net.blocks:
        made = {(p.a, p.b, p.out) for p in block.bilinear.products.all}
        assert {(both, both, atoms), (atoms, both, both)} <= made
        copies = dict(block.rep_out.rep.terms)
        assert block.gates == sum(n for term, n in copies.items() if term not in ((), atoms))
    rng = np.random.default_rng(0)
    params = {k: p.subspace.project(rng.normal(size=p.subspace.shape)) for k, p in net.parameters.items()}
    x = rng.normal(size=(20, 9))
    before, after = (ATOMS * SPACE)(GROUP), SPACE(GROUP)
    for g in GROUP.sample(5, 0):
        expected = net(params, x) @ after.rho(g).T
        np.testing.assert_allclose(net(params, x @ before.rho(g).T), expected, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("first", [0, 1])
def test_products_of_points_are_inner_products_and_multiples(first):
    """Whichever of the two indices comes first."""
    both = ATOMS * SPACE if first == 0 else SPACE * ATOMS
    net = rpp.EMLP(both, SPACE, GROUP, channels=both + ATOMS, layers=1)
    (term,), (atoms,) = (tuple(t for t, _ in rep.terms) for rep in (both, ATOMS))
    bases = {(p.a, p.b, p.out): p.basis for p in net.blocks[0].bilinear.products.all}
    rng = np.random.default_rng(0)
    x, y, s = rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)  # (atoms, space) and (atoms,)

    def flat(m):
        return (m if first == 0 else m.T).ravel()

    inner = np.outer(flat(x), flat(y)).ravel() @ bases[term, term, atoms]
    np.testing.assert_allclose(np.abs(inner), np.abs((x * y).sum(axis=1)) / np.sqrt(3), atol=1e-12)
    scaled = np.outer(s, flat(x)).ravel() @ bases[atoms, term, term]
    np.testing.assert_allclose(scaled, flat(s[:, None] * x), atol=1e-12)
