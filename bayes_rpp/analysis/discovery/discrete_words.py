"""Signed permutations of columns in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Names = tuple[list[str], list[str]]  # of the columns of x, and of those of y


def in_words(p: Array, r: Array, names: Names) -> str:
    """What f(Px) = R f(x) says, such as "y is even in column 3".

    Args:
        p: (n, n), r: (m, m) signed permutations.
        names: of the columns of x and y.
    """
    same, minus = (bool(np.array_equal(r, s * np.eye(len(r)))) for s in (1, -1))
    y = names[1][0] if len(r) == 1 and names[1] != ["target 1"] else "y"
    flipped, kept = _flipped(p), bool(np.array_equal(np.abs(p), np.eye(len(p))))
    every = kept and len(flipped) == len(p)
    if same or minus:
        kind = "even" if same else "odd"
        if every and len(p) > 1:
            return f"{y} is {kind}: it {'does not change' if same else 'changes sign'} with {'the sign of ' * same}x"
        if kept and len(flipped) == 1:
            return f"{y} is {kind} in {names[0][flipped[0]]}"
        return f"{y} {'does not change' if same else 'changes sign'} when {_clauses(p, names[0])}"
    moved = _flipped(r)
    if kept and len(flipped) == len(moved) == 1 and np.array_equal(np.abs(r), np.eye(len(r))):
        return f"a flip of {names[0][flipped[0]]} flips {names[1][moved[0]]}"
    return f"when {_clauses(p, names[0])}, {_clauses(r, names[1])}"


def _flipped(g: Array) -> list[int]:
    """Columns that it multiplies by -1."""
    return np.flatnonzero(np.diag(g) < 0).tolist()


def _clauses(g: Array, names: list[str]) -> str:
    """What it does, cycle by cycle: "columns 1 and 2 are swapped and column 3 changes sign"."""
    to, found, seen = np.abs(g).argmax(axis=0), [], set()
    for i in range(len(g)):
        cycle, signs = [i], [g[to[i], i]]
        while (j := int(to[cycle[-1]])) != i:
            cycle.append(j)
            signs.append(g[to[j], j])
        if len(cycle) == 1 or i in seen:
            continue
        seen |= set(cycle)
        if len(cycle) == 2 and signs[0] == signs[1]:
            change = "" if signs[0] > 0 else " and change sign"
            found.append(f"{listed([names[k] for k in cycle])} are swapped{change}")
        else:
            ends = [("-" if s < 0 else "") + names[to[k]] for k, s in zip(cycle, signs, strict=True)]
            found += [f"{names[k]} becomes {end}" for k, end in zip(cycle, ends, strict=True)]
    if flipped := _flipped(g):
        found.append(f"{listed([names[k] for k in flipped])} {'changes' if len(flipped) == 1 else 'change'} sign")
    return _series(found)


def listed(names: list[str]) -> str:
    """ "columns 2 and 5" of "column 2" and "column 5", or the names one by one."""
    for word in ("column ", "target "):
        if len(names) > 1 and all(n.startswith(word) and n[len(word) :].isdigit() for n in names):
            return f"{word.strip()}s {_series([n[len(word) :] for n in names])}"
    return _series(names)


def _series(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
