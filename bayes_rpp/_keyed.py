"""Values by their keys, for caches of what is made of one within a process."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Keyed:
    """A value that equals any other of its key."""

    key: Hashable
    value: Any = field(compare=False, repr=False)
