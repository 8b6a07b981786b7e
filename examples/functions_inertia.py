"""Gaussian processes of functions that almost have a symmetry, beside networks and scikit-learn's regressors: inertia.

    python examples/functions_inertia.py                       100 and 300 examples, noise of 0 and 2 %, 3 seeds
    python examples/functions_inertia.py --examples 1000 --seeds 1

Writes docs/results/functions_inertia.md (or --out).
"""

# %% Libraries and settings
import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bayes_rpp as rpp
from bayes_rpp._files import write_page

TESTS = 1000
COLUMNS = ["data", "examples", "noise", "model", "RMSE", "NLL", "inside of 90 %", "sigma_b / sigma_a", "CPU s"]
TASKS = {"inertia": rpp.datasets.inertia, "modified inertia": rpp.datasets.modified_inertia}
REPS = {"group": "O(3)", "rep_in": "5*Scalar + 5*Vector", "rep_out": "T(2)"}
Found = tuple[np.ndarray, np.ndarray | None, float]  # mean, standard deviation, sigma_b / sigma_a


# %% The models: each takes x, y, new x and a seed
def functions(x: np.ndarray, y: np.ndarray, new: np.ndarray, seed: int) -> Found:
    gp = rpp.GaussianProcess(5 * rpp.Scalar + 5 * rpp.Vector, rpp.T(2), rpp.O(3))
    post = rpp.fit(gp, x, y, rpp.MAP(), seed=seed, progress=False)
    found = post.predict(new, samples=False)
    return found.mean, found.std, float(post.asymmetry()["f"][0, 0])


def networks(x: np.ndarray, y: np.ndarray, new: np.ndarray, seed: int) -> Found:
    model = rpp.RPPRegressor(**REPS, method=None, random_state=seed).fit(x, y)
    return *model.predict(new, return_std=True), np.nan


def scikit_gp(x: np.ndarray, y: np.ndarray, new: np.ndarray, seed: int) -> Found:
    kernel = ConstantKernel() * RBF(1.0) + WhiteKernel()
    model = make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed))
    return *model.fit(x, y).predict(new, return_std=True), np.nan


def scikit_mlp(x: np.ndarray, y: np.ndarray, new: np.ndarray, seed: int) -> Found:
    model = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=1000, random_state=seed))
    return model.fit(x, y).predict(new), None, np.nan


def boosting(x: np.ndarray, y: np.ndarray, new: np.ndarray, seed: int) -> Found:
    model = MultiOutputRegressor(HistGradientBoostingRegressor(random_state=seed))
    return model.fit(x, y).predict(new), None, np.nan


MODELS: dict[str, Callable[..., Found]] = {
    "GaussianProcess, O(3)": functions,
    "RPPRegressor, O(3), networks": networks,
    "GaussianProcessRegressor": scikit_gp,
    "MLPRegressor": scikit_mlp,
    "HistGradientBoostingRegressor": boosting,
}


# %% The table
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.02])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", action="append", choices=list(MODELS))
    parser.add_argument("--out", type=Path, default=Path("docs/results/functions_inertia.md"))
    args = parser.parse_args()
    rows = []
    for task in TASKS:
        for n in args.examples:
            for noise in args.noise:
                for name in args.model or MODELS:
                    values = np.mean([one(task, n, noise, name, seed) for seed in range(args.seeds)], axis=0)
                    rows.append([task, f"{n}", f"{noise:.0%}", name, *shown(values)])
                    print(*rows[-1], sep=" | ", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_page(args.out, report(rows, args))
    print(f"written: {args.out}")


def one(task: str, n: int, noise: float, name: str, seed: int) -> tuple[float, ...]:
    """The scores of a model, in units of the test data's standard deviation."""
    train, test = TASKS[task](n, seed=seed), TASKS[task](TESTS, seed=seed + 1_000_000)
    scale = float(test.y.std())
    rng = np.random.default_rng(seed)
    y = train.y + noise * scale * rng.normal(size=train.y.shape)
    target = test.y + noise * scale * rng.normal(size=test.y.shape)
    start = time.process_time()
    mean, std, ratio = MODELS[name](train.x.astype(np.float64), y.astype(np.float64), test.x.astype(np.float64), seed)
    seconds = time.process_time() - start
    rmse = float(np.sqrt(np.mean((mean - target) ** 2))) / scale
    if std is None:
        return rmse, np.nan, np.nan, ratio, seconds
    nll = -norm.logpdf(target, mean, std).mean() + np.log(scale)
    return rmse, float(nll), float((np.abs(target - mean) < norm.ppf(0.95) * std).mean()), ratio, seconds


def shown(values: np.ndarray) -> list[str]:
    rmse, nll, inside, ratio, seconds = values
    cells = [f"{rmse:.4f}", f"{nll:.2f}", f"{100 * inside:.0f} %", f"{ratio:.2g}", f"{seconds:.0f}"]
    return ["" if "nan" in cell else cell for cell in cells]


def report(rows: list[list[str]], args: argparse.Namespace) -> str:
    sizes, noises = (" ".join(f"{v:g}" for v in values) for values in (args.examples, args.noise))
    command = f"python examples/functions_inertia.py --examples {sizes} --noise {noises} --seeds {args.seeds}"
    table = ["| " + " | ".join(row) + " |" for row in [COLUMNS, ["---"] * len(COLUMNS), *rows]]
    return f"""# Functions beside networks: inertia

Made by `{command}`. Means over {args.seeds} seed(s) of the data; {TESTS} test points. RMSE and NLL (of a number)
are in units of the test data's standard deviation: predicting the mean has an RMSE of 1 and an NLL of 1.42. "Inside of
90 %" is the share of test numbers within the central 90 % interval of a Gaussian of the predicted mean and standard
deviation. All models are at their defaults but for MLPRegressor's two layers of 64; RPPRegressor is the ensemble of
networks (`method=None`).

{chr(10).join(table)}
"""


if __name__ == "__main__":
    main()
