"""The shapes of ApeX Omni's market data, and the decoder of its stream.

Owns the shapes of websocket messages and of HTTP answers. Promises: bytes are decoded to one of the shapes or
raise VenueProtocolError, and nothing else; unknown members are ignored, required members must exist with the
right type; text, lists and whole messages have a bound. Called by `salvage.py`, `decode.py` and `info.py`.
Source: the venue's API documentation and SDK, live frames recorded in 2026.

A message is {topic, type, data, ts}; the topic says what the data are. Symbols have no dash here. `ts` is in
microseconds on live frames and in milliseconds in the documentation; other times are milliseconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from adapters.transport.decoding import BROKEN, message_text, reason_of
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = [
    "KINDS",
    "MESSAGE_BYTES_MAX",
    "ROWS_MAX",
    "AckFrame",
    "BookFrame",
    "CandlesFrame",
    "Envelope",
    "Frame",
    "Level",
    "OtherFrame",
    "PingFrame",
    "PongFrame",
    "TickerFrame",
    "Topic",
    "TradesFrame",
    "WireBook",
    "WireCandle",
    "WireKline",
    "WireTicker",
    "WireTrade",
    "decode_message",
    "ns_of",
]

MESSAGE_BYTES_MAX: Final = 4 << 20
"""Longest message that is read."""

ROWS_MAX: Final = 5000
LEVELS_MAX: Final = 1000


Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Number = Annotated[str, msgspec.Meta(max_length=96)]

_MICROS_FROM: Final = 100_000_000_000_000
_MILLIS_FROM: Final = 100_000_000_000


class Topic(NamedTuple):
    """One subscription: its kind, the symbol without a dash, and the interval of candles."""

    kind: str
    symbol: str
    interval: str = ""

    @property
    def text(self) -> str:
        """Its name on the wire."""
        return f"{self.kind}.{self.interval or 'H'}.{self.symbol}"

    @classmethod
    def of(cls, text: str) -> Topic:
        """Return the topic that a message names. Raises VenueProtocolError."""
        parts = text.split(".")
        if len(parts) != 3 or not all(parts):
            raise VenueProtocolError(f"{clip(text)} is not a topic of a symbol")
        kind, middle, symbol = parts
        return cls(kind, symbol, "" if middle == "H" else middle)


class WireTrade(msgspec.Struct, frozen=True, gc=False):
    """One trade. `S` is taken for the taker's side; `i` is a uuid without an order; `T` in ms."""

    T: Millis
    s: Name
    S: Literal["Buy", "Sell", "BUY", "SELL"]
    v: Number
    p: Number
    i: Name


Level = tuple[Number, Number]
"""A price and the whole size at it; "0" removes the level."""

_Side = Annotated[list[Level], msgspec.Meta(max_length=LEVELS_MAX)]


class WireBook(msgspec.Struct, frozen=True):
    """A whole book or what changed of one, in any order; `u` counts up by one."""

    s: Name
    u: Id
    b: _Side = []
    a: _Side = []


class WireTicker(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A market's statistics; in a delta only what changed. Rates are for an hour, as fractions."""

    symbol: Name
    oracle_price: Number | None = None
    index_price: Number | None = None
    open_interest: Number | None = None
    funding_rate: Number | None = None
    predicted_funding_rate: Number | None = None


class WireCandle(msgspec.Struct, frozen=True, gc=False):
    """A pushed candle, perhaps still open. `start` in ms."""

    start: Millis
    interval: Name
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number


class WireKline(msgspec.Struct, frozen=True, gc=False):
    """A candle over HTTP. `t` is its start: milliseconds as text."""

    t: Annotated[str, msgspec.Meta(max_length=16, pattern="^[0-9]+$")]
    o: Number
    h: Number
    l: Number  # noqa: E741
    c: Number
    v: Number


class Envelope(msgspec.Struct, frozen=True):
    """What every message of data has."""

    topic: Name
    data: msgspec.Raw
    type: Literal["snapshot", "delta"] = "snapshot"
    ts: Id = 0


class TradesFrame(msgspec.Struct, frozen=True):
    """Trades of one symbol: a snapshot has the newest first, a delta the oldest."""

    topic: Topic
    snapshot: bool
    ts: int
    data: list[WireTrade]


class BookFrame(msgspec.Struct, frozen=True):
    """A whole book, or what changed of one."""

    topic: Topic
    snapshot: bool
    ts: int
    data: WireBook


class TickerFrame(msgspec.Struct, frozen=True):
    """Statistics, whole or changed."""

    topic: Topic
    snapshot: bool
    ts: int
    data: WireTicker


class CandlesFrame(msgspec.Struct, frozen=True):
    """The open candle restated."""

    topic: Topic
    snapshot: bool
    ts: int
    data: list[WireCandle]


class _Echo(msgspec.Struct, frozen=True):
    op: Annotated[str, msgspec.Meta(max_length=64)] = ""
    args: (
        Annotated[list[Annotated[str, msgspec.Meta(max_length=128)]], msgspec.Meta(max_length=500)] | None
    ) = None


class AckFrame(msgspec.Struct, frozen=True):
    """The answer to a message of ours, which it repeats."""

    success: bool
    request: _Echo
    ret_msg: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class PingFrame(msgspec.Struct, frozen=True):
    """The venue's ping, which wants a pong as a message."""

    args: list[str]


class PongFrame(msgspec.Struct, frozen=True):
    """The answer to our ping."""


class OtherFrame(msgspec.Struct, frozen=True):
    """A message on a topic that is not read: counted, never fatal."""

    topic: str


class _Op(msgspec.Struct, frozen=True):
    op: Literal["ping", "pong"]
    args: Annotated[list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=10)] = []


class _Any(msgspec.Struct, frozen=True):
    topic: Annotated[str, msgspec.Meta(max_length=128)] = ""
    op: Annotated[str, msgspec.Meta(max_length=64)] = ""
    success: bool | None = None


Frame = TradesFrame | BookFrame | TickerFrame | CandlesFrame | AckFrame | PingFrame | PongFrame | OtherFrame

_SHAPES: Final[dict[str, tuple[Any, Any]]] = {
    "recentlyTrade": (TradesFrame, Annotated[list[WireTrade], msgspec.Meta(max_length=ROWS_MAX)]),
    "orderBook200": (BookFrame, WireBook),
    "instrumentInfo": (TickerFrame, WireTicker),
    "candle": (CandlesFrame, Annotated[list[WireCandle], msgspec.Meta(max_length=ROWS_MAX)]),
}
KINDS: Final = frozenset(_SHAPES)

_decode_any = msgspec.json.Decoder(_Any).decode
_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_ack = msgspec.json.Decoder(AckFrame).decode
_decode_op = msgspec.json.Decoder(_Op).decode
_DECODERS: Final = {kind: msgspec.json.Decoder(shape).decode for kind, (_, shape) in _SHAPES.items()}


def decode_message(message: str | bytes) -> Frame:
    """Return one websocket message as a struct. Raises VenueProtocolError, and nothing else."""
    text = message_text(message, MESSAGE_BYTES_MAX)
    try:
        return _decode(text)
    except BROKEN as error:
        raise VenueProtocolError(f"{reason_of(error)} in {clip(message)}") from error


def _decode(text: str) -> Frame:
    found = _decode_any(text)
    if found.topic:
        topic = Topic.of(found.topic)
        if topic.kind not in _SHAPES:
            return OtherFrame(found.topic)
        envelope = _decode_envelope(text)
        frame: Frame = _SHAPES[topic.kind][0](
            topic, envelope.type == "snapshot", envelope.ts, _DECODERS[topic.kind](envelope.data)
        )
        return frame
    if found.op:
        op = _decode_op(text)
        return PingFrame(op.args) if op.op == "ping" else PongFrame()
    if found.success is None:
        raise VenueProtocolError(f"a message without a topic: {clip(text)}")
    ack = _decode_ack(text)
    return PongFrame() if ack.request.op == "ping" else ack


def ns_of(at: int) -> int:
    """Return the nanoseconds of a time whose unit follows from its size: s, ms or µs."""
    if at >= _MICROS_FROM:
        return at * 1_000
    return at * (1_000_000 if at >= _MILLIS_FROM else 1_000_000_000)
