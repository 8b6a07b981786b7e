"""Where a fit starts, if that is given: the weights, whether they are of the same network, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._given import real_array
from bayes_rpp._warnings import warn_user
from bayes_rpp.inference.methods import Chains, Method
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.models.model import Model
from bayes_rpp.models.outputs import centers, evaluate
from bayes_rpp.networks.network import Network
from bayes_rpp.networks.probe import network_probe, probe_error
from bayes_rpp.networks.soften.module import ModuleNetwork
from bayes_rpp.networks.storage import holds_code
from bayes_rpp.priors.pathway import ResidualPathway

ROWS = 2000  # of the training data, to look at
WORSE = 0.1  # nats for each example
LARGE = 1.5  # standard deviations of the prior: a draw has 1


def start_of(model: Model, init: Any, method: Method) -> dict[str, NDArray]:
    """Initial weights with leading dimension members."""
    members = method.count
    if isinstance(init, Posterior):
        if init.stored:
            raise TypeError("init must be a posterior of the same network, got one of a GaussianProcess; None would do")
        check_network(model.net, init)
        found = init.samples
        if init.center is not None and members <= init.chains and not isinstance(method, Chains):
            found = found | {k: w[:, None] for k, w in centers(init.model, init.center, init.chains).items()}
        # The first draw of each chain, then the second of each.
        init = {k: v.swapaxes(0, 1).reshape((-1, *v.shape[2:]))[:members] for k, v in found.items()}
        if 1 < (got := len(next(iter(init.values())))) < members:
            what = "chains" if isinstance(method, Chains) else "members"
            raise ValueError(
                f"init must have a draw for each of the {members} {what}, or one for all, got {got}; "
                f"{what}={got} would do"
            )
    elif not isinstance(init, Mapping):
        raise TypeError(f"init must be a Posterior, or weights by parameter name, got a {type(init).__name__}")
    shapes = {name: p.shape for name, p in model.priors.items()}
    missing = [name for name in shapes if name not in init]
    if missing:
        raise ValueError(
            f"init must have all weights, got no {', '.join(map(repr, missing))}; the network has {', '.join(shapes)}"
        )
    shapes |= {k: () for k in model.latents if k in init}
    weights = {}
    for name, shape in shapes.items():
        w = real_array(init[name], f"init[{name!r}]").astype(np.float64)
        if w.shape not in (shape, (1, *shape), (members, *shape)):
            raise ValueError(f"init[{name!r}] must have shape {shape} or {(members, *shape)}, got {w.shape}")
        if not np.isfinite(w).all():
            raise ValueError(f"init[{name!r}] must be finite, got NaN or infinite values")
        if name not in model.priors and (w <= 0).any():
            raise ValueError(f"init[{name!r}] must be positive, got values <= 0")
        weights[name] = np.broadcast_to(w, (members, *shape))
    return weights


def check_network(net: Network, init: Posterior) -> None:
    """Raise ValueError if a posterior's weights are of another function, such as a module with another state."""
    other = init.model.net
    params = {k: w[0, 0] for k, w in init.samples.items()}
    fits = all(k in params and params[k].shape == p.shape for k, p in net.parameters.items())
    if net is other or not fits or not (holds_code(net) or holds_code(other)):
        return
    error = probe_error(net, params, network_probe(other, params))
    if error is None:
        return
    differ = ""
    if isinstance(net, ModuleNetwork) and isinstance(other, ModuleNetwork):
        a, b = net.state(), other.state()
        names = [k for k in a if k in b and not np.array_equal(a[k], b[k])]
        differ = f" in {', '.join(names)}" if names else ""
    raise ValueError(
        f"init must be a posterior of the same network, got one whose network differs{differ}: at the same weights its "
        f"outputs are off by {error:.2g}. The state_dict that it had, loaded before soften, would do, or "
        "init={k: init.samples[k][0, 0] for k in net.parameters} to start from these weights all the same"
    )


def warn_if_worse(post: Posterior, start: Mapping[str, NDArray], rate: float, size: int) -> None:
    """Warn if the training data are clearly less likely at the end than at the start, with the reason. Not where the
    model has it so: the density of weights that are of the prior's size is higher at the end.

    Args:
        start: the weights, with leading dimension members.
        rate: the learning rate; size: number of examples.
    """
    model, x, y = post.model, post.x[:ROWS], post.y[:ROWS]
    dtype = next(iter(post.samples.values())).dtype
    before = {k: _within(prior, start[k]).astype(dtype)[None] for k, prior in model.priors.items()}
    losses = []
    for weights in (before, post.samples):
        f = evaluate(model, weights, x)
        losses.append(-model.likelihood.log_prob(f, y, post.latents).mean(axis=(0, 1)))  # of each example
    change = losses[1] - losses[0]
    if not change.mean() > max(WORSE, 2 * change.std() / np.sqrt(len(change))):
        return
    reason = f"A smaller learning_rate (now {rate:g}), patience with validation data, or more epochs, would do"
    if not model.infers_sigmas and _energy(model, post.samples) - _energy(model, before) < -size * change.mean():
        extent, name = _largest(model, before)
        if extent < LARGE:
            return
        reason = (
            f"The prior asks for it, as the weights {name!r} of the start are {extent:.2g} of its standard deviations "
            "in size: larger sigma_a and sigma_b would do"
        )
    warn_user(
        "the fit ended where the training data are less likely than at init: -log p(y | W, x) of an example is "
        f"{losses[1].mean():.3g}, after {losses[0].mean():.3g}. {reason}"
    )


def _within(prior: ResidualPathway, w: NDArray) -> NDArray:
    """The nearest weights that the prior does not exclude, where a fit starts from others."""
    return prior.support.project(np.asarray(w, dtype=np.float64)) if prior.is_strict else np.asarray(w)


def _energy(model: Model, weights: Mapping[str, NDArray]) -> float:
    """-log p(W) up to a constant, half the square of the whitened weights, as a mean over members."""
    total = 0.0
    for eps, _ in _whitened(model, weights).values():
        total += 0.5 * float((eps**2).sum()) / int(np.prod(eps.shape[:2]))
    return total


def _largest(model: Model, weights: Mapping[str, NDArray]) -> tuple[float, str]:
    """Size of those that are largest beside the prior, in its standard deviations: of all of a parameter, or of what
    lies in one of its subspaces; and the parameter."""
    found = (0.0, "")
    for name, (eps, prior) in _whitened(model, weights).items():
        for part in (eps, *(s.encode(eps) for s in prior.active)):
            found = max(found, (float(np.sqrt(np.mean(part**2))), name))
    return found


def _whitened(model: Model, weights: Mapping[str, NDArray]) -> dict[str, tuple[NDArray, ResidualPathway]]:
    """Of each site, by parameter, and its prior."""
    found = {}
    for name, (_, prior) in model.sites.items():
        w = np.asarray(weights[name], dtype=np.float64)
        w = model.priors[name].support.encode(w) if model.priors[name].is_strict else w
        found[name] = (prior.whiten(w), prior)
    return found
