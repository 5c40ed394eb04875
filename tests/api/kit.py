"""Runs the operator's server in the test's own event loop, and speaks to it over real sockets.

`Wire` sends bytes as they are, so that a test can break every rule of HTTP. `serving` starts a server on a
Unix socket in a journal's folder and, unless told otherwise, on a TCP port of loopback.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import trio
import trio.testing

from engine.api.server import Dashboard, LiveServer
from engine.api.sessions import Password
from engine.api.sockets import Address, listen_tcp, local_address, short_path
from engine.events import ClockAdvanced, Event
from engine.runtime.committer import Committed
from engine.runtime.desk import Desk
from engine.runtime.ingress import Ingress
from engine.runtime.notices import Notice
from engine.runtime.plan import ServedSession

JOURNAL = bytes(range(16))
QUESTIONS = (
    "status",
    "instruments",
    "positions",
    "orders",
    "fills",
    "equity",
    "strategies",
    "signals",
    "health",
    "gaps",
    "events",
)
"""The paths of the API that can be asked without saying of what."""
NOW_NS = 1_795_900_000_000_000_000
PATIENCE_S = 300
"""How long a test waits before it fails. No test depends on the speed of the machine."""


class Reply(NamedTuple):
    """A response. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


class Wire:
    """One connection. Everything that was received is kept in `seen`, so that secrets can be searched for."""

    def __init__(self, stream: trio.SocketStream, seen: bytearray) -> None:
        self.stream = stream
        self._seen = seen
        self._rest = bytearray()

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def receive(self) -> bool:
        """Read more; return whether there was anything."""
        try:
            data = await self.stream.receive_some(65_536)
        except trio.BrokenResourceError:
            return False
        self._rest += data
        self._seen += data
        return bool(data)

    async def until(self, mark: bytes) -> bytes:
        """Return what arrives up to and including a mark; what there is when the connection ends."""
        with trio.fail_after(PATIENCE_S):
            while mark not in self._rest and await self.receive():
                pass
        end = self._rest.find(mark)
        end = len(self._rest) if end < 0 else end + len(mark)
        data, self._rest = bytes(self._rest[:end]), self._rest[end:]
        return data

    async def reply(self, *, head: bool = False) -> Reply | None:
        """Return the next response, None when the connection ends without one."""
        text = await self.until(b"\r\n\r\n")
        if not text.endswith(b"\r\n\r\n"):
            return None
        status, *lines = text.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        size = 0 if head else int(headers.get("content-length", 0))
        with trio.fail_after(PATIENCE_S):
            while len(self._rest) < size and await self.receive():
                pass
        body, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return Reply(int(status.split()[1]), headers, body)

    async def ended(self) -> bool:
        """Wait until the other side has closed the connection."""
        with trio.fail_after(PATIENCE_S):
            while await self.receive():
                pass
        return True


class Served:
    """A running server and what was seen of it."""

    def __init__(self, root: Path, server: LiveServer, address: Address | None, ingress: Ingress) -> None:
        self.root = root
        self.server = server
        self.ingress = ingress
        self.seen = bytearray()
        self.wires: list[Wire] = []
        self.links: list[str] = []
        self.health: list[Notice] = []
        self.cookie = ""
        self._address = address
        self._seq = 0

    @property
    def journal(self) -> str:
        return JOURNAL.hex()

    @property
    def address(self) -> Address:
        assert self._address is not None
        return self._address

    @property
    def origin(self) -> str:
        return f"http://{self.address}"

    @property
    def token(self) -> str:
        return self.links[-1].partition("?token=")[2]

    def commit(self, *inputs: Event, derived: list[tuple[int, int, Event]] | None = None) -> None:
        """Pass a durable frame to the server."""
        frame = Committed("2026-11-28", self._seq + 1, list(inputs), derived or [], b"")
        self._seq = frame.last_seq
        self.server.take(frame)

    def tick(self, count: int = 1) -> None:
        """Pass frames of one record that says nothing."""
        for _ in range(count):
            self.commit(ClockAdvanced(NOW_NS + self._seq))

    async def settled(self) -> None:
        """Wait until the view has what was passed to the server."""
        with trio.fail_after(PATIENCE_S):
            while True:
                reply = await self.ask("/api/status", unix=True)
                if reply.status == 200 and reply.json["seq"] >= self._seq:
                    return
                await trio.sleep(0.01)

    async def connect(self, *, unix: bool = False) -> Wire:
        if unix:
            with short_path(self.root / "engine.sock") as path:
                stream = await trio.open_unix_socket(path)
        else:
            stream = await trio.open_tcp_stream(self.address.host, self.address.port)
        self.wires.append(Wire(stream, self.seen))
        return self.wires[-1]

    async def ask(
        self,
        target: str,
        *,
        method: str = "GET",
        body: Any = None,
        headers: dict[str, str | None] | None = None,
        unix: bool = False,
        wire: Wire | None = None,
    ) -> Reply:
        """Send one request as the page does, with the headers of `headers` instead (None: without)."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        fields: dict[str, str | None] = {"Host": "engine" if unix else str(self.address)}
        if self.cookie and not unix:
            fields["Cookie"] = self.cookie
        if method == "POST":
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
            if not unix:
                fields |= {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", "X-Retape": "1"}
        fields |= headers or {}
        lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
        text = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
        own = wire is None
        wire = wire or await self.connect(unix=unix)
        try:
            await wire.send(text.encode("latin-1") + data)
            reply = await wire.reply(head=method == "HEAD")
        finally:
            if own:
                await wire.stream.aclose()
        assert reply is not None, "the connection ended without a response"
        return reply

    async def login(self, token: str | None = None) -> Reply:
        """Log in as the page does, and keep the cookie."""
        reply = await self.ask("/api/login", method="POST", body={"token": token or self.token})
        if reply.status == 200:
            self.cookie = reply.headers["set-cookie"].partition(";")[0]
        return reply


@asynccontextmanager
async def serving(
    root: Path,
    *,
    tcp: bool = True,
    host: str = "127.0.0.1",
    names: tuple[str, ...] = (),
    password: str | None = None,
    read_only: bool = False,
    journal: bytes = JOURNAL,
) -> AsyncIterator[Served]:
    """Yield a running server of the journal in `root`."""
    ingress = Ingress()
    links: list[str] = []
    health: list[Notice] = []
    dashboard = None
    listening = None
    if tcp:
        listening = listen_tcp(Address(host, 0))
        dashboard = Dashboard(
            socket=listening,
            address=local_address(listening),
            announce=links.append,
            names=names,
            password=None if password is None else Password(password),
            read_only=read_only,
        )
    desk = Desk(journal.hex(), ingress.put, lambda: NOW_NS, lambda _nonce: None)
    session = ServedSession(journal, 0, desk, ingress, lambda: NOW_NS)
    server = LiveServer(root, session, dashboard=dashboard, notify=health.append)
    served = Served(root, server, dashboard and dashboard.address, ingress)
    served.links, served.health = links, health
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_run, server)
            yield served
            nursery.cancel_scope.cancel()
    finally:
        if listening is not None:
            listening.close()
        for wire in served.wires:
            await trio.aclose_forcefully(wire.stream)


async def _run(server: LiveServer, task_status: trio.TaskStatus[None]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(PATIENCE_S):
            while not server._source._ready:  # noqa: ASYNC110 - a thread reads the journal
                await trio.sleep(0.005)
        task_status.started()


def link_of(text: str) -> str:
    """Return the link that a command printed."""
    match = re.search(r"http://\S+/\?token=[\w-]+", text)
    assert match is not None, text
    return match[0]
