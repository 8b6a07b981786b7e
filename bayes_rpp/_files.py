"""Files: written as a whole or not at all, and read without trust in what they hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SEAL = b"bayes-rpp sha256"
DEFLATE = 1100  # bytes that one byte can stand for at most, by the compression of HDF5 and zip files


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write to, with the ending of `path`, whose file takes its place once it is whole.

    Folders that there are not yet are made. A full disk, an error or a killed process leaves what was there before.
    Processes may write the same file at once: the last one wins.
    """
    target = Path(os.path.realpath(path))  # a link keeps pointing to its file
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{os.getpid()}.part-{target.name}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


KEPT = "<!-- By hand from here on: kept when the page is made again. -->"


def write_page(path: str | Path, text: str) -> None:
    """Write a page of results; what the page of before has from the line `KEPT` on stays at its end."""
    target = Path(path)
    before = target.read_text(encoding="utf-8") if target.exists() else ""
    _, mark, rest = before.partition(KEPT)
    with replacing(target) as part:
        part.write_text(f"{text.rstrip()}\n\n{mark}{rest}" if mark else text, encoding="utf-8")


def write_netcdf(data: Any, path: str | Path) -> None:
    """Write an xarray Dataset or DataTree as netCDF, with a checksum of all of it behind its end.

    It is made in memory first: HDF5 ends the process some time after a write to a full disk has failed.
    """
    made = data.to_netcdf(engine="h5netcdf")
    with replacing(path) as part, part.open("wb") as file:
        file.write(made)
        file.write(SEAL + hashlib.sha256(made).digest())  # HDF5 ignores what follows its own end


@contextmanager
def reading(path: Path, advice: str) -> Iterator[None]:
    """Whatever goes wrong with the bytes of a file, as one kind of error: libraries raise any on what is not theirs.

    Raises:
        ValueError: naming the file, what is wrong with it, and what would do.
    """
    try:
        yield
    except Exception as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read ({reason}); {advice}") from error


@contextmanager
def understanding(path: Path) -> Iterator[None]:
    """What goes wrong when something is made from a file's content: errors that say what would do keep their words.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except KeyError as error:
        raise ValueError(f"{path}: it has no {error}") from error
    except Exception as error:
        raise ValueError(f"{path}: its content is not what was written ({type(error).__name__}: {error})") from error


def check_hdf5(path: Path) -> None:
    """Look a file through before its arrays are read.

    Raises:
        OSError: if it is no HDF5 file.
        ValueError: if it has changed since `write_netcdf` wrote it, takes data from other files, or claims more data
            than its bytes can hold.
    """
    import h5py

    _check_seal(path)
    left = DEFLATE * path.stat().st_size

    # Both return what is wrong, which ends the visit: h5py loses exceptions raised in there.
    def follow(name: str, link: Any) -> str | None:
        return None if isinstance(link, h5py.HardLink) else f"{name} is a link to elsewhere"

    def look(name: str, item: Any) -> str | None:
        nonlocal left
        if not isinstance(item, h5py.Dataset):
            return None
        if item.external or item.is_virtual:
            return f"{name} lies in another file"
        left -= item.size * item.dtype.itemsize if item.size else 0
        return f"{name} has the shape {item.shape}, more than the file can hold" if left < 0 else None

    with h5py.File(path, "r") as file:
        wrong = file.visititems_links(follow) or file.visititems(look)
    if wrong:
        raise ValueError(wrong)


def _check_seal(path: Path) -> None:
    """Compare the checksum, if there is one: HDF5 has none for its data, and on some damage it never returns."""
    length = len(SEAL) + hashlib.sha256().digest_size
    left = path.stat().st_size - length
    if left < 0:
        return
    with path.open("rb") as file:
        file.seek(left)
        seal = file.read()
        if not seal.startswith(SEAL):
            return
        file.seek(0)
        found = hashlib.sha256()
        while left > 0:
            chunk = file.read(min(left, 1 << 20))
            found.update(chunk)
            left -= len(chunk) or left
    if found.digest() != seal[len(SEAL) :]:
        raise ValueError("its bytes are not those that were written")
