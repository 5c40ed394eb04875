"""Parts for what can be used of a damaged message. Called by each venue's `salvage.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from adapters.transport.decoding import BROKEN, reason_of
from adapters.transport.protocol import Damage, Salvaged
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = ["frame_or_salvage", "only", "rows_of", "shown"]


def frame_or_salvage(
    message: str | bytes,
    decode: Callable[[str | bytes], Any],
    unread: type,
    names: re.Pattern[str],
    salvage: Callable[[str, str], Salvaged],
) -> Any:
    """Return one websocket message as a frame, or what `salvage` makes of its text and of what is wrong.

    A message on an unknown channel (`unread`) that names an instrument counts as damaged: its channel may be.
    """
    try:
        frame = decode(message)
    except VenueProtocolError as error:
        return salvage(shown(message), str(error))
    if isinstance(frame, unread) and (named := names.findall(shown(message))):
        reason = f"channel {clip(frame.channel)} is unknown, in {clip(message)}"  # type: ignore[attr-defined]
        return Salvaged(None, [Damage("", only(set(named)), reason)])
    return frame


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
