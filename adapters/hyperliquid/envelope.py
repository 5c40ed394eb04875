"""The envelope of Hyperliquid's messages: shared by every stream and every answer of the venue.

Owns control frames (acknowledgement, error, pong), the ping, the bounds of a message, and decoding.
Promises: bytes are decoded to one of the given shapes or raise VenueProtocolError, and nothing else; unknown
members are ignored, required members must exist with the right type. `wire.py` has the
shapes of market data, `gateway/account_wire.py` those of an account. Source: the venue's API documentation,
captures since 2025.

A member given twice counts as its last value, as in every JSON reader of the venue's own software.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, get_args

import msgspec

from adapters.transport.decoding import BROKEN, message_text, reason_of
from adapters.transport.protocol import ANSWERED, UNREAD, Confirmed, Control, Refused
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = [
    "CONTROLS",
    "FRAME_BYTES_MAX",
    "PING",
    "Ack",
    "AckFrame",
    "ControlFrame",
    "Echo",
    "ErrorFrame",
    "Id",
    "Int64",
    "Millis",
    "Name",
    "Number",
    "OtherFrame",
    "PongFrame",
    "frame_decoder",
    "read_control",
    "subscribe_text",
]

FRAME_BYTES_MAX: Final = 1 << 20
"""Longest websocket message that is read; the longest known one has 120 kB."""

PING: Final = '{"method":"ping"}'

_GREETING: Final = "Websocket connection established."

# Integers beyond 64 bits end here, before anything can overflow.
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]
"""A time of the venue, up to the year 2255: its nanoseconds fit into 64 bits."""
Number = Annotated[str, msgspec.Meta(max_length=96)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Echo(msgspec.Struct, frozen=True):
    """The subscription echoed in an acknowledgement; the venue adds members of its own."""

    type: Name
    coin: Name | None = None
    interval: Name | None = None
    fast: bool | None = None
    dex: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Ack(msgspec.Struct, frozen=True):
    """The answer to a subscribe or unsubscribe."""

    method: Name
    subscription: Echo


class AckFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="subscriptionResponse"):
    """An acknowledgement."""

    data: Ack


class ErrorFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="error"):
    """The venue's error about a message that we sent, as text."""

    data: str


class PongFrame(msgspec.Struct, frozen=True, tag_field="channel", tag="pong"):
    """The answer to a ping; carries nothing."""


class OtherFrame(msgspec.Struct, frozen=True):
    """A message on a channel that is not read: counted, never fatal. Not a wire shape."""

    channel: str


ControlFrame = AckFrame | ErrorFrame | PongFrame
CONTROLS: Final = frozenset[type]({AckFrame, ErrorFrame, PongFrame, OtherFrame})
"""Frames of every stream that are not data."""


class _Envelope(msgspec.Struct, frozen=True):
    channel: Name


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def frame_decoder(shapes: Any) -> Callable[[str | bytes], Any]:
    """Return the decoder of a stream whose messages are a union of `shapes`, tagged by channel."""
    decode_frame = msgspec.json.Decoder(shapes).decode
    channels = frozenset(str(shape.__struct_config__.tag) for shape in get_args(shapes))

    def decode(message: str | bytes) -> Any:
        """Return one websocket message as a struct. Raises VenueProtocolError, and nothing else."""
        text = message_text(message, FRAME_BYTES_MAX)
        try:
            return decode_frame(text)
        except BROKEN as error:
            return _other_frame(text, error, channels)

    return decode


def subscribe_text(kind: str, coin: str = "", **members: Any) -> str:
    """Return the message that subscribes to `kind`; members of the venue that are empty are left out."""
    given = {"coin": coin, **members}
    subscription = {"type": kind, **{name: value for name, value in given.items() if value}}
    return msgspec.json.encode({"method": "subscribe", "subscription": subscription}).decode()


def read_control(frame: Any, key: Callable[[Echo], Any]) -> Control:
    """Return the meaning of a control frame; `key` returns the subscription that an echo confirms."""
    if isinstance(frame, AckFrame):
        ack = frame.data
        return Confirmed(key(ack.subscription)) if ack.method == "subscribe" else None
    if isinstance(frame, ErrorFrame):
        found = _repeated_key(frame.data, key)
        # Its first confirmation may have been damaged.
        known = found is not None and frame.data.startswith("Already subscribed")
        return Confirmed(found) if known else Refused(frame.data, found)
    if isinstance(frame, PongFrame):
        return ANSWERED
    return UNREAD if isinstance(frame, OtherFrame) else None


def _repeated_key(text: str, key: Callable[[Echo], Any]) -> Any:
    """Return the subscription that an error repeats, as in `Already subscribed: {...}`; None without one."""
    _, brace, rest = text.partition("{")
    try:
        return key(msgspec.json.decode(brace + rest[: rest.rfind("}") + 1], type=Echo))
    except BROKEN:
        return None


def _other_frame(text: str, error: Exception, channels: frozenset[str]) -> OtherFrame:
    """Distinguish a channel that is not read from a message that cannot be read."""
    if text == _GREETING:
        return OtherFrame("greeting")
    try:
        channel = _decode_envelope(text).channel
    except BROKEN:
        channel = None
    if channel is None or channel in channels:
        raise VenueProtocolError(f"{reason_of(error)} in {clip(text)}") from error
    return OtherFrame(channel)
