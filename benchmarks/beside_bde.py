"""Tables beside sklearn-contrib-bde, the microcanonical ensembles of Sommer et al. (ICLR 2025): NLL and CPU seconds.

python -m benchmarks.beside_bde --python PATH     of an environment with sklearn-contrib-bde; writes docs/results/bde.md

bde wants another version of blackjax, so it runs in an environment of its own: this file is its script, too. Columns,
and numbers to predict, are standardised by the training part; the same three splits for all.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

OUT = Path("docs/results/bde.md")
DATA = ("diabetes", "friedman1", "inertia, not told", "breast cancer", "wine", "digits")
THEIRS = {
    "bde, defaults": {},
    "bde, its README's settings": {
        "regression": {
            "hidden_layers": [16, 16], "n_members": 8, "epochs": 200, "validation_split": 0.15, "lr": 1e-3,
            "weight_decay": 1e-4, "warmup_steps": 5000, "n_samples": 2000, "n_thinning": 2, "patience": 10,
        },
        "classes": {
            "hidden_layers": [16, 16], "n_members": 4, "activation": "relu", "epochs": 1000, "validation_split": 0.15,
            "lr": 1e-3, "warmup_steps": 400, "n_samples": 100, "n_thinning": 1, "patience": 10,
        },
    },
}  # fmt: skip


def table(name, seed):
    """Training and test parts (x, y), some 300 rows to train on; y is whole numbers where it is a class."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    if name == "inertia, not told":
        import bayes_rpp as rpp

        train, test = rpp.datasets.inertia(300, seed=seed), rpp.datasets.inertia(1000, seed=seed + 1_000_000)
        return (train.x, train.y[:, 0]), (test.x, test.y[:, 0])
    if name == "friedman1":
        x, y = datasets.make_friedman1(1300, noise=1.0, random_state=seed)
        parts = x[:300], x[300:], y[:300], y[300:]
    else:
        x, y = getattr(datasets, f"load_{name.replace(' ', '_')}")(return_X_y=True)
        x, y = (x[:500], y[:500]) if name == "digits" else (x, y)
        parts = train_test_split(x, y, test_size=0.4, random_state=seed, stratify=None if name == "diabetes" else y)
    return (parts[0], parts[2]), (parts[1], parts[3])


def prepared(name, seed):
    """x, y, x and y of the test, in units of the training part's standard deviations."""
    (x, y), (new, known) = table(name, seed)
    scale = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    x, new = (x - x.mean(axis=0)) / scale, (new - x.mean(axis=0)) / scale
    if y.dtype.kind == "f":
        y, known = (y - y.mean()) / y.std(), (known - y.mean()) / y.std()
    return x, y, new, known


def normal_mixture(y, mean, std):
    """-log density of y (n,) in a mixture of normals (draws, n), the mean over examples."""
    from scipy.special import logsumexp

    each = -0.5 * ((y - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    return float(-(logsumexp(each, axis=0) - np.log(len(each))).mean())


def figures(is_class, y, p, mean, std):
    """NLL, and accuracy or RMSE: of probabilities p, or of a mixture of normals."""
    if is_class:
        return float(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean()), float((p.argmax(axis=1) == y).mean())
    return normal_mixture(y, mean, std), float(np.sqrt(((mean.mean(axis=0) - y) ** 2).mean()))


def ours(kind, x, y, new, known, seed):
    import bayes_rpp as rpp

    is_class = y.dtype.kind != "f"
    method = {"functions": "gp", "ensemble": None, "MILE": rpp.MILE(members=4)}[kind]
    model = (rpp.RPPClassifier if is_class else rpp.RPPRegressor)(method=method, engine="numpyro", random_state=seed)
    model.fit(x, y)
    if is_class:
        return figures(True, known, model.predict_proba(new), None, None)
    mean, std = model.predict(new, return_std=True)
    return figures(False, known, None, mean.reshape(1, -1), std.reshape(1, -1))


def theirs(kind, x, y, new, known, seed):
    from bde import BdeClassifier, BdeRegressor
    from bde.loss import CategoricalCrossEntropy, GaussianNLL

    is_class = y.dtype.kind != "f"
    settings = THEIRS[kind].get("classes" if is_class else "regression", {})
    new = new.astype(np.float32)
    if is_class:
        model = BdeClassifier(seed=seed, loss=CategoricalCrossEntropy(), **settings)
        model.fit(x=x.astype(np.float32), y=y.astype(np.int32))
        return figures(True, known, np.asarray(model.predict_proba(new), dtype=np.float64), None, None)
    model = BdeRegressor(seed=seed, loss=GaussianNLL(), **settings)
    model.fit(x=x.astype(np.float32), y=y.astype(np.float32)[:, None])
    raw = np.asarray(model.predict(new, raw=True), dtype=np.float64)
    raw = raw.reshape(-1, *raw.shape[-2:])
    return figures(False, known, None, raw[..., 0], np.logaddexp(0, raw[..., 1]) + 1e-6)


def child(kind, path, seed):
    """One fit; prints NLL, score and CPU seconds, imports not counted."""
    with np.load(path) as file:
        x, y, new, known = (file[k] for k in ("x", "y", "new", "known"))
    one = theirs if kind in THEIRS else ours
    __import__("bde" if kind in THEIRS else "bayes_rpp.inference.methods")
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nll, score = one(kind, x, y, new, known, seed)
    print(json.dumps([nll, score, time.process_time() - start]))


def measured(kind, name, seed, python):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.npz")
        np.savez(path, **dict(zip(("x", "y", "new", "known"), prepared(name, seed), strict=True)))
        program = python if kind in THEIRS else sys.executable
        done = subprocess.run([program, __file__, "--child", kind, path, str(seed)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{kind} on {name}, seed {seed}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="an interpreter that has sklearn-contrib-bde; without it, ours alone")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--data", action="append", choices=DATA)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--child", nargs=3, metavar=("KIND", "FILE", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(given.child[0], given.child[1], int(given.child[2]))
    kinds = ["functions", "ensemble", "MILE", *(THEIRS if given.python else ())]
    rows = []
    for name in given.data or DATA:
        for kind in kinds:
            found = np.array([measured(kind, name, seed, given.python) for seed in range(given.splits)])
            nll, score, seconds = found.mean(axis=0)
            each = ", ".join(f"{v:.3f}" for v in found[:, 0])
            rows.append(f"| {name} | {kind} | {nll:.3f} | {each} | {score:.3f} | {seconds:.1f} |")
            print(rows[-1], flush=True)
    given.out.write_text(
        f"""# Beside bde

Made by `python -m benchmarks.beside_bde --python PATH`, PATH an environment with sklearn-contrib-bde: {given.splits}
splits, the same for all; columns standardised, NLL of a number in units of its standard deviation, else of classes.
"functions", "ensemble" and "MILE" are `RPPRegressor` and `RPPClassifier` with `method="gp"`, `None` and
`MILE(members=4)`; all else at its default. CPU seconds: fit, prediction, compilation.

| data | model | NLL | of each split | RMSE / accuracy | CPU s |
| --- | --- | --- | --- | --- | --- |
"""
        + "\n".join(rows)
        + "\n"
    )
    return None


if __name__ == "__main__":
    main()
