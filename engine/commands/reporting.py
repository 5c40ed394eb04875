"""Reports how a session stands: a line each minute, and the live view of a terminal.

Asks the session's server for the same answers as `engine status`, so all three show the same. Runs beside the
server and ends with it. Until the server can answer, there is no line. Used by `engine live` and `engine
demo`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

import msgspec
import trio

from engine.api.problems import Problem
from engine.commands.situation import PARTS, Situation, numbers, one_line
from engine.commands.speaking import Speaker
from engine.events.codec import Record
from engine.runtime.committer import Committed
from engine.runtime.notices import Notice

__all__ = ["AnsweringServer", "ReportingServer"]

MINUTE_S: Final = 60.0
"""How often a line says how things stand."""
VIEW_S: Final = 1.0
"""How often the live view is drawn."""


class AnsweringServer(Protocol):
    """The server of a session; see `engine.runtime.plan.OperatorServer`."""

    def passing(self, records: Iterator[Record]) -> Iterator[Record]:
        """Pass on the records that a start reads."""
        ...

    def take(self, committed: Committed) -> None:
        """Note committed turns."""
        ...

    async def run(self) -> None:
        """Serve until cancelled."""
        ...

    async def answer(self, name: str) -> msgspec.Struct:
        """Return the answer of `GET /api/NAME`. Raises Problem."""
        ...


class ReportingServer:
    """A server, and what it answers shown by a speaker."""

    def __init__(self, server: AnsweringServer, speaker: Speaker) -> None:
        self.passing = server.passing
        self.take = server.take
        self._server = server
        self._speaker = speaker

    async def run(self) -> None:
        """Serve until cancelled. Raises what the server raises."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report)
            await self._server.run()
            nursery.cancel_scope.cancel()

    async def _report(self) -> None:
        period_s = VIEW_S if self._speaker.has_view else MINUTE_S
        next_line = trio.current_time() + MINUTE_S
        while True:
            await trio.sleep(period_s)
            try:
                found = Situation.of({name: await self._server.answer(name) for name in PARTS})
            except Problem:
                continue  # it starts, or reads the journal again
            self._speaker.show(found)
            if trio.current_time() >= next_line:
                next_line += MINUTE_S
                line, fields = one_line(found), numbers(found)
                self._speaker(Notice("engine", "status", line, seq=found.status.seq, fields=fields))
