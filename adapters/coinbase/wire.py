"""The shapes of Coinbase's Advanced Trade websocket, and the decoder of its stream.

Owns the shapes of messages that market data needs. Promises: a message is decoded to one of them or raises
VenueProtocolError, and nothing else; unknown members are ignored, required members must exist with the right
type; text, lists and whole messages have a bound. Called by `salvage.py`, `decode.py` and `feed.py`. Source:
docs.cdp.coinbase.com, "Advanced Trade WebSocket Channels", 2026-11; payloads of 2026.

Prices and sizes are decimal text, times RFC 3339 text. `sequence_num` counts all messages of a connection.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from adapters.transport.decoding import BROKEN, message_text, reason_of
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = [
    "CONTROLS",
    "MESSAGE_BYTES_MAX",
    "ROWS_MAX",
    "BookEvent",
    "BookFrame",
    "CandleEvent",
    "CandleFrame",
    "Change",
    "ErrorFrame",
    "HeartbeatFrame",
    "OtherFrame",
    "SubscriptionsFrame",
    "TickerEvent",
    "TickerFrame",
    "TradeEvent",
    "TradesFrame",
    "WireCandle",
    "WireTicker",
    "WireTrade",
    "decode_message",
]

MESSAGE_BYTES_MAX: Final = 32 << 20
"""Longest message that is read; the snapshot of a busy book has several MiB."""

ROWS_MAX: Final = 5000
_CHANGES_MAX: Final = 300_000

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=96)]
TradeId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}$")]
Seconds = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,10}$")]
Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Kind = Literal["snapshot", "update"]


class WireTrade(msgspec.Struct, frozen=True, gc=False):
    """One trade. `side` is the maker's; `trade_id` counts up by one within a product."""

    trade_id: TradeId
    product_id: Name
    price: Text
    size: Text
    side: Name
    time: Text


class TradeEvent(msgspec.Struct, frozen=True):
    """The newest trades, or those of the last 250 ms."""

    type: Kind
    trades: Annotated[list[WireTrade], msgspec.Meta(max_length=ROWS_MAX)]


class Change(msgspec.Struct, frozen=True, gc=False):
    """The whole size at a price; 0 removes the level."""

    side: Literal["bid", "offer"]
    price_level: Text
    new_quantity: Text


class BookEvent(msgspec.Struct, frozen=True):
    """A snapshot of a book, or the levels that changed."""

    type: Kind
    product_id: Name
    updates: Annotated[list[Change], msgspec.Meta(max_length=_CHANGES_MAX)]


class WireTicker(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask after a trade; "" for an empty side."""

    product_id: Name
    best_bid: Text
    best_bid_quantity: Text
    best_ask: Text
    best_ask_quantity: Text


class TickerEvent(msgspec.Struct, frozen=True):
    """Tickers of products."""

    type: Kind
    tickers: Annotated[list[WireTicker], msgspec.Meta(max_length=ROWS_MAX)]


class WireCandle(msgspec.Struct, frozen=True, gc=False):
    """A candle of five minutes on the websocket, of any length over REST, perhaps still open."""

    start: Seconds
    low: Text
    high: Text
    open: Text
    close: Text
    volume: Text
    product_id: Name = "-"


class CandleEvent(msgspec.Struct, frozen=True):
    """Restated candles."""

    type: Kind
    candles: Annotated[list[WireCandle], msgspec.Meta(max_length=ROWS_MAX)]


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    timestamp: Text
    sequence_num: Sequence


class TradesFrame(_Envelope, frozen=True, tag_field="channel", tag="market_trades"):
    """Trades."""

    events: Annotated[list[TradeEvent], msgspec.Meta(max_length=100)]


class BookFrame(_Envelope, frozen=True, tag_field="channel", tag="l2_data"):
    """Books: subscribed to as `level2`."""

    events: Annotated[list[BookEvent], msgspec.Meta(max_length=100)]


class TickerFrame(_Envelope, frozen=True, tag_field="channel", tag="ticker"):
    """Best bids and asks."""

    events: Annotated[list[TickerEvent], msgspec.Meta(max_length=100)]


class CandleFrame(_Envelope, frozen=True, tag_field="channel", tag="candles"):
    """Candles of five minutes, about once a second."""

    events: Annotated[list[CandleEvent], msgspec.Meta(max_length=100)]


class HeartbeatFrame(_Envelope, frozen=True, tag_field="channel", tag="heartbeats"):
    """Once a second. What it carries is not needed."""


class _Subscribed(msgspec.Struct, frozen=True):
    subscriptions: dict[Name, Annotated[list[Name], msgspec.Meta(max_length=ROWS_MAX)]]


class SubscriptionsFrame(_Envelope, frozen=True, tag_field="channel", tag="subscriptions"):
    """The answer to a subscribe or unsubscribe: everything that is subscribed to now."""

    events: Annotated[list[_Subscribed], msgspec.Meta(max_length=100)]


class ErrorFrame(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """The venue's error about a message that we sent."""

    message: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class OtherFrame(msgspec.Struct, frozen=True):
    """A message on a channel that is not read: counted, never fatal. Not a wire shape."""

    channel: str
    sequence_num: int = -1


CONTROLS: Final = frozenset[type]({SubscriptionsFrame, ErrorFrame, OtherFrame})
"""Frames that are not data."""


_decode_channel = msgspec.json.Decoder(
    TradesFrame | BookFrame | TickerFrame | CandleFrame | HeartbeatFrame | SubscriptionsFrame
).decode
_decode_error = msgspec.json.Decoder(ErrorFrame).decode
_CHANNELS: Final = frozenset({"market_trades", "l2_data", "ticker", "candles", "heartbeats", "subscriptions"})


class _Any(msgspec.Struct, frozen=True):
    channel: Name | None = None
    type: Name | None = None
    sequence_num: Sequence | None = None


_decode_any = msgspec.json.Decoder(_Any).decode


def decode_message(message: str | bytes) -> Any:
    """Return one websocket message as a struct. Raises VenueProtocolError, and nothing else."""
    text = message_text(message, MESSAGE_BYTES_MAX)
    try:
        return _decode_channel(text)
    except BROKEN as error:
        return _other(text, error)


def _other(text: str, error: Exception) -> Any:
    """Return an error, or distinguish a channel that is not read from a message that cannot be read."""
    try:
        found = _decode_any(text)
        if found.channel is None and found.type == "error":
            return _decode_error(text)
    except BROKEN as broken:
        raise VenueProtocolError(f"{reason_of(broken)} in {clip(text)}") from broken
    if found.channel is None or found.channel in _CHANNELS:
        raise VenueProtocolError(f"{reason_of(error)} in {clip(text)}") from error
    return OtherFrame(found.channel, -1 if found.sequence_num is None else found.sequence_num)
