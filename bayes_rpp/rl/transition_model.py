"""Models of an environment's transitions: the change of the state from state and action, with a soft symmetry.

f: rep_state + rep_action -> rep_state (Finzi et al. 2021, Section 6.2), an ensemble of small networks whose hidden
layers are copies of the regular representation, which any pointwise nonlinearity leaves equivariant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import Array, whole_number
from bayes_rpp._deprecation import renamed_attribute
from bayes_rpp._given import finite_array
from bayes_rpp._types import ArrayLike, EngineName
from bayes_rpp.analysis.standardize import Standardization
from bayes_rpp.engines.base import check_engine
from bayes_rpp.inference.fit import fit
from bayes_rpp.inference.methods import DeepEnsemble, Method
from bayes_rpp.inference.posterior.posterior import Posterior
from bayes_rpp.inference.run.rounding import warn_of_rounding
from bayes_rpp.models.likelihoods import Gaussian
from bayes_rpp.models.model import Model
from bayes_rpp.networks.emlp import EMLP
from bayes_rpp.networks.mlp import MLP
from bayes_rpp.networks.network import Network
from bayes_rpp.priors.hyper import Inferable, PerLayer, Prior, Sigma
from bayes_rpp.rl.transitions import Transitions
from bayes_rpp.symmetry.equivariance import equivariance_error
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import Regular, Rep, Representation, bind_rep

NOISE = Prior("HalfNormal", {"scale": 1.0})  # of a step's change, in units of its size
HYPERPRIOR = Prior("HalfNormal", {"scale": 0.02})  # of sigma_b, by layer
# Of training, if no method is given: steps and batch size, up to 10,000 transitions and beyond; and epochs.
FEW, STEPS, BATCH_SIZE, EPOCHS = 10_000, (8000, 5000), (64, 128), (10, 300)


class HasSymmetry(Protocol):
    """What `rl.symmetry` gives, or anything with a group and how it acts on states and actions."""

    group: Group
    rep_state: Rep
    rep_action: Rep


@dataclass(frozen=True)
class TransitionModel:
    """A posterior over functions from state and action to the change of the state, in the environment's units.

    Attributes:
        posterior: of the standardised model.
        standardize_x, standardize_y: of states and actions together, and of changes.
    """

    posterior: Posterior = field(repr=False)
    standardize_x: Standardization = field(repr=False)
    standardize_y: Standardization = field(repr=False)
    standardise_x = renamed_attribute("standardise_x", "standardize_x")
    standardise_y = renamed_attribute("standardise_y", "standardize_y")

    @property
    def members(self) -> int:
        """How many draws of the network there are: members of an ensemble, or samples."""
        return self.posterior.chains * self.posterior.draws

    def changes(self, states: ArrayLike, actions: ArrayLike) -> NDArray:
        """What each member predicts for next state - state, (members, n, d_state), for states (n, d_state) and actions
        (n, d_action).

        Raises:
            TypeError, ValueError: if they do not fit the model.
        """
        states, actions = self.checked(states, actions)
        x = self.standardize_x(np.concatenate([states, actions], axis=1))
        return np.stack([self.member(m)(x) for m in range(self.members)])

    def member(self, number: int) -> Callable[[NDArray], NDArray]:
        """The changes in the environment's units, (n, d_state), as a function of standardised inputs, float64."""
        chain, draw = divmod(number, self.posterior.draws)
        f = self.posterior.function(chain, draw)
        return lambda x: self.standardize_y.undo(np.asarray(f(x), dtype=np.float64))

    def checked(self, states: ArrayLike, actions: ArrayLike) -> tuple[NDArray, NDArray]:
        """Both as float64 arrays; raises TypeError or ValueError, naming the argument that does not fit."""
        d = self.posterior.model.net.rep_out.size
        states = finite_array(states, "states", columns=d, because=", as the model's states")
        rest = self.posterior.model.net.rep_in.size - d
        actions = finite_array(actions, "actions", columns=rest, because=", as the model's actions")
        if len(states) != len(actions):
            raise ValueError(f"actions must have {len(states)} rows, as states has, got {len(actions)}")
        return states.astype(np.float64), actions.astype(np.float64)

    def equivariance_error(
        self, states: ArrayLike, actions: ArrayLike, symmetry: HasSymmetry, *, seed: int = 0
    ) -> NDArray:
        """Eq. 2's |a - b| / (|a| + |b|) of each member's change, (members, n), a random group element for each point.

        Changes are measured in units of their size here, one unit for all columns that the group mixes.

        Args:
            symmetry: whose: also of a model without one.
        """
        states, actions = self.checked(states, actions)
        rep_in, rep_out = _bound(symmetry)
        changes = self.changes(states, actions).mean(axis=0)
        scale = Standardization.of(changes, symmetry.rep_state, [symmetry.group], together="mixed", centered=False)
        x = np.concatenate([states, actions], axis=1)

        def error(number: int) -> NDArray:
            f = self.member(number)
            return equivariance_error(
                lambda p: scale(f(self.standardize_x(p))), x, rep_in, rep_out, symmetry.group, seed=seed
            )

        return np.stack([error(m) for m in range(self.members)])


def fit_transitions(
    transitions: Transitions,
    symmetry: HasSymmetry | None = None,
    *,
    net: Network | None = None,
    width: int = 128,
    layers: int = 2,
    sigma_a: Sigma = 1.0,
    sigma_b: Sigma | None = None,
    noise: Inferable | None = None,
    method: Method | None = None,
    validation: Transitions | None = None,
    engine: EngineName | None = None,
    seed: int = 0,
    progress: bool = True,
    checkpoint: str | Path | None = None,
) -> TransitionModel:
    """Fit an ensemble to transitions.

    Args:
        transitions: to train on.
        symmetry: `rl.symmetry(...)`, or anything with group, rep_state and rep_action. None: an MLP.
        net: another network, (rep_state + rep_action) -> rep_state; None: `transition_network`.
        width, layers: of the hidden layers.
        sigma_a, sigma_b, noise: of the Model, in standardised units: numbers or distributions. The noise, and sigma_b
            by layer, are found with the weights if they are left out: HalfNormal(1.0), and HalfNormal(0.02); of
            networks without a symmetry sigma_b is 0. 0 is also the strictly equivariant model.
        method: None: DeepEnsemble(members=5, learning_rate=0.03) of some 8000 steps with batches of 64, or 5000 with
            128 of more than 10,000 transitions, in 10 to 300 epochs.
        validation: other transitions, which early stopping (`patience` of the method) looks at.
        engine, seed, progress, checkpoint: as in `fit`.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    if not isinstance(transitions, Transitions):
        raise TypeError(f"transitions must be what rl.collect_transitions gives, got a {type(transitions).__name__}")
    sizes = transitions.states.shape[1], transitions.actions.shape[1]
    if net is None:
        net = transition_network(symmetry, width, layers, sizes=sizes)
    for name, found, wanted in (("input", net.rep_in.size, sum(sizes)), ("output", net.rep_out.size, sizes[0])):
        if found != wanted:
            owner = f"states have size {sizes[0]} and actions {sizes[1]}"
            raise ValueError(f"net must have an {name} of size {wanted}, as {owner}, got {found}")
    if sigma_b is None:
        sigma_b = PerLayer(HYPERPRIOR) if isinstance(net, EMLP) else 0.0
    standard_x, standard_y = (
        Standardization.of(values, rep.rep, [rep.group], together="mixed")
        for values, rep in ((transitions.x, net.rep_in), (transitions.changes, net.rep_out))
    )

    def data(given: Transitions) -> tuple[NDArray, NDArray]:
        x, y = standard_x(given.x), standard_y(given.changes)
        warn_of_rounding(check_engine(engine, net.engines), states_and_actions=x, changes=y)
        return x.astype(np.float32), y.astype(np.float32)

    if validation is not None and not isinstance(validation, Transitions):
        raise TypeError(f"validation must be Transitions, as of split(), got a {type(validation).__name__}")
    model = Model(net, sigma_a=sigma_a, sigma_b=sigma_b, likelihood=Gaussian(NOISE if noise is None else noise))
    posterior = fit(
        model,
        *data(transitions),
        method or default_method(len(transitions)),
        engine=engine,
        seed=seed,
        progress=progress,
        validation=None if validation is None else data(validation),
        checkpoint=checkpoint,
    )
    return TransitionModel(posterior, standard_x, standard_y)


def default_method(n: int, members: int = 5) -> DeepEnsemble:
    """An ensemble of some thousands of steps on n transitions."""
    steps, batch = (s[n > FEW] for s in (STEPS, BATCH_SIZE))
    epochs = int(np.clip(steps // max(1, n // batch), *EPOCHS))
    return DeepEnsemble(members=members, epochs=epochs, batch_size=batch, learning_rate=0.03)


def transition_network(
    symmetry: HasSymmetry | None, width: int = 128, layers: int = 2, *, sizes: tuple[int, int] | None = None
) -> Network:
    """The network of transition models: swish between layers of `width` units.

    With a finite group of k elements the hidden layers are width // k copies of its regular representation, whose
    entries the group permutes; with another, tensors, gates and bilinear layers of that width.

    Args:
        sizes: of states and actions; needed without a symmetry.

    Raises:
        TypeError, ValueError: if the symmetry is none, or the width has no room for the group.
    """
    if symmetry is None:
        if sizes is None:
            raise ValueError(
                "sizes must be given where symmetry is None, got None; the sizes of states and actions, such as (8, "
                "2), would do"
            )
        return MLP(sum(sizes), sizes[0], None, channels=width, layers=layers)
    _bound(symmetry)
    group, rep_in = symmetry.group, symmetry.rep_state + symmetry.rep_action
    if not group.is_discrete:
        return EMLP(rep_in, symmetry.rep_state, group, channels=width, layers=layers, bilinear="full")
    copies = whole_number(width, "width") // len(group.elements)
    if not copies:
        raise ValueError(f"width must be {len(group.elements)} or more, as {group} has so many elements, got {width}")
    return EMLP(rep_in, symmetry.rep_state, group, channels=copies * Regular, layers=layers, bilinear=False)


class DoubledMLP(MLP):
    """An MLP each of whose weights is the sum of two: the two pathways of an RPP with nothing to tell them apart, which
    is what the trivial group makes of one. `Model(net, sigma_a=net.sigmas(residual), sigma_b=0)`.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._weights = list(self.parameters)
        self.parameters |= {f"residual.{k}": v for k, v in self.parameters.items()}

    def __call__(self, params: Mapping[str, Array], x: Array) -> Array:
        return super().__call__({k: params[k] + params[f"residual.{k}"] for k in self._weights}, x)

    def sigmas(self, residual: Inferable | PerLayer) -> Mapping[str, Inferable]:
        """sigma_a by parameter: 1 of the first pathway, `residual` of the second; a PerLayer counts for each layer."""
        if not isinstance(residual, PerLayer):
            return {"residual.*": residual, "*": 1.0}
        return {f"residual.{k}.*": residual.distribution for k in self._names} | {"*": 1.0}


def _bound(symmetry: Any) -> tuple[Representation, Representation]:
    """rep_state + rep_action and rep_state, bound; raises TypeError for what is no symmetry."""
    lacking = [name for name in ("group", "rep_state", "rep_action") if not hasattr(symmetry, name)]
    if lacking:
        raise TypeError(f"symmetry must have {lacking[0]}, got {symmetry!r}; rl.symmetry('Walker2d-v5') would do")
    state = bind_rep(symmetry.rep_state, symmetry.group, "rep_state")
    bind_rep(symmetry.rep_action, symmetry.group, "rep_action")
    return bind_rep(symmetry.rep_state + symmetry.rep_action, symmetry.group, "rep_state + rep_action"), state
