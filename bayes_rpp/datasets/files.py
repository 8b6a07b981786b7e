"""Files that the user has downloaded: where they are, and whether they arrived whole."""

from __future__ import annotations

import os
import string
from pathlib import Path
from typing import Any

DIGITS = {"md5": 32, "sha256": 64}


def existing_path(folder: Any, advice: str) -> Path:
    """The argument `folder` as a path, with ~ for the home directory.

    Raises:
        TypeError: if it is no path.
        FileNotFoundError: if nothing is there; the message ends in the advice.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise TypeError(f"folder must be a folder's path, got {folder!r}")
    path = Path(folder).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"folder must exist, got {str(path)!r}; {advice}")
    return path


def check_checksum(checksum: Any, kind: str) -> str | None:
    """The argument `checksum` in lower case; ValueError if it is neither None nor a checksum of this kind."""
    if checksum is None:
        return None
    digits = DIGITS[kind]
    if not isinstance(checksum, str) or len(checksum) != digits or not set(checksum) <= set(string.hexdigits):
        raise ValueError(f"checksum must be a {kind} of {digits} hexadecimal digits, or None, got {checksum!r}")
    return checksum.lower()


def compare_checksum(path: Path, found: str, wanted: str, kind: str) -> None:
    """Raise ValueError if a file's checksum is not the one wanted."""
    if found != wanted:
        raise ValueError(
            f"{path} has the {kind} {found}; {wanted} would do. Is it another version, or a download that broke off?"
        )
