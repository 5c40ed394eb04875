"""Shared by the sandbox tests: small tapes, a running sandbox on a free port, and clients."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
import wsproto
from trio_websocket import WebSocketConnection, open_websocket_url
from wsproto import events as ws_events

from adapters.exchange.tape import Tape
from adapters.sandbox.server import Sandbox, SandboxAddress, SandboxOptions
from engine.clock import SECOND_NS
from engine.events import InstrumentListed, Quote, Trade
from engine.values import BUY
from tests.loopback import http_client

START_NS = 1_733_356_800 * SECOND_NS
MS = 1_000_000
PATIENCE_S = 300

BTC = InstrumentListed(START_NS, 1, "hyperliquid", "BTC", 1, 5, price_figures=5)
PURR = InstrumentListed(START_NS, 2, "hyperliquid", "PURR", 6, 0, price_figures=5)


def trade(
    at_ms: int, price: int, size: int = 100, side: int = BUY, tid: int | str = 0, instrument: int = 1
) -> Trade:
    """Return a trade `at_ms` after the start of the tape. By default its id is derived from the time."""
    at_ns = START_NS + at_ms * MS
    return Trade(at_ns, at_ns, instrument, price, size, side, tid or at_ms + 1)


def quote(at_ms: int, bid: int, ask: int, size: int = 500, instrument: int = 1) -> Quote:
    """Return a quote `at_ms` after the start of the tape."""
    at_ns = START_NS + at_ms * MS
    return Quote(at_ns, at_ns, instrument, bid, size, ask, size)


def tape_of(events: Sequence[Trade | Quote], instruments: Sequence[InstrumentListed] = (BTC, PURR)) -> Tape:
    """Return a tape of these events. It cannot be shifted, so play it with `clock="tape"`."""
    return Tape(list(instruments), START_NS, lambda _: iter(events))


@asynccontextmanager
async def running(
    tape: Tape | None = None, *, patience_s: float = PATIENCE_S, **options: Any
) -> AsyncIterator[tuple[Sandbox, SandboxAddress]]:
    """Run a sandbox. A given tape keeps its times."""
    if tape is not None:
        options.setdefault("clock", "tape")
    sandbox = Sandbox(SandboxOptions(**{"port": 0, **options}), tape)
    with trio.fail_after(patience_s):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(sandbox.serve)
            yield sandbox, address
            nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Poll until a condition is true."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.005)


@asynccontextmanager
async def connected(address: SandboxAddress) -> AsyncIterator[WebSocketConnection]:
    """Connect a websocket client. Closes the socket if the server cut it, which the library does not do."""
    async with open_websocket_url(address.ws_url) as socket:
        try:
            yield socket
        finally:
            if socket.closed is not None:
                await trio.aclose_forcefully(socket._stream)


async def send(socket: WebSocketConnection, method: str, **subscription: Any) -> None:
    """Send a subscribe or unsubscribe message."""
    await socket.send_message(json.dumps({"method": method, "subscription": subscription}))


async def receive(socket: WebSocketConnection) -> dict[str, Any]:
    """Return the next frame."""
    frame: dict[str, Any] = json.loads(await socket.get_message())
    return frame


async def receive_until(socket: WebSocketConnection, channel: str) -> Any:
    """Return the data of the next frame of a channel."""
    while True:
        frame = await receive(socket)
        if frame["channel"] == channel:
            return frame.get("data")


async def ask(address: SandboxAddress, request: Any) -> Any:
    """Return the answer of /info and assert that its status is 200."""
    async with http_client() as client:
        response = await client.post(address.base_url + "/info", json=request)
    assert response.status_code == 200, response.text
    return response.json()


async def raw_session(address: SandboxAddress, *frames: str) -> tuple[list[Any], bool]:
    """Open a websocket, send frames, read until it ends; return (events, whether it was reset)."""
    port = int(address.base_url.rsplit(":", 1)[1])
    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    seen: list[Any] = []
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        handshake = ws_events.Request(
            host="127.0.0.1", target="/ws", extensions=[wsproto.extensions.PerMessageDeflate()]
        )
        await stream.send_all(client.send(handshake))
        accepted = False
        while True:
            try:
                data = await stream.receive_some()
            except trio.BrokenResourceError:
                return seen, True
            if not data:
                return seen, False
            client.receive_data(data)
            seen += client.events()
            if not accepted and any(isinstance(event, ws_events.AcceptConnection) for event in seen):
                accepted = True
                for text in frames:
                    await stream.send_all(client.send(ws_events.TextMessage(text)))
