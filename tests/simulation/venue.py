"""The venue of a simulation: the sandbox exchange, served over the simulated network.

Everything above the sockets is the sandbox's own: streams, requests, limits, faults, accounts, matching. Only
the web server is left out. The venue has its own truth: the tape that it has played, and the account. It goes
on whatever happens to the engine.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from adapters.exchange.faults import Fault
from adapters.exchange.player import Player
from adapters.exchange.tape import Tape
from adapters.sandbox.requests import Requests
from adapters.sandbox.server import Sandbox, SandboxOptions
from engine.events import Quote, Trade
from tests.live.kit import ACCOUNT
from tests.simulation.market import PacedMarket
from tests.simulation.network import Answered, Tcp
from tests.simulation.scenario import Scenario
from tests.simulation.times import SECOND_NS, MachineTime, VenueClock

__all__ = ["ACCOUNT", "INSTRUMENTS", "SimulatedVenue"]

INSTRUMENTS = ("BTC", "ETH")
CASH = "100000"
IDLE_S = 60.0
QUIET_IDLE_S = 1800.0
"""The venue cuts a connection on which nothing was sent for so long; in quiet stretches pings are rare."""
SILENCE_NS = 330 * SECOND_NS
"""A subscription that is silent is found within this time, by questions to the venue."""


class SimulatedVenue(Sandbox):
    """The exchange. `trades` are those it has played, by instrument number."""

    def __init__(self, scenario: Scenario, times: MachineTime) -> None:
        seed = scenario.seed
        market = PacedMarket(
            seed, INSTRUMENTS, scenario.gap_s, scenario.quiet_gap_s, scenario.stretches or None
        )
        self.trades: dict[int, list[Trade]] = {}
        self.answered = 0

        def play(shift_ns: int) -> Iterator[Trade | Quote]:
            for event in market.events(times.start_ns + shift_ns):
                if isinstance(event, Trade):
                    self.trades.setdefault(event.instrument, []).append(event)
                yield event

        options = SandboxOptions(
            seed=seed,
            accounts=((ACCOUNT, CASH),),
            network="testnet",
            instruments=INSTRUMENTS,
            idle_s=QUIET_IDLE_S if scenario.stretches else IDLE_S,
        )
        self._spoiled_ns: list[tuple[int, int]] = []
        self._jumped = (0, 0)
        self._silenced_ns: list[int] = []
        super().__init__(options, Tape(market.instruments(times.start_ns), times.start_ns, play))
        self._clock = VenueClock(times)  # type: ignore[assignment]
        self._numbers = 0
        faults, for_frame = self.faults, self.faults.for_frame

        def noted(scope: str) -> Fault | None:
            fault = for_frame(scope)
            if fault is not None and fault.kind == "delay" and scope == "user":
                faults.fired["delay"] -= 1
                faults.fired["late fill"] += 1
            if fault is not None and fault.kind in ("drop", "reorder"):
                # After a jump of time the frames of all that time are sent at once.
                now_ns = self._clock.now_ns()
                from_ns = self._jumped[0] if now_ns < self._jumped[1] + 2 * SECOND_NS else now_ns
                self._spoiled_ns.append((from_ns, now_ns))
            if fault is not None and fault.kind == "silent":
                self._silenced_ns.append(self._clock.now_ns())
            return fault

        faults.for_frame = noted  # type: ignore[method-assign]
        self.posted: Callable[[str, bytes], None] = lambda _path, _body: None
        self._requests.post = self._post  # type: ignore[method-assign]

    async def serve(
        self, *, start: Any = None, task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Play the tape until cancelled."""
        player = self._player = Player(self._tape.play(0), self._protocol)
        player.play(self._clock.now_ns(), slice_ns=SECOND_NS)
        task_status.started()
        while True:
            # Frames that come at intervals are left out: nobody subscribes to their channels.
            player.play(self._clock.now_ns(), slice_ns=SECOND_NS)
            self.exchange.advance(self.now_ms)
            self._hub.flush()
            due_ns = min(player.next_ns or self._clock.now_ns(), self.exchange._due_ms * 1_000_000)
            await trio.sleep(max(0.005, self._clock.real_seconds_until(due_ns)))

    def ask(self, kind: str, **more: Any) -> Any:
        """Return the body of an answer to `/info` about the account: the venue's truth."""
        body = msgspec.json.encode({"type": kind, "user": ACCOUNT, **more})
        answer = self._info.answer(body, self.catch_up())
        assert answer.status == 200, answer.body
        return msgspec.json.decode(answer.body)

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
        return any(at_ns <= end_ns and start_ns <= at_ns + SILENCE_NS for at_ns in self._silenced_ns)

    def go_on(self, seconds: float) -> None:
        """Play what is due now, before any task runs: time has jumped so far."""
        now_ns = self._clock.now_ns()
        self._jumped = (now_ns - round(seconds * SECOND_NS), now_ns)
        if self._player is not None:
            while not self._player.play(self._clock.now_ns(), slice_ns=SECOND_NS):
                pass

    def act_directly(self, body: bytes) -> None:
        """Carry out a signed action that does not come over the engine's network."""
        self._hub.act(body, self.catch_up())

    def _post(self, peer: Any, tcp: Any, post: Any, nursery: trio.Nursery) -> None:
        if post.request.type == "action":
            self.posted("/exchange", bytes(post.request.payload))
        Requests.post(self._requests, peer, tcp, post, nursery)

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

    async def answer(self, path: str, body: bytes, tcp: Tcp) -> Answered | None:
        """Answer a request; None if the connection was cut."""
        if trio.current_time() < self._down_until:
            tcp.abort()
            return None
        address = self._register(tcp)
        self.answered += 1

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": [(b"content-type", b"application/json")],
            "client": address,
        }
        try:
            response: Response = await self._answer(Request(scope, receive))
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
        self.scope = {"client": address, "path": "/ws"}
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
