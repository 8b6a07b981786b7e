"""What a GaussianProcess is given: groups, kinds of blocks, and what is refused."""

import numpy as np
import pytest

from bayes_rpp import (
    MAP,
    SL,
    SO,
    D,
    Gaussian,
    GaussianProcess,
    Group,
    Lorentz,
    O,
    Prior,
    Pseudoscalar,
    S,
    Scalar,
    Sp,
    T,
    Trivial,
    Vector,
    fit,
    kernels,
)
from bayes_rpp.models.process.defaults import with_defaults
from bayes_rpp.models.process.kinds import fixed_part
from bayes_rpp.subspaces import equivariant_basis

REPS = (Scalar + Vector, Vector)


@pytest.mark.parametrize("group", [SO(4), S(6), O(3), D(4), SO(2) * Trivial(1), Trivial(3), SO(4) * S(6)], ids=str)
def test_constants_are_what_the_group_leaves_fixed(group):
    """Also where the average over the group is one over elements drawn at random."""
    rep = (Vector + T(2) + Scalar)(group)
    q = equivariant_basis(Scalar(group), rep)
    np.testing.assert_allclose(fixed_part(rep), q @ q.T, atol=1e-12)


@pytest.mark.parametrize(("group", "dim"), [(SL(2), 2), (Sp(1), 2), (Lorentz(), 4), (SL(2) * S(3), 5)], ids=str)
def test_groups_without_an_average_are_for_networks(group, dim):
    with pytest.raises(ValueError, match=r"^group must be a group of orthogonal matrices.*network, Model\(EMLP\("):
        GaussianProcess(*REPS, group)
    with pytest.raises(ValueError, match=r"^group\[1\] must be a group of orthogonal matrices.*Model\(EMLP\("):
        GaussianProcess(*REPS, [Trivial(dim), group])


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"group": "O(3)"}, TypeError, "group must be a Group, got the text 'O\\(3\\)'"),
        ({"group": []}, TypeError, "group must be a Group or a list"),
        ({"group": [O(3), O(2)]}, ValueError, r"group must be a list of groups on the same R\^dim"),
        ({"kernel": "RBF"}, TypeError, r"kernel must be a Kernel, got 'RBF'; kernels.RBF\(\) would do"),
        ({"likelihood": 0.1}, TypeError, r"likelihood must be a Likelihood, got 0.1; Gaussian\(0.1\) would do"),
        ({"mean": "zero"}, ValueError, "mean must be 'constant', 'linear' or None, got 'zero'"),
        ({"scale": "fan_in"}, ValueError, "scale must be 'data' or None, got 'fan_in'"),
        ({"sigma_a": -1.0}, ValueError, "sigma_a"),
        ({"sigma_b": np.nan}, ValueError, "sigma_b"),
        ({"sigma_a": [1.0, 2.0]}, ValueError, "sigma_a must be a list of 1, one for each group, got 2 of them"),
        ({"group": [O(3), SO(3)], "sigma_a": 1.0}, ValueError, "sigma_a must be a list of 2, one for each group"),
        ({"sigma_b": [1.0, 2.0]}, (TypeError, ValueError), "sigma_b"),
        ({"lengthscale": 0.0}, ValueError, r"lengthscale.* must be a number > 0, got 0.0"),
        ({"lengthscale": {"vector": 1.0}}, ValueError, "by kind of block, 'Scalar', 'Vector', got 'vector'"),
        ({"offset": [1.0]}, ValueError, "offset"),
        ({"offset": [np.nan, 0, 0]}, ValueError, "offset"),
        ({"mean_size": -1.0}, ValueError, "mean_size"),
        ({"tolerance": 0.0}, ValueError, "tolerance must be a number > 0"),
        ({"tolerance": Prior("HalfNormal", {"scale": 1.0})}, TypeError, "tolerance"),
    ],
    ids=lambda v: str(v)[:40] if isinstance(v, dict) else None,
)
def test_what_does_not_fit_is_named(options, kind, message):
    with pytest.raises(kind, match=message):
        GaussianProcess(*REPS, **{"group": O(3)} | options)


def test_representations_must_be_orthogonal():
    stretched = Group(2, discrete_generators=[[[0.0, 2.0], [0.5, 0.0]]])
    with pytest.raises(ValueError, match="group must be a group of orthogonal matrices"):
        GaussianProcess(Vector, Scalar, stretched)


def test_it_does_not_change():
    gp = GaussianProcess(*REPS, O(3), sigma_b=0.1)
    with pytest.raises(AttributeError, match=r"gp.replace\(sigma_b=...\) makes another"):
        gp.sigma_b = 1.0
    with pytest.raises(AttributeError, match="does not change, so sigma_b stays"):
        del gp.sigma_b
    other = gp.replace(sigma_b=1.0)
    assert (gp.sigma_b, other.sigma_b) == (0.1, 1.0)
    with pytest.raises(TypeError, match="sigma_c"):
        gp.replace(sigma_c=1.0)
    offset = np.zeros(3)
    moved = gp.replace(offset=offset)
    offset[:] = 7.0
    np.testing.assert_array_equal(moved.offset, 0.0)
    with pytest.raises(ValueError, match="read-only"):
        moved.offset[0] = 1.0


def test_each_kind_of_block_has_a_lengthscale():
    rep = 2 * Scalar + Pseudoscalar + 2 * Vector
    gp = GaussianProcess(rep, Scalar, O(3), kernel=kernels.RBF() + kernels.Matern52(lengthscale=2.0))
    assert {k: list(v) for k, v in gp.kinds.items()} == {
        "Scalar": [0, 1],
        "Pseudoscalar": [2],
        "Vector": [3, 4, 5, 6, 7, 8],
    }
    assert gp.open == {
        "sigma_a", "sigma_b", "noise", "mean_size",
        "lengthscale_0.Scalar", "lengthscale_0.Pseudoscalar", "lengthscale_0.Vector",
    }  # fmt: skip
    alone = gp.replace(ard=True)
    assert {k: list(v) for k, v in alone.kinds.items()} == {
        "x0": [0],
        "x1": [1],
        "Pseudoscalar": [2],
        "Vector": [3, 4, 5, 6, 7, 8],
    }
    about_z = GaussianProcess(Vector, Vector, SO(2) * Trivial(1), ard=True)
    assert {k: list(v) for k, v in about_z.kinds.items()} == {"x2": [2], "Vector": [0, 1]}
    mixed = GaussianProcess(Vector, Vector, [SO(2) * Trivial(1), O(3)], ard=True)
    assert {k: list(v) for k, v in mixed.kinds.items()} == {"Vector": [0, 1, 2]}


def test_without_a_symmetry_there_is_one_pathway():
    gp = GaussianProcess(2 * Scalar, Scalar, Trivial(1))
    assert gp.sigma_b == 0.0
    assert "sigma_b" not in gp.open


def test_numbers_that_are_left_out_are_of_the_scale_of_the_data():
    rng = np.random.default_rng(0)
    gp = GaussianProcess(Scalar + Vector, Scalar, SO(2), kernel=kernels.RBF(), ard=True)
    x = rng.normal(size=(30, 3)) * [1e3, 1.0, 1.0] + [1e6, 0.0, 0.0]
    y = 1e-4 * rng.normal(size=(30, 1)) + 50.0
    full = with_defaults(gp, x, y)
    assert not full.is_open
    assert full.latents["sigma_a"].start == pytest.approx(1e-4, rel=0.5)
    assert full.latents["noise"].start == pytest.approx(1e-5, rel=0.5)
    assert full.latents["lengthscale.x0"].start == pytest.approx(2e3, rel=0.5)
    assert full.latents["lengthscale.Vector"].start == pytest.approx(2.8, rel=0.5)
    np.testing.assert_allclose(full.offset, 50.0, atol=1e-3)
    constant = with_defaults(gp, x * [0.0, 1.0, 1.0] + [7.0, 0.0, 0.0], y)
    assert constant.latents["lengthscale.x0"].start == pytest.approx(7 * 2**0.5)  # not next to nothing
    given = with_defaults(gp.replace(sigma_a=2.0, lengthscale={"Vector": 3.0}, likelihood=Gaussian(0.3)), x, y)
    assert set(given.latents) == {"sigma_b", "lengthscale.x0"}


@pytest.mark.parametrize(("where", "value"), [("x", np.nan), ("y", np.inf)])
def test_values_that_are_no_numbers_are_refused(where, value):
    data = {"x": np.ones((5, 3)), "y": np.ones((5, 3))}
    data[where][2, 1] = value
    with pytest.raises(ValueError, match=where):
        fit(GaussianProcess(Vector, Vector, SO(3)), data["x"], data["y"], MAP(), progress=False)
