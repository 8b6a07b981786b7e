"""Datasets and DataLoaders of torch as data of `fit`."""

import numpy as np
import pytest

pytest.importorskip("pyro")
pytest.importorskip("torch")

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import bayes_rpp as rpp

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
Y = X @ RNG.normal(size=(3, 2)).astype(np.float32)
DATA = TensorDataset(torch.as_tensor(X), torch.as_tensor(Y))
MODEL = rpp.Model(rpp.MLP(3, 2, channels=4, layers=1))


class Counted(Dataset):
    """Each example is another one whenever it is asked for, as with augmentation."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 60

    def __getitem__(self, k):
        self.asked.append(k)
        return X[k] + 1e-6 * len(self.asked), Y[k]


class Endless(IterableDataset):
    def __iter__(self):
        yield from DATA


def fitted(x, y=None, method=None, **options):
    return rpp.fit(MODEL, x, y, method or rpp.MAP(epochs=3, batch_size=20, patience=None), engine="pyro",
                   progress=False, **options)  # fmt: skip


def test_a_dataset_is_its_arrays():
    ways = [fitted(DATA, validation=DATA), fitted(X, Y, validation=(X, Y))]
    ways.append(fitted(DATA, validation=DataLoader(DATA, batch_size=7)))
    for name, w in ways[1].samples.items():
        for other in ways:
            np.testing.assert_array_equal(other.samples[name], w)


def test_a_loader_is_gone_through_in_each_epoch():
    # In one batch of all examples, the order is of no account, and the first step is that on arrays.
    loader, method = DataLoader(DATA, batch_size=60), rpp.DeepEnsemble(members=2, epochs=2, batch_size=60)
    streamed, whole = fitted(loader, method=method), fitted(X, Y, method)
    for name, w in whole.samples.items():
        np.testing.assert_allclose(streamed.samples[name], w, atol=1e-5)
    np.testing.assert_allclose(streamed.training["loss"], whole.training["loss"], rtol=1e-4)
    data = Counted()
    post = fitted(DataLoader(data, batch_size=25, shuffle=True), init={k: w[0, 0] for k, w in whole.samples.items()})
    assert sorted(data.asked[-60:]) == list(range(60))
    assert len(data.asked) == 60 * 4  # a look, and three epochs
    assert post.x.shape == (60, 3)
    assert "batch_size=25" in post.method
    assert np.isfinite(post.training["loss"]).all()


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (DataLoader(DATA), {"y": Y}, "y must be None where x is a DataLoader, which has both"),
        (DataLoader(DATA), {"method": rpp.SVI()}, "method must be MAP or DeepEnsemble, .*the DataLoader's dataset"),
        (DataLoader(DATA), {"checkpoint": "here"}, "checkpoint must be None where x is a DataLoader"),
        (DataLoader(Endless()), {}, "x must be a DataLoader whose dataset has a length"),
        (DataLoader(TensorDataset(torch.as_tensor(X))), {}, "x must be a Dataset or DataLoader of pairs"),
        (TensorDataset(torch.as_tensor(X)), {}, "x must be a Dataset or DataLoader of pairs"),
        (DataLoader(TensorDataset(torch.zeros(5, 2), torch.zeros(5, 2))), {}, "x of a batch must have 3 columns"),
        (Endless(), {}, "x must be a Dataset of known length"),
        (
            DataLoader(TensorDataset(torch.zeros(5, 3), torch.arange(5))),
            {},
            r"y of a batch must have two dimensions .*, got whole numbers of shape \(1,\); for classes .*Categorical",
        ),
    ],
)
def test_what_does_not_go_together_is_named(x, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fitted(x, **options)
