"""The channels other than trades and quotes: subscribed, confirmed, and emitted when they change."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from adapters.hyperliquid.channels import Channel, check_channels, share_out
from adapters.hyperliquid.envelope import Echo
from adapters.transport.health import FeedLimits
from engine.config import DataConfig
from engine.errors import UsageError
from engine.events import (
    BookRead,
    CandleRead,
    ContextRead,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedUp,
    InstrumentListed,
    MidsRead,
)

from .truth import book_row, candle_rows, now_ms, text
from .venue import BTC, ETH, START_MS, START_NS, row, scene

ALL = DataConfig(channels=("l2BookFast", "candle", "activeAssetCtx", "allMids"))
SP = InstrumentListed(START_NS, 3, "hyperliquid", "xyz:SP500", 3, 3, price_figures=5)
SPOT = InstrumentListed(START_NS, 4, "hyperliquid", "@107", 6, 2, price_figures=5, kind="spot")


def asked(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [request["subscription"] for request in requests if request["method"] == "subscribe"]


async def test_every_channel_is_subscribed_in_the_venues_form(autojump_clock) -> None:
    async with scene(instruments=(BTC, SP), data=ALL, intervals=("5s", "1m", "1h")) as play:
        await play.live()
        wanted = asked(play.venue.requests)
        assert wanted[:7] == [
            {"type": "trades", "coin": "BTC"},
            {"type": "bbo", "coin": "BTC"},
            {"type": "l2Book", "coin": "BTC", "fast": True},
            {"type": "candle", "coin": "BTC", "interval": "1m"},
            {"type": "candle", "coin": "BTC", "interval": "1h"},
            {"type": "activeAssetCtx", "coin": "BTC"},
            {"type": "allMids"},
        ]
        assert wanted[-1] == {"type": "allMids", "dex": "xyz"}
        assert len(wanted) == 14
        assert play.engine.ups[0].subscriptions == 14


def test_an_acknowledgement_is_matched_with_its_request() -> None:
    """Additional members such as nSigFigs are ignored; another interval does not match."""
    echo = Echo("candle", "BTC", "1m", fast=False, dex=None)
    assert Channel.echoed(echo) == Channel("candle", "BTC", "1m")
    assert Channel.echoed(echo) != Channel("candle", "BTC", "5m")
    assert Channel.echoed(Echo("l2Book", "BTC", fast=True)) != Channel("l2Book", "BTC")


def test_two_books_of_one_instrument_and_unknown_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="choose one"):
        check_channels(("l2Book", "l2BookFast"))
    with pytest.raises(UsageError, match=r"data\.channels: 'l3' is not one of l2Book"):
        check_channels(("l3",))


def test_instruments_are_spread_over_as_few_connections_as_possible() -> None:
    shares = share_out((BTC, ETH, SP, SPOT), ("l2Book",), ("1m",), 7)
    assert [[listed.name for listed in coins] for coins, _ in shares] == [
        ["BTC", "ETH"],
        ["xyz:SP500", "@107"],
    ]
    assert len(share_out((BTC, ETH), ("candle",), ("1m", "5m"), 1)) == 2


async def test_books_are_complete_and_never_go_back_in_time(autojump_clock) -> None:
    data = DataConfig(channels=("l2Book",))
    async with scene(data=data) as play:
        await play.live()
        first = book_row("BTC", START_MS + 20, [("64000.0", "1.5"), ("63999.0", "2")], [("64001.0", "0.5")])
        await play.venue.say(text("l2Book", first))
        await play.venue.say(text("l2Book", {**first, "time": START_MS + 10}))
        await play.venue.say(text("l2Book", {**first, "fast": True}))
        crossed = book_row("BTC", START_MS + 30, [("64001.0", "1")], [("64001.0", "1")])
        unordered = book_row("BTC", START_MS + 30, [("63999.0", "1"), ("64000.0", "1")], [])
        for wrong in (crossed, unordered):
            await play.venue.say(text("l2Book", wrong))
        await play.venue.say(text("l2Book", book_row("BTC", START_MS + 40, [], [])))
        await play.settle()
        books = play.engine.of(BookRead)
        assert [(book.bids, book.asks) for book in books] == [
            (((640000, 150000, 1), (639990, 200000, 1)), ((640010, 50000, 1),)),
            ((), ()),
        ]
        assert (books[0].venue_ns, books[0].fast) == (START_NS + 20_000_000, False)
        assert play.feed.health.dropped == {"stale-book": 1, "channel": 1, "crossed": 2}
        assert play.engine.downs == []


async def test_contexts_and_mids_are_emitted_only_when_they_change(autojump_clock) -> None:
    data = DataConfig(channels=("activeAssetCtx", "allMids"))
    ctx = {"funding": "0.0000018952", "openInterest": "36585.31848", "markPx": "84148.0", "midPx": None}
    async with scene(instruments=(BTC, SPOT), data=data) as play:
        await play.live()
        for mark in ("84148.0", "84148.0", "84149.0"):
            await play.venue.say(text("activeAssetCtx", {"coin": "BTC", "ctx": {**ctx, "markPx": mark}}))
        await play.venue.say(text("activeSpotAssetCtx", {"coin": "@107", "ctx": {"markPx": "92.949"}}))
        for mid in ("84148.5", "84148.5", "84149.5"):
            await play.venue.say(text("allMids", {"mids": {"ETH": "1", "@107": "92.945", "BTC": mid}}))
        await play.settle()
        contexts = play.engine.of(ContextRead)
        assert [(one.instrument, one.mark) for one in contexts] == [
            (1, 841480000000000),
            (1, 841490000000000),
            (4, 929490000000),
        ]
        assert (contexts[0].funding, contexts[0].mid, contexts[0].oracle) == (18952, None, None)
        assert contexts[0].open_interest == 365853184800000
        mids = play.engine.of(MidsRead)
        assert [one.mids for one in mids] == [
            (841485000000000, 929450000000),
            (841495000000000, 929450000000),
        ]
        assert {one.instruments for one in mids} == {(1, 4)}


async def test_f08_a_pushed_candle_is_emitted_when_it_is_closed_and_not_before(autojump_clock) -> None:
    """F08: with the first message of the next window, or after the grace period; corrections follow (F07)."""
    start = START_MS - START_MS % 60_000 + 60_000

    def candle(window: int, count: int, interval: str = "1m") -> str:
        trades = [row(n, ms=start - START_MS + window * 60_000 + n) for n in range(count)]
        return text("candle", candle_rows(trades, "BTC", interval)[0])

    async with scene(data=DataConfig(channels=("candle",)), intervals=("1m", "5m")) as play:
        await play.live()
        await trio.sleep((start - now_ms()) / 1000)

        async def emitted(*texts: str) -> list[tuple[int, int]]:
            for one in texts:
                await play.venue.say(one)
            await play.settle()
            closed = [(c.start_ns // 10**6 - start, c.trades) for c in play.engine.of(CandleRead)]
            play.engine.forget()
            return closed

        assert await emitted(candle(0, 1), candle(0, 2), candle(0, 3)) == []
        await trio.sleep(59)
        assert await emitted(candle(0, 4)) == []
        await trio.sleep(1)  # the end, but not the grace
        assert await emitted(candle(0, 5)) == []
        assert await emitted(candle(1, 1)) == [(0, 5)]
        assert await emitted(candle(0, 5)) == []
        assert await emitted(candle(0, 6)) == [(0, 6)]
        await trio.sleep(64)
        assert await emitted(candle(0, 1, "5m")) == [(60_000, 1)]
        assert await emitted(candle(2, 2)) == []
        await play.venue.drop()
        await play.live()
        play.engine.forget()
        await trio.sleep(60)
        assert await emitted(candle(3, 1)) == []


async def test_several_connections_are_one_feed(autojump_clock) -> None:
    """FeedUp waits for all; a loss names its instruments; on its return the others get a closed gap."""
    async with scene(instruments=(BTC, ETH), limits=FeedLimits(subscriptions_max=2)) as play:
        await play.live()
        assert play.venue.served == 2
        assert [up.subscriptions for up in play.engine.ups] == [4]
        await play.venue.trade(row(1))
        await play.venue.trade(row(2, coin="ETH"))
        await play.settle()
        eth = next(s for s in play.venue.sockets if ("trades", "ETH") in play.venue.subscribed[s])
        play.engine.forget()
        await trio.aclose_forcefully(eth._stream)
        await play.until(lambda: play.engine.downs)
        assert play.engine.downs[0].reason.startswith("ETH: ")
        assert not play.feed.health.live
        await play.venue.trade(row(3))
        await play.live(2)
        assert play.engine.trade_ids == [3]
        kinds = [type(event) for event in play.engine.events if not hasattr(event, "trade_id")]
        assert kinds == [FeedDown, FeedUp, FeedGap, FeedGap]
        assert sorted((gap.instrument, gap.closed) for gap in play.engine.gaps) == [(1, True), (2, True)]
        assert play.feed.governor.budget().connections_open == 2
        assert play.feed.governor.budget().subscriptions == 4
    assert play.feed.governor.budget().connections_open == 0


async def test_f15_a_candle_whose_last_message_was_damaged_is_not_emitted_as_closed(autojump_clock) -> None:
    """F15: its final state is unknown; the next one of the series begins anew."""

    def candle(minute: int, trades: int) -> str:
        start = START_MS // 60_000 * 60_000 + minute * 60_000
        prices = dict.fromkeys("ohlc", "60000")
        whole = {"t": start, "T": start + 59_999, "s": "BTC", "i": "1m", "v": "1", "n": trades, **prices}
        return text("candle", whole)

    data = DataConfig(channels=("candle",), check_minutes=0, poll_after_s=0)
    async with scene(data=data, intervals=("1m",)) as play:
        await play.live()
        for wait_s, message in (
            (0, candle(0, 1)),
            (60, candle(1, 1)),
            (0, candle(1, 2)[:-5]),
            (60, candle(2, 1)),
            (60, candle(3, 1)),
        ):
            await trio.sleep(wait_s)
            await play.venue.say(message, kind="candle", coin="BTC")
        await play.settle()
        starts = [one.start_ns for one in play.engine.of(CandleRead)]
        first_ns = START_MS // 60_000 * 60_000 * 10**6
        assert [(start_ns - first_ns) // (60 * 10**9) for start_ns in starts] == [0, 2]
        assert [one.channel for one in play.engine.of(FeedDamaged)] == ["candle"]
