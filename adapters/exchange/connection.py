"""TCP and websocket connections below the protocol: the Hypercorn setup, and abrupt disconnects.

Covers where the sandbox differs from an ordinary web server: it disconnects without a close frame where the
venue does, never negotiates compression, and keeps no access log. Used by the server only.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from hypercorn.config import Config
from hypercorn.protocol.ws_stream import WSStream
from starlette.applications import Starlette

__all__ = ["Asgi", "TcpConnection", "WebsocketPeer", "hypercorn_config"]

_FRAME_BYTES_MAX: Final = 65_536

_IDLE_S: Final = 75.0
"""How long a connection may be idle between two requests: what most servers in front of a venue allow."""

_log = logging.getLogger(__name__)


class TcpConnection:
    """A TCP connection that can be reset or left half-open. `sent_at`: trio's time of the last frame."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.scope = trio.CancelScope()
        self.sent_at = trio.current_time()
        self.stream = _Stream(stream)

    def abort(self) -> None:
        """Reset the connection without a close frame. Unsent data is dropped."""
        with contextlib.suppress(OSError):  # already closed
            self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()
        self.scope.cancel()

    def go_half_open(self) -> None:
        """Stop all traffic in both directions without closing the connection."""
        self.stream.half_open = True

    @property
    def half_open(self) -> bool:
        """Whether the connection is half-open."""
        return self.stream.half_open


class _Stream:
    """The TCP stream given to Hypercorn. When half-open, it discards data until the client disconnects."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.socket = stream.socket
        self.half_open = False
        self._stream = stream

    async def receive_some(self, bytes_max: int) -> bytes | bytearray:
        while True:
            data = await self._stream.receive_some(bytes_max)
            if not (self.half_open and data):
                return data

    async def send_all(self, data: bytes) -> None:
        if self.half_open:
            await trio.lowlevel.checkpoint()
        else:
            await self._stream.send_all(data)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class WebsocketPeer:
    """A websocket client with a bounded queue of outgoing frames (implements `protocol.Client`).

    `nursery` is the connection's: a task in it ends with the connection.
    """

    def __init__(
        self,
        queue: trio.MemorySendChannel[str],
        tcp: TcpConnection,
        nursery: trio.Nursery | None = None,
        *,
        path: str = "/",
        query: str = "",
    ) -> None:
        self._queue = queue
        self.tcp = tcp
        self.nursery = nursery
        self.path = path
        self.query = query

    def send(self, text: str) -> None:
        try:
            self._queue.send_nowait(text)
        except trio.WouldBlock:
            self.tcp.abort()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the connection is closing; the server removes this client

    def abort(self) -> None:
        self.tcp.abort()


class Asgi:
    """Adapts Starlette to Hypercorn. Disables websocket compression, which the venue never negotiates."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def __call__(
        self,
        scope: Any,
        receive: Any,
        send: Any,
        sync_spawn: Callable[..., Awaitable[Any]],
        call_soon: Callable[..., Any],
    ) -> None:
        stream = getattr(send, "__self__", None)
        if isinstance(stream, WSStream):
            stream.handshake.extensions = None
        await self._app(scope, receive, send)


def hypercorn_config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = _log
    config.include_server_header = False
    config.websocket_max_message_size = _FRAME_BYTES_MAX
    config.keep_alive_timeout = _IDLE_S
    return config
