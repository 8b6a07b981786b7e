import numpy as np
import pytest

from bayes_rpp import (
    EMLP,
    MLP,
    SL,
    SO,
    D,
    Group,
    Lorentz,
    O,
    Pseudoscalar,
    Regular,
    S,
    Scalar,
    T,
    Vector,
    Z,
    equivariance_error,
)
from bayes_rpp.inference.run.sites import Sites
from bayes_rpp.models.model import Model
from bayes_rpp.networks import uniform_rep

GROUPS = [O(3), SO(3), SL(3), S(5), Z(4), D(4), Lorentz(), O(2) * S(3)]


def strict_weights(net, seed=0, dtype=np.float64):
    """A draw from the prior with sigma_b = 0."""
    sites = Sites(Model(net, sigma_b=0.0), "weights")
    weights = sites.weights(sites.initial(np.random.default_rng(seed)))
    return {k: w.astype(dtype) for k, w in weights.items()}


@pytest.mark.filterwarnings("ignore:the strict network cannot carry all")  # SL(3) without bilinear layers
@pytest.mark.parametrize("bilinear", [True, "full", False])
@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_strict_network_is_equivariant(group, dtype, limit, bilinear):
    net = EMLP(2 * Scalar + 2 * Vector, T(2) + Vector, group, channels=60, layers=2, bilinear=bilinear)
    params = strict_weights(net, dtype=dtype)
    x = np.random.default_rng(1).normal(size=(20, net.rep_in.size)).astype(dtype)
    g = group.sample(20, seed=2)
    moved = np.einsum("nij,nj->ni", net.rep_in.rho(g), x).astype(dtype)
    a = np.einsum("nij,nj->ni", net.rep_out.rho(g), net(params, x))
    b = net(params, moved)
    assert b.dtype == dtype
    error = np.linalg.norm(a - b, axis=1) / (np.linalg.norm(a, axis=1) + np.linalg.norm(b, axis=1))
    assert error.max() < limit
    assert np.abs(a).max() > 1e-3  # not the zero function


@pytest.mark.parametrize(
    "net",
    [
        EMLP(Scalar + Vector, T(2), O(3), channels=40, layers=2),
        EMLP(Scalar + Vector, T(2), O(3), channels=40, layers=2, bilinear="full"),
        MLP(3, 2, channels=8),
    ],
)
def test_the_same_on_numpy_torch_and_jax(net):
    jax, jnp, torch = (pytest.importorskip(name) for name in ("jax", "jax.numpy", "torch"))
    params = strict_weights(net, dtype=np.float32)
    x = np.random.default_rng(0).normal(size=(6, net.rep_in.size)).astype(np.float32)
    want = net(params, x)
    by_torch = net({k: torch.as_tensor(v) for k, v in params.items()}, torch.as_tensor(x))
    by_jax = jax.jit(net)({k: jnp.asarray(v) for k, v in params.items()}, jnp.asarray(x))
    np.testing.assert_allclose(by_torch.numpy(), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.asarray(by_jax), want, rtol=1e-4, atol=1e-5)
    # Leading dimensions are free, and vmap over members is one call for each.
    np.testing.assert_allclose(net(params, x.reshape(2, 3, -1)).reshape(6, -1), want, rtol=1e-4, atol=1e-5)
    stacked = {k: torch.as_tensor(np.stack([v, 2 * v])) for k, v in params.items()}
    by_vmap = torch.func.vmap(net, in_dims=(0, None))(stacked, torch.as_tensor(x))
    np.testing.assert_allclose(by_vmap[0].numpy(), want, rtol=1e-4, atol=1e-5)


def test_bilinear_layer_against_its_definition():
    from bayes_rpp.networks.bilinear import _contract

    rng = np.random.default_rng(0)
    for a, k, b, n, p, q in [(2, 3, 4, 5, 3, 9), (30, 2, 3, 5, 2, 3), (3, 2, 30, 5, 4, 3), (1, 1, 1, 1, 1, 1)]:
        theta, maps, x = rng.normal(size=(a, k, b)), rng.normal(size=(n, k, p, q)), rng.normal(size=(n, b, q))
        want = np.einsum("akb,nkpq,nbq->nap", theta, maps, x)
        np.testing.assert_allclose(_contract(theta, maps, x), want, atol=1e-12)


def test_nested_pathways_have_the_symmetry_of_each_group():
    """Weights in the first level commute with SO(3), those in the second with rotations about z, and no more."""
    about_z = Group(3, [[[0, -1, 0], [1, 0, 0], [0, 0, 0]]], name="SO(2)")
    net = EMLP(Scalar + Vector, Vector, SO(3), channels=30, layers=1, subgroups=about_z)
    x = np.random.default_rng(0).normal(size=(30, 4))

    def errors(sigma_a, group):
        model, rng = Model(net, sigma_a=sigma_a, sigma_b=0.0), np.random.default_rng(1)
        params = {}
        for name, prior in model.priors.items():
            at = prior.strict() if prior.is_strict and prior.support.rank else prior
            empty = prior.is_strict and not prior.support.rank
            value = np.zeros(prior.shape) if empty else at.color(rng.normal(size=at.shape))
            params[name] = prior.support.decode(value) if at is not prior else value
        return equivariance_error(lambda v: net(params, v), x, Scalar + Vector, Vector, group).max()

    assert errors([1.0, 0.0], SO(3)) < 1e-10
    assert errors([1.0, 1.0], about_z) < 1e-10
    assert errors([1.0, 1.0], SO(3)) > 0.1


def test_widths():
    # 384 channels of O(3), as the paper's: 102 scalars, 34 vectors, 11 T(2), 3 T(3).
    counts = {b.size: b.count for b in uniform_rep(384, O(3))(O(3)).blocks}
    assert counts == {1: 102, 3: 34, 9: 11, 27: 3}
    for group in GROUPS:
        assert uniform_rep(100, group)(group).size == 100


def test_explicit_hidden_representations():
    one = EMLP(Vector, Scalar, O(3), channels=10 * Scalar + 5 * Vector, layers=2)
    two = EMLP(Vector, Scalar, O(3), channels=[10 * Scalar + 5 * Vector] * 2)
    assert {k: p.shape for k, p in one.parameters.items()} == {k: p.shape for k, p in two.parameters.items()}
    assert EMLP(Vector, Vector, O(3), layers=0).parameters.keys() == {"output.weight", "output.bias"}
    EMLP(Regular, Pseudoscalar, D(4), channels=[4 * Regular])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EMLP("Vector", Scalar, O(3)), TypeError, "rep_in"),
        (lambda: EMLP(3, 3, SO(3)), TypeError, "rep_in must say how the group acts on these columns, got 3"),
        (lambda: EMLP(Vector(O(3)), Scalar, O(3)), TypeError, r"rep_in must be a.*, got \(Vector\)\(O\(3\)\)"),
        (lambda: EMLP(Vector, Scalar, "O(3)"), TypeError, "group"),
        (
            lambda: EMLP(Regular, Scalar, O(3)),
            ValueError,
            r"rep_in must fit the group O\(3\), got Regular: O\(3\) has a Lie algebra,",
        ),
        (lambda: EMLP(Vector, Vector.on(1), O(3)), ValueError, "rep_out"),
        (lambda: EMLP(Vector, Scalar, O(3), channels=0), ValueError, "channels must be a whole number >= 1, got 0"),
        (lambda: EMLP(Vector, Scalar, O(3), layers=-1), ValueError, "layers must be a whole number >= 0, got -1"),
        (
            lambda: EMLP(Vector, Scalar, O(3), channels=[Vector], layers=2),
            ValueError,
            "layers must be None where channels lists 1 representations, got 2",
        ),
        (lambda: EMLP(Vector, Scalar, O(3), bilinear="half"), ValueError, "bilinear must be .*, got 'half'"),
        (lambda: EMLP(Vector, Scalar, O(3), bilinear=1), ValueError, "bilinear must be .*, got 1"),
        (lambda: EMLP(Vector, Scalar, O(3), channels=[3]), TypeError, "channels"),
        (lambda: EMLP(Vector, Scalar, O(3), channels=Regular), ValueError, "channels\\[0\\]"),
        (lambda: EMLP(Vector, Scalar, SO(3), subgroups=[O(3)]), ValueError, r"O\(3\), does not lie in SO\(3\)"),
        (lambda: EMLP(Vector, Scalar, S(3), subgroups=[SO(3)]), ValueError, r"SO\(3\), does not lie in S\(3\)"),
        (
            lambda: EMLP(Vector, Scalar, SO(3), subgroups=[SO(3)]),
            ValueError,
            r"subgroups\[0\] must leave other maps than SO\(3\), got SO\(3\)",
        ),
        (
            lambda: EMLP(Vector, Scalar, SO(3), subgroups=[SO(2)]),
            ValueError,
            r"subgroups\[0\] must act on R\^3, as group does, got R\^2",
        ),
        (lambda: EMLP(Vector, Scalar, SO(3), subgroups="SO"), TypeError, r"subgroups\[0\] must be a Group, got 'S'"),
        (lambda: uniform_rep(0, O(3)), ValueError, "channels must be a whole number >= 1, got 0"),
        (lambda: MLP(3, 2, channels=2.5), ValueError, r"channels must be a whole number >= 1, got 2\.5"),
        (lambda: MLP(0, 2), TypeError, "rep_in must be a representation, got 0"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
