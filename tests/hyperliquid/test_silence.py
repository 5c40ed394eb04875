"""A subscription without messages is quiet or dead; a query to the venue decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from adapters.hyperliquid.channels import Channel
from adapters.hyperliquid.feed import HyperliquidFeed
from adapters.transport.health import FeedLimits
from engine.config import DataConfig
from engine.events import FeedDamaged, Quote
from tests.profiles import pick

from .truth import Truth, book_row, candle_rows, now_ms, text
from .venue import BTC, ETH, START_MS, Scene, TrioClock, Venue, bbo_text, row, scene

DATA = DataConfig(
    channels=("l2BookFast", "candle", "activeAssetCtx", "allMids"), check_minutes=0, poll_after_s=0
)


def truth(**options: Any) -> tuple[Callable[[Venue], Truth], list[Truth]]:
    made: list[Truth] = []

    def make(venue: Venue) -> Truth:
        made.append(Truth(venue, **options))
        return made[-1]

    return make, made


async def talk(play: Scene, world: Truth, seconds: int, first: int = 5000) -> None:
    """Run the market second by second on every channel; muted channels change but send no messages."""
    for number in range(first, first + seconds):
        ms = now_ms() - START_MS
        await play.venue.trade(row(number, ms=ms), row(10**6 + number, ms=ms + 1))
        bids, asks = [(str(60000 + number), "1")], [(str(60001 + number), "1")]
        world.books["BTC"] = book_row("BTC", now_ms(), bids, asks)
        world.ctxs["BTC"] = {"markPx": str(60000 + number)}
        world.mids = {"BTC": str(60000 + number)}
        candle = candle_rows(play.venue.trades["BTC"], "BTC", "1m")[-1]
        for kind, said in (
            ("bbo", bbo_text("BTC", ms, bids[0], asks[0])),
            ("l2Book", text("l2Book", {**world.books["BTC"], "fast": True})),
            ("activeAssetCtx", text("activeAssetCtx", {"coin": "BTC", "ctx": world.ctxs["BTC"]})),
            ("candle", text("candle", candle)),
        ):
            await play.venue.say(said, kind=kind, coin="BTC")
        await play.venue.say(text("allMids", {"mids": world.mids}), kind="allMids", coin="")
        await trio.sleep(1)


@pytest.mark.parametrize("kind", ["trades", "bbo", "l2Book", "activeAssetCtx", "candle", "allMids"])
@pytest.mark.parametrize("heals", [True, False])
async def test_n06_a_busy_subscription_that_goes_silent_is_found_within_10_seconds(
    autojump_clock, kind: str, heals: bool
) -> None:
    """N06: pongs and other channels continue; a query shows the missing data; the subscription is renewed.

    Only if that does not help, the connection is.
    """
    make, made = truth()
    async with scene(info=make, data=DATA, intervals=("1m",)) as play:
        await play.live()
        await talk(play, made[0], 60, first=0)
        assert play.engine.downs == []
        play.venue.muted.add((kind, "" if kind == "allMids" else "BTC"))
        play.venue.renewal_heals = heals
        muted_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk_on, play, made[0])
            await play.until(lambda: play.engine.of(FeedDamaged))
            assert trio.current_time() - muted_at <= 11
            if not heals:
                await play.until(lambda: play.engine.downs)
                assert trio.current_time() - muted_at <= 22
            else:
                await trio.sleep(30)
            nursery.cancel_scope.cancel()
        (renewed,) = play.engine.of(FeedDamaged)
        assert renewed.channel == kind
        assert renewed.reason.startswith(kind)
        assert renewed.reason.endswith("and the venue has more; subscribed again")
        assert renewed.in_doubt == (kind == "trades")
        assert [down.reason.endswith("and the venue has more") for down in play.engine.downs] == [True] * (
            not heals
        )
        play.venue.muted.clear()
        await play.live(1 if heals else 2)
        await talk(play, made[0], 3, first=2000)
        assert play.feed.health.renewals == 1
        assert play.feed.health.silences == (1 if heals else 2)
        emitted = play.engine.trade_ids
        assert len(emitted) == len(set(emitted)) == len(play.venue.trades["BTC"])


async def talk_on(play: Scene, world: Truth) -> None:
    await talk(play, world, 100, first=1000)


async def test_n06_a_quiet_subscription_that_goes_silent_is_found_by_a_query(autojump_clock) -> None:
    """N06: an instrument that trades now and then; the venue's answer decides."""
    make, made = truth()
    async with scene(instruments=(BTC, ETH), info=make) as play:
        await play.live()
        await play.venue.trade(row(1, coin="ETH", ms=10))
        await trio.sleep(30)
        play.venue.muted.add(("trades", "ETH"))
        await play.venue.trade(row(2, coin="ETH", ms=30_000))
        play.venue.renewal_heals = True
        await play.until(lambda: play.engine.of(FeedDamaged))
        assert "trades of ETH is silent for" in play.engine.of(FeedDamaged)[0].reason
        assert trio.current_time() < 100
        await play.settle()
        assert play.engine.trade_ids == [1, 2]
        assert [gap.closed for gap in play.engine.gaps] == [True]
        assert play.engine.downs == []
        assert made[0].asked["recentTrades"] >= 1


async def test_n07_a_quiet_market_is_queried_rarely_and_never_reconnected(autojump_clock) -> None:
    """N07: hours of pongs; at most one query per subscription in five minutes, and no reconnect."""
    hours = pick(4, deep=24)
    make, made = truth()
    async with scene(instruments=(BTC, ETH), info=make, data=DATA, intervals=("1m",)) as play:
        await play.live()
        made[0].books["BTC"] = book_row("BTC", now_ms(), [("60000", "1")], [("60001", "2")])
        await trio.sleep(hours * 3600)
        assert play.engine.downs == []
        assert play.venue.served == 1
        assert sum(made[0].asked.values()) <= 11 * (hours * 12 + 5)
        assert play.feed.health.silences == 0
        # The first query returned the quote that the venue never sent.
        assert [quote.ask_size for quote in play.engine.of(Quote) if quote.instrument == 1] == [200000]


async def test_n06_a_quiet_quote_that_changes_without_a_message_is_found(autojump_clock) -> None:
    """N06: the first answer is the reference, the second shows the change."""
    make, made = truth()
    async with scene(info=make) as play:
        await play.live()
        made[0].books["BTC"] = book_row("BTC", now_ms(), [("60000", "1")], [("60001", "2")])
        await trio.sleep(100)
        assert play.engine.downs == []
        made[0].books["BTC"] = book_row("BTC", now_ms(), [("60005", "1")], [("60006", "2")])
        await play.until(lambda: play.engine.downs, seconds=400)
        assert play.engine.downs[0].reason.startswith("bbo of BTC is silent for")


async def test_a_query_without_an_answer_changes_nothing(autojump_clock) -> None:
    """A stream that is up is kept while the venue's HTTP is down."""
    make, made = truth()
    async with scene(info=make) as play:
        await play.live()
        made[0].fails = True
        await trio.sleep(3600)
        made[0].lag_s = 100
        await trio.sleep(3600)
        assert play.engine.downs == []
        assert play.feed.health.probes > 20
        assert play.feed.health.venue_errors > 10


async def test_a_message_during_a_query_proves_the_subscription(autojump_clock) -> None:
    """The answer overtakes a trade, which arrives before the deadline."""
    make, made = truth(lag_s=0.5)
    async with scene(info=make) as play:
        await play.live()
        await play.until(lambda: made[0].asked["recentTrades"], seconds=200)
        play.venue.trades["BTC"] = [row(1, ms=now_ms() - START_MS)]
        await trio.sleep(1.5)
        await play.venue.say(text("trades", play.venue.trades["BTC"]), kind="trades", coin="BTC")
        await trio.sleep(100)
        assert play.engine.downs == []
        assert play.engine.trade_ids == [1]


async def test_a_slow_engine_is_not_taken_for_a_silent_venue(autojump_clock) -> None:
    """While the engine is behind, the feed reads nothing, so silence does not count."""
    make, made = truth()
    async with scene(info=make, data=DATA, intervals=("1m",), limits=FeedLimits(pending_max=5)) as play:
        await play.live()
        await talk(play, made[0], 30, first=0)
        play.engine.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk, play, made[0], 40)
            await trio.sleep(60)
            play.engine.gate.set()
        await trio.sleep(20)
        assert play.engine.downs == []
        assert play.feed.health.silences == 0


async def test_a_feed_that_was_refused_by_the_engine_works_after_a_restart(autojump_clock) -> None:
    """The supervisor restarts it; each trade is emitted once."""
    make, made = truth()
    async with scene(info=make, data=DATA, intervals=("1m",)) as play:
        await play.live()
        await talk(play, made[0], 3, first=0)
        feed, take = play.feed, play.feed._send

        async def refuse(batch: object) -> None:
            raise trio.BrokenResourceError

        again = HyperliquidFeed(
            name="again",
            base_url="http://localhost:3001",
            instruments=(BTC,),
            clock=TrioClock(),
            jitter=lambda: 0.0,
            send=refuse,
            since_ns=0,
            dial=play.venue.dial,
            info=made[0],
            data=DATA,
        )
        with pytest.RaisesGroup(trio.BrokenResourceError, flatten_subgroups=True):
            await again.run()
        again._send = take
        before = len(play.engine.trade_ids)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(again.run)
            await play.until(lambda: again.health.live)
            await talk(play, made[0], 2, first=500)
            assert again._streams[0].live
            nursery.cancel_scope.cancel()
        assert feed.health.live
        assert len(play.engine.trade_ids) == before + 2 * 4 + 6


def test_the_text_of_a_subscription() -> None:
    assert str(Channel("bbo", "BTC")) == "the subscription to bbo of BTC"
    assert str(Channel("allMids")) == "the subscription to allMids"


@pytest.mark.parametrize("kind", ["bbo", "l2Book", "activeAssetCtx", "allMids"])
async def test_f15_a_damaged_value_of_a_quiet_market_is_read_once(autojump_clock, kind: str) -> None:
    """F15: the lost message was the last change; nothing follows it, so it is read over HTTP."""
    make, made = truth()
    reads = {"bbo": "l2Book", "activeAssetCtx": "metaAndAssetCtxs"}
    async with scene(info=make, data=DATA, intervals=("1m",)) as play:
        await play.live()
        await talk(play, made[0], 3)
        await trio.sleep(20)
        before = len(play.engine.events)
        made[0].books["BTC"] = book_row("BTC", now_ms(), [("50000", "1")], [("50001", "1")])
        made[0].ctxs["BTC"] = {"markPx": "50000"}
        made[0].mids = {"BTC": "50000"}
        asked = made[0].asked[reads.get(kind, kind)]
        named = '"data":{"coin":"BTC"' if kind != "allMids" else '"data":{"mids":{}'
        await play.venue.say(f'{{"channel":"{kind}",{named}')
        await trio.sleep(3)
        assert made[0].asked[reads.get(kind, kind)] == asked + 1
        damaged, value = play.engine.events[before:]
        assert isinstance(damaged, FeedDamaged)
        assert "5000" in repr(value)
        await trio.sleep(30)
        assert made[0].asked[reads.get(kind, kind)] == asked + 1
        assert play.engine.downs == []
