"""A damaged message of Binance, attributed to a channel and an instrument.

Every event is about one symbol, so a damaged message is left out as a whole. Promises: it is attributed to
the channel and the symbol that the stream's name has, if that is whole; otherwise both are unknown, and the
feed doubts everything of the connection. Called by the decoder of the stream (`channels.py`) and by `raw.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from adapters.binance.wire import SHAPES, Frame, Reply, decode_message, kind_of
from adapters.transport.protocol import Damage, Salvaged
from adapters.transport.salvage import only, shown
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = ["decode_or_salvage"]

_STREAM: Final = re.compile(r'"stream"\s*:\s*"([^"\\]{1,100})"')
_SYMBOL: Final = re.compile(r'"(?:s|symbol)"\s*:\s*"([^"\\]{1,64})"')


def decode_or_salvage(message: str | bytes, names: Collection[str]) -> Frame | Reply | Salvaged | None:
    """Return one websocket message, or what is damaged of it. `names` are the symbols of the session.

    A message whose event is about another symbol than its stream, or whose stream is not known though it
    names a symbol of the session, counts as damaged: either may be.
    """
    try:
        frame = decode_message(message)
    except VenueProtocolError as error:
        return Salvaged(None, [_attributed(shown(message), str(error), names)])
    if isinstance(frame, Reply):
        return frame
    if frame is None:
        found = set(_SYMBOL.findall(shown(message))) & set(names)
        reason = f"an event of no known kind in {clip(message)}"
        return Salvaged(None, [Damage("", only(found), reason)]) if found else None
    name = _name_of(frame)
    if frame.symbol and name.lower() != frame.symbol.lower():
        reason = f"stream {clip(frame.symbol)} has an event of {clip(name)}"
        return Salvaged(None, [Damage(frame.kind, "", reason)])
    return frame


def _name_of(frame: Frame) -> str:
    """Return the symbol that the event itself names; that of the stream if it names none."""
    event = frame.event
    if frame.kind == "forceOrder":
        event = event.o
    return str(getattr(event, "s", getattr(event, "symbol", frame.symbol)))


def _attributed(text: str, reason: str, names: Collection[str]) -> Damage:
    streams = {kind_of(stream) for stream in _STREAM.findall(text)}
    symbols = set(_SYMBOL.findall(text)) & set(names)
    if len(streams) != 1:
        return Damage("", only(symbols), reason)
    kind, symbol = streams.pop()
    name = next((one for one in names if one.lower() == symbol.lower()), "")
    if kind not in SHAPES or not name or symbols - {name}:
        return Damage("", "", reason)
    return Damage(kind, name, reason)
