"""RPPClassifier's default beside scikit-learn's classifiers: are its probabilities good ones?

    python examples/classifiers.py             seven data sets, 3 trials
    python examples/classifiers.py --trials 1 --data wine
    python examples/classifiers.py --default-only      RPPClassifier() alone

Writes docs/results/classifiers.md (or --out).
"""

# %% Libraries and settings
import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bayes_rpp as rpp
from bayes_rpp._files import write_page
from bayes_rpp.inference.posterior.metrics import expected_calibration_error

Made = tuple[np.ndarray, np.ndarray, dict]
COLUMNS = ["data", "examples", "model", "accuracy", "NLL", "calibration error", "seconds"]


# %% Data: columns, classes, and the symmetry
def product(seed: int) -> Made:
    """Two columns, whose product tells the classes of 500 examples, not for sure."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=(500, 2))
    return x, (rng.random(500) < 1 / (1 + np.exp(-6 * x[:, 0] * x[:, 1]))).astype(int), {}


def handedness(seed: int) -> Made:
    """Three vectors of 500 examples: whether they are a right-handed triple, which rotations do not change."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(500, 3, 3))
    y = (rng.random(500) < 1 / (1 + np.exp(-3 * np.linalg.det(x)))).astype(int)
    return x.reshape(500, 9), y, {"group": "SO(3)", "rep_in": "3*Vector"}


def angles(seed: int) -> Made:
    """Three vectors of 500 examples: whether the first two, and the last two, are at acute angles."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(500, 3, 3))
    acute = (x[:, 1] * (x[:, 0] + x[:, 2])).sum(axis=1)
    y = (rng.random(500) < 1 / (1 + np.exp(-2 * acute))).astype(int)
    return x.reshape(500, 9), y, {"group": "SO(3)", "rep_in": "3*Vector"}


DATA: dict[str, Callable[[int], Made]] = {
    "wine": lambda seed: (*load_wine(return_X_y=True), {}),
    "breast cancer": lambda seed: (*load_breast_cancer(return_X_y=True), {}),
    "digits": lambda seed: (*(a[:500] for a in load_digits(return_X_y=True)), {}),
    "noisy classes": lambda seed: (
        *make_classification(500, 10, n_informative=5, n_classes=3, flip_y=0.2, random_state=seed),
        {},
    ),
    "product": product,
    "angles": angles,
    "handedness": handedness,
}


# %% What it does
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--data", action="append", choices=list(DATA))
    parser.add_argument("--default-only", action="store_true")
    parser.add_argument("--engine")
    parser.add_argument("--out", type=Path, default=Path("docs/results/classifiers.md"))
    args = parser.parse_args()
    start = time.time()
    rows = [row for name in args.data or DATA for row in compare(name, args)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_page(args.out, report(rows, args, time.time() - start))
    print(f"written: {args.out}")


def compare(name: str, args: argparse.Namespace) -> list[list[str]]:
    found: dict[str, list[tuple[float, ...]]] = {}
    size = 0
    for trial in range(args.trials):
        x, y, symmetry = DATA[name](trial)
        train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=0.4, random_state=trial, stratify=y)
        size = len(train_x)
        for label, model in models(symmetry, trial, args).items():
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # scikit-learn's optimisers say where they stop
                p = model.fit(train_x, train_y).predict_proba(test_x)
            seconds = time.process_time() - start
            found.setdefault(label, []).append((*scores(p, test_y), seconds))
    rows = []
    for label, values in found.items():
        accuracy, nll, error, seconds = np.mean(values, axis=0)
        rows.append([name, f"{size}", label, f"{100 * accuracy:.1f} %", f"{nll:.3f}", f"{error:.3f}", f"{seconds:.1f}"])
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def models(symmetry: dict, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    ours: dict[str, Any] = {"engine": args.engine, "random_state": seed}
    known = {f", {symmetry['group']}": symmetry, "": {}} if symmetry else {"": {}}
    found: dict[str, Any] = {f"RPPClassifier{k}": rpp.RPPClassifier(**group, **ours) for k, group in known.items()}
    if args.default_only:
        return found
    for k, group in known.items():
        channels = 64 if group else None
        found[f"RPPClassifier{k}, networks"] = rpp.RPPClassifier(**group, channels=channels, method=None, **ours)
    others = {
        "LogisticRegression": LogisticRegression(max_iter=2000),
        "GaussianProcessClassifier": GaussianProcessClassifier(ConstantKernel() * RBF(1.0), random_state=seed),
        "MLPClassifier": MLPClassifier(hidden_layer_sizes=(64, 64), max_iter=1000, random_state=seed),
    }
    return found | {name: make_pipeline(StandardScaler(), model) for name, model in others.items()}


def scores(p: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Accuracy, NLL, and how far confidence is from the share that is right (in ten bins)."""
    right = p.argmax(axis=1) == y
    return float(right.mean()), float(log_loss(y, p)), expected_calibration_error(p.max(axis=1), right)


def report(rows: list[list[str]], args: argparse.Namespace, seconds: float) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (COLUMNS, ["---"] * len(COLUMNS), *rows)]
    options = "".join(f" --data {d!r}" for d in args.data or ()) + (f" --engine {args.engine}" if args.engine else "")
    options += " --default-only" if args.default_only else ""
    return (
        "# The classifier beside scikit-learn's\n\n"
        f"Made by `python examples/classifiers.py --trials {args.trials}{options}` in {seconds / 60:.0f} minutes. "
        f"Means over {args.trials} trials, each with 40 % of the rows held out for the test. The calibration error "
        "is the expected one of ten bins; the seconds are of a CPU. Everything is at its default but for the two "
        "layers of 64 of MLPClassifier; scikit-learn's models get standardised columns, and the Gaussian process an "
        "RBF kernel.\n\n" + "\n".join(lines) + "\n"
    )


# %% Run it
if __name__ == "__main__":
    rpp.inference.cache_compilations()
    main()
