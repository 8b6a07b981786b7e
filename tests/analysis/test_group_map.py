import matplotlib.pyplot as plt
import numpy as np
import pytest

from bayes_rpp import MAP, SL, SO, DeepEnsemble, O, S, Scalar, Trivial, Vector, fit
from bayes_rpp.analysis import group_error_map
from bayes_rpp.plots import plot_group_map
from tests.inference.known import LinearProblem

X = np.random.default_rng(0).normal(size=(30, 3))


def stretched(x):
    """Vector -> Vector that only rotations about z (and reflections along the axes) keep."""
    return x * [1.0, 1.0, 2.0]


def about(axis, degrees):
    a = np.zeros((3, 3))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a[axis, axis], a[i, i], a[j, j], a[i, j], a[j, i] = 1, c, c, -s, s
    return a


def test_rotations_about_z_are_kept_and_others_broken():
    found = group_error_map(stretched, X, group=O(3), rep_in=Vector, rep_out=Vector, n=80)
    z = np.abs(found.elements.axis[:, 2]) > 0.999
    turns = ~z & (np.abs(found.elements.angle) < 3)
    assert z.sum() >= 8
    assert found.errors[0, z].max() < 1e-9
    assert found.errors[0, turns].min() > 0.02
    assert found.table["error"].is_monotonic_decreasing
    assert len(found.table) == 80
    assert "about (" in repr(found)


def test_errors_are_equation_2_of_each_element():
    g = np.stack([about(0, 40), about(2, 70), np.eye(3)])
    found = group_error_map(stretched, X, group=SO(3), rep_in=Vector, rep_out=Vector, elements=g)
    for k, h in enumerate(g):
        a, b = stretched(X) @ h.T, stretched(X @ h.T)
        gap = np.linalg.norm(a - b, axis=1)
        wanted = (gap / (np.linalg.norm(a, axis=1) + np.linalg.norm(b, axis=1))).mean()
        assert found.errors[0, k] == pytest.approx(wanted, abs=1e-12)
        assert found.difference[0, k] == pytest.approx(np.sqrt((gap**2).mean()), abs=1e-12)
    f = stretched(X)
    assert found.spread == pytest.approx(np.sqrt(((f - f.mean(axis=0)) ** 2).sum(axis=1).mean()))


def test_posteriors_have_an_error_for_each_draw():
    problem = LinearProblem()
    post = fit(problem.model, problem.x, problem.y, DeepEnsemble(members=4, epochs=3), progress=False)
    found = group_error_map(post, problem.x, n=10, draws=3)
    assert found.errors.shape == found.difference.shape == (3, len(found.elements.matrices))
    options = {"group": O(3), "rep_in": Scalar + Vector, "rep_out": Vector + Scalar, "n": 10}
    alone = group_error_map(post.function(0, 3), problem.x, **options)
    np.testing.assert_allclose(found.errors[-1], alone.errors[0])
    low, median, high = found.interval()
    assert ((low <= median) & (median <= high)).all()
    subgroup = group_error_map(post, problem.x, group=SO(2) * Trivial(1), n=10)
    assert set(np.round(subgroup.elements.axis[:, 2], 6)) == {1.0}


def test_pictures_of_each_kind():
    weights = np.array([[1.0], [1.0], [2.0], [3.0]])
    x4 = np.random.default_rng(1).normal(size=(20, 4))
    options = {"rep_in": Vector, "rep_out": Vector}
    of_swaps = group_error_map(lambda x: x**2 @ weights, x4, group=S(4), rep_in=Vector, rep_out=Scalar)
    swap = of_swaps.elements.labels.index("(1 2)")
    assert of_swaps.errors[0, swap] < 1e-12
    maps = {
        "disks": group_error_map(stretched, X, group=O(3), **options),
        "one axis": group_error_map(stretched, X, group=SO(2) * Trivial(1), **options),
        "plane": group_error_map(lambda x: x * [1, 2], X[:, :2], group=O(2), **options),
        "matrices": group_error_map(lambda x: x * [1, 2], X[:, :2], group=SL(2), **options),
        "swaps": of_swaps,
        "bars": group_error_map(
            lambda x: x**2 @ weights, x4, group=S(4), rep_in=Vector, rep_out=Scalar, elements=S(4).elements[1:3]
        ),
    }
    for name, found in maps.items():
        figure, ax = plt.subplots()
        assert plot_group_map(found, ax=ax) is ax
        assert str(found.group) in ax.get_title(), name
        figure.canvas.draw()
        plt.close(figure)
    ax = plot_group_map(of_swaps, names=["a", "b", "c", "d"])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c", "d"]
    plt.close(ax.figure)


def test_bad_input_is_named():
    problem = LinearProblem()
    post = fit(problem.model, problem.x, problem.y, MAP(epochs=1), progress=False)
    good = {"group": O(3), "rep_in": Vector, "rep_out": Vector}
    for call, error, message in [
        (
            lambda: group_error_map(3, X),
            TypeError,
            r"f must be a Posterior, or a function of \(points, columns\), got a int",
        ),
        (
            lambda: group_error_map(stretched, X),
            TypeError,
            "group, rep_in, rep_out must be given where f is a plain function,",
        ),
        (lambda: group_error_map(stretched, X[:0], **good), ValueError, "x must have at least one point, got none"),
        (
            lambda: group_error_map(stretched, X[:, :2], **good),
            ValueError,
            "x must have 3 columns, the size of rep_in, got 2",
        ),
        (lambda: group_error_map(stretched, X, **(good | {"group": 3})), TypeError, "group must be a Group, got 3"),
        (lambda: group_error_map(stretched, X, **good, n=0), ValueError, "n must be a whole number >= 1, got 0"),
        (
            lambda: group_error_map(stretched, X, **good, draws=0),
            ValueError,
            "draws must be a whole number >= 1, got 0",
        ),
        (
            lambda: group_error_map(stretched, X, **good, elements=np.eye(2)),
            ValueError,
            r"elements must have shape \(k, 3, 3\), as O\(3\) acts, got \(1, 2, 2\)",
        ),
        (
            lambda: group_error_map(stretched, X, **good, elements=np.nan * np.eye(3)),
            ValueError,
            "elements must be finite, got NaN or infinite values",
        ),
        (
            lambda: group_error_map(lambda x: x[:1], X, **good),
            ValueError,
            "f must give one row for each point, got 1 rows for 30 points",
        ),
        (lambda: group_error_map(post, X), ValueError, "x must have 4 columns, the size of rep_in, got 3"),
        (lambda: plot_group_map(3), TypeError, "errors must be what group_error_map gives, got a int"),
        (
            lambda: plot_group_map(group_error_map(stretched, X, **good, n=4), names=["a"]),
            ValueError,
            "names must have 3 entries, one for each axis of a permutation group, got 1",
        ),
        (
            lambda: group_error_map(stretched, X, **good, n=4).interval(90),
            ValueError,
            "prob must be a number between 0 and 1, got 90",
        ),
    ]:
        with pytest.raises(error, match=message):
            call()
