"""The pace of tries: how long the order manager waits before it tries an order again."""

from __future__ import annotations

from typing import Final

from engine.clock import SECOND_NS

__all__ = ["CLOSING_NS", "DUST_NS", "HOPELESS_NS", "OPENING_NS", "REPORT_NS", "is_hopeless", "wait_ns"]

_HOPELESS: Final = (
    "delist",
    "unknown asset",
    "not traded in this session",
    "does not exist",
    "api wallet",
    "disarmed",
)

OPENING_NS: Final = (SECOND_NS, 5 * SECOND_NS, 60 * SECOND_NS)
"""Waits before the second, third, ... try of an opening; the last one repeats."""

CLOSING_NS: Final = (SECOND_NS // 4, SECOND_NS // 2, SECOND_NS, 2 * SECOND_NS, 5 * SECOND_NS)
"""The same for an exit: without end, until the book is where it has to be."""

HOPELESS_NS: Final = 60 * SECOND_NS
"""The wait after a rejection that time does not mend, such as a delisted market."""

DUST_NS: Final = 60 * SECOND_NS
"""How often an exit below the venue's minimum value is looked at again, since prices change."""

REPORT_NS: Final = 10 * SECOND_NS
"""How often an exit that is owed is reported."""


def is_hopeless(reason: str) -> bool:
    """Return whether time does not mend the reason: an unknown market, a refused key, a disarmed engine."""
    words = reason.lower()
    return any(word in words for word in _HOPELESS)


def wait_ns(tries: int, *, closing: bool) -> int:
    """Return the wait after `tries` attempts without progress."""
    waits = CLOSING_NS if closing else OPENING_NS
    return waits[min(max(tries, 1), len(waits)) - 1]
