"""Laplace's method after the training of the MAP, the same for both engines; see `bayes_rpp.Laplace`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bayes_rpp._warnings import warn_user
from bayes_rpp.inference.curvature.curvature import GAIN, Curvature, search
from bayes_rpp.inference.curvature.full import DataSpace, WeightSpace
from bayes_rpp.inference.curvature.kronecker import Kronecker, matrix_shape
from bayes_rpp.inference.curvature.linearisation import CHUNK, Coordinates, JacobianOf, Linearization
from bayes_rpp.inference.optimise.training import TrainingError, initial_values, train
from bayes_rpp.inference.posterior.diagnostics import ConvergenceWarning
from bayes_rpp.inference.posterior.mixture import MODES
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.finite import why_not_finite
from bayes_rpp.inference.run.sites import Sites, Values
from bayes_rpp.inference.run.task import Task
from bayes_rpp.priors.pathway import ResidualPathway

LESS = 0.1  # of the noise to start from
STILL = 1e-6  # in the logarithm of a number: when tuning ends
TRIES = 4  # of ever shorter steps, each with a Jacobian of its own
ROUND, RANGE = math.log(10.0), math.log(1000.0)  # how far the logarithm may move in a round, and from its start
Numbers = dict[str, float]


def laplace(task: Task, trainer_type: Any, jacobian_of: JacobianOf) -> Posterior:
    """Train the MAP, or start at the weights given, polish it, and put a Gaussian around it.

    Raises:
        ValueError: if there is nothing to tune, or the curvature would take more memory than the method allows.
    """
    run = _Laplace(task, jacobian_of)
    if not task.method.epochs:
        return run.finish(run.first(), {})
    post = train(task, trainer_type, *((run.between, run.before) if run.tuned else ()))
    return run.finish({k: v[0] for k, v in post.samples.items()}, post.training)


class _Laplace:
    def __init__(self, task: Task, jacobian_of: JacobianOf) -> None:
        method, model = task.method, task.model
        self.task, self.method, self.model = task, method, model
        names = list(model.net.parameters)
        if method.curvature == "last_layer":
            names = [k for k in names if model.net.layer_of(k) == model.net.layer_of(names[-1])]
        self.coordinates = Coordinates(model, names)
        self.tuned = self._tuned(names) if method.evidence else ()
        self._own = [k for k in self.tuned if k in model.likelihood.latents]  # such as the noise
        self.kind = self._kind()
        self._jacobian = jacobian_of(model.net, names)
        self._sites = Sites(model, task.parametrization)
        # Weights that follow y closely find modes that a noise tuned on the way hides, if they do not overfit.
        self._waits = (np.arange(method.count) % 2 == 1) & bool(method.polishing and self._own)

    def before(self, initial: Values) -> Values:
        """Of the likelihood's numbers each second member has a small part where nobody gave them, and keeps it."""
        small = [k for k in self._own if k not in (self.task.weights or {})]
        return initial | {k: initial[k] * np.where(self._waits, LESS, 1.0) for k in small}

    def between(self, epoch: int, trainer: Any) -> dict[str, NDArray]:
        """Tune between two epochs; the sigmas once those of `burn_in` are over."""
        sites = self.tuned if epoch > self.method.burning else self._own
        if epoch % self.method.every or not sites:
            return {}
        found = self._sites.weights(trainer.values())
        tuned = [
            (numbers, np.nan) if waits else self._tune(self.curvature(self.linearize(w)), numbers, sites)
            for (w, numbers), waits in zip(self._members(found), self._waits, strict=True)
        ]
        lead: Values = {k: np.array([numbers[k] for numbers, _ in tuned]) for k in self.model.latents}
        trainer.replace(self._sites.values({**found, **lead}))
        return {"log_evidence": np.array([value for _, value in tuned])} | {k: lead[k] for k in self.tuned}

    def first(self) -> Values:
        """Weights and numbers of each member where a fit without training starts."""
        task = self.task
        found = self._sites.weights(initial_values(self._sites, task, self.method.seeds(task.seed), self.method.count))
        for member in range(self.method.count):
            if why := why_not_finite(task, found, member):
                raise TrainingError(f"the log density is not finite at the start: {why}")
        return {k: np.asarray(v, dtype=np.float32) for k, v in found.items()}

    def finish(self, values: Values, training: Mapping[str, NDArray]) -> Posterior:
        """Polish each member, draw around the one of the highest evidence, and put together."""
        method = self.method
        ends = [self._end(weights, numbers) for weights, numbers in self._members(values)]
        evidences = np.array([curvature.evidence(numbers) for curvature, numbers in ends])
        warn_of_spread(evidences)
        curvature, numbers = ends[int(np.argmax(evidences))]
        at, factorized = curvature.at, curvature.at_numbers(numbers)
        rng = np.random.default_rng(np.random.SeedSequence(self.task.seed).spawn(method.count + 1)[-1])
        drawn = at.at + self.coordinates.color(factorized.draw(rng, method.draws), numbers)
        shape = (1, method.draws)
        samples = {k: np.broadcast_to(w, shape + w.shape) for k, w in at.weights.items()}
        samples |= {k: w[None] for k, w in self.coordinates.weights(drawn).items()}
        samples |= {k: np.full(shape, v) for k, v in numbers.items()}
        dtype = values[next(iter(self.model.net.parameters))].dtype
        return self.task.posterior(
            {k: v.astype(dtype) for k, v in samples.items()},
            training=_with_ends(training, evidences),
            log_evidence=float(evidences.max()),
            center=at.weights if method.predictions == "linearized" else None,
        )

    def _members(self, found: Mapping[str, NDArray]) -> Iterator[tuple[dict[str, NDArray], Numbers]]:
        """Weights and numbers of each member of arrays (members, ...)."""
        for member in range(self.method.count):
            weights = {k: found[k][member] for k in self.model.net.parameters}
            yield weights, {k: float(found[k][member]) for k in self.model.latents}

    def _end(self, weights: dict[str, NDArray], numbers: Numbers) -> tuple[Curvature, Numbers]:
        """A member, polished."""
        curvature = self.curvature(self.linearize(weights))
        for sites in self._stages():
            curvature, numbers = self._polished(curvature, numbers, sites)
        return curvature, numbers

    def _stages(self) -> list[Sequence[str]]:
        """The numbers to tune while polishing: the likelihood's until the weights are at a mode, then all. Sigmas that
        are tuned to weights on their way end at modes of less evidence."""
        return [self._own, self.tuned] if self.method.burning and len(self._own) < len(self.tuned) else [self.tuned]

    def _polished(self, curvature: Curvature, numbers: Numbers, sites: Sequence[str]) -> tuple[Curvature, Numbers]:
        """Steps of the weights and of some numbers until the mode, or as many as the method allows."""
        self._is_bold = self.kind != "kronecker"  # whether to follow the linearised model as far as it goes
        self._stride = 1.0  # of the last step that raised the evidence
        for _ in range(self.method.polishing):
            before, last = numbers, curvature
            curvature, numbers = self._polish(curvature, numbers, sites)
            still = all(abs(math.log(numbers[k] / before[k])) < STILL for k in sites)
            if still and (curvature is last or curvature.newton(numbers)[1] < GAIN):
                break
        return curvature, numbers

    def _polish(self, curvature: Curvature, numbers: Numbers, sites: Sequence[str]) -> tuple[Curvature, Numbers]:
        """One step of the weights, and before it of the numbers; with evidence="maximize" it does not lower the
        evidence."""
        if not sites:
            return (self._climb if self.tuned else self._step)(curvature, numbers), numbers
        if self._is_bold:
            # Exact for linear networks; others may not follow the linearised model so far.
            bold, _ = self._tune(curvature, numbers, sites, moved=True)
            there = self._step(curvature, bold)
            if there.evidence(bold) >= curvature.evidence(numbers):
                return there, bold
            self._is_bold = False
        numbers, _ = self._tune(curvature, numbers, sites)
        return self._climb(curvature, numbers), numbers

    def _climb(self, curvature: Curvature, numbers: Numbers) -> Curvature:
        """The longest of some steps to the mode on which the evidence rises, or none.

        A higher density is not enough: with weights that fit ever more of the noise the Jacobian grows, and numbers
        tuned there follow. The evidence at any weights is the ELBO of N(W_0, H^-1) in the linearised model, which has
        a maximum.
        """
        now, at, step = curvature.evidence(numbers), curvature.at, curvature.newton(numbers)[0]
        longest = min(1.0, 4 * self._stride)
        for length in longest * 0.25 ** np.arange(TRIES):
            moved = at.moved(at.at + length * step)
            # The evidence is below the density, which costs no Jacobian.
            if moved.log_joint(numbers) > now and (there := self.curvature(moved)).evidence(numbers) > now:
                self._stride = float(length)
                return there
        return curvature

    def _step(self, curvature: Curvature, numbers: Numbers) -> Curvature:
        better = search(curvature.at, numbers, curvature.newton(numbers)[0])
        return curvature if better is None else self.curvature(curvature.at.moved(better))

    def linearize(self, weights: dict[str, NDArray]) -> Linearization:
        return Linearization(self.model, self.task.x, self.task.y, weights, self.coordinates, self._jacobian)

    def curvature(self, at: Linearization) -> Curvature:
        kinds: dict[str, type[Curvature]] = {
            "weights": WeightSpace,
            "data": DataSpace,
            "kronecker": Kronecker,
        }
        return kinds[self.kind](at)

    def _tune(
        self, curvature: Curvature, numbers: Numbers, sites: Sequence[str], moved: bool = False
    ) -> tuple[Numbers, float]:
        """Some of the numbers, at the highest evidence around the weights as they are, and that evidence; `moved` as in
        Curvature.gradient."""
        start = np.log([numbers[k] for k in sites])
        middle = np.log([self.model.latents[k].start for k in sites])
        low, high = np.maximum(start - ROUND, middle - RANGE), np.minimum(start + ROUND, middle + RANGE)

        def negative(logs: NDArray) -> tuple[float, NDArray]:
            there = numbers | {k: math.exp(v) for k, v in zip(sites, logs, strict=True)}
            value, gradient = curvature.gradient(there, sites, moved)
            return -value, -np.array([gradient[k] for k in sites])

        bounds = list(zip(low, np.maximum(high, low), strict=True))
        options = {"maxiter": self.method.steps, "ftol": 1e-15, "gtol": 1e-7}
        best = minimize(
            negative, np.clip(start, low, high), jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        return numbers | {k: math.exp(v) for k, v in zip(sites, best.x, strict=True)}, -float(best.fun)

    def _tuned(self, names: Sequence[str]) -> tuple[str, ...]:
        """Sites that the evidence depends on."""
        model = self.model
        if not model.latents:
            raise ValueError(
                "evidence must be None for a model that has no number to tune, got 'maximize'; a distribution for "
                "sigma_a, sigma_b or the noise, such as sigma_b=HalfNormal(0.1), would do"
            )
        seen = {number for k in names for _, number, _ in model.covariance_terms(k)} | set(model.likelihood.latents)
        unseen = [k for k in model.latents if k not in seen]
        if unseen:
            raise ValueError(
                f"curvature must be one whose evidence depends on {', '.join(unseen)}, got 'last_layer'; 'auto', or "
                "numbers in place of these distributions, would do"
            )
        return tuple(model.latents)

    def _kind(self) -> str:
        """Which class does it: the one asked for, if it has the memory."""
        n, p = len(self.task.x) * self.model.net.rep_out.size, self.coordinates.size
        m = min(n, p)
        full = 2 * n * p + n * m + (len(self.tuned) + 6) * m**2
        gigabytes = {
            "weights": 8e-9 * (full + 2 * p**2),
            "data": 8e-9 * full,
            "kronecker": 8e-9 * (3 * CHUNK + sum(_factors(self.model.priors[k]) for k in self.coordinates.names)),
        }
        smaller = "data" if n < p else "weights"
        kind = self.method.curvature if self.method.curvature in gigabytes else smaller
        if gigabytes[kind] > self.method.memory:
            able = [k for k, size in gigabytes.items() if size <= self.method.memory]
            able += ["last_layer"] if self.method.curvature != "last_layer" else []
            raise ValueError(
                f"curvature must fit in memory, {self.method.memory:g} GB, got {self.method.curvature!r}, which needs "
                f"about {gigabytes[kind]:.2g} GB for {n} outputs at the data and {p} weights; curvature "
                f"{' or '.join(map(repr, able))}{', or ' if able else ''}more memory would do"
            )
        return kind


def warn_of_spread(evidences: NDArray) -> None:
    """Say so where no other member came near the mode of the highest evidence."""
    best, *others = np.sort(evidences)[::-1]
    if others and best - others[0] > MODES:
        warn_user(
            "one member alone found the mode of the highest evidence, and another seed may find a better one: the log "
            f"evidences are {' '.join(f'{v:.1f}' for v in evidences)}. More members, or more epochs, would do",
            ConvergenceWarning,
        )


def _with_ends(training: Mapping[str, NDArray], evidences: NDArray) -> Mapping[str, NDArray]:
    """The record of the training, with the evidences in the end where there are several."""
    if len(evidences) == 1 or not training:
        return training
    known = training.get("log_evidence", np.full_like(training["loss"], np.nan)).copy()
    known[:, -1] = evidences
    return {**training, "log_evidence": known}


def _factors(prior: ResidualPathway) -> int:
    rows, columns = matrix_shape(prior.shape)
    rank = 0 if prior.isotropic_sigma is not None else prior.support.rank
    return 3 * (rows**2 + columns**2) + 2 * rank**2
