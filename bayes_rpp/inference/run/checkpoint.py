"""Runs that survive being killed: their state on disk, written as a whole or not at all."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._files import reading, replacing
from bayes_rpp.inference.run.identity import check_same_run, identity_of

if TYPE_CHECKING:
    from bayes_rpp.inference.run.task import Task

Arrays = dict[str, NDArray]
ANEW = "remove the folder to start anew"


@dataclass(frozen=True)
class Checkpoint:
    """Where `fit` keeps a run, so that the same call goes on where it stopped, and ends with the same result.

    Args:
        path: a folder, one for each run.
        every: seconds between two writes; 0 writes after each epoch or block of draws.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    path: str | Path
    every: float = 10.0

    def __post_init__(self) -> None:
        if not isinstance(self.path, (str, Path)):
            raise TypeError(f"path of the checkpoint must be a folder's path, got {self.path!r}")
        if isinstance(self.every, bool) or not isinstance(self.every, (int, float)) or not self.every >= 0:
            raise ValueError(f"every must be a number of seconds >= 0, got {self.every!r}")


class Store:
    """The folder of one run. `state.npz` is replaced at each save; blocks are added beside it and never changed."""

    def __init__(self, checkpoint: Checkpoint, identity: dict[str, Any]) -> None:
        self.folder, self.every, self._identity = Path(checkpoint.path), checkpoint.every, identity
        self.folder.mkdir(parents=True, exist_ok=True)
        self._last = time.monotonic()
        self._blocks = 0

    @staticmethod
    def of(task: Task) -> Store | None:
        return Store(task.checkpoint, identity_of(task)) if task.checkpoint else None

    def due(self) -> bool:
        """Whether it is time for the next save."""
        return time.monotonic() - self._last >= self.every

    def save(self, state: Arrays, block: Arrays | None = None) -> None:
        """Replace the state, and add a block."""
        if block is not None:
            self._write(self._block(self._blocks), block)
            self._blocks += 1
        described = json.dumps(self._identity | {"blocks": self._blocks})
        self._write(self.folder / "state.npz", state | {"run": np.array(described)})
        self._last = time.monotonic()

    def load(self) -> Arrays | None:
        """The last state, or None if there is none.

        Raises:
            ValueError: if the folder holds another run, or files that cannot be read.
        """
        path = self.folder / "state.npz"
        if not path.exists():
            return None
        state = self._read(path)
        with reading(path, ANEW):
            run = dict(json.loads(str(state.pop("run", "{}"))))
        check_same_run(str(self.folder), run, self._identity)
        with reading(path, ANEW):
            self._blocks = int(run["blocks"])
        return state

    def blocks(self) -> list[Arrays]:
        """All blocks that belong to the loaded state, in order."""
        return [self._read(self._block(i)) for i in range(self._blocks)]

    def _block(self, number: int) -> Path:
        return self.folder / f"block_{number:05d}.npz"

    def _read(self, path: Path) -> Arrays:
        with reading(path, ANEW), path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {k: file[k] for k in file.files}

    def _write(self, path: Path, arrays: Arrays) -> None:
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
