"""The venue's candles prove bars that are in doubt, and are compared with those that are not (F04, F07)."""

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


def desk(*intervals: str) -> Harness:
    on = Harness(Aggregator(BarsConfig(intervals or ("1m", "5m"), 1000)))
    on.send(FeedUp(T - 1, "f", 1))
    return on


def values(bar: BarClosed) -> tuple[int, ...]:
    return bar.open, bar.high, bar.low, bar.close, int(bar.volume), bar.trades


def last(on: Harness, minute: int, span: int = 1) -> BarClosed:
    start = T + minute * MINUTE
    bars = [one for one in on.all(BarClosed) if (one.start_ns, one.interval_ns) == (start, span * MINUTE)]
    return max(bars, key=lambda one: one.revision)


def test_f04_a_bar_that_a_gap_left_incomplete_becomes_the_venues_candle_and_says_so() -> None:
    on = desk()
    on.send(trade(0), trade(1), FeedDown(T + MINUTE + 1, "f", "x"))
    on.advance(T + 3 * MINUTE)
    on.send(FeedUp(T + 3 * MINUTE, "f", 1))
    on.send(FeedGap(T + 3 * MINUTE, "f", 1, T + MINUTE, T + 3 * MINUTE, False))
    on.advance(T + 6 * MINUTE)
    assert last(on, 1).incomplete
    assert last(on, 2).incomplete
    (repaired,) = on.send(candle(1))
    assert (values(repaired), repaired.incomplete, repaired.closed_by) == (THEIRS, False, "candle")
    assert repaired.revision == last(on, 1).revision > 0
    assert last(on, 2).incomplete, "the other window still is"
    assert on.send(candle(1)) == [], "the same candle again changes nothing"
    (longer,) = on.send(candle(0, span=5))
    assert (values(longer), longer.interval_ns, longer.incomplete) == (THEIRS, 5 * MINUTE, False)


def test_f07_a_corrected_candle_is_a_new_revision() -> None:
    on = desk()
    on.send(trade(0), trade(1))
    on.advance(T + MINUTE + 10**9)
    on.send(candle(0))
    (again,) = on.send(candle(0, (1, 2, 1, 2, 3, 4)))
    assert (values(again), again.revision) == ((1, 2, 1, 2, 3, 4), 2)


def test_a_gap_told_after_its_candle_does_not_put_it_in_doubt_again() -> None:
    on = desk()
    on.send(trade(0), FeedDown(T + 1, "f", "x"), candle(0))
    on.send(FeedUp(T + 2 * MINUTE, "f", 1), FeedGap(T + 2 * MINUTE, "f", 1, T, T + 2 * MINUTE, False))
    assert not last(on, 0).incomplete


def test_while_candles_are_polled_a_bar_waits_for_its_own_and_closes_whole() -> None:
    on = desk()
    on.send(trade(0), FeedDown(T + 1, "f", "x"), FeedPolling(T + 2, "f", True, "down"))
    on.advance(T + MINUTE + 10**9)  # the timer asked for before the polling
    assert on.all(BarClosed) == []
    bars = on.send(candle(0))
    assert [(values(one), one.revision, one.incomplete) for one in bars] == [(THEIRS, 0, False)]
    (next_one,) = on.send(candle(1, (103, 103, 103, 103, 0, 0)))
    assert (next_one.start_ns, next_one.incomplete) == (T + MINUTE, False)
    # A candle that never comes: the bar closes after all, and says that it is not whole.
    on.advance(T + 3 * MINUTE + 30 * 10**9)
    assert last(on, 2).incomplete


def test_polling_from_the_very_start_makes_bars_without_any_print() -> None:
    on = desk()
    on.send(FeedDown(T, "f", "x"), FeedPolling(T, "f", True, "down"))
    (bar,) = on.send(candle(3))
    assert (values(bar), bar.start_ns, bar.incomplete) == (THEIRS, T + 3 * MINUTE, False)


@given(st.tuples(*[st.integers(1, 5)] * 6))
def test_f09_a_whole_bar_is_compared_and_a_difference_tells_both(theirs: tuple[int, ...]) -> None:
    on = desk()
    on.send(trade(0), trade(0.5), trade(1))
    on.advance(T + MINUTE + 10**9)
    on.send(FeedGap(T + MINUTE, "f", 1, T - 1, T, True))
    ours = values(last(on, 0))
    bars = len(on.all(BarClosed))
    assert on.send(candle(0, ours, "check")) == []
    answer = on.send(candle(0, theirs, "check"))
    assert len(on.all(BarClosed)) == bars, "a check changes no bar that is whole"
    (told,) = answer if theirs != ours else (None,)
    if told is not None:
        assert isinstance(told, BarDiffers)
        assert (told.open, told.high, told.low, told.close, told.volume, told.trades) == ours
        shown = told.venue_open, told.venue_high, told.venue_low, told.venue_close
        assert (*shown, told.venue_volume, told.venue_trades) == theirs


def test_i8_a_check_of_an_uncertain_bar_mends_it() -> None:
    on = desk()
    on.send(trade(0.5), FeedDown(T + MINUTE // 2 + 1, "f", "x"), FeedUp(T + MINUTE // 2 + 2, "f", 1))
    on.advance(T + 2 * MINUTE)
    assert last(on, 0).incomplete
    (mended,) = on.send(candle(0, purpose="check"))
    assert (values(mended), mended.incomplete) == (THEIRS, False)


@pytest.mark.parametrize("purpose", ["history", "stream", "check"])
def test_f08_no_candle_but_a_repair_closes_a_bar(purpose: str) -> None:
    on = desk()
    on.send(trade(0))
    assert on.send(candle(0, purpose=purpose)) == []
    assert on.all(BarClosed) == []


def test_a_candle_of_an_interval_that_is_not_built_is_left_alone() -> None:
    on = desk("1m")
    on.send(trade(0), trade(1))
    assert on.send(candle(0, span=5)) == []
