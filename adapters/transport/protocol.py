"""The port of a venue's streams: how to subscribe, decode a message, and ping.

A stream (`stream.py`) sends subscriptions, which are confirmed or refused; every other message is data.
`StreamProtocol` hides the venue's formats: it decodes a message into a frame, and returns the meaning of
the frames in `controls`. Implemented by each adapter, for market data and
for its account.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, NamedTuple, Protocol

__all__ = ["UNREAD", "Confirmed", "Control", "Refused", "StreamProtocol", "Subscription", "Unread"]


class Subscription(NamedTuple):
    """One subscription to be confirmed. `label` names it in errors.

    `text` is the message that requests it, "" if an earlier subscription's message requests both: a venue may
    confirm each symbol of one request, or one request for many symbols (then it is one subscription here).
    """

    key: Hashable
    text: str
    label: str


class Confirmed(NamedTuple):
    """The venue confirms the subscription of this key."""

    key: Hashable


class Refused(NamedTuple):
    """The venue refuses a message that we sent, with this text. Before the stream is up: a subscription."""

    text: str


class Unread(NamedTuple):
    """A message that is not for this stream; it is counted."""


UNREAD: Final = Unread()

Control = Confirmed | Refused | Unread | None
"""The meaning of a control frame; None if there is nothing to do, as after the answer to a ping."""


class StreamProtocol(Protocol):
    """One kind of stream of a venue."""

    @property
    def ping(self) -> str:
        """The venue's ping message; "" to use a websocket ping frame."""
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
        """Return a message as a frame. Raises VenueProtocolError, and nothing else."""
        ...

    def read_control(self, frame: Any) -> Control:
        """Return what a frame whose type is in `controls` means."""
        ...
