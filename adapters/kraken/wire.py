"""The shapes of Kraken's websocket v2, and the decoder of its stream.

Owns the shapes of messages that market data needs. Promises: a message is decoded to one of them or raises
VenueProtocolError, and nothing else; unknown members are ignored, required members must exist with the right
type; text, lists and whole messages have a bound. Called by `salvage.py`, `decode.py` and `feed.py`. Source:
docs.kraken.com, "Spot WebSocket API v2", 2026-11; payloads of 2026.

Prices and sizes are JSON numbers whose trailing zeros count (the checksum of a book is made of their digits),
so a number stays the text that was sent: `decode.py` makes it exact. Times are RFC 3339 text.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from adapters.transport.decoding import BROKEN, message_text, reason_of
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = [
    "CONTROLS",
    "DATA",
    "MESSAGE_BYTES_MAX",
    "PING",
    "ROWS_MAX",
    "AnswerFrame",
    "BookFrame",
    "CandleFrame",
    "Frame",
    "HeartbeatFrame",
    "Level",
    "OtherFrame",
    "Result",
    "StatusFrame",
    "TickerFrame",
    "TradesFrame",
    "WireBook",
    "WireCandle",
    "WireTicker",
    "WireTrade",
    "decode_message",
    "number",
]

MESSAGE_BYTES_MAX: Final = 4 << 20
"""Longest message that is read; a snapshot of 1,000 levels a side has 120 kB."""

PING: Final = '{"method":"ping"}'

ROWS_MAX: Final = 5000
_NUMBER_MAX: Final = 100
"""Longer than any number that is accepted."""

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=96)]
Kind = Literal["snapshot", "update"]


class WireTrade(msgspec.Struct, frozen=True, gc=False):
    """One trade. `side` is the taker's; `trade_id` counts up by one within a pair."""

    symbol: Name
    side: Literal["buy", "sell"]
    price: msgspec.Raw
    qty: msgspec.Raw
    trade_id: Id
    timestamp: Text


class Level(msgspec.Struct, frozen=True, gc=False):
    """The whole size at a price; 0 removes the level."""

    price: msgspec.Raw
    qty: msgspec.Raw


_Side = Annotated[list[Level], msgspec.Meta(max_length=ROWS_MAX)]


class WireBook(msgspec.Struct, frozen=True):
    """A snapshot of a book, or the levels that changed. `checksum` is that of the book's best ten."""

    symbol: Name
    bids: _Side = []
    asks: _Side = []
    checksum: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] | None = None
    timestamp: Text | None = None


class WireCandle(msgspec.Struct, frozen=True, gc=False):
    """A candle, perhaps still open. `interval` is in minutes."""

    symbol: Name
    interval: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    interval_begin: Text
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    close: msgspec.Raw
    volume: msgspec.Raw
    trades: Id


class WireTicker(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask, among others. Older messages have no time."""

    symbol: Name
    bid: msgspec.Raw
    bid_qty: msgspec.Raw
    ask: msgspec.Raw
    ask_qty: msgspec.Raw
    timestamp: Text | None = None


class TradesFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="trade"):
    """Trades of one pair or of several."""

    type: Kind
    data: Annotated[list[WireTrade], msgspec.Meta(max_length=ROWS_MAX)]


class BookFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="book"):
    """Snapshots or changes of books."""

    type: Kind
    data: Annotated[list[WireBook], msgspec.Meta(max_length=100)]


class CandleFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="ohlc"):
    """Restated candles; a snapshot has closed ones too."""

    type: Kind
    data: Annotated[list[WireCandle], msgspec.Meta(max_length=ROWS_MAX)]


class TickerFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="ticker"):
    """Best bids and asks."""

    type: Kind
    data: Annotated[list[WireTicker], msgspec.Meta(max_length=100)]


class HeartbeatFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="heartbeat"):
    """Sent about once a second while nothing else is."""


class Status(msgspec.Struct, frozen=True):
    """The state of the venue: "online", "maintenance", "cancel_only" or "post_only"."""

    system: Name


class StatusFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="status"):
    """Sent on connecting, and when it changes."""

    data: Annotated[list[Status], msgspec.Meta(max_length=100)]


class Result(msgspec.Struct, frozen=True):
    """What a request was about; `interval` of candles, in minutes."""

    channel: Name
    symbol: Name
    interval: int = 0


class AnswerFrame(msgspec.Struct, frozen=True):
    """The answer to a request: one for each symbol. Without success it has `error` in place of `result`."""

    method: Name
    success: bool = True
    result: Result | None = None
    error: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    req_id: int = 0


class OtherFrame(msgspec.Struct, frozen=True):
    """A message on a channel that is not read: counted, never fatal. Not a wire shape."""

    channel: str


DATA: Final = TradesFrame | BookFrame | CandleFrame | TickerFrame
Frame = TradesFrame | BookFrame | CandleFrame | TickerFrame | HeartbeatFrame | StatusFrame | AnswerFrame
CONTROLS: Final = frozenset[type]({HeartbeatFrame, StatusFrame, AnswerFrame, OtherFrame})
"""Frames that are not data."""


_decode_channel = msgspec.json.Decoder(
    TradesFrame | BookFrame | CandleFrame | TickerFrame | HeartbeatFrame | StatusFrame
).decode
_decode_answer = msgspec.json.Decoder(AnswerFrame).decode
_CHANNELS: Final = frozenset({"trade", "book", "ohlc", "ticker", "heartbeat", "status"})
_METHODS: Final = frozenset({"subscribe", "unsubscribe", "pong"})


class _Envelope(msgspec.Struct, frozen=True):
    channel: Name | None = None
    method: Name | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def decode_message(message: str | bytes) -> Any:
    """Return one websocket message as a struct. Raises VenueProtocolError, and nothing else."""
    text = message_text(message, MESSAGE_BYTES_MAX)
    try:
        return _decode_channel(text)
    except BROKEN as error:
        return _other(text, error)


def number(raw: msgspec.Raw) -> str:
    """Return a JSON number as it was sent; any other value as text that is not a number."""
    return bytes(memoryview(raw)[:_NUMBER_MAX]).decode("utf-8", "replace")


def _other(text: str, error: Exception) -> Any:
    """Return an answer, or distinguish a channel that is not read from a message that cannot be read."""
    try:
        envelope = _decode_envelope(text)
        if envelope.channel is None and envelope.method in _METHODS:
            return _decode_answer(text)
    except BROKEN as broken:
        raise VenueProtocolError(f"{reason_of(broken)} in {clip(text)}") from broken
    if envelope.channel in _CHANNELS or (envelope.channel is None and envelope.method is None):
        raise VenueProtocolError(f"{reason_of(error)} in {clip(text)}") from error
    return OtherFrame(envelope.channel or f"method {envelope.method}")
