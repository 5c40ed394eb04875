"""Finds venues by name: the table of this project's own, then the entry points of installed packages.

A package brings a venue by an entry point of the group `retape.venues` that names a subclass of
`engine.venue.Venue`. A venue's module is imported when it is asked for, and not before. Called by the
commands.
"""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from engine.config import nearest
from engine.errors import UsageError
from engine.venue import Venue

__all__ = ["ENTRY_POINTS", "HISTORY_DEFAULT", "VENUES", "find_venue", "venue_names"]

ENTRY_POINTS: Final = "retape.venues"
"""The group of entry points."""

VENUES: Final = {
    "sandbox": "adapters.sandbox.venue:SandboxVenue",
    "hyperliquid": "adapters.hyperliquid.venue:HyperliquidVenue",
}
"""The venues of this project: module:Class by name."""

HISTORY_DEFAULT: Final = "hyperliquid"
"""The venue whose history is read unless another is named."""


def venue_names() -> list[str]:
    """Return the names of all venues that can be found."""
    return [*VENUES, *sorted(name for name in _installed() if name not in VENUES)]


def find_venue(name: str) -> Venue:
    """Return the venue of this name. Raises UsageError with the nearest names."""
    if name in VENUES:
        module, _, attribute = VENUES[name].partition(":")
        return _made(name, getattr(importlib.import_module(module), attribute))
    found = _installed().get(name, [])
    if not found:
        raise UsageError(f"there is no venue {name!r}; {nearest(name, venue_names())}")
    if len({entry.value for entry in found}) > 1:
        values = " and ".join(sorted({entry.value for entry in found}))
        raise UsageError(f"two installed packages bring a venue {name!r}: {values}; uninstall one of them")
    try:
        cls = found[0].load()
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        raise UsageError(f"the venue {name!r} cannot be loaded from {found[0].value}: {words}") from error
    return _made(name, cls)


def _installed() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        found.setdefault(entry.name, []).append(entry)
    return found


def _made(name: str, cls: object) -> Venue:
    if not isinstance(cls, type) or not issubclass(cls, Venue):
        raise UsageError(f"the venue {name!r} is {cls!r}, which is not a subclass of engine.venue.Venue")
    try:
        return cls()
    except TypeError as error:
        raise UsageError(f"the venue {name!r} cannot be made: {error}") from error
