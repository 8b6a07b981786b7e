"""Which symmetry do the data have, when nobody can name it?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from bayes_rpp._arrays import whole_number
from bayes_rpp._given import finite_array
from bayes_rpp._types import EngineName
from bayes_rpp.analysis.discovery.beside import Discrete, discrete_beside
from bayes_rpp.analysis.discovery.networks import judged, outputs_of
from bayes_rpp.analysis.discovery.predictive import predictive
from bayes_rpp.analysis.discovery.scaling import standardization
from bayes_rpp.analysis.discovery.words import doubts_of, verdict_of
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.symmetry.discovery.actions import Actions, choose_actions
from bayes_rpp.symmetry.discovery.described import Named, describe
from bayes_rpp.symmetry.discovery.sampled import Found, FunctionSymmetries
from bayes_rpp.symmetry.discovery.search import KEPT, MARGIN, search
from bayes_rpp.symmetry.discovery.softly import Softly
from bayes_rpp.symmetry.discovery.spectrum import spectrum_of_functions
from bayes_rpp.symmetry.discovery.steps import Step, orthonormal_rows, turns
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep

if TYPE_CHECKING:
    from pandas import DataFrame

Array = NDArray[np.float64]
LEAST, EXAMPLES = 10, 1000  # of which there must be, and at which one sees what directions move
SNAPPED = 2.0  # nats that an algebra in standard form may lose


@dataclass(frozen=True, eq=False)
class Discovery(Found):
    """What `discover_symmetry` found; `print` shows it.

    Attributes:
        dimension: of the Lie algebra that holds, exactly or nearly.
        generators: (k, n, n) its basis on the space of the group; closed under brackets.
        group: a Group with this algebra, for EMLP, GaussianProcess and compare_symmetries; Trivial without one.
        rep_in, rep_out: with which to use it: those given, or those found.
        parts: of the algebra, with axes and how well they are known; names: in words.
        spectrum: violation of all directions, those found first.
        probabilities: dimension -> probability among the algebras that were tried, by evidence.
        is_exact: whether the evidence prefers no residual.
        residual: sigma_b / sigma, how large the part of f is that has not the symmetry.
        verdict: the answer in words; doubts: reasons not to believe it.
        tried: (name, dimension, log evidence less the cost of its directions, beside that without a symmetry).
        discrete: (name in words, matrix on the space of the group, by how many nats the evidence rises, 0 where every
            function of the algebra has it) of each flip, swap, reflection or half turn that generates the group beside
            its algebra.
        networks: what networks, or the posterior that was given, say by themselves, in standardized units; None where
            functions alone were asked.
        functions: the Gaussian process with this algebra, of standardized data; standardize_x, standardize_y: from
            the units of the data to its.
    """

    is_exact: bool
    residual: float
    verdict: str
    doubts: list[str]
    tried: list[tuple[str, int, float]]
    discrete: list[Discrete]
    networks: FunctionSymmetries | None
    functions: Softly = field(repr=False)
    standardize_x: Standardization = field(repr=False)
    standardize_y: Standardization = field(repr=False)

    def predict(self, x: ArrayLike) -> tuple[Array, Array]:
        """Mean and standard deviation (n, d_out) of new observations at x (n, d_in), by functions with the algebra that
        was found, compact or not, beside a residual, of the examples that were looked at.

        Raises:
            ValueError: if x does not fit.
        """
        values = np.asarray(finite_array(x, "x"), dtype=np.float64)
        if values.shape[1] != (d := self.functions.x.shape[1]):
            raise ValueError(f"x must have {d} columns, got {values.shape[1]}")
        mean, std = predictive(self.functions, self.standardize_x(values))
        return self.standardize_y.undo(mean), std * self.standardize_y.scale

    @property
    def names(self) -> list[str]:
        """Of the parts of the algebra, and of the discrete symmetries beside it, in words."""
        return [*super().names, *(name for name, _, _ in self.discrete)]

    @property
    def table(self) -> DataFrame:
        """The spectrum, a row for each direction: strength and 90 % interval, whether the data excite it."""
        import pandas as pd

        s = self.spectrum
        return pd.DataFrame(
            {"strength": s.strength, "5%": s.lower, "95%": s.upper, "is_known": s.is_known},
            index=pd.Index(range(1, len(s) + 1), name="direction"),
        )

    def __str__(self) -> str:
        shown = self.table.iloc[: max(8, self.dimension + 4)].to_string(float_format="%.3f")
        more = f"\n... {len(self.spectrum)} directions" if len(self.spectrum) > max(8, self.dimension + 4) else ""
        lines = [self.verdict, "", shown + more]
        return "\n".join([*lines, *([""] if self.doubts else []), *(f"- {d}" for d in self.doubts)])


def discover_symmetry(
    x: ArrayLike,
    y: ArrayLike,
    *,
    rep_in: Rep | str | None = None,
    rep_out: Rep | str | None = None,
    within: Group | str | None = None,
    model: Any = "auto",
    discrete: bool = True,
    columns: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    draws: int = 200,
    engine: EngineName | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Discovery:
    """Find the matrices under which y = f(x) + noise is equivariant, a Lie algebra and what is beside it.

    f is a Gaussian process whose symmetric part meets J(x) A_in x = A_out f(x), compact or not (see
    `bayes_rpp.symmetry.discovery.constrained`), beside a residual. The algebra of the highest evidence is grown from
    there, among all of gl(n) and its subspaces of rotations and scalings, by exact gradients. The spectrum says how
    far every direction is violated, by draws of the posterior. Then discrete symmetries are looked for, reflections and
    half turns beside rotations, or flips and permutations of columns as they are.

    Args:
        x, y: (n, d_in) and (n, d_out) arrays, noise Gaussian. Searches look at up to 900 numbers of y, at random.
        rep_in, rep_out: how matrices act on the columns, such as Vector, or "2*Vector". None, both: columns are taken
            as they are, and A_in and A_out are looked for among all matrices.
        within: the group in whose Lie algebra to look, such as SO(3), or "SO(3)". None: all matrices.
        model: "functions", as above. "networks": an ensemble of MLPs is fitted to all examples, and the algebras near
            what it violates little are judged, and turned, by the evidence of functions of up to 900 numbers of y. A
            `Model`, `GaussianProcess` or posterior of these x and y in place of the ensemble. "auto": functions for up
            to 3,000 numbers in y, as in `compare_symmetries`, and networks above.
        discrete: whether to look for discrete symmetries.
        columns, targets: names of the columns of x and y, for the words.
        draws: of the posterior, for intervals.
        engine: of networks; as in `fit`.
        seed: of the choice of rows, of the draws, and of networks.
        progress: whether a bar counts the algebras that were tried.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    x, y = _data(x, y)
    draws, seed = whole_number(draws, "draws", 20), whole_number(seed, "seed", 0)
    actions = choose_actions(rep_in, rep_out, within, x.shape[1], y.shape[1])
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    to_x, to_y = standardization(x, actions, "inputs"), standardization(y, actions, "outputs")
    scaled = to_x(x[order]), to_y(y[order])
    excited = actions.excited(*(v[:EXAMPLES] for v in scaled))
    limited = actions.limited(excited)
    outputs = outputs_of(model, x, y, to_x, to_y, engine, seed)
    by_networks: FunctionSymmetries | None = None
    if outputs is None:
        with tqdm(desc="algebras", unit="fit", disable=not progress) as bar:
            taken, tried = search(*scaled, limited, bar.update)
        last = taken[-1]
    else:
        taken, tried, by_networks, last = judged(outputs, *scaled, limited, (rep_in, rep_out, within))
    steps = [*taken, *(s for s in tried if s.violation < KEPT)]
    softly, named = _named(last, to_x, to_y, rng, columns, targets)
    strict = softly.fitted(strict=True) if last.dimension else softly
    a, b, _ = softly.sigmas
    best = softly if last.dimension else _softly(last.model, tried)
    spectrum = spectrum_of_functions(best, softly.directions, excited, draws, rng)
    beside = discrete_beside(x[order], y[order], named, actions.are_known, columns, targets, seed) if discrete else None
    found = Discovery(
        *(beside.named if beside else named).fields,
        last.dimension,
        replace(spectrum, directions=_in_units(spectrum.directions, actions, to_x, to_y)),
        _probabilities(steps),
        bool(last.dimension) and strict.evidence > softly.evidence - MARGIN,
        b / math.hypot(a, b),
        "",
        [],
        [(s.name, s.dimension, s.score - taken[0].score) for s in steps],
        beside.found if beside else [],
        by_networks,
        softly,
        to_x,
        to_y,
    )
    doubts = [*doubts_of(found, softly, len(x), x.shape[1]), *(beside.doubts if beside else [])]
    return replace(found, verdict=verdict_of(found, softly, len(x)), doubts=doubts)


def _softly(free: Softly, tried: list[Step]) -> Softly:
    """What is known of f where no symmetry is called one: a part with the best that was tried beside a residual, if the
    evidence prefers that to a free function, whose slopes are less certain and look more violated than they are."""
    best = max((s for s in tried if math.isfinite(s.score)), key=lambda s: s.score, default=None)
    if best is None:
        return free
    model = best.model
    if len(model.x) != len(free.x):  # networks suggest by fewer
        model = replace(model, x=free.x, y=free.y).fitted(iterations=20)
    return model if replace(best, model=model).score > free.evidence else free


def _named(
    step: Step,
    to_x: Standardization,
    to_y: Standardization,
    rng: np.random.Generator,
    columns: Sequence[str] | None,
    targets: Sequence[str] | None,
) -> tuple[Softly, Named]:
    """The model with the algebra of standard form near the one found, if its evidence is as high."""
    model, actions = step.model, step.model.actions
    turned = _turned(step, rng)
    basis = _in_units(np.tensordot(model.directions, actions.base, 1), actions, to_x, to_y)
    draws = _in_units(np.tensordot(turned, actions.base, 1), actions, to_x, to_y)
    named = describe(basis, draws, actions, columns, targets)
    if step.dimension and len(named.generators) == step.dimension:
        back = _in_units(named.generators, actions, to_x, to_y, inverse=True)
        directions = orthonormal_rows(actions.coordinates(back))
        snapped = replace(model, directions=directions).fitted(iterations=20)
        if snapped.evidence > model.evidence - SNAPPED:
            return snapped, named
        named = describe(basis, draws, actions, columns, targets, snap=False)
    return model, named


def _turned(step: Step, rng: np.random.Generator, draws: int = 100) -> Array:
    """(draws, k, K) directions by their posterior; those of whole algebras with a name have none."""
    model = step.model
    held = np.repeat(model.directions[None], draws, axis=0)
    moving = turns(step)
    if not len(moving):
        return held
    covariance = model.uncertainty(moving)
    values, vectors = np.linalg.eigh(covariance)
    noise = (rng.normal(size=(draws, len(values))) * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return np.stack([model.turned(by, moving) for by in noise])


def _in_units(
    a: Array, actions: Actions, to_x: Standardization, to_y: Standardization, *, inverse: bool = False
) -> Array:
    """Matrices in units of the data, from those of scaled columns; representations are the same in both."""
    if actions.are_known:
        return a
    scale = np.concatenate([to_x.scale, to_y.scale])
    scale = 1 / scale if inverse else scale
    return np.asarray(a * scale[:, None] / scale)


def _probabilities(steps: list[Step]) -> dict[int, float]:
    best: dict[int, float] = {}
    for s in steps:
        best[s.dimension] = max(best.get(s.dimension, -math.inf), s.score)
    top = max(best.values())
    weights = {k: math.exp(v - top) for k, v in sorted(best.items())}
    return {k: w / sum(weights.values()) for k, w in weights.items()}


def _data(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    found = []
    for values, name in ((x, "x"), (y, "y")):
        values = np.asarray(values)[:, None] if np.ndim(values) == 1 else values
        found.append(np.asarray(finite_array(values, name), dtype=np.float64))
    if len(found[0]) != len(found[1]):
        raise ValueError(f"y must have {len(found[0])} examples, as x has, got {len(found[1])}")
    if len(found[0]) < LEAST:
        raise ValueError(f"x must have at least {LEAST} examples, and better 100, got {len(found[0])}")
    if not np.ptp(found[1], axis=0).any():
        raise ValueError("y must differ from example to example, got the same in all; every symmetry keeps a constant")
    return found[0], found[1]
