"""Table 1 of the paper in form: one network, three priors (perceptron, residual pathway, convolution), on images, where
convolutions are right, and on tables, where they are not.

    python examples/table1.py                            offline data, 10 trials: digits and scikit-learn's tables
    python examples/table1.py --uci FOLDER               the paper's tables: CSV files, see rpp.datasets.uci
    python examples/table1.py --cifar10 FOLDER --trials 1 --members 3 --epochs 100     see rpp.datasets.cifar10

Writes docs/results/table1.md (or --out).
"""

# %% Libraries and settings
import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import bayes_rpp as rpp
from bayes_rpp._files import write_page

SIGMA = 3.0  # of all three: swish passes on about a third of a signal's variance, and 1 / 0.36 = 1.7 squared
PRIORS = {
    "MLP": {"sigma_a": 0.0, "sigma_b": SIGMA},
    "RPP": {"sigma_a": SIGMA, "sigma_b": 0.3 * SIGMA},
    "Conv": {"sigma_a": SIGMA, "sigma_b": 0.0},
}
Split = tuple[rpp.datasets.Dataset, rpp.datasets.Dataset]


# %% What it does
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", metavar="FOLDER", help="that holds CIFAR-10's binary version")
    parser.add_argument("--uci", metavar="FOLDER", help="that holds energy.csv, fertility.csv, pendulum.csv, wine.csv")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument(
        "--width", type=int, default=16, help="channels of the tables' networks; a quarter for CIFAR-10's"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results/table1.md"))
    args = parser.parse_args()
    start = time.time()
    rows = [row for name, split, net in cases(args) for row in compare(name, split, net, args)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_page(args.out, report(rows, args, time.time() - start))
    print(f"written: {args.out}")


def cases(args: argparse.Namespace) -> Iterator[tuple[str, Callable[[int], Split], rpp.ConvNet]]:
    """Name, data of a trial, network."""
    if args.cifar10:
        train, test = (rpp.datasets.cifar10(args.cifar10, split=s) for s in ("train", "test"))
        net = rpp.ConvNet.for_cifar10(max(1, args.width // 4), weights="local")
        yield "CIFAR-10", lambda trial: (train, test), net
    if args.uci:
        for name in ("energy", "fertility", "pendulum", "wine"):
            data = rpp.datasets.uci(name, args.uci)
            net = rpp.ConvNet.for_table(data.x.shape[1], 1, channels=[args.width] * 4)
            yield f"UCI {name}", lambda trial, n=name: splits(rpp.datasets.uci, trial, name=n, folder=args.uci), net
    if args.cifar10 or args.uci:
        return
    data = rpp.datasets.digits()
    net = rpp.ConvNet(data.input_shape, 10, channels=[16, 16, 32], strides=[1, 2, 2])
    yield "digits (images)", lambda trial: splits(rpp.datasets.digits, trial), net
    for make in (rpp.datasets.diabetes, rpp.datasets.wine, rpp.datasets.breast_cancer):
        data = make()
        net = rpp.ConvNet.for_table(data.x.shape[1], data.classes or 1, channels=[args.width] * 4)
        yield f"{data.name} (table)", lambda trial, make=make: splits(make, trial), net


def splits(make: Callable[..., rpp.datasets.Dataset], trial: int, **settings) -> Split:
    return make(split="train", seed=trial, **settings), make(split="test", seed=trial, **settings)


def compare(
    name: str, split: Callable[[int], Split], net: rpp.ConvNet, args: argparse.Namespace
) -> Iterator[list[str]]:
    print(name, net, flush=True)
    method = rpp.DeepEnsemble(members=args.members, epochs=args.epochs, batch_size=128, learning_rate=0.03)
    for prior, sigmas in PRIORS.items():
        found: dict[str, list[tuple[float, float]]] = {"MAP": [], "ensemble": []}
        for trial in range(1, args.trials + 1):  # settings were looked at with seed 0
            train, test = split(trial)
            likelihood = rpp.Categorical() if train.classes else rpp.Gaussian(0.7)
            model = rpp.Model(net, likelihood=likelihood, **sigmas)
            post = rpp.fit(model, train.x, train.y, method, seed=trial, progress=False)
            one = rpp.Posterior(model, {k: v[:, :1] for k, v in post.samples.items()}, x=train.x, y=train.y)
            found["MAP"].append(figures(one, test))
            found["ensemble"].append(figures(post, test))
        for method_name, values in found.items():
            (error, nll), spread = np.mean(values, axis=0), np.std(values, axis=0, ddof=min(1, len(values) - 1))
            unit = " %" if test.classes else ""
            row = [name, prior, method_name, f"{error:.3g} ± {spread[0]:.2g}{unit}", f"{nll:.3f} ± {spread[1]:.2g}"]
            print(*row, sep=" | ", flush=True)
            yield row


def figures(post: rpp.Posterior, test: rpp.datasets.Dataset) -> tuple[float, float]:
    """Error (% of wrong classes, or mean squared error of the standardised target), and NLL of an example."""
    m = post.metrics(test.x, test.y)
    return (100 * (1 - m["accuracy"]) if test.classes else m["rmse"] ** 2), m["nll"]


def report(rows: list[list[str]], args: argparse.Namespace, seconds: float) -> str:
    header = ["data", "prior", "method", "test error", "NLL of an example"]
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    options = "".join(f" --{k} {v}" for k, v in vars(args).items() if k in ("trials", "members", "epochs", "width"))
    return (
        "# Table 1 in form: one network, three priors\n\n"
        f"Made by `python examples/table1.py{options}` in {seconds / 60:.0f} minutes. Mean and standard deviation over "
        f"{args.trials} trials, each with a split, initial values and order of its own (seeds 1 to {args.trials}). MAP "
        f"is the first of the ensemble's {args.members} members. {args.epochs} epochs in batches of 128, learning rate "
        f"0.03 (cosine). One setting for all data: Conv sigma_a = {SIGMA:g}, sigma_b = 0; MLP sigma_a = 0, sigma_b = "
        f"{SIGMA:g}; RPP sigma_a = {SIGMA:g}, sigma_b = {0.3 * SIGMA:g}; scale fan_in. Errors: % of wrong classes, or "
        "the mean squared error of the standardised target (Gaussian noise 0.7).\n\n" + "\n".join(lines) + "\n"
    )


# %% Run it
if __name__ == "__main__":
    rpp.inference.cache_compilations()
    main()
