"""The likelihood of classes: one for each example, or for each of several places, as in segmentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayes_rpp._arrays import Array, array_namespace, constant, indices, whole_number
from bayes_rpp._given import described
from bayes_rpp._types import Float, Shaped
from bayes_rpp.engines.base import Engine
from bayes_rpp.models.likelihood import Latents, Likelihood, check_values


@dataclass(frozen=True)
class Categorical(Likelihood):
    """y is a class 0 ... K - 1 in one column; its probabilities are softmax(f(x) / temperature) of the K outputs f.

    Args:
        temperature: a number > 0. The prior makes outputs of a size of about 1, so below 1 it expects surer classes;
            after training, the one that suits examples held out calibrates (Guo et al. 2017, temperature scaling).
        weights: of each class, K numbers > 0: as if there were so many of each example. They count in training alone;
            predictions and their scores are those of classes as they come. None: 1.
        label_smoothing: share of an example that is spread evenly over all classes, from 0 to below 1, in training
            alone. With both, the loss is that of `torch.nn.CrossEntropyLoss(weight, label_smoothing=)`, summed.
        classes: K, where there are several places with a class each, such as the pixels of a segmentation: outputs
            (n, K, places), flattened, as torch has them, and y (n, places), or (n, *shape). None: one place.
    """

    options: ClassVar[frozenset[str]] = frozenset({"weights", "label_smoothing", "classes"})

    temperature: float = 1.0
    weights: Sequence[float] | None = None
    label_smoothing: float = 0.0
    classes: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.temperature, float):
            raise TypeError("temperature must be a number > 0, got a distribution; one for sigma_a would do instead")
        if self.weights is not None:
            object.__setattr__(self, "weights", _weights(self.weights))
        share = self.label_smoothing
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise ValueError(f"label_smoothing must be a number from 0 to below 1, got {share!r}; 0.1 would do")
        if self.classes is not None:
            object.__setattr__(self, "classes", whole_number(self.classes, "classes", 2))

    @property
    def is_plain(self) -> bool:
        """Whether it is one class for each example, all alike."""
        return self.weights is None and not self.label_smoothing and self.classes is None

    @property
    def predictive(self) -> Likelihood:
        return replace(self, weights=None, label_smoothing=0.0)

    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = {"temperature": self.temperature}
        if self.weights is not None:
            found["weights"] = list(self.weights)
        if self.label_smoothing:
            found["label_smoothing"] = float(self.label_smoothing)
        return found if self.classes is None else found | {"classes": self.classes}

    def by_class(self, f: Array) -> Array:
        """Outputs, or probabilities, (..., K * places) as (..., places, K)."""
        if self.classes is None:
            return f[..., None, :]
        return array_namespace(f).swapaxes(f.reshape((*f.shape[:-1], self.classes, -1)), -1, -2)

    def distribution(self, engine: Engine, f: Shaped[Array, "*batch n d"], latents: Latents) -> Any:
        if self.classes is None:
            return engine.distributions.Categorical(logits=f / self.temperature)
        return engine.distributions.Categorical(logits=self.by_class(f) / self.temperature).to_event(1)

    def objective(self, engine: Engine, f: Shaped[Array, "*batch n d"], latents: Latents) -> Any:
        if self._counts_alike:
            return self.distribution(engine, f, latents)
        # Of counts that need not be whole numbers: its density is sum_k counts_k log p_k up to a constant.
        f, xp = self.by_class(f) / self.temperature, array_namespace(f)
        f = f - xp.amax(f, -1, keepdims=True)
        logp = f - xp.log(xp.exp(f).sum(-1, keepdims=True))
        return engine.distributions.Multinomial(1, logits=logp, validate_args=False).to_event(1)

    def observed(self, engine: Engine, y: Shaped[Array, "*batch n columns"]) -> Shaped[Array, "*observed"]:
        return engine.integers(y[..., 0] if self.classes is None else y)

    def targets(self, engine: Engine, y: Shaped[Array, "*batch n columns"], outputs: int) -> Shaped[Array, "*observed"]:
        return self.observed(engine, y) if self._counts_alike else self._counts(y, self.classes or outputs)

    def columns(self, outputs: int) -> int:
        if self.classes is None:
            return 1
        if outputs % self.classes:
            raise ValueError(f"classes must divide the {outputs} outputs of the network, got {self.classes}")
        return outputs // self.classes

    def check(self, y: NDArray, outputs: int, name: str) -> None:
        k = self.classes or outputs
        if self.weights is not None and len(self.weights) != k:
            raise ValueError(f"weights must have a number for each of the {k} classes, got {len(self.weights)}")
        check_values((y == np.floor(y)) & (y >= 0) & (y < k), y, name, f"a class from 0 to {k - 1}")

    def mean(self, f: Float[NDArray, "*batch n d"]) -> Float[NDArray, "*batch n d"]:
        return self._back(special.softmax(self.by_class(f) / self.temperature, axis=-1))

    def log_prob(
        self, f: Float[NDArray, "*batch n d"], y: Shaped[NDArray, "... n columns"], latents: Latents
    ) -> Float[NDArray, "*batch n"]:
        logp = special.log_softmax(self.by_class(f).astype(np.float64) / self.temperature, axis=-1)
        if not self._counts_alike:
            return (self._counts(np.asarray(y), logp.shape[-1]) * logp).sum(axis=(-1, -2))
        chosen = np.broadcast_to(np.asarray(y).astype(np.int64), logp.shape[:-1])
        return np.take_along_axis(logp, chosen[..., None], axis=-1)[..., 0].sum(axis=-1)

    def expansion(
        self, f: Float[NDArray, "n d"], y: Shaped[NDArray, "n columns"], latents: Latents
    ) -> tuple[Float[NDArray, "n d"], Float[NDArray, "n d d"]]:
        p = special.softmax(self.by_class(f) / self.temperature, axis=-1)
        counts = self._counts(np.asarray(y), p.shape[-1])
        all_of = counts.sum(axis=-1, keepdims=True)
        each = all_of[..., None] * (p[..., :, None] * np.eye(p.shape[-1]) - p[..., :, None] * p[..., None, :])
        places, d = p.shape[-2], f.shape[-1]
        curvature = np.einsum("npij,pq->nipjq", each, np.eye(places)).reshape(len(f), d, d)
        return self._back(counts - all_of * p) / self.temperature, curvature / self.temperature**2

    def sample(
        self, rng: np.random.Generator, f: Float[NDArray, "*batch n d"], latents: Latents
    ) -> Float[NDArray, "*batch n columns"]:
        logits = self.by_class(f) / self.temperature
        return (logits + rng.gumbel(size=logits.shape)).argmax(axis=-1).astype(np.float64)

    def variance(self, f: Float[NDArray, "*batch n d"], latents: Latents) -> Float[NDArray, "*batch n d"]:
        p = self.mean(f)
        return p * (1 - p)

    @property
    def _counts_alike(self) -> bool:
        """Whether each example counts once, and is of its own class alone."""
        return self.weights is None and not self.label_smoothing

    def _counts(self, y: Array, k: int) -> Array:
        """How often each class counts as seen, (..., places, K), of classes (..., places)."""
        own = (y[..., None] == indices(np.arange(k), y)) * (1.0 - self.label_smoothing)
        weights = constant(np.ones(k) if self.weights is None else np.array(self.weights), own)
        return (own + self.label_smoothing / k) * weights

    def _back(self, p: NDArray) -> NDArray:
        """The inverse of `by_class`."""
        return p[..., 0, :] if self.classes is None else p.swapaxes(-1, -2).reshape((*p.shape[:-2], -1))


def _weights(given: Any) -> tuple[float, ...]:
    numbers = given.tolist() if hasattr(given, "tolist") else given
    good = isinstance(numbers, (list, tuple)) and all(
        isinstance(w, (int, float)) and not isinstance(w, bool) and math.isfinite(w) and w > 0 for w in numbers
    )
    if not good or not numbers:
        raise ValueError(
            f"weights must be a list of numbers > 0, one for each class, got {described(given)}; [1.0, 2.0] would do"
        )
    return tuple(float(w) for w in numbers)
