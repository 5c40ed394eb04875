"""Accounts at two venues: clock, reading, switch and lost exits of one say nothing of the other."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from engine.actors import Books, Execution, OrderManager
from engine.actors.orders.conditions import UNREAD, Conditions, note
from engine.clock import SECOND_NS
from engine.config import AccountConfig, Config, VenueConfig
from engine.events import (
    AccountAdjusted,
    AccountMarked,
    AccountRead,
    ClockChecked,
    ClockJumped,
    EquityMarked,
    Event,
    GatewayDown,
    InstrumentListed,
    OperatorCommand,
    OrderApproved,
    OrderFilled,
    OrderRejected,
    OrderTerms,
    PositionRead,
    QueryAccount,
    ScheduleAnswered,
    ScheduleCancel,
    SessionStarted,
    SetLeverage,
    SubmitOrder,
    TransferSeen,
)
from engine.events.rules import MarketRules
from engine.events.terms import CLOSE, OPEN
from engine.loading.strategies import make_builder
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


def books() -> Harness:
    config = Config(mode="live", account=AccountConfig(currency="USD"), accounts=("a", "b"))
    made = Harness(Books(config, real=True), LISTED)
    made.send(SessionStarted(T, "00000000000000aa", "live", "", "", "", (), config.canonical()))
    return made


def worth(made: Harness, venue: str, cents: int, at_ns: int = T) -> list[Event]:
    return made.send(replace(read(venue, at_ns), scale=2, equity=cents, unrealized=0))


def test_equity_begins_with_the_last_account_and_is_the_sum() -> None:
    made = books()
    (first,) = worth(made, "a", 10_000)
    assert isinstance(first, AccountMarked)
    assert (first.venue, int(first.equity)) == ("a", 100 * 10**first.scale)
    other, equity = worth(made, "b", 500)
    assert isinstance(other, AccountMarked)
    assert isinstance(equity, EquityMarked)
    assert (other.venue, int(equity.equity)) == ("b", 105 * 10**equity.scale)


def test_a_difference_and_a_transfer_are_of_the_account_at_which_they_are_seen() -> None:
    made = books()
    worth(made, "a", 10_000)
    worth(made, "b", 500)
    worth(made, "b", 700, T + S)
    (adjusted,) = made.all(AccountAdjusted)
    assert (adjusted.venue, int(adjusted.amount), adjusted.reason) == (
        "b",
        2 * 10**adjusted.scale,
        "unexplained",
    )
    for venue in ("a", "b"):  # the venues may give the same number
        made.send(TransferSeen(T + 2 * S, T + 2 * S, 2, 100, "", "deposit", "1", venue))
    assert [one.venue for one in made.all(AccountAdjusted)] == ["b", "a", "b"]
    assert int(made.all(EquityMarked)[-1].equity) == 109 * 10 ** made.all(EquityMarked)[-1].scale


def test_a_doubt_about_a_position_at_one_venue_does_not_keep_the_other_from_being_read() -> None:
    made = books()
    worth(made, "a", 10_000)
    worth(made, "b", 500)
    at_ns = T + S
    made.send(OrderFilled(at_ns, at_ns, "", 2, BUY, 1000, 5, 0, "taker", 1, 1))
    made.send(PositionRead(at_ns, at_ns, 2, 0, 2, 0))
    assert [one.venue for one in worth(made, "b", 500, at_ns) if isinstance(one, QueryAccount)] == ["b"]
    assert not [one for one in worth(made, "a", 10_000, at_ns) if isinstance(one, QueryAccount)]


def test_a_fill_after_the_time_of_a_reading_is_not_taken_for_a_difference() -> None:
    made = books()
    worth(made, "a", 10_000)
    worth(made, "b", 500)
    at_ns = T + 2 * S
    made.send(OrderFilled(at_ns, at_ns, "", 2, BUY, 1000, 5, 20_000, "taker", 1, 1))
    worth(made, "b", 500, T + S)
    assert made.all(AccountAdjusted) == [], "the fee came after it"


def test_what_waits_for_an_account_waits_for_that_of_its_venue_and_openings_for_the_sum() -> None:
    config = Config(mode="live", account=AccountConfig(currency="USD"), accounts=("a", "b"))
    made = Harness(OrderManager(config, real=True), LISTED)
    made.send(SessionStarted(T, "00000000000000aa", "live", "", "", "", (), config.canonical()))
    manager: Any = made.actor
    made.send(read("a"))
    assert (manager.known(1), manager.known(2), manager.reconciled) == (True, False, False)
    assert manager.gates._conditions("s", 1) == (
        "unreconciled",
        "the account of another venue has not been read yet",
    )
    made.send(read("b"))
    assert (manager.known(2), manager.reconciled) == (True, True)


def test_the_state_of_named_accounts_is_kept_apart_but_not_by_which_are_armed() -> None:
    def signature(*accounts: str) -> str:
        config = Config(mode="live", accounts=accounts) if accounts else Config(mode="live")
        started = SessionStarted(0, "0" * 16, "live", "", "", "", (), config.canonical())
        return next(one.signature for one in make_builder()(started) if one.name == "books")

    assert signature("a", "b") == signature("a") != signature()
