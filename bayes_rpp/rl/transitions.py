"""Transitions (state, action, next state) of an environment, by episode, from the replay buffer of a SAC agent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp._files import reading, replacing, understanding
from bayes_rpp._given import finite_array, real_array
from bayes_rpp._numerics import ROUNDING, rms

if TYPE_CHECKING:
    import gymnasium

FIELDS = ("states", "actions", "next_states", "ends")
SAC: dict[str, Any] = {"train_freq": 4, "gradient_steps": 1, "batch_size": 128, "policy_kwargs": {"net_arch": [64, 64]}}


class MakesEnvironment(Protocol):
    """What `rl.symmetry` gives, or anything else that makes an environment."""

    def make(self) -> gymnasium.Env: ...


@dataclass(frozen=True, eq=False)
class Transitions:
    """Steps of episodes, one after the other, in the environment's units.

    Attributes:
        states, next_states: (n, d_state) observations before and after.
        actions: (n, d_action) in between, in the environment's units.
        ends: (n,) whether an episode ends with this row: the next row's state is not this row's next state.
        environment: its name.

    Raises:
        TypeError, ValueError: if shapes do not fit together, values are not finite, or states do not follow one another
            where no end is marked.
    """

    states: NDArray
    actions: NDArray
    next_states: NDArray
    ends: NDArray
    environment: str = ""

    def __post_init__(self) -> None:
        states = finite_array(self.states, "states")
        found = {
            "states": states,
            "actions": finite_array(self.actions, "actions"),
            "next_states": finite_array(
                self.next_states, "next_states", columns=states.shape[1], because=", as states"
            ),
        }
        ends = real_array(self.ends, "ends")
        if ends.dtype != bool or ends.ndim != 1:
            raise TypeError(f"ends must be a True or False for each row, got {ends.dtype} of shape {ends.shape}")
        for name, value in (*found.items(), ("ends", ends)):
            if len(value) != len(states):
                raise ValueError(f"{name} must have {len(states)} rows, as states has, got {len(value)}")
        if not len(states):
            raise ValueError("states must have at least one row, got none")
        for name, value in found.items():
            object.__setattr__(self, name, np.asarray(value, dtype=np.float64))
        ends = ends.copy()
        ends[-1] = True
        object.__setattr__(self, "ends", ends)
        jumps = ~ends[:-1] & (np.abs(self.states[1:] - self.next_states[:-1]) > _near(self.states)).any(axis=1)
        if jumps.any():
            row = int(np.flatnonzero(jumps)[0])
            raise ValueError(
                f"next_states[{row}] must be states[{row + 1}] where ends[{row}] is False, got another; True, where an "
                "episode ends, would do"
            )

    def __len__(self) -> int:
        return len(self.states)

    @property
    def episodes(self) -> NDArray[np.int64]:
        """(n,) number of each row's episode, from 0."""
        return np.concatenate([[0], np.cumsum(self.ends[:-1])]).astype(np.int64)

    @property
    def x(self) -> NDArray:
        """(n, d_state + d_action), what a model of the transitions is given."""
        return np.concatenate([self.states, self.actions], axis=1)

    @property
    def changes(self) -> NDArray:
        """(n, d_state), what it predicts: next state - state."""
        return self.next_states - self.states

    def take(self, rows: ArrayLike) -> Transitions:
        """Some of the rows, in rising order; those that still follow one another stay one episode.

        Raises:
            ValueError: if a row is not there, or twice, or none is asked for.
        """
        rows = np.sort(np.asarray(rows))
        fits = rows.ndim == 1 and np.issubdtype(rows.dtype, np.integer) and len(rows) and (np.diff(rows) > 0).all()
        if not fits or rows[0] < 0 or rows[-1] >= len(self):
            raise ValueError(f"rows must be different whole numbers from 0 to {len(self) - 1}, got {rows}")
        ends = self.ends[rows]
        ends[:-1] |= np.diff(rows) > 1
        return Transitions(self.states[rows], self.actions[rows], self.next_states[rows], ends, self.environment)

    def sample(self, n: int, seed: int = 0) -> Transitions:
        """n rows drawn without replacement."""
        if whole_number(n, "n") > len(self):
            raise ValueError(f"n must be at most {len(self)}, the number of transitions, got {n}")
        whole_number(seed, "seed", 0)
        return self.take(np.random.default_rng(seed).choice(len(self), n, replace=False))

    def split(self, validation: float = 0.1, test: float = 0.1, seed: int = 0) -> tuple[Transitions, ...]:
        """Training, validation and test transitions, whole episodes each, drawn until a share of the rows is reached.

        Raises:
            ValueError: if a share is out of range, or there are too few episodes for three parts.
        """
        for name, share in (("validation", validation), ("test", test)):
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
                raise ValueError(f"{name} must be a share between 0 and 1, got {share!r}; 0.1 would do")
        whole_number(seed, "seed", 0)
        episode = self.episodes
        lengths = np.bincount(episode)
        order = np.random.default_rng(seed).permutation(len(lengths))
        before = (np.cumsum(lengths[order]) - lengths[order]) / len(self)  # share of the rows in episodes drawn so far
        part = np.empty(len(lengths), dtype=int)
        limits = np.array([test, test + validation]) - 1e-9
        part[order] = np.searchsorted(limits, before, side="right")  # 0 for testing, 1 for validation, 2 for training
        found = [np.flatnonzero(part[episode] == k) for k in (2, 1, 0)]
        if any(not len(rows) for rows in found):
            raise ValueError(
                f"validation and test must leave transitions for training, got {validation} and {test} of "
                f"{len(lengths)} episode(s), which cannot be divided so; more transitions, or other shares, would do"
            )
        return tuple(self.take(rows) for rows in found)

    def windows(self, steps: int, every: int | None = None) -> tuple[NDArray, NDArray]:
        """Stretches of trajectories, to compare rollouts with.

        Args:
            steps: length, T.
            every: rows from the start of one to that of the next within an episode; None: T, so that none overlap.

        Returns:
            States (windows, T + 1, d_state) and the actions (windows, T, d_action) between them.

        Raises:
            ValueError: if no episode is that long.
        """
        whole_number(steps, "steps")
        every = steps if every is None else whole_number(every, "every")
        stops = np.flatnonzero(self.ends) + 1
        spans = zip(np.concatenate([[0], stops[:-1]]), stops, strict=True)
        starts = np.concatenate([np.arange(a, b - steps + 1, every) for a, b in spans]).astype(np.int64)
        if not len(starts):
            longest = int(np.bincount(self.episodes).max())
            raise ValueError(f"steps must be at most {longest}, as long as the longest episode is, got {steps}")
        rows = starts[:, None] + np.arange(steps)
        return np.concatenate([self.states[rows], self.next_states[rows[:, -1:]]], axis=1), self.actions[rows]

    def save(self, path: str | Path) -> Path:
        """Write them to an .npz file; returns its path."""
        path = Path(path)
        with replacing(path) as part:
            arrays: dict[str, Any] = {name: getattr(self, name) for name in FIELDS}
            with part.open("wb") as file:
                np.savez_compressed(file, environment=np.array(self.environment), **arrays)
        return path

    @staticmethod
    def load(path: str | Path) -> Transitions:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError, ValueError: if there is no file, or it is not one of these.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"path must be a file that `save` wrote, got {str(path)!r}, where there is none")
        with reading(path, "is it a file of transitions, whole?"), path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            found = {name: arrays[name] for name in (*FIELDS, "environment")}
        with understanding(path):
            return Transitions(**found | {"environment": str(found["environment"])})

    def __repr__(self) -> str:
        sizes = f"{self.states.shape[1]} states, {self.actions.shape[1]} actions"
        return f"Transitions({self.environment!r}, {len(self)} in {int(self.ends.sum())} episodes, {sizes})"


def _near(states: NDArray) -> NDArray:
    """How far each column of states may be from itself, written twice: rounded to float32, or to four digits of its
    spread."""
    spread = rms(states - states.mean(axis=0), axis=0)
    return 1e-4 * spread + ROUNDING * np.finfo(np.float32).eps * np.abs(states).max(axis=0)


def collect_transitions(
    environment: MakesEnvironment | str,
    n: int = 50_000,
    *,
    seed: int = 0,
    cache: str | Path | None = None,
    progress: bool = False,
) -> Transitions:
    """The first n steps of a SAC agent that learns (Stable-Baselines3, two layers of 64 units, a step of training every
    four), from its replay buffer: random actions at first, then better and better ones.

    50,000 take a minute or two on one core. Actions are in the environment's units (SB3 stores them scaled to
    [-1, 1]).

    Args:
        environment: a symmetry of `rl.symmetry`, whose `make()` gives the small observations, or an id of Gymnasium,
            such as "Swimmer-v5".
        n: number of transitions, more than the 100 random actions with which SAC starts.
        seed: of the agent and the environment.
        cache: folder to keep them in; what is there already is read.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
        ImportError: if the packages of `pip install 'bayes-rpp[rl]'` are missing.
    """
    whole_number(n, "n")
    whole_number(seed, "seed", 0)
    if not isinstance(environment, str) and not hasattr(environment, "make"):
        raise TypeError(f"environment must be a Symmetry or an id, got {environment!r}; 'Swimmer-v5' would do")
    try:
        import gymnasium
        from stable_baselines3 import SAC as Agent
    except ImportError as error:
        raise ImportError("collect_transitions needs Stable-Baselines3: pip install 'bayes-rpp[rl]'") from error
    try:
        env = gymnasium.make(environment) if isinstance(environment, str) else environment.make()
    except gymnasium.error.Error as error:
        raise ValueError(f"environment must be one that Gymnasium can make, got {environment!r}: {error}") from error
    name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
    for kind, space in (("observations", env.observation_space), ("actions", env.action_space)):
        if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
            raise ValueError(f"environment must have vectors of real numbers as {kind}, got {space} of {name}")
    size = env.observation_space.shape[0]
    path = None if cache is None else Path(cache) / f"{name}-{size}-{n}-{seed}.npz"
    if path is not None and path.exists():
        found = Transitions.load(path)
        if found.states.shape != (n, size):
            raise ValueError(f"{path} holds {found}, not {n} with states of size {size}; removing the file would do")
        return found
    agent = Agent("MlpPolicy", env, buffer_size=n, seed=int(seed), device="cpu", **SAC)
    agent.learn(n, progress_bar=progress)
    buffer: Any = agent.replay_buffer
    found = Transitions(
        buffer.observations[:n, 0],
        agent.policy.unscale_action(buffer.actions[:n, 0]),
        buffer.next_observations[:n, 0],
        buffer.dones[:n, 0].astype(bool),
        name,
    )
    env.close()
    if path is not None:
        found.save(path)
    return found
