"""What was made stays as it is: arrays of groups, representations and subspaces, and the dicts of models."""

import pickle

import numpy as np
import pytest

from bayes_rpp import EMLP, D, Group, Model, O, Prior, S, Scalar, Vector
from bayes_rpp.subspaces import ConvolutionSubspace, DenseSubspace, EquivariantSubspace, SpanSubspace

G = O(3)
REP = Scalar + 2 * Vector


def arrays(value):
    """All numpy arrays within lists, tuples, dicts and attributes."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from arrays(v)
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from arrays(v)


@pytest.mark.parametrize(
    "made",
    [
        G,
        Group(2, (), [[[0, -1], [1, 0]]]),
        O(2) * S(3),
        EquivariantSubspace(REP(G), Vector(G)),
        DenseSubspace((2, 2), np.eye(4)[:, :2]),
        SpanSubspace.tied([[0, 1], [1, 0]]),
        ConvolutionSubspace(1, 2, 3, 5),
    ],
    ids=lambda made: type(made).__name__,
)
def test_arrays_are_read_only(made):
    found = list(arrays(vars(made)))
    assert found
    for a in found:
        with pytest.raises(ValueError, match="read-only"):
            a[...] = 0


def test_what_is_computed_once_is_read_only():
    for a in (D(4).elements, S(3).elements, *REP(G).types.values()):
        with pytest.raises(ValueError, match="read-only"):
            a[...] = 0


def test_the_generators_that_were_given_stay_the_users():
    flip = np.diag([1.0, -1.0])[None]
    group = Group(2, (), flip)
    flip[:] = 0
    assert group == Group(2, (), np.diag([1.0, -1.0]))


def test_the_dicts_of_models_are_read_only_and_can_be_sent():
    model = Model(EMLP(Vector, Vector, G, layers=0), sigma_b=Prior("HalfNormal", {"scale": 1.0}))
    for one in (model, pickle.loads(pickle.dumps(model))):
        assert list(one.latents) == ["sigma_b"]
        assert set(one.sites) == set(one.priors) == {"output.weight", "output.bias"}
        for name in ("latents", "priors", "sites"):
            with pytest.raises(TypeError, match="does not support item assignment"):
                getattr(one, name)["output.weight"] = None
