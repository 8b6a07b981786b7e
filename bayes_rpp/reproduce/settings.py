"""The six settings of the paper's Figure 2, and the models that are compared in each (Finzi et al. 2021, Section 5.1).

One thing differs from setting to setting, the hand-set sigma_b of "RPP": 0.005 where the symmetry is exact, 0.03 where
it is approximate, 0.3 where it is wrong. "RPP, learned" is given nothing: each layer's sigma_b has the same hyperprior,
of a scale at which the residual pathway is next to nothing, in all six.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bayes_rpp import datasets
from bayes_rpp.datasets import Dataset
from bayes_rpp.datasets.pendulum import CHUNK, STEP
from bayes_rpp.models.likelihoods import Gaussian
from bayes_rpp.models.model import Model
from bayes_rpp.networks.emlp import EMLP
from bayes_rpp.networks.hamiltonian import HamiltonianNetwork
from bayes_rpp.networks.mlp import MLP
from bayes_rpp.networks.network import Network
from bayes_rpp.priors.hyper import PerLayer, Prior
from bayes_rpp.symmetry.groups import SL, SO, Group
from bayes_rpp.symmetry.representations import Scalar, Vector

METHODS = ("RPP", "RPP, learned", "EMLP", "MLP")
HYPERPRIOR = 0.005  # scale of HalfNormal, of sigma_b in units of scale="fan_in"
NOISE = 0.02  # of the likelihood, as a share of the root mean square of y: the data have none
TEST = 1_000_000  # is added to a trial's seed for its test data


@dataclass(frozen=True)
class Setting:
    """Data, group and what the paper trains on them.

    Attributes:
        name: as in tables.
        kind: "exact", "approximate" or "misspecified".
        sigma_b: of "RPP", set by hand.
        examples, epochs, batch_size, channels, layers: of the training; test data are as many.
    """

    name: str
    kind: str
    make: Callable[..., Dataset]
    group: Group | None
    sigma_b: float
    examples: int
    epochs: int
    batch_size: int
    channels: int
    layers: int = 3
    is_mechanical: bool = False

    @property
    def slug(self) -> str:
        return self.name.replace(" ", "-")

    def data(self, seed: int) -> Dataset:
        found = self.make(self.examples, seed=seed)
        return found if self.group is None else dataclasses.replace(found, group=self.group)

    def network(self, method: str, data: Dataset) -> Network:
        # As in the paper, whose bilinear layers multiply all copies with all.
        kind: Any = MLP if method == "MLP" else partial(EMLP, bilinear="full")
        if not self.is_mechanical:
            found: Network = kind(data.rep_in, data.rep_out, data.group, channels=self.channels, layers=self.layers)
            return found
        # Scalars and vectors alone, about half of the width each: an energy needs no more, and half the time.
        vectors = max(1, round(self.channels * 20 / 128))
        hidden: Any = self.channels if method == "MLP" else (self.channels - 3 * vectors) * Scalar + vectors * Vector
        energy = kind(data.rep_in, Scalar, data.group, channels=hidden, layers=self.layers)
        return HamiltonianNetwork(energy, dt=STEP, steps=CHUNK - 1)

    def model(self, method: str, data: Dataset) -> Model:
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        sigma_b: Any = {"RPP": self.sigma_b, "RPP, learned": learned(), "EMLP": 0.0, "MLP": 0.0}[method]
        return Model(self.network(method, data), sigma_a=1.0, sigma_b=sigma_b, likelihood=likelihood_of(data))

    def quick(self) -> Setting:
        """The same in seconds, to see that all works."""
        return dataclasses.replace(self, examples=100, batch_size=50, channels=32, layers=1)


def likelihood_of(data: Dataset) -> Gaussian:
    """Gaussian, with a noise in proportion to the outputs."""
    return Gaussian(NOISE * float(np.sqrt(np.mean(data.y.astype(np.float64) ** 2))))


def learned() -> PerLayer:
    """The one setting of all experiments."""
    return PerLayer(Prior("HalfNormal", {"scale": HYPERPRIOR}))


def _settings() -> dict[str, Setting]:
    inertia: dict[str, Any] = {"examples": 1000, "batch_size": 500, "channels": 384}
    # The paper takes 1000 steps with all 500 chunks; these are as many with 100, a fifth of the time.
    pendulum: dict[str, Any] = {
        "examples": 500,
        "epochs": 200,
        "batch_size": 100,
        "channels": 128,
        "is_mechanical": True,
    }
    found = [
        Setting("inertia", "exact", datasets.inertia, None, 0.005, epochs=300, **inertia),
        Setting("modified inertia", "approximate", datasets.modified_inertia, None, 0.03, epochs=500, **inertia),
        Setting("misspecified inertia", "misspecified", datasets.inertia, SL(3), 0.3, epochs=300, **inertia),
        Setting("pendulum", "exact", datasets.pendulum, None, 0.005, **pendulum),
        Setting("windy pendulum", "approximate", datasets.windy_pendulum, None, 0.03, **pendulum),
        Setting("misspecified pendulum", "misspecified", datasets.pendulum, SO(3), 0.3, **pendulum),
    ]
    return {s.slug: s for s in found}


SETTINGS = _settings()
