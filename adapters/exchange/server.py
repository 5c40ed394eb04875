"""The server of a local exchange: sockets, clock, tape and faults on one loopback port, without a protocol.

A `VenueProtocol` decides what is answered and sent; `sender.py` and `requests.py` apply faults. Promises: it
binds loopback addresses only; it cuts connections without a close frame (code 1006); a client that does not
read, sends invalid data or disappears does not affect other clients; everything stops when its nursery is
cancelled. Started by the command line and by tests.
"""

from __future__ import annotations

import errno
import logging
import math
from random import Random
from typing import Any, Final, cast

import msgspec
import trio
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import parse_socket_addr
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from adapters.exchange.connection import Asgi, TcpConnection, WebsocketPeer, hypercorn_config
from adapters.exchange.faults import Faults
from adapters.exchange.instruments import Market, Played
from adapters.exchange.options import SandboxAddress, SandboxOptions, check_options, loopback
from adapters.exchange.player import Player
from adapters.exchange.protocol import VenueProtocol
from adapters.exchange.requests import HttpRequests
from adapters.exchange.sender import FrameSender
from adapters.exchange.tape import Tape, journal_tape, synthetic_tape
from engine.clock import SECOND_NS, AdoptedClock, SystemClock
from engine.errors import UsageError

__all__ = ["SPEED_HEADER", "LocalExchange", "Start"]

SPEED_HEADER: Final = "x-sandbox-speed"
"""The header of every answer: the speed of the clock, which a session adopts."""

_TICK_S: Final = 0.005
"""Shortest real pause between two rounds of playing the tape."""

_BLOCK_NS: Final = 70_000_000
"""Length of a block: its events are sent together."""

_SLICES: Final = 4
"""At high speed a round covers many blocks. It is sent in about this many pieces at most."""

_REACH_ROUNDS_MAX: Final = 16
"""Rounds played at most before a request is answered."""

_LINKS_MAX: Final = 1024
"""Open TCP connections of any kind; further ones are reset immediately."""

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

_log = logging.getLogger(__name__)


class Start(msgspec.Struct, frozen=True):
    """The moment at which clocks start: the exchanges' time, and that of the system's monotonic clock."""

    venue_ns: int
    monotonic_ns: int


class LocalExchange:
    """One exchange. The constructor checks the options and opens the tape; `serve` runs it."""

    def __init__(
        self, options: SandboxOptions, protocol: type[VenueProtocol], tape: Tape | None = None
    ) -> None:
        check_options(options)
        protocol.check(options)
        self._options = options
        self._host = loopback(options.host)
        if tape is None:
            tape = (
                synthetic_tape(options.seed, options.instruments, lists=protocol.lists, calm=options.maker)
                if options.day is None
                else journal_tape(options.day, protocol.venue_name())
            )
        self._tape = tape
        self.faults = Faults(options.faults, options.seed, protocol.sizes)
        self._clock = AdoptedClock(tape.start_ns, SystemClock().monotonic_ns(), options.speed)
        self._down_until = -math.inf
        # TCP connections by client address, so that a request handler can find its own.
        self._tcp_connections: dict[tuple[str, int], TcpConnection] = {}
        self._clients: dict[WebsocketPeer, None] = {}
        self._player: Player | None = None
        self._arrived_ns = 0
        self._protocol = protocol(Market(tape.instruments), options)
        self._protocol.attached(self)
        self._http = HttpRequests(self._protocol, self)
        self._speed = f"{options.speed:g}"
        self._app = Asgi(
            Starlette(
                routes=[
                    Route("/{path:path}", self._answer, methods=_METHODS),
                    WebSocketRoute("/{path:path}", self._stream),
                ]
            )
        )
        self._config = hypercorn_config()
        self._context = WorkerContext(None)

    @property
    def protocol(self) -> VenueProtocol:
        """The protocol that is served."""
        return self._protocol

    @property
    def tape(self) -> Tape:
        """The tape that is played."""
        return self._tape

    @property
    def now_ms(self) -> int:
        """The exchange's time, in milliseconds."""
        return self._clock.now_ns() // 1_000_000

    @property
    def reached_ns(self) -> int:
        """See `protocol.Server`."""
        return 0 if self._player is None else self._player.reached_ns

    @property
    def arrived_ns(self) -> int:
        """See `protocol.Server`."""
        return self._arrived_ns

    @property
    def connections(self) -> int:
        """The number of open websocket connections."""
        return len(self._clients)

    def drop_connections(self) -> None:
        """Cut all websocket connections without a close frame."""
        for client in list(self._clients):
            client.abort()

    def play(self, *events: Played) -> None:
        """Play events at once, besides the tape: a test moves the market by hand."""
        for event in events:
            self._protocol.play(event)
        self._protocol.flush()

    def restart(self, down_s: float) -> None:
        """Cut all connections, and for `down_s` real seconds every new one.

        Accounts, orders and the tape continue.
        """
        self._down_until = trio.current_time() + down_s
        for tcp in list(self._tcp_connections.values()):
            tcp.abort()

    def restart_for(self, ms: int) -> None:
        """See `protocol.Server`."""
        self.restart(ms / 1000)

    async def serve(
        self,
        *,
        start: Start | None = None,
        task_status: trio.TaskStatus[SandboxAddress] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled. Passes the address to `task_status`. Raises UsageError.

        `start` is the time that several exchanges share, None for an exchange of its own.
        """
        listener = await self._listen()
        port = listener.socket.getsockname()[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        system = SystemClock()
        history_ns = int(self._options.history_s * SECOND_NS)
        opening_ns = self._tape.start_ns + history_ns
        shift_ns = 0
        if self._options.clock == "now":
            # Shift by whole milliseconds, the resolution of the protocols, so that trades of one millisecond
            # stay in one millisecond.
            now_ns = system.now_ns() if start is None else start.venue_ns
            shift_ns = (now_ns - opening_ns) // 1_000_000 * 1_000_000
        player = self._player = Player(self._tape.play(shift_ns), self._protocol)
        while not player.play(opening_ns + shift_ns, slice_ns=SECOND_NS):
            await trio.lowlevel.checkpoint()
        if start is None:
            start = Start(opening_ns + shift_ns, system.monotonic_ns())
        self._clock = AdoptedClock(start.venue_ns, start.monotonic_ns, self._options.speed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, player)
            if self._options.drop_every_s:
                nursery.start_soon(self._drop_at_random)
            nursery.start_soon(trio.serve_listeners, self._serve_connection, [listener])
            task_status.started(
                SandboxAddress(f"http://{host}:{port}", f"ws://{host}:{port}{self._protocol.ws_path}")
            )
            try:
                await trio.sleep_forever()
            finally:
                # Hypercorn shields its sends from cancellation. Closing the socket ends a blocked send.
                for tcp in list(self._tcp_connections.values()):
                    tcp.abort()

    # --- the tape -------------------------------------------------------------------------------------

    async def _pump(self, player: Player) -> None:
        """Play due events until cancelled. After the end of the tape the clock continues."""
        clock, protocol = self._clock, self._protocol
        before_ns = clock.now_ns()
        while True:
            now_ns = clock.now_ns()
            caught_up = player.play(now_ns, slice_ns=max(_BLOCK_NS, (now_ns - before_ns) // _SLICES))
            before_ns = now_ns
            # A frame with a time is sent after all events before that time.
            due_ns = protocol.tick(player.reached_ns)
            if not caught_up:
                await trio.lowlevel.checkpoint()
                continue
            if player.next_ns is not None:
                due_ns = min(due_ns, player.next_ns)
            await trio.sleep(max(_TICK_S, clock.real_seconds_until(due_ns)))

    async def _drop_at_random(self) -> None:
        chance = Random(self._options.seed)
        while True:
            # Between half and one and a half times the configured time.
            await trio.sleep(self._options.drop_every_s * (512 + chance.getrandbits(10)) / 1024)
            peers = list(self._clients)
            if peers:
                peers[chance.getrandbits(16) % len(peers)].abort()

    def catch_up(self) -> int:
        """See `protocol.Server`. Gives up after a bounded number of rounds if the tape is too fast."""
        now_ns = self._clock.now_ns()
        if self._player is not None:
            for _ in range(_REACH_ROUNDS_MAX):
                if self._player.play(now_ns, slice_ns=_BLOCK_NS):
                    break
        return now_ns // 1_000_000

    # --- connections ----------------------------------------------------------------------------------

    async def _listen(self) -> trio.SocketListener:
        try:
            listeners = await trio.open_tcp_listeners(self._options.port, host=self._host)
        except OSError as error:
            port = self._options.port
            if error.errno == errno.EADDRINUSE:
                reason = f"port {port} of {self._host} is in use"
            else:
                reason = f"port {port} of {self._host} cannot be opened ({error.strerror or error})"
            raise UsageError(f"{reason}; choose another with --port, or --port 0 for a free one") from error
        return listeners[0]

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        """Serve one TCP connection. An error closes this connection only."""
        try:
            address = parse_socket_addr(stream.socket.family, stream.socket.getpeername())
        except OSError:
            address = None  # already disconnected
        if address is None:
            await trio.aclose_forcefully(stream)
            return
        tcp = TcpConnection(stream)
        if trio.current_time() < self._down_until or len(self._tcp_connections) >= _LINKS_MAX:
            tcp.abort()
            return
        self._tcp_connections[address] = tcp
        try:
            with tcp.scope:
                await TCPServer(self._app, self._config, self._context, {}, cast("Any", tcp.stream)).run()
        except Exception:
            _log.exception("sandbox: closed a connection after an internal error")
            tcp.abort()
        finally:
            if self._tcp_connections.get(address) is tcp:
                del self._tcp_connections[address]

    async def _answer(self, request: HttpRequest) -> Response:
        tcp = self._tcp_connections.get(tuple(request.scope["client"]))
        if tcp is None:
            return Response(status_code=503)  # never delivered: the connection was cut
        answer = await self._http.answer(request, tcp)
        answer.headers[SPEED_HEADER] = self._speed
        return answer

    async def _stream(self, websocket: WebSocket) -> None:
        """Serve one websocket: a reader, a sender and the idle timeout."""
        tcp = self._tcp_connections.get(tuple(websocket.scope["client"]))
        if tcp is None:
            return
        protocol, path = self._protocol, str(websocket.scope.get("path", "/"))
        query = bytes(websocket.scope.get("query_string", b"")).decode("latin-1")
        refused = protocol.opens(path, query)
        if refused is not None:
            await websocket.send_denial_response(Response(refused.body, refused.status))
            return
        await websocket.accept()
        # Filled by the protocol. A client with this many unread frames is disconnected.
        queue, frames = trio.open_memory_channel[str](self._options.queue_max)
        sender = FrameSender(websocket, frames, tcp, self.faults, self.restart_for, protocol.channel)
        client = WebsocketPeer(queue, tcp, path=path, query=query)
        self._clients[client] = None
        protocol.connected(client)
        try:
            async with trio.open_nursery() as nursery:
                client.nursery = nursery
                nursery.start_soon(sender.run)
                nursery.start_soon(self._cut_when_idle, tcp)
                await self._read(websocket, client)
                nursery.cancel_scope.cancel()
        finally:
            client.nursery = None  # else it and the task would keep each other
            self._clients.pop(client, None)
            protocol.disconnected(client)

    async def _read(self, websocket: WebSocket, client: WebsocketPeer) -> None:
        while True:
            message = await websocket.receive()
            if message["type"] != "websocket.receive":
                return
            text = message.get("text")
            if text is None:
                text = bytes(message.get("bytes") or b"").decode(errors="replace")
            self._arrived_ns = self._clock.now_ns()
            self._protocol.message(client, text, self.catch_up())

    async def _cut_when_idle(self, tcp: TcpConnection) -> None:
        """Cut the connection when nothing was sent to it for the protocol's idle time."""
        idle_s = self._protocol.idle_s
        while idle_s is not None and not tcp.half_open:
            left_s = tcp.sent_at + idle_s - trio.current_time()
            if left_s <= 0:
                tcp.abort()
                return
            await trio.sleep(left_s)
