"""Which symmetry do the data have? Candidates as strict to free models, fitted, scored, and judged in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from bayes_rpp._arrays import whole_number
from bayes_rpp._types import ArrayLike, EngineName
from bayes_rpp.analysis.candidates import make_candidates
from bayes_rpp.analysis.compare_fits import Fits
from bayes_rpp.analysis.compare_table import comparison_table
from bayes_rpp.analysis.comparison import Comparison, checked_data
from bayes_rpp.analysis.function_candidates import FunctionCandidate, why_networks
from bayes_rpp.analysis.function_fits import FunctionFits
from bayes_rpp.analysis.given_groups import Groups, read_groups
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.analysis.verdict import judge
from bayes_rpp.inference.methods import MAP, Laplace, Method
from bayes_rpp.models.likelihood import Likelihood
from bayes_rpp.models.likelihoods import Gaussian, StudentT
from bayes_rpp.networks.network import Network
from bayes_rpp.priors.hyper import Prior
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.parse import parse_rep
from bayes_rpp.symmetry.representations import Rep

NOISE = 0.3  # where its tuning starts, in standardised units
STARTS = 3  # of methods that find one of many modes
FUNCTIONS = (
    "Functions were compared (Gaussian processes): evidences and LOO are exact, at the best sigmas, lengthscales and "
    "noise."
)
METHOD = Laplace(evidence="maximize", epochs=200, batch_size=None, draws=200, every=100, steps=5, polish=15)


def compare_symmetries(
    x: ArrayLike,
    y: ArrayLike,
    groups: Mapping[str, Group | str | Sequence[Group | str]],
    *,
    rep_in: Rep | str,
    rep_out: Rep | str,
    models: Literal["auto", "functions", "networks"] = "auto",
    channels: int | Rep | None = None,
    layers: int | None = None,
    network: Callable[[Group], Network] | None = None,
    likelihood: Likelihood | None = None,
    method: Method | None = None,
    starts: int | None = None,
    engine: EngineName | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Comparison:
    """Which of several symmetries do the data have, how sure is that, and how far is it broken?

    For each candidate the strict (sigma_b = 0), the soft (sigmas tuned, sigma_b by layer) and the free (sigma_a = 0)
    model are fitted and scored by log evidence and LOO; and for one that others contain the nested model, soft with a
    pathway for each of those too. All share the likelihood, and the kernel or the hidden layers' widths.

    Args:
        x, y: (n, d_in) and (n, d_out) arrays. They are standardised in a way that keeps every candidate's symmetry:
            centred only by what all groups leave fixed, and with one scale for all columns of a block of a
            representation (scalars of x and y each have their own). y only with Gaussian and StudentT.
        groups: name -> Group, all on the same R^dim; {"none": Trivial(3), "SO(2)": SO(2) * Trivial(1), "O(3)": O(3)}.
            Without a Trivial one "none" cannot be the answer. A list of groups, of which none contains another, is a
            mixed candidate, {"both": [G, H]}: f is a sum of a part with each symmetry, and has neither; of functions
            alone, as a network with such layers is no such sum. Where rep_in and rep_out name the factors of products
            (`Vector.on(0)`), a Trivial(n) of any n stands for the product of Trivial groups with the factors' sizes.
        rep_in, rep_out: how they act on the columns. These and the groups may be text, such as "2*Vector" and "O(3)".
        models: "functions" are Gaussian processes (`GaussianProcess`), whose posteriors, evidences and LOO are exact
            and take seconds to minutes; sigmas, lengthscales and noise have the values of the highest evidence.
            "networks" are EMLPs. "auto" takes functions where they are exact and quick, and says which it took: compact
            groups that act by orthogonal matrices and have an average over few elements, Gaussian noise, up to 3,000
            numbers in y; and networks where an argument of theirs is given.
        channels: width of the hidden layers, or their representation; layers: how many. 0 is a linear model, for which
            the evidence of a Gaussian likelihood is exact. None: 32 and 1. These, network, method and starts are of
            networks alone.
        network: group -> Network, in place of an EMLP of these channels and layers; then there are no nested models.
        likelihood: None: Gaussian, with its noise tuned.
        method: of each fit. None: Laplace(evidence="maximize"), which tunes sigmas and noise. One without an evidence,
            such as NUTS, leaves the decision to LOO.
        starts: fits of each model (of free ones always one), of which the one with the highest evidence (or else LOO)
            counts. None: 3 of methods that find one of many modes (MAP, ensembles and Laplace), 1 of others and of
            linear models. With the former the strict and the soft model are also fitted from each other's weights, and
            the nested one from the modes of the larger candidates' soft ones, so that they do not differ by the luck of
            their starts; Laplace goes on from there without training (epochs=0), which takes a second.
        engine, seed: as in `fit`.
        progress: whether to say which model is fitted.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    rep_in, rep_out = (parse_rep(r) if isinstance(r, str) else r for r in (rep_in, rep_out))
    named = read_groups(groups, rep_in, rep_out)
    every = [g for gs in named.values() for g in gs]
    if starts is not None:
        whole_number(starts, "starts")
    likelihood = likelihood if likelihood is not None else Gaussian(Prior("HalfNormal", {"scale": NOISE}))
    of_networks = {"channels": channels, "layers": layers, "network": network, "method": method, "starts": starts}
    given = [name for name, value in of_networks.items() if value is not None]
    channels, layers = 32 if channels is None else channels, 1 if layers is None else layers
    candidates = make_candidates(
        named, rep_in, rep_out, channels=channels, layers=layers, network=network, likelihood=likelihood
    )
    net = candidates[0].net
    x, y = checked_data(x, y, net.rep_in.size, likelihood.columns(net.rep_out.size), net.rep_in.advice)
    to_x = Standardization.of(x, rep_in, every)
    to_x.warn_of_offset(x, "x")
    to_y = Standardization.none(y.shape[1])
    if isinstance(likelihood, (Gaussian, StudentT)):
        to_y = Standardization.of(y, rep_out, every)
        to_y.warn_of_offset(y, "y")
    by_name = {c.name: c for c in candidates}
    x, y = to_x(x), to_y(y)
    why = _why_networks(models, named, rep_in, rep_out, likelihood, y, given)
    fits: Fits
    if why is None:
        by_name = FunctionCandidate.of(by_name, x, y)
        fits, by = FunctionFits(by_name, x, y, MAP(), 1, engine, seed), FUNCTIONS
    else:
        method = method if method is not None else METHOD
        many = isinstance(method, MAP) and (layers > 0 or network is not None)
        fits = Fits(by_name, x, y, method, starts or (STARTS if many else 1), engine, seed)
        by = f"Networks were compared, not functions: {why}." if why else ""
    fits.run(progress)
    table = comparison_table(by_name, fits.posteriors, fits.scores, fits.seconds)
    verdict = judge(by_name, fits.posteriors, fits.scores, table, by)
    verdict.doubts.extend(getattr(fits, "doubts", ()))
    return Comparison(table, verdict.best, verdict, by_name, fits.mixtures(), fits.scores, to_x, to_y)


def _why_networks(models: Any, groups: Mapping[str, Groups], *comparison: Any) -> str | None:
    """Why the models are networks, in words, "" as it was asked for; None if they are functions."""
    if models not in ("auto", "functions", "networks"):
        raise ValueError(f"models must be 'auto', 'functions' or 'networks', got {models!r}")
    why = "" if models == "networks" else why_networks(groups, *comparison)
    mixed = next((name for name, gs in groups.items() if len(gs) > 1), None)
    if why and models == "functions":
        raise ValueError(f"models must be 'networks', or 'auto', for this comparison, got 'functions': {why}")
    if mixed and (why or models == "networks"):
        raise ValueError(
            f"groups[{mixed!r}] must be one Group where networks are compared ({why or 'models was networks'}), got a "
            "list, and layers with several groups make no sum of functions with a group each; functions would do"
        )
    return why if why or models == "networks" else None
