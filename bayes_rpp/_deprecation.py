"""Old names that still work: each use is a DeprecationWarning that says the new one, at the user's line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from bayes_rpp._warnings import warn_user

UNTIL = "0.3"  # the version that has these no longer

Renamed = TypeVar("Renamed", bound=Callable[..., Any])


def warn_renamed(old: str, new: str, until: str = UNTIL) -> None:
    """The warning, for names of all kinds."""
    warn_user(f"{old} is {new} now; version {until} will not have the old name", DeprecationWarning)


def renamed_arguments(**names: str) -> Callable[[Renamed], Renamed]:
    """Decorator of a function, or of a class for its constructor, whose arguments were called otherwise: old="new".

    Raises:
        TypeError: in the call, if an argument is given by both of its names.
    """

    def decorate(made: Renamed) -> Renamed:
        function = made.__init__ if isinstance(made, type) else made  # type: ignore[misc]

        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            for old in names.keys() & options.keys():
                if names[old] in options:
                    raise TypeError(f"{old} and {names[old]} are one argument; {names[old]} alone would do")
                warn_renamed(f"{old}=", f"{names[old]}=")
                options[names[old]] = options.pop(old)
            return function(*args, **options)

        if not isinstance(made, type):
            return call  # type: ignore[return-value]
        made.__init__ = call  # type: ignore[misc]
        return made

    return decorate


def renamed_attribute(old: str, new: str) -> Any:
    """In a class, an attribute or a method that was called otherwise: `old = renamed_attribute("old", "new")`."""

    def get(instance: Any) -> Any:
        warn_renamed(f"{type(instance).__name__}.{old}", new)
        return getattr(instance, new)

    return property(get, doc=f"The old name of `{new}`.")


def renamed_values(instance: Any, **values: Mapping[str, str]) -> None:
    """In `__post_init__` of a frozen dataclass: fields whose values were called otherwise, field={old: new}."""
    for name, new in values.items():
        old = getattr(instance, name)
        if isinstance(old, str) and old in new:
            warn_renamed(f"{name}={old!r}", repr(new[old]))
            object.__setattr__(instance, name, new[old])
