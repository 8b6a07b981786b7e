"""A C8-equivariant network (escnn) restricted to its subgroup C4, softly: nested pathways C8 > C4 > any kernel.

    scripts/install-escnn.sh .venv/bin/python
    python examples/steerable_subgroup.py          two minutes; writes docs/results/steerable_subgroup.md

The data are images and a number that quarter turns leave alone, but that an eighth of a turn changes in part. A network
trained as C8 is taken up as a C4 one: every C8 kernel is also a C4 kernel, so the weights are expanded, the outputs are
the same, and training goes on with a prior that is wide inside C8, narrower inside C4 and zero (or narrow) beyond.
"""

# %% Libraries and settings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from escnn import gspaces
from escnn import nn as enn
from scipy.ndimage import gaussian_filter

import bayes_rpp as rpp
from bayes_rpp._files import write_page

OUT = Path("docs/results/steerable_subgroup.md")
SIZE, N = 9, 400
METHOD = rpp.MAP(epochs=150, batch_size=50)


# %% What it does
class Invariant(torch.nn.Module):
    """Two steerable convolutions, then the mean over positions and group: a number that rotations leave alone."""

    def __init__(self, subgroup: int | None = None) -> None:
        super().__init__()
        space = gspaces.rot2dOnR2(8)
        types = [
            enn.FieldType(space, r) for r in ([space.trivial_repr], 4 * [space.regular_repr], 8 * [space.trivial_repr])
        ]
        self.types = types if subgroup is None else [t.restrict(subgroup) for t in types]
        self.first = enn.R2Conv(self.types[0], self.types[1], 5, padding=2)
        self.second = enn.R2Conv(self.types[1], self.types[2], 5, padding=2)
        self.head = torch.nn.Linear(self.types[2].size, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(enn.GeometricTensor(x, self.types[0]))
        h = self.second(enn.GeometricTensor(h.tensor * torch.sigmoid(h.tensor), h.type)).tensor
        return self.head((h * torch.sigmoid(h)).mean(dim=(-1, -2)))


def main() -> None:
    torch.manual_seed(0)
    shape = (1, SIZE, SIZE)
    c8, c4 = rpp.soften(Invariant(), shape), rpp.soften(Invariant(subgroup=4), shape)
    chains = {
        name: rpp.subspaces.NestedSubspace([c8.parameters[name].subspace, c4.parameters[name].subspace])
        for name in ("first.weight", "first.bias", "second.weight")
    }
    net = rpp.soften(Invariant(), shape, subspaces=chains)
    print(net.table)
    (x, y), (x_test, y_test) = images(N, 0), images(1000, 1)
    likelihood = rpp.Gaussian(0.2)
    runs = {
        "C8": ([3.0, 0.0], 0.0, METHOD),
        "C8, softly C4": ([3.0, 1.0], 0.0, METHOD),
        "C8, softly C4, softly any kernel": ([3.0, 1.0], 0.1, METHOD),
        "C8, twice as long": ([3.0, 0.0], 0.0, replace(METHOD, epochs=2 * METHOD.epochs)),
        "C4, twice as long": ([0.0, 3.0], 0.0, replace(METHOD, epochs=2 * METHOD.epochs)),
    }
    rows, trained = [], None
    for name, (sigma_a, sigma_b, method) in runs.items():
        model = rpp.Model(net, sigma_a=sigma_a, sigma_b=sigma_b, likelihood=likelihood)
        start = trained if "softly" in name else None
        if start is not None:
            again = rpp.Posterior(model, start.samples, x=x, y=y).predict(x_test).mean
            change = np.abs(again - start.predict(x_test).mean).max()
            print(f"{name}: the C8 network's outputs change by {change:.1g} when it is taken up")
        post = rpp.fit(model, x, y, method, init=start, seed=0, progress=False)
        trained = post if name == "C8" else trained
        rmse = post.metrics(x_test, y_test)["rmse"]
        turned = np.rot90(x_test, axes=(2, 3)).copy()
        kept = np.abs(post.predict(turned).mean - post.predict(x_test).mean).mean() / y_test.std()
        rows.append((name, f"{rmse / y_test.std():.3f}", f"{kept:.1e}"))
        print(*rows[-1], sep=" | ", flush=True)
    write_page(OUT, report(rows, net))
    print(f"written: {OUT}")


def images(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth random images, and the strength of their edges, which all rotations keep, plus that of upright over
    slanted edges, which an eighth of a turn reverses; each part has half of y's variance, which is about 1."""
    rng = np.random.default_rng(seed)
    x = gaussian_filter(rng.normal(size=(n, 1, SIZE, SIZE)), (0, 0, 1, 1))
    x /= x.std()
    a, b = np.gradient(x, axis=(2, 3))
    strength = (a**2 + b**2).mean(axis=(2, 3))
    upright = ((a**4 - 6 * a**2 * b**2 + b**4) / (a**2 + b**2 + 0.1)).mean(axis=(2, 3))
    return x.astype(np.float32), ((strength + 2 * upright - 0.67) / 0.28).astype(np.float32)


def report(rows: list[tuple[str, ...]], net: rpp.networks.ModuleNetwork) -> str:
    ranks = ", ".join(str(s.rank) for s in net.parameters["second.weight"].subspace.levels)
    lines = ["| prior | test RMSE / std of y | change under a quarter turn / std of y |", "| --- | --- | --- |"]
    lines += ["| " + " | ".join(r) + " |" for r in rows]
    return (
        "# A C8 network restricted to C4, softly\n\nMade by `python examples/steerable_subgroup.py`: two steerable "
        f"convolutions of escnn, {N} training and 1000 test images of {SIZE} x {SIZE}, {METHOD.epochs} epochs of MAP, "
        "one seed; the soft ones start from the C8 network's weights, whose outputs they repeat exactly. The second "
        f"convolution has {net.parameters['second.weight'].subspace.size} weights, of which C8 and C4 leave {ranks} "
        "free.\n\n" + "\n".join(lines) + "\n"
    )


# %% Run it
if __name__ == "__main__":
    rpp.inference.cache_compilations()
    main()
