"""Gaps: every bar is complete or marked; a closed gap clears the mark (F04, I8)."""

from __future__ import annotations

import msgspec
import pytest

from engine.actors import Aggregator
from engine.actors.doubts import HOLES_MAX
from engine.clock import SECOND_NS
from engine.config import BarsConfig
from engine.events import BarClosed, FeedDamaged, FeedDown, FeedGap, FeedUp, SessionStarted, Trade
from tests.actors.harness import LISTED, MINUTE, Harness, T

GRACE = 1_000_000_000


def trade(minute: float, price: int = 100) -> Trade:
    at = T + int(minute * MINUTE)
    return Trade(at, at, 1, price, 1, 1)


def new_harness() -> Harness:
    harness = Harness(Aggregator(BarsConfig(("1m", "5m"), 1000)))
    harness.send(FeedUp(T - 1, "f", 1))
    return harness


def marks(harness: Harness, interval_ns: int = MINUTE) -> dict[int, bool]:
    """Whether each bar, at its highest revision, is incomplete; by minute from T."""
    return {
        (bar.start_ns - T) // MINUTE: bar.incomplete
        for bar in harness.all(BarClosed)
        if bar.interval_ns == interval_ns
    }


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("minutes", [0.1, 1, 3])
def test_f04_bars_in_a_gap_are_incomplete_until_it_is_closed(minutes: float, closed: bool) -> None:
    harness = new_harness()
    harness.send(trade(0), trade(1), trade(1.5))
    down = T + int(1.6 * MINUTE)
    harness.advance(down)
    harness.send(FeedDown(down, "f", "reset"))
    up = down + int(minutes * MINUTE)
    harness.advance(up)
    harness.send(FeedUp(up, "f", 1))
    whole = marks(harness)
    assert not whole[0]
    assert all(whole[minute] for minute in whole if minute >= 1), "incomplete until the gap is settled"
    harness.send(FeedGap(up, "f", 1, T + int(1.5 * MINUTE), up, closed))
    harness.advance(T + 8 * MINUTE)
    after = marks(harness)
    assert not after[0]
    last = (up - T) // MINUTE
    for minute in range(1, 7):
        assert after[minute] == (minute <= last and not closed), minute


def test_a_gap_in_the_open_bar_alone_is_settled_before_it_closes() -> None:
    for closed in (True, False):
        harness = new_harness()
        harness.send(trade(0), trade(0.3), FeedDown(T + 1, "f", "x"), FeedUp(T + 2, "f", 1))
        harness.send(FeedGap(T + 3, "f", 1, T + 1, T + 2, closed))
        harness.advance(T + 2 * MINUTE)
        assert marks(harness) == {0: not closed}


def damage(minute: float, *, in_doubt: bool = True) -> FeedDamaged:
    return FeedDamaged(T + int(minute * MINUTE), "f", "trades", 1, "x", in_doubt=in_doubt)


@pytest.mark.parametrize("closed", [True, False])
def test_f15_after_damage_bars_of_that_instrument_are_in_doubt_until_a_gap_settles_it(closed: bool) -> None:
    """Trades go on meanwhile: bars that begin and close in doubt are not called complete."""
    harness = new_harness()
    harness.send(trade(0), trade(1))
    for event in (damage(1.2), trade(1.5), trade(2.5), trade(3.5)):
        harness.advance(event.recv_ns)
        harness.send(event)
    assert marks(harness) == {0: False, 1: True, 2: True}
    hole = T + MINUTE, T + int(1.5 * MINUTE)
    after = T + int(3.6 * MINUTE)
    harness.send(FeedGap(after, "f", 1, *hole, closed), FeedGap(after, "f", 1, hole[1], after, True))
    harness.advance(T + 6 * MINUTE)
    assert marks(harness) == {0: False, 1: not closed, 2: False, 3: False, 4: False}


def test_f15_a_window_that_a_late_trade_inserts_is_in_doubt_too() -> None:
    """The venue has no candles for windows without trades, so this one had no bar when the damage came."""
    listed = {1: msgspec.structs.replace(LISTED[1], silence="none")}
    harness = Harness(Aggregator(BarsConfig(("1m",), 1000)), listed)
    late = Trade(T + int(4.005 * MINUTE), T + int(3.999 * MINUTE), 1, 100, 1, 1)
    harness.send(FeedUp(T - 1, "f", 1), trade(0))
    for event in (trade(2), trade(4), damage(4.001), late):
        harness.advance(event.recv_ns)
        harness.send(event)
    harness.advance(T + 5 * MINUTE)
    assert marks(harness) == {0: False, 2: False, 3: True}


def test_f15_damage_elsewhere_does_not_matter() -> None:
    """Another instrument, another channel, or a new session."""
    harness = new_harness()
    other = FeedDamaged(T, "f", "trades", 2, "x", in_doubt=True)
    harness.send(trade(0), other, damage(0.1, in_doubt=False), trade(1.5))
    assert marks(harness) == {0: False}
    started = SessionStarted(T + int(1.7 * MINUTE), "b" * 16, "paper", "", "", "", (), "")
    harness.send(damage(1.6), started, FeedUp(T + int(1.8 * MINUTE), "f", 1))
    harness.advance(T + 4 * MINUTE)
    assert marks(harness) == {0: False, 1: True, 2: False}


def test_a_closed_gap_settles_only_what_it_covers() -> None:
    """One that begins later called the windows of an earlier hole complete, whose trades nobody had read."""
    harness = new_harness()
    harness.send(trade(0), trade(1.1))
    for event in (damage(1.2), trade(3.5), trade(4.5)):
        harness.advance(event.recv_ns)
        harness.send(event)

    ticks = iter(range(T + 6 * MINUTE, T + 9 * MINUTE, 2 * SECOND_NS))

    def settled(begin: float, end: float) -> dict[int, bool]:
        now_ns = next(ticks)
        harness.advance(now_ns)
        harness.send(FeedGap(now_ns, "f", 1, T + int(begin * MINUTE), T + int(end * MINUTE), True))
        harness.advance(now_ns + SECOND_NS)
        return {minute: mark for minute, mark in marks(harness).items() if minute < 5}

    assert settled(3.5, 4.6) == {0: False, 1: True, 2: True, 3: True, 4: False}
    assert settled(1.1, 2.5) == {0: False, 1: False, 2: True, 3: True, 4: False}
    assert settled(2.5, 3.4) == {0: False, 1: False, 2: False, 3: True, 4: False}
    assert settled(3.3, 3.6) == dict.fromkeys(range(5), False)


def test_a_hole_of_an_earlier_session_outlives_the_gap_of_the_next_one() -> None:
    """The new session joins its trades to the newest ones of the journal, whatever is missing before."""
    harness = new_harness()
    harness.send(trade(0), trade(1.1), damage(1.2), trade(1.5))
    down, up = T + int(1.6 * MINUTE), T + int(1.7 * MINUTE)
    harness.send(SessionStarted(down, "b" * 16, "paper", "", "", "", (), ""), FeedUp(up, "f", 1))
    harness.send(FeedGap(up, "f", 1, T + int(1.5 * MINUTE), up, True))
    harness.advance(T + 4 * MINUTE)
    assert marks(harness) == {0: False, 1: True, 2: False}


@pytest.mark.parametrize("late", [3.99, 1.5])
def test_a_window_that_a_late_trade_inserts_into_a_hole_is_in_doubt(late: float) -> None:
    """It is waiting when the trade arrives, or closed."""
    listed = {1: msgspec.structs.replace(LISTED[1], silence="none")}
    harness = Harness(Aggregator(BarsConfig(("1m",), 1000)), listed)
    harness.send(FeedUp(T - 1, "f", 1), trade(0))
    at_ns = T + int(4.001 * MINUTE)
    harness.advance(at_ns)
    harness.send(damage(4.001), trade(4.002), FeedGap(at_ns, "f", 1, T + int(4.002 * MINUTE), at_ns, True))
    harness.log.clear()
    harness.send(Trade(at_ns, T + int(late * MINUTE), 1, 100, 1, 1))
    harness.advance(T + 6 * MINUTE)
    assert marks(harness)[int(late)]
    harness.send(FeedGap(T + 6 * MINUTE, "f", 1, T, at_ns, True))
    harness.advance(T + 7 * MINUTE)
    assert not marks(harness)[int(late)]


def test_of_many_holes_the_oldest_are_joined() -> None:
    harness = new_harness()
    for number in range(60):
        harness.send(trade(number), damage(number + 0.1), trade(number + 0.5))
        at_ns = T + number * MINUTE + MINUTE // 2
        harness.send(FeedGap(at_ns, "f", 1, at_ns, at_ns, True))
        harness.advance(T + (number + 1) * MINUTE)
    actor = harness.actor
    assert isinstance(actor, Aggregator)
    assert len(actor._markets[1].holes_ns) == HOLES_MAX
    assert actor._markets[1].holes_ns[0][0] == T
    harness.advance(T + 61 * MINUTE)
    assert set(marks(harness).values()) == {True}


def test_a_longer_bar_is_incomplete_when_one_of_its_parts_is() -> None:
    harness = new_harness()
    harness.send(trade(0), trade(2.5), FeedGap(T, "f", 1, T + 2 * MINUTE, T + 2 * MINUTE + 1, False))
    harness.advance(T + 11 * MINUTE)
    assert marks(harness, 5 * MINUTE) == {0: True, 5: False}


def test_a_settled_bar_is_emitted_with_the_next_revision() -> None:
    harness = new_harness()
    harness.send(trade(0), FeedDown(T + 1, "f", "x"))
    harness.advance(T + MINUTE + GRACE)
    (bar,) = harness.all(BarClosed)
    assert (bar.revision, bar.incomplete) == (0, True)
    harness.send(FeedUp(T + 2 * MINUTE, "f", 1))
    assert harness.send(FeedGap(T + 2 * MINUTE, "f", 1, T, T + MINUTE, True)) == []
    (again,) = (one for one in harness.advance(T + 2 * MINUTE + SECOND_NS) if one.start_ns == T)
    assert (again.start_ns, again.revision, again.incomplete, again.closed_by) == (T, 1, False, "gap")


def test_bars_outside_a_gap_do_not_change() -> None:
    harness = new_harness()
    harness.send(trade(0), trade(1), trade(2))
    before = len(harness.log)
    assert harness.send(FeedGap(T, "f", 2, T, T + MINUTE, False)) == [], "another instrument"
    assert harness.send(FeedGap(T, "f", 1, T - MINUTE, T - 1, False)) == [], "before the first bar"
    assert len(harness.log) == before


def test_x17_no_price_is_invented_for_a_gap() -> None:
    """Windows without trades stay at the last close, with volume 0, and are incomplete."""
    harness = new_harness()
    harness.send(trade(0, 100), FeedDown(T + 1, "f", "x"))
    harness.advance(T + 4 * MINUTE)
    harness.send(FeedUp(T + 4 * MINUTE, "f", 1), trade(4.2, 500))
    empty = [
        bar
        for bar in harness.all(BarClosed)
        if bar.interval_ns == MINUTE and T < bar.start_ns < T + 4 * MINUTE
    ]
    assert {(bar.open, bar.close, bar.volume) for bar in empty} == {(100, 100, 0)}
    assert all(bar.incomplete for bar in empty)


def test_open_bars_of_an_earlier_session_are_incomplete() -> None:
    harness = new_harness()
    harness.send(trade(0), trade(1.2))
    harness.send(SessionStarted(T + 2 * MINUTE, "b" * 16, "paper", "", "", "", (), ""))
    harness.advance(T + 3 * MINUTE)
    assert marks(harness) == {0: False, 1: True}


def test_a_session_without_earlier_bars_has_complete_bars() -> None:
    harness = Harness(Aggregator(BarsConfig(("1m",), 1000)))
    harness.send(SessionStarted(T, "b" * 16, "paper", "", "", "", (), ""), trade(0), trade(1))
    harness.advance(T + 3 * MINUTE)
    assert marks(harness) == {0: False, 1: False}


@pytest.mark.parametrize("closed", [True, False])
def test_f04_a_gap_that_reaches_into_a_window_not_begun_yet_makes_its_bar_incomplete(closed: bool) -> None:
    """The gap is reported while the bar before it still waits for late trades."""
    harness = new_harness()
    harness.send(trade(0), trade(0.9), FeedDown(T + int(0.95 * MINUTE), "f", "x"))
    back = T + MINUTE + GRACE // 2
    harness.send(FeedUp(back, "f", 1), FeedGap(back, "f", 1, T + int(0.9 * MINUTE), back - 1, closed))
    harness.send(trade(1.01), trade(2.5))
    harness.advance(T + 5 * MINUTE)
    after = marks(harness)
    assert (after[0], after[1], after[2]) == (not closed, not closed, False)


def test_a_bar_that_closes_between_its_gap_and_the_return_of_the_last_stream_is_settled_by_the_next() -> None:
    """Trades and books come over two connections; that of the trades is back first, and its gap comes."""
    harness = new_harness()
    harness.send(trade(0), trade(1))
    for event in (
        FeedDown(T + int(1.5 * MINUTE), "f", "the books' connection"),
        FeedDown(T + int(1.6 * MINUTE), "f", "the trades' connection"),
        FeedGap(T + int(2.005 * MINUTE), "f", 1, T + MINUTE, T + int(2.005 * MINUTE), True),
    ):
        harness.advance(event.recv_ns)
        harness.send(event)
    harness.advance(T + int(2.1 * MINUTE))
    assert marks(harness) == {0: False, 1: True}, "a stream of the feed is down still"
    up = T + int(2.2 * MINUTE)
    harness.advance(up)
    harness.send(FeedUp(up, "f", 1), FeedGap(up, "f", 1, T + int(2.005 * MINUTE), up, True))
    harness.advance(T + 4 * MINUTE)
    assert marks(harness) == {0: False, 1: False, 2: False}
