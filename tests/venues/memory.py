"""A venue in memory: the accounts of its sandbox, a feed, and a network with faults before the engine.

Requests and the account's stream are those of the wire; market data goes straight to the engine. Faults are
those of the local exchange. A venue's tests derive from it: which accounts there are, and how they answer.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio
from trio.testing import memory_stream_pair
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from adapters.exchange.faults import Fault, Faults
from adapters.transport.connection import Dial
from engine.config import Config
from engine.events import Event, FeedUp, InstrumentListed, Quote, Trade
from engine.ports import Edge
from engine.venue import Listing, SessionContext, Venue, VenueClient, VenueTime

__all__ = ["MemoryClient", "MemoryVenue", "Shown"]

NS = 1_000_000
LEVELS = 5


class Shown:
    """The market data of one instrument: levels around its quote."""

    def __init__(self, listed: InstrumentListed) -> None:
        self.listed = listed
        self.mark = 0
        self.quote: Quote | None = None

    def levels(self, depth: int = LEVELS) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """Return the best bid and ask."""
        quote = self.quote
        if quote is None:
            return [], []
        return [(quote.bid, quote.bid_size, 1)], [(quote.ask, quote.ask_size, 1)]


class MemoryVenue(Venue):
    """The venue and its exchange. `now_ns` is its clock; a nursery runs its connections.

    `trading` has `add_quote` and `add_trade`; `too_many` is the body of an answer with 429.
    """

    has_orders = True
    too_many = "{}"
    trading: Any

    def __init__(
        self,
        nursery: trio.Nursery,
        instruments: Sequence[InstrumentListed],
        now_ns: Callable[[], int],
        seed: int = 1,
    ) -> None:
        self.nursery = nursery
        self.instruments = list(instruments)
        self.now_ns = now_ns
        self.shown = {one.name: Shown(one) for one in instruments}
        self.faults = Faults(seed=seed)
        self.feeds: list[Callable[[list[Event]], Awaitable[None]]] = []
        self.requests: list[tuple[str, str]] = []
        self._open: list[_Peer] = []
        self._down_until = -math.inf

    # ---- implemented by a venue

    @abstractmethod
    def reply(self, request: httpx.Request) -> tuple[int, str]:
        """Return the status and the body of an answer."""

    def connected(self, peer: Any, path: str, query: str) -> None:
        """Take note of a connection."""

    @abstractmethod
    def message(self, peer: Any, text: str) -> None:
        """Process a message of a connection."""

    @abstractmethod
    def disconnected(self, peer: Any) -> None:
        """Forget a connection."""

    @abstractmethod
    def is_data(self, text: str) -> bool:
        """Return whether a message is data, which faults hit."""

    def is_read(self, request: httpx.Request) -> bool:
        """Return whether a request is a read."""
        return request.method == "GET"

    # ---- the same for all

    @property
    def now_ms(self) -> int:
        """The exchange's clock in ms."""
        return self.now_ns() // NS

    # The tape.

    def play(self, event: Trade | Quote) -> None:
        """Play an event, and deliver it to the engine."""
        shown = next(one for one in self.shown.values() if one.listed.instrument == event.instrument)
        name, now_ms = shown.listed.name, self.now_ms
        if isinstance(event, Quote):
            shown.quote = event
            if event.bid and event.ask:
                shown.mark = (event.bid + event.ask) // 2
            self.trading.add_quote(name, event.bid, event.ask, now_ms)
        else:
            shown.mark = shown.mark or event.price
            self.trading.add_trade(name, event.price, event.size, event.aggressor, now_ms)
        for feed in self.feeds:
            self.nursery.start_soon(feed, [event])

    def quote(self, number: int, bid: int, ask: int, size: int = 1_000_000) -> None:
        """Play a quote, and a trade at its mid."""
        now = self.now_ns()
        self.play(Quote(now, now, number, bid, size, ask, size))

    # The network.

    def drop_connections(self) -> None:
        """Cut every connection."""
        for peer in self._open:
            peer.cut()

    def dial(self, url: str) -> Dial:
        """Return how the user data is dialed."""

        async def dial() -> trio.abc.Stream:
            await trio.sleep(0.001)
            if trio.current_time() < self._down_until:
                raise OSError("connection refused")
            near, far = memory_stream_pair()
            self.nursery.start_soon(self._serve, far, url)
            return near

        return dial

    async def _serve(self, stream: trio.StapledStream[Any, Any], url: str) -> None:
        try:
            async with trio.open_nursery() as nursery:
                request = await wrap_server_stream(nursery, stream)
                assert request.path == urlsplit(url).path + (f"?{urlsplit(url).query}" if "?" in url else "")
                peer = _Peer(self, await request.accept(), nursery.cancel_scope)
                self._open.append(peer)
                try:
                    await peer.run(request.path)
                finally:
                    self._open.remove(peer)
                    self.disconnected(peer)
                    nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    def restart(self, ms: int) -> None:
        """Cut everything, and refuse connections for a time."""
        self._down_until = trio.current_time() + ms / 1000
        self.drop_connections()

    def http(self) -> httpx.AsyncBaseTransport:
        """Return what carries requests."""
        return _Http(self)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, with the fault that hits it."""
        await trio.sleep(0.002)
        path, method = request.url.raw_path.decode().partition("?")[0], request.method
        fault = self.faults.for_request("info" if self.is_read(request) else "exchange") or Fault("")
        if trio.current_time() < self._down_until:
            raise httpx.ConnectError("refused")
        if fault.kind == "429":
            after = {"retry-after": str(max(1, fault.ms // 1000))} if fault.ms else {}
            return _response(429, self.too_many, after)
        if fault.kind == "5xx":
            return _response(*self.faults.failure())
        if fault.kind == "swallow":
            raise httpx.ReadError("cut")
        if fault.kind == "restart":
            self.restart(fault.ms)
            raise httpx.ReadError("cut")
        self.requests.append((method, path))
        reply = self.reply(request)
        if fault.kind == "lost-reply":
            raise httpx.ReadError("cut")
        if fault.kind == "late-reply":
            await trio.sleep(fault.ms / 1000)
        await trio.sleep(0.002)
        return _response(*reply)

    # The port to venues.

    def check(self, config: Config) -> None:
        """See `Venue.check`."""

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        """See `Venue.address`."""
        return base_url


class MemoryClient(VenueClient):
    """See `VenueClient`."""

    def __init__(self, venue: MemoryVenue) -> None:
        super().__init__()
        self.venue = venue

    async def listing(self, names: Sequence[str]) -> Listing:
        """See `VenueClient.listing`."""
        now_ns = self.venue.now_ns()
        return Listing(self.venue.instruments, VenueTime(now_ns, now_ns, 0))

    def feeds(self, context: SessionContext) -> Sequence[Edge]:
        """See `VenueClient.feeds`."""

        async def run() -> None:
            await context.inputs.send([FeedUp(context.clock.now_ns(), "memory", 1)])
            self.venue.feeds.append(context.inputs.send)
            try:
                for shown in self.venue.shown.values():
                    if shown.quote is not None:
                        now_ns = context.clock.now_ns()
                        quote = shown.quote
                        again = Quote(
                            now_ns,
                            now_ns,
                            quote.instrument,
                            quote.bid,
                            quote.bid_size,
                            quote.ask,
                            quote.ask_size,
                        )
                        await context.inputs.send([again])
                await trio.sleep_forever()
            finally:
                self.venue.feeds.remove(context.inputs.send)

        return [Edge("memory", run)]


class _Peer:
    """One connection: frames go out in order, with the faults that hit them."""

    def __init__(self, venue: MemoryVenue, websocket: WebSocketConnection, scope: trio.CancelScope) -> None:
        self._venue = venue
        self._websocket = websocket
        self._scope = scope
        self._frames, self._queue = trio.open_memory_channel[str](10_000)

    def send(self, text: str) -> None:
        """Queue a frame."""
        self._frames.send_nowait(text)

    def cut(self) -> None:
        """End the connection without a close frame."""
        self._scope.cancel()

    async def run(self, path: str) -> None:
        """Read requests and send frames until the connection ends."""
        where, _, query = path.partition("?")
        self._venue.connected(self, where, query)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all)
            while True:
                text = await self._websocket.get_message()
                self._venue.message(self, str(text))

    async def _send_all(self) -> None:
        async for text in self._queue:
            data = self._venue.is_data(text)
            fault = (self._venue.faults.for_frame("user") if data else None) or Fault("")
            if fault.kind == "drop":
                continue
            if fault.kind == "cut":
                self.cut()
                return
            if fault.kind == "restart":
                self._venue.restart(fault.ms)
                return
            if fault.kind == "delay":
                await trio.sleep(fault.ms / 1000)
            if fault.kind == "half-open" or fault.kind == "silent":
                await trio.sleep(30)
                self.cut()
                return
            if fault.kind == "damage":
                text = text[: len(text) // 2]
            if fault.kind == "reorder":
                self._venue.nursery.start_soon(self._later, text, fault.ms)
                continue
            await trio.sleep(0.001)
            await self._websocket.send_message(text)
            if fault.kind == "duplicate":
                await self._websocket.send_message(text)

    async def _later(self, text: str, ms: int) -> None:
        await trio.sleep(ms / 1000)
        try:
            await self._websocket.send_message(text)
        except (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            return


class _Http(httpx.AsyncBaseTransport):
    """Carries requests to the exchange."""

    def __init__(self, venue: MemoryVenue) -> None:
        self._venue = venue

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        return await self._venue.answer(request)


def _response(status: int, body: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, headers=headers or {}, stream=httpx.ByteStream(body.encode()))
