"""The sandbox exchange server: the Hyperliquid protocol on one loopback port, fed by a tape.

Owns the sockets, the clock and the task that plays the tape. `hub.py` decides which frames are sent and
`info.py` answers requests; `sender.py` and `requests.py` apply faults and limits to them; `exchange/` keeps
the accounts and executes signed actions. Promises: it binds loopback addresses only; it cuts connections
where the venue does, without a close frame (code 1006); a client that does not read, sends invalid data or
disappears does not affect other clients; everything stops when its nursery is cancelled. Started by the
command line and by tests.
"""

from __future__ import annotations

import errno
import logging
import math
from collections import deque
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, cast

import msgspec
import trio
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import parse_socket_addr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from adapters.sandbox.connection import Asgi, TcpConnection, WebsocketPeer, hypercorn_config
from adapters.sandbox.exchange.exchange import Exchange
from adapters.sandbox.faults import Faults
from adapters.sandbox.hub import Hub
from adapters.sandbox.info import Info
from adapters.sandbox.limits import VenueLimits
from adapters.sandbox.market import INSTRUMENTS_DEFAULT
from adapters.sandbox.market_state import MarketState
from adapters.sandbox.requests import Requests
from adapters.sandbox.sender import FrameSender
from adapters.sandbox.tape import Play, Tape, journal_tape, synthetic_tape
from adapters.sandbox.wire import PONG, Ping
from engine.clock import SECOND_NS, AdoptedClock, SystemClock
from engine.errors import SafetyRefusal, UsageError
from engine.events import Quote, Trade

__all__ = ["PORT_DEFAULT", "Sandbox", "SandboxAddress", "SandboxOptions", "serve"]

PORT_DEFAULT: Final = 3001
"""The port of the official SDK's local URL."""

_TICK_S: Final = 0.005
"""Shortest real pause between two rounds of playing the tape."""

_BLOCK_NS: Final = 70_000_000
"""Length of a block: its events are sent together."""

_SLICES: Final = 4
"""At high speed a round covers many blocks. It is sent in about this many pieces at most."""

_ROUND_EVENTS_MAX: Final = 4000
"""Events per round. Other tasks run after each round, even when the tape is behind its clock."""

_REACH_ROUNDS_MAX: Final = 16
"""Rounds played at most before a request is answered."""

_LINKS_MAX: Final = 1024
"""Open TCP connections of any kind; further ones are reset immediately."""

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_SPEED_MAX: Final = 100_000

_log = logging.getLogger(__name__)


class SandboxOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a sandbox.

    Tape: `day` is the folder of a journal day; without it, the synthetic market plays `instruments` from
    `seed`. `clock` "now" shifts the times of the tape so that it starts now, "tape" keeps them. `history_s`
    seconds of the tape are played before the server accepts connections, as if it had been running that long.
    `maker` makes the synthetic market calm, so that resting orders fill.

    Connections: `drop_every_s` cuts a connection chosen by the seed about that often (real seconds; 0:
    never). `idle_s` (real seconds), `connections_max` and `subscriptions_max` default to the venue's limits.
    `queue_max` is the number of frames that may wait for a slow client.

    Accounts: `accounts` are (address, USDC) pairs, `volumes` (address, USD traded so far) pairs. `network`
    decides which signatures are valid. If `rate_limit` is off, none of the venue's limits apply (`limits.py`)
    and the limits on connections and subscriptions are raised to what protects the sandbox itself.

    `faults` is a specification as described in `faults.py`.
    """

    host: str = "127.0.0.1"
    port: int = PORT_DEFAULT
    day: Path | None = None
    seed: int = 1
    instruments: tuple[str, ...] = INSTRUMENTS_DEFAULT
    clock: Literal["now", "tape"] = "now"
    speed: float = 1.0
    history_s: float = 0.0
    drop_every_s: float = 0.0
    idle_s: float = 60.0
    connections_max: int = 10
    subscriptions_max: int = 1000
    queue_max: int = 4096
    accounts: tuple[tuple[str, str], ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()
    network: Literal["testnet", "mainnet"] = "testnet"
    rate_limit: bool = True
    faults: str = ""
    maker: bool = False


class SandboxAddress(msgspec.Struct, frozen=True):
    """The addresses of a running sandbox."""

    base_url: str
    ws_url: str


async def serve(
    options: SandboxOptions, *, task_status: trio.TaskStatus[SandboxAddress] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled. Passes the address to `task_status`. Raises UsageError, SafetyRefusal."""
    await Sandbox(options).serve(task_status=task_status)


class Sandbox:
    """One sandbox exchange. The constructor checks the options and opens the tape; `serve` runs it."""

    def __init__(self, options: SandboxOptions, tape: Tape | None = None) -> None:
        _check(options)
        self._options = options
        self._host = _loopback(options.host)
        if tape is None:
            day = options.day
            tape = (
                synthetic_tape(options.seed, options.instruments, calm=options.maker)
                if day is None
                else journal_tape(day)
            )
        self._tape = tape
        self._market = MarketState(tape.instruments)
        self.exchange = Exchange(
            self._market,
            options.accounts,
            options.volumes,
            mainnet=options.network == "mainnet",
            limited=options.rate_limit,
        )
        self.faults = Faults(options.faults, options.seed)
        self.limits = VenueLimits(
            lifted=not options.rate_limit,
            speed=options.speed,
            connections_open_max=options.connections_max,
            subscriptions_max=options.subscriptions_max,
        )
        self._info = Info(self._market, self.exchange, options.speed)
        self._hub = Hub(
            self._market,
            self._info,
            self.exchange,
            speed=options.speed,
            subscriptions_max=self.limits.subscriptions_max,
            users_max=self.limits.users_max,
        )
        self._requests = Requests(
            self._hub,
            self._info,
            self.limits,
            self.faults,
            catch_up=self._catch_up,
            restart=self._restart_for,
        )
        self._down_until = -math.inf
        # TCP connections by client address, so that a request handler can find its own.
        self._tcp_connections: dict[tuple[str, int], TcpConnection] = {}
        self._clock = AdoptedClock(tape.start_ns, SystemClock().monotonic_ns(), options.speed)
        self._app = Asgi(
            Starlette(
                routes=[
                    Route("/info", self._answer_info, methods=_METHODS),
                    Route("/exchange", self._answer_exchange, methods=_METHODS),
                    WebSocketRoute("/ws", self._stream),
                ]
            )
        )
        self._player: _Player | None = None
        # Pings that came before the tape reached their time; a client sends few (`limits.message`).
        self._pings: deque[tuple[int, WebsocketPeer]] = deque()
        self._config = hypercorn_config()
        self._context = WorkerContext(None)

    @property
    def now_ms(self) -> int:
        """The sandbox's time, in milliseconds."""
        return self._clock.now_ns() // 1_000_000

    @property
    def connections(self) -> int:
        """The number of open websocket connections."""
        return len(self._hub.peers)

    @property
    def subscriptions(self) -> int:
        """The number of subscriptions on all connections."""
        return self._hub.subscriptions

    def drop_connections(self) -> None:
        """Cut all websocket connections without a close frame."""
        for peer in self._hub.peers:
            peer.abort()

    def play(self, *events: Trade | Quote) -> None:
        """Play events at once, besides the tape: a test moves the market by hand."""
        for event in events:
            if isinstance(event, Trade):
                self._hub.add_trade(event)
            else:
                self._hub.add_quote(event)
        self._hub.flush()

    def restart(self, down_s: float) -> None:
        """Cut all connections, and for `down_s` real seconds every new one.

        Accounts, orders and the tape continue.
        """
        self._down_until = trio.current_time() + down_s
        for tcp in list(self._tcp_connections.values()):
            tcp.abort()

    def _restart_for(self, ms: int) -> None:
        self.restart(ms / 1000)

    async def serve(self, *, task_status: trio.TaskStatus[SandboxAddress] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Passes the address to `task_status`. Raises UsageError."""
        listener = await self._listen()
        port = listener.socket.getsockname()[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        system = SystemClock()
        history_ns = int(self._options.history_s * SECOND_NS)
        opening_ns = self._tape.start_ns + history_ns
        shift_ns = 0
        if self._options.clock == "now":
            # Shift by whole milliseconds, the resolution of the protocol, so that trades of one millisecond
            # stay in one millisecond.
            shift_ns = (system.now_ns() - opening_ns) // 1_000_000 * 1_000_000
        player = self._player = _Player(self._tape.play(shift_ns), self._hub)
        while not player.play(opening_ns + shift_ns, slice_ns=SECOND_NS):
            await trio.lowlevel.checkpoint()
        self._clock = AdoptedClock(opening_ns + shift_ns, system.monotonic_ns(), self._options.speed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, player)
            if self._options.drop_every_s:
                nursery.start_soon(self._drop_at_random)
            nursery.start_soon(trio.serve_listeners, self._serve_connection, [listener])
            task_status.started(SandboxAddress(f"http://{host}:{port}", f"ws://{host}:{port}/ws"))
            try:
                await trio.sleep_forever()
            finally:
                # Hypercorn shields its sends from cancellation. Closing the socket ends a blocked send.
                for tcp in list(self._tcp_connections.values()):
                    tcp.abort()

    # --- the tape -------------------------------------------------------------------------------------

    async def _pump(self, player: _Player) -> None:
        """Play due events until cancelled. After the end of the tape the clock continues."""
        clock, hub = self._clock, self._hub
        before_ns = clock.now_ns()
        while True:
            now_ns = clock.now_ns()
            caught_up = player.play(now_ns, slice_ns=max(_BLOCK_NS, (now_ns - before_ns) // _SLICES))
            before_ns = now_ns
            # A frame with a time is sent after all events before that time.
            due_ns = hub.tick(player.reached_ns)
            self._answer_pings(player)
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
            peers = self._hub.peers
            if peers:
                peers[chance.getrandbits(16) % len(peers)].abort()

    def _catch_up(self) -> int:
        """Play due events, so that they are reported before the answer to a request; return the time in ms.

        Gives up after a bounded number of rounds if the tape is too fast.
        """
        now_ns = self._clock.now_ns()
        if self._player is not None:
            for _ in range(_REACH_ROUNDS_MAX):
                if self._player.play(now_ns, slice_ns=_BLOCK_NS):
                    break
        return now_ns // 1_000_000

    def _answer_pings(self, player: _Player) -> None:
        """Answer the pings whose time the tape has reached, so that a pong follows all events before it."""
        while self._pings and self._pings[0][0] <= player.reached_ns:
            self._pings.popleft()[1].send(PONG)

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

    async def _answer_info(self, request: Request) -> Response:
        return await self._answer(request, "info")

    async def _answer_exchange(self, request: Request) -> Response:
        return await self._answer(request, "exchange")

    async def _answer(self, request: Request, scope: str) -> Response:
        tcp = self._tcp_connections.get(tuple(request.scope["client"]))
        if tcp is None:
            return Response(status_code=503)  # never delivered: the connection was cut
        return await self._requests.answer(request, scope, tcp)

    async def _stream(self, websocket: WebSocket) -> None:
        """Serve one websocket: a reader, a sender and the idle timeout."""
        tcp = self._tcp_connections.get(tuple(websocket.scope["client"]))
        if tcp is None:
            return
        if not self.limits.connection(self.connections):
            await websocket.send_denial_response(Response(status_code=429))
            return
        await websocket.accept()
        # Filled by the hub. A client with this many unread frames is disconnected.
        queue, frames = trio.open_memory_channel[str](self._options.queue_max)
        peer = WebsocketPeer(queue, tcp)
        self._hub.connect(peer)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(FrameSender(websocket, frames, tcp, self.faults, self._restart_for).run)
                nursery.start_soon(self._cut_when_idle, tcp)
                await self._read(websocket, peer, tcp, nursery)
                nursery.cancel_scope.cancel()
        finally:
            self._hub.disconnect(peer)

    async def _read(
        self, websocket: WebSocket, peer: WebsocketPeer, tcp: TcpConnection, nursery: trio.Nursery
    ) -> None:
        while True:
            message = await websocket.receive()
            if message["type"] != "websocket.receive":
                return
            text = message.get("text")
            if text is None:
                text = bytes(message.get("bytes") or b"").decode(errors="replace")
            if not self.limits.message():
                peer.abort()
                return
            now_ns = self._clock.now_ns()
            request = self._hub.handle(peer, text, self._catch_up())
            if isinstance(request, Ping):
                assert self._player is not None, "it plays before connections are accepted"
                self._pings.append((now_ns, peer))
                self._answer_pings(self._player)
            elif request is not None:
                self._requests.post(peer, tcp, request, nursery)

    async def _cut_when_idle(self, tcp: TcpConnection) -> None:
        """Cut the connection when nothing was sent to it for `idle_s`, as the venue does after a minute."""
        while not tcp.half_open:
            left_s = tcp.sent_at + self._options.idle_s - trio.current_time()
            if left_s <= 0:
                tcp.abort()
                return
            await trio.sleep(left_s)


class _Player:
    """Plays the tape to the hub. `next_ns` is the time of the next event, None at the end of the tape.

    All events until `reached_ns` are played.
    """

    def __init__(self, play: Play, hub: Hub) -> None:
        self._play = play
        self._hub = hub
        self._next = next(play, None)
        self.reached_ns = 0

    @property
    def next_ns(self) -> int | None:
        return None if self._next is None else self._next.venue_ns

    def play(self, until_ns: int, *, slice_ns: int) -> bool:
        """Play events due by `until_ns`, flushing after each slice; return whether none are left."""
        hub, event = self._hub, self._next
        slice_end_ns = 0
        count = 0
        while event is not None and event.venue_ns <= until_ns and count < _ROUND_EVENTS_MAX:
            if event.venue_ns >= slice_end_ns:
                hub.flush()
                slice_end_ns = event.venue_ns + slice_ns
            if isinstance(event, Trade):
                hub.add_trade(event)
            else:
                hub.add_quote(event)
            count += 1
            event = next(self._play, None)
        self._next = event
        hub.flush()
        caught_up = event is None or event.venue_ns > until_ns
        self.reached_ns = until_ns if caught_up or event is None else event.venue_ns - 1
        return caught_up


def _loopback(host: str) -> str:
    """Return the address to bind. Raises SafetyRefusal unless it is a loopback address."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SafetyRefusal(
            f"the sandbox has no passwords, so it binds loopback addresses only, not {host!r}; use 127.0.0.1"
        )
    return address


def _check(options: SandboxOptions) -> None:
    """Raise UsageError for an invalid option."""
    if not (math.isfinite(options.speed) and 0 < options.speed <= _SPEED_MAX):
        raise UsageError(f"the speed must be above 0 and at most {_SPEED_MAX}, not {options.speed}")
    if not 0 <= options.port <= 65_535:
        raise UsageError(f"{options.port} is not a port; choose 1 to 65535, or 0 for a free one")
    if options.clock not in ("now", "tape"):
        raise UsageError(f"the clock must be now or tape, not {options.clock!r}")
    if options.network not in ("testnet", "mainnet"):
        raise UsageError(f"the network must be testnet or mainnet, not {options.network!r}")
    if options.maker and options.day is not None:
        raise UsageError("--maker applies to the synthetic market only; remove it or --tape")
    for name in ("history_s", "drop_every_s"):
        value = getattr(options, name)
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{name} must be 0 or more seconds, not {value}")
