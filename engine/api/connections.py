"""Connections below HTTP: Hypercorn on trio, with bounds on their number and on how slow a client may be.

A request must be complete within REQUEST_S of its first byte, a connection may be idle for IDLE_S, and a
client must take what is sent to it within SEND_S. A connection that breaks a bound is reset; others do not
notice. HTTP/2 and websockets are refused. Used by `server.py` only.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

__all__ = ["App", "Caller", "Connections"]

REQUEST_S: Final = 15.0
IDLE_S: Final = 60.0
SEND_S: Final = 10.0
CONNECTIONS_MAX: Final = 256
"""Open connections of a listener; further ones are reset."""
HEADER_BYTES_MAX: Final = 16_384
BUFFER_BYTES: Final = 65_536
"""What the kernel holds for a client that does not read."""

App = Callable[[Any, Any, Any], Awaitable[None]]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class Caller(msgspec.Struct, frozen=True):
    """Who is at the other end: a user (Unix socket), or an IP address, connected to our address `local`."""

    unix: bool
    uid: int = -1
    address: str = ""
    local: str = ""


class Connections:
    """Serves HTTP on one listener with an ASGI application, which finds the `Caller` in scope["state"]."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._config = _config()
        self._context = WorkerContext(None)
        self._open: set[_Connection] = set()
        self._closed = trio.Event()
        self._scope = trio.CancelScope(shield=True)

    @property
    def count(self) -> int:
        """The number of open connections."""
        return len(self._open)

    async def serve(self, listener: trio.SocketListener) -> None:
        """Serve until `abort`; a cancellation alone does not end it, so that requests can be answered."""
        with self._scope:
            await trio.serve_listeners(self._serve_one, [listener])

    async def end(self) -> None:
        """Close connections that are idle, others after their response, and return when none is left."""
        await self._context.terminated.set()
        while self._open:
            self._closed = trio.Event()
            await self._closed.wait()

    def abort(self) -> None:
        """Reset all connections, and serve no more. Closing a socket ends Hypercorn's shielded sends."""
        for connection in list(self._open):
            connection.abort()
        self._scope.cancel()

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        connection = _Connection(stream, self._app)
        if len(self._open) >= CONNECTIONS_MAX:
            connection.abort()
            return
        self._open.add(connection)
        try:
            with connection.scope:
                server = TCPServer(connection, self._config, self._context, {}, cast("Any", connection))
                await server.run()
        except Exception:
            _log.exception("closed a connection after an internal error")
        finally:
            connection.abort()
            self._open.discard(connection)
            self._closed.set()


class _Connection:
    """One connection: the stream that Hypercorn reads and writes, and the application that it calls."""

    def __init__(self, stream: trio.SocketStream, app: App) -> None:
        self.scope = trio.CancelScope()
        self.socket = stream.socket
        self._stream = stream
        self._app = app
        self._reading = trio.CancelScope()
        self._read_by = trio.current_time() + REQUEST_S
        self._idle = False
        self._caller = _caller(stream.socket)
        with contextlib.suppress(OSError):
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)

    def abort(self) -> None:
        """Reset the connection; unsent data is dropped."""
        if not self._caller.unix:
            with contextlib.suppress(OSError):  # already closed
                self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        self.scope.cancel()

    # The stream.

    async def receive_some(self, bytes_max: int) -> bytes | bytearray:
        with trio.CancelScope(deadline=self._read_by) as self._reading:
            data = await self._stream.receive_some(bytes_max)
            if self._idle:
                self._idle = False
                self._set_read_by(REQUEST_S)
            return data
        self.abort()
        raise trio.BrokenResourceError("the client is too slow")

    async def send_all(self, data: bytes) -> None:
        with trio.move_on_after(SEND_S):
            await self._stream.send_all(data)
            return
        self.abort()
        raise trio.BrokenResourceError("the client does not read")

    async def send_eof(self) -> None:
        try:
            await self._stream.send_eof()
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _set_read_by(self, seconds: float) -> None:
        self._read_by = self._reading.deadline = trio.current_time() + seconds

    # The application.

    async def __call__(
        self,
        scope: Any,
        receive: Any,
        send: Any,
        sync_spawn: Callable[..., Any],
        call_soon: Callable[..., Any],
    ) -> None:
        if scope["type"] != "http" or scope["http_version"] not in ("1.0", "1.1"):
            self.abort()
            return
        names = {name for name, _ in scope["headers"]}
        whole = not names & {b"content-length", b"transfer-encoding"}
        if whole:
            self._set_read_by(math.inf)

        async def receive_part() -> Any:
            nonlocal whole
            message = await receive()
            if not message.get("more_body", False):
                whole = True
                self._set_read_by(math.inf)
            return message

        scope["state"] = {"caller": self._caller}
        await self._app(scope, receive_part, send)
        if whole:
            self._idle = True
            self._set_read_by(IDLE_S)
        else:
            # The rest of the body is not read. What was answered gets a moment to leave first.
            await trio.sleep(0.1)
            self.abort()


def _caller(sock: trio.socket.SocketType) -> Caller:
    if sock.family != socket.AF_UNIX:
        try:
            return Caller(False, address=str(sock.getpeername()[0]), local=str(sock.getsockname()[0]))
        except OSError:  # already disconnected
            return Caller(False)
    uid = -1
    if hasattr(socket, "SO_PEERCRED"):
        size = struct.calcsize("3i")
        with contextlib.suppress(OSError):
            uid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1]
    return Caller(True, uid=uid)


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = _log
    config.include_server_header = False
    config.h11_max_incomplete_size = HEADER_BYTES_MAX
    config.h2_max_concurrent_streams = 1
    config.keep_alive_timeout = IDLE_S
    return config
