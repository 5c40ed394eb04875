"""A way to a venue on which chosen requests are cut off, and arrive late or never."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import trio

__all__ = ["LateWay"]

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNK = 1 << 16
_CHANGES = b"POST ", b"PUT "


class LateWay:
    """A proxy on loopback. It holds the first `count` requests that `chosen` names.

    `cuts`: the client's connection is reset at once; else nothing is answered. `late_s` is when the venue
    gets the request after all; None: never. `answers` are what it said to late ones.
    """

    def __init__(
        self,
        base_url: str,
        chosen: Callable[[bytes], bool],
        *,
        late_s: float | None,
        cuts: bool = True,
        count: int = 1,
    ) -> None:
        parts = urlsplit(base_url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._venue = parts.hostname, parts.port
        self._chosen = chosen
        self._late_s = late_s
        self._cuts = cuts
        self._left = count
        self.held: list[float] = []
        self.answers: list[bytes] = []
        self._nursery: trio.Nursery

    async def serve(self, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; report the address of the proxy."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listeners[0].socket.getsockname()[1]
            task_status.started(f"http://127.0.0.1:{port}")
            await trio.serve_listeners(self._pass, listeners)

    async def _pass(self, client: trio.SocketStream) -> None:
        try:
            async with client, await trio.open_tcp_stream(*self._venue) as venue, trio.open_nursery() as both:
                both.start_soon(self._up, client, venue, both.cancel_scope)
                async for data in venue:
                    await client.send_all(data)
                both.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # an end of either side ends both

    async def _up(self, client: trio.SocketStream, venue: trio.SocketStream, scope: trio.CancelScope) -> None:
        while data := await client.receive_some(_CHUNK):
            while data.startswith(_CHANGES) and not _whole(data):
                data += await client.receive_some(_CHUNK)
            if self._left and data.startswith(_CHANGES) and self._chosen(data):
                self._left -= 1
                self.held.append(trio.current_time())
                if self._late_s is not None:
                    self._nursery.start_soon(self._deliver, data, self._late_s)
                if not self._cuts:
                    await trio.sleep_forever()
                break
            await venue.send_all(data)
        scope.cancel()

    async def _deliver(self, data: bytes, late_s: float) -> None:
        await trio.sleep(late_s)
        async with await trio.open_tcp_stream(*self._venue) as venue:
            await venue.send_all(data)
            answer = await venue.receive_some(_CHUNK)
            while not _whole(answer):
                answer += await venue.receive_some(_CHUNK)
            self.answers.append(answer)


def _whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)
