"""A stream of a toy venue: numbered requests, keys that share a request, websocket pings."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from adapters.transport.connection import Loss
from adapters.transport.context import StreamContext
from adapters.transport.governor import Governor, Limits, Rate
from adapters.transport.health import FeedHealth, FeedLimits
from adapters.transport.protocol import (
    UNREAD,
    Confirmed,
    Control,
    Leaving,
    Refused,
    Subscription,
)
from adapters.transport.protocol import Reply as Requested
from adapters.transport.stream import Stream
from engine.errors import VenueProtocolError
from tests.hyperliquid.venue import TrioClock
from tests.transport.streams import BlackHole

LIMITS = Limits(Rate(100), Rate(5, per_s=1), Rate(300, per_s=300), 10, 100, 10)
FIRST = [
    Subscription(("trade", "A"), '{"id":1,"ask":["A","B"]}', "trades of A"),
    Subscription(("trade", "B"), "", "trades of B"),
    Subscription(2, '{"id":2,"ask":["C"]}', "request 2"),
]


class Data(dict[str, Any]):
    """A frame of data."""


class Reply(dict[str, Any]):
    """A frame that answers a request."""


class Toy:
    """One confirmation for each symbol of the first request, one by number for the second."""

    ping: Final = ""
    message_bytes_max: Final = 1000
    controls: Final = frozenset[type]({Reply})

    def decode(self, message: str | bytes) -> Any:
        try:
            found = json.loads(message)
        except ValueError as error:
            raise VenueProtocolError("no JSON") from error
        return Data(found) if "data" in found else Reply(found)

    def read_control(self, frame: Any) -> Control:
        if "error" in frame:
            return Refused(frame["error"])
        if "symbol" in frame:
            return Confirmed(("trade", frame["symbol"]))
        if "ping" in frame:
            return Requested(json.dumps({"id": 0, "pong": frame["ping"]}))
        if "leaves" in frame:
            return Leaving("the venue leaves")
        if "id" in frame:
            return Confirmed(frame["id"], Data(data=frame["with"]) if "with" in frame else None)
        return UNREAD


class Host:
    """Keeps the notifications of the stream."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.caught_up = 0

    async def stream_up(self, stream: Stream, recv_ns: int) -> None:
        self.said.append("up")

    async def stream_down(self, stream: Stream, loss: Loss, backoff_ms: int) -> None:
        self.said.append((loss.reason, backoff_ms))

    def receive(self, stream: Stream, frame: Any, recv_ns: int) -> None:
        self.said.append(frame["data"])

    @property
    def behind(self) -> bool:
        return len(self.said) > self.caught_up

    async def catch_up(self) -> None:
        self.caught_up = len(self.said)


class Server:
    """Answers as the toy venue does: `answers` holds the messages for each request number."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.sockets: list[WebSocketConnection] = []
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.answers: dict[int, list[str]] = {
            1: ['{"symbol":"A"}', '{"data":1}', '{"symbol":"B"}'],
            2: ['{"id":2}'],
        }
        self.dead: trio.Event | None = None

    async def dial(self) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, ours)
        return theirs if self.dead is None else BlackHole(theirs, self.dead)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            with contextlib.suppress(ConnectionClosed):
                opening = await wrap_server_stream(nursery, stream)
                self.paths.append(opening.path)
                socket = await opening.accept()
                self.sockets.append(socket)
                while True:
                    request = json.loads(await socket.get_message())
                    self.requests.append(request)
                    for text in self.answers.get(request["id"], []):
                        await socket.send_message(text)
            nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def running(dead: trio.Event | None = None, **answers: list[str]) -> AsyncIterator[tuple[Host, Server]]:
    host = Host()
    async with trio.open_nursery() as nursery:
        server = Server(nursery)
        server.dead = dead
        server.answers |= {int(number.strip("_")): texts for number, texts in answers.items()}
        context = StreamContext(TrioClock(), lambda: 0.0, FeedLimits(), FeedHealth(), Governor(LIMITS))
        urls = (f"ws://localhost:1/x?number={number}" for number in range(10))
        stream = Stream(context, host, Toy(), FIRST, lambda: next(urls), server.dial)
        nursery.start_soon(stream.run)
        yield host, server
        nursery.cancel_scope.cancel()


async def test_a_stream_is_up_when_every_key_is_confirmed_and_earlier_data_follows(autojump_clock) -> None:
    async with running() as (host, server):
        await trio.sleep(1)
        assert host.said == ["up", 1]
        await server.sockets[0].send_message('{"data":2}')
        await server.sockets[0].send_message('{"news":"not ours"}')
        await trio.sleep(1)
        assert host.said == ["up", 1, 2]
        assert host.caught_up == 3


async def test_a_key_that_shares_a_request_must_be_confirmed_too(autojump_clock) -> None:
    async with running(_1=['{"symbol":"A"}']) as (host, _):
        await trio.sleep(10.5)
        assert host.said == [("trades of B was not confirmed within 10 s", 500)]


async def test_a_refused_request_ends_the_connection_with_the_venues_message(autojump_clock) -> None:
    async with running(_2=['{"error":"no such symbol"}']) as (host, _):
        await trio.sleep(0.1)
        assert host.said == [("a subscription is refused: 'no such symbol'", 500)]


async def test_data_that_a_confirmation_carries_comes_after_it(autojump_clock) -> None:
    async with running(_2=['{"id":2,"with":7}']) as (host, server):
        await trio.sleep(1)
        assert host.said == ["up", 1, 7]
        await server.sockets[0].send_message('{"id":2,"with":8}')  # sent again: no confirmation is due
        await trio.sleep(1)
        assert host.said == ["up", 1, 7, 8]


async def test_a_ping_of_the_venue_is_answered_and_its_leave_ends_the_connection(autojump_clock) -> None:
    async with running() as (host, server):
        await trio.sleep(1)
        await server.sockets[0].send_message('{"ping":5}')
        await trio.sleep(1)
        assert server.requests[-1] == {"id": 0, "pong": 5}
        await server.sockets[0].send_message('{"leaves":true}')
        await trio.sleep(1)
        assert host.said == ["up", 1, ("the venue leaves", 500), "up", 1]
        assert server.paths == ["/x?number=0", "/x?number=1"]


async def test_the_bound_of_a_message_is_set_by_the_venue(autojump_clock) -> None:
    async with running() as (host, server):
        await trio.sleep(1)
        await server.sockets[0].send_message('{"data":"' + "x" * 1000 + '"}')
        await trio.sleep(0.1)
        assert host.said[-1] == ("a message is longer than 1000 bytes (1009)", 500)


async def test_a_websocket_ping_keeps_a_quiet_connection_and_finds_a_dead_one(autojump_clock) -> None:
    """For an hour only pongs arrive, and then no pongs either."""
    dead = trio.Event()
    async with running(dead) as (host, server):
        await trio.sleep(3600)
        assert host.said == ["up", 1]
        assert len(server.sockets) == 1
        dead.set()
        await trio.sleep(20)
        assert host.said[2] == ("no message within 8 s of a ping", 500)


@pytest.mark.parametrize("messages", [5, 12])
async def test_a_rate_may_be_of_any_span(autojump_clock, messages: int) -> None:
    """Four fifths of five messages a second are for everything but cancels."""
    governor = Governor(LIMITS)
    for _ in range(messages):
        await governor.message()
    assert trio.current_time() == pytest.approx(2.0 * ((messages - 1) // 4), abs=0.1)
