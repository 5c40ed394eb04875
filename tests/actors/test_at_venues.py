"""Accounts at two venues: clock, reading, switch and lost exits of one say nothing of the other."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from engine.actors import Execution
from engine.actors.orders.conditions import UNREAD, Conditions, note
from engine.clock import SECOND_NS
from engine.config import AccountConfig, VenueConfig
from engine.events import (
    AccountRead,
    ClockChecked,
    ClockJumped,
    Event,
    GatewayDown,
    InstrumentListed,
    OperatorCommand,
    OrderApproved,
    OrderRejected,
    OrderTerms,
    ScheduleAnswered,
    ScheduleCancel,
    SessionStarted,
    SetLeverage,
    SubmitOrder,
)
from engine.events.rules import MarketRules
from engine.events.terms import CLOSE, OPEN
from engine.values import BUY, SELL
from tests.actors.harness import Harness, T

S = SECOND_NS
LISTED = {
    number: InstrumentListed(T, number, venue, "X", 2, 3, rules=MarketRules(on_margin=True, leverage=10))
    for number, venue in ((1, "a"), (2, "b"))
}


def harness(**venue: Any) -> Harness:
    config = VenueConfig(network="sandbox", account="0x", **venue)
    made = Harness(Execution(config, AccountConfig(leverage={"a:X": 5, "b:X": 3}), ("a", "b")), LISTED)
    made.send(SessionStarted(T, "00000000000000aa", "live", "", "", "", (), ""))
    return made


def read(venue: str, at_ns: int = T) -> AccountRead:
    return AccountRead(at_ns, at_ns, "g", 8, 0, 0, 0, 0, None, venue)


def sent(made: Harness, instrument: int, *, role: str = OPEN) -> SubmitOrder:
    terms = OrderTerms(BUY if role == OPEN else SELL, 10, 1000, role=role, reduce_only=role == CLOSE)
    return next(
        one for one in made.send(OrderApproved(T, 1, "s", instrument, terms)) if isinstance(one, SubmitOrder)
    )


def test_leverage_is_set_at_the_venue_that_was_read_and_each_reading_has_its_time() -> None:
    made = harness()
    assert [one.instrument for one in made.send(read("b", T + S)) if isinstance(one, SetLeverage)] == [2]
    assert [one.instrument for one in made.send(read("a", T + 2 * S)) if isinstance(one, SetLeverage)] == [1]
    assert not [one for one in made.send(read("a", T + 3 * S)) if isinstance(one, SetLeverage)]
    execution: Any = made.actor
    assert (execution.known_ns("a"), execution.known_ns("b")) == (T + 3 * S, T + S)


def test_the_clock_of_a_venue_moves_the_expiry_of_its_orders_only() -> None:
    made = harness(expires_ms=10_000)
    made.send(ClockChecked(T, "b", 2 * S))
    assert sent(made, 1).expires_ns == T + 10 * S
    assert sent(made, 2).expires_ns == T + 12 * S


def test_the_working_orders_of_a_venue_are_those_of_its_instruments() -> None:
    made = harness()
    one, other = sent(made, 1).client_order_id, sent(made, 2).client_order_id
    execution: Any = made.actor
    assert execution.working_at("a") == [one]
    assert execution.working_at("b") == [other]
    assert execution.working_at("") == execution.working == [one, other]


def test_exits_that_do_not_reach_one_venue_get_more_time_there_only() -> None:
    made = harness(exit_expires_ms=2_000)
    for _ in range(2):
        name = sent(made, 1, role=CLOSE).client_order_id
        made.send(OrderRejected(T, T, name, "expired"))
    assert sent(made, 1, role=CLOSE).expires_ns == T + 8 * S
    assert sent(made, 2, role=CLOSE).expires_ns == T + 2 * S


def test_each_venue_has_a_dead_mans_switch_of_its_own() -> None:
    made = harness(dead_man_s=30)
    (first,) = [one for one in made.send(read("a")) if isinstance(one, ScheduleCancel)]
    assert (first.venue, first.cancel_at_ns) == ("a", T + 30 * S)
    (second,) = [one for one in made.send(read("b")) if isinstance(one, ScheduleCancel)]
    assert second.venue == "b"
    made.send(ScheduleAnswered(T, first.cancel_at_ns, accepted=False, reason="no", venue="a"))
    stop = OrderTerms(SELL, 10, 0, role=CLOSE, trigger="sl", trigger_price=900, reduce_only=True)
    protecting = made.send(OrderApproved(T, 1, "s", 1, stop))
    assert not [one for one in protecting if isinstance(one, ScheduleCancel)], "it protects at the other one"
    stopped = made.send(OperatorCommand(T, "stop"))
    assert [(one.venue, one.cancel_at_ns) for one in stopped if isinstance(one, ScheduleCancel)] == [("b", 0)]


def conditions() -> Conditions:
    found = Conditions()
    found.begin_accounts(("a", "b"))
    return found


def tell(found: Conditions, *events: Event) -> None:
    for event in events:
        note(found, event, {}, LISTED)


def test_an_account_is_known_by_its_own_reading() -> None:
    found = conditions()
    tell(found, read("a"))
    assert (found.account("a").unreconciled, found.account("b").unreconciled) == ("", UNREAD)
    tell(found, read("b"), GatewayDown(T, "g", "cut", 0, "b"))
    assert found.account("a").unreconciled == ""
    assert "cut" in found.account("b").unreconciled
    tell(found, ClockChecked(T, "a", 3 * S))
    assert (found.account("a").skew_ns, found.account("b").skew_ns) == (3 * S, 0)
    tell(found, ClockJumped(T, T, T + 60 * S, "paused"))
    assert all(one.unreconciled for one in found.accounts.values())
    tell(found, read("b", T), replace(read("a"), venue_ns=T + 63 * S))
    assert [name for name, one in found.accounts.items() if one.unreconciled] == ["b"], "b's is older"
