"""What can be used of a message that is not what the venue documents: the valid trades and candles of a list.

Owns the rules by which a damaged message is attributed and taken apart. Promises: a list of trades or
candles with some invalid rows is read without them; every other invalid message is left out as a whole. A
text is attributed to a topic and an instrument if it names exactly one topic; otherwise both are unknown,
and the feed doubts everything of the connection. Called by the stream (`channels.py`) and by decoders of
recorded messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from adapters.apex.wire import (
    KINDS,
    ROWS_MAX,
    CandlesFrame,
    Envelope,
    Frame,
    OtherFrame,
    Topic,
    TradesFrame,
    WireCandle,
    WireTrade,
    decode_message,
)
from adapters.transport.decoding import BROKEN
from adapters.transport.protocol import Damage, Salvaged
from adapters.transport.salvage import rows_of, shown
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = ["Reader"]

_TOPIC: Final = re.compile(r'"topic"\s*:\s*"([A-Za-z0-9]{1,40})\.[A-Za-z0-9]{1,8}\.([A-Za-z0-9]{1,40})"')
_SHAPES: Final[dict[str, tuple[Any, Any]]] = {
    "recentlyTrade": (TradesFrame, WireTrade),
    "candle": (CandlesFrame, WireCandle),
}


class Reader:
    """Reads messages about the instruments whose names are given, by symbol."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def decode(self, message: str | bytes) -> Frame | Salvaged:
        """Return one websocket message as a frame, or what can be used of it.

        A message on an unknown topic of a symbol of ours counts as damaged: its topic may be.
        """
        text = shown(message)
        try:
            frame = decode_message(message)
        except VenueProtocolError as error:
            return self._salvage(text, str(error))
        if isinstance(frame, OtherFrame) and (found := self._attributed(text, "")).name:
            return Salvaged(None, [found._replace(reason=f"topic {clip(frame.topic)} is unknown")])
        return frame

    def _salvage(self, text: str, reason: str) -> Salvaged:
        whole = Salvaged(None, [self._attributed(text, reason)])
        try:
            envelope = msgspec.json.decode(text, type=Envelope)
            topic = Topic.of(envelope.topic)
            if topic.kind not in _SHAPES:
                return whole
            rows = msgspec.json.decode(envelope.data, type=list[msgspec.Raw])
        except (*BROKEN, VenueProtocolError):
            return whole
        made, shape = _SHAPES[topic.kind]
        name = self._names.get(topic.symbol, "")
        found, damages = rows_of(rows[:ROWS_MAX], shape, topic.kind, lambda _: name)
        valid = [row for row in found if row is not None]
        if not valid or not damages or len(rows) > ROWS_MAX:
            return whole
        return Salvaged(made(topic, envelope.type == "snapshot", envelope.ts, valid), damages)

    def _attributed(self, text: str, reason: str) -> Damage:
        """Return the damage of a message as a whole."""
        found = set(_TOPIC.findall(text))
        if len(found) != 1:
            return Damage("", "", reason)
        ((kind, symbol),) = found
        return Damage(kind if kind in KINDS else "", self._names.get(symbol, ""), reason)
