"""Orders at a venue that loses, delays, duplicates and reorders messages (O01 to O13, I5, I10).

A model venue keeps the true state of orders. No order is ever placed twice, and after messages get through
again the engine's state of every order equals the venue's.
"""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import Execution
from engine.clock import SECOND_NS
from engine.config import AccountConfig, VenueConfig
from engine.events import (
    AccountRead,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    ClockChecked,
    Event,
    FillBooked,
    MarketHalted,
    ModifyApproved,
    ModifyOrder,
    ModifyRejected,
    OperatorCommand,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderChanged,
    OrderModified,
    OrderRead,
    OrderRejected,
    OrderTerms,
    OrderUnknown,
    QueryOrder,
    ScheduleAnswered,
    ScheduleCancel,
    SessionStarted,
    SetLeverage,
    SubmitOrder,
)
from engine.events.terms import CLOSE, OPEN
from engine.values import BUY, SELL
from tests.actors.harness import Harness, T
from tests.profiles import examples

VENUE = VenueConfig(network="sandbox", account="0x" + "11" * 20, expires_ms=10_000)
S = SECOND_NS
MS = 1_000_000
SESSION = "00000000000000aa"


def approved(size: int = 10, at_ns: int = T, instrument: int = 1, **more: Any) -> OrderApproved:
    return OrderApproved(at_ns, 1, "s", instrument, OrderTerms(BUY, size, 1000, **{"role": OPEN, **more}))


def new_harness(venue: VenueConfig = VENUE, account: AccountConfig | None = None) -> Harness:
    harness = Harness(Execution(venue, account))
    harness.send(SessionStarted(T, SESSION, "live", "", "", "", (), ""))
    return harness


def submitted(harness: Harness) -> str:
    order: SubmitOrder = harness.send(approved())[0]
    return order.client_order_id


def read(name: str, state: str, at_ns: int = T, **more: Any) -> OrderRead:
    return OrderRead(at_ns, at_ns, name, 1, state, **more)


def filled(name: str, size: int, trade_id: int) -> FillBooked:
    """Return a fill as the books report it: once."""
    return FillBooked(T, "s", 1, BUY, 1000, size, 0, 0, name, trade_id, "taker", OPEN, "own")


def state(harness: Harness, name: str) -> str:
    return next(one.state for one in reversed(harness.all(OrderChanged)) if one.client_order_id == name)


class Venue:
    """The true state of orders, and a queue of messages for the engine. `chance` drops or delays commands."""

    def __init__(self, chance: Random, trouble: int) -> None:
        self.chance = chance
        self.trouble = trouble
        self.now_ns = T
        self.placed: dict[str, int] = {}
        self.open: dict[str, int] = {}
        self.filled: dict[str, int] = {}
        self.end: dict[str, str] = {}
        self.late: list[tuple[int, SubmitOrder]] = []
        self.box: list[Event] = []
        self.trades = 0

    def bad(self) -> bool:
        return self.chance.randrange(100) < self.trouble

    def take(self, command: Event) -> None:
        """Apply a command, or lose it, or lose its response."""
        now = self.now_ns
        if isinstance(command, SubmitOrder):
            name = command.client_order_id
            fate = self.chance.randrange(4) if self.bad() else 0
            if fate == 1:  # the command is lost, and so is the response
                self.box.append(OrderUnknown(now, name, "no response"))
            elif fate == 2:  # the command is delayed
                self.late.append((now + self.chance.randrange(20) * S, command))
                self.box.append(OrderUnknown(now, name, "no response"))
            else:
                self.place(command)
                lost = OrderUnknown(now, name, "no response")
                self.box.append(lost if fate == 3 else OrderAccepted(now, now, name, self.placed[name]))
        elif isinstance(command, CancelOrder):
            name = command.client_order_id
            fate = self.chance.randrange(3) if self.bad() else 0
            if fate != 1 and name in self.open:
                left = self.open.pop(name)
                self.end[name] = "Canceled"
                if fate == 0:
                    self.box.append(OrderCanceled(now, now, name, 1, left, "canceled"))
            elif fate == 0:
                self.box.append(CancelRejected(now, now, name, "never placed, canceled or filled"))
            if fate:
                self.box.append(OrderUnknown(now, name, "no response"))
        elif isinstance(command, QueryOrder) and not self.bad():
            self.answer(command)

    def place(self, command: SubmitOrder) -> None:
        name = command.client_order_id
        if self.now_ns > command.expires_ns:
            return
        assert name not in self.placed, "placed twice"
        self.placed[name] = 7000 + len(self.placed)
        self.open[name] = command.terms.size
        self.filled[name] = 0

    def trade(self) -> None:
        """Fill part of an open order."""
        if self.open:
            name = sorted(self.open)[self.chance.randrange(len(self.open))]
            size = self.chance.randint(1, self.open[name])
            self.trades += 1
            self.open[name] -= size
            self.filled[name] += size
            self.fills(name, size)
            if not self.open[name]:
                del self.open[name]
                self.end[name] = "Filled"

    def fills(self, name: str, size: int) -> None:
        self.box.append(filled(name, size, self.trades))

    def answer(self, query: QueryOrder) -> None:
        """Report all fills up to now, then the state, as the gateway does."""
        name, now = query.client_order_id, self.now_ns
        emitted = [one for one in self.box if isinstance(one, FillBooked) and one.client_order_id == name]
        self.box = [one for one in self.box if one not in emitted] + emitted
        if name not in self.placed:
            self.box.append(read(name, "absent", now))
        elif name in self.open:
            self.box.append(read(name, "open", now, venue_order_id=self.placed[name]))
        else:
            self.box.append(read(name, self.end[name].lower(), now, venue_order_id=self.placed[name]))

    def advance(self, seconds: int) -> None:
        self.now_ns += seconds * S
        due = [one for one in self.late if one[0] <= self.now_ns]
        self.late = [one for one in self.late if one[0] > self.now_ns]
        for _, command in due:
            self.place(command)

    def some(self) -> list[Event]:
        """Return some of the queued messages, not always in order; reads and their fills keep their order."""
        if self.bad() and not any(isinstance(one, OrderRead) for one in self.box):
            self.chance.shuffle(self.box)
        count = self.chance.randint(0, len(self.box))
        taken, self.box = self.box[:count], self.box[count:]
        return taken


@examples(1.5)
@given(
    seed=st.integers(0, 2**32),
    trouble=st.sampled_from([10, 50, 90]),
    exit_ms=st.sampled_from([msgspec.UNSET, 2000]),
)
def test_o01_to_o13_no_order_is_placed_twice_and_every_state_is_resolved(
    seed: int, trouble: int, exit_ms: int | msgspec.UnsetType
) -> None:
    chance = Random(seed)
    harness = new_harness(msgspec.structs.replace(VENUE, exit_expires_ms=exit_ms))
    venue = Venue(chance, trouble)
    names: list[str] = []

    def send(*events: Event) -> None:
        for one in harness.send(*events):
            if isinstance(one, SubmitOrder):
                names.append(one.client_order_id)
            venue.take(one)

    for _ in range(40):
        what = chance.randrange(6)
        if what == 0:
            closes = chance.random() < 0.5
            role = {"role": CLOSE, "reduce_only": True} if closes else {}
            send(approved(chance.randint(1, 9), venue.now_ns, **role))
        elif what == 1 and names:
            send(CancelRequested(venue.now_ns, "s", names[chance.randrange(len(names))]))
        elif what == 2:
            venue.trade()
        elif what == 3:
            seconds = chance.randint(1, 8)
            venue.advance(seconds)
            for one in harness.advance(venue.now_ns):
                venue.take(one)
        else:
            send(*venue.some())
    venue.trouble = 0
    for _ in range(80):
        venue.advance(5)
        for one in harness.advance(venue.now_ns):
            venue.take(one)
        box, venue.box = venue.box, []
        send(*box)
    for name in names:
        emitted = next(one for one in reversed(harness.all(OrderChanged)) if one.client_order_id == name)
        if name not in venue.placed:
            assert (emitted.state, emitted.filled) == ("Rejected", 0), "absent"
        else:
            assert emitted.filled == venue.filled[name]
            if name in venue.open:
                assert emitted.state in ("New", "PartiallyFilled")
                assert emitted.remaining == venue.open[name]
            else:
                assert emitted.state == venue.end[name]


def test_o01_an_order_without_a_response_is_queried_at_once_and_never_sent_again() -> None:
    harness = new_harness()
    name = submitted(harness)
    emitted, query = harness.send(OrderUnknown(T, name, "no reply within 5 s"))
    assert (emitted.state, query) == ("Unknown", QueryOrder(T, name, 1, 1))
    later = harness.advance(T + 3600 * S)
    assert {type(one) for one in later} == {QueryOrder}, "queried until it is resolved"
    assert len(later) > 100
    assert state(harness, name) == "Unknown"


def test_o01_a_command_without_any_response_is_queried() -> None:
    harness = new_harness()
    name = submitted(harness)
    emitted, query = harness.advance(T + 5 * S)
    assert (emitted.state, query.attempt) == ("Unknown", 1)
    harness.send(OrderAccepted(T, T, name, 3))
    assert harness.advance(T + 60 * S) == []
    assert state(harness, name) == "New"


def test_o02_an_acceptance_on_the_stream_replaces_a_lost_response() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderAccepted(T, T, name, 3))
    assert harness.send(OrderUnknown(T, name, "no reply")) == []
    assert state(harness, name) == "New"


def test_o09_absent_right_after_submission_is_not_proof() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderUnknown(T, name, "no reply"), read(name, "absent", T + 1 * S))
    assert state(harness, name) == "Unknown"
    harness.send(read(name, "open", T + 2 * S, venue_order_id=4))
    assert state(harness, name) == "New"


def test_o11_absent_is_proof_only_after_expiry_and_slack_by_the_venues_clock() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderUnknown(T, name, "no reply"), read(name, "absent", T + 15 * S))
    assert state(harness, name) == "Unknown"
    harness.send(read(name, "absent", T + 15 * S + 1))
    assert state(harness, name) == "Rejected"


def test_o11_an_order_the_venue_accepted_is_never_absent() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderAccepted(T, T, name, 3), CancelRequested(T, "s", name), OrderUnknown(T, name, "x"))
    harness.send(read(name, "absent", T + 3600 * S))
    assert state(harness, name) == "Unknown"


def test_o06_a_fill_after_the_cancel_still_counts_for_its_order() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderCanceled(T, T, name, 1, 6, "canceled"))
    (emitted,) = harness.send(filled(name, 4, 1))
    assert (emitted.state, emitted.filled, emitted.strategy) == ("Canceled", 4, "s")


def test_o07_a_lost_cancel_is_repeated_only_if_the_order_is_open() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderAccepted(T, T, name, 3), CancelRequested(T, "s", name), OrderUnknown(T, name, "x"))
    assert not any(isinstance(one, CancelOrder) for one in harness.advance(T + 60 * S))
    answer = harness.send(read(name, "open", T + 61 * S, venue_order_id=3))
    assert [type(one) for one in answer] == [OrderChanged, CancelOrder]
    assert state(harness, name) == "PendingCancel"


def test_o06_a_cancel_refused_after_a_fill_waits_for_the_fills() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderAccepted(T, T, name, 3), CancelRequested(T, "s", name))
    (query,) = harness.send(CancelRejected(T, T, name, "already filled"))
    assert isinstance(query, QueryOrder)
    harness.send(read(name, "filled", T, venue_order_id=3))
    assert state(harness, name) == "PendingCancel"
    harness.send(filled(name, 10, 1))
    assert state(harness, name) == "Filled"


def test_o06_a_filled_order_that_reduce_only_cut_ends_with_what_it_filled() -> None:
    """An exit of 10 that had 4 to close: nothing more comes, so it must not be waited for without end."""
    harness = new_harness()
    terms = OrderTerms(SELL, 10, role="close", reduce_only=True)
    order: SubmitOrder = harness.send(OrderApproved(T, 1, "s", 1, terms))[0]
    name = order.client_order_id
    harness.send(OrderAccepted(T, T, name, 3), filled(name, 4, 1), OrderUnknown(T, name, "no response"))
    harness.send(CancelRequested(T, "s", name), CancelRejected(T, T, name, "filled"))
    harness.send(read(name, "filled", T, venue_order_id=3), read(name, "filled", T + 1, venue_order_id=3))
    assert state(harness, name) == "PendingCancel", "a fill of that moment may follow"
    harness.send(read(name, "filled", T + VENUE.answer_ms * MS, venue_order_id=3))
    last = harness.all(OrderChanged)[-1]
    assert (last.state, last.filled) == ("Canceled", 4)


def test_o08_a_modified_order_counts_the_fills_of_both_legs() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderAccepted(T, T, name, 3))
    command, emitted = harness.send(ModifyApproved(T, 9, "s", name, 1, 6, 1010))
    assert isinstance(command, ModifyOrder)
    assert (command.size, command.limit_price, emitted.state) == (6, 1010, "PendingReplace")
    harness.send(filled(name, 2, 1), OrderModified(T, T, name, 1, 4, 6, 1010), filled(name, 3, 2))
    last = harness.all(OrderChanged)[-1]
    assert (last.state, last.filled, last.remaining) == ("PartiallyFilled", 5, 3)


def test_a_refused_modify_is_queried() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderAccepted(T, T, name, 3), ModifyApproved(T, 9, "s", name, 1, 6, 1010))
    emitted, query = harness.send(ModifyRejected(T, T, name, "too late"))
    assert (emitted.state, query.attempt) == ("New", 1)
    harness.send(read(name, "open", T, venue_order_id=3, size=10, limit_price=1000))
    assert state(harness, name) == "New"


@pytest.mark.parametrize("filled_first", [0, 2])
def test_o08_a_cut_whose_answer_is_lost_is_known_from_the_open_size(filled_first: int) -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderAccepted(T, T, name, 3), ModifyApproved(T, 9, "s", name, 1, 6, 1000))
    harness.send(OrderUnknown(T, name, "no reply"))
    if filled_first:
        harness.send(filled(name, filled_first, 1))
    harness.send(read(name, "open", T + S, venue_order_id=4, size=6 - filled_first, limit_price=1000))
    last = harness.all(OrderChanged)[-1]
    assert (last.filled, last.remaining) == (filled_first, 6 - filled_first)
    assert last.state == ("PartiallyFilled" if filled_first else "New")


def test_o28_orders_an_earlier_session_left_open_are_queried_first() -> None:
    harness = new_harness()
    name = submitted(harness)
    emitted, query = harness.send(SessionStarted(T + S, "b" * 16, "live", "", "", "", (), ""))
    assert (emitted.state, query.client_order_id) == ("Unknown", name)
    harness.send(read(name, "absent", T + 16 * S))
    assert state(harness, name) == "Rejected", "ended, not submitted late"


def test_o18_only_the_orders_of_a_halted_instrument_are_canceled() -> None:
    harness = new_harness()
    submitted(harness)
    other = harness.send(approved(5, instrument=2))[0].client_order_id
    answer = harness.send(MarketHalted(T, 2, "x"))
    assert [one.client_order_id for one in answer if isinstance(one, CancelOrder)] == [other]


@pytest.mark.parametrize("accepted", [True, False])
def test_o30_the_dead_mans_switch_is_renewed_until_the_venue_refuses_it(accepted: bool) -> None:
    harness = new_harness(VenueConfig(dead_man_s=30), AccountConfig(leverage={"AAA": 5}))
    account = AccountRead(T, T, "g", 6, 0, 0, 0, 0)
    leverage, first = harness.send(account)
    assert leverage == SetLeverage(T, 1, 5, True)
    assert first == ScheduleCancel(T, T + 30 * S)
    assert harness.send(account) == [], "once a session"
    harness.send(ScheduleAnswered(T, T + 30 * S, accepted))
    renewed = harness.advance(T + 60 * S)
    assert len(renewed) == (6 if accepted else 0)
    stopped = harness.send(OperatorCommand(T + 61 * S, "stop"))
    assert stopped == ([ScheduleCancel(T + 61 * S, 0)] if accepted else [])


def stop_terms(**more: Any) -> dict[str, Any]:
    return {"role": CLOSE, "purpose": "stop", "trigger": "sl", "trigger_price": 900, **more}


def with_dead_man() -> Harness:
    """Return a harness whose dead man's switch is set."""
    harness = new_harness(VenueConfig(dead_man_s=30))
    harness.send(AccountRead(T, T, "g", 6, 0, 0, 0, 0))
    assert harness.all(ScheduleCancel) == [ScheduleCancel(T, T + 30 * S)]
    return harness


def test_the_dead_mans_switch_is_off_while_a_stop_at_the_venue_protects_a_position() -> None:
    harness = with_dead_man()
    answer = harness.send(approved(**stop_terms()))
    stop = answer[0].client_order_id
    assert [one for one in answer if isinstance(one, ScheduleCancel)] == [ScheduleCancel(T, 0)]
    assert not [one for one in harness.advance(T + 60 * S) if isinstance(one, ScheduleCancel)]
    harness.send(filled(stop, 10, 1))
    assert [one for one in harness.advance(T + 70 * S) if isinstance(one, ScheduleCancel)] == [
        ScheduleCancel(T + 70 * S, T + 100 * S)
    ]


def test_an_attached_stop_turns_the_switch_off_once_its_parent_is_done() -> None:
    harness = with_dead_man()
    parent = harness.send(approved())[0].client_order_id
    child = harness.send(approved(**stop_terms(parent=parent)))
    assert not [one for one in child if isinstance(one, ScheduleCancel)], "an entry is to be canceled by it"
    assert harness.send(filled(parent, 10, 1))[-1] == ScheduleCancel(T, 0)


def test_the_switch_is_withdrawn_once_at_a_stop() -> None:
    harness = with_dead_man()
    harness.send(approved(**stop_terms()))
    assert harness.send(OperatorCommand(T + S, "stop")) == [], "it was off already"


def test_orders_and_the_switch_expire_by_the_venues_clock() -> None:
    harness = new_harness(VenueConfig(dead_man_s=30, expires_ms=10_000))
    harness.send(ClockChecked(T, "g", -20 * S), AccountRead(T, T, "g", 6, 0, 0, 0, 0))
    assert harness.all(ScheduleCancel) == [ScheduleCancel(T, T + 10 * S)]
    order = harness.send(approved(role=CLOSE))[0]
    assert order.expires_ns == T - 10 * S
    harness.send(OrderAccepted(T, T, order.client_order_id, 3))
    change = harness.send(ModifyApproved(T, 9, "s", order.client_order_id, 1, 6, 1010))[0]
    assert change.expires_ns == T - 10 * S


def test_an_order_rejected_by_the_venue_ends_and_is_not_queried() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderRejected(T, T, name, "tick size"))
    assert harness.advance(T + 60 * S) == []


def test_o10_while_every_query_fails_the_order_stays_unknown_and_is_queried() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderUnknown(T, name, "no reply"))
    for second in range(1, 600):
        harness.advance(T + second * S)
        harness.send(OrderUnknown(T + second * S, name, "the query failed"))
    assert state(harness, name) == "Unknown"
    assert not any(isinstance(one, SubmitOrder) for one in harness.log[2:]), "never sent again"
    queries = harness.all(QueryOrder)
    assert 20 <= len(queries) <= 60, "repeated, but with growing waits"


def test_o05_a_fill_is_never_inferred_so_the_real_one_counts_once() -> None:
    harness = new_harness()
    name = submitted(harness)
    harness.send(OrderUnknown(T, name, "no reply"), read(name, "filled", T, venue_order_id=3))
    assert state(harness, name) == "Unknown", "reported as filled, but its fills are missing"
    harness.send(filled(name, 10, 1), read(name, "filled", T, venue_order_id=3))
    last = harness.all(OrderChanged)[-1]
    assert (last.state, last.filled) == ("Filled", 10)
