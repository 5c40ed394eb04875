"""The source of a live session: what the journal holds, up to the newest durable record."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.api.ports import Standing
from engine.api.problems import Problem
from engine.events import engine_time
from engine.events.codec import in_order
from engine.runtime.committer import Committed

__all__ = ["LiveSource"]


class LiveSource:
    """Implements `ports.Source` for a live session."""

    def __init__(self, journal_id: bytes, seq: int) -> None:
        self.journal = journal_id.hex()
        self.seq = seq
        self._at_ns = 0

    def take(self, committed: Committed) -> None:
        """Note committed turns. Never waits."""
        for seq, _, event in in_order(committed.first_seq, committed.inputs, committed.derived):
            self.seq, self._at_ns = seq, max(self._at_ns, engine_time(event))

    async def answer(self, name: str, query: Mapping[str, str]) -> msgspec.Struct:
        """Return the answer of a path. Raises Problem."""
        if name == "status":
            return Standing(journal=self.journal, seq=self.seq, at_ms=self._at_ns // 1_000_000)
        raise Problem("not_available", f"{name} is not served yet")
