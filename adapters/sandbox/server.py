"""The sandbox exchange: one loopback port that speaks the venue's protocol, fed by a tape.

Owns the sockets, the clock and the pump that plays the tape; `hub.py` says what is sent, `info.py` what is
answered, `outlet.py` and `requests.py` how, with faults and limits. Promises: it binds loopback addresses
only; a connection the venue would cut is cut abruptly (code 1006, no close frame); a client that does not
read, sends rubbish or vanishes hurts nobody else; everything stops when its nursery is cancelled. Started by
the command line and by tests.

`exchange/` keeps the accounts and does what signed actions ask.
"""

from __future__ import annotations

import errno
import logging
import math
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

from adapters.sandbox.connection import Asgi, Connection, Link, hypercorn_config
from adapters.sandbox.exchange.desk import Desk
from adapters.sandbox.faults import Faults
from adapters.sandbox.hub import Hub
from adapters.sandbox.info import Info
from adapters.sandbox.limits import VenueLimits
from adapters.sandbox.market import COINS_DEFAULT
from adapters.sandbox.outlet import Outlet
from adapters.sandbox.played import PlayedMarket
from adapters.sandbox.requests import Requests
from adapters.sandbox.tape import Play, Tape, journal_tape, synthetic_tape
from engine.clock import SECOND_NS, AdoptedClock, SystemClock
from engine.errors import SafetyRefusal, UsageError
from engine.events import Trade

__all__ = ["PORT_DEFAULT", "Sandbox", "SandboxAddress", "SandboxOptions", "serve"]

PORT_DEFAULT: Final = 3001
"""The port that the official SDK calls local."""

_TICK_S: Final = 0.005
"""Shortest real pause between two rounds of the pump."""

_BLOCK_NS: Final = 70_000_000
"""Length of a venue's block: what falls within is sent together."""

_SLICES: Final = 4
"""At high speed a round plays many blocks; it is sent in at most about this many pieces."""

_ROUND_EVENTS_MAX: Final = 4000
"""Events of one round; then others get their turn, even when the tape is behind its clock."""

_REACH_ROUNDS_MAX: Final = 16
"""Rounds played at once before a request is answered."""

_LINKS_MAX: Final = 1024
"""TCP connections at once, of any kind; one more is cut at once."""

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_SPEED_MAX: Final = 100_000

_log = logging.getLogger(__name__)


class SandboxOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to play and how.

    `day` is the folder of a journal day; without it the built-in market plays `coins` from `seed`. `clock`
    "now" moves the tape's times so that it starts now, "tape" keeps them. `history_s` seconds of tape are
    played at once before anything is served, as if the venue had been open that long. `drop_every_s`: a
    connection, chosen by the seed, is cut about that often (real seconds; 0 never). `idle_s` (real seconds)
    and the two bounds after it are the venue's; `queue_max` is how many frames may wait for a slow client.

    `accounts` are (address, USDC) pairs, `volumes` what an address has traded so far in USD. `network`
    decides which signatures are good. Without `rate_limit` none of the venue's limits apply (`limits.py`),
    and the two bounds are raised to what protects the sandbox. `faults` is a specification of `faults.py`.
    `maker` makes the built-in market a calm one, in which resting orders fill.
    """

    host: str = "127.0.0.1"
    port: int = PORT_DEFAULT
    day: Path | None = None
    seed: int = 1
    coins: tuple[str, ...] = COINS_DEFAULT
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
    """Where the sandbox listens."""

    base_url: str
    ws_url: str


async def serve(
    options: SandboxOptions, *, task_status: trio.TaskStatus[SandboxAddress] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled; the started value is the address. Raises UsageError, SafetyRefusal."""
    await Sandbox(options).serve(task_status=task_status)


class Sandbox:
    """One sandbox exchange. Making it checks the options and opens the tape; `serve` listens."""

    def __init__(self, options: SandboxOptions, tape: Tape | None = None) -> None:
        _check(options)
        self._options = options
        self._host = _loopback(options.host)
        if tape is None:
            day = options.day
            tape = (
                synthetic_tape(options.seed, options.coins, calm=options.maker)
                if day is None
                else journal_tape(day)
            )
        self._tape = tape
        self._market = PlayedMarket(tape.instruments)
        self.desk = Desk(
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
        self._info = Info(self._market, self.desk, options.speed)
        self._hub = Hub(
            self._market,
            self._info,
            self.desk,
            speed=options.speed,
            subscriptions_max=self.limits.subscriptions_max,
            users_max=self.limits.users_max,
        )
        self._requests = Requests(
            self._hub,
            self._info,
            self.limits,
            self.faults,
            reach_now=self._reach_now,
            restart=self._restart_for,
        )
        self._away_until = -math.inf
        # Each connection by the client's address, which is how the application learns whose it is.
        self._links: dict[tuple[str, int], Link] = {}
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
        self._config = hypercorn_config()
        self._context = WorkerContext(None)

    @property
    def now_ms(self) -> int:
        """The sandbox's time, in milliseconds."""
        return self._clock.now_ns() // 1_000_000

    @property
    def connections(self) -> int:
        """How many websocket connections are open."""
        return len(self._hub.peers)

    @property
    def subscriptions(self) -> int:
        """How many subscriptions there are, over all connections."""
        return self._hub.subscriptions

    def drop_connections(self) -> None:
        """Cut every websocket connection abruptly."""
        for peer in self._hub.peers:
            peer.abort()

    def restart(self, away_s: float) -> None:
        """Cut every connection, and whoever comes within `away_s` real seconds.

        Accounts, orders and the tape go on: the venue's doors are shut, not the venue.
        """
        self._away_until = trio.current_time() + away_s
        for link in list(self._links.values()):
            link.abort()

    def _restart_for(self, ms: int) -> None:
        self.restart(ms / 1000)

    async def serve(self, *, task_status: trio.TaskStatus[SandboxAddress] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; the started value is the address. Raises UsageError."""
        listener = await self._listen()
        port = listener.socket.getsockname()[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        system = SystemClock()
        history_ns = int(self._options.history_s * SECOND_NS)
        opening_ns = self._tape.start_ns + history_ns
        shift_ns = 0
        if self._options.clock == "now":
            # Whole milliseconds: the wire tells no more, and prints of one millisecond must stay together.
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
                # Hypercorn shields its sends; one to a client that does not read ends with its socket.
                for link in list(self._links.values()):
                    link.abort()

    # --- the tape -------------------------------------------------------------------------------------

    async def _pump(self, player: _Player) -> None:
        """Play what is due, again and again. At the end of the tape only the clock goes on."""
        clock, hub = self._clock, self._hub
        before_ns = clock.now_ns()
        while True:
            now_ns = clock.now_ns()
            caught_up = player.play(now_ns, slice_ns=max(_BLOCK_NS, (now_ns - before_ns) // _SLICES))
            before_ns = now_ns
            due_ns = hub.tick(now_ns)
            if not caught_up:
                await trio.lowlevel.checkpoint()
                continue
            if player.next_ns is not None:
                due_ns = min(due_ns, player.next_ns)
            await trio.sleep(max(_TICK_S, clock.real_seconds_until(due_ns)))

    async def _drop_at_random(self) -> None:
        chance = Random(self._options.seed)
        while True:
            # Between half and one and a half of the wanted time.
            await trio.sleep(self._options.drop_every_s * (512 + chance.getrandbits(10)) / 1024)
            peers = self._hub.peers
            if peers:
                peers[chance.getrandbits(16) % len(peers)].abort()

    def _reach_now(self) -> int:
        """Play what is due and return the time in ms: what was before a request is not told after it.

        Only accounts can tell, and a tape that plays too fast to be caught up with is left behind.
        """
        now_ns = self._clock.now_ns()
        if self._player is not None and self.desk.accounts:
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
        """Serve one TCP connection. A fault ends this connection and no other."""
        try:
            address = parse_socket_addr(stream.socket.family, stream.socket.getpeername())
        except OSError:
            address = None  # it left before it was served
        if address is None:
            await trio.aclose_forcefully(stream)
            return
        link = Link(stream)
        if trio.current_time() < self._away_until or len(self._links) >= _LINKS_MAX:
            link.abort()
            return
        self._links[address] = link
        try:
            with link.scope:
                await TCPServer(self._app, self._config, self._context, {}, cast("Any", link.stream)).run()
        except Exception:
            _log.exception("sandbox: a connection failed and was cut")
            link.abort()
        finally:
            if self._links.get(address) is link:
                del self._links[address]

    async def _answer_info(self, request: Request) -> Response:
        return await self._answer(request, "info")

    async def _answer_exchange(self, request: Request) -> Response:
        return await self._answer(request, "exchange")

    async def _answer(self, request: Request, scope: str) -> Response:
        link = self._links.get(tuple(request.scope["client"]))
        if link is None:
            return Response(status_code=503)  # it was cut meanwhile, so nobody reads this
        return await self._requests.answer(request, scope, link)

    async def _stream(self, websocket: WebSocket) -> None:
        """Serve one websocket: a reader, a writer and the idle rule."""
        link = self._links.get(tuple(websocket.scope["client"]))
        if link is None:
            return
        if not self.limits.connection(self.connections):
            await websocket.send_denial_response(Response(status_code=429))
            return
        await websocket.accept()
        # Filled by the hub; a client that leaves this many frames unread is cut off.
        queue, frames = trio.open_memory_channel[str](self._options.queue_max)
        peer = Connection(queue, link)
        self._hub.connect(peer)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Outlet(websocket, frames, link, self.faults, self._restart_for).run)
                nursery.start_soon(self._cut_when_idle, link)
                await self._read(websocket, peer, link, nursery)
                nursery.cancel_scope.cancel()
        finally:
            self._hub.disconnect(peer)

    async def _read(self, websocket: WebSocket, peer: Connection, link: Link, nursery: trio.Nursery) -> None:
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
            post = self._hub.handle(peer, text, self._reach_now())
            if post is not None:
                self._requests.post(peer, link, post, nursery)

    async def _cut_when_idle(self, link: Link) -> None:
        """The venue cuts a connection to which it has sent nothing for a minute."""
        while not link.dead:
            left_s = link.sent_at + self._options.idle_s - trio.current_time()
            if left_s <= 0:
                link.abort()
                return
            await trio.sleep(left_s)


class _Player:
    """Feeds the tape to the hub. `next_ns` is when the next event is due, None at the end of the tape."""

    def __init__(self, play: Play, hub: Hub) -> None:
        self._play = play
        self._hub = hub
        self._next = next(play, None)

    @property
    def next_ns(self) -> int | None:
        return None if self._next is None else self._next.venue_ns

    def play(self, until_ns: int, *, slice_ns: int) -> bool:
        """Play what is due by `until_ns`, sent in slices of the tape; return whether nothing due is left."""
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
        return event is None or event.venue_ns > until_ns


def _loopback(host: str) -> str:
    """Return the address to bind. Raises SafetyRefusal for anything that others could reach."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SafetyRefusal(
            f"the sandbox binds loopback addresses only, not {host!r}: it has no passwords; use 127.0.0.1"
        )
    return address


def _check(options: SandboxOptions) -> None:
    """Raise UsageError for an option that cannot be."""
    if not (math.isfinite(options.speed) and 0 < options.speed <= _SPEED_MAX):
        raise UsageError(f"the speed must be above 0 and at most {_SPEED_MAX}, not {options.speed}")
    if not 0 <= options.port <= 65_535:
        raise UsageError(f"{options.port} is not a port; choose 1 to 65535, or 0 for a free one")
    if options.clock not in ("now", "tape"):
        raise UsageError(f"the clock is now or tape, not {options.clock!r}")
    if options.network not in ("testnet", "mainnet"):
        raise UsageError(f"the network is testnet or mainnet, not {options.network!r}")
    if options.maker and options.day is not None:
        raise UsageError("--maker makes the built-in market calm; a recorded day is played as it was")
    for name in ("history_s", "drop_every_s"):
        value = getattr(options, name)
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{name} must be 0 or more seconds, not {value}")
