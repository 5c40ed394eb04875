"""After a loss: proved, missing and repeated trades."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from adapters.hyperliquid.wire import WireTrade
from adapters.transport.decoding import decode_body
from adapters.transport.trades import LastTrade
from engine.errors import VenueUnreachable
from engine.events import FeedDamaged, FeedDown, FeedGap, FeedUp, Trade

from .venue import BTC, ETH, START_NS, Scene, Venue, row, scene, trades_text


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


def spans(play: Scene) -> list[tuple[int, int, bool]]:
    """Return the gaps; the last one must reach to the time of its report."""
    last = play.engine.gaps[-1]
    assert last.to_ns >= last.recv_ns or not last.closed
    return [(gap.from_ns, gap.to_ns, gap.closed) for gap in play.engine.gaps]


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
        assert spans(play)[0] == (at(0), at(20), False)
        assert spans(play)[1] == (at(20), play.engine.gaps[1].to_ns, True), "from then on all is known"
        assert len(play.engine.gaps) == 2
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
        assert [span for span in spans(play) if not span[2]] == [(at(0), at(first), False)]


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


async def test_the_gaps_on_both_sides_of_trades_from_between_are_as_tight_as_known(autojump_clock) -> None:
    """The trades of a short connection are emitted, and there is a gap before and one after them."""
    recent = RecentTrades(40, wait_s=2.9)
    async with scene(recent=recent, prepare=bind(recent)) as play:
        await play.live()
        await trio.sleep(15)
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
        known = play.engine.gaps[-1].to_ns
        assert spans(play) == [
            (at(0), at(20), False),
            (at(20), at(49), True),
            (at(49), at(110), False),
            (at(110), known, True),
        ]


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
        assert spans(play) == [
            (START_NS - 10**12, at(-10), False),
            (at(-10), play.engine.gaps[-1].to_ns, True),
        ]


@pytest.mark.parametrize("asks", [True, False])
async def test_f03_the_same_id_with_other_content_is_a_conflict(autojump_clock, asks: bool) -> None:
    """F03: counted and reported; the gap is that print, because neither version is proved."""
    recent = RecentTrades(reach=100)
    async with scene(recent=recent if asks else None, prepare=bind(recent)) as play:
        await play.live()
        await play.venue.trade(row(0), row(1))
        await play.venue.trade(row(1, px="64001.0"), row(2))
        await play.venue.trade(row(3))
        await play.settle()
        assert play.feed.health.conflicts == 1
        (damaged,) = play.engine.of(FeedDamaged)
        assert (damaged.reason, damaged.in_doubt) == ("BTC: a print came again with other content", True)
        assert play.engine.trade_ids == [0, 1, 2, 3]
        assert play.engine.gaps == [], "in doubt"
        await trio.sleep(2)
        assert [span for span in spans(play) if not span[2]] == [(at(1), at(1), False)]
        assert play.engine.downs == []
        assert play.engine.of(Trade)[1].price == 640005


async def test_f15_after_damage_recent_trades_close_the_gap(autojump_clock) -> None:
    """F15: two messages and a print are lost; others go on, and one request brings back what is missing."""
    recent = RecentTrades(reach=100)
    async with scene(recent=recent, prepare=bind(recent)) as play:
        await play.live()
        await play.venue.trade(row(0))
        play.venue.trades["BTC"].append(row(1))
        await play.venue.say(trades_text([row(1)])[:-9])
        await play.venue.trade(row(2))
        play.venue.trades["BTC"] += [row(3), row(4), row(5)]
        await play.venue.say(trades_text([row(3), row(4, sz="x"), row(5)]))
        await play.settle()
        assert play.engine.trade_ids == [0, 2, 3, 5], "nothing waits"
        assert play.engine.gaps == []
        await trio.sleep(2)
        assert recent.asked == ["BTC"]
        assert play.engine.trade_ids == [0, 2, 3, 5, 1, 4]
        assert spans(play) == [(at(0), play.engine.gaps[0].to_ns, True)]
        assert play.engine.downs == []


@pytest.mark.parametrize(
    ("reach", "error", "brought", "holes"),
    [
        (3, None, [4], [(0, 2)]),
        (2, None, [4], [(0, 2), (3, 4)]),
        (100, VenueUnreachable("no"), [], [(0, 2), (3, 5)]),
    ],
)
async def test_f15_what_stays_missing_after_damage_is_a_gap_as_tight_as_known(
    autojump_clock, reach: int, error: Exception | None, brought: list[int], holes: list[tuple[int, int]]
) -> None:
    """F15: what the request brings is emitted, and the venue is asked three times."""
    recent = RecentTrades(reach=reach, error=error)
    async with scene(recent=recent, prepare=bind(recent)) as play:
        await play.live()
        await play.venue.trade(row(0))
        play.venue.trades["BTC"].append(row(1))
        await play.venue.say(trades_text([row(1)])[:-9])
        await play.venue.trade(row(2))
        play.venue.trades["BTC"] += [row(3), row(4), row(5)]
        await play.venue.say(trades_text([row(3), row(4, sz="x"), row(5)]))
        await trio.sleep(10)
        assert recent.asked == ["BTC"] * 3
        assert play.engine.trade_ids == [0, 2, 3, 5, *brought]
        found = [span[:2] for span in spans(play) if not span[2]]
        assert found == [(at(one), at(other)) for one, other in holes]
        assert play.feed.health.gaps_open == 1


async def test_f15_a_print_that_is_unusable_everywhere_does_not_cost_its_neighbours(autojump_clock) -> None:
    """F15: it is in the replay after each reconnect and in the recent trades: a gap of its own, no more."""
    recent = RecentTrades(reach=100)
    async with scene(recent=recent, prepare=bind(recent)) as play:
        await play.live()
        await play.venue.trade(row(0))
        await play.settle()
        await play.venue.drop()
        play.venue.trades["BTC"] += [row(1), row(2, sz="0"), row(3)]
        await play.live(2)
        await trio.sleep(20)
        assert play.engine.trade_ids == [0, 1, 3]
        assert [span for span in spans(play) if not span[2]] == [(at(1), at(3), False)]
        assert len(play.engine.downs) == 1


async def test_f15_a_loss_while_in_doubt_is_settled_by_the_replay(autojump_clock) -> None:
    """F15: no closed gap hides the damage, and one that reaches behind it settles both."""
    for reaches in (True, False):
        async with scene() as play:
            await play.live()
            await play.venue.trade(*[row(n) for n in range(3)])
            play.venue.trades["BTC"].append(row(3))
            await play.venue.say(trades_text([row(3)])[:-9])
            await play.venue.trade(row(4))
            await play.settle()
            await play.venue.drop()
            play.venue.trades["BTC"] += [row(n) for n in range(5, 20 if reaches else 34)]
            await play.live(2)
            await trio.sleep(5)
            missing = [] if reaches else [3]
            count = 20 if reaches else 34
            assert sorted(play.engine.trade_ids) == [n for n in range(count) if n not in missing]
            holes = [span for span in spans(play) if not span[2]]
            assert holes == ([] if reaches else [(at(2), at(4), False)])


async def test_f15_prints_that_came_before_the_stream_was_up_are_not_lost_with_it(autojump_clock) -> None:
    """F15: the venue confirms too little, and the connection ends; they are joined with the next."""

    def prepare(venue: Venue) -> None:
        venue.trades["BTC"] = [row(n) for n in range(-5, 0)]
        venue.unconfirmed = ("bbo",)

    async with scene(since_ns=START_NS, prepare=prepare) as play:
        await play.settle()
        for number in range(10):
            await play.venue.trade(row(number))
        await play.venue.drop()
        play.venue.unconfirmed = ()
        play.venue.trades["BTC"] += [row(n) for n in range(10, 50)]
        await play.live()
        assert play.engine.trade_ids == [*range(10), *range(20, 50)]
        assert [span for span in spans(play) if not span[2]] == [(at(9), at(20), False)]


@pytest.mark.parametrize("days", [-365, 365])
async def test_f15_a_session_that_refuses_every_print_says_so(autojump_clock, days: int) -> None:
    """F15: the clocks are a year apart."""
    async with scene(since_ns=START_NS) as play:
        await play.live()
        for number in range(5):
            await play.venue.trade(row(number, ms=days * 86_400_000 + number))
        await play.settle()
        assert play.engine.trade_ids == []
        damages = play.engine.of(FeedDamaged)
        assert ("too old, or a clock is wrong" if days < 0 else "which is impossible") in damages[0].reason
        assert "NO TRADE COULD BE USED" in str(play.feed.health)
        await play.venue.trade(row(1))
        await play.settle()
        assert "NO TRADE" not in str(play.feed.health)


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


async def test_f15_a_trade_that_comes_back_out_of_the_venues_order_is_a_gap(autojump_clock) -> None:
    """F15: of three trades of one time the second is damaged; which came last, only the candle can show."""
    for spoiled, holes in ((1, [START_NS + 100_000_000]), (2, [])):
        recent = RecentTrades(reach=100)
        async with scene(recent=recent, prepare=bind(recent)) as play:
            await play.live()
            await play.venue.trade(row(0))
            rows = [row(n, ms=100) for n in (1, 2, 3)]
            play.venue.trades["BTC"] += rows
            rows[spoiled] = {**rows[spoiled], "sz": "0"}
            await play.venue.say(trades_text(rows))
            await trio.sleep(5)
            assert sorted(play.engine.trade_ids) == [0, 1, 2, 3]
            assert [span for span in spans(play) if not span[2]] == [(at_ns, at_ns, False) for at_ns in holes]


class Snapshot(RecentTrades):
    """Answers with what was the newest when it was asked."""

    async def __call__(self, coin: str) -> list[WireTrade]:
        assert self.venue is not None
        own, reach = list(self.venue.trades.get(coin, [])), self.reach
        await super().__call__(coin)
        return decode_body(json.dumps(list(reversed(own[-reach:]))).encode(), list[WireTrade])


async def test_f15_the_last_print_of_a_replay_is_damaged(autojump_clock) -> None:
    """F15: the loss is closed, and the print after the last known one is missing."""
    async with scene() as play:
        await play.live()
        await play.venue.trade(row(0))
        await play.settle()
        await play.venue.drop()
        play.venue.trades["BTC"] += [row(1), row(2, sz="0")]
        await play.live(2)
        await play.venue.trade(row(3))
        await trio.sleep(5)
        assert play.engine.trade_ids == [0, 1, 3]
        assert [span for span in spans(play) if not span[2]] == [(at(1), at(3), False)]


@pytest.mark.parametrize("kind", [RecentTrades, Snapshot])
async def test_f15_damage_while_recent_trades_are_read_is_not_taken_for_joined(
    autojump_clock, kind: type[RecentTrades]
) -> None:
    """F15: after a loss, what came before and after the damage are pieces of their own."""
    recent = kind(reach=3, wait_s=1.0)

    def prepare(venue: Venue) -> None:
        recent.venue = venue
        venue.replays = False

    async with scene(recent=recent, prepare=prepare) as play:
        await play.live()
        await play.venue.trade(row(0))
        await play.settle()
        await play.venue.drop()
        await play.live(2)
        await play.venue.trade(row(5))
        await play.until(lambda: recent.asked)
        play.venue.trades["BTC"].append(row(6))
        await play.venue.say(trades_text([row(6)])[:-9])
        for number in (7, 8, 9, 10):
            await play.venue.trade(row(number))
        await trio.sleep(10)
        assert play.engine.trade_ids == [0, 5, 7, 8, 9, 10]
        opened = [span[:2] for span in spans(play) if not span[2]]
        before = [] if kind is Snapshot else [(at(0), at(5))]
        assert opened == [*before, (at(5), at(7))]
