"""The README's code runs as it stands, only smaller."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

README = Path(__file__).parent.parent / "README.md"
SMALLER = {"channels=384": "channels=16", "members=10": "members=2", "epochs=50": "epochs=5", "epochs=100": "epochs=2"}
SMALLER |= {"warmup=100, draws=100": "warmup=20, draws=10"}


@pytest.mark.filterwarnings("ignore::bayes_rpp.ConvergenceWarning")
def test_every_block_runs_in_order(tmp_path, monkeypatch):
    pytest.importorskip("numpyro")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 7
    names: dict = {}
    for block in blocks:
        for large, small in SMALLER.items():
            block = block.replace(large, small)
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "posterior.nc").exists()
    assert (tmp_path / "my-run" / "state.npz").exists()
    assert isinstance(names["laplace"].log_evidence, float)
    assert names["mcmc"].get_samples()["output.weight"].shape == (100, 3, 3)
    assert names["post"].equivariance_error(names["x"][:, :3]).shape == (1, 100, 200)
    plt.close("all")
