"""The life cycle of orders against a simple model, for any reports of the venue (I5, O02 to O07, O14)."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from engine.actors import Execution
from engine.events import (
    ENDED,
    ActorFailed,
    CancelOrder,
    CancelRequested,
    EngineHalted,
    FillBooked,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderChanged,
    OrderRejected,
    OrderTerms,
    OrderUnknown,
    SessionStarted,
    SubmitOrder,
)
from engine.events.terms import OPEN
from engine.values import BUY
from tests.actors.harness import Harness, T
from tests.profiles import examples

SESSION = "00000000000000aa"
LIVE = ("PendingNew", "New", "PartiallyFilled", "PendingCancel", "Unknown")
FORWARD = {
    "PendingNew": {"New", "PartiallyFilled", "PendingCancel", "Unknown", *ENDED},
    "New": {"PartiallyFilled", "PendingCancel", "Unknown", *ENDED},
    "PartiallyFilled": {"PartiallyFilled", "PendingCancel", "Unknown", *ENDED},
    "PendingCancel": {"PendingCancel", "Unknown", *ENDED},
    "Unknown": {"Unknown", "New", "PartiallyFilled", "PendingCancel", *ENDED},
    # A fill may be reported after the end of its order.
    "Canceled": {"Canceled", "Filled"},
    "Rejected": {"Canceled", "Filled"},
}


def approved(size: int = 10, strategy: str = "s") -> OrderApproved:
    return OrderApproved(T, 1, strategy, 1, OrderTerms(BUY, size, role=OPEN))


def new_harness() -> Harness:
    harness = Harness(Execution())
    harness.send(SessionStarted(T, SESSION, "paper", "", "", "", (), ""))
    return harness


def report(order_id: str, size: int, trade_id: int) -> FillBooked:
    """Return a fill as the books report it: once."""
    return FillBooked(T, "s", 1, BUY, 100, size, 0, 0, order_id, trade_id, "taker", OPEN, "own")


class Life(RuleBasedStateMachine):
    """Approvals, requests and reports in any order. The model is derived from the list of reports."""

    orders = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.harness = new_harness()
        self.size: dict[str, int] = {}
        self.owner: dict[str, str] = {}
        self.filled: dict[str, int] = {}
        self.ended: dict[str, str] = {}
        self.canceling: set[str] = set()
        self.trade_id = 0

    @rule(target=orders, size=st.integers(1, 20), strategy=st.sampled_from(["s", "t"]))
    def approve(self, size: int, strategy: str) -> Any:
        submit, emitted = self.harness.send(approved(size, strategy))
        assert isinstance(submit, SubmitOrder)
        assert (submit.terms.size, submit.strategy) == (size, strategy)
        assert submit.client_order_id == f"0x{SESSION}{self.harness.seq:016x}"
        assert submit.client_order_id not in self.size
        assert emitted == OrderChanged(T, submit.client_order_id, strategy, 1, "PendingNew", 0, size)
        name = submit.client_order_id
        self.size[name], self.owner[name], self.filled[name] = size, strategy, 0
        return multiple(name)

    @rule(name=orders)
    def accept(self, name: str) -> None:
        self.harness.send(OrderAccepted(T, T, name, 1))

    @rule(name=orders, part=st.integers(1, 20))
    def fill(self, name: str, part: int) -> None:
        size = min(part, self.size[name] - self.filled[name])
        if not size:
            return
        self.trade_id += 1
        self.harness.send(report(name, size, self.trade_id))
        self.filled[name] += size
        if self.filled[name] == self.size[name]:
            self.ended[name] = "Filled"
        elif name in self.ended:
            self.ended[name] = "Canceled"

    @rule(name=orders)
    def cancel_report(self, name: str) -> None:
        self.harness.send(OrderCanceled(T, T, name, 1, self.size[name] - self.filled[name], "x"))
        self.ended.setdefault(name, "Canceled")

    @rule(name=orders)
    def reject(self, name: str) -> None:
        self.harness.send(OrderRejected(T, T, name, "x"))
        self.ended.setdefault(name, "Canceled" if self.filled[name] else "Rejected")

    @rule(name=orders)
    def lose(self, name: str) -> None:
        answer = self.harness.send(OrderUnknown(T, name, "no reply"))
        assert all(isinstance(one, OrderChanged) for one in answer), "never sent again"

    @rule(name=orders, strategy=st.sampled_from(["s", "t"]))
    def request_cancel(self, name: str, strategy: str) -> None:
        answer = self.harness.send(CancelRequested(T, strategy, name, "why"))
        commands = [one for one in answer if isinstance(one, CancelOrder)]
        due = name not in self.ended and strategy == self.owner[name] and name not in self.canceling
        assert commands == ([CancelOrder(T, name, 1, "why")] if due else [])
        self.canceling |= {name} if due else set()
        assert self.harness.send(CancelRequested(T, strategy, name, "again")) == [], (
            "cancel twice is one command"
        )

    @rule()
    def halt(self) -> None:
        live = [name for name in self.size if name not in self.ended and name not in self.canceling]
        answer = self.harness.send(EngineHalted(T, "x"))
        assert [one.client_order_id for one in answer if isinstance(one, CancelOrder)] == live
        self.canceling |= set(live)

    @rule(actor=st.sampled_from(["s", "orders", "books", "aggregator"]))
    def fail(self, actor: str) -> None:
        live = [name for name in self.size if name not in self.ended and name not in self.canceling]
        due = [name for name in live if actor in (self.owner[name], "orders", "books")]
        answer = self.harness.send(ActorFailed(T, actor, 1, "x", "quarantine"))
        assert [one.client_order_id for one in answer if isinstance(one, CancelOrder)] == due
        self.canceling |= set(due)

    def changes(self, name: str) -> list[OrderChanged]:
        return [one for one in self.harness.all(OrderChanged) if one.client_order_id == name]

    @invariant()
    def states_match_the_reports(self) -> None:
        for name, size in self.size.items():
            last = self.changes(name)[-1]
            assert last.filled == self.filled[name] <= size
            assert last.remaining == size - last.filled
            assert last.state == self.ended[name] if name in self.ended else last.state in LIVE

    @invariant()
    def states_only_move_forward(self) -> None:
        for name in self.size:
            states = [one.state for one in self.changes(name)]
            for before, after in itertools.pairwise(states):
                assert after in FORWARD[before], (before, after)
            filled = [one.filled for one in self.changes(name)]
            assert filled == sorted(filled)

    @invariant()
    def only_open_orders_are_kept(self) -> None:
        assert self.harness.actor.state()["_orders"].keys() == self.size.keys() - self.ended.keys()


Life.TestCase.settings = examples(0.6, stateful_step_count=25)
TestLife = Life.TestCase


def test_o14_ids_carry_session_and_seq_and_are_never_reused() -> None:
    harness = new_harness()
    first = [harness.send(approved())[0].client_order_id for _ in range(3)]
    harness.send(SessionStarted(T, "b" * 16, "paper", "", "", "", (), ""))
    second = [harness.send(approved())[0].client_order_id for _ in range(3)]
    assert len({*first, *second}) == 6
    assert all(len(one) == 34 for one in first + second)
    assert all(one.startswith("0x" + "b" * 16) for one in second)


def test_o03_a_fill_before_the_acceptance_moves_forward_only() -> None:
    harness = new_harness()
    name = harness.send(approved())[0].client_order_id
    (emitted,) = harness.send(report(name, 4, 1))
    assert (emitted.state, emitted.filled) == ("PartiallyFilled", 4)
    assert harness.send(OrderAccepted(T, T, name, 1)) == []


def test_o07_a_pending_cancel_stays_until_it_is_confirmed() -> None:
    harness = new_harness()
    name = harness.send(approved())[0].client_order_id
    harness.send(CancelRequested(T, "s", name))
    assert harness.send(OrderAccepted(T, T, name, 1)) == []
    (emitted,) = harness.send(report(name, 4, 1))
    assert emitted.state == "PendingCancel"
    (emitted,) = harness.send(OrderCanceled(T, T, name, 1, 6, "x"))
    assert (emitted.state, emitted.filled, emitted.remaining) == ("Canceled", 4, 6)


def test_o16_reports_of_unknown_orders_are_ignored() -> None:
    harness = new_harness()
    for event in (
        OrderAccepted(T, T, "0x1", 1), report("0x1", 1, 1), OrderCanceled(T, T, "0x1", 1, 1, "x"),
        OrderRejected(T, T, "0x1", "x"), OrderUnknown(T, "0x1", "x"), CancelRequested(T, "s", "0x1"),
    ):  # fmt: skip
        assert harness.send(event) == []
