"""After a loss: proved, missing and repeated trades."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from adapters.hyperliquid.envelope import decode_body
from adapters.hyperliquid.wire import WireTrade
from adapters.transport.trades import LastTrade
from engine.errors import VenueUnreachable
from engine.events import FeedDown, FeedGap, FeedUp, Trade

from .venue import BTC, ETH, START_NS, Venue, row, scene, trades_text


def at(number: int) -> int:
    """Return the venue time of trade `number`."""
    return START_NS + number * 100_000_000


class RecentTrades:
    """`recentTrades` of the fake venue: the newest `reach` trades, newest first, after `wait_s`."""

    def __init__(self, reach: int, wait_s: float = 0.2, error: Exception | None = None) -> None:
        self.venue: Venue | None = None
        self.reach = reach
        self.wait_s = wait_s
        self.error = error
        self.asked: list[str] = []

    async def __call__(self, coin: str) -> list[WireTrade]:
        self.asked.append(coin)
        assert self.venue is not None
        await trio.sleep(self.wait_s)
        if self.error:
            raise self.error

        rows = list(reversed(self.venue.trades.get(coin, [])[-self.reach :]))
        return decode_body(json.dumps(rows).encode(), list[WireTrade])


def bind(recent: RecentTrades) -> Any:
    def prepare(venue: Venue) -> None:
        recent.venue = venue

    return prepare


@pytest.mark.parametrize("missed", [0, 1, 29])
async def test_f01_n11_a_replay_that_holds_the_last_trade_closes_the_gap(autojump_clock, missed: int) -> None:
    """F01, N11: the overlap proves that nothing is missing; missed trades come before live ones."""
    async with scene() as play:
        await play.live()
        await play.venue.trade(*[row(n) for n in range(10)])
        await play.settle()
        await play.venue.drop()
        play.venue.trades["BTC"] += [row(10 + n) for n in range(missed)]
        await play.live(2)
        await play.venue.trade(row(10 + missed))
        await play.settle()
        assert play.engine.trade_ids == list(range(11 + missed))
        gap = play.engine.gaps[0]
        assert len(play.engine.gaps) == 1
        assert (gap.instrument, gap.closed, gap.from_ns) == (1, True, at(9))
        assert gap.to_ns == max(gap.recv_ns, at(9 + missed))
        kinds = [type(event) for event in play.engine.events]
        down, gap_at = kinds.index(FeedDown), kinds.index(FeedGap)
        assert kinds[down + 1] is FeedUp
        assert gap_at == down + 2


async def test_n11_a_replay_that_does_not_reach_back_leaves_the_gap_open(autojump_clock) -> None:
    """N11, F04: 30 trades are not enough after a long loss; the gap is open from last to first trade."""
    async with scene() as play:
        await play.live()
        await play.venue.trade(row(0))
        await play.settle()
        await play.venue.drop()
        play.venue.trades["BTC"] += [row(n) for n in range(1, 50)]
        await play.live(2)
        assert play.engine.trade_ids == [0, *range(20, 50)]
        assert [(g.from_ns, g.to_ns, g.closed) for g in play.engine.gaps] == [(at(0), at(20), False)]
        assert play.feed.health.gaps_open == 1


async def test_n11_f05_recent_trades_fill_the_gap_before_live_trades(autojump_clock) -> None:
    """N11, F05: live trades wait for the venue's answer; the result is in order, each trade once."""
    recent = RecentTrades(reach=100)
    async with scene(recent=recent, prepare=bind(recent)) as play:
        await play.live()
        await play.venue.trade(row(0))
        await play.settle()
        await play.venue.drop()
        play.venue.trades["BTC"] += [row(n) for n in range(1, 50)]
        await play.until(lambda: recent.asked)
        await play.venue.trade(row(50))
        await play.settle()
        assert play.engine.trade_ids == [0]
        await trio.sleep(1)
        await play.venue.trade(row(51))
        await play.settle()
        assert play.engine.trade_ids == list(range(52))
        assert [(g.from_ns, g.to_ns, g.closed) for g in play.engine.gaps] == [(at(0), at(50), True)]


@pytest.mark.parametrize(
    ("reach", "wait_s", "error", "first"),
    [(40, 0.2, None, 10), (100, 60.0, None, 20), (100, 0.2, VenueUnreachable("no"), 20)],
)
async def test_n11_f06_a_backfill_that_stops_short_leaves_the_gap_open(
    autojump_clock, reach: int, wait_s: float, error: Exception | None, first: int
) -> None:
    """F06: the answer is too short, too late or missing; held trades are emitted and the gap is reported."""
    recent = RecentTrades(reach, wait_s, error)
    async with scene(recent=recent, prepare=bind(recent)) as play:
        await play.live()
        await play.venue.trade(row(0))
        await play.settle()
        await play.venue.drop()
        play.venue.trades["BTC"] += [row(n) for n in range(1, 50)]
        await play.until(lambda: play.engine.gaps)
        await play.settle()
        assert play.engine.trade_ids == [0, *range(first, 50)]
        assert [(g.from_ns, g.to_ns, g.closed) for g in play.engine.gaps] == [(at(0), at(first), False)]


async def test_trades_held_for_a_backfill_are_emitted_in_order_after_another_loss(autojump_clock) -> None:
    """A loss during the request: nothing is emitted out of order, and the next answer proves all trades."""
    recent = RecentTrades(100, wait_s=2.9)
    async with scene(recent=recent, prepare=bind(recent)) as play:
        await play.live()
        await play.venue.trade(row(0))
        await play.settle()
        await play.venue.drop()
        play.venue.trades["BTC"] += [row(n) for n in range(1, 50)]
        await play.until(lambda: recent.asked)
        await play.venue.drop()
        await play.until(lambda: len(play.engine.downs) == 2)
        assert play.engine.trade_ids == [0]
        await play.until(lambda: play.engine.gaps)
        await play.settle()
        assert play.engine.trade_ids == list(range(50))
        assert [(g.from_ns, g.to_ns, g.closed) for g in play.engine.gaps] == [(at(0), at(49), True)]


async def test_an_open_gap_spans_both_sides_of_trades_from_between(autojump_clock) -> None:
    """The trades of a short connection are emitted, and the gap around them is one gap."""
    recent = RecentTrades(40, wait_s=2.9)
    async with scene(recent=recent, prepare=bind(recent)) as play:
        await play.live()
        await play.venue.trade(row(0))
        await play.settle()
        await play.venue.drop()
        play.venue.trades["BTC"] += [row(n) for n in range(1, 50)]
        await play.until(lambda: recent.asked)
        await play.venue.drop()
        play.venue.trades["BTC"] += [row(n) for n in range(50, 150)]
        await play.until(lambda: play.engine.gaps)
        await play.settle()
        assert play.engine.trade_ids == [0, *range(20, 50), *range(110, 150)]
        assert [(g.from_ns, g.to_ns, g.closed) for g in play.engine.gaps] == [(at(0), at(110), False)]


async def test_an_instrument_that_stays_silent_after_a_loss_is_queried(autojump_clock) -> None:
    """N11: the replay is lost as well; the query proves that nothing is missing, or returns it."""
    recent = RecentTrades(30)

    def prepare(venue: Venue) -> None:
        recent.venue = venue
        venue.replays = False

    async with scene(instruments=(BTC, ETH), recent=recent, prepare=prepare) as play:
        await play.live()
        await play.venue.trade(row(0))
        await play.settle()
        await play.venue.drop()
        play.venue.trades["BTC"].append(row(1))
        await play.live(2)
        await trio.sleep(10)
        assert play.engine.trade_ids == [0, 1]
        assert [(g.instrument, g.closed) for g in play.engine.gaps] == [(1, True), (2, True)]
        assert recent.asked == ["BTC", "ETH"]


async def test_trades_from_before_the_session_are_never_emitted(autojump_clock) -> None:
    """A bar must not be built from part of its trades: the first replay reaches minutes back."""

    def prepare(venue: Venue) -> None:
        venue.trades["BTC"] = [row(n - 25) for n in range(30)]

    async with scene(since_ns=START_NS, prepare=prepare) as play:
        await play.live()
        assert play.engine.trade_ids == [0, 1, 2, 3, 4]
        assert play.engine.gaps == []
        assert play.feed.health.dropped["old"] == 25


async def test_a_restart_continues_after_the_journal_and_emits_the_trades_between(autojump_clock) -> None:
    """Two trades share the journal's last millisecond, of which one was seen: F02 across a restart."""

    def prepare(venue: Venue) -> None:
        venue.trades["BTC"] = [row(n) for n in range(-10, 0)]
        venue.trades["BTC"] += [row(0, ms=0), row(1, ms=0), row(2, ms=50)]

    last = {1: LastTrade(START_NS, (10**12,))}
    async with scene(since_ns=START_NS + 10**9, last_seen=last, prepare=prepare) as play:
        await play.live()
        assert play.engine.trade_ids == [1, 2]
        assert [(g.from_ns, g.to_ns, g.closed) for g in play.engine.gaps] == [
            (START_NS, at(0) + 50_000_000, True)
        ]


async def test_a_restart_after_a_long_stop_reports_the_gap(autojump_clock) -> None:
    def prepare(venue: Venue) -> None:
        venue.trades["BTC"] = [row(n) for n in range(-10, 0)]

    last = {1: LastTrade(START_NS - 10**12, (7,))}
    async with scene(since_ns=START_NS, last_seen=last, prepare=prepare) as play:
        await play.live()
        assert play.engine.trade_ids == list(range(-10, 0))
        assert [(g.from_ns, g.to_ns, g.closed) for g in play.engine.gaps] == [
            (START_NS - 10**12, at(-10), False)
        ]


async def test_f03_the_same_id_with_other_content_is_a_conflict_until_all_is_read_again(
    autojump_clock,
) -> None:
    """F03: counted, reconnected, and the gap stays open because neither version is proved."""
    async with scene() as play:
        await play.live()
        await play.venue.trade(row(0), row(1))
        await play.venue.trade(row(1, px="64001.0"), row(2))
        await play.live(2)
        await play.venue.trade(row(3))
        await play.settle()
        assert play.feed.health.conflicts == 1
        assert "BTC: a print came again with other content" in play.engine.downs[0].reason
        assert play.engine.trade_ids == [0, 1, 2, 3]
        assert [gap.closed for gap in play.engine.gaps] == [False]
        assert len(play.engine.downs) == 1
        assert play.engine.of(Trade)[1].price == 640005


async def test_n10_frames_in_any_order_report_each_trade_once(autojump_clock) -> None:
    """N10: frames are swapped and doubled; late trades are emitted late, none twice, and none is lost."""
    order = [3, 0, 1, 0, 2, 3, 9, 5, 4, 8, 7, 6, 6, 9]
    async with scene() as play:
        await play.live()
        for number in order:
            await play.venue.say(trades_text([row(number)]))
        await play.settle()
        assert play.engine.trade_ids == list(dict.fromkeys(order))
        assert play.feed.health.duplicates == 4
