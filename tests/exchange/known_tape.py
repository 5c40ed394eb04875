"""A feed beside a tape whose trades are known one by one, on a local exchange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from adapters.exchange.server import LocalExchange
from adapters.exchange.tape import Tape
from engine.clock import AdoptedClock
from engine.config import BarsConfig, Config, DataConfig
from engine.events import Event, InstrumentListed, LiquidationRead, Quote, Trade
from engine.values import BUY, SELL
from engine.venue import SessionContext, VenueClient

START_NS = 1_733_356_800_000_000_000
MS = 1_000_000


class Inputs:
    """Keeps what the feed sends."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def send(self, events: list[Event]) -> None:
        self.events += events

    def offer(self, events: list[Event]) -> bool:
        self.events += events
        return True

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def trades(count: int, *, number: int, over_ms: int) -> list[Trade]:
    """Return trades spread over a time; three at a time share a millisecond."""
    found = []
    for index in range(count):
        at_ns = START_NS + (300 + index // 3 * 3 * over_ms // count) * MS
        side = BUY if index % 2 else SELL
        price = 206_000 + index // 3 % 7 * 10
        found.append(Trade(at_ns, at_ns, number, price, 100 + index, side, 10_000 * number + index))
    return found


def tape_of(
    instruments: Sequence[InstrumentListed], *streams: Sequence[Trade], forced: Sequence[int] = ()
) -> Tape:
    """Return a tape of these trades with quotes that follow them; `forced` are ids of liquidations."""
    events: list[Any] = []
    for trade in sorted((one for stream in streams for one in stream), key=lambda one: one.venue_ns):
        at_ns, number, price = trade.venue_ns, trade.instrument, trade.price
        events += [trade, Quote(at_ns, at_ns, number, price - 10, 500, price + 10, 500)]
        if trade.trade_id in forced:
            events.append(
                LiquidationRead(at_ns, at_ns, number, trade.aggressor, price, trade.size, trade.trade_id)
            )
    return Tape(list(instruments), START_NS, lambda _: iter(events))


def rows(events: Sequence[Trade], number: int) -> list[tuple[int, int, int, int]]:
    return [(one.venue_ns, one.price, one.size, one.aggressor) for one in events if one.instrument == number]


def has_last(inputs: Inputs, *streams: Sequence[Trade]) -> bool:
    """Return whether the last trade of each stream has arrived."""
    newest = {one.instrument: one.venue_ns for one in inputs.all(Trade)}
    return all(newest.get(own[-1].instrument) == own[-1].venue_ns for own in streams)


async def run_feed(
    client: VenueClient,
    inputs: Inputs,
    names: Sequence[str],
    channels: Sequence[str],
    nursery: trio.Nursery,
) -> None:
    """Start the feeds of a client that lists these instruments."""
    listing = await client.listing(names)
    time = listing.time
    clock = AdoptedClock(time.venue_ns, time.answered_ns, time.speed or 1.0)
    config = Config(data=DataConfig(channels=tuple(channels)), bars=BarsConfig(intervals=("1m",)))
    context = SessionContext(config, clock, lambda: 0.0, listing.instruments, inputs)
    for edge in client.feeds(context):
        nursery.start_soon(edge.run)


def is_end_of(found: list[Any], whole: list[Any]) -> bool:
    """Return whether trades are the last ones of the tape: those before the session are not emitted."""
    return bool(found) and whole[-len(found) :] == found


def cut(exchange: LocalExchange) -> None:
    """End all connections without a close frame."""
    for client in list(exchange._protocol._connections):  # type: ignore[attr-defined]
        client.abort()
