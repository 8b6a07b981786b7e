"""Run benchmarks, each in a process of its own on one core, and print a table of their rows.

Usage: python -m benchmarks [NAMES ...] [--json FILE] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from benchmarks import NAMES
from benchmarks.rows import one_core, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the number of benchmarks that failed; a target that is missed is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed as ratios within one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; none: all of them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there, too")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"{unknown[0]!r} is no benchmark; {', '.join(NAMES)} are")
    if given.json and not given.json.resolve().parent.is_dir():
        parser.error(f"--json {given.json}: there is no such folder")
    os.environ["OMP_NUM_THREADS"] = "1"  # for processes to come: they load numpy's BLAS before anything else
    print("| what | measured | target | met | figures |\n| --- | --- | --- | --- | --- |", flush=True)
    found, failed = {}, 0
    for name in given.names or NAMES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=one_core) as fresh:
            try:
                found[name] = fresh.submit(run, name, given.quick).result()
            except Exception as error:  # the others still run
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
                failed += 1
                continue
        print(*found[name], sep="\n", flush=True)
    if given.json:
        rows = [{"benchmark": k} | asdict(row) | {"met": row.met} for k, v in found.items() for row in v]
        about = {"quick": given.quick, "python": platform.python_version(), "processor": platform.machine()}
        given.json.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(min(1, main()))
