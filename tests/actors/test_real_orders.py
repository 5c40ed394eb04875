"""Orders at a venue that loses, delays, doubles and reorders what it says (O01 to O13, I5, I10).

A model venue keeps its own truth. Whatever is done to the messages, no order is placed twice, and once they
get through again the engine's view of every order is the venue's.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import Execution
from engine.clock import SECOND_NS
from engine.config import VenueConfig
from engine.events import (
    AccountRead,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    Event,
    MarketHalted,
    ModifyApproved,
    ModifyOrder,
    ModifyRejected,
    OperatorCommand,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderChanged,
    OrderFilled,
    OrderModified,
    OrderRead,
    OrderRejected,
    OrderUnknown,
    QueryOrder,
    ScheduleAnswered,
    ScheduleCancel,
    SessionStarted,
    SetLeverage,
    SubmitOrder,
)
from engine.values import BUY
from tests.actors.harness import Harness, T
from tests.profiles import examples

VENUE = VenueConfig(network="sandbox", account="0x" + "11" * 20, expires_ms=10_000)
S = SECOND_NS
SESSION = "00000000000000aa"


def approved(size: int = 10, at_ns: int = T, **more: Any) -> OrderApproved:
    return OrderApproved(at_ns, 1, "s", 1, BUY, size, 1000, "Gtc", False, **more)


def desk(venue: VenueConfig = VENUE) -> Harness:
    on = Harness(Execution(venue))
    on.send(SessionStarted(T, SESSION, "live", "", "", "", (), ""))
    return on


def submitted(on: Harness) -> str:
    order: SubmitOrder = on.send(approved())[0]
    return order.client_order_id


def read(name: str, state: str, at_ns: int = T, **more: Any) -> OrderRead:
    return OrderRead(at_ns, at_ns, name, 1, state, **more)


def filled(name: str, size: int, trade_id: int) -> OrderFilled:
    return OrderFilled(T, T, name, 1, BUY, 1000, size, 0, "taker", trade_id)


def state(on: Harness, name: str) -> str:
    return next(one.state for one in reversed(on.all(OrderChanged)) if one.client_order_id == name)


class Venue:
    """Keeps the truth, and a box of messages for the engine. `chance` decides what becomes of a command."""

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
        """A command arrives, or not; its answer is lost, or not."""
        now = self.now_ns
        if isinstance(command, SubmitOrder):
            name = command.client_order_id
            fate = self.chance.randrange(4) if self.bad() else 0
            if fate == 1:  # swallowed, and the answer with it
                self.box.append(OrderUnknown(now, name, "no answer"))
            elif fate == 2:  # held up on its way
                self.late.append((now + self.chance.randrange(20) * S, command))
                self.box.append(OrderUnknown(now, name, "no answer"))
            else:
                self.place(command)
                lost = OrderUnknown(now, name, "no answer")
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
                self.box.append(OrderUnknown(now, name, "no answer"))
        elif isinstance(command, QueryOrder) and not self.bad():
            self.answer(command)

    def place(self, command: SubmitOrder) -> None:
        name = command.client_order_id
        if self.now_ns > command.expires_ns:
            return
        assert name not in self.placed, "placed twice"
        self.placed[name] = 7000 + len(self.placed)
        self.open[name] = command.size
        self.filled[name] = 0

    def trade(self) -> None:
        """Something fills."""
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
        report = filled(name, size, self.trades)
        self.box += [report, report] if self.bad() else [report]

    def answer(self, query: QueryOrder) -> None:
        """All fills up to now first, as the gateway does; then the state."""
        name, now = query.client_order_id, self.now_ns
        told = [one for one in self.box if isinstance(one, OrderFilled) and one.client_order_id == name]
        self.box = [one for one in self.box if one not in told] + told
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
        """Some of what is in the box, not always in order; reads and their fills keep theirs."""
        if self.bad() and not any(isinstance(one, OrderRead) for one in self.box):
            self.chance.shuffle(self.box)
        count = self.chance.randint(0, len(self.box))
        taken, self.box = self.box[:count], self.box[count:]
        return taken


@examples(1.5)
@given(seed=st.integers(0, 2**32), trouble=st.sampled_from([10, 50, 90]))
def test_o01_to_o13_no_order_is_doubled_and_every_fate_is_found_out(seed: int, trouble: int) -> None:
    chance = Random(seed)
    on, venue = desk(), Venue(chance, trouble)
    names: list[str] = []

    def send(*events: Event) -> None:
        for one in on.send(*events):
            if isinstance(one, SubmitOrder):
                names.append(one.client_order_id)
            venue.take(one)

    for _ in range(40):
        what = chance.randrange(6)
        if what == 0:
            send(approved(chance.randint(1, 9), venue.now_ns))
        elif what == 1 and names:
            send(CancelRequested(venue.now_ns, "s", names[chance.randrange(len(names))]))
        elif what == 2:
            venue.trade()
        elif what == 3:
            seconds = chance.randint(1, 8)
            venue.advance(seconds)
            for one in on.advance(venue.now_ns):
                venue.take(one)
        else:
            send(*venue.some())
    venue.trouble = 0
    for _ in range(80):
        venue.advance(5)
        for one in on.advance(venue.now_ns):
            venue.take(one)
        box, venue.box = venue.box, []
        send(*box)
    for name in names:
        told = next(one for one in reversed(on.all(OrderChanged)) if one.client_order_id == name)
        if name not in venue.placed:
            assert (told.state, told.filled) == ("Rejected", 0), "proved absent"
        else:
            assert told.filled == venue.filled[name]
            if name in venue.open:
                assert told.state in ("New", "PartiallyFilled")
                assert told.remaining == venue.open[name]
            else:
                assert told.state == venue.end[name]


def test_o01_a_lost_answer_is_asked_about_at_once_and_never_sent_again() -> None:
    on = desk()
    name = submitted(on)
    told, query = on.send(OrderUnknown(T, name, "no reply within 5 s"))
    assert (told.state, query) == ("Unknown", QueryOrder(T, name, 1, 1))
    later = on.advance(T + 3600 * S)
    assert {type(one) for one in later} == {QueryOrder}, "asked for as long as it takes"
    assert len(later) > 100
    assert state(on, name) == "Unknown"


def test_o01_a_command_without_any_answer_is_asked_about() -> None:
    on = desk()
    name = submitted(on)
    told, query = on.advance(T + 5 * S)
    assert (told.state, query.attempt) == ("Unknown", 1)
    on.send(OrderAccepted(T, T, name, 3))
    assert on.advance(T + 60 * S) == []
    assert state(on, name) == "New"


def test_o02_an_acceptance_by_the_stream_settles_what_the_lost_answer_left_open() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderAccepted(T, T, name, 3))
    assert on.send(OrderUnknown(T, name, "no reply")) == []
    assert state(on, name) == "New"


def test_o09_not_found_right_after_it_was_sent_proves_nothing() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderUnknown(T, name, "no reply"), read(name, "absent", T + 1 * S))
    assert state(on, name) == "Unknown"
    on.send(read(name, "open", T + 2 * S, venue_order_id=4))
    assert state(on, name) == "New"


def test_o11_absent_is_proved_only_after_expiry_and_slack_by_the_venues_clock() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderUnknown(T, name, "no reply"), read(name, "absent", T + 15 * S))
    assert state(on, name) == "Unknown"
    on.send(read(name, "absent", T + 15 * S + 1))
    assert state(on, name) == "Rejected"


def test_o11_an_order_the_venue_once_had_is_never_called_absent() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderAccepted(T, T, name, 3), CancelRequested(T, "s", name), OrderUnknown(T, name, "x"))
    on.send(read(name, "absent", T + 3600 * S))
    assert state(on, name) == "Unknown"


def test_o06_a_fill_told_after_the_cancel_is_still_the_orders_own() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderCanceled(T, T, name, 1, 6, "canceled"))
    (told,) = on.send(filled(name, 4, 1))
    assert (told.state, told.filled, told.strategy) == ("Canceled", 4, "s")
    assert on.send(filled(name, 4, 1)) == []


def test_o07_a_cancel_that_was_lost_is_repeated_only_on_evidence_that_it_was() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderAccepted(T, T, name, 3), CancelRequested(T, "s", name), OrderUnknown(T, name, "x"))
    assert not any(isinstance(one, CancelOrder) for one in on.advance(T + 60 * S))
    answer = on.send(read(name, "open", T + 61 * S, venue_order_id=3))
    assert [type(one) for one in answer] == [OrderChanged, CancelOrder]
    assert state(on, name) == "PendingCancel"


def test_o06_a_cancel_refused_because_it_was_filled_waits_for_the_fills() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderAccepted(T, T, name, 3), CancelRequested(T, "s", name))
    (query,) = on.send(CancelRejected(T, T, name, "already filled"))
    assert isinstance(query, QueryOrder)
    on.send(read(name, "filled", T, venue_order_id=3))
    assert state(on, name) == "PendingCancel"
    on.send(filled(name, 10, 1))
    assert state(on, name) == "Filled"


def test_o08_a_modified_order_counts_the_fills_of_both_legs() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderAccepted(T, T, name, 3))
    command, told = on.send(ModifyApproved(T, 9, "s", name, 1, 6, 1010))
    assert isinstance(command, ModifyOrder)
    assert (command.size, command.limit_price, told.state) == (6, 1010, "PendingReplace")
    on.send(filled(name, 2, 1), OrderModified(T, T, name, 1, 4, 6, 1010), filled(name, 3, 2))
    last = on.all(OrderChanged)[-1]
    assert (last.state, last.filled, last.remaining) == ("PartiallyFilled", 5, 3)


def test_a_refused_modify_is_asked_about() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderAccepted(T, T, name, 3), ModifyApproved(T, 9, "s", name, 1, 6, 1010))
    told, query = on.send(ModifyRejected(T, T, name, "too late"))
    assert (told.state, query.attempt) == ("New", 1)
    on.send(read(name, "open", T, venue_order_id=3, size=10, limit_price=1000))
    assert state(on, name) == "New"


def test_o28_what_an_earlier_session_left_open_is_asked_about_before_anything_else() -> None:
    on = desk()
    name = submitted(on)
    told, query = on.send(SessionStarted(T + S, "b" * 16, "live", "", "", "", (), ""))
    assert (told.state, query.client_order_id) == ("Unknown", name)
    on.send(read(name, "absent", T + 16 * S))
    assert state(on, name) == "Rejected", "closed, not sent late"


def test_attached_orders_go_with_their_parent_under_ids_of_their_own() -> None:
    on = desk()
    answer = on.send(approved(stop_loss=900, take_profit=1200))
    parent, stop, profit = (one for one in answer if isinstance(one, SubmitOrder))
    assert {stop.parent, profit.parent} == {parent.client_order_id}
    assert (stop.trigger, stop.trigger_price, stop.side, stop.reduce_only) == ("sl", 900, -BUY, True)
    assert (profit.trigger, profit.trigger_price, profit.size) == ("tp", 1200, parent.size)
    assert len({parent.client_order_id, stop.client_order_id, profit.client_order_id}) == 3
    assert all(len(one.client_order_id) == 34 for one in (parent, stop, profit))


def test_o18_a_halted_market_has_its_orders_canceled_and_no_others() -> None:
    on = desk()
    submitted(on)
    other = on.send(OrderApproved(T, 1, "s", 2, BUY, 5, 1000, "Gtc", False))[0].client_order_id
    answer = on.send(MarketHalted(T, 2, "x"))
    assert [one.client_order_id for one in answer if isinstance(one, CancelOrder)] == [other]


@pytest.mark.parametrize("accepted", [True, False])
def test_o30_the_dead_mans_switch_is_renewed_until_the_venue_refuses_it(accepted: bool) -> None:
    on = desk(VenueConfig(dead_man_s=30, leverage={"AAA": 5}))
    account = AccountRead(T, T, "g", 6, 0, 0, 0, 0)
    leverage, first = on.send(account)
    assert leverage == SetLeverage(T, 1, 5, True)
    assert first == ScheduleCancel(T, T + 30 * S)
    assert on.send(account) == [], "once a session"
    on.send(ScheduleAnswered(T, T + 30 * S, accepted))
    renewed = on.advance(T + 60 * S)
    assert len(renewed) == (6 if accepted else 0)
    stopped = on.send(OperatorCommand(T + 61 * S, "stop"))
    assert stopped == ([ScheduleCancel(T + 61 * S, 0)] if accepted else [])


def test_an_order_rejected_by_the_venue_ends_and_its_id_is_not_asked_about() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderRejected(T, T, name, "tick size"))
    assert on.advance(T + 60 * S) == []


def test_o10_while_every_question_fails_the_order_stays_unknown_and_is_asked_about() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderUnknown(T, name, "no reply"))
    for second in range(1, 600):
        on.advance(T + second * S)
        on.send(OrderUnknown(T + second * S, name, "the question failed"))
    assert state(on, name) == "Unknown"
    assert not any(isinstance(one, SubmitOrder) for one in on.log[2:]), "never sent again"
    asked = on.all(QueryOrder)
    assert 20 <= len(asked) <= 60, "as long as it takes, and not in a loop"


def test_o05_a_fill_is_never_inferred_so_the_real_one_counts_once() -> None:
    on = desk()
    name = submitted(on)
    on.send(OrderUnknown(T, name, "no reply"), read(name, "filled", T, venue_order_id=3))
    assert state(on, name) == "Unknown", "known to be filled, and not one execution is made up"
    on.send(filled(name, 10, 1), read(name, "filled", T, venue_order_id=3), filled(name, 10, 1))
    last = on.all(OrderChanged)[-1]
    assert (last.state, last.filled) == ("Filled", 10)
