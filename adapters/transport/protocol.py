"""The port of a venue's streams: how to subscribe, decode a message, and ping.

A stream (`stream.py`) sends subscriptions, which are confirmed or refused; every other message is data.
`StreamProtocol` hides the venue's formats: it decodes a message into a frame, and returns the meaning of
the frames in `controls`. Implemented by each adapter, for market data and
for its account.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, NamedTuple, Protocol

__all__ = [
    "ANSWERED",
    "BODY_BYTES_MAX",
    "UNREAD",
    "Answered",
    "Confirmed",
    "ConfirmedAll",
    "Control",
    "Damage",
    "Leaving",
    "Refused",
    "Reply",
    "Salvaged",
    "StreamProtocol",
    "Subscription",
    "Unread",
]

BODY_BYTES_MAX: Final = 8 << 20
"""Longest answer to a request that is read, after decompression, unless a client has a bound of its own."""


class Subscription(NamedTuple):
    """One subscription to be confirmed. `label` names it in errors.

    `text` is the message that requests it, "" if an earlier subscription's message requests both: a venue may
    confirm each symbol of one request, or one request for many symbols (then it is one subscription here).
    `end` is the message that ends it; "" if it cannot be ended on its own.
    """

    key: Hashable
    text: str
    label: str
    end: str = ""


class Confirmed(NamedTuple):
    """The venue confirms the subscription of this key.

    `data`: the frame that the confirmation carries with it, None if it carries none.
    """

    key: Hashable
    data: Any = None


class ConfirmedAll(NamedTuple):
    """The venue confirms the subscriptions of these keys, which one message requested."""

    keys: tuple[Hashable, ...]


class Refused(NamedTuple):
    """The venue refuses a message that we sent, with this text. `key`: its subscription, None if unknown."""

    text: str
    key: Hashable = None


class Unread(NamedTuple):
    """A message that is not for this stream; it is counted."""


UNREAD: Final = Unread()


class Answered(NamedTuple):
    """The answer to the oldest ping of this connection that was not answered yet."""


ANSWERED: Final = Answered()


class Reply(NamedTuple):
    """The venue wants this message in return: it pings with messages of its own."""

    text: str


class Leaving(NamedTuple):
    """The venue announces that it will close the connection."""

    reason: str


Control = Confirmed | ConfirmedAll | Refused | Unread | Answered | Reply | Leaving | None
"""The meaning of a control frame; None if there is nothing to do."""


class Damage(NamedTuple):
    """Something of a message that cannot be used.

    `channel`, and `name` of the instrument, are "" if unknown. `placed`: it is one print of a list whose
    others are used, so its place among them is known.
    """

    channel: str
    name: str
    reason: str
    placed: bool = False


class Salvaged(NamedTuple):
    """A damaged message: the frame of what can be used, None if nothing can, and what cannot."""

    frame: Any
    damages: list[Damage]


class StreamProtocol(Protocol):
    """One kind of stream of a venue."""

    @property
    def ping(self) -> str:
        """The venue's ping message, made for each ping; "" to use a websocket ping frame."""
        ...

    @property
    def message_bytes_max(self) -> int:
        """Longest message that is read, in bytes."""
        ...

    @property
    def controls(self) -> frozenset[type]:
        """The types of frames that are not data."""
        ...

    def decode(self, message: str | bytes) -> Any:
        """Return a message as a frame. Raises VenueProtocolError, and nothing else.

        A message that raises ends the connection. Where a damaged message costs only itself, a `Salvaged`
        is returned instead, for the host to handle.
        """
        ...

    def read_control(self, frame: Any) -> Control:
        """Return what a frame whose type is in `controls` means."""
        ...
