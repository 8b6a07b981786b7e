"""Dense layers moved towards a group."""

import numpy as np
import pytest

import bayes_rpp as rpp

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn")

HIDDEN = 3 * rpp.Vector
REPS = {"0": (rpp.Vector, HIDDEN), "2": (HIDDEN, rpp.Vector)}


def dense():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 4))


def errors(module, group):
    """|f(g x) - g f(x)| at elements of the group."""
    x = np.random.default_rng(0).normal(size=(20, 4))
    f = lambda x: module(torch.as_tensor(x, dtype=torch.float32)).detach().numpy()  # noqa: E731
    return [np.abs(f(x @ g.T) - f(x) @ g.T).max() for g in group.sample(8, seed=1)]


def test_hardened_layers_are_as_near_the_group_as_asked():
    group, module = rpp.S(4), dense()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    assert max(errors(rpp.harden(module, group, REPS), group)) < 1e-5
    found = [max(errors(rpp.harden(module, group, REPS, strength=s), group)) for s in (0.0, 0.5, 0.9)]
    assert found[0] == max(errors(module, group))
    assert found[0] > found[1] > found[2] > 1e-3
    half, subspace = rpp.harden(module, group, REPS, strength=0.5), rpp.subspaces.EquivariantSubspace(
        rpp.Vector(group), HIDDEN(group))  # fmt: skip
    w, moved = (m[0].weight.detach().double().numpy() for m in (module, half))
    np.testing.assert_allclose(subspace.project(moved), subspace.project(w), atol=1e-6)
    np.testing.assert_allclose(moved - subspace.project(moved), 0.5 * (w - subspace.project(w)), atol=1e-6)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    # A layer that is not named stays; and its residual can be given again.
    one = rpp.harden(module, group, {"0": REPS["0"]})
    torch.testing.assert_close(one[2].weight, module[2].weight)
    soft = rpp.SoftModule(one, 4, subspaces={"0.weight": subspace}, sigma_b=0.1)
    torch.testing.assert_close(soft(torch.ones(2, 4)), one(torch.ones(2, 4)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module": 3}, "module must be a torch.nn.Module, got a int"),
        ({"module": torch.zeros(2)}, "module must be a torch.nn.Module, got a Tensor"),
        ({"strength": 1.5}, "strength must be between 0 and 1, got 1.5"),
        ({"reps": {}}, "reps must be a dict of pairs of representations by layer, got {}"),
        ({"reps": {"1": REPS["0"]}}, "reps must name layers nn.Linear, got '1'; there are '0', '2'"),
        ({"reps": {"0": rpp.Vector}}, r"reps\['0'\] must be a pair"),
        ({"reps": {"0": ("Vector", HIDDEN)}}, r"reps\['0'\] must be a representation, got 'Vector'"),
        ({"reps": {"0": REPS["2"]}}, r"reps\['0'\] must have size 4 of the layer's input, got 12"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        rpp.harden(**{"module": dense(), "group": rpp.S(4), "reps": REPS} | change)
