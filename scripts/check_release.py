"""Is this tree fit to be released? Build the sdist and the wheel, look into both, install the wheel with its base
dependencies alone in a new environment, use it there, and measure sizes and import times.

    python scripts/check_release.py        under a minute of an idle core where pip has the packages in its cache

It runs where the package's extra `dev` is installed, which has `build` and `hatchling`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterable
from email.message import Message
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IN_SDIST = [
    "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "Makefile", "PKG-INFO", "README.md",
    "constraints.txt", "constraints-lowest.txt", "mkdocs.yml", "pyproject.toml",
    "bayes_rpp/py.typed", "docs/index.md", "examples/quickstart.py",
    "scripts/check_release.py", "benchmarks/__main__.py", "tests/conftest.py",
]  # fmt: skip
SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)((a|b|rc)\d+|\.dev\d+)?")
PYTHONS = ("3.11", "3.12", "3.13")
ENGINES = {"torch", "pyro_ppl", "jax", "jaxlib", "numpyro"}
IMPORTS = ("import bayes_rpp", "import numpy", "from bayes_rpp import EMLP, Model", "from bayes_rpp import Posterior")
RUNS = 3  # of which the fastest counts

# What somebody does with numpy alone: look at a saved posterior. Warnings are errors.
USE = """
import sys
import numpy as np
import bayes_rpp as rpp

data = rpp.datasets.modified_inertia(20, seed=0)
net = rpp.EMLP(data.rep_in, data.rep_out, data.group, channels=16, layers=1)
model = rpp.Model(net, sigma_b=0.1)
rng = np.random.default_rng(0)
draws = {name: rng.normal(size=(1, 3, *p.shape)).astype("float32") for name, p in net.parameters.items()}
post = rpp.Posterior(model, draws, x=data.x, y=data.y)
again = rpp.Posterior.load(post.save("posterior.nc"))
assert again.predict(data.x).std.shape == (20, 9)
assert np.isfinite(again.equivariance_error(data.x)).all()
strict = rpp.Model(net, sigma_b=0.0).priors["output.weight"].subspace
draws = {name: p.subspace.project(draws[name]) for name, p in net.parameters.items()}
assert rpp.Posterior(model, draws, x=data.x, y=data.y).equivariance_error(data.x).max() < 1e-4
functions = rpp.RPPRegressor("O(3)", "5*Scalar + 5*Vector", "T(2)", random_state=0).fit(data.x, data.y)
assert functions.equivariance_error(data.x).mean() < 0.5
assert np.isfinite(functions.predict(data.x, return_std=True)).all()
x = np.random.default_rng(1).normal(size=(12, 2))
found = rpp.discover_symmetry(x, (x**2).sum(axis=1), rep_in=rpp.Vector, rep_out=rpp.Scalar, within="SO(2)")
assert found.dimension == 1
try:
    rpp.fit(model, data.x, data.y, rpp.MAP())
except ImportError as error:
    assert "pip install" in str(error), error
else:
    raise AssertionError("there is an engine in an environment that was to have none")
"""


def main() -> None:
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        sdist, wheel = build(Path(folder) / "dist")
        check_sdist(sdist)
        check_wheel(wheel)
        version = check_version(wheel)
        python = new_environment(Path(folder) / "env")
        pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
        run(*pip, "install", "--quiet", wheel)
        run(*pip, "check")
        own = next((Path(folder) / "env").rglob("site-packages/bayes_rpp"))
        installed = sorted(p.name.partition("-")[0] for p in own.parent.glob("*.dist-info"))
        check_engines(installed)
        use(python, Path(folder) / "elsewhere", version)
        plain = seconds(python, "pass")
        rows = [
            ("wheel", kilobytes(wheel.stat().st_size)),
            ("sdist", kilobytes(sdist.stat().st_size)),
            ("installed, without dependencies", kilobytes(size(own))),
            ("base dependencies", f"{(size(Path(folder) / 'env') - size(own)) / 1e6:.0f} MB"),
            ("packages installed", f"{len(installed)}"),
            *((code, f"{1e3 * (seconds(python, code) - plain):.0f} ms CPU") for code in IMPORTS),
        ]
    for name, value in rows:
        print(f"{name:36}{value:>12}")
    print(f"bayes-rpp {version} is fit to be released; looked at in {time.perf_counter() - begun:.0f} s")


def build(out: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel that is made from it."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT))
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def check_sdist(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    require(inside, [*IN_SDIST, *sources("bayes_rpp"), *sources("tests"), *sources("examples")], sdist.name)
    kept = ("tests/networks/files/", "tests/inference/files/", "examples/data/")  # of earlier versions, and small data
    odd = [n for n in inside if re.search(r"\.(pyc|nc|npz|part)$|__pycache__|(^|/)\.(venv|ci|mypy|ruff|pytest)", n)]
    odd = [n for n in odd if not n.startswith(kept)]
    if odd:
        raise SystemExit(f"{sdist.name} holds what is not to be published: {', '.join(sorted(odd)[:5])}")


def check_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    require(inside, ["bayes_rpp/py.typed", *sources("bayes_rpp")], wheel.name)
    odd = [n for n in inside if not re.match(r"bayes_rpp(-[\w.]+\.dist-info)?/", n)]
    if odd:
        raise SystemExit(f"{wheel.name} installs more than the package: {', '.join(sorted(odd)[:5])}")


def check_version(wheel: Path) -> str:
    """One semantic version in the metadata, the changelog and the citation file."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        found = Parser().parsestr(archive.read(name).decode())
    version = str(found["Version"])
    if not SEMANTIC.fullmatch(version):
        raise SystemExit(f"the version is {version}; MAJOR.MINOR.PATCH, or that with rc1 or .dev1, would do")
    check_metadata(found)
    if f"## [{version}]" not in (ROOT / "CHANGELOG.md").read_text():
        raise SystemExit(f"CHANGELOG.md has no section '## [{version}]'")
    if not re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE):
        raise SystemExit(f"CITATION.cff does not say 'version: {version}'")
    return version


def check_metadata(found: Message) -> None:
    """What an index shows: a summary, words to find it by, addresses, and the versions of Python that are tested."""
    missing = [
        k for k in ("Summary", "Keywords", "License-Expression", "Requires-Python", "Project-URL") if not found[k]
    ]
    classifiers = found.get_all("Classifier", [])
    missing += [f"Python :: {v}" for v in PYTHONS if f"Programming Language :: Python :: {v}" not in classifiers]
    if missing:
        raise SystemExit(f"the metadata lack {', '.join(missing)}")
    odd = [url for url in found.get_all("Project-URL") if not re.fullmatch(r"[\w ]+, https://[^\s]+", url)]
    if odd:
        raise SystemExit(f"the metadata have {odd[0]!r}; 'Paper, https://arxiv.org/abs/...' would do")
    if len(str(found.get_payload())) < 1000:
        raise SystemExit("the metadata lack the README, which an index shows")


def check_engines(installed: Iterable[str]) -> None:
    """The base install is small: engines come with extras."""
    extra = ENGINES & set(installed)
    if extra:
        raise SystemExit(f"the base dependencies bring {', '.join(sorted(extra))}, which belong to extras")


def new_environment(folder: Path) -> Path:
    venv.create(folder, symlinks=os.name != "nt")
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def use(python: Path, folder: Path, version: str) -> None:
    """From an empty folder, so that nothing but the installed package can be imported."""
    folder.mkdir()
    run(python, "-W", "error", "-c", USE, cwd=folder)
    command = python.with_name("bayes-rpp" + python.suffix)
    if f"bayes-rpp {version}" not in run(command, "info", cwd=folder):
        raise SystemExit("bayes-rpp info does not show the version")
    shown = run(command, "--help", cwd=folder)
    for name in ("compare", "demo", "fit", "info", "reproduce"):
        if name not in shown:
            raise SystemExit(f"bayes-rpp --help does not show the command {name}")


def seconds(python: Path, code: str) -> float:
    """CPU time of a process that runs the code, as the machine may be busy otherwise: the least of some."""
    times = []
    for _ in range(RUNS):
        before = os.times()
        run(python, "-c", code, cwd=python.parent)
        after = os.times()
        times.append(sum(after[2:4]) - sum(before[2:4]))
    return min(times)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What the command prints; ends with all of it if the command fails."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))[:200]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def sources(folder: str) -> list[str]:
    return [p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*.py")]


def require(inside: set[str], names: Iterable[str], archive: str) -> None:
    missing = sorted(set(names) - inside)
    if missing:
        raise SystemExit(f"{archive} lacks {', '.join(missing[:5])}")


def size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def kilobytes(count: int) -> str:
    return f"{count / 1e3:.0f} kB"


if __name__ == "__main__":
    main()
