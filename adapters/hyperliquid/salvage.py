"""What can be used of a message that is not what the venue documents: the valid rows of a list.

Owns the rules by which a damaged message is attributed and taken apart. Promises: a list of trades or candles
with some invalid rows is read without them, and mids without the invalid ones; every other invalid message is
left out as a whole. A text that is not JSON is attributed to a channel and an instrument if it names exactly
one of each; otherwise both are unknown, and the feed doubts everything of the connection. Called by the
decoder of the stream (`channels.py`) and by `decode.py`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from adapters.hyperliquid.envelope import OtherFrame
from adapters.hyperliquid.wire import (
    CandleFrame,
    Frame,
    MidsFrame,
    SpotContextFrame,
    TradesFrame,
    WireCandle,
    WireMids,
    WireTrade,
    decode_message,
)
from adapters.transport.decoding import BROKEN
from adapters.transport.protocol import Damage, Salvaged
from adapters.transport.salvage import frame_or_salvage, only
from adapters.transport.text import clip

__all__ = ["decode_or_salvage"]

_ROWS_MAX: Final = 5000
_CHANNEL: Final = re.compile(r'"channel"\s*:\s*"([A-Za-z0-9]{1,40})"')
_NAME: Final = re.compile(r'"(?:coin|s)"\s*:\s*"([^"\\]{1,64})"')


def decode_or_salvage(message: str | bytes) -> Frame | Salvaged:
    """Return one websocket message as a frame, or what can be used of it; see `frame_or_salvage`."""
    found: Frame | Salvaged = frame_or_salvage(message, decode_message, OtherFrame, _NAME, _salvage)
    return found


def _salvage(text: str, reason: str) -> Salvaged:
    try:
        found = msgspec.json.decode(text)
    except BROKEN:
        return Salvaged(None, [_attributed(text, reason)])
    channel, data = found.get("channel", "") if isinstance(found, dict) else "", None
    if isinstance(found, dict):
        data = found.get("data")
    if channel == "trades" and isinstance(data, list) and len(data) <= _ROWS_MAX:
        return _rows(channel, data, WireTrade, "coin")
    if channel == "candle" and isinstance(data, list) and len(data) <= _ROWS_MAX:
        return _rows(channel, data, WireCandle, "s")
    if channel == "allMids" and isinstance(data, dict) and isinstance(data.get("mids"), dict):
        return _mids(data, reason)
    return Salvaged(None, [_attributed(text, reason)])


def _rows(channel: str, data: list[Any], shape: type[Any], named: str) -> Salvaged:
    """Return a frame of the valid rows; an invalid one is None in its place."""
    rows: list[Any] = []
    damages = []
    for row in data:
        try:
            rows.append(msgspec.convert(row, shape))
        except BROKEN as error:
            rows.append(None)
            name = row.get(named) if isinstance(row, dict) else None
            damages.append(Damage(channel, name if isinstance(name, str) else "", _reason(error, row), True))
    if not any(row is not None for row in rows):
        return Salvaged(None, [damage._replace(placed=False) for damage in damages])
    frame = TradesFrame(rows) if shape is WireTrade else CandleFrame([row for row in rows if row is not None])
    return Salvaged(frame, damages)


def _mids(data: dict[str, Any], reason: str) -> Salvaged:
    valid = {
        name: value for name, value in data["mids"].items() if isinstance(value, str) and len(value) <= 96
    }
    names = [str(name) for name in data["mids"] if name not in valid]
    dex = data.get("dex")
    if not names or not valid or not isinstance(dex, str | None):
        return Salvaged(None, [Damage("allMids", "", reason)])
    return Salvaged(MidsFrame(WireMids(valid, dex)), [Damage("allMids", name, reason) for name in names])


def _attributed(text: str, reason: str) -> Damage:
    """Return the damage of a message as a whole."""
    channels, names = set(_CHANNEL.findall(text)), set(_NAME.findall(text))
    channel = only(channels)
    if channel == str(SpotContextFrame.__struct_config__.tag):
        channel = "activeAssetCtx"  # the name of its subscription
    return Damage(channel, only(names) if channel else "", reason)


def _reason(error: Exception, row: object) -> str:
    return f"{clip(str(error))} in {clip(str(row), 200)}"
