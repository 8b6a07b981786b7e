import numpy as np
import pytest

from bayes_rpp import datasets, equivariance_error


def moment_of_inertia(x, strength=0.0):
    masses, r = x[:, :5], x[:, 5:].reshape(-1, 5, 3)
    outer = np.einsum("nb,nbi,nbj->nij", masses, r, r)
    y = np.trace(outer, axis1=1, axis2=2)[:, None, None] * np.eye(3) - outer
    y[:, :, 2] += strength * y[:, :, 2]
    return y.reshape(-1, 9)


@pytest.mark.parametrize(("make", "strength"), [(datasets.inertia, 0.0), (datasets.modified_inertia, 0.3)])
def test_arrays(make, strength):
    data = make(n=200, seed=3)
    assert data.x.shape == (200, data.rep_in(data.group).size) == (200, 20)
    assert data.y.shape == (200, data.rep_out(data.group).size) == (200, 9)
    assert data.x.dtype == data.y.dtype == np.float32
    np.testing.assert_allclose(data.y, moment_of_inertia(data.x.astype(float), strength), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(data.x, make(n=200, seed=3).x)
    assert (data.x[:, :5] > 0).all()


def test_only_the_modified_task_breaks_the_symmetry():
    data = datasets.inertia(100)
    reps = (data.rep_in, data.rep_out, data.group)
    x = data.x.astype(float)
    assert equivariance_error(moment_of_inertia, x, *reps).max() < 1e-12
    assert equivariance_error(lambda x: moment_of_inertia(x, 0.3), x, *reps).mean() > 0.05


def test_bad_n_is_named():
    with pytest.raises(ValueError, match="n must be a whole number >= 1, got 0"):
        datasets.inertia(0)
