"""Discrete symmetries that nobody named."""

import numpy as np
import pytest

from bayes_rpp.analysis.discovery.discrete import discrete_symmetries


def test_a_swap_is_found_and_bad_input_refused():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 4))
    f = np.sin(x[:, 0] + x[:, 1]) + x[:, 0] * x[:, 1] + np.exp(0.5 * x[:, 2]) + x[:, 3] ** 2 + x[:, 3]
    found = discrete_symmetries(x, f[:, None] + 0.02 * rng.normal(size=(100, 1)))
    assert found.group.order == 2 and np.array_equal(found.found[0][1], np.eye(4)[[1, 0, 2, 3]]), str(found)
    with pytest.raises(ValueError, match="x must be finite"):
        discrete_symmetries(np.full((20, 2), np.nan), np.zeros((20, 1)))


def test_nothing_is_found_where_there_is_nothing():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(100, 3))
    f = np.exp(0.5 * x[:, 0]) + x[:, 1] ** 2 + x[:, 1] + np.sin(2 * x[:, 2] + 1)
    found = discrete_symmetries(x, f[:, None] + 0.02 * rng.normal(size=(100, 1)))
    assert not found.found and found.group.is_trivial, str(found)
