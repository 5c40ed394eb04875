"""The feed against Lighter's protocol on the local exchange: the engine receives what the tape holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from adapters.exchange.tape import Tape
from adapters.lighter.client import LighterClient
from adapters.lighter.sandbox.protocol import LighterProtocol
from engine.events import (
    BarDiffers,
    BookRead,
    CandleRead,
    ContextRead,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedUp,
    FundingRead,
    InstrumentListed,
    LiquidationRead,
    Quote,
    Trade,
)
from tests.exchange.kit import running, until
from tests.exchange.known_tape import (
    MS,
    START_NS,
    Inputs,
    cut,
    has_last,
    is_end_of,
    rows,
    run_feed,
    tape_of,
    trades,
)
from tests.exchange.market_data import VISIBLE, check_venue, run, staged
from tests.profiles import pick

ETH = InstrumentListed(START_NS, 1, "lighter", "ETH", 2, 4, silence="none", ids="sequence")
BTC = InstrumentListed(START_NS, 2, "lighter", "BTC", 1, 5, silence="none", ids="sequence")


ALL = ("order_book", "market_stats", "candle")


async def test_everything_of_the_tape_arrives_once() -> None:
    own = [trades(180, number=1, over_ms=6000), trades(120, number=2, over_ms=6000)]
    tape = tape_of([ETH, BTC], *own, forced=(10_150, 10_151))
    inputs = Inputs()
    async with running(LighterProtocol, tape, speed=3.0) as (_, address), trio.open_nursery() as nursery:
        client = LighterClient(address.base_url)
        await run_feed(client, inputs, ("ETH", "BTC"), ALL, nursery)
        await until(lambda: has_last(inputs, *own))
        await trio.sleep(0.8)
        nursery.cancel_scope.cancel()
    for number in (1, 2):
        assert is_end_of(rows(inputs.all(Trade), number), rows(own[number - 1], number))
    assert len(inputs.all(LiquidationRead)) == 2
    assert {one.instrument for one in inputs.all(BookRead)} == {1, 2}
    assert {one.instrument for one in inputs.all(ContextRead)} == {1, 2}
    last = {one.instrument: one for one in inputs.all(BookRead)}
    quotes = {one.instrument: one for one in inputs.all(Quote)}
    for number in (1, 2):
        best = last[number].bids[0][0], last[number].asks[0][0]
        assert best == (quotes[number].bid, quotes[number].ask)
    assert inputs.all(FeedDamaged) == []
    assert len(inputs.all(FeedUp)) == 1


async def test_a_lost_connection_loses_and_doubles_nothing() -> None:
    own = trades(240, number=1, over_ms=12_000)
    inputs = Inputs()
    async with (
        running(LighterProtocol, tape_of([ETH, BTC], own), speed=3.0) as (exchange, address),
        trio.open_nursery() as nursery,
    ):
        client = LighterClient(address.base_url)
        await run_feed(client, inputs, ("ETH",), ("order_book",), nursery)
        await until(lambda: len(inputs.all(Trade)) >= 20)
        cut(exchange)
        await until(lambda: len(inputs.all(FeedUp)) >= 2)
        await until(lambda: has_last(inputs, own))
        await trio.sleep(0.8)
        nursery.cancel_scope.cancel()
    assert is_end_of(rows(inputs.all(Trade), 1), rows(own, 1))
    assert len(inputs.all(FeedDown)) == 1
    assert [gap.closed for gap in inputs.all(FeedGap)] == [True]
    assert inputs.all(BookRead)[-1].bids


async def test_a_missing_change_of_a_book_is_found_and_only_that_book_is_read_again() -> None:
    own = [trades(300, number=number, over_ms=20_000) for number in (1, 2)]
    inputs = Inputs()
    async with (
        running(LighterProtocol, tape_of([ETH, BTC], *own), speed=3.0) as (exchange, address),
        trio.open_nursery() as nursery,
    ):
        client = LighterClient(address.base_url)
        await run_feed(client, inputs, ("ETH", "BTC"), ("order_book",), nursery)
        await until(lambda: len(inputs.all(BookRead)) >= 4)
        exchange._protocol._books["ETH"].nonce += 1  # type: ignore[attr-defined]
        await until(lambda: bool(inputs.all(FeedDamaged)))
        seen = len(inputs.all(BookRead))
        await until(lambda: any(one.instrument == 1 for one in inputs.all(BookRead)[seen:]))
        nursery.cancel_scope.cancel()
    (damaged,) = inputs.all(FeedDamaged)
    assert (damaged.channel, damaged.instrument, damaged.in_doubt) == ("order_book", 1, False)
    assert "are missing" in damaged.reason
    assert inputs.all(FeedDown) == []


async def test_history_is_read_over_http() -> None:
    own = trades(60, number=1, over_ms=150_000)
    rate = FundingRead(START_NS, START_NS, 1, 10, -125_000, 0)
    tape = Tape([ETH, BTC], START_NS, lambda _: iter([rate, *own]))
    async with running(LighterProtocol, tape, history_s=160.0) as (_, address):
        client = LighterClient(address.base_url)
        listing = await client.listing(("ETH",))
        (listed,) = listing.instruments
        minute = 60_000 * MS
        candles = await client.candles(listed, minute, START_NS, START_NS + 3 * minute)
        rates = await client.funding_rates(listed, START_NS, START_NS + 60 * minute)
        warm = await client.warm_up([listed], ["1m"], 2, START_NS + 2 * minute + 4_000 * MS)
    assert client.unusable == []
    assert [one.volume for one in candles] == [
        sum(one.size for one in own if START_NS + at <= one.venue_ns < START_NS + at + minute)
        for at in range(0, 3 * minute, minute)
    ]
    assert [(one.venue_ns, one.rate) for one in rates] == [(START_NS, -125_000)]
    assert [one.start_ns for one in warm if isinstance(one, CandleRead)] == [START_NS, START_NS + minute]


async def test_minutes_under_faults_lose_and_double_nothing_and_replay_identical(
    tmp_path: Path, paced_clock: Any
) -> None:
    async with staged(["lighter"], VISIBLE, instruments=("BTC",)) as stage:
        events = await run(stage, tmp_path / "j", ALL, market_s=pick(90, deep=600))
        check_venue(stage, events)
    assert not [one for one in events if isinstance(one, BarDiffers)]
