"""What models have in common: once made, they do not change."""

from __future__ import annotations

from typing import Any, ClassVar


class Frozen:
    """Attributes can be set until `sites`, the last one, is there.

    Attributes:
        called: what one calls such a model, for errors.
    """

    called: ClassVar[str]

    def __setattr__(self, name: str, value: Any) -> None:
        if "sites" in vars(self):  # all is made
            kind = type(self).__name__
            raise AttributeError(f"a {kind} does not change; {self.called}.replace({name}=...) makes another")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} does not change, so {name} stays")
