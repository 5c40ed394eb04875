"""The operator's server of a live session: an edge that listens on the Unix socket, and on TCP when asked.

An error here never stops trading: the supervisor restarts the edge, and the journal has what it missed. When
the session stops, streams end and open requests get FAREWELL_S to be answered. Made by the command line, run
by `engine.runtime.live`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import trio

from engine.api.app import Api, Services
from engine.api.connections import Connections
from engine.api.guard import Guard
from engine.api.hosts import Hosts
from engine.api.live import LiveSource
from engine.api.openapi import description
from engine.api.sessions import Password, Sessions
from engine.api.sockets import Address, UnixSocket, listener_of
from engine.events import LoginFailed
from engine.events.codec import Record
from engine.runtime.committer import Committed
from engine.runtime.notices import Notice
from engine.runtime.plan import ServedSession

__all__ = ["Dashboard", "LiveServer"]

FAREWELL_S: Final = 0.5
"""How long requests may take to be answered once the session has ended."""


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """The page over TCP: where it listens, under which names it answers, and who may log in how.

    `announce` receives the address with its one-time token, once the server runs. `files` are those of the
    page by path, `policy` their Content-Security-Policy.
    """

    socket: socket.socket
    address: Address
    announce: Callable[[str], None]
    names: tuple[str, ...] = ()
    password: Password | None = None
    read_only: bool = False
    files: Mapping[str, object] = {}
    policy: str = ""


class LiveServer:
    """The server of one session. `take` receives committed turns, `run` serves until cancelled.

    `lines` are those of the session's health by name.
    """

    def __init__(
        self,
        root: Path,
        session: ServedSession,
        *,
        dashboard: Dashboard | None = None,
        lines: Mapping[str, Callable[[], str]] = {},
        notify: Callable[[Notice], None] = lambda _: None,
    ) -> None:
        self._root = root
        self._session = session
        self._dashboard = dashboard
        self._announced = False
        self._connections: list[Connections] = []
        self._sessions = Sessions(self._login_failed, None if dashboard is None else dashboard.password)
        self._source = LiveSource(
            root, session.journal_id.hex(), session.seq, self._lines, session.defaults, session.starting
        )
        self._health = lines
        self._api = Api(
            self._source,
            Services(
                self._sessions,
                self._link,
                lambda line: notify(Notice("api", "failed", line)),
                description(),
                session.desk,
                dashboard is not None and dashboard.read_only,
                {} if dashboard is None else dashboard.files,
            ),
        )
        self._app = Guard(
            self._api.app,
            self._source.journal,
            Hosts(dashboard.names if dashboard is not None else ()),
            self._sessions,
            "" if dashboard is None else dashboard.policy,
        )

    def passing(self, records: Iterator[Record]) -> Iterator[Record]:
        """Pass on the records of the newest day while a start reads them, and note them."""
        return self._source.passing(records)

    def take(self, committed: Committed) -> None:
        """Note committed turns. Never waits, never raises."""
        self._source.take(committed)

    async def answer(self, name: str) -> msgspec.Struct:
        """Return the answer of `GET /api/NAME`, for this process. Raises Problem."""
        return await self._source.answer(name, {})

    async def run(self) -> None:
        """Serve until cancelled. Raises EngineError when the socket cannot be made."""
        unix = UnixSocket(self._root)
        self._connections = []
        try:
            async with trio.open_nursery() as serving:
                try:
                    # While the session starts the owner's socket says so; the page comes after that.
                    self._serve(unix.listener(), serving)
                    if self._session.starting is not None:
                        await self._session.starting.done.wait()
                    self._source.begin()
                    if self._dashboard is not None:
                        self._serve(listener_of(self._dashboard.socket), serving)
                        if not self._announced:
                            self._announced = True
                            self._dashboard.announce(self._link())
                    await self._source.follow()
                finally:
                    with trio.CancelScope(shield=True):
                        await self._end()
        finally:
            unix.close()

    def _serve(self, listener: trio.SocketListener, serving: trio.Nursery) -> None:
        connections = Connections(self._app)
        self._connections.append(connections)
        serving.start_soon(connections.serve, listener)

    async def _end(self) -> None:
        """End the streams; let open requests be answered, within FAREWELL_S; close everything."""
        self._source.messages.close()
        with trio.move_on_after(FAREWELL_S):
            async with trio.open_nursery() as nursery:
                for connections in self._connections:
                    nursery.start_soon(connections.end)
        for connections in self._connections:
            connections.abort()

    def _link(self) -> str:
        if self._dashboard is None:
            return ""
        return f"http://{self._dashboard.address}/?token={self._sessions.make_token()}"

    def _lines(self) -> dict[str, str]:
        """Return the lines of the session's health, with those of the server, by name."""
        open_now = sum(connections.count for connections in self._connections)
        own = {"api": f"connections {open_now}, streams {self._api.streams}"}
        return {name: line() for name, line in self._health.items()} | own

    def _login_failed(self, address: str, reason: str) -> None:
        self._session.ingress.put([LoginFailed(self._session.now_ns(), address, reason)])
