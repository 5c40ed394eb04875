"""What the HTTP interface serves: a running session, or days that are only looked at.

Implemented by `live.py`; called by the application, always from the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

__all__ = ["Source", "Standing"]


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
    def seq(self) -> int:
        """The seq of the newest record that answers show. It is durable."""
        ...

    async def answer(self, name: str, query: Mapping[str, str]) -> msgspec.Struct:
        """Return the answer of `GET /api/NAME`. Raises Problem."""
        ...
