"""The operator's server of a live session: an edge that listens on the Unix socket, and on TCP when asked.

An error here never stops trading: the supervisor restarts the edge. When the session stops, open streams and
connections end at once. Made by the command line, run by `engine.runtime.live`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import trio

from engine.api.app import Api
from engine.api.connections import Connections
from engine.api.guard import Guard
from engine.api.hosts import Hosts
from engine.api.live import LiveSource
from engine.api.sessions import Password, Sessions
from engine.api.sockets import Address, UnixSocket, listener_of
from engine.runtime.committer import Committed
from engine.runtime.ingress import Ingress
from engine.runtime.notices import Notice

__all__ = ["Dashboard", "LiveServer"]

POLICY: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """The page over TCP: where it listens, under which names it answers, and who may log in how.

    `announce` receives the address with its one-time token, once the server runs.
    """

    socket: socket.socket
    address: Address
    announce: Callable[[str], None]
    names: tuple[str, ...] = ()
    password: Password | None = None
    read_only: bool = False


class LiveServer:
    """The server of one session. `take` receives committed turns, `run` serves until cancelled."""

    def __init__(
        self,
        root: Path,
        journal_id: bytes,
        seq: int,
        ingress: Ingress,
        *,
        dashboard: Dashboard | None = None,
        notify: Callable[[Notice], None] = lambda _: None,
    ) -> None:
        self._root = root
        self._ingress = ingress
        self._dashboard = dashboard
        self._source = LiveSource(journal_id, seq)
        self._sessions = Sessions(self._login_failed, None if dashboard is None else dashboard.password)
        self._announced = False

        def report(line: str) -> None:
            notify(Notice("api", "failed", line))

        api = Api(self._source, self._sessions, self._link, report)
        hosts = Hosts(dashboard.names if dashboard else ())
        self._app = Guard(api.app, self._source.journal, hosts, self._sessions, POLICY)

    def take(self, committed: Committed) -> None:
        """Note committed turns. Never waits, never raises."""
        self._source.take(committed)

    async def run(self) -> None:
        """Serve until cancelled. Raises EngineError when the socket cannot be made."""
        unix = UnixSocket(self._root)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Connections(self._app).serve, unix.listener())
                if self._dashboard is not None:
                    nursery.start_soon(Connections(self._app).serve, listener_of(self._dashboard.socket))
                    if not self._announced:
                        self._announced = True
                        self._dashboard.announce(self._link())
        finally:
            unix.close()

    def _link(self) -> str:
        if self._dashboard is None:
            return ""
        return f"http://{self._dashboard.address}/?token={self._sessions.make_token()}"

    def _login_failed(self, address: str, reason: str) -> None:
        pass
