"""The source of a live session: what the journal holds, up to the newest durable record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import trio

from engine.api.ports import Standing
from engine.api.problems import Problem
from engine.api.stream import Messages
from engine.events import engine_time
from engine.events.codec import in_order
from engine.runtime.committer import Committed
from engine.views.shapes import Hello

__all__ = ["LiveSource"]


class LiveSource:
    """Implements `ports.Source` for a live session."""

    def __init__(self, root: Path, journal: str, seq: int, lines: Callable[[], dict[str, str]]) -> None:
        self.journal = journal
        self.messages = Messages(seq)
        self._seq = seq
        self._at_ns = 0

    @property
    def standing(self) -> Standing:
        """Where the answers stand."""
        return Standing(journal=self.journal, seq=self._seq, at_ms=self._at_ns // 1_000_000)

    def take(self, committed: Committed) -> None:
        """Note committed turns. Never waits."""
        for seq, _, event in in_order(committed.first_seq, committed.inputs, committed.derived):
            self._seq, self._at_ns = seq, max(self._at_ns, engine_time(event))

    def begin(self) -> None:
        """Begin to serve."""
        self.messages = Messages(self._seq)

    async def follow(self) -> None:
        """Follow the journal until cancelled."""
        await trio.sleep_forever()

    async def answer(self, name: str, query: Mapping[str, str]) -> msgspec.Struct:
        """Return the answer of a path. Raises Problem."""
        if name == "status":
            return self.standing
        raise Problem("not_available", f"{name} is not served yet")

    def hello(self) -> msgspec.Struct:
        """Return the first message of a stream."""
        at = self.standing
        return Hello(at.journal, at.seq, at.at_ms, "", armed=False, running=True, recorded=False)
