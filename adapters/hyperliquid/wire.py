"""The words of Hyperliquid's wire, and the one decoder for them.

Owns the shapes of websocket frames that market data needs, and of what `/info` answers in the same shapes
(`answers.py` has the rest). Promises: bytes become
one of these structs or raise VenueProtocolError, and nothing else; members we do not know are ignored,
members we need must be there with the right type; text, lists and whole messages have a bound. Called by
`decode.py`, `info.py`, `line.py` and `feed.py`. Source: the venue's API documentation, captures since 2025.

Prices and sizes stay decimal text here, times stay milliseconds: `decode.py` makes them exact.
A member given twice counts as its last value, as in every JSON reader of the venue's own software.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar, get_args

import msgspec

from adapters.transport.http import BODY_BYTES_MAX
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = [
    "FRAME_BYTES_MAX",
    "PING",
    "Ack",
    "AckFrame",
    "AssetInfo",
    "Bbo",
    "BboFrame",
    "BookFrame",
    "BookLevel",
    "CandleFrame",
    "ContextFrame",
    "ContextValues",
    "ErrorFrame",
    "ExchangeStatus",
    "Frame",
    "Level",
    "Meta",
    "MidsFrame",
    "OtherFrame",
    "PongFrame",
    "SpotContextFrame",
    "Subscription",
    "TradesFrame",
    "WireBook",
    "WireCandle",
    "WireContext",
    "WireMids",
    "WireTrade",
    "decode_body",
    "decode_message",
    "subscribe_text",
]

FRAME_BYTES_MAX: Final = 1 << 20
"""Longest websocket message that is read; the longest known one has 120 kB."""

PING: Final = '{"method":"ping"}'

_GREETING: Final = "Websocket connection established."

# Integers beyond 64 bits end here, before anything can overflow.
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Number = Annotated[str, msgspec.Meta(max_length=96)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class WireTrade(msgspec.Struct, frozen=True, gc=False):
    """One print of the `trades` channel or of `recentTrades`. `side` is the taker's; `time` in ms."""

    coin: _Name
    side: Literal["A", "B"]
    px: _Number
    sz: _Number
    time: _Int64
    tid: _Id


class Level(msgspec.Struct, frozen=True, gc=False):
    """Price and size of one side of the touch."""

    px: _Number
    sz: _Number


class Bbo(msgspec.Struct, frozen=True):
    """Best bid and ask, None on an empty side; `time` in ms."""

    coin: _Name
    time: _Int64
    bbo: tuple[Level | None, Level | None]


class BookLevel(msgspec.Struct, frozen=True, gc=False):
    """Price, size and number of orders of one level of a book."""

    px: _Number
    sz: _Number
    n: _Id


_Side = Annotated[list[BookLevel], msgspec.Meta(max_length=100)]


class WireBook(msgspec.Struct, frozen=True):
    """A whole book: bids and asks, best first; `fast` ones have 5 levels instead of 20. `time` in ms."""

    coin: _Name
    time: _Int64
    levels: tuple[_Side, _Side]
    fast: bool | None = None


_CANDLE: Final = {
    "start": "t",
    "end": "T",
    "coin": "s",
    "interval": "i",
    "open": "o",
    "high": "h",
    "low": "l",
    "close": "c",
    "volume": "v",
    "trades": "n",
}


class WireCandle(msgspec.Struct, frozen=True, gc=False, rename=_CANDLE):
    """A candle, perhaps still open, of `candle` or `candleSnapshot`. `end` is its own last ms."""

    start: _Int64
    end: _Int64
    coin: _Name
    interval: _Name
    open: _Number
    high: _Number
    low: _Number
    close: _Number
    volume: _Number
    trades: _Id


class ContextValues(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A context's values; a spot pair has no funding, and nothing has a mid without a book."""

    mark_px: _Number | None = None
    oracle_px: _Number | None = None
    mid_px: _Number | None = None
    funding: _Number | None = None
    premium: _Number | None = None
    open_interest: _Number | None = None


class WireContext(msgspec.Struct, frozen=True):
    """The context of one coin."""

    coin: _Name
    ctx: ContextValues


class WireMids(msgspec.Struct, frozen=True):
    """The mids of all coins of a dex, by name."""

    mids: Annotated[dict[_Name, _Number], msgspec.Meta(max_length=20_000)]
    dex: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Subscription(msgspec.Struct, frozen=True):
    """What an acknowledgement echoes of what we may ask for; the venue adds members of its own."""

    type: _Name
    coin: _Name | None = None
    interval: _Name | None = None
    fast: bool | None = None
    dex: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Ack(msgspec.Struct, frozen=True):
    """The answer to a subscribe or unsubscribe."""

    method: _Name
    subscription: Subscription


class TradesFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="trades"):
    """Prints, usually of one block and one coin."""

    data: Annotated[list[WireTrade], msgspec.Meta(max_length=5000)]


class BboFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="bbo"):
    """A change of the touch."""

    data: Bbo


class BookFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="l2Book"):
    """A book, fast or not."""

    data: WireBook


class CandleFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="candle"):
    """The open candle restated: one object, although the documentation says an array."""

    data: WireCandle | Annotated[list[WireCandle], msgspec.Meta(max_length=5000)]


class ContextFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="activeAssetCtx"):
    """A perp's context, about once a second, changed or not."""

    data: WireContext


class SpotContextFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="activeSpotAssetCtx"):
    """A spot pair's context: asked for as `activeAssetCtx`, told on a channel of its own."""

    data: WireContext


class MidsFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="allMids"):
    """The mids of a dex."""

    data: WireMids


class AckFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="subscriptionResponse"):
    """An acknowledgement."""

    data: Ack


class ErrorFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="error"):
    """The venue's complaint about something we sent, in its own words."""

    data: str


class PongFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="pong"):
    """The answer to a ping; carries nothing."""


class OtherFrame(msgspec.Struct, frozen=True):
    """A message on a channel that is not about market data: counted, never fatal. Not a wire shape."""

    channel: str


_Market = TradesFrame | BboFrame | BookFrame | CandleFrame | ContextFrame | SpotContextFrame | MidsFrame
_Known = _Market | AckFrame | ErrorFrame | PongFrame
Frame = _Known | OtherFrame

_KNOWN_CHANNELS: Final = frozenset(str(shape.__struct_config__.tag) for shape in get_args(_Known))


class AssetInfo(msgspec.Struct, frozen=True, rename="camel"):
    """One perp of `meta`. `px_decimals` exists on the sandbox only."""

    name: _Name
    sz_decimals: Annotated[int, msgspec.Meta(ge=0, le=18)]
    is_delisted: bool | None = None
    px_decimals: Annotated[int, msgspec.Meta(ge=0, le=18)] | None = None


class Meta(msgspec.Struct, frozen=True):
    """The perps of the venue."""

    universe: Annotated[list[AssetInfo], msgspec.Meta(max_length=10_000)]


class ExchangeStatus(msgspec.Struct, frozen=True):
    """The venue's clock, in ms. `speed`, on the sandbox only, is its pace in venue seconds a second."""

    time: _Int64
    speed: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None


class _Envelope(msgspec.Struct, frozen=True):
    channel: _Name


_Body = TypeVar("_Body")

_decode_frame = msgspec.json.Decoder(_Known).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_BROKEN: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


def decode_message(message: str | bytes) -> Frame:
    """Return one websocket message as a struct. Raises VenueProtocolError, and nothing else."""
    if len(message) > FRAME_BYTES_MAX:
        raise VenueProtocolError(f"a message of {len(message)} bytes is longer than {FRAME_BYTES_MAX}")
    try:
        # As text, since the JSON reader would not look at the bytes of members it skips.
        text = message if isinstance(message, str) else message.decode()
    except UnicodeError as error:
        raise VenueProtocolError(f"{_reason(error)} in {clip(message)}") from error
    try:
        frame: Frame = _decode_frame(text)
    except _BROKEN as error:
        return _other_frame(text, error)
    return frame


def decode_body(body: bytes, shape: type[_Body]) -> _Body:
    """Return the body of an HTTP answer as a `shape`. Raises VenueProtocolError, and nothing else."""
    if len(body) > BODY_BYTES_MAX:
        raise VenueProtocolError(f"an answer of {len(body)} bytes is longer than {BODY_BYTES_MAX}")
    try:
        return msgspec.json.decode(body.decode(), type=shape)
    except _BROKEN as error:
        raise VenueProtocolError(f"{_reason(error)} in {clip(body)}") from error


def subscribe_text(kind: str, coin: str = "", **options: Any) -> str:
    """Return the message that subscribes to `kind` of one coin, or of none; `options` are the venue's."""
    wanted = {"type": kind, **({"coin": coin} if coin else {}), **options}
    return msgspec.json.encode({"method": "subscribe", "subscription": wanted}).decode()


def _other_frame(text: str, error: Exception) -> OtherFrame:
    """Tell a channel we do not read from a message nobody can read."""
    if text == _GREETING:
        return OtherFrame("greeting")
    try:
        channel = _decode_envelope(text).channel
    except _BROKEN:
        channel = None
    if channel is None or channel in _KNOWN_CHANNELS:
        raise VenueProtocolError(f"{_reason(error)} in {clip(text)}") from error
    return OtherFrame(channel)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    return clip(str(error)).strip("'\"")
