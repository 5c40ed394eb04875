"""The port to a message broker: streams of messages that are appended behind a fence, and read by number.

A broker numbers the messages of a stream, upwards from 1, perhaps with gaps. Implemented by
`engine.mirror.nats` and `kafka`; used by
`pushing` and `pulling`, one call at a time, from one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from engine.mirror.errors import MirrorUnavailable

__all__ = ["Broker", "Fenced", "Message", "Stored", "StreamState"]


class Message(msgspec.Struct, frozen=True):
    """A message to be stored. Its header `Nats-Msg-Id` names it for ever."""

    headers: dict[str, str]
    data: bytes


class Stored(msgspec.Struct, frozen=True):
    """A message as stored, with its number in the stream."""

    number: int
    headers: dict[str, str]
    data: bytes


class StreamState(msgspec.Struct, frozen=True):
    """The numbers of the first and the last message of a stream (1 and 0 when it is empty).

    `bytes_max` is the size of the largest message that it takes, headers included.
    """

    first: int
    last: int
    bytes_max: int


class Fenced(MirrorUnavailable):
    """The stream does not end where the message was to follow: another writer, or an answer that was lost."""


class Broker(Protocol):
    """A connection to a broker. Every call raises MirrorUnavailable when there is no answer in time.

    After an error the connection is closed; the next call opens it again.
    """

    @property
    def place(self) -> str:
        """The address for people, without secrets."""
        ...

    def open(self, subject: str) -> StreamState:
        """Return the state of the stream of a subject, which is created if need be. Raises MirrorUnfit."""
        ...

    def look(self, subject: str) -> StreamState:
        """Return the state of a stream that exists. Raises MirrorOutOfStep where there is none."""
        ...

    def append(self, subject: str, messages: Sequence[Message], after: int) -> None:
        """Store messages behind number `after`, in order, and wait until the broker has them all.

        Raises Fenced, without storing the message, when the stream has another end.
        """
        ...

    def read(self, subject: str, begin: int, count: int) -> list[Stored]:
        """Return up to `count` messages from number `begin` on; fewer only at the end."""
        ...

    def close(self) -> None:
        """Close the connection, if it is open."""
        ...
