"""The estimators' default beside scikit-learn's regressors: on small noisy tables, and where a symmetry helps.

    python examples/estimators.py             five data sets, 3 trials
    python examples/estimators.py --trials 1 --data diabetes --data sine
    python examples/estimators.py --default-only       RPPRegressor() alone

Writes docs/results/estimators.md (or --out).
"""

# %% Libraries and settings
import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bayes_rpp as rpp
from bayes_rpp._files import write_page

Data = tuple[np.ndarray, np.ndarray]
TESTS = 1000
COLUMNS = ["data", "examples", "model", "test RMSE", "NLL", "inside of 90 %"]


# %% What it does
def diabetes(seed: int) -> tuple[Data, Data, dict]:
    train, test = (rpp.datasets.diabetes(split=split, seed=seed) for split in ("train", "test"))
    return (train.x, train.y), (test.x, test.y), {}


def sine(seed: int) -> tuple[Data, Data, dict]:
    """60 points of two periods and noise of 0.3."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, size=(60 + TESTS, 1))
    y = np.sin(2 * x) + 0.3 * rng.normal(size=x.shape)
    return (x[:60], y[:60]), (x[60:], y[60:]), {}


def linear(seed: int) -> tuple[Data, Data, dict]:
    """100 points in five dimensions, noise of 1 beside a signal of 3.8."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(100 + TESTS, 5))
    y = x @ [[3.0], [-2.0], [1.0], [0.0], [0.5]] + rng.normal(size=(len(x), 1))
    return (x[:100], y[:100]), (x[100:], y[100:]), {}


def tensors(make: Callable[..., rpp.datasets.Dataset], seed: int) -> tuple[Data, Data, dict]:
    train, test = make(300, seed=seed), make(TESTS, seed=seed + 1_000_000)
    return (train.x, train.y), (test.x, test.y), {"group": "O(3)", "rep_in": "5*Scalar + 5*Vector", "rep_out": "T(2)"}


DATA: dict[str, Callable[[int], tuple[Data, Data, dict]]] = {
    "diabetes": diabetes,
    "sine": sine,
    "linear": linear,
    "inertia": lambda seed: tensors(rpp.datasets.inertia, seed),
    "modified inertia": lambda seed: tensors(rpp.datasets.modified_inertia, seed),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--data", action="append", choices=list(DATA))
    parser.add_argument("--default-only", action="store_true")
    parser.add_argument("--engine")
    parser.add_argument("--out", type=Path, default=Path("docs/results/estimators.md"))
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
        (x, y), test, symmetry = DATA[name](trial)
        size = len(x)
        for label, model in models(symmetry, trial, args).items():
            mean, std = predict(model, x, y, test[0])
            found.setdefault(label, []).append(scores(test[1], mean, std))
    rows = []
    for label, values in found.items():
        rmse, nll, inside = np.mean(values, axis=0)
        rows.append([name, f"{size}", label, f"{rmse:.3f}", f"{nll:.2f}", f"{100 * inside:.0f} %"])
        rows[-1] = [cell.replace("nan %", "").replace("nan", "") for cell in rows[-1]]
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def models(symmetry: dict, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    kernel = ConstantKernel() * RBF(1.0) + WhiteKernel()
    ours: dict[str, Any] = {"engine": args.engine, "random_state": seed}
    known = {", O(3)": symmetry, ", no symmetry": {}} if symmetry else {"": {}}
    found = {f"RPPRegressor{name}": rpp.RPPRegressor(**group, **ours) for name, group in known.items()}
    if args.default_only:
        return found
    for name, group in known.items():
        found[f"RPPRegressor{name}, networks"] = rpp.RPPRegressor(**group, method=None, **ours)
    if not symmetry:
        evidence = rpp.Laplace(evidence="maximize", batch_size=None, every=50, steps=5)
        found["RPPRegressor, Laplace"] = rpp.RPPRegressor(
            sigma_a=rpp.Prior("HalfNormal", {"scale": 1.0}), method=evidence, **ours
        )
    return found | {
        "BayesianRidge": BayesianRidge(),
        "GaussianProcessRegressor": GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed),
        "MLPRegressor": MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=1000, random_state=seed),
    }


def predict(model: Any, x: np.ndarray, y: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (NaN where a model has none) at points, in the shape of y."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's optimisers say where they stop
        if isinstance(model, rpp.RPPRegressor):
            return model.fit(x, y).predict(points, return_std=True)
        scaled = make_pipeline(StandardScaler(), model)
        if isinstance(model, MLPRegressor):
            mean = TransformedTargetRegressor(scaled, transformer=StandardScaler()).fit(x, y).predict(points)
            return mean.reshape(len(points), -1), np.full((len(points), y.shape[1]), np.nan)
        columns = [clone(scaled).fit(x, column).predict(points, return_std=True) for column in y.T]
    mean, std = np.moveaxis(np.array(columns), 0, -1)  # each is a pair of (points,)
    return mean, std


def scores(y: np.ndarray, mean: np.ndarray, std: np.ndarray) -> tuple[float, float, float]:
    """RMSE, NLL of a number, and the share inside of 90 % intervals, in units of the standard deviation of y."""
    unit = y.std()
    inside = np.abs(y - mean) < norm.ppf(0.95) * std if np.isfinite(std).all() else np.nan
    nll = -norm.logpdf(y / unit, mean / unit, std / unit).mean()
    return float(np.sqrt(((y - mean) ** 2).mean()) / unit), float(nll), float(np.mean(inside))


def report(rows: list[list[str]], args: argparse.Namespace, seconds: float) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (COLUMNS, ["---"] * len(COLUMNS), *rows)]
    options = "".join(f" --data {d!r}" for d in args.data or ()) + (f" --engine {args.engine}" if args.engine else "")
    options += " --default-only" if args.default_only else ""
    return (
        "# The estimators beside scikit-learn's\n\n"
        f"Made by `python examples/estimators.py --trials {args.trials}{options}` in {seconds / 60:.0f} minutes. Means "
        f"over {args.trials} trials, each with data (or a split) of its own. RMSE and NLL (of a number) are in units "
        "of the test data's standard deviation: predicting the mean has an RMSE of 1 and an NLL of 1.42. "
        '"Inside of 90 %" is the share of test data within the central 90 % interval of a Gaussian of the predicted '
        "mean and standard deviation. Everything is at its default but for MLPRegressor's two layers of 64, as wide as "
        "ours without a group; scikit-learn's models get standardised columns, and the Gaussian process an RBF kernel "
        "with white noise.\n\n" + "\n".join(lines) + "\n"
    )


# %% Run it
if __name__ == "__main__":
    rpp.inference.cache_compilations()
    main()
