"""How a width is shared out under a product of groups: features with an index of each factor carry what passes."""

import bayes_rpp as rpp
from bayes_rpp.networks.allocation import hidden_rep

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
