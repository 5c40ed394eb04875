"""What the feed of one venue says, says nothing about the instruments of another."""

from __future__ import annotations

from engine.actors.orders.conditions import Conditions, fresh_until, not_fresh, note
from engine.actors.orders.state import Prices
from engine.clock import SECOND_NS
from engine.events import (
    ClockJumped,
    Event,
    FeedDown,
    FeedHeard,
    FeedLagging,
    FeedPolling,
    FeedUp,
    InstrumentListed,
)
from engine.instruments import Instruments, of_feed

T = 1_733_356_800 * SECOND_NS
LATER = T + 60 * SECOND_NS
ONE = InstrumentListed(T, 1, "one", "BTC", 1, 3)
TWO = InstrumentListed(T, 2, "two", "BTCUSD", 2, 5)
UP: list[Event] = [FeedUp(T, name, 4, heard_ms=1000, proves=True) for name in ("one", "two")]
MOST_MS = 5_000


def gate(*events: Event, listed: tuple[InstrumentListed, ...] = (ONE, TWO)) -> Conditions:
    """Return the conditions after these events. Prices of both markets are known."""
    conditions = Conditions()
    for event in (*UP, *events):
        note(conditions, event, {1: Prices(), 2: Prices()}, Instruments(listed))
    return conditions


def stale(conditions: Conditions, listed: InstrumentListed) -> str | None:
    return not_fresh(conditions, listed, Prices(last=1, seen_ns=LATER, venue_ns=T), LATER, MOST_MS)


def test_a_feed_is_about_the_instruments_of_its_venue_if_there_are_several() -> None:
    assert of_feed("one", Instruments((ONE, TWO))) == [1]
    assert of_feed("import", Instruments((ONE, TWO))) is None, "a feed of no venue is about all"
    assert of_feed("one", Instruments((ONE,))) is None
    assert of_feed("one", Instruments()) is None


def test_a_proof_of_one_venue_makes_no_price_of_another_fresh() -> None:
    proved = gate(FeedHeard(LATER, "one", LATER, LATER))
    assert stale(proved, ONE) is None
    assert "60000 ms old" in str(stale(proved, TWO))
    assert stale(gate(FeedHeard(LATER, "two", LATER, LATER)), TWO) is None
    assert (
        fresh_until(proved, "one", Prices(seen_ns=LATER, venue_ns=T), LATER, MOST_MS)
        == LATER + MOST_MS * 1_000_000
    )
    assert fresh_until(proved, "two", Prices(seen_ns=LATER, venue_ns=T), LATER, MOST_MS) < LATER


def test_the_loss_of_one_venue_refuses_its_own_instruments_only() -> None:
    heard = [FeedHeard(LATER, name, LATER, LATER) for name in ("one", "two")]
    for lost in (
        FeedDown(LATER, "two", "cut"),
        FeedPolling(LATER, "two", True, "cut"),
        FeedLagging(LATER, "two", 9_000),
    ):
        conditions = gate(*heard, lost)
        assert stale(conditions, ONE) is None, lost
        assert "two is" in str(stale(conditions, TWO)), lost
    assert set(gate(*heard, FeedDown(LATER, "two", "cut")).doubted) == {2}


def test_a_venue_that_was_never_up_refuses_its_own_instruments_only() -> None:
    conditions = Conditions()
    for event in (UP[0], FeedHeard(LATER, "one", LATER, LATER), FeedDown(LATER, "two", "refused")):
        note(conditions, event, {1: Prices()}, Instruments((ONE, TWO)))
    assert stale(conditions, ONE) is None
    assert "two is down" in str(stale(conditions, TWO))


def test_with_one_venue_any_feed_is_about_all_instruments() -> None:
    down = gate(FeedDown(LATER, "two", "cut"), listed=(ONE,))
    assert down.venues == {}
    assert "two is down" in str(stale(down, ONE))
    assert set(down.doubted) == {1, 2}


def test_after_a_jump_of_the_clock_each_venue_catches_up_for_itself() -> None:
    jumped = ClockJumped(T + 30 * SECOND_NS, T, T + 30 * SECOND_NS, "slept")
    conditions = gate(
        jumped, *(FeedHeard(LATER, name, LATER, at) for name, at in (("one", LATER), ("two", T)))
    )
    conditions.doubted.clear()  # as the next price of each does
    assert stale(conditions, ONE) is None
    assert "has not caught up" in str(stale(conditions, TWO))
