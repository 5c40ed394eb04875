"""Windows with missing trades are read from the venue's candles when they end; closed bars are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from adapters.hyperliquid.history import warmup
from adapters.transport.health import FeedLimits
from engine.config import DataConfig
from engine.events import BookRead, CandleRead, FeedPolling, Quote

from .truth import Truth, book_row, now_ms
from .venue import BTC, ETH, START_MS, START_NS, Scene, Venue, row, scene

MINUTE = 60_000
FIRST = START_MS - START_MS % MINUTE + MINUTE  # the first whole minute, in ms
EAGER = FeedLimits(backoff_s_max=5.0)  # within 30 connections a minute
NO_CHECKS = DataConfig(check_minutes=0, poll_after_s=0)


def truth(**options: Any) -> tuple[Callable[[Venue], Truth], list[Truth]]:
    made: list[Truth] = []

    def make(venue: Venue) -> Truth:
        made.append(Truth(venue, **options))
        return made[-1]

    return make, made


async def reach(ms: int) -> None:
    """Sleep until the clock reads FIRST + ms."""
    await trio.sleep((FIRST + ms - now_ms()) / 1000)


def trades(*times: int, coin: str = "BTC", base: int = 0) -> list[dict[str, Any]]:
    """Trades at these ms after FIRST."""
    return [
        row(base + index, coin=coin, ms=FIRST - START_MS + ms, px=str(60_000 + base + index))
        for index, ms in enumerate(times)
    ]


def windows(play: Scene, purpose: str, interval_s: int = 60) -> list[tuple[int, int]]:
    """Return (start in minutes after FIRST, trades) of the candles emitted for a purpose."""
    return [
        ((candle.start_ns // 10**6 - FIRST) // MINUTE, candle.trades)
        for candle in play.engine.of(CandleRead)
        if candle.purpose == purpose and candle.interval_ns == interval_s * 10**9
    ]


async def lose_trades(play: Scene, missed: list[dict[str, Any]]) -> None:
    """Drop the connection and trade more than its replay and `recentTrades` hold before it is back."""
    play.venue.refuse = lambda _: OSError("down")
    await play.venue.drop()
    play.venue.trades["BTC"] += missed


async def test_n11_f04_windows_of_an_open_gap_are_read_once_they_are_over(autojump_clock) -> None:
    """N11, F04: every affected window of every interval, a grace period after its end at the earliest."""
    make, _ = truth(reach=2)
    async with scene(info=make, data=NO_CHECKS, intervals=("1m", "5m")) as play:
        play.venue.replays = False
        await play.live()
        await reach(10_000)
        await play.venue.trade(*trades(10_000))
        await play.settle()
        await lose_trades(play, trades(*range(20_000, 130_000, 500), base=10))
        await reach(135_000)
        play.venue.refuse = None
        await play.live(2)
        await play.until(lambda: play.engine.gaps)
        assert [gap.closed for gap in play.engine.gaps] == [False, True]
        assert play.engine.of(CandleRead) == []
        await reach(180_000 + 2_900)
        assert windows(play, "repair") == []
        await reach(180_000 + 4_000)
        assert windows(play, "repair") == [(0, 81), (1, 120), (2, 20)]
        five = FIRST // 300_000 * 300_000 + 300_000 - FIRST
        await reach(max(five, 180_000) + 4_000)
        assert [trades for _, trades in windows(play, "repair", 300)] == [221]
        assert play.feed.health.windows_repaired == 4
        assert play.feed.health.windows_lost == 0
        await reach(1_000_000)
        assert len(play.engine.of(CandleRead)) == 4


async def test_f04_windows_up_to_the_return_are_read_although_the_backlog_is_older(autojump_clock) -> None:
    """F04: bars that closed after the last trade of the backlog were in doubt too."""
    make, _ = truth(reach=2)
    async with scene(info=make, data=NO_CHECKS, intervals=("1m",), limits=EAGER) as play:
        play.venue.replays = False
        await play.live()
        await reach(10_000)
        await play.venue.trade(*trades(10_000))
        await play.settle()
        await lose_trades(play, trades(*range(20_000, 50_000, 500), base=10))
        await reach(190_000)
        play.venue.refuse = None
        await play.until(lambda: play.engine.gaps)
        await reach(210_000)
        await play.venue.trade(*trades(210_000, base=900))
        await reach(250_000)
        assert windows(play, "repair") == [(0, 61), (3, 1)]


async def test_f06_a_window_without_a_candle_is_requested_again_and_then_given_up(autojump_clock) -> None:
    """F06: late candles are emitted, missing ones are counted."""
    make, made = truth(reach=2)
    async with scene(info=make, data=NO_CHECKS, intervals=("1m",), limits=EAGER) as play:
        play.venue.replays = False
        await play.live()
        await reach(1_000)
        await play.venue.trade(*trades(1_000))
        await play.settle()
        await lose_trades(play, trades(*range(2_000, 170_000, 1_000), base=10))
        made[0].hidden = {FIRST + MINUTE, FIRST + 2 * MINUTE}
        await reach(171_000)
        play.venue.refuse = None
        await reach(190_000)
        assert [window for window, _ in windows(play, "repair")] == [0]
        made[0].hidden = {FIRST + 2 * MINUTE}
        await reach(1_000_000)
        assert [window for window, _ in windows(play, "repair")] == [0, 1]
        assert play.feed.health.windows_lost == 1
        assert made[0].asked["candleSnapshot"] == 2 + 2 + 1 + 1  # a try reads on until nothing comes


async def test_f06_requests_are_repeated_a_few_times_without_an_answer(autojump_clock) -> None:
    """F06: after that the windows stay incomplete."""
    make, made = truth(reach=2)
    async with scene(info=make, data=NO_CHECKS, intervals=("1m",)) as play:
        play.venue.replays = False
        await play.live()
        await reach(1_000)
        await play.venue.trade(*trades(1_000))
        await play.settle()
        await lose_trades(play, trades(*range(2_000, 50_000, 1_000), base=10))
        made[0].fails = True
        play.venue.refuse = None
        await reach(1_000_000)
        assert made[0].asked["candleSnapshot"] == 4
        assert windows(play, "repair") == []
        assert play.feed.health.windows_lost == 1


async def test_f05_a_gap_that_the_backlog_closes_needs_no_candles(autojump_clock) -> None:
    make, made = truth(reach=500)
    async with scene(info=make, data=NO_CHECKS, intervals=("1m",)) as play:
        await play.live()
        await reach(1_000)
        await play.venue.trade(*trades(1_000))
        await play.settle()
        await lose_trades(play, trades(*range(2_000, 5_840, 80), base=10))
        play.venue.refuse = None
        await reach(500_000)
        assert [gap.closed for gap in play.engine.gaps] == [True]
        assert made[0].asked["candleSnapshot"] == 0
        assert len(play.engine.trade_ids) == 49


async def test_i11_spans_waiting_to_be_read_are_bounded_and_joined(autojump_clock) -> None:
    """I11: adjacent gaps are one request; beyond the bound, windows are given up and counted."""
    make, _ = truth()
    async with scene(
        instruments=(BTC, ETH),
        info=make,
        data=NO_CHECKS,
        intervals=("1m",),
        limits=FeedLimits(repairs_max=1, quiet_s=1e6),
    ) as play:
        await play.live()
        play.venue.trades["BTC"] = trades(*range(0, 180_000, 30_000))
        repairs = play.feed._repairs
        assert repairs is not None
        for start in (1_000, 62_000, 90_000):
            repairs.add_windows(1, (FIRST + start) * 10**6, (FIRST + start + 10_000) * 10**6)
        repairs.add_windows(2, FIRST * 10**6, FIRST * 10**6)
        assert play.feed.health.windows_lost == 1
        await reach(300_000)
        assert windows(play, "repair") == [(0, 2), (1, 2)]
        repairs.add_windows(1, (FIRST - 6_000 * MINUTE) * 10**6, FIRST * 10**6)
        assert play.feed.health.windows_lost == 1 + 1_001


async def test_closed_bars_are_compared_periodically(autojump_clock) -> None:
    """Every complete window once, and not before its last trade can be in the venue's candle."""
    make, _ = truth()
    data = DataConfig(check_minutes=5, poll_after_s=0)
    async with scene(info=make, data=data, intervals=("1m", "5m"), since_ns=START_NS) as play:
        await play.live()
        for minute in range(20):
            await reach(minute * MINUTE + 30_000)
            await play.venue.trade(*trades(minute * MINUTE + 30_000, base=minute))
        await reach(20 * MINUTE + 10 * MINUTE)
        assert windows(play, "check") == [(minute, 1) for minute in range(20)]
        assert [trades for _, trades in windows(play, "check", 300)][1:-1] == [5, 5]
        for candle in play.engine.of(CandleRead):
            assert candle.recv_ns >= candle.venue_ns + 3 * 10**9
            assert candle.start_ns >= START_NS


@pytest.mark.parametrize("lost", range(6))
@pytest.mark.parametrize("busy", [True, False])
async def test_n11_a_trade_lost_in_a_stream_that_is_up_is_found(
    autojump_clock, lost: int, busy: bool
) -> None:
    """N11: the comparison finds the loss of a busy instrument, a probe that of a quiet one."""
    make, _ = truth()
    data = DataConfig(check_minutes=1, poll_after_s=0)
    limits = FeedLimits(quiet_s=1e6 if busy else 60.0)
    async with scene(info=make, data=data, intervals=("1m",), limits=limits) as play:
        await play.live()
        for index in range(6):
            await reach(10_000 + index * 5_000)
            if index == lost:
                play.venue.trades.setdefault("BTC", []).extend(trades(10_000 + index * 5_000, base=index))
            else:
                await play.venue.trade(*trades(10_000 + index * 5_000, base=index))
        await reach(130_000)
        assert windows(play, "check") == [(0, 6)]
        assert len(play.engine.trade_ids) == (5 if busy else 6)
        assert play.feed.health.renewals == (0 if busy else 1)
        assert play.engine.downs == []


async def test_while_the_stream_stays_down_candles_and_books_are_polled(autojump_clock) -> None:
    """The start and the end are reported; each window is read once, beginning with that of the loss."""
    make, made = truth()
    data = DataConfig(channels=("l2Book",), check_minutes=0, poll_after_s=30)
    async with scene(info=make, data=data, intervals=("1m", "5m")) as play:
        await play.live()
        await reach(10_000)
        await play.venue.trade(*trades(10_000))
        await play.settle()
        made[0].books["BTC"] = book_row("BTC", now_ms(), [("60000", "1")], [("60001", "2")])
        await lose_trades(play, trades(*range(20_000, 400_000, 1_000), base=10))
        down_at = trio.current_time()
        await play.until(lambda: play.engine.of(FeedPolling))
        assert 30 <= trio.current_time() - down_at < 33
        started = play.engine.of(FeedPolling)[0]
        assert started.active
        assert "down for 30 s" in started.reason
        await reach(200_000)
        assert windows(play, "repair") == [(0, 41), (1, 60), (2, 60)]
        assert windows(play, "repair", 300) == []
        quotes = play.engine.of(Quote)
        assert {(quote.bid, quote.ask_size) for quote in quotes} == {(600000, 200000)}
        assert len(play.engine.of(BookRead)) == len(quotes) >= 10
        play.venue.refuse = None
        await play.live(2)
        assert [polling.active for polling in play.engine.of(FeedPolling)] == [True, False]
        polled = play.feed.health.polls
        await trio.sleep(100)
        assert play.feed.health.polls == polled


async def test_polling_begins_with_the_window_of_the_loss(autojump_clock) -> None:
    """Even when it begins late; and no window is read before its last trade can be in the candle."""
    make, _ = truth()
    data = DataConfig(check_minutes=0, poll_after_s=160)
    async with scene(info=make, data=data, intervals=("1m",)) as play:
        await play.live()
        await reach(10_000)
        await play.venue.trade(*trades(10_000))
        await play.settle()
        await lose_trades(play, trades(*range(20_000, 400_000, 1_000), base=10))
        await reach(300_000)
        assert windows(play, "repair") == [(0, 41), (1, 60), (2, 60), (3, 60)]
        assert play.engine.of(BookRead) == []
        for candle in play.engine.of(CandleRead):
            assert candle.recv_ns >= candle.venue_ns + 3 * 10**9


async def test_a_short_loss_is_not_polled(autojump_clock) -> None:
    make, _ = truth()
    data = DataConfig(check_minutes=0, poll_after_s=30)
    async with scene(info=make, data=data, intervals=("1m",)) as play:
        for times in range(1, 4):
            await play.live(times)
            await play.venue.drop()
        await play.live(4)
        await trio.sleep(60)
        assert play.engine.of(FeedPolling) == []
        assert play.feed.health.polls == 0


async def test_polls_without_an_answer_do_not_end_the_feed(autojump_clock) -> None:
    make, made = truth()
    async with scene(info=make, data=DataConfig(check_minutes=0, poll_after_s=5), intervals=("1m",)) as play:
        await play.live()
        made[0].fails = True
        play.venue.refuse = lambda _: OSError("down")
        await play.venue.drop()
        await trio.sleep(600)
        assert len(play.engine.of(FeedPolling)) == 1
        assert play.feed.health.venue_errors >= 50
        play.venue.refuse = None
        await play.live(2)


@pytest.mark.parametrize("page", [5000, 2])
async def test_the_warm_up_is_the_last_closed_candles_merged_by_their_end(autojump_clock, page: int) -> None:
    """Oldest first; of candles with the same end, shorter intervals first; with pages of any size."""
    async with trio.open_nursery() as nursery:
        venue = Venue(nursery)
        info = Truth(venue)
        info.page = page
        hour = START_MS // 3_600_000 * 3_600_000
        for coin in ("BTC", "ETH"):
            venue.trades[coin] = [
                row(n, coin=coin, ms=hour - START_MS + n * 30_000) for n in range(-400, 122)
            ]
        now = (hour + 61 * 60_000) * 10**6
        candles = await warmup(info, (BTC, ETH), ("1m", "5s", "1h"), 3, now, [].append)
        emitted = [
            ((one.venue_ns // 10**6 - hour) // MINUTE, one.interval_ns // 10**9, one.instrument)
            for one in candles
        ]
        assert emitted == [
            *((-60, 3600, 1), (-60, 3600, 2), (0, 3600, 1), (0, 3600, 2)),
            *((58, 60, 1), (58, 60, 2), (59, 60, 1), (59, 60, 2), (60, 60, 1), (60, 60, 2)),
            *((60, 3600, 1), (60, 3600, 2)),
        ]  # fmt: skip
        assert {one.purpose for one in candles} == {"history"}
        assert {one.recv_ns for one in candles} == {now}
        assert all(
            one.trades == one.interval_ns // (30 * 10**9) for one in candles if one.venue_ns > hour * 10**6
        )
