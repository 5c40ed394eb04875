"""How long orders may be on their way, and when a lost exit is proved absent (O11, decision 0062)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.config import VenueConfig
from engine.events import (
    ClockChecked,
    ModifyApproved,
    OrderAccepted,
    OrderRejected,
    OrderUnknown,
    QueryOrder,
    SubmitOrder,
)
from engine.events.terms import CLOSE
from tests.actors.harness import Harness, T
from tests.actors.test_real_orders import MS, VENUE, S, approved, new_harness, read, state, submitted

EXITS = msgspec.structs.replace(VENUE, exit_expires_ms=2000)


def sent(harness: Harness, at_ns: int = T, **terms: Any) -> SubmitOrder:
    """Approve an exit; return its command."""
    given = {"role": CLOSE, "reduce_only": True, **terms}
    return next(one for one in harness.send(approved(at_ns=at_ns, **given)) if isinstance(one, SubmitOrder))


def lost(harness: Harness, **terms: Any) -> str:
    """Send an exit whose answer is lost; return its id."""
    name = sent(harness, **terms).client_order_id
    harness.send(OrderUnknown(T, name, "reset"))
    return name


@pytest.mark.parametrize("skew_ms", [0, 300])
def test_an_opening_expires_when_the_price_that_it_was_approved_on_is_too_old(skew_ms: int) -> None:
    """Neither the gateway sends it after that nor the venue takes it, however long the engine stood still."""
    harness = new_harness()
    harness.send(ClockChecked(T, "v", skew_ms * MS))
    soon = msgspec.structs.replace(approved(), fresh_ns=T + 3 * S)
    assert harness.send(soon)[0].expires_ns == T + 3 * S + skew_ms * MS
    later = msgspec.structs.replace(soon, fresh_ns=T + 60 * S)
    assert harness.send(later)[0].expires_ns == T + 10 * S + skew_ms * MS
    name = harness.send(approved())[0].client_order_id
    assert harness.all(SubmitOrder)[-1].expires_ns == T + 10 * S + skew_ms * MS
    harness.send(OrderAccepted(T, T, name, 3))
    change = harness.send(ModifyApproved(T, 9, "s", name, 1, 6, 1010, T + 2 * S))[0]
    assert change.expires_ns == T + 2 * S + skew_ms * MS


@pytest.mark.parametrize("skew_ms", [0, -700])
def test_an_exit_expires_sooner_than_an_opening_by_the_venues_clock(skew_ms: int) -> None:
    harness = new_harness(EXITS)
    harness.send(ClockChecked(T, "v", skew_ms * MS))
    assert sent(harness).expires_ns == T + (2000 + skew_ms) * MS
    assert harness.send(approved())[0].expires_ns == T + (10_000 + skew_ms) * MS


def test_a_child_that_goes_with_its_parent_expires_with_it() -> None:
    harness = new_harness(EXITS)
    parent = submitted(harness)
    assert sent(harness, parent=parent, trigger="sl", trigger_price=900).expires_ns == T + 10 * S


def test_an_exit_never_expires_later_than_other_orders() -> None:
    harness = new_harness(msgspec.structs.replace(EXITS, expires_ms=1000))
    assert sent(harness).expires_ns == T + 1 * S


def assert_absent_after(harness: Harness, name: str, at_ns: int) -> None:
    """Assert that the venue's "absent" is no proof yet at a time, and one right after it."""
    harness.send(read(name, "absent", at_ns))
    assert state(harness, name) == "Unknown"
    harness.send(read(name, "absent", at_ns + 1))
    assert state(harness, name) == "Rejected"


@pytest.mark.parametrize("venue", [VENUE, msgspec.structs.replace(VENUE, exit_expires_ms=0)])
def test_days_before_this_rule_and_sessions_without_it_have_one_expiry(venue: VenueConfig) -> None:
    harness = new_harness(venue)
    name = lost(harness)
    assert harness.log[-1] == QueryOrder(T, name, 1, 1)
    harness.send(read(name, "absent", T + 14 * S))
    assert [one.due_ns for one in harness.timers if one.key == name] == [T + 16 * S], "by the pace alone"
    assert_absent_after(harness, name, T + 15 * S)


def test_o11_a_lost_exit_is_proved_absent_three_seconds_after_it_was_sent() -> None:
    harness = new_harness(EXITS)
    name = lost(harness)
    assert_absent_after(harness, name, T + 3 * S)


def test_an_exit_that_could_turn_the_account_keeps_the_margin_of_an_opening() -> None:
    """Without the venue's reduce-only a second one would open there, should the first be shown late."""
    harness = new_harness(EXITS)
    name = lost(harness, reduce_only=False)
    assert_absent_after(harness, name, T + 7 * S)


def test_the_query_comes_when_absence_is_proof_and_not_only_by_the_pace() -> None:
    harness = new_harness(EXITS)
    name = lost(harness)
    harness.send(read(name, "absent", T + 20 * MS))
    asked = [one.at_ns for one in harness.advance(T + 4 * S) if isinstance(one, QueryOrder)]
    assert asked == [T + 2020 * MS, T + 3010 * MS]


def test_the_clock_of_the_answer_decides_when_it_is_asked_again() -> None:
    harness = new_harness(EXITS)
    name = lost(harness)
    harness.send(msgspec.structs.replace(read(name, "absent", T + 3 * S), venue_ns=T + 2900 * MS))
    asked = [one.at_ns for one in harness.advance(T + 4 * S) if isinstance(one, QueryOrder)]
    assert asked == [T + 3110 * MS]


def test_an_exit_without_any_answer_is_queried_when_absence_is_proof() -> None:
    harness = new_harness(EXITS)
    sent(harness)
    asked = [one.at_ns for one in harness.advance(T + 4 * S) if isinstance(one, QueryOrder)]
    assert asked == [T + 3010 * MS]


def test_each_exit_in_a_row_that_does_not_arrive_gives_the_next_one_twice_the_time() -> None:
    """A way that takes longer than the expiry, or a clock that is off, must not keep every exit out."""
    harness = new_harness(EXITS)
    spans = []
    for _ in range(5):
        order = sent(harness)
        spans.append((order.expires_ns - T) // S)
        harness.send(OrderRejected(T, T, order.client_order_id, "expired before it arrived"))
    assert spans == [2, 4, 8, 10, 10]
    arrived = sent(harness)
    harness.send(OrderAccepted(T, T, arrived.client_order_id, 5))
    assert (sent(harness).expires_ns - T) // S == 2


def test_openings_that_are_refused_do_not_change_the_time_of_exits() -> None:
    harness = new_harness(EXITS)
    harness.send(OrderRejected(T, T, submitted(harness), "margin"))
    assert (sent(harness).expires_ns - T) // S == 2


def test_a_change_of_an_exit_expires_as_soon_as_an_exit() -> None:
    harness = new_harness(EXITS)
    name = sent(harness).client_order_id
    harness.send(OrderAccepted(T, T, name, 5))
    changed = harness.send(ModifyApproved(T, 9, "s", name, 1, 5, 1200))[0]
    assert (changed.expires_ns, changed.proof_ns) == (T + 2 * S, T + 3 * S)
