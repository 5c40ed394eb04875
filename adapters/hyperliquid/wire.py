"""The words of Hyperliquid's wire, and the one decoder for them.

Owns the shapes of websocket frames and `/info` answers that market data needs. Promises: bytes become
one of these structs or raise VenueProtocolError, and nothing else; members we do not know are ignored,
members we need must be there with the right type; text, lists and whole messages have a bound. Called by
`decode.py`, `info.py` and `feed.py`. Source: the venue's API documentation and captures of 2025 and 2026.

Prices and sizes stay decimal text here, times stay milliseconds: `decode.py` makes them exact.
A member given twice counts as its last value, as in every JSON reader of the venue's own software.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeVar

import msgspec

from engine.errors import VenueProtocolError

__all__ = [
    "BODY_BYTES_MAX",
    "FRAME_BYTES_MAX",
    "PING",
    "Ack",
    "AckFrame",
    "AssetInfo",
    "Bbo",
    "BboFrame",
    "ErrorFrame",
    "ExchangeStatus",
    "Frame",
    "Level",
    "Meta",
    "OtherFrame",
    "PongFrame",
    "Subscription",
    "TradesFrame",
    "WireTrade",
    "clip",
    "decode_body",
    "decode_message",
    "subscribe_text",
]

FRAME_BYTES_MAX: Final = 1 << 20
"""Longest websocket message that is read; the longest known one has 120 kB."""

BODY_BYTES_MAX: Final = 8 << 20
"""Longest HTTP body that is read, after decompression."""

PING: Final = '{"method":"ping"}'

_GREETING: Final = "Websocket connection established."
_MARKET_CHANNELS: Final = frozenset({"trades", "bbo", "subscriptionResponse", "error", "pong"})

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


class Subscription(msgspec.Struct, frozen=True):
    """What an acknowledgement echoes; the venue adds and drops other members, so these two must do."""

    type: _Name
    coin: _Name | None = None


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


Frame = TradesFrame | BboFrame | AckFrame | ErrorFrame | PongFrame | OtherFrame


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

_decode_frame = msgspec.json.Decoder(TradesFrame | BboFrame | AckFrame | ErrorFrame | PongFrame).decode
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


def subscribe_text(kind: str, coin: str) -> str:
    """Return the message that subscribes to `kind` ("trades" or "bbo") of one coin."""
    request = {"method": "subscribe", "subscription": {"type": kind, "coin": coin}}
    return msgspec.json.encode(request).decode()


def clip(text: str | bytes, length_max: int = 120) -> str:
    """Return `text` from outside as it can be shown: quoted, controls escaped, at most `length_max` long."""
    shown = text[:length_max] if isinstance(text, str) else text[:length_max].decode("utf-8", "replace")
    return ascii(shown)[:length_max] + ("..." if len(text) > length_max else "")


def _other_frame(text: str, error: Exception) -> OtherFrame:
    """Tell a channel we do not read from a message nobody can read."""
    if text == _GREETING:
        return OtherFrame("greeting")
    try:
        channel = _decode_envelope(text).channel
    except _BROKEN:
        channel = None
    if channel is None or channel in _MARKET_CHANNELS:
        raise VenueProtocolError(f"{_reason(error)} in {clip(text)}") from error
    return OtherFrame(channel)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    return clip(str(error)).strip("'\"")
