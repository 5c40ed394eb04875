"""A hostile venue on a real socket: the sandbox behind it, and whatever a test puts in place of its words.

Owns the bytes that the engine reads. An HTTP answer is replaced by kind of request (`answers`), a websocket
message by a function of its text (`speak`), and a connection can be sent any bytes at any time (`say`).
Everything else passes unchanged, so a session is real in all other respects.

    async with strange() as stranger:
        stranger.answers["meta"] = answering(b"<html>")
        ...
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio

from tests.live.kit import Venue, serving

__all__ = [
    "Fetch",
    "Stranger",
    "answering",
    "changing",
    "close_frame",
    "dripping",
    "executed_then",
    "flooding",
    "frame",
    "response",
    "strange",
]

Fetch = Callable[[], Awaitable[bytes]]
"""Lets the sandbox handle the request; returns the body of its answer."""

Act = Callable[[trio.SocketStream, Fetch], Awaitable[None]]
"""Answers a request in place of the sandbox, by writing to the stream."""

Speak = Callable[[str], Iterable[bytes]]
"""Returns the bytes that are written in place of a websocket message with this text."""

_HEAD_MAX = 1 << 16


def frame(payload: bytes | str, opcode: int = 1, *, fin: bool = True, length: int | None = None) -> bytes:
    """Return a websocket frame of a server. `length` is what its header says, if not the truth."""
    data = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
    size = len(data) if length is None else length
    first = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        return first + bytes([size]) + data
    if size < 1 << 16:
        return first + b"\x7e" + size.to_bytes(2, "big") + data
    return first + b"\x7f" + size.to_bytes(8, "big") + data


def close_frame(code: int, reason: bytes = b"") -> bytes:
    """Return a frame that closes."""
    return frame(code.to_bytes(2, "big") + reason, 8)


def response(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None, *, length: int | None = None
) -> bytes:
    """Return the bytes of an HTTP answer."""
    given = {
        "content-type": "application/json",
        "content-length": str(len(body) if length is None else length),
    }
    lines = [
        f"{name}: {value}" for name, value in {**given, "connection": "close", **(headers or {})}.items()
    ]
    return "\r\n".join([f"HTTP/1.1 {status} x", *lines, "", ""]).encode("utf-8") + body


def answering(body: bytes, status: int = 200, headers: dict[str, str] | None = None, **more: Any) -> Act:
    """Answer with a body."""

    async def act(stream: trio.SocketStream, fetch: Fetch) -> None:
        await stream.send_all(response(body, status, headers, **more))

    return act


def changing(edit: Callable[[Any], Any]) -> Act:
    """Answer with what the sandbox says, changed. `edit` may return bytes."""

    async def act(stream: trio.SocketStream, fetch: Fetch) -> None:
        changed = edit(json.loads(await fetch()))
        body = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        await stream.send_all(response(body))

    return act


def executed_then(act: Act) -> Act:
    """Let the sandbox carry the request out; what it says is lost, and `act` answers."""

    async def both(stream: trio.SocketStream, fetch: Fetch) -> None:
        await fetch()
        await act(stream, fetch)

    return both


def dripping(data: bytes, every_s: float) -> Act:
    """Answer byte by byte, slowly."""

    async def act(stream: trio.SocketStream, fetch: Fetch) -> None:
        for at in range(len(data)):
            await stream.send_all(data[at : at + 1])
            await trio.sleep(every_s)

    return act


def flooding(head: bytes, part: bytes, times: int) -> Act:
    """Answer with `head`, and then so many equal parts."""

    async def act(stream: trio.SocketStream, fetch: Fetch) -> None:
        await stream.send_all(head)
        for _ in range(times):
            await stream.send_all(part)

    return act


class Stranger:
    """What a test changes, and what happened.

    `requests` counts HTTP requests by kind, `heads` has their headers, and `connections` counts websockets.
    """

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._port = int(venue.base_url.rsplit(":", 1)[1])
        self.base_url = ""
        self.requests: Counter[str] = Counter()
        self.heads: list[bytes] = []
        self.connections = 0
        self.answers: dict[str, Act] = {}
        self.speak: Speak = lambda text: [frame(text)]
        self.handshake: Act | None = None
        self.greeting: list[bytes] = []
        self._open: list[tuple[trio.SocketStream, trio.Lock]] = []

    async def say(self, *chunks: bytes) -> None:
        """Write bytes to every websocket that is open."""
        for stream, lock in list(self._open):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async with lock:
                    for chunk in chunks:
                        await stream.send_all(chunk)

    async def serve(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; start with the address."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.base_url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        task_status.started(self.base_url)
        await trio.serve_listeners(self._connection, [listener])

    async def _connection(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            head, body = await _read_head(stream)
            if b"upgrade: websocket" in head.lower():
                self.connections += 1
                await self._websocket(stream, head)
            elif head:
                await self._http(stream, head, body)
        await trio.aclose_forcefully(stream)

    async def _http(self, stream: trio.SocketStream, head: bytes, body: bytes) -> None:
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += await stream.receive_some()
        found = json.loads(body)
        kind = found["action"]["type"] if "action" in found else found["type"]
        self.requests[kind] += 1
        self.heads.append(head)

        async def fetch() -> bytes:
            return (await self._forward(head, body)).partition(b"\r\n\r\n")[2]

        act = self.answers.get(kind)
        if act is None:
            await stream.send_all(await self._forward(head, body))
        else:
            await act(stream, fetch)

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
        async with await trio.open_tcp_stream("127.0.0.1", self._port) as upstream:
            await upstream.send_all(b"\r\n".join([*lines, b"connection: close", b"", body]))
            return b"".join([part async for part in upstream])

    async def _websocket(self, stream: trio.SocketStream, head: bytes) -> None:
        if self.handshake is not None:
            await self.handshake(stream, _nothing)
            return
        upstream = await trio.open_tcp_stream("127.0.0.1", self._port)
        lock = trio.Lock()
        async with upstream, trio.open_nursery() as nursery:
            await upstream.send_all(head + b"\r\n\r\n")
            answer, rest = await _read_head(upstream)
            await stream.send_all(answer + b"\r\n\r\n")
            for chunk in self.greeting:
                await stream.send_all(chunk)
            self._open.append((stream, lock))
            try:
                nursery.start_soon(_copy, stream, upstream, nursery.cancel_scope)
                await self._speak(upstream, stream, lock, rest)
            finally:
                self._open.remove((stream, lock))
            nursery.cancel_scope.cancel()

    async def _speak(
        self, upstream: trio.SocketStream, stream: trio.SocketStream, lock: trio.Lock, data: bytes
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                whole, data = _split(data)
                if whole is None:
                    more = await upstream.receive_some()
                    if not more:
                        return
                    data += more
                    continue
                opcode, payload = whole
                chunks = self.speak(payload.decode()) if opcode == 1 else [frame(payload, opcode)]
                async with lock:
                    for chunk in chunks:
                        await stream.send_all(chunk)


async def _nothing() -> bytes:
    return b""


async def _copy(source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for part in source:
            await target.send_all(part)
    scope.cancel()


async def _read_head(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    """Return the head of a message without its empty line, and what came after it."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _HEAD_MAX:
        part = await stream.receive_some()
        if not part:
            return b"", b""
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _split(data: bytes) -> tuple[tuple[int, bytes] | None, bytes]:
    """Return the first frame as (opcode, payload), None if it is not whole yet, and the bytes after it."""
    if len(data) < 2:
        return None, data
    size, at = data[1] & 0x7F, 2
    if size == 126:
        size, at = int.from_bytes(data[2:4], "big"), 4
    elif size == 127:
        size, at = int.from_bytes(data[2:10], "big"), 10
    if len(data) < at + size:
        return None, data
    return (data[0] & 0x0F, data[at : at + size]), data[at + size :]


@asynccontextmanager
async def strange(**options: Any) -> AsyncIterator[Stranger]:
    """Run a sandbox and the hostile venue before it."""
    async with serving(**options) as venue, trio.open_nursery() as nursery:
        stranger = Stranger(venue)
        await nursery.start(stranger.serve)
        yield stranger
        nursery.cancel_scope.cancel()
