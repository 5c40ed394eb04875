"""What the HTTP interface serves: a running session, or days that are only looked at.

Implemented by `live.py`, and for recorded days by whoever shows them; called by the application, always from
the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from engine.api.stream import Messages
from engine.views.shapes import Hello

__all__ = ["Commands", "Source", "Standing", "encoded", "harmless"]


class Standing(msgspec.Struct, kw_only=True):
    """What every answer has: the journal's id, the seq it stands at, and that record's time."""

    journal: str
    seq: int
    at_ms: int


def encoded(value: msgspec.Struct) -> bytes:
    """Return JSON that is harmless also where somebody pastes it into a page: names come from venues."""
    return harmless(msgspec.json.encode(value))


def harmless(data: bytes) -> bytes:
    """Return JSON without a tag in it. A "<" in JSON is always within a text."""
    return data.replace(b"<", b"\\u003c")


class Source(Protocol):
    """Answers questions about one journal, as it stands at a durable seq."""

    @property
    def journal(self) -> str:
        """The id of the journal, 32 hex digits."""
        ...

    @property
    def standing(self) -> Standing:
        """Where the answers stand. The seq is durable."""
        ...

    @property
    def messages(self) -> Messages:
        """The messages of streams."""
        ...

    async def answer(self, name: str, query: Mapping[str, str]) -> msgspec.Struct:
        """Return the answer of `GET /api/NAME`. Raises Problem."""
        ...

    def check_begun(self) -> None:
        """Raise Problem while the session starts: nothing can be shown yet."""
        ...

    async def shown(self) -> None:
        """Wait until answers show what is durable now, a moment at most: who acts reads what came of it."""
        ...

    def hello(self, *, read_only: bool) -> Hello:
        """Return the first message of a stream, for a reader who can look only or not."""
        ...


class Commands(Protocol):
    """Carries out what operators ask (`engine.runtime.desk.Desk`)."""

    async def submit(self, request: Any, who: str = "") -> msgspec.Struct:
        """Record a request and return its outcome. Raises CommandError."""
        ...
