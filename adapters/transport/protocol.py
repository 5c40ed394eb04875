"""What a venue's adapter says about its streams: how to subscribe, how a message is read, how to ping.

A stream (`stream.py`) knows that subscriptions are sent, confirmed or refused, and that everything else is
data. What a confirmation looks like is the venue's: `StreamProtocol` decodes a message into a frame and says
of the frames in `controls` what they mean for the stream. Implemented by each adapter, for market data and
for its account.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, NamedTuple, Protocol

__all__ = ["UNREAD", "Confirmed", "Control", "Refused", "StreamProtocol", "Subscription", "Unread"]


class Subscription(NamedTuple):
    """One thing to be confirmed. `label` names it in errors.

    `text` is the message that asks for it, "" where the message of an earlier one asks for both: a venue may
    confirm each symbol of one request, or one request for many symbols (then it is one subscription here).
    """

    key: Hashable
    text: str
    label: str


class Confirmed(NamedTuple):
    """The venue confirms the subscription of this key."""

    key: Hashable


class Refused(NamedTuple):
    """The venue refuses something we sent, in its own words. Before the stream is up: a subscription."""

    text: str


class Unread(NamedTuple):
    """A message that is not for this stream; it is counted."""


UNREAD: Final = Unread()

Control = Confirmed | Refused | Unread | None
"""What a control frame means; None: nothing, such as the answer to a ping."""


class StreamProtocol(Protocol):
    """One kind of stream of a venue."""

    @property
    def ping(self) -> str:
        """The message that the venue answers; "" for a ping frame of the websocket."""
        ...

    @property
    def message_bytes_max(self) -> int:
        """The longest message that is read."""
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
