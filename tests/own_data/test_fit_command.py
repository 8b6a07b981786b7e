"""`bayes-rpp fit`: what it writes, that it is right, and that nothing of the user's is lost or run."""

import base64
import html
import re

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayes_rpp import Posterior
from bayes_rpp.cli import app
from bayes_rpp.own_data import report
from bayes_rpp.own_data.fitting import How, make_method

pytest.importorskip("pyro")
pytest.importorskip("sklearn")
SMALL = ["--engine", "pyro", "--layers", "0"]
EVIL = "<script>alert('&')</script>"


def run(*arguments):
    return CliRunner().invoke(app, ["fit", *map(str, arguments)])


def predict(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


@pytest.fixture
def vectors(tmp_path):
    """y is a vector of x, and a little more of its first component."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4))
    y = 50 * x[:, 1:] * [1.2, 1, 1] + rng.normal(size=(120, 3))
    file = tmp_path / f"{EVIL.replace('/', '')}.csv"
    pd.DataFrame(np.hstack([x, y]), columns=["s", "u", "v", "w", EVIL, "fy", "fz"]).to_csv(file, index=False)
    return file


VECTORS = ["--inputs", "s,u,v,w", "--targets", f"{EVIL},fy", "--targets", "fz"]
SYMMETRY = ["--group", "SO(3)", "--rep-in", "Scalar + Vector", "--rep-out", "Vector"]


def test_numbers_with_a_symmetry(vectors, tmp_path):
    out = tmp_path / "out"
    result = run(vectors, *VECTORS, *SYMMETRY, *SMALL, "--members", 3, "--epochs", 40, "--out", out)
    assert result.exit_code == 0, result.output
    names = ["calibration.png", "columns.csv", "equivariance.png", "posterior.nc", "predictions.csv", "report.html"]
    assert sorted(f.name for f in out.iterdir()) == names
    assert all(str(out / name) in result.output for name in names)
    table = pd.read_csv(out / "predictions.csv")
    data = pd.read_csv(vectors)
    assert (table["used"] == "test").sum() == 24
    np.testing.assert_allclose(table["fy"], data["fy"])
    error = np.sqrt(((table["fy mean"] - data["fy"])[table["used"] == "test"] ** 2).mean())
    assert error < 10
    assert f"{error:.4g} of fy" in result.output
    # The page's own words to go on: the posterior and columns.csv give the same predictions.
    post, units = Posterior.load(out / "posterior.nc"), pd.read_csv(out / "columns.csv")
    to_x, to_y = units[units.role == "input"], units[units.role == "target"]
    p = post.predict((data[["s", "u", "v", "w"]].to_numpy() - to_x.centre.values) / to_x.scale.values)
    again = p.mean * to_y.scale.values + to_y.centre.values
    np.testing.assert_allclose(again[:, 1], table["fy mean"], rtol=1e-6)
    # New rows, with the columns in another order and no targets.
    data.loc[::-1, ["w", "v", "u", "s"]].to_csv(tmp_path / "new.csv", index=False)
    result = predict(out, tmp_path / "new.csv", "--out", tmp_path / "new" / "p.csv")
    assert result.exit_code == 0, result.output
    new = pd.read_csv(tmp_path / "new" / "p.csv")
    assert list(new.columns)[:5] == ["row", *(f"{EVIL} {what}" for what in ("mean", "std", "5 %", "95 %"))]
    for name in ("fz mean", "fz std"):
        np.testing.assert_allclose(new[name][::-1], table[name], rtol=1e-9)
    np.testing.assert_allclose(new["fy 95 %"] - new["fy mean"], 1.6449 * new["fy std"], rtol=1e-4)
    page = (out / "report.html").read_text()
    assert "members counted" in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in page
    shown = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page)
    assert page.count("<source media=") == 2  # with panels below each other, for phones
    assert [base64.b64decode(s) for s in shown] == [(out / f).read_bytes() for f in (names[0], names[2])]
    assert "http" not in page
    assert "24 rows held out of 120" in page
    assert f"{error:.4g}" in page


def test_classes(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(90, 2))
    word = np.where(x[:, 0] > 0, "<b>yes</b>", "no")
    np.savez(tmp_path / "d.npz", x=x, y=word)
    out = tmp_path / "out"
    result = run(tmp_path / "d.npz", *SMALL, "--method", "map", "--epochs", 60, "--out", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out / "predictions.csv")
    assert list(table.columns) == ["row", "used", "y", "y predicted", "p(<b>yes</b>)", "p(no)"]
    np.savez(tmp_path / "new.npz", x=x)
    assert predict(out, tmp_path / "new.npz", "--out", tmp_path / "p.csv").exit_code == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "p.csv"), table.drop(columns=["used", "y"]), rtol=1e-9)
    np.testing.assert_allclose(table["p(no)"] + table["p(<b>yes</b>)"], 1, rtol=1e-6)
    test = table[table["used"] == "test"]
    right = (test["y"] == test["y predicted"]).mean()
    assert right > 0.75
    page = (out / "report.html").read_text()
    assert "<b>" not in page
    assert f"{100 * right:.0f} % of the classes are right" in page
    assert not (out / "equivariance.png").exists()


def test_functions(vectors, tmp_path, monkeypatch):
    out = tmp_path / "out"
    result = run(vectors, *VECTORS, *SYMMETRY, "--engine", "pyro", "--method", "gp", "--thin", 10, "--out", out)
    assert result.exit_code == 0, result.output
    table, data = pd.read_csv(out / "predictions.csv"), pd.read_csv(vectors)
    assert np.sqrt(((table["fy mean"] - data["fy"])[table["used"] == "test"] ** 2).mean()) < 3
    post, units = Posterior.load(out / "posterior.nc"), pd.read_csv(out / "columns.csv")
    assert post.draws == 10
    to_x, to_y = units[units.role == "input"], units[units.role == "target"]
    p = post.predict((data[["s", "u", "v", "w"]].to_numpy() - to_x.centre.values) / to_x.scale.values)
    again = p.mean * to_y.scale.values + to_y.centre.values
    np.testing.assert_allclose(again[:, 1], table["fy mean"], rtol=1e-6)
    page = (out / "report.html").read_text()
    # The page's code, as it stands there.
    (out / "new.csv").write_bytes(vectors.read_bytes())
    monkeypatch.chdir(out)
    code = html.unescape(page[page.index("import pandas") : page.index("</pre>", page.index("import pandas"))])
    space = {}
    exec(code, space)
    np.testing.assert_allclose(space["mean"][:, 1], table["fy mean"], rtol=1e-6)
    np.testing.assert_allclose(space["std"][:, 1], table["fy std"], rtol=1e-6)
    for content, message in (
        ("s,u,v\n1,2,3\n", "new.csv must have the inputs of the fit ., s, u, v, w; got none called w"),
        ("s,u,v,w\n1,2,3,red\n", "inputs: column 'w' has 'red' in row 1; a finite number would do, or for words"),
        ("s;u;v;w\n1;2;3;4,5\n", "inputs: column 'w' has '4,5' in row 1; a finite number would do, with a point for"),
        ("s,u,v,w\n", "new.csv has names of columns but no rows"),
    ):
        (out / "new.csv").write_text(content)
        result = predict(".", "new.csv")
        assert result.exit_code == 2
        assert f"error: {message}" in result.output
    result = predict(tmp_path, "new.csv")
    assert result.exit_code == 2
    assert f"error: folder must be one that bayes-rpp fit wrote, got {tmp_path}, without posterior.nc" in result.output
    assert "Gaussian process, kernel RBF" in page
    assert "what the fit is off is part of it: bayes-rpp compare says" in page
    assert "sigma_b / sigma_a" in page


def test_columns_of_words_that_new_rows_have_not(monkeypatch):
    from bayes_rpp.own_data import predicting

    names = ["a_b", "a_c", "city_New_York", "city_Oslo"]
    units = pd.DataFrame({"column": names, "role": "input", "centre": 0.0, "scale": 1.0})
    monkeypatch.setattr(predicting, "_read", lambda folder: (None, units, None))
    row = {"a_b": [1.0], "a_c": [0.5], "city_New_York": [1], "city_Oslo": [0], "city": ["Oslo"]}
    advice = "; of words, pandas.get_dummies(table).reindex(columns=[the inputs], fill_value=0) has them all"
    for lacking, words in (
        (["city_Oslo"], advice),
        (["city_New_York"], advice),
        (["city_New_York", "city_Oslo"], advice),  # where there are the words themselves
        (["a_b"], ""),
    ):
        with pytest.raises(ValueError, match=f"got none called {', '.join(lacking)}") as raised:
            predicting.predict_table(".", pd.DataFrame(row).drop(columns=lacking), "new.csv")
        assert str(raised.value).endswith(words or "a_b")


def test_classes_by_functions(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(90, 2))
    np.savez(tmp_path / "d.npz", x=x, y=np.where(x[:, 0] > 0, "yes", "no"))
    out = tmp_path / "out"
    result = run(tmp_path / "d.npz", "--engine", "pyro", "--method", "gp", "--out", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out / "predictions.csv")
    test = table[table["used"] == "test"]
    p = np.where(test["y"] == "yes", test["p(yes)"], test["p(no)"])
    page = (out / "report.html").read_text()
    assert f"{-np.log(p).mean():.3g}" in page
    # What the page says to do gives what the table has.
    post, units = Posterior.load(out / "posterior.nc"), pd.read_csv(out / "columns.csv")
    assert "post.model.likelihood.mean(post.mean_function(" in page
    again = post.model.likelihood.mean(post.mean_function((x - units.centre.values) / units.scale.values))
    np.testing.assert_allclose(again[:, 0], table["p(yes)"], rtol=1e-6)
    assert predict(out, tmp_path / "d.npz", "--out", tmp_path / "p.csv").exit_code == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "p.csv"), table.drop(columns=["used", "y"]), rtol=1e-9)


@pytest.mark.parametrize("method", ["laplace", "svi", "nuts"])
def test_other_methods(method, vectors, tmp_path):
    numbers = {"laplace": ["--epochs", 5], "svi": ["--epochs", 5], "nuts": ["--warmup", 20, "--chains", 1]}[method]
    out = tmp_path / "out"
    options = ["--method", method, *numbers, "--draws", 4]
    result = run(vectors, "--inputs", "u", "--targets", "fy", *SMALL, *options, "--out", out)
    assert result.exit_code == 0, result.output
    assert Posterior.load(out / "posterior.nc").draws == 4
    warned = method == "nuts"  # 4 draws are no posterior, which page and terminal say
    assert ('class="warning"' in (out / "report.html").read_text()) == warned
    assert ("warning: " in result.output) == warned


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--targets", "nope"], "targets must be of the columns s, u, v"),
        ([*VECTORS, *SYMMETRY[:2], "--rep-in", "Vector"], "rep_in must have size 4, as X has 4 columns, got 3"),
        ([*VECTORS, *SYMMETRY[:4], "--rep-out", "T(2)"], "rep_out must have size 3, as y has 3 column(s), got 9"),
        ([*VECTORS, "--group", "__import__('os')", *SYMMETRY[2:]], "is not understood"),
        ([*VECTORS, "--rep-in", "Vector"], "group must be given where rep_in is, got None and rep_in='Vector'"),
        ([*VECTORS, "--kind", "classes"], "targets must be one column of classes, got"),
        ([*VECTORS, "--test-fraction", 1], "test-fraction must be a number between 0 and 1, got 1"),
        ([*VECTORS, "--test-fraction", 0.99], "the file has 120 rows, of which 119 are held out"),
        (
            [*VECTORS, "--members", 2, "--method", "map"],
            "members must be left out where method is map, got 2; it is for ensemble",
        ),
        ([*VECTORS, "--epochs", 0], "epochs must be a whole number >= 1, got 0"),
        (
            [*VECTORS, "--method", "gp", "--epochs", 5],
            "epochs must be left out where method is gp, got 5; it is for map, ensemble",
        ),
        ([*VECTORS, "--method", "gp", "--channels", 8], "channels must be None with method='gp'"),
        ([*VECTORS, "--channels", 0, "--layers", 1], "channels must be a whole number >= 1, got 0"),
        ([*VECTORS, "--engine", "stan"], "engine must be 'pyro' or 'numpyro', got 'stan'"),
        ([*VECTORS, "--seed", -1], "seed must be a whole number >= 0, got -1"),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing(options, message, vectors, tmp_path):
    out = tmp_path / "new" / "out"
    base = [] if "--engine" in options else ["--engine", "pyro"]
    base += [] if "--layers" in options else ["--layers", 0]
    result = run(vectors, *base, *options, "--out", out)
    assert result.exit_code == 2
    line = result.output.splitlines()[-1]
    assert line.startswith("error: ")
    assert message in line
    assert "Traceback" not in result.output
    assert not out.exists()


def test_what_is_in_a_folder_stays(vectors, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "posterior.nc").write_text("mine")
    for taken in (out, out / "posterior.nc"):
        result = run(vectors, *VECTORS, *SMALL, "--out", taken)
        assert result.exit_code == 2
        assert f"error: out must be new or empty, got {taken}" in result.output
    assert [f.name for f in out.iterdir()] == ["posterior.nc"]
    assert (out / "posterior.nc").read_text() == "mine"


def test_what_is_written_stays_if_the_rest_cannot_be(vectors, tmp_path, monkeypatch):
    from bayes_rpp.own_data import report

    def full(figure):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "png", full)
    out = tmp_path / "out"
    options = ["--method", "map", "--epochs", 2, "--out", out]
    result = run(vectors, *VECTORS, *SMALL, *options)
    assert result.exit_code == 2
    assert result.output.splitlines()[-1] == "error: [Errno 28] No space left on device"
    assert sorted(f.name for f in out.iterdir()) == ["columns.csv", "posterior.nc", "predictions.csv"]
    assert Posterior.load(out / "posterior.nc").draws == 1


def test_methods_take_the_numbers_that_are_theirs():
    assert make_method(How.ensemble, {"members": 3, "epochs": None}, 100).members == 3
    assert make_method(How.map, {"epochs": 7}, 100).patience is not None
    assert make_method(How.laplace, {}, 100).evidence == "maximize"
    assert make_method(How.nuts, {"draws": 9, "warmup": 30}, 100).warmup == 30


def test_all_that_comes_from_a_user_is_escaped():
    parts = [report.heading(EVIL), report.paragraph(EVIL, "lead"), report.code(EVIL), report.table([(EVIL, EVIL)])]
    parts.append(report.table([(EVIL, 1)], (EVIL, EVIL)))
    page = report.page(EVIL, parts, EVIL)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 11


def test_a_smaller_posterior(vectors, tmp_path, monkeypatch):
    options = [vectors, *VECTORS, *SYMMETRY, *SMALL, "--method", "svi", "--epochs", 5, "--draws", 20]
    sizes = {}
    for name, more in (("whole", []), ("thin", ["--thin", 5]), ("short", ["--dtype", "float16"])):
        result = run(*options, *more, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
        sizes[name] = Posterior.load(tmp_path / name / "posterior.nc").draws
    assert sizes == {"whole": 20, "thin": 4, "short": 20}
    monkeypatch.setattr("bayes_rpp.inference.posterior.thinning.LARGE", 1000)
    monkeypatch.setattr("bayes_rpp.inference.posterior.thinning.LOST", 0)
    result = run(*options, "--dtype", "float16", "--out", tmp_path / "coarse")
    assert result.exit_code == 0, result.output
    assert "warning: dtype must hold " in result.output
    assert "warning: posterior.nc takes" in result.output
    assert "--thin 10 keeps" in result.output
    assert Posterior.load(tmp_path / "coarse" / "posterior.nc").draws == 20
    for more, message in (
        (["--thin", 21], "thin must be from 1 to 20, the draws of a chain, got 21"),
        (["--dtype", "int8"], "dtype must be 'float16' or 'float32', got 'int8'"),
    ):
        result = run(*options, *more, "--out", tmp_path / "no")
        assert result.exit_code == 2
        assert f"error: {message}" in result.output
        assert not (tmp_path / "no").exists()


def test_a_group_may_have_a_name():
    from bayes_rpp.own_data.command import _named

    assert str(_named("about z=SO(2) * Trivial(1)")) == "about z"
    assert _named("O(3)") == "O(3)"
    assert _named(None) is None


def test_without_an_engine_functions_are_named(vectors, tmp_path, monkeypatch):
    def missing(*arguments, **settings):
        raise ImportError("engine 'numpyro' needs numpyro: pip install 'bayes-rpp[numpyro]'")

    monkeypatch.setattr("bayes_rpp.own_data.command.fit_columns", missing)
    result = run(vectors, *VECTORS, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.output.splitlines()[-1].endswith("[numpyro]'; --method gp, of small data, needs none")
