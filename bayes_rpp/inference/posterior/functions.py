"""The posterior of a GaussianProcess: draws of its numbers, and for each of them f, exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayes_rpp._types import ArrayLike, Float, Shaped
from bayes_rpp.inference.posterior.diagnostics import Summary
from bayes_rpp.inference.posterior.draws import Prediction
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.models.data import check_inputs
from bayes_rpp.models.normal import Normal
from bayes_rpp.models.outputs import Block
from bayes_rpp.models.process.conditional import Conditional
from bayes_rpp.models.process.laplace import evidence_of
from bayes_rpp.models.process.sampled import SampledFunction
from bayes_rpp.symmetry.equivariance import Probe

TOGETHER = 1200  # numbers f(x) drawn together
LOOKED_AT = 48  # of the draws of the numbers, for functions, as each takes a factorisation of the covariance
EVIDENCE = "log_evidence"  # the sample that each posterior has, log p(y | x, numbers)


@dataclass(frozen=True, eq=False, repr=False)
class FunctionPosterior(Posterior):
    """Draws of the numbers of a GaussianProcess, (chain, draw), each with a function f from its exact posterior.

    Made by `fit` of a `GaussianProcess`. MAP has one value of the numbers, and 100 functions. Of long chains f is
    looked at with 48 values of the numbers, evenly spread, which neighbours share. All of `Posterior` is as for
    networks, but there are no weights.

    Attributes:
        samples: site -> (chain, draw), and "log_evidence", log p(y | x, numbers) of each.
        level: of the averages over groups, as they were fitted.
        inducing: (m,) rows of x that are inducing points; None where all is exact. With these, `log_evidence` and its
            samples are lower bounds.
        inflation: what MAP multiplies the standard deviations of f and of the noise by, at least 1: what leave-one-out
            says where the data contradict the prior's smoothness, and 1 where all is as the prior says (Bachoc 2013).
            Means, `log_evidence` and `left_out` are without it. `dataclasses.replace(post, inflation=1.0)` has none.
    """

    stored: ClassVar[str] = "process"

    level: int = 0
    inducing: NDArray | None = None
    inflation: float = 1.0

    def __getstate__(self) -> dict[str, Any]:
        """Without what is computed again when it is needed: factors of covariances are large."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def predict(self, x: ArrayLike, seed: int | None = None, *, samples: bool = True) -> Prediction:
        """As `Posterior.predict`; with Gaussian noise mean and std are exact, and do not depend on the draws of f."""
        found = super().predict(x, seed, samples=samples) if samples or not self._is_gaussian else None
        if found is None and seed is not None:
            return super().predict(x, seed, samples=False)  # which says that it goes with samples
        if not self._is_gaussian:
            return found  # type: ignore[return-value]
        mean, covariance = self._moments(check_inputs(self.model, x))
        std = np.sqrt(np.maximum(np.einsum("naa->na", covariance), 0.0))
        return Prediction(mean, std, None if found is None else found.samples)

    def covariance(self, x: ArrayLike) -> Float[NDArray, "n d_out n d_out"]:
        """The posterior covariance of f at all of x together, (n, d_out, n, d_out), without noise; over the numbers the
        mean of the covariances and the covariance of the means."""
        x = check_inputs(self.model, x)
        found: Any = 0.0
        means, weights = [], []
        for weight, conditional in self._conditionals():
            found = found + weight * conditional.covariances(x)
            means.append(conditional.mean(x))
            weights.append(weight)
        gaps = np.stack(means) - np.average(means, axis=0, weights=weights)
        return np.asarray(found + np.einsum("k,kna,kmb->namb", weights, gaps, gaps))

    def mean_function(self, x: Shaped[NDArray, "n d_in"]) -> Float[NDArray, "n d_out"]:
        """The posterior mean of f, (n, d_out)."""
        return np.asarray(sum(w * c.mean(x) for w, c in self._conditionals()))

    def outputs(self, x: ArrayLike) -> Float[NDArray, ...]:
        """f of each draw, (chain, draw, n, d_out). Up to 1,200 numbers are of one function; beyond, of one function for
        each block of so many."""
        x, size = check_inputs(self.model, x), self.model.rep_out.size
        found = np.empty((self.chains, self.draws, len(x), size))
        flat = found.reshape(self.chains * self.draws, len(x), size)
        rows = max(1, TOGETHER // size)
        for number, (members, conditional) in enumerate(self._shared()):
            rng = np.random.default_rng([self.seed, number])
            for start in range(0, len(x), rows):
                some = slice(start, start + rows)
                flat[members, some] = conditional.draws(x[some], len(members), rng)
        return found

    def blocks(self, x: NDArray) -> Iterator[Block]:
        rows = max(1, TOGETHER // self.model.rep_out.size)
        for start in range(0, len(x), rows):
            some = slice(start, min(start + rows, len(x)))
            f = self.outputs(x[some])
            for c in range(self.chains):
                yield Block(c, slice(0, self.draws), some, f[c])

    def function(self, chain: int = 0, draw: int = 0) -> Callable[[NDArray], NDArray]:
        """One draw of f, the same function in all calls, up to 1e-5 of its standard deviation. It keeps what it has
        said, up to 6,000 numbers, and the time of a call grows with the square of how many there are; beyond, it is the
        mean of f given these, and a warning says so."""
        for name, given, count in (("chain", chain, self.chains), ("draw", draw, self.draws)):
            if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < count:
                raise ValueError(f"{name} must be a whole number from 0 to {count - 1}, got {given!r}; 0 would do")
        number = chain * self.draws + draw
        conditional = self._conditional(self._index(number))
        return SampledFunction(conditional, np.random.default_rng([self.seed, 1, number]))

    def measure(self, probe: Probe) -> Float[NDArray, ...]:
        """Eq. 2 of each draw at prepared points, (chain, draw, n), f at x and at gx together."""
        size, n = self.model.rep_out.size, len(probe.x)
        found = np.empty((self.chains * self.draws, n))
        rows = max(1, TOGETHER // (2 * size))
        for number, (members, conditional) in enumerate(self._shared()):
            rng = np.random.default_rng([self.seed, number])
            for start in range(0, n, rows):
                some = slice(start, start + rows)
                both = np.concatenate([probe.x[some], probe.moved[some]])
                f = conditional.draws(both, len(members), rng)
                half = len(both) // 2
                found[members, some] = probe.gap(f[:, :half], f[:, half:], some)
        return found.reshape(self.chains, self.draws, n)

    def log_predictive(
        self, x: Shaped[NDArray, "n d_in"], y: Shaped[NDArray, "n columns"], f: NDArray | None = None
    ) -> Float[NDArray, " n"]:
        if not self._is_gaussian:
            return super().log_predictive(x, y, f)
        parts = []
        for weight, conditional in self._conditionals():
            marginal = conditional.marginal(x)
            c = marginal.covariance + np.diag(self._noise(conditional))
            gaps = y - marginal.mean
            squares = np.einsum("na,na->n", gaps, np.linalg.solve(c, gaps[..., None])[..., 0])
            logp = -0.5 * (squares + np.linalg.slogdet(c)[1] + y.shape[1] * np.log(2 * np.pi))
            parts.append(np.log(weight) + logp)
        return np.asarray(logsumexp(parts, axis=0))

    def summary(self, x: ArrayLike | None = None, *, points: int = 5) -> Summary:
        found = super().summary(x, points=points)
        notes = []
        if self.inducing is not None:
            notes.append(f"f is known by {len(self.inducing):,} inducing points, and log_evidence is a lower bound")
        if self.inflation > 1:
            notes.append(f"standard deviations are {self.inflation:.2f} times the prior's, as leave-one-out says")
        return replace(found, notes=tuple(notes)) if notes else found

    def left_out(self) -> Float[NDArray, " n"]:
        """log p(y_i | all other examples, numbers) of each example, (n,), at the draw of the numbers with the highest
        evidence, in closed form."""
        return self._evidence.left_out(self._latents(int(np.argmax(self.samples[EVIDENCE]))))

    def asymmetry(self, pathway: int = 0) -> dict[str, NDArray]:
        """How far the data break the symmetry: sigma_b / sigma_a, {"f": (chain, draw)}; with scale="data" the ratio of
        the standard deviations of the two parts of f. Infinity where the symmetry allows no function but zero.

        Args:
            pathway: of a list of groups: all that lies outside of this one against what lies inside, in squares.
        """
        gp = self._gp
        if isinstance(pathway, bool) or not isinstance(pathway, int) or not 0 <= pathway < len(gp.sigmas_a):
            raise ValueError(f"pathway must be one of {list(range(len(gp.sigmas_a)))}, got {pathway!r}; 0 would do")
        squares = self.pathway_sizes() ** 2
        with np.errstate(divide="ignore", invalid="ignore"):  # of f = 0 there is no ratio
            return {"f": np.sqrt(squares[pathway + 1 :].sum(axis=0) / squares[: pathway + 1].sum(axis=0))}

    def pathway_sizes(self) -> Float[NDArray, "pathways chain draw"]:
        """sigma_a of each group, and sigma_b, (pathways, chain, draw); 0 where a symmetry allows only f = 0."""
        gp, shape = self._gp, (self.chains, self.draws)
        entries = [*gp.sigmas_a, gp.sigma_b]
        found = np.stack([np.broadcast_to(self.samples[e] if isinstance(e, str) else e, shape) for e in entries])
        best = self._latents(int(np.argmax(self.samples[EVIDENCE])))
        for k, vanishes in enumerate(self._evidence.covariance.vanishing(best)[: len(gp.sigmas_a)]):
            found[k] *= not vanishes
        return found

    def alike_pathways(self) -> list[int]:
        """Of each pathway in the order of `pathway_sizes`, the first with the same functions: of two whose groups allow
        the same, the evidence says how large both together are, and nothing of each."""
        best = self._latents(int(np.argmax(self.samples[EVIDENCE])))
        found = self._evidence.covariance.alike(best)
        return [*found, len(found)][: len(self._gp.sigmas_a) + 1]  # a residual of 0 has no covariance

    def to_torch(self, chain: int = 0, draw: int = 0) -> Any:
        """Networks alone have one."""
        raise TypeError(
            "to_torch must be of a network's posterior, got that of a GaussianProcess, which has no weights; "
            "post.mean_function, a numpy function, would do"
        )

    @property
    def _gp(self) -> Any:
        return self.model

    @property
    def _is_gaussian(self) -> bool:
        return isinstance(self.model.likelihood, Normal)

    @cached_property
    def _evidence(self) -> Any:
        return evidence_of(self._gp, self.x, self.y, self.level, self.inducing)

    @cached_property
    def _kept(self) -> dict[int, Conditional]:
        return {}

    def _latents(self, number: int) -> dict[str, float]:
        return {k: float(self.samples[k].flat[number]) for k in self.model.latents}

    def _conditional(self, number: int) -> Conditional:
        if number not in self._kept:
            if len(self._kept) > 1:
                self._kept.clear()
            found = self._evidence.conditional(self._latents(number))
            self._kept[number] = replace(found, inflation=self.inflation)
        return self._kept[number]

    @cached_property
    def _chosen(self) -> NDArray:
        """The draws of the numbers that are looked at."""
        total = self.chains * self.draws
        columns = np.stack([self.samples[k].ravel() for k in (*self.model.latents, EVIDENCE)])
        if (columns == columns[:, :1]).all():
            return np.zeros(1, dtype=int)
        return np.unique(np.linspace(0, total - 1, min(total, LOOKED_AT)).round().astype(int))

    def _index(self, number: int) -> int:
        """The draw whose numbers a draw of f has."""
        return int(self._chosen[self._owner[number]])

    @cached_property
    def _owner(self) -> NDArray:
        """(chains * draws,) for each draw the nearest of those chosen."""
        numbers = np.arange(self.chains * self.draws)
        return np.abs(numbers[:, None] - self._chosen).argmin(axis=1)

    def _shared(self) -> Iterator[tuple[NDArray, Conditional]]:
        """The draws that share their numbers, and the posterior of f given these."""
        for k, number in enumerate(self._chosen):
            yield np.flatnonzero(self._owner == k), self._conditional(int(number))

    def _conditionals(self) -> Iterator[tuple[float, Conditional]]:
        """Weights, which add up to 1, and the posteriors of f."""
        for members, conditional in self._shared():
            yield len(members) / len(self._owner), conditional

    def _noise(self, conditional: Conditional) -> NDArray:
        """(d_out,) variances."""
        size, latents = self.model.rep_out.size, conditional.latents
        return conditional.inflation**2 * np.asarray(self.model.likelihood.variance(np.zeros((1, size)), latents))[0]

    def _moments(self, x: NDArray) -> tuple[NDArray, NDArray]:
        """Mean and covariance of a new observation at each of x."""
        size = self.model.rep_out.size
        mean, second, noise = np.zeros((len(x), size)), np.zeros((len(x), size, size)), np.zeros(size)
        seen = []
        for weight, conditional in self._conditionals():
            marginal = conditional.marginal(x)
            seen.append((weight, marginal.mean))
            mean += weight * marginal.mean
            second += weight * marginal.covariance
            noise += weight * self._noise(conditional)
        for weight, m in seen:
            second += weight * (m - mean)[:, :, None] * (m - mean)[:, None, :]
        return mean, second + np.diag(noise)

    @property
    def _size(self) -> str:
        points = "" if self.inducing is None else f" with {len(self.inducing):,} inducing points"
        return f"{len(self.model.latents)} numbers of a GaussianProcess{points}"

    @property
    def _shown(self) -> dict[str, Any]:
        if self.inducing is None or self.log_evidence is None:
            return {"model": self.model}
        return {"log evidence": f"{self.log_evidence:.4g}, a lower bound", "model": self.model}
