"""Writing fails as a whole: a full disk, an error and a killed process leave the old file as it was."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from bayes_rpp import EMLP, DeepEnsemble, Model, Posterior, datasets, fit, load_network, save_network
from bayes_rpp._files import KEPT, replacing, write_page
from bayes_rpp.inference import Checkpoint
from bayes_rpp.inference.run.checkpoint import Store
from tests import hostile
from tests.conftest import ENGINES
from tests.snippets import ROOT

# The system refuses to let any file grow beyond some kB, as a disk that is full does.
FULL = """
import resource, signal, sys
from pathlib import Path
from tests import hostile
import bayes_rpp as rpp
from bayes_rpp.inference.run.checkpoint import Store

post = hostile.posterior()
weights = {k: post.samples[k][0, 0] for k in post.model.net.parameters}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for name, write in {
    "posterior": lambda: post.save("posterior.nc"),
    "network": lambda: rpp.save_network("net.npz", post.model.net, weights),
    "checkpoint": lambda: Store(rpp.inference.Checkpoint("run"), {}).save({"w": post.x}),
}.items():
    for size in (0, 100, 300):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, -1))
        try:
            write()
        except OSError as error:
            print(name, size, "OSError")
        except Exception as error:
            print(name, size, type(error).__name__, error)
        else:
            print(name, size, "written")
"""


def run(code, folder, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment, text=True, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_leaves_the_old_files(tmp_path):
    post = hostile.posterior()
    post.save(tmp_path / "posterior.nc")
    save_network(tmp_path / "net", post.model.net, {k: post.samples[k][0, 0] for k in post.model.net.parameters})
    Store(Checkpoint(tmp_path / "run"), {}).save({"w": np.arange(3)})
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with run(FULL, tmp_path, stdout=subprocess.PIPE) as process:
        said, _ = process.communicate()
    want = [f"{name} {size} OSError" for name in ("posterior", "network", "checkpoint") for size in (0, 100, 300)]
    assert said.splitlines() == want
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    Posterior.load(tmp_path / "posterior.nc")
    load_network(tmp_path / "net")


def test_a_process_that_is_killed_leaves_the_old_file(tmp_path):
    path = tmp_path / "posterior.nc"
    hostile.posterior().save(path)
    before = path.read_bytes()
    code = (
        "import time\nfrom bayes_rpp._files import replacing\n"
        "with replacing('posterior.nc') as part:\n    part.write_bytes(b'half')\n    print('here', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with run(code, tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == before
    hostile.posterior().save(path)  # what the killed one left is in nobody's way
    Posterior.load(path)


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "some"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as part:  # noqa: PT012
        part.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    link = tmp_path / "link"
    link.symlink_to(path)
    with replacing(link) as part:
        part.write_text("new")
    assert path.read_text() == "new"
    assert link.is_symlink()


def fits():
    """A short fit on each engine, and what follows from it."""
    data = datasets.modified_inertia(20, seed=3)
    net = EMLP(data.rep_in, data.rep_out, data.group, channels=6, layers=1, bilinear=False, products=False)
    method = DeepEnsemble(members=2, epochs=2, batch_size=8)
    found = {}
    for engine in ENGINES:
        post = fit(Model(net, sigma_b=0.1), data.x, data.y, method, engine=engine, seed=5, progress=False)
        parts = {
            "drawn": post.predict(data.x, seed=1).samples,
            "error": post.equivariance_error(data.x),
            **post.samples,
        }
        found |= {f"{engine} {k}": v for k, v in parts.items()}
    return found


@pytest.mark.slow  # tests/inference/test_identity.py has one fit of it
def test_the_same_seed_gives_the_same_in_a_new_process(tmp_path):
    for engine in ENGINES:
        pytest.importorskip(engine)
    here = fits()
    code = "import numpy as np\nfrom tests.test_files import fits\nnp.savez('there.npz', **fits())"
    with run(code, tmp_path) as process:
        assert process.wait() == 0
    with np.load(tmp_path / "there.npz") as there:
        assert set(there.files) == set(here)
        for name, value in here.items():
            np.testing.assert_array_equal(there[name], value, err_msg=name)


def test_a_page_made_again_keeps_what_was_written_by_hand(tmp_path):
    page = tmp_path / "page.md"
    write_page(page, "# One\n\n| 1 |\n")
    assert page.read_text() == "# One\n\n| 1 |\n"
    page.write_text(page.read_text() + f"\n{KEPT}\n\nIt is so.\n")
    for text in ("# Two\n\n| 2 |\n", "# Two\n\n| 2 |"):
        write_page(page, text)
        assert page.read_text() == f"# Two\n\n| 2 |\n\n{KEPT}\n\nIt is so.\n"
