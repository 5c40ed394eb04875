"""A local exchange in a simulation: served over the simulated network, on the simulated clocks.

Everything above the sockets is the sandbox's own: streams, requests, limits, faults, accounts, matching. Only
the web server is left out. An exchange has its own truth (the tape that it has played, and the account), and
goes on whatever happens to the engine. `venue.py` and `second.py` say which exchanges there are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import trio
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from adapters.exchange.faults import Fault
from adapters.exchange.market import Lists
from adapters.exchange.options import SandboxOptions
from adapters.exchange.player import Player
from adapters.exchange.protocol import Request
from adapters.exchange.server import LocalExchange
from adapters.exchange.tape import Tape
from engine.events import Quote, Trade
from tests.simulation.market import PacedMarket
from tests.simulation.network import Answered, Tcp
from tests.simulation.scenario import Scenario
from tests.simulation.times import SECOND_NS, MachineTime, VenueClock

__all__ = ["Fill", "Served", "Truth"]

IDLE_S = 60.0
QUIET_IDLE_S = 1800.0
"""The venue cuts a connection on which nothing was sent for so long; in quiet stretches pings are rare."""

SILENCE_NS = 330 * SECOND_NS
"""A subscription that is silent is found within this time, by questions to the venue."""


class Fill(NamedTuple):
    """A fill of an account. The fee is in the account's currency."""

    name: str
    price: Decimal
    size: Decimal
    fee: Decimal


class Truth(NamedTuple):
    """What an exchange holds of its account.

    `fills` by (trade id, order id); `positions` by instrument, without flat ones; `placed` are the client
    ids of the orders that are open or were filled, at least in part; `opened` those that are open.
    """

    fills: dict[tuple[int, int], Fill]
    positions: dict[str, Decimal]
    equity: Decimal
    placed: dict[str, str]
    opened: set[str]


class Served(LocalExchange):
    """One exchange. `trades` are those it has played, by instrument number. Subclasses make the protocol."""

    counts_candles = True
    """Whether candles count the same trades as the stream."""
    times: MachineTime
    trades: dict[int, list[Trade]]

    @property
    def names(self) -> dict[str, int]:
        """The instruments: their numbers on the tape by name."""
        return {one.name: one.instrument for one in self._tape.instruments}

    def open_tape(
        self, scenario: Scenario, times: MachineTime, instruments: tuple[str, ...], lists: Lists, seed: int
    ) -> Tape:
        """Return the tape of the scenario's market; what it plays is noted."""
        self.times, self.trades = times, {}
        market = PacedMarket(
            seed, instruments, scenario.gap_s, scenario.quiet_gap_s, scenario.stretches or None, lists
        )

        def play(shift_ns: int) -> Iterator[Trade | Quote]:
            for event in market.events(times.start_ns + shift_ns):
                if isinstance(event, Trade):
                    self.trades.setdefault(event.instrument, []).append(event)
                yield event

        return Tape(market.instruments(times.start_ns), times.start_ns, play)

    def options(
        self, scenario: Scenario, instruments: tuple[str, ...], account: tuple[str, str], seed: int
    ) -> SandboxOptions:
        """Return the exchange's options."""
        return SandboxOptions(
            seed=seed,
            accounts=(account,),
            network="testnet",
            instruments=instruments,
            idle_s=QUIET_IDLE_S if scenario.stretches else IDLE_S,
        )

    def follow(self) -> None:
        """Follow the simulated clock, and note the faults that no feed can know of."""
        self._spoiled_ns: list[tuple[int, int]] = []
        self._jumped = (0, 0)
        self._silenced_ns: list[tuple[int, int]] = []
        self._numbers = 0
        self.answered = 0
        self._clock = VenueClock(self.times)  # type: ignore[assignment]
        faults, for_frame = self.faults, self.faults.for_frame

        def looked(scope: str) -> Fault | None:
            fault = for_frame(scope)
            if fault is not None and fault.kind == "delay" and scope == "user":
                faults.fired["delay"] -= 1
                faults.fired["late fill"] += 1
            if fault is not None and fault.kind in ("drop", "reorder", "silent"):
                # After a jump of time the frames of all that time are sent at once.
                now_ns = self._clock.now_ns()
                from_ns = self._jumped[0] if now_ns < self._jumped[1] + 2 * SECOND_NS else now_ns
                noted = self._silenced_ns if fault.kind == "silent" else self._spoiled_ns
                noted.append((from_ns, now_ns))
            return fault

        faults.for_frame = looked  # type: ignore[method-assign]

    # The truth.

    def truth(self) -> Truth:
        """Return what the exchange holds of the account."""
        raise NotImplementedError

    def window(self, instrument: int, start_ns: int, end_ns: int) -> list[Trade]:
        """Return the trades that were played in a span of time."""
        trades = self.trades.get(instrument, [])
        first = bisect_left(trades, start_ns, key=lambda trade: trade.venue_ns)
        last = bisect_left(trades, end_ns, key=lambda trade: trade.venue_ns)
        return trades[first:last]

    def spoiled_in(self, start_ns: int, end_ns: int) -> bool:
        """Return whether a frame vanished, or was overtaken, within a connection in a span of time.

        No feed can know that at once; the comparison with candles finds it.
        """
        return any(start_ns <= to and at <= end_ns + SECOND_NS for at, to in self._spoiled_ns)

    def silenced_in(self, start_ns: int, end_ns: int) -> bool:
        """Return whether a channel may have been silent, on a connection that lived, in a span of time."""
        return any(at <= end_ns and start_ns <= to + SILENCE_NS for at, to in self._silenced_ns)

    # Time.

    def go_on(self, seconds: float) -> None:
        """Play what is due now, before any task runs: time has jumped so far."""
        now_ns = self._clock.now_ns()
        self._jumped = (now_ns - round(seconds * SECOND_NS), now_ns)
        if self._player is not None:
            while not self._player.play(self._clock.now_ns(), slice_ns=SECOND_NS):
                pass

    def turn(self) -> int:
        """Do what is due after the tape was played; return the time of what is due next."""
        raise NotImplementedError

    async def serve(
        self, *, start: Any = None, task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Play the tape until cancelled."""
        player = self._player = Player(self._tape.play(0), self._protocol)
        player.play(self._clock.now_ns(), slice_ns=SECOND_NS)
        task_status.started()
        while True:
            player.play(self._clock.now_ns(), slice_ns=SECOND_NS)
            due_ns = min(player.next_ns or self._clock.now_ns(), self.turn())
            await trio.sleep(max(0.005, self._clock.real_seconds_until(due_ns)))

    # Connections.

    async def serve_link(self, tcp: Tcp) -> None:
        """Serve one websocket connection."""
        if trio.current_time() < self._down_until:
            tcp.abort()
            return
        address = self._register(tcp)
        try:
            with tcp.scope:
                async with trio.open_nursery() as nursery:
                    await self._upgrade(tcp, address, nursery)
                    nursery.cancel_scope.cancel()
        finally:
            self._tcp_connections.pop(address, None)
            with trio.CancelScope(shield=True):
                await tcp.far.aclose()

    async def _upgrade(self, tcp: Tcp, address: tuple[str, int], nursery: trio.Nursery) -> None:
        try:
            request = await wrap_server_stream(nursery, tcp.far)
            socket = _Socket(request, address)
            await self._stream(socket)  # type: ignore[arg-type]
        except* (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has gone

    async def answer(self, asked: Request, tcp: Tcp) -> Answered | None:
        """Answer a request; None if the connection was cut."""
        if trio.current_time() < self._down_until:
            tcp.abort()
            return None
        address = self._register(tcp)
        self.answered += 1

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": asked.body, "more_body": False}

        scope = {
            "type": "http",
            "method": asked.method,
            "path": asked.path,
            "query_string": asked.query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in asked.headers.items()],
            "client": address,
        }
        try:
            response: Response = await self._answer(HttpRequest(scope, receive))
        finally:
            self._tcp_connections.pop(address, None)
        if tcp.is_cut:
            return None
        return Answered(response.status_code, dict(response.headers), bytes(response.body))

    def _register(self, tcp: Tcp) -> tuple[str, int]:
        self._numbers += 1
        address = "engine", self._numbers
        self._tcp_connections[address] = tcp  # type: ignore[assignment]
        return address


class _Socket:
    """A websocket in the form that the server knows from its web framework."""

    def __init__(self, request: Any, address: tuple[str, int]) -> None:
        path, _, query = request.path.partition("?")
        self.scope = {"client": address, "path": path, "query_string": query.encode()}
        self._request = request
        self._socket: WebSocketConnection

    async def accept(self) -> None:
        self._socket = await self._request.accept()

    async def send_denial_response(self, response: Response) -> None:
        await self._request.reject(response.status_code)

    async def receive(self) -> dict[str, Any]:
        try:
            return {"type": "websocket.receive", "text": await self._socket.get_message()}
        except ConnectionClosed:
            return {"type": "websocket.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        try:
            await self._socket.send_message(message["text"])
        except ConnectionClosed:
            await trio.sleep_forever()  # the reader ends this connection
