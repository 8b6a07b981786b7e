"""Fits of a GaussianProcess: its numbers by MAP, NUTS or HMC; f follows exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._imports import load_module
from bayes_rpp._warnings import warn_user
from bayes_rpp.inference.methods import HMC, MAP
from bayes_rpp.inference.posterior.functions import EVIDENCE, FunctionPosterior
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.process.maximum import OF_KERNEL, Latents, Place, choose_kernel, maximize
from bayes_rpp.inference.run.task import Task
from bayes_rpp.inference.sample.sampling import SPREAD, run_chains, warn_of_chains
from bayes_rpp.models.normal import Gaussian, Normal
from bayes_rpp.models.process.bound import BoundProcess
from bayes_rpp.models.process.covariance import Covariance
from bayes_rpp.models.process.defaults import with_defaults
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.models.process.inducing_points import inducing_count
from bayes_rpp.models.process.laplace import evidence_of
from bayes_rpp.models.process.memory import most_exact
from bayes_rpp.symmetry.averages import LEVELS, Average

FEW = 8  # examples, with which intervals of 90 % by MAP hold 45 to 79 % (docs/functions.md)
FUNCTIONS = 100  # drawn where there is one value of the numbers
COLLAPSED = 1e-2  # of a typical noise: next to nothing
WORK, MORE = 5e7, 1e9  # elements times pairs of points, up to which averages are made finer; with inducing points


def fit_process(task: Task) -> Posterior:
    """Do a task whose model is a GaussianProcess."""
    given: Any = task.model
    x, y = task.x.astype(np.float64), task.y.astype(np.float64)
    check_size(given, len(x))
    gp, known = choose_kernel(with_defaults(given, x, y), x, y, task.seed, _given(task))
    if type(task.method) is MAP:
        return _map(task, gp, x, y, known)
    return _sampled(task, gp, x, y, known)


def check_process(method: Any, **options: Any) -> None:
    """Raise an error for methods, and options of `fit`, that a GaussianProcess has no use for."""
    if type(method) is not MAP and not isinstance(method, HMC):
        raise TypeError(
            f"method must be MAP, NUTS or HMC for a GaussianProcess, whose functions are exact, got "
            f"{type(method).__name__}; MAP() would do"
        )
    if type(method) is not MAP:
        options.pop("checkpoint")
    for name, given in options.items():
        if given:
            raise ValueError(
                f"{name} must be left out for a GaussianProcess with {type(method).__name__}, which has no epochs, got "
                f"a {type(given).__name__}; evidence and predict(x) of the posterior are exact"
            )


def check_size(gp: GaussianProcess, n: int) -> None:
    """Raise ValueError if the posterior of so many examples takes too much memory, or there are fewer than inducing
    points are asked for."""
    if inducing_count(gp, n) is None or (isinstance(gp.likelihood, Gaussian) and gp.forces is None):
        return
    what = f"likelihood={gp.likelihood!r}" if gp.forces is None else "forces"
    raise ValueError(
        f"x must have up to {most_exact(gp):,} examples with {what}, whose posterior over functions takes memory with "
        f"the square of their number, got {n:,}; some of the rows, or a network, Model(EMLP(...)), would do"
    )


def start_numbers(gp: GaussianProcess, init: Any) -> list[Latents]:
    """Numbers to start from, as `fit(..., init=)` gives them: a posterior of a GaussianProcess, or numbers by site, or
    a list of these."""
    if isinstance(init, (list, tuple)) and init:
        return [start for one in init for start in start_numbers(gp, one)]
    if isinstance(init, FunctionPosterior):
        best = int(np.argmax(init.samples[EVIDENCE]))
        found = {k: float(v.flat[best]) for k, v in init.samples.items() if k != EVIDENCE}
        missing = [k for k in (*gp.latents, *gp.open) if k.startswith(OF_KERNEL) and k not in found]
        if "kernel" not in gp.open and missing:
            raise ValueError(
                f"init must be a posterior with the model's kernel, got one without a {missing[0]!r}; numbers by site "
                "would do"
            )
        return [found]
    if not isinstance(init, Mapping):
        raise TypeError(
            f"init must be a posterior of a GaussianProcess, or numbers by site, got a {type(init).__name__}"
        )
    numbers: Latents = {}
    for name, value in init.items():
        if name not in (sites := {*gp.latents, *gp.open} - {"kernel", "mean_size"}):
            known = ", ".join(map(repr, sorted(sites)))
            raise ValueError(f"init must be of {known}, got {name!r}")
        if not np.ndim(value) == 0 or not np.isfinite(value) or value <= 0:
            raise ValueError(f"init[{name!r}] must be a number > 0, got {value!r}; 1.0 would do")
        numbers[name] = float(value)
    return [numbers]


def _map(task: Task, gp: GaussianProcess, x: NDArray, y: NDArray, known: list[Place]) -> FunctionPosterior:
    level, given = 0, _given(task)
    _warn_of_few(gp, len(x))
    while True:
        latents, evidence, points = maximize(
            gp, x, y, level, task.seed, given, task.progress, known if level == 0 else []
        )
        finer, error = _level(gp, x, level, latents)
        if finer == level:
            break
        level, given = finer, [latents]
    _warn_of_error(gp, level, error)
    shape = (1, FUNCTIONS)
    samples = {k: np.full(shape, v) for k, v in (latents | {EVIDENCE: evidence}).items()}
    parts = {"log_evidence": evidence, "inducing": points, "inflation": _inflation(gp, x, y, level, points, latents)}
    return _posterior(task, gp, samples, level, **parts)


def _inflation(
    gp: GaussianProcess, x: NDArray, y: NDArray, level: int, points: NDArray | None, latents: Latents
) -> float:
    """What leave-one-out multiplies standard deviations by, at least 1, where all of them are inferred: without noise
    the evidence takes f for as smooth as it can be, and its prior for certain."""
    if not isinstance(gp.likelihood, Normal):
        return 1.0
    sizes = [*gp.sigmas_a, gp.sigma_b, *(entry for entry, _ in gp.likelihood.entries())]
    if any(isinstance(size, float) and size > 0 for size in sizes):
        return 1.0
    evidence: Any = evidence_of(gp, x, y, level, points)
    found = evidence.inflation(latents)
    return max(1.0, found) if np.isfinite(found) else 1.0


def _sampled(task: Task, gp: GaussianProcess, x: NDArray, y: NDArray, known: list[Place]) -> FunctionPosterior:
    """Chains of the numbers under the evidence, which start around the mode."""
    if not gp.latents:
        raise ValueError(
            "model must have numbers to infer for a sampler, got a GaussianProcess with all of them given; MAP() gives "
            "its posterior, which is exact"
        )
    mode, _, points = maximize(gp, x, y, 0, task.seed, _given(task), False, known)
    level, error = _level(gp, x, 0, mode)
    _warn_of_error(gp, level, error)
    rng, method = np.random.default_rng(task.seed), task.method
    starts = {k: v * np.exp(SPREAD * rng.normal(size=method.chains)) for k, v in mode.items()}
    bound: Any = BoundProcess(gp, x, y, level, points)
    engine = load_module(f"bayes_rpp.inference.sample.{task.engine}")
    draws, stats = run_chains(replace(task, model=bound, weights=starts), engine.Sampler, engine.TOGETHER)
    draws = {k: np.asarray(v, dtype=np.float64) for k, v in draws.items()}
    # What the density has beside the evidence are the priors, and the logarithms' slopes.
    rest = sum(
        np.vectorize(lambda v, p=p: p.log_prob(v)[0])(draws[k]) + np.log(draws[k]) for k, p in gp.latents.items()
    )
    post = _posterior(task, gp, draws | {EVIDENCE: stats["lp"] - rest}, level, sample_stats=stats, inducing=points)
    warn_of_chains(post)
    return post


def _given(task: Task) -> list[Latents]:
    """Numbers to start from."""
    found: Any = task.weights or ()
    return list(found)


def _averages(gp: GaussianProcess, level: int) -> list[Average]:
    """Those over the groups that are not exact."""
    return [a for a in gp.averages(level) if not a.is_exact]


def _level(gp: GaussianProcess, x: NDArray, level: int, latents: Latents) -> tuple[int, float]:
    """The first from this one on whose averages are accurate enough, or the last that there is, and its error."""
    while (error := Covariance(gp, x, level).error(latents)) > gp.tolerance and _may_refine(gp, x, level):
        level += 1
    return level, error


def _may_refine(gp: GaussianProcess, x: NDArray, level: int) -> bool:
    if level + 1 >= LEVELS:
        return False
    elements = sum(len(a) for a in _averages(gp, level + 1))
    if (count := inducing_count(gp, len(x))) is not None:
        return elements * len(x) * count <= MORE
    return elements * len(x) ** 2 * (1 if gp.forces is None else gp.rep_out.size) <= WORK


def _warn_of_error(gp: GaussianProcess, level: int, error: float) -> None:
    if error > gp.tolerance:
        words = ", ".join(a.words for a in _averages(gp, level))
        warn_user(
            f"averages over {words} keep the symmetry to {error:.2g} of the size of f, not to the tolerance "
            f"{gp.tolerance:g}, as lengthscales are short beside the data. So small a breaking cannot be told from "
            "this error; fewer examples, which leave time for finer averages, or a network, which needs none, would do"
        )


def _warn_of_few(gp: GaussianProcess, n: int) -> None:
    if n <= FEW and gp.latents:
        warn_user(
            f"x and y have {n} example{'s' * (n != 1)}, by which the model's {len(gp.latents)} numbers are hardly "
            "known: MAP takes the most probable ones for sure, and its predictions are too sure; rpp.NUTS() would do"
        )


def _warn_of_copies(gp: GaussianProcess, x: NDArray, y: NDArray, samples: dict[str, NDArray]) -> None:
    """Of examples whose noise is the same to the last digit, which says that there is none."""
    copies = len(x) - len(np.unique(np.concatenate([x, y], axis=1), axis=0))
    noises = [k for k in gp.latents if k.startswith("noise")]
    if copies and any(np.median(samples[k]) < COLLAPSED * gp.latents[k].start for k in noises):
        warn_user(
            f"x and y have {copies:,} examples that are copies of others, noise and all, so that the noise seems to be "
            "next to nothing, and functions go through every example; without the copies, or with "
            "likelihood=Gaussian(noise), it would be seen"
        )


def _posterior(
    task: Task, gp: GaussianProcess, samples: dict[str, NDArray], level: int, **parts: Any
) -> FunctionPosterior:
    model: Any = gp
    _warn_of_copies(gp, task.x, task.y, samples)
    return FunctionPosterior(
        model,
        samples,
        x=task.x,
        y=task.y,
        method="MAP()" if type(task.method) is MAP else repr(task.method),  # it has no epochs, nor a learning rate
        engine=task.engine,
        seed=task.seed,
        level=level,
        **parts,
    )
