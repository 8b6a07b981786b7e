"""Callbacks of a fit: functions of its Progress, called at the end of each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_rpp._arrays import whole_number
from bayes_rpp._given import finite_array
from bayes_rpp._types import ArrayLike, Float, Shaped
from bayes_rpp.inference.run.task import Task
from bayes_rpp.networks.particles.systems import Particles
from bayes_rpp.symmetry.equivariance import Probe
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.representations import bind_rep

if TYPE_CHECKING:
    from bayes_rpp.inference.optimise.training import Progress


class EquivarianceTracker:
    """Records each member's equivariance error (Eq. 2, mean over points) during training.

    Args:
        group: whose equivariance to measure; need not be the network's.
        every: epochs between records; the first and last epoch are always recorded.
        x: (n, d_in) points to measure at. None: the first `points` of the validation data, or of the training data.
        points: how many points.
        seed: of the group elements, the same ones at every epoch.
        name: of the record in the posterior's `training` and in the file.

    Attributes (after the fit):
        epoch: (records,) epochs recorded.
        error: (members, records).
        loss: (members, records) training loss at these epochs.
    """

    def __init__(
        self,
        group: Group,
        *,
        every: int = 1,
        x: ArrayLike | None = None,
        points: int = 100,
        seed: int = 0,
        name: str = "equivariance_error",
    ) -> None:
        if not isinstance(group, Group):
            raise TypeError(f"group must be a Group, got {group!r}; O(3) would do")
        whole_number(every, "every")
        whole_number(points, "points")
        self.group, self.every, self.points, self.seed, self.name = group, every, points, seed, name
        if (
            not isinstance(name, str)
            or not name.isidentifier()
            or name in ("loss", "validation_loss", "member", "epoch")
        ):
            raise ValueError(f"name must be a word, got {name!r}; 'error_of_rotations' would do")
        self._x: Any = x if x is None or isinstance(x, Particles) else finite_array(x, "x")
        self._records: list[tuple[int, NDArray, NDArray]] = []
        self._probe: Probe | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.epoch == 1 or progress.epoch % self.every == 0:
            self._record(progress)

    def finish(self, progress: Progress) -> None:
        if not self._records or self._records[-1][0] != progress.epoch:
            self._record(progress)

    def _record(self, progress: Progress) -> None:
        assert self._probe is not None
        error = progress.posterior.measure(self._probe).mean(axis=-1)[0]
        self._records.append((progress.epoch, error, progress.loss))
        progress.record(self.name, error)

    def start(self, task: Task) -> None:
        default = task.validation[0] if task.validation else task.x
        x = (default if self._x is None else self._x)[: self.points]
        net = task.model.net
        for name, own in (("rep_in", net.rep_in), ("rep_out", net.rep_out)):
            size = bind_rep(own.rep, self.group, name).size
            if size != own.size:
                raise ValueError(
                    f"group of the tracker must act as that of the network, got {self.group}, under which {name} = "
                    f"{own.rep} has size {size}, not {own.size}; a group on R^{net.group.dim} would do"
                )
        self._probe = Probe(net.encode(x), net.rep_in, net.rep_out, self.group, self.seed)
        self._probe.warn_if_empty()
        self._records = []

    def resume(self, records: dict[str, dict[int, NDArray]]) -> None:
        loss = records["loss"]
        self._records = [(e, error, loss[e]) for e, error in records.get(self.name, {}).items()]

    @property
    def epoch(self) -> Shaped[NDArray[np.int64], " records"]:
        return np.array([e for e, _, _ in self._records], dtype=np.int64)

    @property
    def error(self) -> Float[NDArray, "members records"]:
        return np.stack([e for _, e, _ in self._kept()], axis=1)

    @property
    def loss(self) -> Float[NDArray, "members records"]:
        return np.stack([loss for _, _, loss in self._kept()], axis=1)

    def _kept(self) -> list[tuple[int, NDArray, NDArray]]:
        if not self._records:
            raise RuntimeError("nothing is recorded yet; pass this tracker to fit(..., callbacks=[tracker])")
        return self._records
