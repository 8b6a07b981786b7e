"""The rows of `benchmarks.gpu`: what each measures, on the engine and device of this process.

Usage: python -m benchmarks.gpu_rows ENGINE DEVICE QUICK KEYS...   (`benchmarks.gpu` starts it)
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import bayes_rpp as rpp
from benchmarks.rows import Training, inertia, peak_memory

Figures = dict[str, float]
MARK = "ROW "  # before what the parent reads
NETS: dict[str, dict[str, Any]] = {
    "MLP": {"net": rpp.MLP},
    "RPP-EMLP": {},
    "RPP-EMLP, no bilinear layers": {"bilinear": False},
}
STEPS, SECONDS = 20, 0.5  # of an epoch; for which one is repeated


def cases(quick: bool) -> dict[str, Callable[[Machine], Figures]]:
    """Key -> what it measures, the most telling first."""
    widths, batches, layers = ((8,), (20,), 1) if quick else ((64, 256, 1024), (500, 5000), 3)
    found: dict[str, Callable[[Machine], Figures]] = {}
    for batch in batches:
        for width in widths if batch == batches[0] else (widths[0], widths[-1]):
            for name, options in NETS.items():
                key = f"step, {name}, width {width}, batch {batch}"
                found[key] = lambda m, o=options, w=width, b=batch: _step(m, inertia(channels=w, layers=layers, **o), b)
    small = inertia(rpp.MLP if quick else rpp.EMLP, channels=widths[0], layers=layers)
    for count in (1, 2) if quick else (1, 10, 100):
        key = f"members together: {count}, {'MLP' if quick else 'RPP-EMLP'}, width {widths[0]}"
        found[key] = lambda m, c=count: _step(m, small, batches[0], members=c)
    draws, depth = (20, 2) if quick else (50, 5)
    nuts = partial(rpp.NUTS, warmup=draws, draws=draws, max_tree_depth=depth)
    mclmc = partial(rpp.MCLMC, warmup=20 * draws, draws=20 * draws)
    for name, made, counts in zip(CHAINS, (nuts, mclmc), ((4, 64), (4, 64, 1024)), strict=True):
        for count in (2,) if quick else counts:
            method = made(chains=count)
            found[f"{name}, chains together: {count}"] = lambda m, method=method: _chains(m, method, quick)
    found[f"Laplace, {10 if quick else 200} examples"] = lambda m: _laplace(m, quick)
    found[f"{CONV}, batch {4 if quick else 500}"] = lambda m: _images(m, quick)
    return found


CHAINS = ("NUTS", "MCLMC")  # on NumPyro: Pyro's chains advance one at a time
CONV = "RPP-ConvNet of CIFAR-10"  # in a process of its own, as JAX's peak of memory is the process's


class Machine:
    """The engine and device that this process measures.

    Raises:
        RuntimeError: if the engine's library does not see the device.
    """

    def __init__(self, engine: str, device: str) -> None:
        self.engine, self.on_gpu = engine, device == "gpu"
        self.name = "CPU"
        if engine == "numpyro":
            import jax

            self.library: Any = jax
            try:
                seen = jax.default_backend() == "gpu"
            except (AssertionError, RuntimeError):  # JAX was told to use CUDA, and has none
                seen = False
            self.name = jax.devices()[0].device_kind if self.on_gpu and seen else self.name
        else:
            import torch

            self.library, seen = torch, torch.cuda.is_available()
            if self.on_gpu and seen:
                torch.set_default_device("cuda")
                self.name = torch.cuda.get_device_name()
        if self.on_gpu and not seen:
            raise RuntimeError(f"{self.library.__name__} {self.library.__version__} sees no GPU")

    def wait(self, made: Any = None) -> None:
        """Until all that was asked for is computed."""
        if self.engine == "numpyro":
            self.library.block_until_ready(made)
        elif self.on_gpu:
            self.library.cuda.synchronize()

    def memory(self) -> float:
        """The most that this process has taken so far, GB: of the GPU, or else of the machine."""
        if not self.on_gpu:
            return peak_memory()
        if self.engine == "pyro":
            return float(self.library.cuda.max_memory_allocated()) / 1e9
        return float(self.library.devices()[0].memory_stats()["peak_bytes_in_use"]) / 1e9

    def timed(self, run: Callable[[], Any]) -> float:
        """Seconds by the clock."""
        self.wait()
        start = time.perf_counter()
        self.wait(run())
        return time.perf_counter() - start


def _step(machine: Machine, net: rpp.networks.Network, batch: int, members: int = 1, **options: Any) -> Figures:
    """A step of all members, with the first one apart: building, tracing, compiling."""
    steps = STEPS if machine.on_gpu else 2
    made: list[Training] = []

    def first() -> Any:
        made.append(Training(net, machine.engine, members=members, batch=batch, steps=steps, **options))
        return _run(made[0])

    begin = machine.timed(first)
    times = [machine.timed(lambda: _run(made[0]))]
    while sum(times) < SECONDS and len(times) < 9:
        times.append(machine.timed(lambda: _run(made[0])))
    return {"ms a step": 1e3 * float(np.median(times)) / steps, "first, s": begin}


def _run(training: Training) -> Any:
    training()
    return getattr(training.trainer, "_state", None)  # JAX's; what it is not asked for, it may not have done yet


def _chains(machine: Machine, method: rpp.NUTS | rpp.MCLMC, quick: bool) -> Figures:
    """The second run, of the same program; NUTS with trees of one size, as all chains wait for the deepest."""
    rep = 2 * rpp.Scalar + 2 * rpp.Vector
    net = rpp.EMLP(rep, rpp.Vector, rpp.O(3), channels=6 * rep, layers=0 if quick else 1)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, net.rep_in.size)), rng.normal(size=(50, 3))

    def run() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)
            rpp.fit(rpp.Model(net, sigma_b=0.05), x, y, method, engine=machine.engine, progress=False)

    first, second = machine.timed(run), machine.timed(run)
    steps = method.chains * (method.warmup + method.draws)
    return {"draws a second, all chains": steps / second, "first, s": first, "again, s": second}


def _laplace(machine: Machine, quick: bool) -> Figures:
    data = rpp.datasets.inertia(10 if quick else 200, seed=0)
    net = inertia(rpp.MLP, channels=2, layers=1) if quick else inertia(channels=64, layers=2)
    method = rpp.Laplace(epochs=2, memory=16.0)

    def run() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rpp.inference.ConvergenceWarning)  # of two epochs
            rpp.fit(rpp.Model(net, sigma_b=0.05), data.x, data.y, method, engine=machine.engine, progress=False)

    first, second = machine.timed(run), machine.timed(run)
    return {"first, s": first, "again, s": second}


def _images(machine: Machine, quick: bool) -> Figures:
    batch = 4 if quick else 500
    net = rpp.ConvNet((3, 4, 4), 10, channels=[2]) if quick else rpp.ConvNet.for_cifar10()
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2 * batch, net.rep_in.size)), rng.integers(10, size=(2 * batch, 1))
    found = _step(machine, net, batch, data=data, likelihood=rpp.Categorical())
    return {"images a second": 1e3 * batch / found["ms a step"], **found, "memory, GB": machine.memory()}


def main(engine: str, device: str, quick: str, *keys: str) -> None:
    machine, known = Machine(engine, device), cases(quick == "quick")
    _say(device=machine.name)
    for key in keys:
        _say(start=key)
        try:
            _say(key=key, figures=known[key](machine))
        except Exception as error:  # out of memory, mostly; the others still run
            _say(key=key, error=f"{type(error).__name__}: {error}"[:300])


def _say(**what: Any) -> None:
    print(MARK + json.dumps(what), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
