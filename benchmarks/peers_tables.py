"""What people take for tables, each as (x, y, new, seed) -> probabilities (n, classes), or (mean, std), each (n, 1).

x is standardised; y is (n, 1) standardised numbers, or (n,) classes 0, 1, ... A model of a mean alone gets the standard
deviation of its residuals on a fifth of the rows that it is not fitted to, and is then fitted to all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HIDDEN = (64, 64)
Said = Any  # probabilities, or a pair of mean and standard deviation


def is_class(y: NDArray) -> bool:
    return y.dtype.kind != "f"


def with_residuals(fitted: Any, x: NDArray, y: NDArray, new: NDArray, seed: int) -> Said:
    """`fitted(x, y)` is a function of points; what it misses on a fifth of the rows is its standard deviation."""
    order = np.random.default_rng(seed).permutation(len(x))
    held, rest = order[: len(x) // 5], order[len(x) // 5 :]
    missed = y[held] - fitted(x[rest], y[rest])(x[held])
    mean = fitted(x, y)(new)
    return mean, np.broadcast_to(np.sqrt((missed**2).mean(axis=0)), mean.shape)


def ours(x: NDArray, y: NDArray, new: NDArray, seed: int, method: Any = "auto") -> Said:
    import bayes_rpp as rpp

    if is_class(y):
        return rpp.RPPClassifier(method=method, random_state=seed).fit(x, y).predict_proba(new)
    return rpp.RPPRegressor(method=method, random_state=seed).fit(x, y).predict(new, return_std=True)


def ours_networks(x: NDArray, y: NDArray, new: NDArray, seed: int) -> Said:
    return ours(x, y, new, seed, method=None)


def sklearn_gp(x: NDArray, y: NDArray, new: NDArray, seed: int) -> Said:
    from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    if is_class(y):
        return GaussianProcessClassifier(ConstantKernel() * RBF(3.0), random_state=seed).fit(x, y).predict_proba(new)
    kernel = ConstantKernel() * RBF(3.0) + WhiteKernel()
    mean, std = GaussianProcessRegressor(kernel, random_state=seed).fit(x, y).predict(new, return_std=True)
    return mean.reshape(len(new), -1), std.reshape(len(new), -1)


def boosting(x: NDArray, y: NDArray, new: NDArray, seed: int) -> Said:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if is_class(y):
        return HistGradientBoostingClassifier(random_state=seed).fit(x, y).predict_proba(new)

    def fitted(x: NDArray, y: NDArray) -> Any:
        models = [HistGradientBoostingRegressor(random_state=seed).fit(x, column) for column in y.T]
        return lambda points: np.stack([m.predict(points) for m in models], axis=1)

    return with_residuals(fitted, x, y, new, seed)


def mlp(x: NDArray, y: NDArray, new: NDArray, seed: int, members: int = 1) -> Said:
    """scikit-learn's; several are told apart by their seeds, and their outputs averaged."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    given = [{"hidden_layer_sizes": HIDDEN, "max_iter": 1000, "random_state": seed + 1000 * k} for k in range(members)]
    if is_class(y):
        return np.mean([MLPClassifier(**g).fit(x, y).predict_proba(new) for g in given], axis=0)

    def fitted(x: NDArray, y: NDArray) -> Any:
        models = [MLPRegressor(**g).fit(x, y[:, 0] if y.shape[1] == 1 else y) for g in given]
        return lambda points: np.mean([m.predict(points).reshape(len(points), -1) for m in models], axis=0)

    return with_residuals(fitted, x, y, new, seed)


def ngboost(x: NDArray, y: NDArray, new: NDArray, seed: int) -> Said:
    """Stopped early by a tenth of the rows: its 500 stages alone are far too sure of tables this small."""
    from ngboost import NGBClassifier, NGBRegressor
    from ngboost.distns import k_categorical

    given = {"verbose": False, "random_state": seed, "early_stopping_rounds": 20, "validation_fraction": 0.1}
    if is_class(y):
        return NGBClassifier(Dist=k_categorical(y.max() + 1), **given).fit(x, y).predict_proba(new)
    found = NGBRegressor(**given).fit(x, y[:, 0]).pred_dist(new).params
    return found["loc"][:, None], found["scale"][:, None]


def gpytorch(x: NDArray, y: NDArray, new: NDArray, seed: int) -> Said:
    """Exact GP, RBF with a lengthscale for each column; 200 steps of Adam, as in GPyTorch's tutorials."""
    import gpytorch
    import torch

    if is_class(y):
        return None
    torch.manual_seed(seed)
    at, values, points = (torch.as_tensor(a, dtype=torch.float64) for a in (x, y[:, 0], new))

    class Exact(gpytorch.models.ExactGP):
        def __init__(self) -> None:
            super().__init__(at, values, likelihood)
            self.mean_module = gpytorch.means.ConstantMean()
            self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel(ard_num_dims=x.shape[1]))

        def forward(self, z: Any) -> Any:
            return gpytorch.distributions.MultivariateNormal(self.mean_module(z), self.covar_module(z))

    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    model = Exact().double()
    objective = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        (-objective(model(at), values)).backward()
        optimizer.step()
    model.eval()
    likelihood.eval()
    with torch.no_grad():
        found = likelihood(model(points))
    return found.mean.numpy()[:, None], found.stddev.numpy()[:, None]


def _torch_mlp(columns: int, outputs: int) -> Any:
    from torch import nn

    a, b = HIDDEN
    return nn.Sequential(nn.Linear(columns, a), nn.Tanh(), nn.Linear(a, b), nn.Tanh(), nn.Linear(b, outputs))


def laplace_torch(x: NDArray, y: NDArray, new: NDArray, seed: int) -> Said:
    """A network trained with weight decay, then Kronecker-factored Laplace with prior and noise by its evidence."""
    import torch
    from laplace import Laplace
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(seed)
    outputs = int(y.max()) + 1 if is_class(y) else 1
    at, points = (torch.as_tensor(a, dtype=torch.float32) for a in (x, new))
    target = torch.as_tensor(y) if is_class(y) else torch.as_tensor(y, dtype=torch.float32)
    net, loss_of = _torch_mlp(x.shape[1], outputs), torch.nn.CrossEntropyLoss() if is_class(y) else torch.nn.MSELoss()
    loader = DataLoader(TensorDataset(at, target), batch_size=32, shuffle=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-3)
    for _ in range(100):
        for some, values in loader:
            optimizer.zero_grad()
            loss_of(net(some), values).backward()
            optimizer.step()
    la = Laplace(net, "classification" if is_class(y) else "regression", "all", "kron")
    la.fit(loader)
    if is_class(y):
        la.optimize_prior_precision(method="marglik")
        return la(points, link_approx="probit").detach().numpy().astype(float)
    prior, sigma = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    tuned = torch.optim.Adam([prior, sigma], lr=0.1)
    for _ in range(100):
        tuned.zero_grad()
        (-la.log_marginal_likelihood(prior.exp(), sigma.exp())).backward()
        tuned.step()
    mean, variance = la(points)
    variance = variance.detach().numpy().reshape(-1, 1) + la.sigma_noise.item() ** 2
    return mean.detach().numpy().astype(float), np.sqrt(variance)


def posteriors(x: NDArray, y: NDArray, new: NDArray, seed: int) -> Said:
    """SGHMC over a network with the prior N(0, 1): 8,000 steps of 32 rows, a draw each 40 of the last half.

    The logarithm of the noise is one more parameter.
    """
    import posteriors
    import torch
    from torch.func import functional_call

    torch.manual_seed(seed)
    outputs = int(y.max()) + 1 if is_class(y) else 1
    at, points = (torch.as_tensor(a, dtype=torch.float32) for a in (x, new))
    target = torch.as_tensor(y) if is_class(y) else torch.as_tensor(y, dtype=torch.float32)
    net, n = _torch_mlp(x.shape[1], outputs), len(x)

    def log_posterior(params: Any, batch: Any) -> Any:
        found = functional_call(net, {k: v for k, v in params.items() if k != "noise"}, (batch[0],))
        if is_class(y):
            each = -torch.nn.functional.cross_entropy(found, batch[1])
        else:
            each = torch.distributions.Normal(found, params["noise"].exp()).log_prob(batch[1]).mean()
        prior = sum((-0.5 * (v**2).sum() for k, v in params.items()), torch.zeros(()))
        return each + prior / n, found

    params = {k: v.detach().clone() for k, v in net.named_parameters()} | {"noise": torch.tensor(-1.0)}
    transform = posteriors.sgmcmc.sghmc.build(log_posterior, lr=1e-2, alpha=1.0, temperature=1 / n)
    state, draws = transform.init(params), []
    for step in range(8000):
        rows = torch.randint(n, (32,))
        state, _ = transform.update(state, (at[rows], target[rows]))
        if step >= 4000 and step % 40 == 0:
            draws.append({k: v.clone() for k, v in state.params.items()})
    with torch.no_grad():
        found = torch.stack(
            [functional_call(net, {k: v for k, v in d.items() if k != "noise"}, (points,)) for d in draws]
        )
    if is_class(y):
        return found.softmax(-1).mean(0).numpy().astype(float)
    noise = torch.stack([d["noise"].exp() for d in draws])
    variance = found.var(0) + (noise**2).mean()
    return found.mean(0).numpy().astype(float), variance.sqrt().numpy().astype(float)


# Of the README of sklearn-contrib-bde.
BDE_NUMBERS = {
    "hidden_layers": [16, 16], "n_members": 8, "epochs": 200, "validation_split": 0.15, "lr": 1e-3,
    "weight_decay": 1e-4, "warmup_steps": 5000, "n_samples": 2000, "n_thinning": 2, "patience": 10,
}  # fmt: skip
BDE_CLASSES = {
    "hidden_layers": [16, 16], "n_members": 4, "activation": "relu", "epochs": 1000, "validation_split": 0.15,
    "lr": 1e-3, "warmup_steps": 400, "n_samples": 100, "n_thinning": 1, "patience": 10,
}  # fmt: skip


def bde(x: NDArray, y: NDArray, new: NDArray, seed: int) -> Said:
    """Microcanonical ensembles of Sommer et al. (ICLR 2025), with the settings of its README."""
    from bde import BdeClassifier, BdeRegressor
    from bde.loss import CategoricalCrossEntropy, GaussianNLL

    new = new.astype(np.float32)
    if is_class(y):
        model = BdeClassifier(seed=seed, loss=CategoricalCrossEntropy(), **BDE_CLASSES)
        model.fit(x=x.astype(np.float32), y=y.astype(np.int32))
        return np.asarray(model.predict_proba(new), dtype=np.float64)
    model = BdeRegressor(seed=seed, loss=GaussianNLL(), **BDE_NUMBERS)
    model.fit(x=x.astype(np.float32), y=y.astype(np.float32))
    raw = np.asarray(model.predict(new, raw=True), dtype=np.float64)
    raw = raw.reshape(-1, *raw.shape[-2:])  # of all members and draws
    mean, std = raw[..., 0], np.logaddexp(0, raw[..., 1]) + 1e-6
    variance = (std**2).mean(axis=0) + mean.var(axis=0)
    return mean.mean(axis=0)[:, None], np.sqrt(variance)[:, None]


# Name in the table -> the function, and what it imports, which is not measured.
MODELS = {
    "**bayes-rpp, default**": (ours, "bayes_rpp.inference.methods"),
    "bayes-rpp, networks": (ours_networks, "bayes_rpp.inference.methods"),
    "scikit-learn, Gaussian process": (sklearn_gp, "sklearn.gaussian_process"),
    "scikit-learn, gradient boosting": (boosting, "sklearn.ensemble"),
    "scikit-learn, MLP": (mlp, "sklearn.neural_network"),
    "NGBoost": (ngboost, "ngboost"),
    "GPyTorch, exact": (gpytorch, "gpytorch"),
    "laplace-torch": (laplace_torch, "laplace"),
    "posteriors, SGHMC": (posteriors, "posteriors"),
    "bde": (bde, "bde"),
}
