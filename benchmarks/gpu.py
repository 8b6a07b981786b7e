"""What a GPU is worth: steps, members, chains, images and Laplace, on both engines, and the same on this machine's CPU.

Usage: python -m benchmarks.gpu [--quick] [--out FOLDER] [--seconds S]

It takes at most four minutes; what did not fit, or was interrupted, is done by the same command again: rows that are in
FOLDER/rows.json are not run again. It writes them to FOLDER/gpu.md, too, as a table. GPU and CPU are measured at the
same time where there are cores enough, each with its own. It needs a torch and a JAX that see the GPU (`pip install
torch "jax[cuda12]"`); --quick runs on the CPU alone, in tiny sizes: it shows that all of it runs, and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.gpu_rows import CHAINS, CONV, MARK, cases

SECONDS = 240.0
GPU_CORES, ENOUGH = 4, 8  # cores of the processes that drive the GPU, where there are so many or more
ENGINES = tuple(e for e in ("numpyro", "pyro") if find_spec(e))
Key = tuple[str, str, str]  # engine, device, what


class Rows:
    """What was measured, kept in a file from the first row on.

    Raises:
        ValueError: if the file holds rows of another machine, or of other versions or sizes.
    """

    def __init__(self, folder: Path, quick: bool) -> None:
        self.file, self._lock = folder / "rows.json", threading.Lock()
        self.about: dict[str, Any] = {"quick": quick, "machine": platform.node(), "cores": os.cpu_count()}
        self.about |= {"bayes-rpp": version("bayes-rpp")} | {k: version(k) for k in ("torch", "jax") if find_spec(k)}
        self.devices: dict[str, str] = {}
        self.rows: dict[Key, dict[str, Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if self.file.exists():
            found = json.loads(self.file.read_text())
            if found["about"] != self.about:
                raise ValueError(
                    f"--out {folder} has rows of {found['about']}, but this is {self.about}; another would do"
                )
            self.devices = found["devices"]
            self.rows = {(r["engine"], r["device"], r["what"]): r["figures"] for r in found["rows"]}

    def keep(self, key: Key, figures: dict[str, float]) -> None:
        with self._lock:
            self.rows[key] = figures
            print(line(key, figures), flush=True)
            names = ("engine", "device", "what")
            rows = [dict(zip(names, k, strict=True)) | {"figures": f} for k, f in self.rows.items()]
            part = self.file.with_suffix(".part")
            part.write_text(json.dumps({"about": self.about, "devices": self.devices, "rows": rows}, indent=1) + "\n")
            part.replace(self.file)


class Lane(threading.Thread):
    """Rows of one device, one after the other, in a process for each engine; and one for the images, see there."""

    def __init__(self, rows: Rows, device: str, cores: set[int], end: float) -> None:
        super().__init__()
        self.rows, self.device, self.cores, self.end = rows, device, cores, end
        self.failed: list[str] = []

    def run(self) -> None:
        for engine in ENGINES:
            keys = keys_of(engine, self.rows.about["quick"])
            for alone in (False, True):
                todo = [
                    k for k in keys if k.startswith(CONV) == alone and (engine, self.device, k) not in self.rows.rows
                ]
                while todo and time.monotonic() < self.end:
                    todo = self._process(engine, todo)

    def _process(self, engine: str, todo: list[str]) -> list[str]:
        """One process for these rows; returns those to go on with, if it broke off at one."""
        quick = "quick" if self.rows.about["quick"] else "full"
        command = [sys.executable, "-m", "benchmarks.gpu_rows", engine, self.device, quick, *todo]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment()
        ) as child:
            return self._read(child, engine, todo)

    def _read(self, child: subprocess.Popen[str], engine: str, todo: list[str]) -> list[str]:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(child.pid, self.cores)
        stop = threading.Timer(max(0.0, self.end - time.monotonic()), child.kill)
        stop.start()
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.extend(child.stderr or ()))
        reader.start()
        left, started = list(todo), ""
        for text in child.stdout or ():
            said = json.loads(text.removeprefix(MARK)) if text.startswith(MARK) else {}
            started = said.get("start", started)
            if "device" in said:
                self.rows.devices[f"{engine}, {self.device}"] = said["device"]
            if "figures" in said:
                self.rows.keep((engine, self.device, said["key"]), said["figures"])
            if "error" in said:
                self._fail(engine, said["key"], said["error"])
            if "key" in said:
                left.remove(said["key"])
        child.wait()
        reader.join()
        stop.cancel()
        if not left or time.monotonic() >= self.end:
            return left
        why = errors[-1].strip() if errors else f"the process ended with {child.returncode}"
        self._fail(engine, started or "all rows", why)
        return [k for k in left if k != started] if started else []

    def _fail(self, engine: str, what: str, why: str) -> None:
        self.failed.append(f"{engine}, {self.device}: {what}: {why}")
        print(self.failed[-1], file=sys.stderr, flush=True)

    def _environment(self) -> dict[str, str]:
        # JAX would take three quarters of the GPU's memory at once, and torch find none left.
        own = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "OMP_NUM_THREADS": str(len(self.cores))}
        return os.environ | own | {"JAX_PLATFORMS": "cuda" if self.device == "gpu" else "cpu"}


def keys_of(engine: str, quick: bool) -> list[str]:
    return [k for k in cases(quick) if engine == "numpyro" or not k.startswith(CHAINS)]


def line(key: Key, figures: dict[str, float]) -> str:
    engine, device, what = key
    return f"| {what} | {engine} | {device} | " + ", ".join(f"{k} {v:.3g}" for k, v in figures.items()) + " |"


def table(rows: Rows, command: str) -> str:
    """The page: rows with the same on the other devices below them, and how many times faster the GPU is."""
    about = ", ".join(f"{k} {v}" for k, v in rows.about.items() if k not in ("quick", "machine"))
    devices = "; ".join(f"{k}: {v}" for k, v in sorted(rows.devices.items()))
    lines = [
        f"# On a GPU\n\nMade by `{command}`: {about}. {devices}.\n",
        "| what | engine | device | measured | CPU / GPU |",
    ]
    lines.append("| --- | --- | --- | --- | --- |")
    for what in cases(rows.about["quick"]):
        for engine in ENGINES:
            for device in ("gpu", "cpu"):
                if found := rows.rows.get((engine, device, what)):
                    lines.append(f"{line((engine, device, what), found)} {_gain(rows, engine, device, what)} |")
    return "\n".join(lines) + "\n"


def _gain(rows: Rows, engine: str, device: str, what: str) -> str:
    gpu, cpu = (rows.rows.get((engine, d, what)) for d in ("gpu", "cpu"))
    if device != "gpu" or not gpu or not cpu:
        return ""
    name = next(k for k in ("ms a step", "again, s") if k in gpu)
    return f"{cpu[name] / gpu[name]:.2g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if a row failed or is left to be done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="What a GPU is worth.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes on the CPU: shows that it runs")
    parser.add_argument("--out", type=Path, default=Path("gpu-benchmark"), metavar="FOLDER", help="where rows are kept")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help="after which it stops")
    given = parser.parse_args(arguments)
    try:
        rows = Rows(given.out, given.quick)
    except ValueError as error:
        parser.error(str(error))
    end = time.monotonic() + given.seconds
    able = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    apart = len(able) >= ENOUGH and not given.quick
    cores = {"gpu": set(able[:GPU_CORES] if apart else able), "cpu": set(able[GPU_CORES:] if apart else able)}
    print("| what | engine | device | measured |\n| --- | --- | --- | --- |", flush=True)
    lanes = [Lane(rows, device, cores[device], end) for device in (("cpu",) if given.quick else ("gpu", "cpu"))]
    for lane in lanes:
        lane.start()
        if not apart:
            lane.join()
    for lane in lanes:
        lane.join()
    command = "python -m benchmarks.gpu" + " --quick" * given.quick
    (given.out / "gpu.md").write_text(table(rows, command))
    wanted = {(e, lane.device, k) for lane in lanes for e in ENGINES for k in keys_of(e, given.quick)}
    left = len(wanted - rows.rows.keys())
    print(f"written: {given.out / 'rows.json'}, {given.out / 'gpu.md'}")
    if left:
        print(f"{left} rows are left; the same command goes on with them", file=sys.stderr)
    return min(1, left)


if __name__ == "__main__":
    sys.exit(main())
