"""What people take where a symmetry is known, each as (x, y, new, seed, told) -> probabilities, or (mean, std).

Networks hold out a fifth of the rows to stop early, and scale their standard deviations by what they miss there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers_data import Told
from benchmarks.peers_tables import Said, is_class, mlp, sklearn_gp

IMAGES, MLPS = 5, 3  # of each row, in an augmented table; of each ensemble of MLPs
PENALTIES = (0.01, 0.05, 0.2, 1.0)  # standard deviations of what the penalty is on
CHANNELS, EPOCHS, PATIENCE, BATCH = 64, 200, 50, 25


def _groups(told: Told) -> list[Any]:
    import bayes_rpp as rpp

    return [rpp.groups.parse_group(text) for text in told.groups]


def _reps(told: Told) -> tuple[Any, Any]:
    import bayes_rpp as rpp

    return rpp.groups.parse_rep(told.rep_in), rpp.groups.parse_rep(told.rep_out)


def functions(x: NDArray, y: NDArray, new: NDArray, seed: int, told: Told, **sigmas: Any) -> Said:
    """The estimators' default; of several groups, which they do not take, the Gaussian process itself."""
    import bayes_rpp as rpp

    if len(told.groups) == 1:
        given = {"group": told.groups[0], "rep_in": told.rep_in, "method": "gp", "random_state": seed} | sigmas
        if is_class(y):
            return rpp.RPPClassifier(**given).fit(x, y).predict_proba(new)
        return rpp.RPPRegressor(**given, rep_out=told.rep_out).fit(x, y).predict(new, return_std=True)
    # A sigma for each group and, 0 in a strict sum, one for the rest.
    gp = rpp.GaussianProcess(*_reps(told), _groups(told), **sigmas)
    found = rpp.fit(gp, x, y, rpp.MAP(), seed=seed, progress=False).predict(new, samples=False)
    return found.mean, found.std


def strict_functions(x: NDArray, y: NDArray, new: NDArray, seed: int, told: Told) -> Said:
    return functions(x, y, new, seed, told, sigma_b=0.0)


def _network(
    x: NDArray, y: NDArray, new: NDArray, seed: int, told: Told, *, members: int = 5, groups: Any = None, **sigmas: Any
) -> tuple[Said, float]:
    """Of an EMLP: what it says of new, and its mean loss on the rows held out."""
    import bayes_rpp as rpp

    groups = groups or _groups(told)
    net = rpp.EMLP(*_reps(told), groups if len(groups) > 1 else groups[0], channels=CHANNELS, layers=2)
    classes = is_class(y)
    model = rpp.Model(net, likelihood=rpp.Categorical() if classes else rpp.Gaussian(0.1), **sigmas)
    y = y.reshape(len(y), -1).astype(float)
    order = np.random.default_rng(seed).permutation(len(x))
    held, rest = order[: len(x) // 5], order[len(x) // 5 :]
    method = rpp.DeepEnsemble(members=members, epochs=EPOCHS, batch_size=BATCH, patience=PATIENCE)
    post = rpp.fit(
        model, x[rest], y[rest], method, validation=(x[held], y[held]), seed=seed, engine="numpyro", progress=False
    )
    there, found = (post.predict(points, samples=False) for points in (x[held], new))
    if classes:
        p = there.mean[np.arange(len(held)), y[held, 0].astype(int)]
        return found.mean, float(-np.log(np.maximum(p, 1e-12)).mean())
    missed = (y[held] - there.mean) ** 2
    return (found.mean, found.std * np.sqrt((missed / there.std**2).mean())), float(missed.mean())


def networks(x: NDArray, y: NDArray, new: NDArray, seed: int, told: Told) -> Said:
    import bayes_rpp as rpp

    by_layer = rpp.PerLayer(rpp.Prior("HalfNormal", {"scale": 0.005}))
    sigma_a = 1.0 if len(told.groups) == 1 else [1.0] * len(told.groups)
    return _network(x, y, new, seed, told, sigma_a=sigma_a, sigma_b=by_layer)[0]


def strict_network(x: NDArray, y: NDArray, new: NDArray, seed: int, told: Told) -> Said:
    """Of several groups the first: a strict network has the symmetry of all that it is told, which here is constant."""
    return _network(x, y, new, seed, told, groups=_groups(told)[:1], sigma_a=1.0, sigma_b=0.0)[0]


def penalty(x: NDArray, y: NDArray, new: NDArray, seed: int, told: Told) -> Said:
    """A projection penalty as in Kim et al. (ICML 2023): one network, |W - P W|^2 over all groups' spaces in the loss,
    its weight the best on the rows held out; weights within the spaces are all but free."""
    wide: Any = 10.0 if len(told.groups) == 1 else [10.0] * len(told.groups)
    tried = [_network(x, y, new, seed, told, members=1, sigma_a=wide, sigma_b=sigma) for sigma in PENALTIES]
    return min(tried, key=lambda found: found[1])[0]


def augmented(x: NDArray, y: NDArray, new: NDArray, seed: int, told: Told) -> Said:
    """Three MLPs on five images of each row; of several groups each image by an element of one of them."""
    rep_in, rep_out = _reps(told)
    rng, groups = np.random.default_rng(seed), _groups(told)

    def images(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
        moved, targets = [x], [y]
        for k in range(1, IMAGES):
            group = groups[k % len(groups)]
            g = group.sample(len(x), rng.integers(2**31))
            moved.append(np.einsum("nij,nj->ni", rep_in(group).rho(g), x))
            targets.append(y if is_class(y) else np.einsum("nij,nj->ni", rep_out(group).rho(g), y))
        return np.concatenate(moved), np.concatenate(targets)

    if is_class(y):
        return mlp(*images(x, y), new, seed, members=MLPS)
    order = np.random.default_rng(seed).permutation(len(x))  # residuals are of rows of which no image was seen
    held, rest = order[: len(x) // 5], order[len(x) // 5 :]
    missed = y[held] - mlp(*images(x[rest], y[rest]), x[held], seed, members=MLPS)[0]
    mean, _ = mlp(*images(x, y), new, seed, members=MLPS)
    return mean, np.broadcast_to(np.sqrt((missed**2).mean(axis=0)), mean.shape)


def plain(x: NDArray, y: NDArray, new: NDArray, seed: int, told: Told) -> Said:
    return mlp(x, y, new, seed, members=MLPS)


def free_gp(x: NDArray, y: NDArray, new: NDArray, seed: int, told: Told) -> Said:
    return sklearn_gp(x, y, new, seed)


def e3nn(x: NDArray, y: NDArray, new: NDArray, seed: int, told: Told) -> Said:
    """A strict network of two tensor products with e3nn; O(3) and SO(3) alone. Vector is 1o."""
    import torch
    from e3nn import io, o3

    if len(told.groups) > 1:
        return None
    irreps_in = {"5*Scalar + 5*Vector": "5x0e+5x1o", "Vector": "1x1o", "3*Vector": "3x1o"}[told.rep_in]
    matrix = io.CartesianTensor("ij")
    outputs = {"T(2)": o3.Irreps(matrix), "Vector": o3.Irreps("1x1o"), "2*Scalar": o3.Irreps("2x0e")}[told.rep_out]
    hidden = o3.Irreps("32x0e+16x1o+8x1e+8x2e")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = o3.FullyConnectedTensorProduct(irreps_in, irreps_in, hidden)
            self.linear = o3.Linear(irreps_in, hidden)
            self.gates = o3.Linear(hidden, o3.Irreps(f"{hidden.num_irreps}x0e"), biases=True)
            self.times = o3.ElementwiseTensorProduct(hidden, f"{hidden.num_irreps}x0e")
            self.second = o3.FullyConnectedTensorProduct(hidden, irreps_in, hidden)
            self.last = o3.Linear(hidden, outputs, biases=True)

        def gated(self, h: Any) -> Any:
            return self.times(h, torch.nn.functional.silu(self.gates(h)))

        def forward(self, z: Any) -> Any:
            h = self.gated(self.first(z, z) + self.linear(z))
            found = self.last(h + self.gated(self.second(h, z)))
            return matrix.to_cartesian(found).flatten(1) if told.rep_out == "T(2)" else found

    order = np.random.default_rng(seed).permutation(len(x))
    held, rest = order[: len(x) // 5], order[len(x) // 5 :]
    at, points = (torch.as_tensor(a, dtype=torch.float32) for a in (x, new))
    target = torch.as_tensor(y) if is_class(y) else torch.as_tensor(y, dtype=torch.float32)
    loss_of = torch.nn.CrossEntropyLoss() if is_class(y) else torch.nn.MSELoss()
    torch.manual_seed(seed)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3, weight_decay=1e-4)
    lowest, best, rng = np.inf, net.state_dict(), np.random.default_rng(seed)
    for _ in range(EPOCHS):
        for rows in np.array_split(rng.permutation(rest), len(rest) // BATCH):
            optimizer.zero_grad()
            loss_of(net(at[rows]), target[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = loss_of(net(at[held]), target[held]).item()
        if loss < lowest:
            lowest, best = loss, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(best)
    with torch.no_grad():
        there, found = net(at[held]), net(points)
    if is_class(y):
        return found.softmax(-1).numpy().astype(float)
    missed = np.sqrt(((y[held] - there.numpy()) ** 2).mean(axis=0))
    return found.numpy().astype(float), np.broadcast_to(missed, found.shape)


MODELS = {
    "**bayes-rpp, default**": (functions, "bayes_rpp.inference.methods"),
    "bayes-rpp, networks": (networks, "bayes_rpp.inference.methods"),
    "strict functions (sigma_b = 0)": (strict_functions, "bayes_rpp.inference.methods"),
    "strict EMLP (sigma_b = 0)": (strict_network, "bayes_rpp.inference.methods"),
    "projection penalty": (penalty, "bayes_rpp.inference.methods"),
    "e3nn, strict": (e3nn, "e3nn"),
    "MLPs, augmented": (augmented, "sklearn.neural_network"),
    "MLPs": (plain, "sklearn.neural_network"),
    "scikit-learn, Gaussian process": (free_gp, "sklearn.gaussian_process"),
}
