"""One websocket to a venue, from dialing to the closed socket.

Owns the deadlines: connecting, writing, proof of life, closing. Promises: `run` returns why the connection
ended, whatever the reason, and the socket is closed by then; an ordinary failure of a network is a value
(`Loss`), never an exception. Connections and messages are counted by a `Governor`, and wait for it. Used by
`stream.py`, which passes a callback for messages.
"""

from __future__ import annotations

import contextlib
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from adapters.transport.governor import BudgetSpent, Governor, Priority
from adapters.transport.health import FeedLimits
from adapters.transport.protocol import StreamProtocol
from adapters.transport.text import clip

__all__ = ["Connection", "Dial", "Loss", "dial_url"]

Dial = Callable[[], Awaitable[trio.abc.Stream]]
"""Opens the byte stream to the venue, TLS included. Raises OSError or trio.BrokenResourceError."""

_RECEIVE_BYTES: Final = 1 << 16

# After these codes and statuses the longest backoff applies: 1008 is a policy violation, 1013 "try again
# later".
_LONG_BACKOFF_CODES: Final = frozenset({1008, 1013})
_LONG_BACKOFF_STATUSES: Final = frozenset({403, 418, 429})
_TOO_BIG: Final = 1009

_PINGS_MAX: Final = 100
"""Pings that may wait for their answer. A venue that leaves more unanswered does not answer in order."""


class Loss(NamedTuple):
    """Why a connection ended. `longest_backoff`: reconnect only after the longest backoff. `ended`: by the
    venue or the network, while it was open."""

    reason: str
    longest_backoff: bool = False
    oversize: bool = False
    ended: bool = False


class Connection:
    """One connection. `on_open` runs beside the reading once the websocket is open; `on_message` gets each
    message, in order, and may wait; while it does, the ping timeout is suspended. `on_pong` is called for the
    answer to a ping, with the time of `now_ns` when that ping left."""

    def __init__(
        self,
        url: str,
        dial: Dial,
        protocol: StreamProtocol,
        limits: FeedLimits,
        on_open: Callable[[], Awaitable[None]],
        on_message: Callable[[str | bytes], Awaitable[None]],
        governor: Governor,
        priority: Priority = Priority.MARKET,
        on_pong: Callable[[int], None] = lambda _: None,
        now_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.netloc
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._dial = dial
        self._protocol = protocol
        self._message_bytes_max = protocol.message_bytes_max
        self._limits = limits
        self._on_open = on_open
        self._on_message = on_message
        self._on_pong = on_pong
        self._now_ns = now_ns
        self._pings_ns: deque[int] = deque()  # when each ping left that is not answered yet
        self._governor = governor
        self._priority = priority
        self._scope = trio.CancelScope()
        self._tasks: trio.Nursery | None = None
        self._websocket: WebSocketConnection | None = None
        self._loss: Loss | None = None
        self._received = False  # a message, or the answer to a ping frame, since the last ping
        self._reading = False  # waiting for the network, not for `on_message`

    async def run(self) -> Loss:
        """Connect, read until the connection is lost, close. Return the reason."""
        try:
            async with self._governor.connection(self._priority):
                return await self._run()
        except BudgetSpent as error:
            return Loss(str(error))

    async def _run(self) -> Loss:
        deadline = trio.current_time() + self._limits.connect_s
        try:
            with trio.fail_at(deadline):
                stream = await self._dial()
        except trio.TooSlowError:
            return self._late()
        except (OSError, trio.BrokenResourceError) as error:
            return Loss(f"cannot connect: {_describe(error)}")
        # Only bugs raise into these nurseries; failures of the network are passed to `lose`.
        async with trio.open_nursery() as library:
            reader = _Reader(library, self._reader_ended)
            try:
                with self._scope:
                    await self._converse(reader, stream, deadline)
            finally:
                with trio.CancelScope(shield=True):
                    with trio.move_on_after(self._limits.close_s):
                        await self._close()
                    reader.scope.cancel()
                    await trio.aclose_forcefully(stream)
        assert self._loss is not None, "a connection ends by a loss or a cancellation"
        return self._loss

    def lose(self, loss: Loss) -> None:
        """Close the connection. Only the first reason is kept."""
        if self._loss is None:
            self._loss = loss
            self._scope.cancel()

    def start_soon(self, task: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a task that ends with the connection; it is not begun if the connection is ending."""
        if self._tasks is not None and self._loss is None:
            self._tasks.start_soon(task, *args)

    async def send(self, text: str, priority: Priority | None = None, within_s: float = 120.0) -> bool:
        """Write one message; on failure close the connection. Return False if it may not have been delivered.

        Raises BudgetSpent if the venue's limits do not allow it in time; nothing is written then.
        """
        await self._governor.message(self._priority if priority is None else priority, within_s)
        return await self._write(text)

    async def _write(self, text: str) -> bool:
        assert self._websocket is not None, "nothing is sent before the connection is open"
        written = False
        with trio.move_on_after(self._limits.send_s) as writing:
            # A closed connection is noticed where it is read, with its code.
            with contextlib.suppress(ConnectionClosed):
                await self._websocket.send_message(text)
                written = True
        if writing.cancelled_caught:
            self.lose(Loss(f"a message could not be written within {self._limits.send_s:g} s"))
        return written

    async def _converse(self, reader: _Reader, stream: trio.abc.Stream, deadline: float) -> None:
        with trio.move_on_at(deadline):
            self._websocket = await wrap_client_stream(
                reader,  # type: ignore[arg-type]
                stream,  # type: ignore[arg-type]
                self._host,
                self._path,
                message_queue_size=self._limits.frames_queued_max,
                max_message_size=self._message_bytes_max,
                receive_buffer_size=_RECEIVE_BYTES,
            )
        if self._websocket is None:
            self.lose(self._late())
            return
        try:
            async with trio.open_nursery() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._prove_life)
                tasks.start_soon(self._on_open)
                await self._read(self._websocket)
        finally:
            self._tasks = None

    async def _read(self, websocket: WebSocketConnection) -> None:
        while True:
            self._reading = True
            try:
                message = await websocket.get_message()
            except ConnectionClosed as closed:
                self.lose(self._closed(closed))
                return
            self._received = True
            self._reading = False
            await self._on_message(message)

    async def _prove_life(self) -> None:
        """Ping; a half-open connection ends at most ping_s + pong_s after its last message."""
        limits = self._limits
        while True:
            await trio.sleep(limits.ping_s - limits.pong_s)
            self._received = False
            try:
                await self.ping()
            except BudgetSpent as error:
                self.lose(Loss(str(error)))
            await trio.sleep(limits.pong_s)
            if not self._received and self._reading:
                self.lose(Loss(f"no message within {limits.pong_s:g} s of a ping"))

    async def ping(self, within_s: float = 120.0) -> None:
        """Send a ping. Raises BudgetSpent."""
        await self._governor.message(self._priority, within_s)
        sent_ns = self._now_ns()  # before it is written: it may not have left before that
        text = self._protocol.ping
        if not text:
            self.start_soon(self._ping_frame, sent_ns)
            return
        self._pings_ns.append(sent_ns)
        await self._write(text)

    def note_answer(self) -> None:
        """Note the answer to the oldest ping that has none."""
        if self._pings_ns and len(self._pings_ns) <= _PINGS_MAX:
            self._on_pong(self._pings_ns.popleft())

    async def _ping_frame(self, sent_ns: int) -> None:
        """Send a websocket ping frame and wait for the pong."""
        assert self._websocket is not None, "only an open connection pings"
        with contextlib.suppress(ConnectionClosed):
            await self._websocket.ping()
            self._received = True
            self._on_pong(sent_ns)

    async def _close(self) -> None:
        if self._websocket is not None:
            with contextlib.suppress(ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
                await self._websocket.aclose()

    def _closed(self, closed: ConnectionClosed) -> Loss:
        reason = closed.reason
        if reason is None:
            return Loss("the connection ended", ended=True)
        if reason.code == _TOO_BIG:
            return Loss(f"a message is longer than {self._message_bytes_max} bytes (1009)", oversize=True)
        words = f": {clip(reason.reason)}" if reason.reason else ""
        late = reason.code in _LONG_BACKOFF_CODES
        return Loss(f"closed by the venue ({reason.code}{words})", late, ended=True)

    def _late(self) -> Loss:
        return Loss(f"no connection within {self._limits.connect_s:g} s")

    def _reader_ended(self, error: Exception | None) -> None:
        """Called when the library stops reading. Once the websocket is open, `_read` receives the reason."""
        if self._websocket is not None:
            return
        if isinstance(error, ConnectionRejected):
            status = error.status_code
            if status in _LONG_BACKOFF_STATUSES:
                self._governor.refused(status)
            self.lose(Loss(f"the websocket is refused with HTTP {status}", status in _LONG_BACKOFF_STATUSES))
        else:
            detail = f": {_describe(error)}" if error else ""
            self.lose(Loss(f"the connection ended during the websocket handshake{detail}"))


class _Reader:
    """Passed to the library in place of a nursery, so that errors of its one task become values too.

    Shielded: the closing handshake needs it to the end, and `scope` is cancelled after that.
    """

    def __init__(self, nursery: trio.Nursery, on_end: Callable[[Exception | None], None]) -> None:
        self._nursery = nursery
        self._on_end = on_end
        self.scope = trio.CancelScope(shield=True)

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run the library's task."""
        self._nursery.start_soon(self._run, task)

    async def _run(self, task: Callable[[], Awaitable[None]]) -> None:
        failure: Exception | None = None
        with self.scope:
            try:
                await task()
            except Exception as error:  # invalid bytes from the venue can make the library raise anything
                failure = error
        self._on_end(failure)


def dial_url(url: str) -> Dial:
    """Return a function that opens TCP, and for wss TLS with the system's certificates."""
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    host = parts.hostname or ""
    port = parts.port or (443 if secure else 80)

    async def dial() -> trio.abc.Stream:
        stream = await trio.open_tcp_stream(host, port)
        if not secure:
            return stream
        tls = trio.SSLStream(
            stream, ssl.create_default_context(), server_hostname=host, https_compatible=True
        )
        try:
            await tls.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return tls

    return dial


def _describe(error: BaseException) -> str:
    """Return the text of the innermost cause, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(_describe(inner) for inner in error.exceptions))
    return clip(str(error) or type(error).__name__).strip("'\"")
