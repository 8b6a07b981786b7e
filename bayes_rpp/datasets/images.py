"""Images of ten classes: scikit-learn's digits, and CIFAR-10 from the files that its authors publish."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayes_rpp.datasets.dataset import Dataset
from bayes_rpp.datasets.files import check_checksum, compare_checksum, existing_path
from bayes_rpp.datasets.splits import check_split, split_rows
from bayes_rpp.datasets.tables import bundled
from bayes_rpp.symmetry.groups import Trivial, Z
from bayes_rpp.symmetry.representations import Scalar, Vector

CLASSES = 10

# Mean and standard deviation of the 1797 x 64 grey levels, 0 to 16.
DIGITS_MEAN, DIGITS_STD = 4.884, 6.017

# Of the training images' pixels in [0, 1], for red, green and blue.
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

ARCHIVE, INSIDE = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
FILES = {"train": tuple(f"data_batch_{k}.bin" for k in range(1, 6)), "test": ("test_batch.bin",)}
SHAPE = (3, 32, 32)
RECORD, PER_FILE = 1 + 3 * 32 * 32, 10_000
ADVICE = (
    "download the binary version (suitable for C programs) from the CIFAR-10 page of the University of Toronto, and "
    f"put {ARCHIVE}, as it is, into that folder"
)


def digits(*, split: str = "all", seed: int = 0, test_size: int = 360) -> Dataset:
    """Handwritten digits of 8 x 8 pixels, 1797 of them, under cyclic shifts of rows and columns, Z(8) * Z(8).

    A digit keeps its class when shifted, but its parts may reappear on the other side: the symmetry is approximate.

    Args:
        split: "all", in scikit-learn's order, "train" or "test"; each class has its share of each.
        seed: of the split.
        test_size: number of test examples.

    Returns:
        x (n, 64) = (grey level - 4.884) / 6.017 with grey levels 0 to 16, so that all pixels together have mean 0 and
        variance 1; y (n, 1) classes; float32. input_shape is (1, 8, 8), rep_out 10 * Scalar: a network has one
        output for each class.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    check_split(split)
    x, y = bundled("digits")
    train, test = split_rows(len(x), test_size, seed, y)
    rows = {"all": np.arange(len(x)), "train": train, "test": test}[split]
    return Dataset(
        "digits",
        ((x[rows] - DIGITS_MEAN) / DIGITS_STD).astype(np.float32),
        y[rows, None].astype(np.float32),
        Vector.on(0) * Vector.on(1),
        CLASSES * Scalar,
        Z(8) * Z(8),
        input_shape=(1, 8, 8),
        classes=CLASSES,
    )


def cifar10(folder: str | Path, *, split: str = "train", verify: bool = True, checksum: str | None = None) -> Dataset:
    """CIFAR-10 (colour images of 32 x 32 pixels) from the binary version, which you have downloaded.

    The archive is read as it is, nothing is unpacked to disk. Its md5 is published; those of the files in it are not,
    so of unpacked files only the size and the labels are checked, and the archive is preferred where both are there.

    Args:
        folder: with cifar-10-binary.tar.gz, or with data_batch_1.bin ... data_batch_5.bin and test_batch.bin, or with
            the folder cifar-10-batches-bin that holds these; or the archive's own path.
        split: "train" (50 000 images) or "test" (10 000).
        verify: compare the archive's md5 with the published one, and check that each file has 10 000 records; False
            takes any whole number of records. Labels are checked in either case.
        checksum: the md5 that an archive must have instead of the published one, compared even if verify is False.

    Returns:
        x (n, 3072), for each image red, green, blue, and in each the rows from the top; per channel
        (v / 255 - mean) / std with the constants 0.4914, 0.4822, 0.4465 and 0.2470, 0.2435, 0.2616; y (n, 1) classes;
        float32. input_shape is (3, 32, 32), the group trivial, rep_out 10 * Scalar. The training set takes 0.6 GB.

    Raises:
        TypeError, ValueError: naming the argument that does not fit, or what is wrong with a file.
        FileNotFoundError: if there are no such files; the message says what to download.
    """
    check_split(split, ("train", "test"))
    wanted = check_checksum(checksum, "md5") or (ARCHIVE_MD5 if verify else None)
    path = existing_path(folder, ADVICE)
    archive = path if path.is_file() else path / ARCHIVE
    if archive.is_file():
        files = _from_archive(archive, FILES[split], wanted, verify)
    elif checksum is not None:
        raise ValueError(f"checksum must be None, as {path} holds no {ARCHIVE} to compare it with, got one")
    else:
        files = _from_folder(path, FILES[split], verify)
    records = [_records(data, name, verify) for name, data in files.items()]
    x = np.empty((sum(map(len, records)), *SHAPE), dtype=np.float32)
    np.concatenate([r[:, 1:].reshape(-1, *SHAPE) for r in records], out=x)
    for channel, (mean, std) in enumerate(zip(CIFAR_MEAN, CIFAR_STD, strict=True)):  # in place: x is large
        x[:, channel] -= 255 * mean
        x[:, channel] /= 255 * std
    y = np.concatenate([r[:, :1] for r in records]).astype(np.float32)
    flat = x.reshape(len(x), -1)
    return Dataset(
        "CIFAR-10",
        flat,
        y,
        flat.shape[1] * Scalar,
        CLASSES * Scalar,
        Trivial(1),
        input_shape=SHAPE,
        classes=CLASSES,
    )


def _from_folder(path: Path, names: tuple[str, ...], verify: bool) -> dict[str, bytes]:
    """Contents by name of the unpacked files."""
    inside = path / INSIDE if (path / INSIDE).is_dir() else path
    found = [name for name in names if (inside / name).is_file()]
    if not found:
        raise FileNotFoundError(f"{path} holds neither {ARCHIVE} nor {names[0]}; {ADVICE}")
    if len(found) < len(names):
        missing = ", ".join(name for name in names if name not in found)
        raise FileNotFoundError(f"{inside} lacks {missing}; {ADVICE}")
    for name in names:
        _check_size((inside / name).stat().st_size, name, verify)
    return {name: (inside / name).read_bytes() for name in names}


def _from_archive(path: Path, names: tuple[str, ...], wanted: str | None, verify: bool) -> dict[str, bytes]:
    """Contents by name of the members expected; all others, links among them, are passed over."""
    found: dict[str, bytes] = {}
    with path.open("rb") as file:
        if wanted is not None:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            compare_checksum(path, md5, wanted, "md5")
            file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r|gz") as members:
                for member in members:
                    folder, _, name = member.name.removeprefix("./").rpartition("/")
                    if folder != INSIDE or name not in names or not member.isreg():
                        continue
                    _check_size(member.size, name, verify)
                    content = members.extractfile(member)
                    assert content is not None  # a regular file has content
                    found[name] = content.read()
                    if len(found) == len(names):
                        break
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is no whole archive ({error}); {ADVICE}") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"{path} has no file {INSIDE}/{missing[0]} in it; {ADVICE}")
    return {name: found[name] for name in names}


def _check_size(size: int, name: str, verify: bool) -> None:
    if verify and size != PER_FILE * RECORD:
        raise ValueError(
            f"{name} has {size} bytes; {PER_FILE * RECORD}, {PER_FILE} records of {RECORD}, would do (verify=False "
            "takes any whole number of records)"
        )
    if size == 0 or size % RECORD:
        raise ValueError(f"{name} has {size} bytes; one or more records of {RECORD} would do")


def _records(data: bytes, name: str, verify: bool) -> NDArray[np.uint8]:
    """(records, 1 + 3072): the label, then the pixels."""
    _check_size(len(data), name, verify)
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, RECORD)
    wrong = np.flatnonzero(records[:, 0] >= CLASSES)
    if len(wrong):
        label = records[wrong[0], 0]
        raise ValueError(f"record {wrong[0] + 1} of {name} has the label {label}; 0 to {CLASSES - 1} would do")
    return records
