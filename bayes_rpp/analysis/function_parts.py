"""The parts of a Gaussian process, one for each of its pathways, at the training inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.inference.posterior.functions import FunctionPosterior
from bayes_rpp.models.process.covariance import number_of
from bayes_rpp.models.process.laplace import evidence_of


def part_means(post: FunctionPosterior) -> NDArray:
    """(pathways, n, d_out) the posterior mean of the part of f that each group has, and that of the residual (zero
    where sigma_b is), at the training inputs and the best numbers.

    f is the sum of independent parts, and a constant where the first group lets one, so that the mean of a part is its
    own prior covariance times the weights of the mean of f (Rasmussen and Williams 2006, Equation 2.23).
    """
    gp: Any = post.model
    best = int(np.argmax(post.samples["log_evidence"]))
    latents = {k: float(post.samples[k].flat[best]) for k in gp.latents}
    evidence: Any = evidence_of(gp, post.x, post.y, post.level, post.inducing)
    conditional = evidence.conditional(latents)
    covariance, prepared = conditional.covariance, conditional.prepared
    found = np.zeros((len(gp.sigmas_a) + 1, len(post.x), gp.rep_out.size))
    pathways = len(gp.sigmas_a) + (gp.sigma_b != 0.0)  # beyond is the linear mean
    for k, part in enumerate(covariance.parts[:pathways]):
        square = number_of(part.sigma, latents) ** 2
        for key, places in covariance.places.items():
            n, d = len(post.x), places.shape[1]
            weights = conditional.weights[key].reshape(n, d, len(places))
            f = _times(prepared.kernels[k][key], weights)
            for copy, p in enumerate(places):
                found[k][:, p] = square / prepared.variances[k][key] * f[:, :, copy]
    return found @ covariance.outputs.basis.T


def _times(block: NDArray, weights: NDArray) -> NDArray:
    """A covariance (n, d, n, d) times (n, d, copies); one of (n, 1, n, 1) is a multiple of the identity."""
    if block.shape[1] == 1:
        return np.einsum("im,mac->iac", block[:, 0, :, 0], weights)
    return np.einsum("iamb,mbc->iac", block, weights, optimize=True)
