"""Whether data speak against a symmetry, whatever its strict network can be: a model that bends, beside its own
equivariant part f_G(x) = mean over g of rho_out(g)^-1 f(rho_in(g) x).

A strict network that loses against a softer one may lose because the symmetry is broken, or because it is too small for
the function. In the second case the equivariant part of the softer model predicts as well as the whole of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayes_rpp.analysis.outputs import outputs_of
from bayes_rpp.analysis.scores import NATS, Difference, left_out, noise_of
from bayes_rpp.inference.posterior.functions import FunctionPosterior
from bayes_rpp.models.likelihoods import Gaussian
from bayes_rpp.models.process.laplace import evidence_of
from bayes_rpp.symmetry.groups import Group

if TYPE_CHECKING:
    from bayes_rpp.inference.posterior.posterior import Posterior

ELEMENTS = 24  # of a group that is not smaller; their mean is that far from the average over all
EXAMPLES, DRAWS = 200, 200  # looked at
FUNCTIONS = 1000  # drawn at each example
PART_ERRORS = 1.5  # standard errors


def is_capacity(found: Difference) -> bool:
    """Whether it is the network, and not the symmetry, by which a strict model loses to another: the part of the other
    that has the symmetry is not worse than the whole, by 3 nats and 1.5 standard errors.

    Args:
        found: `against_symmetric_part` of the other model.
    """
    return found.elpd > -max(NATS, PART_ERRORS * found.se)


def against_symmetric_part(post: Posterior, group: Group, seed: int = 0) -> Difference:
    """Leave-one-out log predictive density of a posterior's equivariant part minus that of the posterior.

    With Gaussian noise and a Gaussian posterior, over functions or around a linearised network (Laplace), both are in
    closed form (`left_out`). Elsewhere the draws are weighted by 1 / p(y_i | f), truncated.

    Args:
        group: acts on inputs and outputs by the representations of the posterior's network.
        seed: of the elements, where the group has too many.
    """
    rng = np.random.default_rng(seed)
    n = len(post.x)
    rows = np.arange(n) if n <= EXAMPLES else np.sort(rng.choice(n, EXAMPLES, replace=False))
    x, y = post.x[rows], post.y[rows]
    functions = isinstance(post, FunctionPosterior)
    if isinstance(post, FunctionPosterior):
        whole, part = _of_functions(post, group, x, rng)
    else:
        whole = outputs_of(post, x, DRAWS)[0]
        part = _symmetric(post, group, x, rng)
    likelihood: Any = post.model.likelihood
    if isinstance(likelihood, Gaussian) and (functions or post.center is not None):
        s = noise_of(post)
        gaps = left_out(part, whole, y, s) - left_out(whole, whole, y, s)
    else:
        latents = {k: v.reshape(1, -1)[:, : len(whole)] for k, v in post.latents.items()}
        gaps = _weighted(*(likelihood.log_prob(f[None], y, latents)[0] for f in (part, whole)))
    total = n / len(rows)
    error = float(np.sqrt(len(gaps) * gaps.var(ddof=1) * total)) if len(gaps) > 1 else np.nan
    return Difference(np.nan, float(gaps.sum() * total), error)


def _symmetric(post: Posterior, group: Group, x: NDArray, rng: np.random.Generator) -> NDArray:
    net = post.model.net
    before, after = net.rep_in.rep(group), net.rep_out.rep(group)
    elements = group.elements if group.order <= ELEMENTS else group.sample(ELEMENTS, rng)
    moved = np.concatenate([(x @ before.rho(g).T).astype(x.dtype) for g in elements])
    f = outputs_of(post, moved, DRAWS)[0].reshape(-1, len(elements), len(x), after.size)
    back = np.stack([np.linalg.inv(after.rho(g)).T for g in elements])
    return (f @ back).mean(axis=1)


def _of_functions(
    post: FunctionPosterior, group: Group, x: NDArray, rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Draws of functions at each example and of their equivariant parts there, (draws, n, d_out), with the numbers of
    the first."""
    before, after = post.model.rep_in.rep(group), post.model.rep_out.rep(group)
    elements = group.elements if group.order <= ELEMENTS else group.sample(ELEMENTS, rng)
    rho, back = before.rho(elements), np.linalg.inv(after.rho(elements))
    model: Any = post.model
    numbers = {k: float(post.samples[k].flat[0]) for k in model.latents}
    conditional = evidence_of(model, post.x, post.y, post.level).conditional(numbers)
    found = []
    for point in x.astype(np.float64):
        f = conditional.draws(np.concatenate([point[None], rho @ point]), FUNCTIONS, rng)
        found.append((f[:, 0], np.einsum("gij,sgj->si", back, f[:, 1:]) / len(back)))
    whole, part = (np.stack(v, axis=1) for v in zip(*found, strict=True))
    return whole, part


def _weighted(part: NDArray, whole: NDArray) -> NDArray:
    """(n,) differences by importance sampling, of log likelihoods (draws, n); weights truncated (Ionides 2008)."""
    log_weight = -whole
    most = logsumexp(log_weight, axis=0) - 0.5 * np.log(len(whole))
    log_weight = np.minimum(log_weight, most)
    log_weight -= logsumexp(log_weight, axis=0)
    return logsumexp(log_weight + part, axis=0) - logsumexp(log_weight + whole, axis=0)
