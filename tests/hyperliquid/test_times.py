"""A time of the venue far ahead of its clock is refused, whatever it is of; and what a jump proves."""

from __future__ import annotations

import pytest
import trio

from adapters.transport.health import FeedLimits
from adapters.transport.proof import AHEAD_S, VenueClock
from engine.clock import AdoptedClock, ClockReadings
from engine.config import DataConfig
from engine.events import (
    BookRead,
    CandleRead,
    ClockJumped,
    FeedDamaged,
    FeedGap,
    FeedHeard,
    Quote,
    Trade,
)

from .truth import book_row, now_ms, text
from .venue import START_MS, START_NS, row, scene

DATA = DataConfig(channels=("l2Book", "candle"), check_minutes=0, poll_after_s=0)


def message(kind: str, ms: int) -> str:
    """Return a message of a kind with a time of the venue."""
    if kind == "trades":
        return text("trades", [row(7, ms=ms - START_MS)])
    if kind == "bbo":
        sides = [{"px": "64000.0", "sz": "1", "n": 1}, {"px": "64001.0", "sz": "1", "n": 1}]
        return text("bbo", {"coin": "BTC", "time": ms, "bbo": sides})
    if kind == "l2Book":
        return text("l2Book", book_row("BTC", ms, [("64000.0", "1.5")], [("64001.0", "0.5")]))
    start = ms // 60_000 * 60_000
    prices = dict.fromkeys("ohlc", "60000")
    whole = {"t": start, "T": start + 59_999, "s": "BTC", "i": "1m", "v": "1", "n": 1, **prices}
    return text("candle", whole)


@pytest.mark.parametrize("ahead_s", [30, 3000])
@pytest.mark.parametrize("kind", ["trades", "bbo", "l2Book", "candle"])
async def test_t06_a_time_far_ahead_is_refused_and_reported(
    autojump_clock: trio.testing.MockClock, kind: str, ahead_s: int
) -> None:
    async with scene(data=DATA, intervals=("1m",)) as play:
        await play.live()
        ahead_ms = now_ms() + ahead_s * 1000 + (60_000 if kind == "candle" else 0)
        await play.venue.say(message(kind, ahead_ms), kind=kind, coin="BTC")
        await play.settle()
        assert not [one for one in play.engine.events if isinstance(one, Trade | Quote | BookRead)]
        assert play.engine.of(CandleRead) == []
        (damaged,) = play.engine.of(FeedDamaged)
        assert damaged.channel == kind
        assert "impossible" in damaged.reason
        assert damaged.in_doubt == (kind == "trades")
        await play.venue.trade(row(8, ms=now_ms() - START_MS))
        await play.settle()
        assert play.engine.trade_ids == [8], "what follows is used"
        await trio.sleep(5)
        assert bool(play.engine.gaps) == (kind == "trades"), "the gap of the refused trade is settled"


async def test_a_time_a_little_ahead_is_used(autojump_clock: trio.testing.MockClock) -> None:
    async with scene(data=DATA) as play:
        await play.live()
        await play.venue.trade(row(7, ms=now_ms() - START_MS + int(AHEAD_S * 900)))
        await play.settle()
        assert play.engine.trade_ids == [7]


class SetClock:
    """A clock that somebody sets, behind or ahead of the venue's."""

    def __init__(self, off_ns: int) -> None:
        self.off_ns = off_ns

    def now_ns(self) -> int:
        return START_NS + self.off_ns

    def monotonic_ns(self) -> int:
        return 0

    def real_seconds_until(self, engine_ns: int) -> float:
        return (engine_ns - self.now_ns()) / 1e9

    def readings(self) -> ClockReadings:
        return ClockReadings(self.now_ns(), self.now_ns(), 0, 0)


def test_the_bound_goes_by_the_venues_clock_and_by_real_time() -> None:
    """A machine whose clock is an hour slow is no reason to refuse every trade."""
    second = 10**9
    clock = SetClock(-3600 * second)
    venue = VenueClock(clock, START_NS, 0)
    assert venue.ahead_ns(AHEAD_S) == 3605 * second
    clock.off_ns = 0
    assert venue.ahead_ns(AHEAD_S) == 5 * second, "after it was set right"
    adopted = AdoptedClock(START_NS, 0, 60.0)
    assert VenueClock(adopted).ahead_ns(AHEAD_S) == pytest.approx(300 * second, rel=0.01)


async def test_after_a_jump_each_connection_proves_what_it_has_delivered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A ping leaves at once; its answer comes after what lay in the socket, and closes the gap."""
    limits = FeedLimits(heard_s=30.0, window_ns=60 * 10**9)
    async with scene(limits=limits, intervals=("1m",)) as play:
        await play.live()
        await play.venue.trade(row(1, ms=now_ms() - START_MS))
        await play.settle()
        at_ns = START_NS + round(trio.current_time() * 1e9)
        play.feed.note_jump(ClockJumped(at_ns, at_ns - 20 * 10**9, at_ns, "paused"))
        await play.venue.trade(row(2, ms=now_ms() - START_MS))
        await trio.sleep(1.0)
        (gap,) = play.engine.of(FeedGap)
        assert gap.closed
        assert gap.from_ns == at_ns - 20 * 10**9
        assert play.engine.trade_ids == [1, 2]
        places = [type(one) for one in play.engine.events if isinstance(one, Trade | FeedGap)]
        assert places == [Trade, Trade, FeedGap]
        play.feed.note_jump(ClockJumped(at_ns, at_ns, at_ns - 20 * 10**9, "stepped"))
        await trio.sleep(1.0)
        assert len(play.engine.of(FeedGap)) == 1, "a clock that was set back skips nothing"
        assert all(one.proved_ns <= now_ms() * 10**6 for one in play.engine.of(FeedHeard))


async def test_after_a_jump_on_a_connection_that_is_dead_the_next_one_settles_the_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scene() as play:
        await play.live()
        await play.venue.trade(row(1, ms=now_ms() - START_MS))
        await play.settle()
        at_ns = START_NS + round(trio.current_time() * 1e9)
        await play.venue.drop()
        play.feed.note_jump(ClockJumped(at_ns, at_ns - 20 * 10**9, at_ns, "suspended"))
        await play.live(2)
        await trio.sleep(1.0)
        assert len(play.engine.downs) == 1
        assert [one.closed for one in play.engine.of(FeedGap)] == [True]
        assert play.engine.trade_ids == [1]
