"""What can be used of a message that is not what the venue documents: the valid rows of a list.

Owns the rules by which a damaged message is attributed and taken apart. Promises: trades and candles with
some invalid rows are read without them; every other invalid message is left out as a whole. A text that is
not JSON is attributed to a channel and a pair if it names exactly one of each; otherwise both are unknown,
and the feed doubts everything of the connection. Called by `channels.py` and `decode.py`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from adapters.kraken.wire import (
    ROWS_MAX,
    CandleFrame,
    OtherFrame,
    TradesFrame,
    WireCandle,
    WireTrade,
    decode_message,
)
from adapters.transport.decoding import BROKEN
from adapters.transport.protocol import Damage, Salvaged
from adapters.transport.salvage import frame_or_salvage, only, rows_of
from adapters.transport.text import clip

__all__ = ["decode_or_salvage"]

_CHANNEL: Final = re.compile(r'"channel"\s*:\s*"([A-Za-z0-9]{1,40})"')
_NAME: Final = re.compile(r'"symbol"\s*:\s*"([^"\\]{1,64})"')
_SHAPES: Final[dict[str, Any]] = {"trade": WireTrade, "ohlc": WireCandle}


class _Rows(msgspec.Struct, frozen=True):
    channel: str
    data: list[msgspec.Raw]
    type: str = "update"


class _Named(msgspec.Struct, frozen=True):
    symbol: str = ""


_decode_rows = msgspec.json.Decoder(_Rows).decode


def decode_or_salvage(message: str | bytes) -> Any:
    """Return one websocket message as a frame, or what can be used of it; see `frame_or_salvage`."""
    return frame_or_salvage(message, decode_message, OtherFrame, _NAME, _salvage)


def _salvage(text: str, reason: str) -> Salvaged:
    try:
        found = _decode_rows(text)
    except BROKEN:
        return Salvaged(None, [_attributed(text, reason)])
    if found.channel not in _SHAPES or len(found.data) > ROWS_MAX:
        return Salvaged(None, [_attributed(text, reason)])
    return _rows(found)


def _rows(found: _Rows) -> Salvaged:
    """Return a frame of the valid rows; an invalid one is None in its place."""
    shape = _SHAPES[found.channel]
    rows, damages = rows_of(found.data, shape, found.channel, _named)
    if not any(row is not None for row in rows):
        damages = [damage._replace(placed=False) for damage in damages]
        return Salvaged(None, damages or [Damage(found.channel, "", f"{clip(found.type)} has no rows")])
    kind: Any = found.type
    if shape is WireTrade:
        return Salvaged(TradesFrame(kind, rows), damages)
    return Salvaged(CandleFrame(kind, [row for row in rows if row is not None]), damages)


def _named(row: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(row, type=_Named).symbol
    except BROKEN:
        return ""


def _attributed(text: str, reason: str) -> Damage:
    """Return the damage of a message as a whole."""
    channel = only(set(_CHANNEL.findall(text)))
    return Damage(channel, only(set(_NAME.findall(text))) if channel else "", reason)
