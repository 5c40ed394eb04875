"""One connection below the protocol: how Hypercorn is set up, and how a socket is cut.

Owns what the sandbox must do differently from a polite web server: no close frame when the venue would send
none, no compression, no logs of access. Called by the server only.
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

__all__ = ["Asgi", "Connection", "Link", "hypercorn_config"]

_FRAME_BYTES_MAX: Final = 65_536

_log = logging.getLogger(__name__)


class Link:
    """A TCP connection and the ways to spoil it. `sent_at`: when a frame was last sent, trio's time."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.scope = trio.CancelScope()
        self.sent_at = trio.current_time()
        self.stream = _Stream(stream)

    def abort(self) -> None:
        """Reset the connection: what was not sent is dropped, and there is no close frame."""
        with contextlib.suppress(OSError):  # it is closed already
            self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()
        self.scope.cancel()

    def go_dead(self) -> None:
        """Leave the connection half-open: from here on nothing passes either way, and it is not closed."""
        self.stream.dead = True

    @property
    def dead(self) -> bool:
        """Whether nothing passes any more."""
        return self.stream.dead


class _Stream:
    """A TCP stream as Hypercorn uses it. A dead one reads and throws away, until the client leaves."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.socket = stream.socket
        self.dead = False
        self._stream = stream

    async def receive_some(self, bytes_max: int) -> bytes | bytearray:
        while True:
            data = await self._stream.receive_some(bytes_max)
            if not (self.dead and data):
                return data

    async def send_all(self, data: bytes) -> None:
        if self.dead:
            await trio.lowlevel.checkpoint()
        else:
            await self._stream.send_all(data)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Connection:
    """A websocket as the hub sees it (`hub.Peer`)."""

    def __init__(self, queue: trio.MemorySendChannel[str], link: Link) -> None:
        self._queue = queue
        self._link = link

    def send(self, text: str) -> None:
        try:
            self._queue.send_nowait(text)
        except trio.WouldBlock:
            self._link.abort()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it is going already; the hub is about to be told

    def abort(self) -> None:
        self._link.abort()


class Asgi:
    """Starlette as Hypercorn calls it; refuses compressed websockets, which the venue never negotiates."""

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
    return config
