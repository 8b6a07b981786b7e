"""How often `discrete_symmetries` names what a table has: random functions with a known symmetry, or with none.

Usage: python -m benchmarks.discovery_discrete [--seeds 10] [--first 100] [--sizes 100 300] [--out FILE]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from bayes_rpp._files import write_page
from bayes_rpp.analysis.discovery.discrete import discrete_symmetries
from bayes_rpp.symmetry.groups import Group
from benchmarks.rows import Row

Array = NDArray[np.float64]
NOISE = 0.02  # of the standard deviation of each target
FEATURES, SMOOTH, ROUGH = 200, 2.0, 1.0  # lengthscales, beside inputs of size 1


@dataclass(frozen=True)
class Case:
    """A kind of table: its symmetry, as elements (P, R), of `columns` inputs; `make` without one."""

    name: str
    columns: int
    elements: tuple[tuple[Array, Array], ...] = ()
    make: Callable[[Array, np.random.Generator], Array] | None = None
    lengthscale: float = SMOOTH

    @property
    def group(self) -> Group:
        targets = len(self.elements[0][1]) if self.elements else 1
        return Group(self.columns + targets, (), [block_diag(p, r) for p, r in self.elements])

    def draw(self, n: int, seed: int) -> tuple[Array, Array]:
        rng = np.random.default_rng([seed, n, len(self.name)])
        x = rng.normal(size=(n, self.columns))
        if self.make:
            f = self.make(x, rng)
        else:
            m, d, g = self.group.dim - self.columns, self.columns, _smooth(self.columns, rng, self.lengthscale)
            f = np.mean([g(x @ e[:d, :d].T, m) @ e[d:, d:] for e in self.group.elements], axis=0)
        f = f / f.std(axis=0)
        return x, f + NOISE * rng.normal(size=f.shape)


def _smooth(columns: int, rng: np.random.Generator, lengthscale: float = SMOOTH) -> Callable[[Array, int], Array]:
    """A draw of the Gaussian process with an RBF kernel, by random features."""
    w = rng.normal(size=(columns, FEATURES)) / lengthscale
    b, a = rng.uniform(0, 2 * np.pi, FEATURES), rng.normal(size=(FEATURES, 4))
    return lambda x, m: np.cos(x @ w + b) @ a[:, :m] * np.sqrt(2 / FEATURES)


def _additive(x: Array, rng: np.random.Generator) -> Array:
    a = rng.uniform(0.5, 1.5, 4)
    parts = np.exp(0.5 * x[:, 0]), x[:, 1] ** 2 + x[:, 1], np.sin(2 * x[:, 2] + 1), np.maximum(x[:, 3], 0.0)
    return sum(k * p for k, p in zip(a, parts, strict=True))[:, None]


def _linear(x: Array, rng: np.random.Generator) -> Array:
    weights = rng.permutation([1.0, 0.8, 0.6, 0.4]) * rng.choice([-1, 1], 4)
    return (1 + x @ weights)[:, None]


def _swapped(n: int, *pairs: tuple[int, int], flipped: Sequence[int] = ()) -> Array:
    p = np.eye(n)
    for i, j in pairs:
        p[:, [i, j]] = p[:, [j, i]]
    p[:, list(flipped)] *= -1
    return p


ONE = np.eye(1)
CASES = (
    Case("none: smooth", 4, make=lambda x, rng: _smooth(4, rng)(x, 1)),
    Case("none: rough", 4, make=lambda x, rng: _smooth(4, rng, ROUGH)(x, 1)),
    Case("none: a sum over columns", 4, make=_additive),
    Case("none: linear, with an offset", 4, make=_linear),
    Case("swap", 4, ((_swapped(4, (0, 1)), ONE),)),
    Case("swap, of a rough function", 4, ((_swapped(4, (0, 1)), ONE),), lengthscale=ROUGH),
    Case("S(3) on three of four columns", 4, ((_swapped(4, (0, 1)), ONE), (_swapped(4, (1, 2)), ONE))),
    Case("even in one column", 4, ((_swapped(4, flipped=[0]), ONE),)),
    Case("odd", 3, ((-np.eye(3), -ONE),)),
    Case("flip of a column and a target", 3, ((_swapped(3, flipped=[0]), np.diag([-1.0, 1.0])),)),
    Case("swap times flip", 4, ((_swapped(4, (0, 1), flipped=[2]), ONE),)),
)


def one(case: Case, n: int, seed: int) -> tuple[bool, float, str]:
    """Whether exactly the right group is found, CPU seconds, and what is said."""
    x, y = case.draw(n, seed)
    start = time.process_time()
    found = discrete_symmetries(x, y)
    seconds = time.process_time() - start
    right = found.group.order == case.group.order and all(
        np.abs(found.group.elements - g).max(axis=(1, 2)).min() < 1e-9 for g in case.group.elements
    )
    best = max((nats for _, nats, _ in found.tried), default=-np.inf)
    said = f"{found.group.order} elements, highest rise {best:.1f}: " + "; ".join(
        f"{name} (+{nats:.1f}, error {error:.2g})" for name, _, _, nats, error in found.found
    )
    return right, seconds, said


def discovery_discrete(quick: bool = False) -> list[Row]:
    """Each case once, as a benchmark of `python -m benchmarks`."""
    rows = []
    for case in CASES[3:5] if quick else CASES:
        right, seconds, _ = one(case, 30 if quick else 100, 100)
        rows.append(Row(f"discrete symmetries, {case.name}", seconds, unit="CPU s", figures={"right": float(right)}))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.discovery_discrete")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--out", type=Path, help="the page to write")
    given = parser.parse_args(arguments)
    seeds = range(given.first, given.first + given.seeds)
    lines = ["| table | examples | right | CPU seconds: middle, most |", "| --- | --- | --- | --- |"]
    wrong: list[str] = []
    with_symmetry, without = [0, 0], [0, 0]
    for n in given.sizes:
        for case in CASES:
            found = [one(case, n, s) for s in seeds]
            right, spent = sum(r for r, _, _ in found), [s for _, s, _ in found]
            count = with_symmetry if case.elements else without
            count[0], count[1] = count[0] + right, count[1] + len(found)
            lines.append(f"| {case.name} | {n} | {right} of {len(found)} | {np.median(spent):.1f}, {max(spent):.1f} |")
            missed = [
                f"- {case.name}, {n} examples, seed {s}: {said}"
                for s, (good, _, said) in zip(seeds, found, strict=True)
                if not good
            ]
            wrong += missed
            print(lines[-1], *missed, sep="\n", flush=True)
    command = f"python -m benchmarks.discovery_discrete --seeds {given.seeds} --first {given.first}"
    page = f"""# Discrete symmetries that nobody named

Made by `{command}`, one thread on a busy machine. Each table is a random
function with a symmetry, or without, of normal inputs, with {NOISE:.0%} noise: draws of a Gaussian process of
lengthscale {SMOOTH:g} (rough: {ROUGH:g}), averaged over the group. Seeds {seeds[0]} to {seeds[-1]}; what decides was
chosen on seeds 0 to 9. An answer is right if the group found is the true one, neither smaller nor larger.

It is right in {with_symmetry[0]} of {with_symmetry[1]} tables with a symmetry. There are false alarms in
{without[1] - without[0]} of {without[1]} tables without one.

"""
    if given.out:
        lines += ["", "Where the answer is wrong:", "", *wrong] if wrong else []
        write_page(given.out, page + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
