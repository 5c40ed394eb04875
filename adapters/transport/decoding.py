"""Decodes JSON that a venue sent: the bounds and errors that are the same for every venue.

Promises: bytes are decoded to the given shape or raise VenueProtocolError, and nothing else. Called by the
packages of venues.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from adapters.transport.protocol import BODY_BYTES_MAX
from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = ["BROKEN", "decode_body", "message_text", "reason_of"]

BROKEN: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What decoding raises for text that is not of the expected shape."""

_MEMBERS_MAX: Final = 500_000
"""Most commas of an answer: each value costs more memory than its text."""

_Shape = TypeVar("_Shape")


def message_text(message: str | bytes, bytes_max: int) -> str:
    """Return a websocket message as text. Raises VenueProtocolError, and nothing else.

    The JSON reader would not look at the bytes of members that it skips.
    """
    if len(message) > bytes_max:
        raise VenueProtocolError(f"a message of {len(message)} bytes is longer than {bytes_max}")
    try:
        return message if isinstance(message, str) else message.decode()
    except UnicodeError as error:
        raise VenueProtocolError(f"{reason_of(error)} in {clip(message)}") from error


def decode_body(
    body: bytes | msgspec.Raw,
    shape: type[_Shape],
    *,
    bytes_max: int = BODY_BYTES_MAX,
    members_max: int = _MEMBERS_MAX,
) -> _Shape:
    """Return an HTTP answer, or a part of one, as a `shape`. Raises VenueProtocolError, and nothing else."""
    body = bytes(body)
    if len(body) > bytes_max:
        raise VenueProtocolError(f"an answer of {len(body)} bytes is longer than {bytes_max}")
    if body.count(b",") > members_max:
        raise VenueProtocolError(f"an answer has more than {members_max} members")
    try:
        return msgspec.json.decode(body.decode(), type=shape)
    except BROKEN as error:
        raise VenueProtocolError(f"{reason_of(error)} in {clip(body)}") from error


def reason_of(error: Exception) -> str:
    """Return why something cannot be decoded, in one line."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    return clip(str(error)).strip("'\"")
