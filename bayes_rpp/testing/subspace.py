"""The contract of subspaces: an orthogonal projector in parts, the same for arrays of all libraries."""

from __future__ import annotations

import numpy as np

from bayes_rpp.priors.subspaces.base import Subspace
from bayes_rpp.testing.arrays import libraries, same


def check_subspace(subspace: Subspace, seed: int = 0) -> None:
    """Check that a subspace does what priors and networks ask of it.

    With Q an orthonormal basis, encode(w) = Q^T vec(w) and decode(beta) = Q beta, with leading batch dimensions, for
    numpy, torch and JAX arrays; project = decode o encode, symmetric and idempotent; `leverage` is the diagonal of
    Q Q^T; levels lie in each other, or all in the whole. Builds Q, so give a small one.

    Args:
        subspace: of at most some hundred weights.
        seed: of the weights that are tried.

    Raises:
        AssertionError: naming what does not hold.
    """
    assert isinstance(subspace, Subspace), f"subspace must be a Subspace, got a {type(subspace).__name__}"
    rng, s = np.random.default_rng(seed), subspace
    assert isinstance(s.shape, tuple), f"shape must be a tuple, got {s.shape!r}"
    assert s.size == int(np.prod(s.shape, dtype=int)), "size must be the product of shape"
    assert 0 <= s.rank <= s.size, f"rank must be between 0 and {s.size}, got {s.rank}"
    assert s.size % max(s.rows, 1) == 0, f"rows must divide the number of weights, {s.size}, got {s.rows}"
    w, beta = rng.normal(size=(2, 3, *s.shape)), rng.normal(size=(2, 3, s.rank))
    q = s.basis()
    same(q.T @ q, np.eye(s.rank), "basis()^T basis()", 1e-10)
    codes = w.reshape(2, 3, s.size) @ q
    for name, array, tolerance in libraries():
        where = f"of {name} arrays"
        same(s.encode(array(w)), codes, f"encode {where}", tolerance)
        same(s.decode(array(beta)), (beta @ q.T).reshape(w.shape), f"decode {where}", tolerance)
        same(s.project(array(w)), (codes @ q.T).reshape(w.shape), f"project {where}", tolerance)
        same(s.encode(s.decode(array(beta))), beta, f"encode(decode) {where}", tolerance)
        low = s.project(array(w.astype(np.float32)))
        assert "float32" in str(low.dtype), f"project {where} must keep float32, got {low.dtype}"
    same(s.leverage(), (q**2).sum(axis=1).reshape(s.shape), "leverage()", 1e-10)
    assert s.levels[-1].shape == s.shape, "levels must have the shape of the subspace"
    for inner, outer in zip(s.levels, s.levels[1:] if s.is_nested else [s] * len(s.levels), strict=False):
        same(outer.project(inner.project(w)), inner.project(w), "each level within the next, or the whole", 1e-8)
    for method, given in ((s.encode, np.zeros((7, *s.shape, 2))), (s.decode, np.zeros((7, s.rank + 1)))):
        _refuses(method, given)


def _refuses(method, given: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    try:
        method(given)
    except ValueError:
        return
    raise AssertionError(f"{method.__name__} must raise ValueError for the shape {given.shape}")
