"""Likelihoods that do not depend on the draws, candidates whose outputs must vanish, and Trivial beside products."""

import arviz_stats
import numpy as np
import pytest
from arviz_base import from_dict

import bayes_rpp as rpp
from bayes_rpp.analysis.scores import score
from bayes_rpp.analysis.vanishing import fit_candidate, must_vanish


def noise(*shape):
    """The same in each test, whichever ran before it."""
    return np.random.default_rng(sum(shape)).normal(size=shape)


X = np.random.default_rng(0).normal(size=(40, 3))
Y = 2 * X + 0.1 * noise(40, 3)
GROUPS = {"none": rpp.Trivial(3), "O(3)": rpp.O(3)}
QUICK = {"layers": 0, "engine": "pyro", "progress": False, "starts": 1}  # linear models have one mode
LINEAR = rpp.Laplace(evidence="maximize", epochs=20, batch_size=None, draws=200, every=10)


def compare(x, y, groups=GROUPS, rep_out=rpp.Vector, **options):
    return rpp.compare_symmetries(
        x, y, groups, **{"rep_in": rpp.Vector, "rep_out": rep_out, "method": LINEAR} | QUICK | options
    )


def at_rest(rows):
    x = X.copy()
    x[rows] = 0
    return x


class Told:
    """A posterior of which only the log-likelihood is known."""

    sample_stats = log_evidence = center = None

    def __init__(self, logp):
        self.logp = logp

    def log_likelihood(self):
        return self.logp


def arviz(logp):
    tree = from_dict({"posterior": {"lp": logp.sum(-1)}, "log_likelihood": {"y": logp}}, sample_dims=["chain", "draw"])
    return arviz_stats.loo(tree, pointwise=True, reff=1.0)


LOGP = noise(2, 100, 12) * 0.3 - 2


@pytest.mark.parametrize("rows", [[3], [0, 11], list(range(12)), list(range(2, 12))], ids=len)
@pytest.mark.parametrize("rounding", [0.0, 1e-9, 1e-7])
def test_examples_that_all_draws_give_the_same(rows, rounding):
    logp = LOGP.copy()
    logp[..., rows] = -3.0 + rounding * noise(2, 100, len(rows))
    found = score(Told(logp))
    np.testing.assert_allclose(found.pointwise[rows], -3.0, atol=1e-6)
    assert (found.pareto_k[rows] <= found.pareto_k.min()).all()
    others = np.setdiff1d(np.arange(12), rows)
    if len(others):  # one alone would be taken for a sum
        want = arviz(LOGP[..., others])
        np.testing.assert_allclose(found.pointwise[others], want.elpd_i)
        np.testing.assert_allclose(found.pareto_k[others], want.pareto_k)
    assert found.elpd == pytest.approx(found.pointwise.sum())
    assert found.se == pytest.approx(np.sqrt(12) * found.pointwise.std(), abs=1e-9)
    assert found.bad == (found.pareto_k > 0.7).sum()


def test_without_such_examples_it_is_arvizs():
    found, want = score(Told(LOGP)), arviz(LOGP)
    assert (found.elpd, found.se, found.effective) == (want.elpd, want.se, want.p)


def test_draws_of_two_kinds_have_a_flat_tail():
    """Such as two members, each many times."""
    logp = LOGP.copy()
    logp[..., 5] = np.where(np.arange(100) % 3, -1.0, -2.0)
    found = score(Told(logp))
    share = (np.arange(100) % 3 == 0).mean()
    assert found.pointwise[5] == pytest.approx(-np.log((1 - share) * np.exp(1) + share * np.exp(2)))


@pytest.mark.parametrize(("draws", "said"), [(slice(None), 200), (slice(0, 1), 2), (slice(50, 100), 100)])
@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_examples_without_probability_are_named(draws, said, value):
    logp = LOGP.copy()
    logp[:, draws, [4, 7]] = value
    with pytest.raises(ValueError, match=rf"not finite at 2 of 12 examples \(first: row 4, in {said} of 200 draws\)"):
        score(Told(logp))


@pytest.mark.parametrize(
    "rows", [[7], pytest.param([0, 1, 2, 3, 4], marks=pytest.mark.slow), list(range(0, 40, 2))], ids=len
)
def test_examples_at_a_fixed_point(rows):
    found = compare(
        at_rest(rows), np.where(np.isin(np.arange(40), rows)[:, None], 0.1 * Y, Y - 2 * X + 2 * at_rest(rows))
    )
    assert found.best == "O(3)"
    k = found.scores["O(3)", "strict"].pareto_k
    assert np.isfinite(k).all()


def test_an_example_at_rest_that_moves_is_noise_of_its_own():
    assert compare(at_rest([7]), Y).best == "O(3)"  # the row's y is 2 and more, from an x of 0


@pytest.mark.parametrize("offset", [0, 5])
def test_a_candidate_whose_outputs_must_vanish_cannot_hold(offset):
    found = compare(X, X[:, :1] + offset, rep_out=rpp.Pseudoscalar)
    assert found.best == "none"
    assert "O(3) cannot hold: it makes the outputs vanish at these x, whatever the function" in found.verdict
    assert must_vanish(found.posterior("O(3)", "strict"))


@pytest.mark.parametrize(
    ("group", "rep_in", "rep_out", "wanted"),
    [
        (rpp.O(3), rpp.Vector, rpp.Pseudoscalar, True),
        (rpp.O(3), rpp.Vector, rpp.Vector * rpp.Pseudoscalar, True),
        (rpp.O(2), 3 * rpp.Scalar, rpp.Vector, True),
        (rpp.O(3), rpp.T(2), rpp.Vector, True),
        (rpp.SO(3), rpp.Vector, rpp.Pseudoscalar, False),  # lengths
        (rpp.O(3), rpp.Vector, rpp.T(2), False),  # x x^T, which no linear layer has
        (rpp.O(3), 2 * rpp.Vector, rpp.Vector * rpp.Pseudoscalar, False),  # their product, likewise
        (rpp.O(3), 3 * rpp.Vector, rpp.Pseudoscalar, False),  # a volume, of degree 3
        (rpp.Trivial(3), rpp.Vector, rpp.Vector, False),
    ],
)
def test_what_no_function_can_have_is_told_from_what_linear_layers_lack(group, rep_in, rep_out, wanted):
    model = rpp.Model(rpp.EMLP(rep_in, rep_out, group, layers=0), sigma_b=0.0)
    x = noise(20, model.net.rep_in.size)
    post = fit_candidate(model, x, np.zeros((20, model.net.rep_out.size)), rpp.Laplace(epochs=1), engine="pyro")
    assert must_vanish(post) is wanted


def test_a_linear_model_without_maps_is_no_proof():
    found = compare(X, X[:, 1:2] + 0.01 * noise(40, 1), {"none": rpp.Trivial(3), "SO(3)": rpp.SO(3)},
                    rep_out=rpp.Pseudoscalar)  # fmt: skip
    assert "SO(3) does not hold exactly" in found.verdict
    assert found.best == "none"


@pytest.mark.slow
def test_with_hidden_layers_and_other_methods():
    found = compare(X, X[:, :1], rep_out=rpp.Pseudoscalar, layers=1, channels=4, starts=1,
                    method=rpp.Laplace(evidence="maximize", epochs=40, batch_size=None, draws=50))  # fmt: skip
    assert "O(3) cannot hold" in found.verdict
    svi = rpp.SVI(epochs=300, batch_size=None, draws=100)
    found = compare(X, X[:, :1], rep_out=rpp.Pseudoscalar, method=svi)
    assert "O(3) cannot hold" in found.verdict
    labels = (X[:, :1] > 0).astype(float)
    found = compare(X, labels, rep_out=rpp.Pseudoscalar, likelihood=rpp.Bernoulli(), method=rpp.Laplace(epochs=50))
    assert "O(3) cannot hold" in found.verdict
    assert found.scores["O(3)", "strict"].elpd == pytest.approx(40 * np.log(0.5))


def test_zero_outputs_hold_trivially():
    found = compare(X, 0 * X[:, :1], rep_out=rpp.Pseudoscalar)
    assert found.best == "O(3)"
    assert any("O(3) holds trivially" in doubt for doubt in found.doubts)


def test_inputs_at_the_fixed_point_alone():
    found = compare(0 * X, 1 + 0.1 * noise(40, 3))
    assert found.best == "none"
    assert "O(3) cannot hold" in found.verdict


def test_trivial_stands_for_its_factors():
    x = noise(60, 6)
    group = rpp.Z(2) * rpp.O(3)
    reps = {"rep_in": rpp.Vector.on(0) * rpp.Vector.on(1), "rep_out": rpp.Vector.on(1)}
    y = x[:, :3] + x[:, 3:] + 0.01 * noise(60, 3)
    found = rpp.compare_symmetries(x, y, {"none": rpp.Trivial(6), "both": group}, method=LINEAR, **reps, **QUICK)
    assert found.best == "both"
    assert [f.dim for f in found.candidates["none"].group.factors] == [2, 3]
    with pytest.raises(ValueError, match="factor"):  # no Trivial group: what it does must be said
        rpp.compare_symmetries(x, y, {"O": rpp.O(5), "both": group}, **reps, **QUICK)
    plain = compare(X, Y, {"none": rpp.Trivial(3), "axis": rpp.SO(2) * rpp.Trivial(1)})
    assert plain.candidates["none"].group.factors == ()
