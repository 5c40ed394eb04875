"""The feed against the sandbox exchange over real sockets: the engine receives what the tape holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio.abc import Clock

from adapters.exchange.tape import Tape
from adapters.hyperliquid.feed import HyperliquidFeed
from adapters.hyperliquid.info import HyperliquidInfo
from adapters.hyperliquid.listing import list_instruments
from adapters.sandbox.server import Sandbox, SandboxAddress, SandboxOptions
from adapters.transport.health import FeedLimits
from adapters.transport.trades import LastTrade
from engine.clock import AdoptedClock, SystemClock
from engine.events import Event, FeedDown, FeedGap, FeedUp, InstrumentListed, Quote, Trade
from engine.values import BUY, SELL
from tests.pacing import pacing

START_NS = 1_733_356_800_000_000_000
MS = 1_000_000
PATIENCE_S = 600
QUICK = FeedLimits(backoff_s_min=0.02, backoff_s_max=0.1, replay_s=0.2)

BTC = InstrumentListed(START_NS, 1, "hyperliquid", "BTC", 1, 5, price_figures=5)
PURR = InstrumentListed(START_NS, 2, "hyperliquid", "PURR", 6, 0, price_figures=5)

TradeRow = tuple[int, int, int, int, int | str]


def trades(
    count: int, *, coin: int, over_ms: int, from_ms: int = 300, start_ns: int = START_NS
) -> list[Trade]:
    """Return `count` trades spread over a time. Three at a time share millisecond, price and size (F02)."""
    events = []
    for number in range(count):
        at_ns = start_ns + (from_ms + number // 3 * 3 * over_ms // count) * MS
        side = BUY if number % 2 else SELL
        price = 640_000 + number // 3 % 7 * 10
        events.append(
            Trade(at_ns, at_ns, coin, price, 100, side, 1_000_000 * coin + from_ms * 10_000 + number)
        )
    return events


def tape_of(*streams: Sequence[Trade], start_ns: int = START_NS) -> Tape:
    """Return a tape of these trades, with quotes that follow them."""
    events: list[Trade | Quote] = []
    for trade in sorted((trade for stream in streams for trade in stream), key=lambda trade: trade.venue_ns):
        at_ns, coin, price = trade.venue_ns, trade.instrument, trade.price
        events += [trade, Quote(at_ns, at_ns, coin, price - 10, 500, price + 10, 500)]
    return Tape([BTC, PURR], start_ns, lambda _: iter(events))


def emitted(events: Sequence[Event], coin: int) -> list[TradeRow]:
    """Return the trades of an instrument that the engine received."""
    return [
        (event.venue_ns, event.price, event.size, event.aggressor, event.trade_id)
        for event in events
        if isinstance(event, Trade) and event.instrument == coin
    ]


def gaps(events: Sequence[Event]) -> list[FeedGap]:
    return [event for event in events if isinstance(event, FeedGap)]


@asynccontextmanager
async def sandbox_of(tape: Tape | None, **options: object) -> AsyncIterator[tuple[Sandbox, SandboxAddress]]:
    settings = {"port": 0, "clock": "tape", **options}
    sandbox = Sandbox(SandboxOptions(**settings), tape)  # type: ignore[arg-type]
    with trio.fail_after(PATIENCE_S):
        async with pacing(), trio.open_nursery() as nursery:
            address = await nursery.start(sandbox.serve)
            yield sandbox, address
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def following(
    address: SandboxAddress,
    events: list[Event],
    *,
    since_ns: int = START_NS,
    last_seen: dict[int, LastTrade] | None = None,
) -> AsyncIterator[HyperliquidFeed]:
    """Run a feed as a session does; append its events to `events`."""

    async def send(batch: list[Event]) -> None:
        events.extend(batch)

    async with HyperliquidInfo(address.base_url) as info:
        meta = await info.meta()
        status = await info.exchange_status()
        clock = AdoptedClock(status.time * MS, SystemClock().monotonic_ns(), status.speed or 1.0)
        feed = HyperliquidFeed(
            name="hyperliquid",
            base_url=address.base_url,
            instruments=list_instruments(meta, 0, [one.name for one in meta.universe], loopback=True),
            clock=clock,
            jitter=lambda: 0.0,
            send=send,
            since_ns=since_ns,
            last_seen=last_seen,
            recent=info.recent_trades,
            limits=QUICK,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run)
            yield feed
            nursery.cancel_scope.cancel()


async def until(promise: object) -> None:
    while not promise():  # type: ignore[operator]  # noqa: ASYNC110
        await trio.sleep(0.01)


async def test_n03_f01_frequent_cuts_lose_and_double_no_trade(
    paced_clock: Clock,
) -> None:
    """N03, F01, F02: with eight cuts a second the whole tape arrives in order, each trade once."""
    btc, purr = trades(2400, coin=1, over_ms=2000), trades(600, coin=2, over_ms=2000)
    # One trade of each before the start, so that a replay can prove that it reaches back far enough.
    early = trades(1, coin=1, over_ms=1, from_ms=1), trades(1, coin=2, over_ms=1, from_ms=1)
    tape = tape_of(*early, [*btc, *purr])
    events: list[Event] = []
    async with (
        sandbox_of(tape, drop_every_s=0.12) as (_, address),
        following(address, events, since_ns=START_NS + 50 * MS) as feed,
    ):
        await until(lambda: len(emitted(events, 1)) >= len(btc) and len(emitted(events, 2)) >= len(purr))
        await trio.sleep(0.3)
    assert feed.health.losses >= 5
    assert emitted(events, 1) == emitted(btc, 1)
    assert emitted(events, 2) == emitted(purr, 2)
    assert [gap for gap in gaps(events) if not gap.closed] == []
    ups = [event for event in events if isinstance(event, FeedUp)]
    assert len(ups) >= 5
    assert all(up.subscriptions == 4 for up in ups)


async def test_every_quote_of_the_tape_is_emitted_while_the_feed_is_up(paced_clock: Clock) -> None:
    btc = trades(300, coin=1, over_ms=600)
    events: list[Event] = []
    async with sandbox_of(tape_of(btc)) as (_, address), following(address, events):
        await until(lambda: len(emitted(events, 1)) >= len(btc))
        await trio.sleep(0.1)
    quotes = [event for event in events if isinstance(event, Quote)]
    assert quotes[-1].bid == btc[-1].price - 10
    assert quotes[-1].ask_size == 500
    assert [quote.venue_ns for quote in quotes] == sorted(quote.venue_ns for quote in quotes)


@pytest.mark.parametrize("missed", [20, 300])
async def test_f01_a_restart_emits_the_missed_trades_once(paced_clock: Clock, missed: int) -> None:
    """F01: within the replay of 30, and beyond it, where recentTrades fills the gap."""
    before, after = trades(90, coin=1, over_ms=300), trades(missed, coin=1, over_ms=300, from_ms=900)
    after = [
        Trade(*(getattr(t, f) for f in t.__struct_fields__[:-1]), 9_000_000 + n) for n, t in enumerate(after)
    ]
    first: list[Event] = []
    second: list[Event] = []
    async with sandbox_of(tape_of(before, after)) as (sandbox, address):
        async with following(address, first):
            await until(lambda: len(emitted(first, 1)) == len(before))
        await until(lambda: sandbox.now_ms * MS > after[-1].venue_ns + 100 * MS)
        last_ns = before[-1].venue_ns
        same = tuple(int(t.trade_id) for t in before if t.venue_ns == last_ns)
        async with following(
            address, second, since_ns=START_NS + 10_000 * MS, last_seen={1: LastTrade(last_ns, same)}
        ):
            await until(lambda: gaps(second))
            await trio.sleep(0.1)
    assert emitted(first, 1) + emitted(second, 1) == emitted([*before, *after], 1)
    assert [gap.closed for gap in gaps(second)] == [True]
    assert gaps(second)[0].from_ns == last_ns


async def test_f04_a_stop_longer_than_the_venues_memory_leaves_the_gap_open(paced_clock: Clock) -> None:
    """F04, F06: recentTrades reaches back 500 trades; older trades are reported as a gap."""
    btc = trades(900, coin=1, over_ms=400)
    events: list[Event] = []
    async with sandbox_of(tape_of(btc)) as (sandbox, address):
        await until(lambda: sandbox.now_ms * MS > btc[-1].venue_ns + 100 * MS)
        seen = {1: LastTrade(btc[2].venue_ns, tuple(int(t.trade_id) for t in btc[:3]))}
        async with following(address, events, last_seen=seen):
            await until(lambda: gaps(events))
            await trio.sleep(0.1)
    assert emitted(events, 1) == emitted(btc, 1)[-500:]
    gap = gaps(events)[0]
    assert (gap.from_ns, gap.to_ns, gap.closed) == (btc[2].venue_ns, btc[-500].venue_ns, False)


async def test_a_quiet_instrument_has_a_closed_gap_after_a_loss(paced_clock: Clock) -> None:
    """One instrument has no trades after the loss, another has none at all; neither waits for the other."""
    btc = trades(9, coin=1, over_ms=50)
    events: list[Event] = []
    async with sandbox_of(tape_of(btc)) as (sandbox, address), following(address, events):
        await until(lambda: len(emitted(events, 1)) == len(btc))
        sandbox.drop_connections()
        await until(lambda: len([gap for gap in gaps(events) if gap.instrument == 1]) == 1)
        await trio.sleep(0.5)
    assert all(gap.closed for gap in gaps(events))
    assert emitted(events, 1) == emitted(btc, 1)
    assert len([event for event in events if isinstance(event, FeedDown)]) == 1


@pytest.mark.parametrize("speed", [1_000.0, 50_000.0])
async def test_t06_times_of_a_fast_sandbox_are_not_refused_as_future_times(
    paced_clock: Clock, speed: float
) -> None:
    """At 50,000 times real time one millisecond of latency is 50 s of the venue's time."""
    events: list[Event] = []
    async with (
        sandbox_of(None, speed=speed, clock="now", instruments=("BTC",)) as (_, address),
        following(address, events, since_ns=0) as feed,
    ):
        await until(lambda: len(emitted(events, 1)) > 500)
    assert feed.health.dropped["time"] == 0


@pytest.mark.parametrize("day", ["2016-10-07", "2019-10-01"])
async def test_t06_a_recorded_day_of_years_ago_can_be_played_at_its_own_times(
    paced_clock: Clock, day: str
) -> None:
    start_ns = {"2016-10-07": 1_475_798_400, "2019-10-01": 1_569_888_000}[day] * 1_000 * MS
    btc = trades(30, coin=1, over_ms=50, start_ns=start_ns)
    events: list[Event] = []
    async with (
        sandbox_of(tape_of(btc, start_ns=start_ns)) as (_, address),
        following(address, events, since_ns=start_ns) as feed,
    ):
        await until(lambda: feed.health.frames > 6)
        await trio.sleep(0.3)
    assert emitted(events, 1) == emitted(btc, 1)
