"""Which transformations are broken: the equivariance error by group element, with the posterior's uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp._given import finite_array, real_array
from bayes_rpp._numerics import norm, rms
from bayes_rpp._types import ArrayLike
from bayes_rpp.analysis.equivariance import equal_tailed
from bayes_rpp.inference.posterior.functions import TOGETHER, FunctionPosterior
from bayes_rpp.models.model import Model
from bayes_rpp.models.process.gaussian_process import GaussianProcess
from bayes_rpp.symmetry.elements import Elements, describe_elements, spread_elements
from bayes_rpp.symmetry.equivariance import relative_gap
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Rep, Representation, bind_rep

if TYPE_CHECKING:
    from pandas import DataFrame

    from bayes_rpp.inference.posterior.posterior import Posterior

CHUNK = 20_000  # rows of moved points at a time


@dataclass(frozen=True)
class GroupErrorMap:
    """Errors of k group elements, over the draws of a posterior (one draw for a plain function).

    Attributes:
        errors: (draw, k) Eq. 2's |a - b| / (|a| + |b|), a = rho_out(g) f(x), b = f(rho_in(g) x), mean over the points.
        difference: (draw, k) root mean square over the points of |a - b|, in the units of f.
        elements: what they are: `.kind`, `.axis`, `.angle`, `.reflects`, `.permutation`, `.labels`.
        spread: root mean square over points and draws of |f(x) - mean f|, to compare `difference` with.
        group: whose representations moved the points; name: what a comparison calls it.
    """

    errors: NDArray = field(repr=False)
    difference: NDArray = field(repr=False)
    elements: Elements = field(repr=False)
    spread: float
    group: Group
    name: str = ""

    @property
    def title(self) -> str:
        """The candidate's name, where it has one, or else the group's."""
        return self.name or str(self.group)

    def interval(self, prob: float = 0.9) -> tuple[NDArray, NDArray, NDArray]:
        """Lower end, median and upper end over draws of each element's error, each (k,)."""
        return equal_tailed(self.errors, prob, axis=0)

    @property
    def table(self) -> DataFrame:
        """A row for each element, the most broken first: label, error (median, 5 %, 95 %), difference / spread."""
        from pandas import DataFrame

        low, median, high = self.interval()
        gap = np.median(self.difference, axis=0)
        share = np.divide(gap, self.spread, out=np.where(gap > 0, np.inf, 0.0), where=self.spread > 0)
        rows = {"error": median, "5%": low, "95%": high, "difference / spread": share}
        return DataFrame(rows, index=self.elements.labels).sort_values("error", ascending=False)

    def __repr__(self) -> str:
        rows = self.table.to_string(max_rows=12, float_format="%.3g")
        return f"GroupErrorMap({self.title}, {self.errors.shape[1]} elements)\n{rows}"


def group_error_map(
    f: Posterior | Callable[[NDArray], Any],
    x: ArrayLike,
    *,
    group: Group | None = None,
    rep_in: Rep | None = None,
    rep_out: Rep | None = None,
    elements: Any = None,
    n: int = 200,
    draws: int = 20,
    seed: int = 0,
) -> GroupErrorMap:
    """Error of equivariance by group element: *which* transformations a posterior, or any function, breaks.

    Args:
        f: a posterior, or a function of arrays (points, d_in) -> (points, d_out).
        x: (points, d_in); some fifty are enough.
        group: of a posterior, None is the network's; a larger one shows what else is kept or broken.
        rep_in, rep_out: how it acts on inputs and outputs; of a posterior, None is the network's.
        elements: (k, d, d) matrices, in the group or not. None: about n of them, spread over the group (all of a small
            finite one; transpositions first; rotations about x, y, z and axes between at several angles).
        n: how many elements, if none are given.
        draws: at most so many of a posterior's, evenly spaced.
        seed: of random elements.

    Raises:
        TypeError, ValueError: naming the argument that does not fit, or if f gives values that are not finite.
    """
    functions, group, before, after = _sources(f, group, rep_in, rep_out, draws)
    model: Any = getattr(f, "model", None)
    x = model.net.encode(x) if isinstance(model, Model) else x
    x = finite_array(x, "x", columns=before.size, because=", the size of rep_in")
    if not len(x):
        raise ValueError("x must have at least one point, got none")
    x = x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64)
    g = _elements(elements, group, n, seed)
    rho_in, rho_out = before.rho(g), after.rho(g)
    if isinstance(f, FunctionPosterior):
        errors, differences, spread = _of_functions(f, len(functions), after, x, rho_in, rho_out)
        return GroupErrorMap(errors, differences, describe_elements(g), spread, group)
    errors, differences = np.empty((2, len(functions), len(g)))
    spreads = []
    step = max(1, CHUNK // len(x))
    for d, function in enumerate(functions):
        kept = _values(function, x, after)
        spreads.append(rms(norm(kept - kept.mean(axis=0))))
        for start in range(0, len(g), step):
            part = slice(start, start + step)
            moved = np.einsum("kij,nj->kni", rho_in[part], x).astype(x.dtype)
            b = _values(function, moved.reshape(-1, x.shape[1]), after).reshape(len(moved), len(x), -1)
            error, gap = relative_gap(rho_out[part][:, None], kept, b)
            errors[d, part], differences[d, part] = error.mean(axis=1), rms(gap, axis=1)
    return GroupErrorMap(errors, differences, describe_elements(g), float(rms(np.array(spreads))), group)


def _of_functions(
    post: FunctionPosterior, draws: int, after: Representation, x: NDArray, rho_in: NDArray, rho_out: NDArray
) -> tuple[NDArray, NDArray, float]:
    """Errors and differences (draws, k) and the spread, of functions drawn at x and gx together, anew for each g."""
    chosen = _chosen(post, draws)
    errors, squares = np.zeros((2, len(chosen), len(rho_in)))
    for start in range(0, len(x), some := max(1, TOGETHER // (2 * after.size))):
        part = x[start : start + some]
        for k, (move, turn) in enumerate(zip(rho_in, rho_out, strict=True)):
            f = post.outputs(np.concatenate([part, part @ move.T])).reshape(-1, 2, len(part), after.size)[chosen]
            error, gap = relative_gap(turn, f[:, 0], f[:, 1])
            errors[:, k] += error.sum(axis=1)
            squares[:, k] += (gap**2).sum(axis=1)
    f = post.mean_function(x)
    return errors / len(x), np.sqrt(squares / len(x)), float(rms(norm(f - f.mean(axis=0))))


def _chosen(post: Any, draws: int) -> NDArray:
    """Numbers of at most so many draws, evenly spaced."""
    count = post.chains * post.draws
    return np.unique(np.linspace(0, count - 1, min(draws, count)).round().astype(int))


def _sources(
    f: Any, group: Group | None, rep_in: Rep | None, rep_out: Rep | None, draws: int
) -> tuple[list[Callable[[NDArray], Any]], Group, Representation, Representation]:
    """The functions, one for each draw, and the representations."""
    whole_number(draws, "draws")
    model = getattr(f, "model", None)
    net = model if isinstance(model, GaussianProcess) else getattr(model, "net", None)
    if net is None:
        if not callable(f):
            raise TypeError(f"f must be a Posterior, or a function of (points, columns), got a {type(f).__name__}")
        missing = [k for k, v in (("group", group), ("rep_in", rep_in), ("rep_out", rep_out)) if v is None]
        if missing:
            raise TypeError(
                f"{', '.join(missing)} must be given where f is a plain function, which does not say how a group acts, "
                "got None"
            )
        functions = [f]
    else:
        group = group if group is not None else net.group
        rep_in = rep_in if rep_in is not None else net.rep_in.rep
        rep_out = rep_out if rep_out is not None else net.rep_out.rep
        functions = [f.function(int(i // f.draws), int(i % f.draws)) for i in _chosen(f, draws)]
    if not isinstance(group, Group):
        raise TypeError(f"group must be a Group, got {group!r}; O(3) would do")
    return functions, group, bind_rep(rep_in, group, "rep_in"), bind_rep(rep_out, group, "rep_out")


def _elements(elements: Any, group: Group, n: int, seed: int) -> NDArray:
    if elements is None:
        return spread_elements(group, whole_number(n, "n"), seed)
    g = real_array(elements, "elements").astype(np.float64)
    g = g[None] if g.ndim == 2 else g
    if g.ndim != 3 or g.shape[1:] != (group.dim, group.dim) or not len(g):
        raise ValueError(f"elements must have shape (k, {group.dim}, {group.dim}), as {group} acts, got {g.shape}")
    if not np.isfinite(g).all():
        raise ValueError("elements must be finite, got NaN or infinite values")
    return g


def _values(function: Callable[[NDArray], Any], x: NDArray, after: Representation) -> NDArray:
    found = function(x)
    found = found.detach().cpu().numpy() if hasattr(found, "detach") else found
    y = finite_array(found, "the function's output", columns=after.size, because=", the size of rep_out")
    if len(y) != len(x):
        raise ValueError(f"f must give one row for each point, got {len(y)} rows for {len(x)} points")
    return y.astype(np.float64)
