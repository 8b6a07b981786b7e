"""Hostile input: texts and files that are broken, truncated or made up, each from a seed; see test_hostile_input.py.

The check of all: `python -m pytest -m slow tests/test_hostile_input.py`.
"""

from __future__ import annotations

import copy
import faulthandler
import json
import shutil
import signal
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import bayes_rpp as rpp
from bayes_rpp.symmetry.parse import parse_named_group

SECONDS = 20  # within which each case must have ended, on a busy machine too
TEXTS = [
    "5*Scalar + 5*Vector", "T(2)", "Vector.on(0) * Vector.on(1)", "Vector ** 2 + Regular.dual", "SO(2) * Trivial(1)",
    "S(5)*O(3)", "Lorentz()", "none=Trivial(3)", "Group(2, [[[0, -1], [1, 0]]])", "Group(2, [], [[1, 0], [0, -1.0]])",
]  # fmt: skip
PIECES = [
    *"()[]*+,.=- \n\\'\"#;:\0\ufeffé٣01", "**", "9" * 30, "1e999", "0x10", "1_0", "True", "None", "nan", "j",
    "lambda: 0", "__import__('os')", "__class__", "exec", "open('/etc/passwd')", "f'{1}'", "*a", "**a", "x:=1",
    "await x", "Vector", "T", "O", "Group", "dual", "on(9)", "[" * 60, "(" * 300, "- " * 60,
]  # fmt: skip
VALUES: list[Any] = [
    None, True, -1, 0, 1, 2.5, 10**6, 10**30, float("nan"), float("inf"), "", "O", "os.system", "__class__", "vector",
    "custom", [], {}, [[]], [1, [2]], {"a": 1}, "x" * 1000,
]  # fmt: skip


def text(rng: np.random.Generator) -> str:
    """A representation or group with some characters cut out, doubled or put in."""
    found = TEXTS[rng.integers(len(TEXTS))]
    for _ in range(rng.integers(1, 6)):
        i, j = sorted(rng.integers(len(found) + 1, size=2))
        found = found[:i] + [PIECES[rng.integers(len(PIECES))], found[i:j] * 2, ""][rng.integers(3)] + found[j:]
    return found


@cache
def posterior() -> rpp.Posterior:
    """A small one, with all that a file may hold."""
    net = rpp.EMLP(2 * rpp.Scalar + rpp.Vector, rpp.Vector, rpp.SO(2), channels=[rpp.Scalar + 2 * rpp.Vector])
    rng = np.random.default_rng(0)
    half = rpp.Prior("HalfNormal", {"scale": 1.0})
    model = rpp.Model(net, sigma_b=rpp.PerLayer(half), likelihood=rpp.Gaussian(half))
    samples = {k: rng.normal(size=(2, 3, *p.shape)).astype(np.float32) for k, p in net.parameters.items()}
    samples |= {k: np.ones((2, 3), dtype=np.float32) for k in ("noise", *model.latents)}
    x, y = rng.normal(size=(5, 4)), rng.normal(size=(5, 2))
    training = {"loss": np.ones((3, 4))}
    return rpp.Posterior(
        model, samples, x=x, y=y, training=training, sample_stats={"lp": np.ones((2, 3))}, method="NUTS()"
    )


def broken(data: bytes, rng: np.random.Generator) -> bytes:
    """A file's bytes cut short, overwritten, left out or put elsewhere."""
    kind = rng.integers(4)
    if kind == 0:
        return data[: rng.integers(len(data))]
    if kind == 1:
        i, j = sorted(rng.integers(len(data), size=2))
        return data[:i] + data[j:]
    found = np.frombuffer(data, dtype=np.uint8).copy()
    if kind == 2:
        where = rng.integers(len(data), size=rng.integers(1, 30))
        found[where] = rng.choice(np.array([0, 1, 127, 128, 255, *rng.integers(256, size=5)]), size=len(where))
    else:
        n = int(rng.integers(1, 65))
        i, j = rng.integers(len(data) - n, size=2)
        found[i : i + n] = found[j : j + n]
    return found.tobytes()


def changed(spec: Any, rng: np.random.Generator) -> Any:
    """A description in which one or two values, however deep, are others, missing or nested anew."""
    spec = copy.deepcopy(spec)
    for _ in range(rng.integers(1, 3)):
        places = list(_places(spec))
        if not places:
            break
        holder, key = places[rng.integers(len(places))]
        match rng.integers(4):
            case 0:
                del holder[key]
            case 1:
                holder[key] = [holder[key]] * int(rng.integers(3))
            case 2:
                other, there = places[rng.integers(len(places))]
                holder[key] = copy.deepcopy(other[there]) if there in other or isinstance(other, list) else None
            case _:
                holder[key] = VALUES[rng.integers(len(VALUES))]
    return spec


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


class Files:
    """Hostile files in a folder.

    Args:
        folder: to write to.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.net = folder / "case.nc", folder / "case.npz"
        post = posterior()
        self._whole = post.save(folder / "whole.nc")
        weights = {k: post.samples[k][0, 0] for k in post.model.net.parameters}
        self._npz = rpp.save_network(folder / "whole.npz", post.model.net, weights)

    def broken_posterior(self, rng: np.random.Generator) -> None:
        self.path.write_bytes(broken(self._whole.read_bytes(), rng))
        rpp.Posterior.load(self.path)

    def broken_network(self, rng: np.random.Generator) -> None:
        self.net.write_bytes(broken(self._npz.read_bytes(), rng))
        rpp.load_network(self.net)

    def changed_posterior(self, rng: np.random.Generator) -> None:
        """A whole HDF5 file, whose description or arrays are made up."""
        shutil.copy(self._whole, self.path)
        with h5py.File(self.path, "r+") as file:
            if rng.integers(3):
                file.attrs["bayes_rpp"] = json.dumps(changed(json.loads(file.attrs["bayes_rpp"]), rng))
            else:
                self._change_arrays(file, rng)
        rpp.Posterior.load(self.path)

    def changed_network(self, rng: np.random.Generator) -> None:
        with np.load(self._npz) as file:
            arrays = dict(file)
        arrays["spec"] = np.array(json.dumps(changed(json.loads(str(arrays["spec"])), rng)))
        np.savez(self.net, **arrays)
        rpp.load_network(self.net)

    def _change_arrays(self, file: h5py.File, rng: np.random.Generator) -> None:
        names: list[str] = []
        file.visit(names.append)
        name = names[rng.integers(len(names))]
        old = file[name]
        kind = rng.integers(5)
        del file[name]
        if kind == 0:
            return
        if kind == 1:
            file[name] = h5py.ExternalLink("/etc/hostname", "/")
        elif kind == 2:
            file.create_dataset(name, shape=(10**6, 10**6), chunks=(10, 10), dtype="f4")
        elif kind == 3:
            file[name] = [rng.normal(size=3), b"\x80\x04]\x94.", np.array(7), np.array(["a", "b"], dtype="S1")][
                rng.integers(4)
            ]
        elif isinstance(old, h5py.Dataset):
            file.create_dataset(name, shape=(4,), dtype="u1", external=[("/etc/hostname", 0, 4)])


def parse(rng: np.random.Generator) -> None:
    (rpp.groups.parse_rep, rpp.groups.parse_group, parse_named_group)[rng.integers(3)](text(rng))


def run(cases: int, first: int = 0, folder: Path | None = None) -> Counter[tuple[str, str]]:
    """Run cases of all kinds; counts of (kind, what came).

    Raises:
        AssertionError: naming kind and seed, for anything but what is documented, or for a case that does not end.
    """
    found: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        files = Files(Path(name))
        kinds: dict[str, Callable[[np.random.Generator], None]] = {
            "text": parse,
            "posterior, bytes": files.broken_posterior,
            "posterior, content": files.changed_posterior,
            "network, bytes": files.broken_network,
            "network, content": files.changed_network,
        }
        for seed in range(first, first + cases):
            kind = list(kinds)[seed % len(kinds)]
            found[kind, outcome(kinds[kind], seed, kind)] += 1
    return found


def outcome(case: Callable[[np.random.Generator], None], seed: int, kind: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with limit(SECONDS):
                case(np.random.default_rng(seed))
        except ValueError:
            return "ValueError"
        except BaseException as error:
            raise AssertionError(f"{kind}, seed {seed}: {type(error).__name__}: {error}") from error
    return "read"


class TooLong(BaseException):
    """Nothing may catch it."""


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TooLong(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    faulthandler.dump_traceback_later(3 * seconds, exit=True)  # a loop in C hears no signal
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
