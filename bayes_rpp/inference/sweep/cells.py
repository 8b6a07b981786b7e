"""The cells of a sweep, and the programs that train them: cells of one structure are the members of one fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.inference.methods import MAP
from bayes_rpp.inference.run.memory import at_work, evenly, kept
from bayes_rpp.models.model import AnyParametrization, Model
from bayes_rpp.priors.hyper import Prior


class Cell(NamedTuple):
    """One fit of a sweep. Its sigmas are None where the model's own, which is no single number, is kept."""

    sigma_a: float | None
    sigma_b: float | None
    seed: int

    def model(self, model: Model) -> Model:
        """The model with the cell's sigmas."""
        return with_sigmas(model, self.sigma_a, self.sigma_b)


@dataclass(frozen=True)
class Cells(MAP):
    """MAP of many cells at once, each with its own seed, and its own numbers for the sigmas that the model infers."""

    cells: tuple[Cell, ...] = ()

    @property
    def count(self) -> int:
        return len(self.cells)

    def parametrization(self, model: Model) -> AnyParametrization:
        sigmas = {k for found in (*model.sigmas_a, model.sigma_b) for k in found.latents}
        return "whitened" if sigmas - set(self.given()) else "pathways"  # as MAP of a cell's model

    def given(self) -> dict[str, NDArray]:
        return {k: np.array([getattr(c, k) for c in self.cells]) for k in SIGMAS if varies(self.cells, k)}

    def seeds(self, seed: int) -> list[np.random.SeedSequence]:
        return [np.random.SeedSequence(c.seed).spawn(1)[0] for c in self.cells]

    @property
    def polishing(self) -> int:
        return 0  # the sweep polishes each cell's own model

    @property
    def fails_alone(self) -> bool:
        return True


SIGMAS = ("sigma_a", "sigma_b")


def varies(cells: Sequence[Cell], name: str) -> bool:
    return len({getattr(c, name) for c in cells}) > 1


def joint_model(model: Model, cells: Sequence[Cell]) -> Model:
    """The model of which all cells are members: with a site for each sigma that varies among them."""

    def shared(name: str) -> Any:
        values = [getattr(c, name) for c in cells]
        if not varies(cells, name):
            return values[0]
        return Prior("HalfNormal", {"scale": math.exp(np.log(values).mean())})

    return with_sigmas(model, shared("sigma_a"), shared("sigma_b"))


def with_sigmas(model: Model, sigma_a: Any, sigma_b: Any) -> Model:
    """The model with other sigmas; None keeps its own."""
    sigmas = {"sigma_a": sigma_a, "sigma_b": sigma_b}
    return model.replace(**{k: v for k, v in sigmas.items() if v is not None})


def programs(model: Model, cells: Sequence[Cell], batch: int, memory: float, most: int) -> Iterator[tuple[Cell, ...]]:
    """The cells, in parts that have zeros in the same places and fit into the memory.

    Args:
        batch: examples in a step.
        memory: GB.
        most: cells in a part.
    """
    alike: dict[tuple[bool, bool], list[Cell]] = {}
    for cell in cells:
        alike.setdefault((cell.sigma_a == 0, cell.sigma_b == 0), []).append(cell)
    able = min(most, memory / (kept(model.net) + at_work(model.net, batch)))
    for group in alike.values():
        size = evenly(len(group), able)
        for start in range(0, len(group), size):
            yield tuple(group[start : start + size])
