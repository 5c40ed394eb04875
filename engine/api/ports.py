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

__all__ = ["Commands", "Source", "Standing"]


class Standing(msgspec.Struct, kw_only=True):
    """What every answer has: the journal's id, the seq it stands at, and that record's time."""

    journal: str
    seq: int
    at_ms: int


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

    def hello(self, *, read_only: bool) -> Hello:
        """Return the first message of a stream, for a reader who can look only or not."""
        ...


class Commands(Protocol):
    """Carries out what operators ask (`engine.runtime.desk.Desk`)."""

    async def submit(self, request: Any, who: str = "") -> msgspec.Struct:
        """Record a request and return its outcome. Raises CommandError."""
        ...
