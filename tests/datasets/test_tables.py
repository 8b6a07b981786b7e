import hashlib
import subprocess
import sys

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import datasets
from bayes_rpp.datasets.delimited import read_numbers

SIZES = {"energy": (768, 8), "fertility": (100, 9), "pendulum": (630, 9), "wine": (1599, 11)}
ORIGINAL = {"energy": "ENB2012_data.csv", "fertility": "fertility_Diagnosis.txt", "wine": "winequality-red.csv"}
BUNDLED = [(datasets.diabetes, 442, 10, None), (datasets.wine, 178, 13, 3), (datasets.breast_cancer, 569, 30, 2)]


def numbers(name, extra=0, rows=None):
    n, inputs = SIZES[name]
    return np.random.default_rng(1).normal(3, 2, size=(rows or n, inputs + 1 + extra)).round(3)


def write(path, values, separator=",", header=None):
    lines = [] if header is None else [separator.join(header)]
    lines += [separator.join(str(v) for v in row) for row in values]
    path.write_text("\n".join(lines) + "\n")
    return path


def original(data):
    return data.y[:, 0] * data.y_scale + data.y_mean


@pytest.mark.parametrize(("make", "rows", "columns", "classes"), BUNDLED)
def test_tables_of_scikit_learn(make, rows, columns, classes):
    pytest.importorskip("sklearn")
    whole, train, test = make(), make(split="train", seed=3), make(split="test", seed=3)
    assert (len(train.x) + len(test.x), len(test.x)) == (rows, round(0.2 * rows))
    for data in (whole, train, test):
        assert data.x.shape[1] == data.rep_in(data.group).size == columns
        assert data.y.shape == (len(data.x), 1)
        assert data.x.dtype == data.y.dtype == np.float32
        assert (data.classes, data.input_shape, data.rep_out) == (classes, None, (classes or 1) * rpp.Scalar)
        assert data.group == rpp.Trivial(1)
    for data in (whole, train):
        np.testing.assert_allclose(data.x.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(data.x.std(axis=0), 1, atol=1e-4)
    assert np.abs(test.x.mean(axis=0)).max() > 1e-3  # the constants are those of the training rows
    together = np.concatenate([original(train), original(test)])
    np.testing.assert_allclose(np.sort(together), np.sort(original(whole)), rtol=1e-4)
    if classes:
        rpp.Categorical().check(whole.y, classes, "y")
        expected = np.bincount(whole.y[:, 0].astype(int)) * len(test.x) / rows
        assert np.abs(np.bincount(test.y[:, 0].astype(int)) - expected).max() < 1
    else:
        assert abs(train.y.mean()) < 1e-5
        assert abs(train.y.std() - 1) < 1e-5
        assert (round(original(whole).min()), round(original(whole).max())) == (25, 346)


def test_splits_are_fixed_by_the_seed():
    pytest.importorskip("sklearn")
    first = datasets.diabetes(split="test", seed=1)
    np.testing.assert_array_equal(first.x, datasets.diabetes(split="test", seed=1).x)
    assert not np.array_equal(first.x, datasets.diabetes(split="test", seed=2).x)
    with pytest.raises(ValueError, match="split must be 'all', 'train' or 'test', got 'val'"):
        datasets.diabetes(split="val")
    with pytest.raises(ValueError, match="seed must be a whole number >= 0, got True"):
        datasets.wine(seed=True)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("separator", [",", ";", "\t", "  "])
@pytest.mark.parametrize("header", [True, False])
def test_uci(tmp_path, name, separator, header):
    values = numbers(name)
    names = [f'"column{separator}{k}"' for k in range(values.shape[1])] if header else None
    write(tmp_path / f"{name}.csv", values, separator, names)
    data = datasets.uci(name, tmp_path)
    assert data.x.shape == SIZES[name]
    assert (data.rep_in, data.rep_out, data.classes) == (SIZES[name][1] * rpp.Scalar, rpp.Scalar, None)
    np.testing.assert_allclose(data.x, (values[:, :-1] - values[:, :-1].mean(0)) / values[:, :-1].std(0), atol=1e-5)
    np.testing.assert_allclose(original(data), values[:, -1], atol=1e-4)


@pytest.mark.parametrize("name", ORIGINAL)
def test_original_file_names_and_paths(tmp_path, name):
    file = write(tmp_path / ORIGINAL[name], numbers(name), ";")
    np.testing.assert_array_equal(datasets.uci(name, tmp_path).x, datasets.uci(name, str(file)).x)


def test_uci_is_standardised_by_its_training_rows(tmp_path):
    values = numbers("fertility").astype(object)
    values[:, 2] = 0.5  # a constant column
    values[:, -1] = np.where(np.arange(100) % 8 == 0, "O", "N")
    write(tmp_path / "fertility.csv", values)
    train, test = (datasets.uci("fertility", tmp_path, split=s) for s in ("train", "test"))
    assert (train.x.shape, test.x.shape) == ((80, 9), (20, 9))
    np.testing.assert_allclose(train.x.std(axis=0), [1, 1, 0, 1, 1, 1, 1, 1, 1], atol=1e-5)
    assert (train.y_mean, train.y_scale) == (test.y_mean, test.y_scale)
    targets = np.concatenate([original(train), original(test)])
    np.testing.assert_allclose(np.sort(targets), [0] * 87 + [1] * 13, atol=1e-5)


def test_energy_has_two_targets(tmp_path):
    values = numbers("energy", extra=1)
    write(tmp_path / "energy.csv", values)
    for target, column in {None: 8, "Y1": 8, "Y2": 9}.items():
        data = datasets.uci("energy", tmp_path, target=target)
        assert data.x.shape == (768, 8)
        np.testing.assert_allclose(original(data), values[:, column], atol=1e-4)
    write(tmp_path / "energy.csv", values[:, :9])
    with pytest.raises(ValueError, match=r"target must be 'Y1', as energy\.csv has 9 columns, not ten, got 'Y2'"):
        datasets.uci("energy", tmp_path, target="Y2")
    with pytest.raises(ValueError, match="target must be 'Y1' or 'Y2', got 'Y3'"):
        datasets.uci("energy", tmp_path, target="Y3")
    with pytest.raises(ValueError, match=r"target must be None \(the table 'wine' has one target\), got 'Y2'"):
        datasets.uci("wine", tmp_path, target="Y2")


def test_uci_checks_size_and_checksum(tmp_path):
    file = write(tmp_path / "wine.csv", numbers("wine", rows=10))
    with pytest.raises(
        ValueError, match=r"wine\.csv has 10 rows and 12 columns; 1599 rows of 11 inputs and the target"
    ):
        datasets.uci("wine", tmp_path)
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    assert datasets.uci("wine", tmp_path, verify=False, checksum=sha).x.shape == (10, 11)
    with pytest.raises(ValueError, match=f"sha256 {sha}; {'0' * 64} would do"):
        datasets.uci("wine", tmp_path, verify=False, checksum="0" * 64)
    with pytest.raises(ValueError, match="checksum must be a sha256 of 64 hexadecimal digits, or None, got 'abc'"):
        datasets.uci("wine", tmp_path, checksum="abc")
    write(file, numbers("wine", rows=1))
    assert datasets.uci("wine", tmp_path, verify=False).x.shape == (1, 11)
    with pytest.raises(ValueError, match="split must be 'all' of UCI wine with one row, got 'train'"):
        datasets.uci("wine", tmp_path, verify=False, split="train")
    file.write_text("1\n2\n")
    with pytest.raises(ValueError, match=r"wine\.csv has one column; inputs and a target would do"):
        datasets.uci("wine", tmp_path, verify=False)


def test_absent_files_and_unknown_names(tmp_path):
    advice = "Energy Efficiency of the UCI Machine Learning Repository"
    with pytest.raises(FileNotFoundError, match=r"holds no energy\.csv and no ENB2012_data\.csv; " + advice):
        datasets.uci("energy", tmp_path)
    with pytest.raises(FileNotFoundError, match="folder must exist, got .*nowhere'; " + advice):
        datasets.uci("energy", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="name must be 'energy', 'fertility', 'pendulum' or 'wine', got 'boston'"):
        datasets.uci("boston", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,x\n", r"line 3, column 2 \(b\) of t\.csv is 'x'; a finite number would do"),
        ("1,2\n\n3,nan\n", r"line 3, column 2 of t\.csv is 'nan'"),
        ("1,2\n3,4\ninf,6\n", r"line 3, column 1 of t\.csv is 'inf'"),
        ("1,2,3\n4,,6\n", r"line 2, column 2 of t\.csv is empty"),
        ("1,2,3\n4,5\n", r"line 2, column 3 of t\.csv is empty"),
        ("a,b\n1,2\n3,4,5\n", r"line 3 of t\.csv has 3 columns; 2, as in the first, would do"),
        ("1 2 3\n4 5 6 7\n", r"line 2 of t\.csv has 4 columns; 3, as in the first"),
        ("1,N\nN,2\n", r"line 2, column 1 of t\.csv is 'N'"),  # words are for the last column
        ("", r"t\.csv has no rows of numbers"),
        (",,\n,,\n", r"t\.csv has no rows of numbers"),
        ("a,b\n", r"t\.csv has no rows of numbers"),
        ('1,2\n"3,4\n', r"t\.csv is no table that can be read"),
        ('"a\nb",c\n1,2\n3,\n', r"column 2 \(c\) of t\.csv is empty"),
        ('5",6",7\n1,2\n', r"t\.csv is no table that can be read: its first row has quotes inside a value"),
    ],
)
def test_what_does_not_fit_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        read_numbers(text.encode(), "t.csv", {"N": 0.0})


@pytest.mark.parametrize(
    "data",
    [
        b"1,2\n3,4\n",
        b"\xef\xbb\xbfa;b\r\n1;2\r\n\r\n3;4\r\n",
        b"a,b,,\n1,2,,\n3,4,,\n,,,\n,,,\n",  # as a spreadsheet saves it
        b"  1   2 \n 3\t4\n",
        b" 1, 2.0\n3 ,+4e0",
        b'"free sulfur, mg";"pH 1"\n1;2\n3;4',
        b'"1","2"\n"3","4"\n',
        b'"a b" "c d"\n1 2\n3 4\n',
        b"temperature \xb0C,b\n1,2\n3,4\n",
    ],
)
def test_forms_of_the_same_table(data):
    np.testing.assert_array_equal(read_numbers(data, "t.csv"), [[1, 2], [3, 4]])


def test_words_stand_for_numbers_in_the_last_column():
    np.testing.assert_array_equal(read_numbers(b"1,N\n2,O\n3,1\n", "t", {"N": 0.0, "O": 1.0}), [[1, 0], [2, 1], [3, 1]])


def test_import_loads_neither_pandas_nor_sklearn():
    code = "import sys, bayes_rpp.datasets\nassert not {'pandas', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
