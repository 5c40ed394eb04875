"""Shared by tests of local exchanges: one that runs, and a protocol of a few lines.

The plain protocol: GET /time and GET /book?NAME are answered; a websocket message `watch NAME` is answered by
`watching`, then each trade and quote of that instrument is one message.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, ClassVar, Literal

import trio

from adapters.exchange.instruments import Played
from adapters.exchange.market import InstrumentProfile
from adapters.exchange.numbers import decimal
from adapters.exchange.options import SandboxAddress, SandboxOptions
from adapters.exchange.protocol import Answer, Client, Request, Scope, VenueProtocol
from adapters.exchange.server import LocalExchange
from adapters.exchange.tape import Tape
from engine.events import InstrumentListed, Quote, Trade
from engine.loading.venues import find_venue

PATIENCE_S = 300


def protocol_of(venue: str) -> type[VenueProtocol]:
    """Return the protocol of a venue of the table."""
    module, _, attribute = find_venue(venue).sandbox.partition(":")
    found: type[VenueProtocol] = getattr(import_module(module), attribute)
    return found


class PlainProtocol(VenueProtocol):
    """See the module."""

    ws_path: ClassVar[str] = "/stream"
    sizes: ClassVar[tuple[str, str] | None] = (r'"size": "[^"]*"', '"size": "0"')

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.watching: dict[Client, set[int]] = {}
        self.pending: list[Trade | Quote] = []

    @classmethod
    def lists(cls, profile: InstrumentProfile, number: int, recv_ns: int) -> InstrumentListed:
        return InstrumentListed(recv_ns, number, "plain", f"{profile.name}USD", 2, 3, 5, 10)

    def scope(self, request: Request) -> Scope | Answer:
        return "info" if request.method == "GET" else Answer(405)

    def answer(self, request: Request, now_ms: int) -> Answer:
        if request.path == "/time":
            return Answer(body=json.dumps({"now": now_ms}))
        instrument = self.market.by_name.get(request.query)
        if instrument is None:
            return Answer(404, "no such instrument", type="text/plain")
        bids, asks = ([[price, size] for price, size, _ in side] for side in instrument.levels(5))
        return Answer(body=json.dumps({"bids": bids, "asks": asks}))

    def opens(self, path: str, query: str) -> Answer | None:
        return None if path == self.ws_path else Answer(404)

    def connected(self, client: Client) -> None:
        self.watching[client] = set()

    def disconnected(self, client: Client) -> None:
        del self.watching[client]

    def message(self, client: Client, text: str, now_ms: int) -> None:
        self.watching[client].add(self.market.by_name[text.removeprefix("watch ")].listed.instrument)
        client.send("watching")

    def channel(self, text: str) -> tuple[str, Literal["market", "user", ""]]:
        return ("", "") if text == "watching" else ("prices", "market")

    def play(self, event: Played) -> None:
        super().play(event)
        if isinstance(event, Trade | Quote):
            self.pending.append(event)

    def flush(self) -> None:
        for event in self.pending:
            listed = self.market.by_number[event.instrument].listed
            if isinstance(event, Trade):
                shown = {"price": event.price, "size": decimal(event.size, listed.size_scale)}
            else:
                shown = {"bid": event.bid, "ask": event.ask}
            for client, numbers in list(self.watching.items()):
                if event.instrument in numbers:
                    client.send(json.dumps({**shown, "at": event.venue_ns}))
        self.pending.clear()


@asynccontextmanager
async def running(
    protocol: type[VenueProtocol] = PlainProtocol, tape: Tape | None = None, **options: Any
) -> AsyncIterator[tuple[LocalExchange, SandboxAddress]]:
    """Run an exchange on a free port. A given tape keeps its times."""
    if tape is not None:
        options.setdefault("clock", "tape")
    exchange = LocalExchange(SandboxOptions(**{"port": 0, **options}), protocol, tape)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(exchange.serve)
            yield exchange, address
            nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Poll until a condition is true."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.005)
