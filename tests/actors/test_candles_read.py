"""The venue's candles replace incomplete bars, and are compared with complete ones (F04, F07)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import Aggregator
from engine.config import BarsConfig
from engine.events import (
    BarClosed,
    BarDiffers,
    CandleRead,
    FeedDown,
    FeedGap,
    FeedPolling,
    FeedUp,
    Trade,
)
from tests.actors.harness import MINUTE, Harness, T

OURS = (100, 100, 100, 100, 1, 1)
THEIRS = (99, 104, 98, 103, 7, 4)


def trade(minute: float, price: int = 100) -> Trade:
    at = T + int(minute * MINUTE)
    return Trade(at, at, 1, price, 1, 1)


def candle(
    minute: int, values: tuple[int, ...] = THEIRS, purpose: str = "repair", span: int = 1
) -> CandleRead:
    start = T + minute * MINUTE
    end = start + span * MINUTE
    return CandleRead(end, end, 1, span * MINUTE, start, *values, purpose)


def new_harness(*intervals: str) -> Harness:
    harness = Harness(Aggregator(BarsConfig(intervals or ("1m", "5m"), 1000)))
    harness.send(FeedUp(T - 1, "f", 1))
    return harness


def values(bar: BarClosed) -> tuple[int, ...]:
    return bar.open, bar.high, bar.low, bar.close, int(bar.volume), bar.trades


def last(harness: Harness, minute: int, span: int = 1) -> BarClosed:
    start = T + minute * MINUTE
    bars = [
        one for one in harness.all(BarClosed) if (one.start_ns, one.interval_ns) == (start, span * MINUTE)
    ]
    return max(bars, key=lambda one: one.revision)


def test_f04_an_incomplete_bar_gets_the_values_of_the_venues_candle() -> None:
    harness = new_harness()
    harness.send(trade(0), trade(1), FeedDown(T + MINUTE + 1, "f", "x"))
    harness.advance(T + 3 * MINUTE)
    harness.send(FeedUp(T + 3 * MINUTE, "f", 1))
    harness.send(FeedGap(T + 3 * MINUTE, "f", 1, T + MINUTE, T + 3 * MINUTE, False))
    harness.advance(T + 6 * MINUTE)
    assert last(harness, 1).incomplete
    assert last(harness, 2).incomplete
    (repaired,) = harness.send(candle(1))
    assert (values(repaired), repaired.incomplete, repaired.closed_by) == (THEIRS, False, "candle")
    assert repaired.revision == last(harness, 1).revision > 0
    assert last(harness, 2).incomplete, "the other window is still incomplete"
    assert harness.send(candle(1)) == [], "the same candle again changes nothing"
    (longer,) = harness.send(candle(0, span=5))
    assert (values(longer), longer.interval_ns, longer.incomplete) == (THEIRS, 5 * MINUTE, False)


def test_f07_a_corrected_candle_is_a_new_revision() -> None:
    harness = new_harness()
    harness.send(trade(0), trade(1))
    harness.advance(T + MINUTE + 10**9)
    harness.send(candle(0))
    (again,) = harness.send(candle(0, (1, 2, 1, 2, 3, 4)))
    assert (values(again), again.revision) == ((1, 2, 1, 2, 3, 4), 2)


def test_a_gap_reported_after_the_candle_does_not_make_the_bar_incomplete() -> None:
    harness = new_harness()
    harness.send(trade(0), FeedDown(T + 1, "f", "x"), candle(0))
    harness.send(FeedUp(T + 2 * MINUTE, "f", 1), FeedGap(T + 2 * MINUTE, "f", 1, T, T + 2 * MINUTE, False))
    assert not last(harness, 0).incomplete


def test_while_candles_are_polled_a_bar_waits_for_its_candle() -> None:
    harness = new_harness()
    harness.send(trade(0), FeedDown(T + 1, "f", "x"), FeedPolling(T + 2, "f", True, "down"))
    harness.advance(T + MINUTE + 10**9)  # the timer set before the polling
    assert harness.all(BarClosed) == []
    bars = harness.send(candle(0))
    assert [(values(one), one.revision, one.incomplete) for one in bars] == [(THEIRS, 0, False)]
    (next_one,) = harness.send(candle(1, (103, 103, 103, 103, 0, 0)))
    assert (next_one.start_ns, next_one.incomplete) == (T + MINUTE, False)
    # Without a candle the bar closes later, as incomplete.
    harness.advance(T + 3 * MINUTE + 30 * 10**9)
    assert last(harness, 2).incomplete


def test_polling_from_the_start_makes_bars_without_trades() -> None:
    harness = new_harness()
    harness.send(FeedDown(T, "f", "x"), FeedPolling(T, "f", True, "down"))
    (bar,) = harness.send(candle(3))
    assert (values(bar), bar.start_ns, bar.incomplete) == (THEIRS, T + 3 * MINUTE, False)


@given(st.tuples(*[st.integers(1, 5)] * 6))
def test_f09_a_complete_bar_is_compared_and_a_difference_is_reported(theirs: tuple[int, ...]) -> None:
    harness = new_harness()
    harness.send(trade(0), trade(0.5), trade(1))
    harness.advance(T + MINUTE + 10**9)
    harness.send(FeedGap(T + MINUTE, "f", 1, T - 1, T, True))
    ours = values(last(harness, 0))
    bars = len(harness.all(BarClosed))
    assert harness.send(candle(0, ours, "check")) == []
    answer = harness.send(candle(0, theirs, "check"))
    assert len(harness.all(BarClosed)) == bars, "a check does not change a complete bar"
    (emitted,) = answer if theirs != ours else (None,)
    if emitted is not None:
        assert isinstance(emitted, BarDiffers)
        assert (
            emitted.open,
            emitted.high,
            emitted.low,
            emitted.close,
            emitted.volume,
            emitted.trades,
        ) == ours
        shown = emitted.venue_open, emitted.venue_high, emitted.venue_low, emitted.venue_close
        assert (*shown, emitted.venue_volume, emitted.venue_trades) == theirs


def test_a_candle_whose_trades_are_not_counted_is_compared_without_them() -> None:
    harness = new_harness()
    harness.send(trade(0), trade(0.5))
    harness.advance(T + MINUTE + 10**9)
    harness.send(FeedGap(T + MINUTE, "f", 1, T - 1, T, True))
    ours = values(last(harness, 0))
    assert harness.send(candle(0, (*ours[:5], 0), "check")) == []
    (differs,) = harness.send(candle(0, (*ours[:4], ours[4] + 1, 0), "check"))
    assert isinstance(differs, BarDiffers)
    assert (differs.trades, differs.venue_trades) == (ours[5], 0)


def test_i8_a_check_of_an_incomplete_bar_repairs_it() -> None:
    harness = new_harness()
    harness.send(trade(0.5), FeedDown(T + MINUTE // 2 + 1, "f", "x"), FeedUp(T + MINUTE // 2 + 2, "f", 1))
    harness.advance(T + 2 * MINUTE)
    assert last(harness, 0).incomplete
    (repaired,) = harness.send(candle(0, purpose="check"))
    assert (values(repaired), repaired.incomplete) == (THEIRS, False)


@pytest.mark.parametrize("purpose", ["history", "stream", "check"])
def test_f08_only_a_repair_candle_closes_a_bar(purpose: str) -> None:
    harness = new_harness()
    harness.send(trade(0))
    assert harness.send(candle(0, purpose=purpose)) == []
    assert harness.all(BarClosed) == []


def test_a_candle_of_an_interval_that_is_not_configured_is_ignored() -> None:
    harness = new_harness("1m")
    harness.send(trade(0), trade(1))
    assert harness.send(candle(0, span=5)) == []
