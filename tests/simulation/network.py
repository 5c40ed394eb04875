"""The network between the engine and the venue: pipes of bytes in memory, and HTTP on the same terms.

`SimulatedNetwork` takes the place of `adapters.transport.network.Network`. What it can do to what passes:
delay it, hold it back while the two are apart (`partition`), cut one connection or all, let one go silent
(`black_hole`), deliver in pieces of a byte or more. The far end is the venue's: it hands each new connection
to `serve`, and answers requests by `answer`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import NamedTuple

import httpx
import trio

from adapters.exchange.protocol import Request
from adapters.transport.connection import Dial
from adapters.transport.network import Network

__all__ = ["Answered", "End", "SimulatedNetwork", "Tcp"]


class Answered(NamedTuple):
    """The venue's answer to a request."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Pipe:
    """One direction of a connection: what was sent, each part with the time of its arrival."""

    def __init__(self) -> None:
        self.parts: deque[tuple[float, bytes]] = deque()
        self.ended = False
        self.changed = trio.Event()

    def stir(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


class End(trio.abc.Stream):
    """One end of a connection."""

    def __init__(self, network: SimulatedNetwork, link: Tcp, into: _Pipe, out: _Pipe) -> None:
        self._network = network
        self._link = link
        self._into = into
        self._out = out
        self._closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes. Raises trio.BrokenResourceError after a cut."""
        await trio.lowlevel.checkpoint()
        self._check()
        if self._out.ended:
            raise trio.BrokenResourceError
        if data and not self._link.silent:
            if self._network.links.get(self._link, False) is None and self is self._link.near:
                self._network.sending()
                self._check()
            self._network.bytes += len(data)
            parts = self._out.parts
            at = trio.current_time() + self._network.delay()
            parts.append((max(at, parts[-1][0]) if parts else at, bytes(data)))
            self._out.stir()

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once."""
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what has arrived, b"" at the end. Raises trio.BrokenResourceError after a cut."""
        into, network = self._into, self._network
        await trio.lowlevel.checkpoint()
        while True:
            self._check()
            parts = into.parts
            due = max(parts[0][0], network.apart_until) if parts else None
            if due is not None and due <= trio.current_time():
                return self._take(max_bytes)
            if due is None and into.ended:
                return b""
            with trio.move_on_at(math.inf if due is None else due):
                await into.changed.wait()

    def _take(self, max_bytes: int | None) -> bytes:
        parts = self._into.parts
        at, data = parts.popleft()
        size = min(len(data), max_bytes or len(data), self._network.piece())
        if size < len(data):
            parts.appendleft((at, data[size:]))
        return data[:size]

    async def aclose(self) -> None:
        """Close this end; the other one reads what is under way, and then the end."""
        self._closed = True
        self._out.ended = True
        self._out.stir()
        self._into.stir()
        self._link.half_closed()
        await trio.lowlevel.checkpoint()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if self._link.is_cut:
            raise trio.BrokenResourceError("the connection was reset")


class Tcp:
    """A connection as the venue's server sees it (see `adapters.exchange.connection.TcpConnection`)."""

    def __init__(self, network: SimulatedNetwork, *, is_request: bool = False) -> None:
        self.scope = trio.CancelScope()
        self.sent_at = trio.current_time()
        self.is_cut = False
        self.silent = False
        self.silent_at = 0.0
        self.is_request = is_request
        self._network = network
        self._closes = 0
        there, back = _Pipe(), _Pipe()
        self._pipes = there, back
        self.near = End(network, self, back, there)
        self.far = End(network, self, there, back)

    @property
    def is_kept(self) -> bool:
        """Whether the engine has its end open."""
        return not self.near._closed

    @property
    def half_open(self) -> bool:
        """Whether nothing passes any more although both ends are open."""
        return self.silent

    def go_half_open(self) -> None:
        """Let nothing pass any more, in either direction."""
        self.silent = True
        self.silent_at = self.silent_at or trio.current_time()
        for pipe in self._pipes:
            pipe.parts.clear()

    def abort(self) -> None:
        """Reset the connection: neither end gets what is under way."""
        self.is_cut = True
        self._network.links.pop(self, None)
        self.scope.cancel()
        for pipe in self._pipes:
            pipe.parts.clear()
            pipe.stir()

    def half_closed(self) -> None:
        """Forget the connection once both ends are closed."""
        self._closes += 1
        if self._closes > 1:
            self._network.links.pop(self, None)


class SimulatedNetwork(Network):
    """What lies between the engine of one process and the venue. A new process gets a new network."""

    def __init__(
        self,
        chance: Random,
        serve: Callable[[Tcp], Awaitable[None]],
        answer: Callable[[Request, Tcp], Awaitable[Answered | None]],
        nursery: trio.Nursery,
    ) -> None:
        self.links: dict[Tcp, None] = {}
        self.apart_until = 0.0
        self.slow_until = 0.0
        self.slow_s = 0.0
        self.pieces_until = 0.0
        self.is_gone = False
        self.bytes = 0
        self.requests = 0
        self.sent: Callable[[Request], None] = lambda _: None
        self.begun: Callable[[str], None] = lambda _: None
        self.answered: Callable[[Answered], None] = lambda _: None
        self.sending: Callable[[], None] = lambda: None
        self._chance = chance
        self._serve = serve
        self._answer = answer
        self._nursery = nursery

    # What is done to it.

    def partition(self, seconds: float) -> bool:
        """Hold back everything, in both directions, for so long."""
        self.apart_until = trio.current_time() + seconds
        return not self.is_gone

    def slow(self, delay_s: float, seconds: float) -> bool:
        """Delay everything by up to `delay_s` more for so long."""
        self.slow_s, self.slow_until = delay_s, trio.current_time() + seconds
        return not self.is_gone

    def fragment(self, seconds: float) -> bool:
        """Deliver a few bytes at a time for so long."""
        self.pieces_until = trio.current_time() + seconds
        return not self.is_gone

    def cut(self) -> bool:
        """Reset one connection."""
        if not self.links:
            return False
        self._any().abort()
        return True

    def cut_all(self) -> bool:
        """Reset every connection."""
        links = list(self.links)
        for link in links:
            link.abort()
        return bool(links)

    def black_hole(self) -> bool:
        """Let one connection pass nothing any more, without closing it."""
        if not self.links:
            return False
        self._any().go_half_open()
        return True

    def vanish(self) -> None:
        """End with the process: its connections are reset, and there will be no others."""
        self.is_gone = True
        for link in list(self.links):
            # A request that has left may still arrive.
            if not (link.is_request and self._chance.getrandbits(1)):
                link.abort()

    def _any(self) -> Tcp:
        return list(self.links)[self._chance.randrange(len(self.links))]

    # What it does to what passes.

    def delay(self) -> float:
        """Return how long the next part is under way, in seconds."""
        slow_s = self.slow_s if trio.current_time() < self.slow_until else 0.0
        return 0.002 + self._chance.random() * (0.01 + slow_s)

    def piece(self) -> int:
        """Return how many bytes are delivered at most."""
        return 1 << (self._chance.randint(0, 9) if trio.current_time() < self.pieces_until else 30)

    # What an adapter uses.

    def dial(self, url: str) -> Dial:
        """See `Network.dial`."""

        async def dial() -> trio.abc.Stream:
            await self._reach()
            link = Tcp(self)
            self.links[link] = None
            self._nursery.start_soon(self._serve, link)
            return link.near

        return dial

    def http(self) -> httpx.AsyncBaseTransport:
        """See `Network.http`."""
        return _Http(self)

    async def request(self, asked: Request) -> Answered:
        """Carry one request to the venue and its answer back. Raises httpx.HTTPError.

        What has left is delivered even if the caller stops waiting.
        """
        self.begun(asked.path)
        try:
            await self._reach()
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        link = Tcp(self, is_request=True)
        self.links[link] = None
        self.requests += 1
        self.sending()
        if self.is_gone:
            await trio.sleep_forever()
        self.sent(asked)
        done = trio.Event()
        found: list[Answered] = []
        self._nursery.start_soon(self._carry, asked, link, found, done)
        await done.wait()
        if not found:
            raise httpx.ReadError("the connection was reset")
        self.answered(found[0])
        return found[0]

    async def _carry(self, asked: Request, link: Tcp, found: list[Answered], done: trio.Event) -> None:
        with link.scope:
            await trio.sleep(self.delay())
            await self._together()
            answered = await self._answer(asked, link)
            if answered is not None and not link.is_cut:
                await trio.sleep(self.delay())
                await self._together()
                found.append(answered)
        self.links.pop(link, None)
        done.set()

    async def _reach(self) -> None:
        """Open a connection: one round trip. Raises OSError."""
        if self.is_gone:
            raise ConnectionRefusedError("the process was killed")
        await trio.sleep(2 * self.delay())
        await self._together()
        if self.is_gone:
            raise ConnectionRefusedError("the process was killed")

    async def _together(self) -> None:
        """Wait until nothing is held back."""
        while trio.current_time() < self.apart_until:  # noqa: ASYNC110 - it may grow meanwhile
            await trio.sleep_until(self.apart_until)


class _Http(httpx.AsyncBaseTransport):
    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        wait_s = request.extensions.get("timeout", {}).get("read") or math.inf
        answered: Answered | None = None
        with trio.move_on_after(wait_s):
            url = request.url
            headers = {name.lower(): value for name, value in request.headers.items()}
            body = await request.aread()
            asked = Request(request.method, url.path, url.query.decode(), headers, body)
            answered = await self._network.request(asked)
        if answered is None:
            raise httpx.ReadTimeout(f"no answer within {wait_s:g} s")
        return httpx.Response(
            answered.status, headers=answered.headers, stream=httpx.ByteStream(answered.body)
        )
