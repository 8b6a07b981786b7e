"""Whether a posterior can be trusted: R-hat, effective sample sizes, divergences, and what they mean in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._imports import load_module
from bayes_rpp._numerics import exponent
from bayes_rpp.inference.curvature.distance import mode_distance
from bayes_rpp.inference.posterior.draws import Draws
from bayes_rpp.models.model import Model

if TYPE_CHECKING:
    from pandas import DataFrame

RHAT, ESS, DEEP, BFMI = 1.01, 100, 0.05, 0.3  # Vehtari et al. 2021; ESS is for each chain; Betancourt 2016
SLOW = 0.1  # of the median chain's step size, below which a chain is named
MIXED = 1.1  # R-hat within a chain, below which it has mixed where it is
MIN_DRAWS = 4  # below which the estimators have no value


class ConvergenceWarning(UserWarning):
    """The chains of a sampler cannot be trusted; the message says why and what would do."""


@dataclass(frozen=True)
class Summary:
    """What `Posterior.summary` found.

    Attributes:
        table: a row for each inferred number and each output at each probe point: mean, sd, 5 % and 95 % quantiles, and
            of chains ess_bulk, ess_tail and r_hat.
        warnings: what is wrong, in words; empty if nothing was found.
        of_chains: whether the posterior consists of Markov chains, to which R-hat and ESS apply.
        distance: of MAP and ensembles, how far the weights are from a mode, in standard deviations of the posterior
            around it, the farthest member: sqrt(g^T H^-1 g) of the log density's gradient g and the Gauss-Newton H.
            None for others, and for large models.
        notes: what else is to be known, in words.
        within: the largest R-hat of the two halves of a chain. Where it is near 1 while `r_hat` of all chains is not,
            each has mixed, in a mode of its own. None where there are no chains, or few draws.
    """

    table: DataFrame
    warnings: list[str]
    of_chains: bool
    distance: float | None = None
    notes: tuple[str, ...] = ()
    within: float | None = None

    def __repr__(self) -> str:
        if not self.of_chains:
            words = ["no Markov chains: R-hat and ESS do not apply; compare methods or held-out metrics instead"]
            if self.distance is not None:
                words.append(f"{self.distance:.2g} posterior standard deviations from a mode (see MAP's polish)")
        else:
            words = self.warnings or ["no problem found: chains agree, no divergences"]
        return "\n".join(
            [self.table.to_string(float_format=lambda v: f"{v:.4g}"), *(f"- {w}" for w in (*words, *self.notes))]
        )


def summarize(post: Draws, x: NDArray | None = None, points: int = 5) -> Summary:
    """See `Posterior.summary`."""
    from pandas import DataFrame

    x = post.x[:points] if x is None else x[:points]
    chains = bool(post.sample_stats)
    found = dict(_quantities(post, x))
    rows = {name: _row(values, chains) for name, values in found.items()}
    table = DataFrame.from_dict(rows, orient="index")
    if chains:
        within = _within(found.values()) if post.draws >= 2 * MIN_DRAWS else None
        return Summary(table, list(_warnings(post, table, within)), chains, within=within)
    optimized = post.method.startswith(("MAP(", "DeepEnsemble(")) and isinstance(post.model, Model)
    distances = mode_distance(post.model, post.x, post.y, post.samples) if optimized else None
    return Summary(table, [], chains, None if distances is None else float(distances.max()))


def asymmetry(post: Draws, pathway: int = 0) -> dict[str, NDArray]:
    """See `Posterior.asymmetry`."""
    model, found = post.model, {}
    if isinstance(pathway, bool) or not isinstance(pathway, int) or not 0 <= pathway < len(model.sigmas_a):
        raise ValueError(f"pathway must be a number from 0 to {len(model.sigmas_a) - 1}, got {pathway!r}")
    shape = (post.chains, post.draws)
    for name, prior in model.priors.items():
        layer, levels = model.net.layer_of(name), prior.subspace.levels
        if layer in found or not 0 < levels[min(pathway, len(levels) - 1)].rank < prior.subspace.size:
            continue
        squares = [
            np.asarray(s.value(name, post.samples), dtype=np.float64) ** 2 for s in (*model.sigmas_a, model.sigma_b)
        ]
        with np.errstate(divide="ignore"):
            ratio = np.sqrt(sum(squares[pathway + 1 :]) / sum(squares[: pathway + 1]))
        found[layer] = np.broadcast_to(ratio, shape)
    return found


def _quantities(post: Any, x: NDArray) -> Iterator[tuple[str, NDArray]]:
    """Name -> (chain, draw) of all that has an identity."""
    for name in post.model.latents:
        yield name, post.samples[name]
    count = len(post.model.sigmas_a)
    for pathway in range(count):
        name = "sigma_b / sigma_a" if count == 1 else f"beyond / within pathway {pathway}"
        for layer, ratio in post.asymmetry(pathway).items():
            if np.ptp(ratio) > 0:
                yield f"{name}, {layer}", ratio
    f, net = post.outputs(x), getattr(post.model, "net", None)
    there = None if net is None else net.counted(x)  # outputs that an example has
    for i in range(len(x)):
        for d in range(f.shape[-1]):
            if there is None or there[i, d]:
                yield f"f(x[{i}])[{d}]", f[:, :, i, d]


def _row(values: NDArray, chains: bool) -> dict[str, float]:
    array_stats = load_module("arviz_stats.base").array_stats
    values = np.asarray(values, dtype=np.float64)
    k = exponent(values)
    values = np.ldexp(values, -k)  # R-hat and ESS do not depend on the size, but their squares may overflow
    found = [values.mean(), values.std(), *np.quantile(values, [0.05, 0.95])]
    row = dict(zip(("mean", "sd", "5%", "95%"), np.ldexp(found, k.item()).tolist(), strict=True))
    if chains:
        enough = values.shape[1] >= MIN_DRAWS and np.ptp(values) > 0
        with np.errstate(all="ignore"):  # chains that stand still have an infinite R-hat
            row["ess_bulk"] = float(array_stats.ess(values, method="bulk")) if enough else np.nan
            row["ess_tail"] = float(array_stats.ess(values, method="tail", prob=(0.05, 0.95))) if enough else np.nan
            row["r_hat"] = float(array_stats.rhat(values)) if enough and len(values) > 1 else np.nan
    return row


def _within(quantities: Iterable[NDArray]) -> float:
    """The largest R-hat of the two halves of a chain."""
    rhat = load_module("arviz_stats.base").array_stats.rhat
    half = min(q.shape[1] for q in quantities) // 2
    halves = [np.ldexp(q, -exponent(q)).astype(np.float64)[:, -2 * half :] for q in quantities]
    with np.errstate(all="ignore"):  # a chain that stands still
        each = [rhat(chain.reshape(2, half)) for q in halves for chain in q if np.ptp(chain) > 0]
    return float(np.max(each, initial=1.0))


def _warnings(post: Draws, table: Any, within: float | None) -> Iterator[str]:
    stats = post.sample_stats
    total = stats["diverging"].size
    diverging = int(stats["diverging"].sum()) if "energy" in stats else 0
    other = "" if post.model.parametrization in (None, "whitened") else "parametrization='whitened' or "
    if diverging:
        yield (
            f"{diverging} of {total} draws diverged: there are regions that the sampler cannot enter, so the "
            f"posterior is biased. Higher target_accept{_now(post, 'target_accept')}, {other}narrower hyperpriors help"
        )
    depth = _max_depth(post)
    if depth is not None:
        deep = float((stats["tree_depth"] >= depth).mean())
        if deep > DEEP:
            yield (
                f"{deep:.0%} of the draws were cut off at tree depth {depth}: they are correct but slow to mix. A "
                f"longer warmup, dense_mass=True or max_tree_depth={depth + 2} help"
            )
    yield from _frozen(stats)
    energy = np.asarray(stats.get("energy", np.empty((1, 0))), dtype=np.float64)
    if energy.shape[1] > MIN_DRAWS and (bfmi := _bfmi(energy)).min() < BFMI:
        yield (
            f"the energy of chain {int(bfmi.argmin())} hardly changes from draw to draw (BFMI {bfmi.min():.2f}, below "
            f"{BFMI}): the tails are not explored. A longer warmup or another parametrization help"
        )
    if post.draws < MIN_DRAWS:
        yield f"{post.draws} draws are too few to judge the chains; at least {MIN_DRAWS}, better 1000, would do"
        return
    if post.chains == 1:
        yield "one chain cannot show whether it has converged; chains=4 would do"
    worst = table["r_hat"].max()
    if worst > RHAT:
        name = table["r_hat"].idxmax()
        yield (
            f"R-hat is up to {worst:.2f} (of {name}; below {RHAT} is wanted): the chains disagree{_modes(within)}. "
            "Longer warmup and more draws, or chains that start at an ensemble's members (init=), help"
        )
    least = table[["ess_bulk", "ess_tail"]].min(axis=1)
    if least.min() < ESS * post.chains:
        yield (
            f"the effective sample size is down to {least.min():.0f} of {total} draws (of {least.idxmin()}; "
            f"{ESS * post.chains} is wanted): means are noisy and tails more so. More draws help"
        )


def _modes(within: float | None) -> str:
    """Whether it is the chains that have not mixed, or the modes that they are in that differ."""
    if within is None:
        return ""
    if within < MIXED:
        return (
            f", while each agrees with itself (R-hat within chains is up to {within:.2f}): they are in different modes"
        )
    return f", and with themselves (R-hat within chains is up to {within:.2f})"


def _frozen(stats: Any) -> Iterator[str]:
    """Of chains with steps that are set before, which had to be made shorter or were taken back."""
    if "energy" in stats:
        return
    step, back = np.asarray(stats["step_size"], dtype=np.float64), stats["diverging"].mean(axis=1)
    slow = (step[:, -1] < 0.5 * step[:, 0]) | (step[:, -1] < SLOW * np.median(step[:, -1])) | (back > DEEP)
    for c in np.flatnonzero(slow):
        yield (
            f"chain {c} froze, or nearly so: its steps were taken back in {back[c]:.0%} of the draws, and its step "
            f"size, {step[c, 0]:.2g} after the warm-up, ended at {step[c, -1]:.2g} (median of all chains "
            f"{np.median(step[:, -1]):.2g}). A longer warmup, a start elsewhere (seed=, init=) or the posterior "
            "without it help"
        )


def _bfmi(energy: NDArray) -> NDArray:
    """The estimated Bayesian fraction of missing information of each chain; 0 where the energy stands still."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(load_module("arviz_stats.base").array_stats.bfmi(energy))


def _max_depth(post: Draws) -> int | None:
    """The depth at which NUTS cut trees off."""
    found = _setting(post, "max_tree_depth")
    return int(found) if found.isdigit() else None


def _now(post: Draws, name: str) -> str:
    found = _setting(post, name)
    return f" (now {found})" if found else ""


def _setting(post: Draws, name: str) -> str:
    """A number of the method, from the record of how the posterior was made; empty if it is not there."""
    return re.split(r"[,)]", post.method.partition(f"{name}=")[2])[0]
