"""What can be used of a message that is not what the venue documents: the valid trades.

Owns the rules by which a damaged message is attributed and taken apart. Promises: trades with some invalid
rows are read without them; every other invalid message is left out as a whole. A text that is not JSON is
attributed to a channel and a product if it names exactly one of each; otherwise both are unknown, and the
feed doubts everything of the connection. Called by `channels.py` and `decode.py`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from adapters.coinbase.wire import (
    ROWS_MAX,
    OtherFrame,
    TradeEvent,
    TradesFrame,
    WireTrade,
    decode_message,
)
from adapters.transport.decoding import BROKEN
from adapters.transport.protocol import Damage, Salvaged
from adapters.transport.salvage import frame_or_salvage, only, rows_of

__all__ = ["decode_or_salvage"]

_CHANNEL: Final = re.compile(r'"channel"\s*:\s*"([A-Za-z0-9_]{1,40})"')
_NAME: Final = re.compile(r'"product_id"\s*:\s*"([^"\\]{1,64})"')


class _Rows(msgspec.Struct, frozen=True):
    trades: list[msgspec.Raw]
    type: str = "update"


class _Trades(msgspec.Struct, frozen=True):
    channel: str
    timestamp: str
    sequence_num: int
    events: list[_Rows]


class _Named(msgspec.Struct, frozen=True):
    product_id: str = ""


_decode_trades = msgspec.json.Decoder(_Trades).decode


def decode_or_salvage(message: str | bytes) -> Any:
    """Return one websocket message as a frame, or what can be used of it; see `frame_or_salvage`."""
    return frame_or_salvage(message, decode_message, OtherFrame, _NAME, _salvage)


def _salvage(text: str, reason: str) -> Salvaged:
    try:
        found = _decode_trades(text)
    except BROKEN:
        return Salvaged(None, [_attributed(text, reason)])
    if found.channel != "market_trades" or sum(len(one.trades) for one in found.events) > ROWS_MAX:
        return Salvaged(None, [_attributed(text, reason)])
    raw = [row for event in found.events for row in event.trades]
    rows, damages = rows_of(raw, WireTrade, "market_trades", _named)
    if not any(row is not None for row in rows):
        return Salvaged(None, [one._replace(placed=False) for one in damages] or [_attributed(text, reason)])
    frame = TradesFrame(
        timestamp=found.timestamp, sequence_num=found.sequence_num, events=[TradeEvent("update", rows)]
    )
    return Salvaged(frame, damages)


def _named(row: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(row, type=_Named).product_id
    except BROKEN:
        return ""


def _attributed(text: str, reason: str) -> Damage:
    """Return the damage of a message as a whole."""
    channel = only(set(_CHANNEL.findall(text)))
    channel = "level2" if channel == "l2_data" else channel  # the name of its subscription
    return Damage(channel, only(set(_NAME.findall(text))) if channel else "", reason)
