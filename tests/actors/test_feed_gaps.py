"""Gaps: a bar is complete or says that it is not; a gap that is proved closed settles the doubt (F04, I8)."""

from __future__ import annotations

import pytest

from engine.actors import Aggregator
from engine.config import BarsConfig
from engine.events import BarClosed, FeedDown, FeedGap, FeedUp, SessionStarted, Trade
from tests.actors.harness import MINUTE, Harness, T

GRACE = 1_000_000_000


def trade(minute: float, price: int = 100) -> Trade:
    at = T + int(minute * MINUTE)
    return Trade(at, at, 1, price, 1, 1)


def desk() -> Harness:
    on = Harness(Aggregator(BarsConfig(("1m", "5m"), 1000)))
    on.send(FeedUp(T - 1, "f", 1))
    return on


def marks(on: Harness, interval_ns: int = MINUTE) -> dict[int, bool]:
    """Whether each bar, at its highest revision, is incomplete; by minute from T."""
    return {
        (bar.start_ns - T) // MINUTE: bar.incomplete
        for bar in on.all(BarClosed)
        if bar.interval_ns == interval_ns
    }


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("minutes", [0.1, 1, 3])
def test_f04_bars_a_gap_touches_are_incomplete_until_it_is_closed(minutes: float, closed: bool) -> None:
    on = desk()
    on.send(trade(0), trade(1), trade(1.5))
    down = T + int(1.6 * MINUTE)
    on.advance(down)
    on.send(FeedDown(down, "f", "reset"))
    up = down + int(minutes * MINUTE)
    on.advance(up)
    on.send(FeedUp(up, "f", 1))
    whole = marks(on)
    assert not whole[0]
    assert all(whole[minute] for minute in whole if minute >= 1), "doubtful while nobody can know"
    on.send(FeedGap(up, "f", 1, down, up, closed))
    on.advance(T + 8 * MINUTE)
    after = marks(on)
    assert not after[0]
    last = (up - T) // MINUTE
    for minute in range(1, 7):
        assert after[minute] == (minute <= last and not closed), minute


def test_a_gap_in_the_open_bar_alone_is_settled_before_it_closes() -> None:
    for closed in (True, False):
        on = desk()
        on.send(trade(0), trade(0.3), FeedDown(T + 1, "f", "x"), FeedUp(T + 2, "f", 1))
        on.send(FeedGap(T + 3, "f", 1, T + 1, T + 2, closed))
        on.advance(T + 2 * MINUTE)
        assert marks(on) == {0: not closed}


def test_a_longer_bar_is_incomplete_when_one_of_its_parts_is() -> None:
    on = desk()
    on.send(trade(0), trade(2.5), FeedGap(T, "f", 1, T + 2 * MINUTE, T + 2 * MINUTE + 1, False))
    on.advance(T + 11 * MINUTE)
    assert marks(on, 5 * MINUTE) == {0: True, 5: False}


def test_a_settled_bar_comes_again_one_revision_higher() -> None:
    on = desk()
    on.send(trade(0), FeedDown(T + 1, "f", "x"))
    on.advance(T + MINUTE + GRACE)
    (bar,) = on.all(BarClosed)
    assert (bar.revision, bar.incomplete) == (0, True)
    on.send(FeedUp(T + 2 * MINUTE, "f", 1))
    (again,) = on.send(FeedGap(T + 2 * MINUTE, "f", 1, T + 1, T + MINUTE, True))
    assert (again.start_ns, again.revision, again.incomplete, again.closed_by) == (T, 1, False, "gap")


def test_what_no_gap_touches_stays_as_it_is() -> None:
    on = desk()
    on.send(trade(0), trade(1), trade(2))
    before = len(on.log)
    assert on.send(FeedGap(T, "f", 2, T, T + MINUTE, False)) == [], "another instrument"
    assert on.send(FeedGap(T, "f", 1, T - MINUTE, T - 1, False)) == [], "before the first bar"
    assert len(on.log) == before


def test_x17_no_price_is_invented_for_a_gap() -> None:
    """Windows without prints stay at the close before, with volume 0, and say that they are incomplete."""
    on = desk()
    on.send(trade(0, 100), FeedDown(T + 1, "f", "x"))
    on.advance(T + 4 * MINUTE)
    on.send(FeedUp(T + 4 * MINUTE, "f", 1), trade(4.2, 500))
    silent = [
        bar for bar in on.all(BarClosed) if bar.interval_ns == MINUTE and T < bar.start_ns < T + 4 * MINUTE
    ]
    assert {(bar.open, bar.close, bar.volume) for bar in silent} == {(100, 100, 0)}
    assert all(bar.incomplete for bar in silent)


def test_a_session_that_takes_over_open_bars_doubts_them() -> None:
    on = desk()
    on.send(trade(0), trade(1.2))
    on.send(SessionStarted(T + 2 * MINUTE, "b" * 16, "paper", "", "", "", (), ""))
    on.advance(T + 3 * MINUTE)
    assert marks(on) == {0: False, 1: True}


def test_a_session_that_finds_no_bars_doubts_nothing() -> None:
    on = Harness(Aggregator(BarsConfig(("1m",), 1000)))
    on.send(SessionStarted(T, "b" * 16, "paper", "", "", "", (), ""), trade(0), trade(1))
    on.advance(T + 3 * MINUTE)
    assert marks(on) == {0: False, 1: False}


@pytest.mark.parametrize("closed", [True, False])
def test_f04_a_gap_that_reaches_into_a_window_not_begun_yet_makes_its_bar_incomplete(closed: bool) -> None:
    """The gap is told while the bar before it still waits for a late print."""
    on = desk()
    on.send(trade(0), trade(0.9), FeedDown(T + int(0.95 * MINUTE), "f", "x"))
    back = T + MINUTE + GRACE // 2
    on.send(FeedUp(back, "f", 1), FeedGap(back, "f", 1, T + int(0.9 * MINUTE), back - 1, closed))
    on.send(trade(1.01), trade(2.5))
    on.advance(T + 5 * MINUTE)
    after = marks(on)
    assert (after[0], after[1], after[2]) == (not closed, not closed, False)
