"""Columns of files: what is read, and what is said of what cannot be."""

import importlib.util

import numpy as np
import pandas as pd
import pytest

from bayes_rpp.datasets.delimited import read_named
from bayes_rpp.own_data.tables import read_columns

FRAME = pd.DataFrame({"a": [1, 2, 3], "b, c": [0.5, 1.5, 2.5], "t": [True, False, True], "word": ["x", "y", "x"]})


@pytest.fixture
def csv(tmp_path):
    FRAME.to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_text_with_any_separator_and_a_byte_order_mark(separator, tmp_path):
    FRAME.to_csv(tmp_path / "data.txt", index=False, sep=separator, encoding="utf-8-sig")
    found = read_columns(tmp_path / "data.txt", ["a", "b, c"], ["t"])
    np.testing.assert_array_equal(found.x, FRAME[["a", "b, c"]])
    np.testing.assert_array_equal(found.numbers(), [[1], [0], [1]])
    assert found.are_classes


@pytest.mark.parametrize(
    "data",
    [
        b"\n\r\na,b\r\n9007199254740993,x\r\n\r\n2,y\r\n",
        b"a,b,,\n9007199254740993,x,,\n2,y,,\n",  # as a spreadsheet saves it
        b"a b\n9007199254740993  x\n2\ty\n",
        b'a,"b"\n9007199254740993,"x"\n2,y\n',
        b'"a";b\n"9007199254740993";"x"\n2;y',
    ],
)
def test_forms_of_the_same_columns(data, tmp_path):
    (tmp_path / "d.csv").write_bytes(data)
    np.testing.assert_array_equal(read_columns(tmp_path / "d.csv", ["a"], ["b"]).labels(), ["x", "y"])
    assert read_named(data, "d.csv")["a"].tolist() == [2**53 + 1, 2]


def test_inputs_left_out_are_all_that_is_no_target(csv):
    found = read_columns(csv, [], ["word, t"])
    assert found.inputs == ["a", "b, c"]
    assert found.outputs == ["word", "t"]
    assert not found.are_classes
    with pytest.raises(ValueError, match="targets must be one column of classes, got word, t"):
        found.labels()
    np.testing.assert_array_equal(read_columns(csv, ["a"], ["word"]).labels(), ["x", "y", "x"])
    np.testing.assert_array_equal(read_columns(csv, ["a"], ["t"]).labels(), [1, 0, 1])


def test_an_index_is_no_input_unless_it_is_named(tmp_path):
    file = tmp_path / "d.csv"
    table = pd.DataFrame({"a": [1, 2, 3], "y": [0.5, 1, 2]}, index=[4, 0, 1])
    table.to_csv(file)
    found = read_columns(file, [], ["y"])
    assert found.inputs == ["a"]
    assert "The first column, without a name, numbers the rows and is no input" in found.told(file)
    table.rename_axis("Unnamed: 0").to_csv(file)  # read by pandas and written again
    found = read_columns(file, [], ["y"])
    assert found.inputs == ["a"]
    assert "The first column, 'Unnamed: 0', numbers the rows" in found.told(file)
    found = read_columns(file, ["Unnamed: 0,a"], ["y"])
    assert found.inputs == ["Unnamed: 0", "a"]
    assert found.told(file) == f"{file}: 3 rows, 2 inputs, 1 target(s)"
    for name in ("ID", "index"):
        table.rename_axis(name).to_csv(file)
        assert f"The first column, {name!r}, numbers the rows" in read_columns(file, [], ["y"]).told(file)
    table.rename_axis("n").to_csv(file)
    assert read_columns(file, [], ["y"]).inputs == ["n", "a"]


def test_arrays_of_an_npz(tmp_path):
    x, y = np.arange(6.0).reshape(3, 2), np.arange(3.0)
    np.savez(tmp_path / "d.npz", x=x, y=y, seed=4)
    found = read_columns(tmp_path / "d.npz", [], [])
    np.testing.assert_array_equal(found.x, x)
    assert found.inputs == ["x[0]", "x[1]"]
    assert found.outputs == ["y"]
    assert read_columns(tmp_path / "d.npz", ["x[1]"], ["y,x[0]"]).outputs == ["y", "x[0]"]


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    FRAME.to_parquet(tmp_path / "d.parquet")
    np.testing.assert_array_equal(read_columns(tmp_path / "d.parquet", ["a"], ["b, c"]).numbers()[:, 0], FRAME["b, c"])
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match="cannot be read as parquet"):
        read_columns(tmp_path / "broken.parquet", [], ["a"])


def test_parquet_without_pyarrow(tmp_path):
    if importlib.util.find_spec("pyarrow"):
        pytest.skip("pyarrow is installed")
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    with pytest.raises(ImportError, match=r"needs pyarrow: pip install 'bayes-rpp\[parquet\]'"):
        read_columns(tmp_path / "d.parquet", [], ["a"])


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (["a"], [], r"targets must be names of columns of.*, got none"),
        (
            ["z"],
            ["t"],
            r"inputs must be of the columns a, b, c, t, word of .*, got 'z'; --inputs 'b, c', once",
        ),
        (["a"], ["a"], "inputs and targets must have no column in common, got a in both"),
        (["a,a"], ["t"], "inputs must have each column once, got 'a' twice"),
        (["a,,t"], ["word"], "inputs must be names with commas between, got 'a,,t', with an empty one"),
        (
            ["word"],
            ["t"],
            "inputs: column 'word' has 'x' in row 1; a finite number would do, or for words a column of 0",
        ),
        (["a", "word", "t"], ["b, c"], "inputs: column 'word' has .*get_dummies.$"),
        ([], ["a,word,t", "b, c"], "inputs must be columns, got none:"),
    ],
)
def test_names_that_do_not_fit(inputs, targets, message, csv):
    with pytest.raises(ValueError, match=message):
        read_columns(csv, inputs, targets)


def test_all_columns_that_are_no_numbers_are_named_at_once(tmp_path):
    (tmp_path / "d.csv").write_text("a,b,c,d,y\n,x,1,nan,1\n2,y,2,3,2\n")
    message = r"column 'a' has no value in 1 of 2 rows.*; other columns that are no numbers throughout: 'b', 'd'$"
    with pytest.raises(ValueError, match=message):
        read_columns(tmp_path / "d.csv", [], ["y"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "there is no file"),
        ("data.xlsx", b"PK", "has the ending '.xlsx'; one of .csv"),
        ("empty.csv", b"", "cannot be read as csv"),
        ("header.csv", b"a,b\n", "has names of columns but no rows"),
        ("binary.csv", b"\xff\xfe\x00\x81a,b", "cannot be read as csv"),
        ("longer.csv", b"a,b\n1,2\n1,2,3\n", "cannot be read as csv: .* Expected 2 fields in line 3, saw 3"),
        ("first.csv", b"a,b\n1,2,3,4\n1,2\n", "cannot be read as csv: first.csv has a row of more columns than"),
        ("nameless.csv", b",\n1,2\n", "has the column '' twice"),
        ("same.csv", b"a, a\n1,2\n", "has the column 'a' twice"),
        ("gap.csv", b"a,b\n1,2\n,3\n", r"inputs: column 'a' has no value in 1 of 2 rows \(first: row 2\)"),
        ("infinite.csv", b"a,b\ninf,2\n1,3\n", "inputs: column 'a' has 'inf' in row 1"),
        ("rows.npz", {"a": np.zeros(3), "b": np.zeros(4)}, "3 rows in 'a' but 4 in 'b'"),
        ("numbers.npz", {"seed": np.array(3)}, "has no arrays"),
        ("objects.npz", {"a": np.array([{}, {}]), "b": np.zeros(2)}, "no npz file that can be read"),
        ("complex.npz", {"a": np.zeros(2, complex), "b": np.zeros(2)}, "inputs: column 'a' holds complex128"),
        ("text.npz", b"hello", "no npz file that can be read"),
    ],
)
def test_files_that_cannot_be_read(name, content, message, tmp_path):
    if isinstance(content, dict):
        np.savez(tmp_path / name, **content)
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, OSError), match=message):
        read_columns(tmp_path / name, ["a"], ["b"])


def test_classes_are_whole_numbers_or_text(tmp_path):
    (tmp_path / "d.csv").write_text("a,b,c\n1,0.5,x\n2,1,\n")
    with pytest.raises(ValueError, match=r"column 'b' has 0\.5 in row 1; classes are text or whole numbers"):
        read_columns(tmp_path / "d.csv", ["a"], ["b"]).labels()
    with pytest.raises(ValueError, match="column 'c' has no value in 1 of 2 rows"):
        read_columns(tmp_path / "d.csv", ["a"], ["c"]).labels()


def test_images_are_told_to_be_rows(tmp_path):
    np.savez(tmp_path / "images.npz", x=np.zeros((3, 2, 2)), y=np.arange(3))
    with pytest.raises(ValueError, match=r"has x of shape \(3, 2, 2\); rows of columns, x.reshape\(3, -1\), would do"):
        read_columns(tmp_path / "images.npz", [], [])
