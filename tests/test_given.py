"""Arrays of all kinds that users have, at every entrance: read as the numbers they hold, or an error says why not."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

import bayes_rpp as rpp
from bayes_rpp._given import finite_array, real_array
from bayes_rpp.models.data import check_data, floating

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 60, 3))
HIDDEN = np.random.default_rng(1).random((60, 3)) < 0.05
MASKED = np.ma.array(np.where(HIDDEN, -9999.0, X), mask=HIDDEN)
LOST = f"NaN or infinite values in {HIDDEN.any(axis=1).sum()} of 60 rows .first: row {HIDDEN.any(axis=1).argmax()}"
NET = rpp.EMLP(rpp.Vector, rpp.Vector, rpp.O(3), layers=0)
MODEL = rpp.Model(NET)
QUICK = {"engine": "pyro", "progress": False}


def fit(x=X, y=Y, model=MODEL, **options):
    pytest.importorskip("pyro")
    return rpp.fit(model, x, y, rpp.MAP(epochs=1), **QUICK, **options)


@pytest.fixture(scope="module")
def post():
    return fit()


def compare(x, y):
    return rpp.compare_symmetries(x, y, {"O(3)": rpp.O(3)}, rep_in=rpp.Vector, rep_out=rpp.Vector, engine="pyro")


# What is asked for with masked cells in it, from a fitted posterior and the masked array.
ENTRANCES = {
    "x": lambda post, a: fit(a),
    "y": lambda post, a: fit(X, a),
    "validation x": lambda post, a: fit(validation=(a, Y)),
    "validation y": lambda post, a: fit(validation=(X, a)),
    "x of predict": lambda post, a: post.predict(a),
    "x of metrics": lambda post, a: post.metrics(a, Y),
    "y of metrics": lambda post, a: post.metrics(X, a),
    "y of log_likelihood": lambda post, a: post.log_likelihood(X, a),
    "x of summary": lambda post, a: post.summary(a),
    "x of Posterior": lambda post, a: rpp.Posterior(MODEL, post.samples, x=a, y=Y),
    "x of equivariance_error": lambda post, a: rpp.equivariance_error(np.abs, a, rpp.Vector, rpp.Vector, rpp.O(3)),
    "the function's output": lambda post, a: rpp.equivariance_error(lambda x: a, X, rpp.Vector, rpp.Vector, rpp.O(3)),
    "x of group_error_map": lambda post, a: rpp.analysis.group_error_map(post, a, n=2),
    "x of a tracker": lambda post, a: rpp.EquivarianceTracker(rpp.O(3), x=a),
    "data x of sweep": lambda post, a: rpp.sweep(MODEL, (a, Y), rpp.MAP(epochs=1), **QUICK),
    "test y of sweep": lambda post, a: rpp.sweep(MODEL, (X, Y), rpp.MAP(epochs=1), test=(X, a), **QUICK),
    "x of compare_symmetries": lambda post, a: compare(a, Y),
    "y of compare_symmetries": lambda post, a: compare(X, a),
    "x of the model function": lambda post, a: MODEL.pyro(a, Y),
    "y of the model function": lambda post, a: MODEL.pyro(X, a),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_masked_cells_are_the_error_of_nan(entrance, post):
    with pytest.raises(ValueError, match=LOST + "; masked cells count as NaN"):
        ENTRANCES[entrance](post, MASKED)
    with pytest.raises(ValueError, match=LOST):
        ENTRANCES[entrance](post, MASKED.filled(np.nan))


@pytest.mark.parametrize("which", ["X", "y"])
@pytest.mark.parametrize("name", ["RPPRegressor", "RPPClassifier"])
def test_masked_cells_in_estimators(name, which):
    pytest.importorskip("pyro")
    pytest.importorskip("sklearn")
    estimator = getattr(rpp, name)(engine="pyro", method=rpp.MAP(epochs=1))
    y = Y[:, 0] if name == "RPPRegressor" else np.where(Y[:, 0] > 0, "up", "down")
    hidden = np.ma.array(y, mask=np.arange(60) == 7)
    with pytest.raises(ValueError, match=r"NaN or infinite values in .*masked cells count as NaN"):
        estimator.fit(MASKED, y) if which == "X" else estimator.fit(X, hidden)
    estimator.fit(np.ma.array(X), np.ma.array(y))
    if which == "X":
        with pytest.raises(ValueError, match="masked cells count as NaN"):
            estimator.predict(MASKED)
    for bad in (np.zeros((2, 3), "m8[s]"), pd.DataFrame({k: pd.timedelta_range("1s", periods=2) for k in "abc"})):
        with pytest.raises(TypeError, match="X must hold numbers, got dtype timedelta64"):
            estimator.predict(bad)
    with pytest.raises(ValueError, match=r"X - X.min\(axis=0\) would do"):
        estimator.predict(2**60 + np.arange(6).reshape(2, 3))


def test_ragged_outputs_are_named(post):
    with pytest.raises(TypeError, match="y must be an array of numbers, got one that cannot be read"):
        check_data(post.model, post.x[:2], [[1.0], [1.0, 2.0]])


def test_masked_weights_and_errors(post):
    weights = {k: v[0, 0] for k, v in post.samples.items()}
    hidden = {k: np.ma.masked_equal(v, v.flat[0]) for k, v in weights.items()}
    with pytest.raises(ValueError, match=r"init\['output\.weight'\] must be finite, got NaN or infinite values"):
        fit(init=hidden)
    with pytest.raises(ValueError, match=r"samples\['output\.weight'\] must be finite, got NaN or infinite values"):
        rpp.Posterior(MODEL, {k: np.ma.masked_equal(v, v.flat[0]) for k, v in post.samples.items()}, x=X, y=Y)
    errors = np.ma.masked_less(post.equivariance_error(X), 1e9)
    with pytest.raises(ValueError, match="errors must hold finite numbers"):
        rpp.analysis.log_error_density(errors)
    with pytest.raises(ValueError, match="columns must be finite"):
        rpp.subspaces.DenseSubspace((2, 2), np.ma.masked_equal(np.eye(4), 1.0))


def test_a_masked_array_with_nothing_masked_is_an_array(post):
    for a in (np.ma.array(X), np.ma.array(X, mask=np.zeros_like(HIDDEN)), list(np.ma.array(X))):
        found = fit(a)
        np.testing.assert_array_equal(found.x, X)
        assert type(found.x) is np.ndarray
        np.testing.assert_array_equal(found.predict(a).mean, post.predict(X).mean)


BAD = {
    "a list of masked rows": (list(MASKED), ValueError, LOST),
    "masked whole numbers": (np.ma.masked_equal(np.arange(9).reshape(3, 3), 4), ValueError, "in 1 of 3 rows"),
    "pd.NA": (pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [1.0, 2.0]}), ValueError, "in 1 of 2 rows"),
    "categories": (pd.DataFrame({"a": pd.Categorical(["u"]), "b": 1.0}), TypeError, "a column 'a' of dtype category"),
    "dates": (pd.DataFrame({"t": pd.to_datetime(["2020"])}), TypeError, "a column 't' of dtype datetime64"),
    "text": (pd.DataFrame({"t": ["1"]}), TypeError, "a column 't' of dtype"),
    "a sparse matrix": (sparse.csr_array(X), TypeError, r"dense array, got a csr_array; x.toarray\(\) would do"),
    "instants": (np.zeros((2, 3), "M8[s]"), TypeError, "dtype datetime64"),
    "durations": (np.zeros((2, 3), "m8[s]"), TypeError, "dtype timedelta64"),
    "records": (np.zeros(2, [("a", float)]), TypeError, "dtype"),
    "void": (np.zeros((2, 3), "V4"), TypeError, "dtype"),
    "one number": (np.array(1.0), ValueError, r"shape \(\)"),
    "ragged": ([[1], [1, 2]], TypeError, "cannot be read"),
    "complex": (X + 1j, TypeError, "complex"),
    "equal beyond 2^53": (2**60 + np.arange(6).reshape(2, 3), ValueError, r"x - x.min\(axis=0\) would do"),
    "too long": (np.array([[1e300]], dtype=np.longdouble) * np.longdouble(1e300), ValueError, "infinite"),
}


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("kind", BAD)
def test_what_holds_no_numbers_says_so(kind):
    value, error, message = BAD[kind]
    with pytest.raises(error, match=message):
        finite_array(value, "x")


GOOD = {
    "turned": X[::-1, ::-1],
    "every other": np.repeat(X, 2, axis=0)[::2],
    "in columns": np.asfortranarray(X),
    "read-only": np.broadcast_to(X, X.shape),
    "from other machines": X.astype(">f8"),
    "long": X.astype(np.longdouble),
    "a matrix": X.view(np.matrix),
    "lists": X.tolist(),
    "a table": pd.DataFrame(X),
    "nullable": pd.DataFrame(X).convert_dtypes(),
    "nullable and not": pd.DataFrame({"a": pd.array(X[:, 0]), "b": X[:, 1], "c": X[:, 2]}),
    "sparse columns": pd.DataFrame({k: pd.arrays.SparseArray(X[:, k]) for k in range(3)}),
}


@pytest.mark.parametrize("kind", GOOD)
def test_what_holds_numbers_is_read(kind, post):
    value = GOOD[kind]
    want = X[::-1, ::-1] if kind == "turned" else X
    a = finite_array(value, "x")
    assert type(a) is np.ndarray
    assert a.dtype == np.float64
    assert a.dtype.isnative
    assert a.flags.c_contiguous
    assert a.flags.writeable
    np.testing.assert_array_equal(a, want)
    found = fit(value, value)
    np.testing.assert_array_equal(found.y, want)
    np.testing.assert_array_equal(post.predict(value).mean, post.predict(want).mean)


def test_torch_and_jax_arrays():
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(finite_array(torch.tensor(X), "x"), X)
    with pytest.raises(TypeError, match="x must be an array of numbers, got one that cannot be read: Can't"):
        finite_array(torch.tensor(X, requires_grad=True), "x")
    jnp = pytest.importorskip("jax.numpy")
    a = finite_array(jnp.asarray(X, dtype=jnp.bfloat16), "x")
    assert a.dtype == np.float32
    np.testing.assert_allclose(a, X, rtol=1e-2)
    assert finite_array(jnp.asarray(X), "x").flags.writeable


def test_columns_backed_by_arrow():
    pytest.importorskip("pyarrow")
    table = pd.DataFrame(X).convert_dtypes(dtype_backend="pyarrow")
    np.testing.assert_array_equal(finite_array(table, "x"), X)
    table.iloc[3, 0] = pd.NA
    with pytest.raises(ValueError, match=r"in 1 of 60 rows .first: row 3"):
        finite_array(table, "x")


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(
        np.int64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=4),
        elements=st.integers(0, 100),
    ),
    st.sampled_from([(1, 1), (-1, 1), (2, -1), (-1, -2)]),
    st.sampled_from([np.int8, np.uint8, np.int32, np.int64, np.uint64, np.float16, np.float32, np.float64, np.bool_]),
    st.sampled_from("<>"),
)
def test_numbers_come_through_whatever_their_layout(a, steps, dtype, order):
    a = a.astype(dtype)
    value = a.astype(a.dtype.newbyteorder(order))[:: steps[0], :: steps[1]]
    found = real_array(value, "x")
    np.testing.assert_array_equal(found, a[:: steps[0], :: steps[1]])
    assert found.dtype == a.dtype
    assert found.flags.carray
    np.testing.assert_array_equal(floating(found), found)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.float64])
def test_whole_numbers_beyond_float32_stay_apart(dtype):
    a = (2**31 - 200 + np.arange(180).reshape(60, 3)).astype(dtype)
    assert len(np.unique(floating(finite_array(a, "x")))) == 180
    assert floating(finite_array(np.arange(4)[:, None], "x")).dtype == np.float32
    with pytest.warns(UserWarning, match=r"x varies so little .*column 0, 1, 2, that float32.*x - x.mean\(axis=0\)"):
        found = fit(a)
    assert len(np.unique(found.x)) == 180


def test_class_labels_beyond_floats_stay_apart(tmp_path):
    from bayes_rpp.own_data.tables import read_columns

    labels = 2**60 + np.arange(20) % 2
    path = tmp_path / "labels.csv"
    pd.DataFrame({"a": np.arange(20.0), "label": labels}).to_csv(path, index=False)
    np.testing.assert_array_equal(read_columns(path, [], ["label"]).labels(), labels)


def test_images_and_classes_pass_the_gate():
    net = rpp.ConvNet((1, 4, 4), 2, channels=[2])
    model = rpp.Model(net, likelihood=rpp.Categorical())
    x, y = RNG.normal(size=(10, 1, 4, 4)), pd.Series(np.arange(10) % 2, dtype="Int64")
    assert fit(x[::-1], y, model).y.shape == (10, 1)
    with pytest.raises(
        ValueError, match=r"x must be finite, got NaN or infinite values in 1 of 10 rows \(first: row 2\)"
    ):
        fit(np.ma.array(x, mask=np.arange(160).reshape(x.shape) == 33), y, model)
    with pytest.raises(
        ValueError, match=r"y must be finite, got NaN or infinite values in 1 of 10 rows \(first: row 1\)"
    ):
        fit(x, y.mask(y.index == 1), model)


def test_transitions_and_rollouts_look_at_masks():
    from bayes_rpp.rl import Transitions, relative_error

    states, actions, ends = X, Y[:, :2], np.arange(60) == 59
    with pytest.raises(
        ValueError, match=r"states must be finite, got NaN or infinite values in 6 of 60 rows \(first: row 3"
    ):
        Transitions(MASKED, actions, states, np.ones(60, dtype=bool))
    with pytest.raises(TypeError, match=r"ends must be a True or False for each row, got float64 of shape \(60,\)"):
        Transitions(states, actions, states, np.ma.array(ends, mask=ends))
    with pytest.raises(ValueError, match="true must be finite, got NaN or infinite values"):
        relative_error(X[None], MASKED[None])


LABELS = RNG.integers(0, 3, size=60)
CATEGORIES = {
    "int64": pd.Series(LABELS),
    "in another order": pd.Series(pd.Categorical(LABELS, categories=[2, 0, 1])),
    "with one that is unused": pd.Series(pd.Categorical(LABELS, categories=[0, 1, 2, 7])),
    "int8": pd.Series(LABELS.astype(np.int8)),
    "floats": pd.Series(LABELS.astype(float)),
    "nullable": pd.Series(LABELS, dtype="Int64"),
    "bool": pd.Series(LABELS > 0),
    "ordered": pd.Series(pd.Categorical(LABELS, ordered=True)),
}


@pytest.mark.parametrize("kind", CATEGORIES)
def test_categories_of_numbers_are_the_numbers(kind):
    column = CATEGORIES[kind].astype("category")
    wanted = LABELS > 0 if kind == "bool" else LABELS
    np.testing.assert_array_equal(real_array(column, "y"), wanted)
    np.testing.assert_array_equal(real_array(column.array, "y"), wanted)
    np.testing.assert_array_equal(real_array(pd.DataFrame({"a": column, "b": 1.5}), "y")[:, 0], wanted)
    gone = column.where(np.arange(60) != 7)
    np.testing.assert_array_equal(np.isnan(real_array(gone, "y")), np.arange(60) == 7)
    net = rpp.MLP(3, 3, layers=0)
    model = rpp.Model(net, likelihood=rpp.Categorical())
    np.testing.assert_array_equal(fit(y=column, model=model).y[:, 0], wanted)


@pytest.mark.parametrize("kind", [str, "datetime64[ns]", "timedelta64[ns]"])
def test_categories_of_other_things_are_refused(kind):
    column = pd.Series(LABELS).astype(kind).astype("category")
    with pytest.raises(TypeError, match="y must hold numbers, got dtype category"):
        real_array(column, "y")


def test_intervals_are_refused():
    with pytest.raises(TypeError, match="y must hold numbers, got dtype category"):
        real_array(pd.cut(pd.Series(LABELS), 2), "y")
