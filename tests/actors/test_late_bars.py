"""Trades after the grace period and trades from the future: nothing is lost unnoticed."""

from __future__ import annotations

from typing import Any

import pytest

from engine.actors import Aggregator
from engine.actors.flow import Footprints
from engine.clock import DAY_NS, SECOND_NS, day_start_ns
from engine.config import BarsConfig, FlowConfig
from engine.events import BarClosed, Candle, FeedDown, FeedGap, FeedUp, InstrumentListed, Trade
from engine.values import BUY
from tests.actors.harness import MINUTE, Harness, T

S = SECOND_NS


def new_harness(*intervals: str, silence: str = "flat", grace_ms: int = 1000) -> Harness:
    listed = {1: InstrumentListed(T, 1, "sim", "AAA", 2, 3, silence=silence)}
    return Harness(Aggregator(BarsConfig(intervals, grace_ms)), listed)


def newest(harness: Harness) -> dict[tuple[int, int], BarClosed]:
    """Return the bars at their highest revisions, by interval and start, in seconds."""
    return {(one.interval_ns // S, (one.start_ns - T) // S): one for one in harness.all(BarClosed)}


@pytest.mark.parametrize(("intervals", "down_s"), [(("1m", "5m"), 95 * 60), (("1s", "1m"), 120)])
def test_f04_a_backlog_too_old_for_short_bars_still_corrects_longer_bars(
    intervals: tuple[str, str], down_s: int
) -> None:
    """Sixty closed bars of each interval can be corrected. No bar is complete without its trades."""
    harness = new_harness(*intervals)
    up = T + (10 + down_s) * S
    times = [0, *range(11, 10 + down_s)]
    harness.send(Trade(T, T, 1, 100, 1, BUY, 1))
    harness.advance(T + 10 * S)
    harness.send(FeedDown(T + 10 * S, "f", "x"))
    harness.advance(up)
    harness.send(FeedUp(up, "f", 1), *(Trade(up, T + at * S, 1, 100, 1, BUY, at) for at in times[1:]))
    harness.send(FeedGap(up, "f", 1, T, up, True))
    harness.advance(up + 600 * S)
    for (span, start), bar in newest(harness).items():
        inside = sum(start <= at < start + span for at in times)
        assert bar.incomplete or bar.trades == inside, (span, start)
    longer = max(span for span, _ in newest(harness))
    assert not newest(harness)[longer, 0].incomplete


def test_t06_a_trade_from_the_future_does_not_stop_bars() -> None:
    harness = new_harness("1s", "1m")
    for second in range(90):
        at = T + second * S
        harness.advance(at)
        harness.send(Trade(at, at + (23 * 3600 * S if second == 5 else 0), 1, 100, 1, BUY, second))
    harness.advance(T + 200 * S)
    assert newest(harness)[60, 0].trades == 59
    assert newest(harness)[60, 60].trades == 30


def test_a_late_trade_sets_the_timer_of_the_empty_bar_it_belongs_to() -> None:
    """If the grace period is longer than the bars, a window waits while the next ones are open."""
    harness = new_harness("1s", grace_ms=5000)
    harness.send(Trade(T, T, 1, 100, 1, BUY, 1), Trade(T + 3 * S, T + 3 * S, 1, 100, 1, BUY, 2))
    harness.advance(T + 4 * S)
    harness.send(Trade(T + 4 * S, T + S + 1, 1, 100, 1, BUY, 3))
    harness.advance(T + 60 * S)
    late = {(one.start_ns - T) // S: one.at_ns - one.start_ns for one in harness.all(BarClosed)}
    assert late == dict.fromkeys(late, 6 * S)


@pytest.mark.parametrize("month", ["2015-11-01", "2021-08-01", "2024-03-01", "2027-02-01", "2027-06-01"])
def test_each_month_closes_when_its_grace_period_ends(month: str) -> None:
    """Months differ in length: two that wait at the same time must not share a timer."""
    start = day_start_ns(month)
    harness = new_harness("1M")
    harness.send(Trade(start - 5 * S, start - 5 * S, 1, 100, 1, BUY, 1))
    harness.advance(start + S // 2)
    harness.send(Trade(start + S // 2, start + S // 2, 1, 100, 1, BUY, 2))
    harness.advance(start + 20 * DAY_NS)
    assert [one.at_ns - start for one in harness.all(BarClosed)] == [S]


# Data with candles only.


def candle(number: int, late_ns: int = 0) -> Candle:
    end = T + (number + 1) * MINUTE
    return Candle(end + late_ns, end, 1, MINUTE, T + number * MINUTE, 100, 110, 90, 105, 1000, 5)


@pytest.mark.parametrize(("grace_ms", "late_ns"), [(0, 0), (1000, 0), (1000, 2 * S), (0, 2 * S)])
def test_f07_a_longer_bar_closes_once_with_late_candles(grace_ms: int, late_ns: int) -> None:
    harness = new_harness("1m", "5m", "15m", silence="none", grace_ms=grace_ms)
    for number in range(17):
        one = candle(number, late_ns)
        harness.advance(one.recv_ns)
        harness.send(one)
    harness.advance(T + 40 * MINUTE)
    emitted: dict[Any, list[BarClosed]] = {}
    for bar in harness.all(BarClosed):
        emitted.setdefault((bar.interval_ns, bar.start_ns), []).append(bar)
    for (span, start), bars in emitted.items():
        parts = 2 if start == T + 15 * MINUTE and span > MINUTE else span // MINUTE
        assert [bar.revision for bar in bars] == list(range(len(bars)))
        assert (int(bars[-1].volume), bars[-1].trades) == (1000 * parts, 5 * parts)
        assert late_ns or len(bars) == 1


def test_levels_finer_than_the_price_scale_are_rounded_up() -> None:
    harness = Harness(Footprints(FlowConfig(footprint=("1m",), level={"AAA": "0.000001"})))
    harness.send(Trade(T, T, 1, 101, 5, BUY, 1))
    assert "101" in repr(harness.actor.state())
