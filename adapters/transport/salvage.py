"""Parts for what can be used of a damaged message. Called by each venue's `salvage.py`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from adapters.transport.decoding import BROKEN, reason_of
from adapters.transport.protocol import Damage
from adapters.transport.text import clip

__all__ = ["only", "rows_of", "shown"]


def rows_of(
    rows: Iterable[msgspec.Raw], shape: Any, channel: str, name_of: Callable[[msgspec.Raw], str]
) -> tuple[list[Any], list[Damage]]:
    """Return the rows of a list as a `shape`, None in place of an invalid one, and what was damaged.

    `name_of` returns the instrument of an invalid row, "" if it is not known.
    """
    found: list[Any] = []
    damages: list[Damage] = []
    for row in rows:
        try:
            found.append(msgspec.json.decode(row, type=shape))
        except BROKEN as error:
            found.append(None)
            damages.append(Damage(channel, name_of(row), f"{reason_of(error)} in {clip(bytes(row))}", True))
    return found, damages


def shown(message: str | bytes) -> str:
    """Return a message as text, whatever its bytes are."""
    return message if isinstance(message, str) else message.decode("utf-8", "replace")


def only(found: Collection[str]) -> str:
    """Return the one name that was found, "" for none or several."""
    return next(iter(found)) if len(found) == 1 else ""
