"""The documentation: its code runs, and every public name is in it."""

import re

import matplotlib.pyplot as plt
import pytest

import bayes_rpp
from bayes_rpp.networks.network import Network
from tests.snippets import ROOT, blocks, run
from tests.test_package import FACES

SMALLER = {
    "docs/start.md": {
        "channels=128, layers=3": "channels=10, layers=1",
        "members=5, epochs=200": "members=2, epochs=2",
    },
    "docs/tasks/table.md": {"x[:300], y[:300]": "x[:100], y[:100]", "inertia(60": "inertia(20"},
    "docs/tasks/torch-network.md": {"range(60)": "range(2)", "epochs=30": "epochs=1"},
    "docs/tasks/unknown-symmetry.md": {"(60, 3)": "(30, 3)"},
    "docs/which-symmetry.md": {
        "size=(60, 7)": "size=(40, 7)",
        "seed=0,\n)": "seed=0, channels=5, starts=1, "
        "method=rpp.Laplace(evidence='maximize', epochs=2, draws=50, polish=0))",
    },
    "docs/discover.md": {},
    "docs/concepts/prior.md": {},
    "docs/concepts/sigmas.md": {
        "channels=128, layers=2": "channels=10, layers=1",
        "channels=16": "channels=5",
        "epochs=150": "epochs=2",
        'epochs=100, evidence="maximize"': 'epochs=2, evidence="maximize", draws=5, steps=1, polish=0',
        "epochs=50": "epochs=2",
        "epochs=300, draws=200": "epochs=2, draws=5",
    },
    "docs/functions.md": {
        "size=(80, 3)": "size=(15, 3)",
        "25": "9",
        "warmup=200, draws=200": "warmup=20, draws=5",
        "inducing=30": "inducing=8",
    },
    "docs/particles.md": {"epochs=200": "epochs=2"},
    "docs/concepts/equivariance-error.md": {
        "channels=128, layers=2": "channels=10, layers=1",
        "epochs=100": "epochs=2",
        "every=10": "every=1",
    },
    "docs/howto/own-data.md": {
        "channels=64, layers=2": "channels=10, layers=1",
        "members=5, epochs=300": "members=2, epochs=2",
    },
    "docs/howto/soften.md": {"epochs=20": "epochs=1"},
    "docs/howto/gpus.md": {},
    "docs/howto/own-training-loop.md": {
        "range(15)": "range(2)",
        "epoch >= 12": "epoch >= 0",
        "[:1000": "[:200",
        "range(0, 1000, 100)": "range(0, 200, 100)",
        "steps_per_epoch=16": "steps_per_epoch=4",
    },
    "docs/howto/sweeps.md": {"channels=64, layers=2": "channels=10, layers=1", "epochs=100": "epochs=2"},
    "docs/howto/resume.md": {"channels=64, layers=2": "channels=10, layers=1", "epochs=100": "epochs=2", "=20": "=1"},
    "docs/howto/model-function.md": {
        "num_warmup=100, num_samples=100": "num_warmup=20, num_samples=10",
        "range(300)": "range(3)",
    },
    "docs/howto/reinforcement-learning.md": {
        "n=100": "n=10",
        "net_arch=[64, 64]": "net_arch=[8, 8]",
        "learning_starts=1000": "learning_starts=50",
        "5_000": "80",
        "learn(500)": "learn(120)",
    },
    "docs/howto/transition-models.md": {
        "n=10_000": "n=300",
        '"Swimmer-v5"': '"Hopper-v5"',
        '"left-right"': '"front-back"',
        "sample(2000)": "sample(100)",
        "epochs=300": "epochs=1",
        "steps=100, every=25": "steps=4, every=2",
        "(10, 30, 100)": "(1, 4)",
        "[0, 9, 99]": "[0, 3]",
    },
    "docs/errors.md": {},
    "docs/howto/extend.md": {"epochs=300": "epochs=5", "epochs=50": "epochs=5"},
    "docs/howto/which-sampler.md": {"epochs=100": "epochs=2", "warmup=300, draws=300": "warmup=20, draws=10"},
    "docs/howto/engines.md": {"channels=64": "channels=10", "epochs=20": "epochs=2"},
}


SLOW = {"docs/howto/which-sampler.md"}  # three samplers to compile, which have tests of their own


def prefer_pyro(monkeypatch):
    first = property(lambda net: tuple(sorted(net.capabilities.engines, reverse=True)))
    monkeypatch.setattr(Network, "engines", first)


@pytest.mark.filterwarnings("ignore::bayes_rpp.inference.ConvergenceWarning", "ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("page", [pytest.param(p, marks=pytest.mark.slow if p in SLOW else ()) for p in SMALLER])
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    for needed in ("numpyro", "pyro", "sklearn", "flax", "stable_baselines3", "gpytorch", "blackjax", "sbx"):
        pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    # Where a page leaves the engine open, the one that has nothing to compile; the README's code is run by the other.
    prefer_pyro(monkeypatch)
    run(page, SMALLER[page])
    plt.close("all")


def test_no_page_with_code_is_left_out():
    pages = [p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md")]
    assert {p for p in pages if blocks(p)} == {*SMALLER, "docs/tour.md"}  # which is run with the README


def test_every_public_name_is_in_the_api():
    pages = "".join(p.read_text() for p in (ROOT / "docs/api").glob("*.md"))
    named = re.findall(r"^::: bayes_rpp\.([\w.]+)$", pages, re.M)
    public = [*bayes_rpp.__all__]
    for face in FACES:
        names = {*getattr(bayes_rpp, face).__all__} - ({*bayes_rpp.__all__} if face == "groups" else set())
        public += [f"{face}.{name}" for name in names]
    assert sorted(named) == sorted(public)


def test_every_example_is_in_the_gallery():
    gallery = (ROOT / "docs/gallery.md").read_text()
    assert set(re.findall(r'--8<-- "examples/(\w+)\.py"', gallery)) == {
        p.stem for p in (ROOT / "examples").glob("*.py")
    }


def test_every_page_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    pages = {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    assert set(re.findall(r"[\w/-]+\.md", menu)) == pages


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_the_errors_are_those_of_the_table(tmp_path, monkeypatch):
    pytest.importorskip("pyro")
    monkeypatch.chdir(tmp_path)
    prefer_pyro(monkeypatch)
    names = run("docs/errors.md", {})
    text = (ROOT / "docs/errors.md").read_text()
    rows = re.findall(r"^\| `(.+)` \| `(\w+): (.+)` \|$", text, flags=re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| `", text, flags=re.MULTILINE)) >= 30
    for tried, kind, message in rows:
        with pytest.raises(Exception, match=r"\w") as raised:
            eval(tried, names)
        assert type(raised.value).__name__ == kind, tried
        wanted = re.escape(message).replace(re.escape("..."), ".*")  # what differs between versions of libraries
        assert re.fullmatch(wanted, str(raised.value)), (tried, str(raised.value))
