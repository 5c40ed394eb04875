"""The shapes of Binance's market data, and the decoder of its streams.

Owns the shapes of combined streams and of the answers of REST. Promises: bytes are decoded to one of the
shapes or raise VenueProtocolError, and nothing else; members that are not known are ignored, since the venue
adds some without notice; required members must exist with the right type; text, lists and whole messages have
a bound. Called by `decode.py`, `rest.py` and `salvage.py`. Prices and sizes stay decimal text here, times
milliseconds.

A message of a combined stream is {"stream": NAME, "data": EVENT}. The name tells what the event is, since
some events name neither their type nor their symbol.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec

from adapters.transport.decoding import BROKEN, message_text, reason_of
from adapters.transport.decoding import decode_body as shared_decode_body
from adapters.transport.protocol import BODY_BYTES_MAX
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = [
    "MESSAGE_BYTES_MAX",
    "SHAPES",
    "AggTrade",
    "BookTicker",
    "DepthDiff",
    "DepthLost",
    "DepthSnapshot",
    "Frame",
    "FundingInfo",
    "FundingRate",
    "Kline",
    "KlineEvent",
    "KlineRow",
    "Liquidation",
    "LiquidationOrder",
    "MarkPrice",
    "OpenInterest",
    "PastInterest",
    "PremiumIndex",
    "RawTrade",
    "Reply",
    "RestAggTrade",
    "RestTicker",
    "RestTrade",
    "ServerTime",
    "Shutdown",
    "decode_body",
    "decode_message",
    "kind_of",
]

MESSAGE_BYTES_MAX: Final = 4 << 20
"""Longest message that is read. A diff of a deep book may have thousands of levels."""

MEMBERS_MAX: Final = 2_000_000
"""Most commas of an answer: the listing of all spot symbols has about a million."""


Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]
"""A time of the venue, up to the year 2255: its nanoseconds fit into 64 bits."""
Number = Annotated[str, msgspec.Meta(max_length=96)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Levels = Annotated[list[tuple[Number, Number]], msgspec.Meta(max_length=50_000)]


class AggTrade(msgspec.Struct, frozen=True, gc=False):
    """`aggTrade`: the trades of one taker order at one price. `m`: the buyer was the maker, so the taker
    sold."""

    s: Name
    a: Id
    p: Number
    q: Number
    T: Millis
    m: bool
    E: Millis = 0


class RawTrade(msgspec.Struct, frozen=True, gc=False):
    """`trade`: one trade."""

    s: Name
    t: Id
    p: Number
    q: Number
    T: Millis
    m: bool
    E: Millis = 0


class BookTicker(msgspec.Struct, frozen=True, gc=False):
    """`bookTicker`: the best bid and ask after update `u`. Spot has no time."""

    u: Id
    s: Name
    b: Number
    B: Number
    a: Number
    A: Number
    E: Millis = 0
    T: Millis = 0


class DepthDiff(msgspec.Struct, frozen=True):
    """`depth`: the levels that updates `U` to `u` changed; `pu` (USD-M) is the `u` of the diff before it."""

    s: Name
    U: Id
    u: Id
    b: _Levels
    a: _Levels
    E: Millis
    pu: Id | None = None


class DepthSnapshot(msgspec.Struct, frozen=True, rename="camel"):
    """A book of REST. Spot has no time."""

    last_update_id: Id
    bids: _Levels
    asks: _Levels
    E: Millis = 0


class Kline(msgspec.Struct, frozen=True, gc=False):
    """A candle from `t` to `T`, its own last ms. `n` trades; `x`: it is closed."""

    t: Int64
    T: Int64
    s: Name
    i: Name
    o: Number
    c: Number
    h: Number
    l: Number  # noqa: E741
    v: Number
    n: Id
    x: bool


class KlineEvent(msgspec.Struct, frozen=True):
    """`kline`: the open candle restated, or one that is closed."""

    s: Name
    k: Kline
    E: Millis = 0


class MarkPrice(msgspec.Struct, frozen=True, gc=False):
    """`markPrice`: mark `p`, index `i`, the rate `r` of the running funding period, "" without one."""

    s: Name
    E: Millis
    p: Number
    i: Number | None = None
    r: Number | None = None


class LiquidationOrder(msgspec.Struct, frozen=True, gc=False):
    """The order of a liquidation. `ap` is its average price, `z` its filled size."""

    s: Name
    S: Name
    p: Number
    q: Number
    T: Millis
    ap: Number = "0"
    z: Number = "0"


class Liquidation(msgspec.Struct, frozen=True):
    """`forceOrder`: the newest liquidation of a symbol within a second."""

    o: LiquidationOrder
    E: Millis = 0


class OpenInterest(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The open interest of REST, in base units."""

    symbol: Name
    open_interest: Number
    time: Millis = 0


class PastInterest(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Open interest of the past (`openInterestHist`), in base units. The time may be text."""

    symbol: Name
    sum_open_interest: Number
    timestamp: Millis | Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,13}$")]

    @property
    def at_ms(self) -> int:
        """The time as a number."""
        return int(self.timestamp)


class DepthLost(msgspec.Struct, frozen=True):
    """Our own note in a recording: from here on the book waits for a snapshot."""


class Shutdown(msgspec.Struct, frozen=True, tag_field="e", tag="serverShutdown"):
    """The venue announces that it closes the connection."""

    E: Millis = 0


class Reply(msgspec.Struct, frozen=True):
    """The answer to a request on a stream: accepted if `text` is ""."""

    id: int | str | None
    text: str = ""


class Frame(msgspec.Struct, frozen=True):
    """One message of a stream: `kind` of the event, its symbol as the stream's name has it, and the event."""

    kind: str
    symbol: str
    event: Any


SHAPES: Final[dict[str, Any]] = {
    "aggTrade": AggTrade,
    "trade": RawTrade,
    "bookTicker": BookTicker,
    "depth": DepthDiff,
    "depthSnapshot": DepthSnapshot,
    "depthLost": DepthLost,
    "kline": KlineEvent,
    "markPrice": MarkPrice,
    "forceOrder": Liquidation,
    "openInterest": OpenInterest,
    "serverShutdown": Shutdown,
}
"""The events by kind. Of these `depthSnapshot` and `openInterest` are answers of REST, and `depthLost` is a
note of ours, which a recording of raw messages holds as if a stream had sent them."""

_DECODERS: Final = {kind: msgspec.json.Decoder(shape).decode for kind, shape in SHAPES.items()}


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    msg: str = ""


class _Message(msgspec.Struct, frozen=True):
    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    id: int | str | msgspec.UnsetType | None = msgspec.UNSET
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None
    code: int | None = None
    msg: str = ""
    e: str | None = None


_decode_envelope = msgspec.json.Decoder(_Message).decode


def kind_of(stream: str) -> tuple[str, str]:
    """Return the kind of events and the symbol in a stream's name: btcusdt@kline_1m is a kline of btcusdt."""
    if stream.startswith("!"):
        return stream[1:].partition("@")[0], ""
    symbol, _, rest = stream.partition("@")
    return rest.partition("@")[0].partition("_")[0], symbol


def decode_message(message: str | bytes) -> Frame | Reply | None:
    """Return one websocket message; None for events of a kind that is not read. Raises VenueProtocolError."""
    text = message_text(message, MESSAGE_BYTES_MAX)
    try:
        found = _decode_envelope(text)
        if found.stream is None:
            return _unnamed(found, text)
        kind, symbol = kind_of(found.stream)
        decode = _DECODERS.get(kind)
        if decode is None:
            return None
        if not found.data:
            raise VenueProtocolError(f"no data in {clip(message)}")
        return Frame(kind, symbol, decode(found.data))
    except BROKEN as error:
        raise VenueProtocolError(f"{reason_of(error)} in {clip(message)}") from error


def _unnamed(found: _Message, text: str) -> Frame | Reply | None:
    """Return a message without a stream's name: an answer, or the announcement of an end."""
    if found.e == "serverShutdown":
        return Frame(found.e, "", _DECODERS[found.e](text.encode()))
    failure = found.error or (_Error(found.code, found.msg) if found.code is not None else None)
    identity = None if found.id is msgspec.UNSET else found.id
    if failure is not None:
        return Reply(identity, f"{failure.code} {clip(failure.msg)}")
    if found.id is not msgspec.UNSET and found.result:
        return Reply(identity)
    raise VenueProtocolError(f"no stream is named in {clip(text)}")


# ---- REST

KlineRow = tuple[
    Int64 | Number, Number, Number, Number, Number, Number, Int64, Number, Id, Number, Number, Any
]
"""Open ms (text in some answers), open, high, low, close, volume, last ms, quote volume, trades, taker
volumes."""


class ServerTime(msgspec.Struct, frozen=True, rename="camel"):
    """The venue's clock in ms."""

    server_time: Millis


class RestAggTrade(msgspec.Struct, frozen=True, gc=False):
    """An aggregate trade of `aggTrades`."""

    a: Id
    p: Number
    q: Number
    T: Millis
    m: bool


class RestTrade(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A trade of `historicalTrades`."""

    id: Id
    price: Number
    qty: Number
    time: Millis
    is_buyer_maker: bool


class RestTicker(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The best bid and ask of `ticker/bookTicker`; USD-M has a time."""

    symbol: Name
    bid_price: Number
    bid_qty: Number
    ask_price: Number
    ask_qty: Number
    time: Millis = 0


class FundingRate(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A settled rate."""

    symbol: Name
    funding_rate: Number
    funding_time: Millis


class FundingInfo(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The hours between two payments of a symbol that does not have the usual eight."""

    symbol: Name
    funding_interval_hours: Annotated[int, msgspec.Meta(ge=1, le=24)] = 8


class PremiumIndex(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Mark, index and running rate of REST."""

    symbol: Name
    mark_price: Number
    index_price: Number
    last_funding_rate: Number
    time: Millis


_Body = TypeVar("_Body")


def decode_body(body: bytes, shape: type[_Body]) -> _Body:
    """Return the body of an HTTP answer as a `shape`. Raises VenueProtocolError, and nothing else."""
    return shared_decode_body(body, shape, bytes_max=4 * BODY_BYTES_MAX, members_max=MEMBERS_MAX)
