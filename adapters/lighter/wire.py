"""The shapes of Lighter's market data, and the decoder of its stream.

Owns the shapes of websocket messages and of HTTP answers. Promises: bytes are decoded to one of the shapes or
raise VenueProtocolError, and nothing else; unknown members are ignored, required members must exist with the
right type; text, lists and whole messages have a bound; a list may be null. Called by `salvage.py`,
`decode.py` and `info.py`. Source: the venue's pages "websocket reference" and "market data", 2026; payloads
of 2026.

A subscription goes out as "order_book/0", and its messages come as "order_book:0". Prices and sizes are text
on most channels and JSON numbers in candles: a number stays the text that was sent, `decode.py` makes it
exact. Times are milliseconds, but `last_updated_at` is microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple, get_args

import msgspec

from adapters.transport.decoding import BROKEN, message_text, reason_of
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = [
    "MESSAGE_BYTES_MAX",
    "ROWS_MAX",
    "BookFrame",
    "CandlesFrame",
    "Channel",
    "ConnectedFrame",
    "ErrorFrame",
    "Frame",
    "Level",
    "OtherFrame",
    "PingFrame",
    "PongFrame",
    "ShutdownFrame",
    "SpotStatsFrame",
    "StatsFrame",
    "TickerFrame",
    "TradesFrame",
    "UnsubscribedFrame",
    "WireBook",
    "WireCandle",
    "WireStats",
    "WireTicker",
    "WireTrade",
    "decode_message",
    "is_snapshot",
    "text_of",
]

MESSAGE_BYTES_MAX: Final = 8 << 20
"""Longest message that is read; a snapshot has the whole book."""

ROWS_MAX: Final = 5000
LEVELS_MAX: Final = 50_000


Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]
Micros = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000_000)]
Market = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Number = Annotated[str, msgspec.Meta(max_length=96)]


class Channel(NamedTuple):
    """One subscription: its kind, the number of its market, and the resolution of candles."""

    kind: str
    market: int
    resolution: str = ""

    def text(self, separator: str) -> str:
        """Return its name with this separator: "/" on the way out, ":" on the way in."""
        return separator.join(str(part) for part in self if part != "")

    @classmethod
    def of(cls, text: str) -> Channel:
        """Return the channel that a message names. Raises VenueProtocolError."""
        kind, *rest = text.replace("/", ":").split(":")
        if not kind or not 1 <= len(rest) <= 2 or not (rest[0].isascii() and rest[0].isdigit()):
            raise VenueProtocolError(f"{clip(text)} is not a channel of a market")
        return cls(kind, int(rest[0][:9]), *rest[1:])


class WireTrade(msgspec.Struct, frozen=True, gc=False):
    """One trade. With `is_maker_ask` the ask rested, so the taker bought. `timestamp` in ms."""

    trade_id: Id
    market_id: Market
    size: Number
    price: Number
    is_maker_ask: bool
    timestamp: Millis
    type: Name = "trade"


class Level(msgspec.Struct, frozen=True, gc=False):
    """The whole size at a price; a zero of any scale removes the level."""

    price: Number
    size: Number


_Side = Annotated[list[Level], msgspec.Meta(max_length=LEVELS_MAX)] | None


class WireBook(msgspec.Struct, frozen=True):
    """A whole book (`begin_nonce` 0), or the levels that changed since the update `begin_nonce`."""

    nonce: Id
    begin_nonce: Id
    asks: _Side = None
    bids: _Side = None
    last_updated_at: Micros = 0


class WireTicker(msgspec.Struct, frozen=True, gc=False):
    """The best ask and bid of the market with this symbol."""

    s: Name
    a: Level | None = None
    b: Level | None = None
    last_updated_at: Micros = 0


class WireStats(msgspec.Struct, frozen=True, gc=False):
    """A market's statistics. Rates are percent for an hour; open interest is in base units."""

    market_id: Market
    symbol: Annotated[str, msgspec.Meta(max_length=64)] = ""
    index_price: Number | None = None
    mark_price: Number | None = None
    mid_price: Number | None = None
    open_interest: Number | None = None
    current_funding_rate: Number | None = None


class WireCandle(msgspec.Struct, frozen=True, gc=False):
    """A candle, perhaps still open: `t` its start in ms, `v` the volume in base units."""

    t: Millis
    o: msgspec.Raw
    h: msgspec.Raw
    l: msgspec.Raw  # noqa: E741
    c: msgspec.Raw
    v: msgspec.Raw


_Trades = Annotated[list[WireTrade], msgspec.Meta(max_length=ROWS_MAX)] | None
_Candles = Annotated[list[WireCandle], msgspec.Meta(max_length=ROWS_MAX)] | None


class _Message(msgspec.Struct, frozen=True, tag_field="type"):
    channel: Name
    timestamp: Millis = 0


class TradesFrame(_Message, frozen=True, tag="update/trade"):
    """Trades of one market; forced ones are in a list of their own."""

    trades: _Trades = None
    liquidation_trades: _Trades = None


class TradesSnapshot(TradesFrame, frozen=True, tag="subscribed/trade"):
    """The confirmation of a subscription, with the newest trades."""


class BookFrame(_Message, frozen=True, kw_only=True, tag="update/order_book"):
    """Changes of a book."""

    order_book: WireBook


class BookSnapshot(BookFrame, frozen=True, kw_only=True, tag="subscribed/order_book"):
    """The confirmation of a subscription, with the whole book."""


class TickerFrame(_Message, frozen=True, kw_only=True, tag="update/ticker"):
    """The best bid and ask."""

    ticker: WireTicker
    last_updated_at: Micros = 0


class TickerSnapshot(TickerFrame, frozen=True, kw_only=True, tag="subscribed/ticker"):
    """The confirmation of a subscription, with the best bid and ask."""


class StatsFrame(_Message, frozen=True, kw_only=True, tag="update/market_stats"):
    """Statistics of a perp."""

    market_stats: WireStats


class StatsSnapshot(StatsFrame, frozen=True, kw_only=True, tag="subscribed/market_stats"):
    """The confirmation of a subscription, with the statistics."""


class SpotStatsFrame(_Message, frozen=True, kw_only=True, tag="update/spot_market_stats"):
    """Statistics of a spot market."""

    spot_market_stats: WireStats


class SpotStatsSnapshot(SpotStatsFrame, frozen=True, kw_only=True, tag="subscribed/spot_market_stats"):
    """The confirmation of a subscription, with the statistics."""


class CandlesFrame(_Message, frozen=True, tag="update/candle"):
    """The open candle restated, about every 500 ms."""

    candles: _Candles = None


class CandlesSnapshot(CandlesFrame, frozen=True, tag="subscribed/candle"):
    """The confirmation of a subscription, with the open candle."""


class ConnectedFrame(msgspec.Struct, frozen=True, tag_field="type", tag="connected"):
    """The venue's greeting."""


class PingFrame(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """The venue's ping, which wants a pong as a message."""


class PongFrame(msgspec.Struct, frozen=True, tag_field="type", tag="pong"):
    """The answer to our ping."""


class ShutdownFrame(msgspec.Struct, frozen=True, tag_field="type", tag="shutdown"):
    """The venue closes the connection soon."""

    close_in_ms: Millis = 0


class UnsubscribedFrame(msgspec.Struct, frozen=True, tag_field="type", tag="unsubscribed"):
    """A subscription was ended."""

    channel: Annotated[str, msgspec.Meta(max_length=64)] = ""


class ErrorFrame(msgspec.Struct, frozen=True):
    """The venue's error about a message of ours. Not a wire shape: the venue's has no type."""

    text: str


class OtherFrame(msgspec.Struct, frozen=True):
    """A message of a type that is not read: counted, never fatal. Not a wire shape."""

    type: str


_SNAPSHOTS: Final = (
    TradesSnapshot | BookSnapshot | TickerSnapshot | StatsSnapshot | SpotStatsSnapshot | CandlesSnapshot
)
Data = TradesFrame | BookFrame | TickerFrame | StatsFrame | SpotStatsFrame | CandlesFrame
Frame = (
    Data
    | ConnectedFrame
    | PingFrame
    | PongFrame
    | ShutdownFrame
    | UnsubscribedFrame
    | ErrorFrame
    | OtherFrame
)


class _Words(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""


class _Envelope(msgspec.Struct, frozen=True):
    type: Annotated[str, msgspec.Meta(max_length=64)] = ""
    error: _Words | None = None


_SHAPES: Final = (
    _SNAPSHOTS | Data | ConnectedFrame | PingFrame | PongFrame | ShutdownFrame | UnsubscribedFrame
)
_decode_frame: Callable[[str], Frame] = msgspec.json.Decoder(_SHAPES).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_TYPES: Final = frozenset(str(shape.__struct_config__.tag) for shape in get_args(_SHAPES))


def decode_message(message: str | bytes) -> Frame:
    """Return one websocket message as a struct. Raises VenueProtocolError, and nothing else."""
    text = message_text(message, MESSAGE_BYTES_MAX)
    try:
        return _decode_frame(text)
    except BROKEN as error:
        return _other_frame(text, error)


def is_snapshot(frame: Any) -> bool:
    """Return whether a frame of data also confirms its subscription."""
    return isinstance(frame, _SNAPSHOTS)


def text_of(number: msgspec.Raw) -> str:
    """Return a JSON number, or a text with one, as the text of the number. Raises VenueProtocolError."""
    raw = bytes(number)
    if len(raw) > 98:
        raise VenueProtocolError(f"{clip(raw, 40)} is not a number")
    return raw.strip(b'"').decode("utf-8", "replace")


def _other_frame(text: str, error: Exception) -> Frame:
    """Distinguish an error or a type that is not read from a message that cannot be read."""
    try:
        envelope = _decode_envelope(text)
    except BROKEN:
        envelope = _Envelope()
    if envelope.error is not None:
        return ErrorFrame(f"{envelope.error.message} ({envelope.error.code})")
    if not envelope.type or envelope.type in _TYPES:
        raise VenueProtocolError(f"{reason_of(error)} in {clip(text)}") from error
    return OtherFrame(envelope.type)
