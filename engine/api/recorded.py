"""Serves recorded days to be looked at: the page and the questions of a live session, as of any moment.

Every question takes `at` (a seq) or `at_ms` (a time). Nothing is written: there is no session, so commands
are refused, and no Unix socket. One question is answered at a time, in a thread, since a moment may have to
be read from the days. Made and run by `engine dashboard`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
import trio

from engine.api.app import Api, Services
from engine.api.connections import Connections
from engine.api.guard import Guard
from engine.api.hosts import Hosts
from engine.api.openapi import description
from engine.api.ports import Standing
from engine.api.problems import Problem
from engine.api.server import FAREWELL_S, Dashboard
from engine.api.sessions import Sessions
from engine.api.sockets import listener_of
from engine.api.stream import Messages
from engine.errors import EngineError, UsageError
from engine.views.recorded import Recorded
from engine.views.shapes import Hello
from engine.views.stream import Changes
from engine.views.units import ms

__all__ = ["RecordedServer", "RecordedSource"]

WAITING_MAX: Final = 16
"""How many questions may wait."""


class RecordedSource:
    """Implements `ports.Source` for days that are indexed."""

    def __init__(self, recorded: Recorded) -> None:
        self.journal = recorded.journal
        self.messages = Messages(recorded.last_seq)
        self._recorded = recorded
        self._one = trio.CapacityLimiter(1)
        self._hello = Changes(recorded.at(recorded.last_seq)).hello()

    @property
    def standing(self) -> Standing:
        """The end of the days."""
        recorded = self._recorded
        return Standing(journal=self.journal, seq=recorded.last_seq, at_ms=ms(recorded.last_ns))

    async def answer(self, name: str, query: Mapping[str, str]) -> msgspec.Struct:
        """Return the answer of a path. Raises Problem."""
        if self._one.statistics().tasks_waiting >= WAITING_MAX:
            raise Problem("busy", "other moments are being read; ask again in a moment", retry_s=1)
        try:
            return await trio.to_thread.run_sync(self._recorded.answer, name, query, limiter=self._one)
        except UsageError as error:
            raise Problem("bad_query", str(error)) from None
        except EngineError as error:
            raise Problem("internal", str(error)) from None

    def check_begun(self) -> None:
        """Do nothing: recorded days can be shown at once."""

    async def shown(self) -> None:
        """Return at once: nothing becomes durable."""

    def hello(self, *, read_only: bool) -> Hello:
        """Return the first message of a stream, which has no others."""
        return msgspec.structs.replace(self._hello, read_only=True)


class RecordedServer:
    """The page of recorded days over TCP. `report` receives lines for people."""

    def __init__(self, recorded: Recorded, dashboard: Dashboard, report: Callable[[str], None]) -> None:
        self._dashboard = dashboard
        self._source = RecordedSource(recorded)
        self._sessions = Sessions(
            lambda address, reason: report(f"login from {address} failed: {reason}"), dashboard.password
        )
        services = Services(self._sessions, self._link, report, description(), None, True, dashboard.files)
        self._app = Guard(
            Api(self._source, services).app,
            self._source.journal,
            Hosts(dashboard.names),
            self._sessions,
            dashboard.policy,
        )

    async def run(self, beside: Callable[[], Awaitable[None]]) -> None:
        """Serve until cancelled; `beside` runs at the same time."""
        connections = Connections(self._app)
        async with trio.open_nursery() as serving:
            serving.start_soon(connections.serve, listener_of(self._dashboard.socket))
            self._dashboard.announce(self._link())
            try:
                await beside()
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    self._source.messages.close()
                    with trio.move_on_after(FAREWELL_S):
                        await connections.end()
                    connections.abort()

    def _link(self) -> str:
        return f"http://{self._dashboard.address}/?token={self._sessions.make_token()}"
