"""The covariance of a GaussianProcess for other libraries."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from bayes_rpp._imports import load_module
from bayes_rpp._types import ArrayLike
from bayes_rpp.models.data import check_inputs
from bayes_rpp.models.process.covariance import Covariance
from bayes_rpp.models.process.prior import FunctionPrior
from bayes_rpp.priors.hyper import Prior

if TYPE_CHECKING:
    import gpytorch


def to_gpytorch(
    gp: FunctionPrior, x: ArrayLike | None = None, numbers: Mapping[str, float] | None = None, level: int = 0
) -> gpytorch.kernels.Kernel:
    """A kernel of GPyTorch, the prior covariance of all outputs: (n d_out, m d_out), those of a point side by side.

    It goes where a MultitaskKernel does: into an ExactGP with a MultitaskMultivariateNormal. Each number greater than 0
    is a parameter of it, as raw_sigma_a, raw_lengthscale_Vector; those that gp has numbers for do not require a
    gradient. Of `mean` it has the covariance; offset and noise are left to GPyTorch's mean and likelihood.

    Args:
        gp: a GaussianProcess, with a kernel given where it is not to be the RBF; not a conservative one.
        x: (n, d_in) training inputs; needed with scale="data", whose variances are those at these inputs.
        numbers: site -> where it starts, such as the numbers of a posterior; of the noise they are passed over. Those
            left out start where their distribution does, or at 1.
        level: of averages over groups that are not finite, `Posterior.level`; 0 to 3.

    Raises:
        ImportError: if GPyTorch is not installed.
        TypeError, ValueError: naming the argument that does not fit.
    """
    if not isinstance(gp, FunctionPrior):
        raise TypeError(f"gp must be a GaussianProcess, got a {type(gp).__name__}; post.model would do")
    if gp.forces is not None:
        raise ValueError(
            "gp must be one with conservative=False, got energies and forces; fit(gp, x, y, MAP()) takes them"
        )
    if x is None and gp.scale == "data":
        raise ValueError("x must be the training inputs for scale='data', got None; gp.replace(scale=None) would do")
    others = {*gp.likelihood.latents, "kernel", "noise", "mean_size", "log_evidence"}  # GPyTorch's part, or none
    sites = {*gp.latents, *gp.open} - others
    given = {k: v for k, v in (numbers or {}).items() if k not in others}
    for name, value in given.items():
        if name not in sites:
            raise ValueError(f"numbers must be of {', '.join(map(repr, sorted(sites)))}, got {name!r}")
        if np.ndim(value) or not np.isfinite(value) or value <= 0:
            raise ValueError(f"numbers[{name!r}] must be a number > 0, got {value!r}; 1.0 would do")
    if find_spec("gpytorch") is None:
        raise ImportError("to_gpytorch needs GPyTorch: pip install 'bayes-rpp[gpytorch]'")
    inputs = np.zeros((1, gp.rep_in.size)) if x is None else check_inputs(gp, x).astype(np.float64)
    starts = {k: float(given[k]) if k in given else _start(gp.latents.get(k)) for k in sites}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit", DeprecationWarning)  # GPyTorch's own, at import
        module = load_module("bayes_rpp.models.process.torch")
    found: gpytorch.kernels.Kernel = module.EquivariantKernel(Covariance(gp, inputs, level), starts)
    return found


def _start(prior: Prior | None) -> float:
    return 1.0 if prior is None else prior.start
