"""What must hold after every turn of a session, one function for each invariant, named by it in words.

Each takes the model after a turn and raises `Broken` through `Model.require`. `check_turn` calls all of them.
`check_end` is for the end of a sequence, after fresh prices, a resume, `cancel_all`, `target(0)` and a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.events import TargetChanged
from tests.orders.facts import CLOSE, OPEN, Order
from tests.orders.ledger import EXTERNAL, MANUAL, ZERO, sign
from tests.orders.model import Model

__all__ = ["check_end", "check_turn"]

SECOND_NS = 1_000_000_000
CLOSING_TRY_NS = 5 * SECOND_NS
EVIDENCE = (
    "exit",
    "evidence",
    "unknown",
    "unreconciled",
    "dust",
    "no_price",
    "cancel",
    "reading",
    "price",
    "disarmed",
)
"""Beginnings of the reasons for which an exit may wait without a time for its next try."""


def books_change_by_booked_fills_only(model: Model) -> None:
    """Every fill the venue reported has been booked in its turn."""
    model.require(not model.due, "every fill is booked in its turn", list(model.due))


def approved_orders_are_submitted(model: Model) -> None:
    """An approval leads to its command in the same turn."""
    model.require(not model.pending, "an approved order is submitted in its turn", model.pending)
    model.yielding.clear()


def requested_cancels_are_commanded(model: Model) -> None:
    """A request to cancel an order leads to its command in the same turn, unless the order ended."""
    owed = [name for name in sorted(model.owed) if model.orders[name].live]
    model.require(not owed, "a requested cancel is sent in its turn", owed)
    model.owed.clear()


def every_call_of_target_is_recorded(model: Model) -> None:
    """A call of `target` that changes something leads to a `TargetSet` in its turn."""
    model.require(not model.called, "every call of target counts", model.called)


def resting_exits_fit_the_position(model: Model) -> None:
    """The resting exits of a book sum to at most its position, or they are being cut."""
    for (owner, market), live in _live_by_book(model).items():
        resting = [order for order in live if order.role == CLOSE and order.rests]
        if not resting:
            continue
        held = model.position(owner, market)
        against = sum((order.counted() for order in resting), ZERO)
        if against > abs(held) or not all(order.asked or sign(held) == -order.side for order in resting):
            found = f"{owner} {market}: position {held}, exits {_names(resting)}"
            model.require(False, "resting exits fit the position", found)


def one_live_order_of_a_target(model: Model) -> None:
    """A target works one order at a time."""
    for live in _live_by_book(model).values():
        targets = [order for order in live if order.purpose == "target"]
        if len(targets) > 1:
            model.require(False, "a target has one live order", _names(targets))


def targets_are_what_calls_and_fills_lead_to(model: Model) -> None:
    """The newest `TargetChanged` of each target has the size and the state that the model has."""
    for (owner, market), target in model.wanted.items():
        shown = model.shown.get((owner, market))
        if shown is None:
            model.require(target.size is None, "a call of target is recorded", owner, market, target)
            continue
        held = model.position(owner, market)
        wanted = None if shown.wanted is None else model.listed[market].size(shown.wanted)
        place = owner, market, held, "recorded", shown, "right", target
        model.require(wanted == target.size, "a target changes by the stated causes only", *place)
        done = wanted is None or wanted == held
        model.require(
            done or (shown.state == "withdrawn") == target.withdrawn,
            "a target is withdrawn by the stated causes only",
            *place,
        )


def orders_that_are_no_longer_wanted_are_canceled(model: Model) -> None:
    """A call of `target`, a pause and a halt cancel live open orders of the strategy.

    So does an exit at market those that were approved in its turn and do not fit beside it.
    """
    for order in model.orders.values():
        if not order.ended and order.dropped:
            model.require(order.asked, "an order that is no longer wanted is canceled", order)


def no_exit_of_a_target_is_lost(model: Model) -> None:
    """While a target has something to close, an exit is live, or a stated wait or a timer comes."""
    for (owner, market), target in model.wanted.items():
        held = model.position(owner, market)
        closing, _ = target.distance(held)
        if not closing:
            continue
        live = model.live_orders(owner, market)
        if any(order.role == CLOSE or order.purpose == "target" for order in live):
            continue
        place = f"{owner} {market}: position {held}, wanted {target}, {model.shown.get((owner, market))}"
        shown = model.shown.get((owner, market))
        model.require(shown is not None, "no exit is lost", place)
        assert shown is not None
        model.require(
            shown.state in ("waiting", "working", "withdrawn") and _comes(model, shown, owner, market),
            "no exit is lost",
            place,
        )
    model.delayed = {book for book in model.delayed if model.position(*book)}


def _comes(model: Model, shown: TargetChanged, owner: str, market: int) -> bool:
    """Return whether a target that waits will try again: at a time, or on evidence that is outstanding."""
    if shown.reason == "disarmed" and (model.disarmed or not model.reconciled):
        return True  # the next start sends it, once it has read the account
    if shown.next_ns:
        return shown.next_ns <= model.now_ns + CLOSING_TRY_NS
    if any(order.asked or order.dropped for order in model.live_orders(owner, market)):
        return True
    if shown.reason in ("another exit works", "operator: flatten"):
        # A protective one, which is tried again by itself, or after the account has been read.
        return model.asking or not model.reconciled or (owner, market) in model.delayed
    return shown.reason.startswith(EVIDENCE)


def a_fill_of_a_group_cancels_its_other_openings(model: Model) -> None:
    """Of the entries that are in one group, no other works once one has filled."""
    filled = {
        (order.owner, order.market, order.group): order
        for order in model.orders.values()
        if order.group and order.filled and order.purpose == "own"
    }
    for order in model.orders.values():
        first = filled.get((order.owner, order.market, order.group))
        if first is None or order.ended or order.role != OPEN or order.purpose != "own":
            continue
        other = order.handle != first.handle and order.seq < first.filled_seq
        model.require(not other or order.asked, "a fill cancels the other entries of its group", order, first)


def a_flat_book_costs_nothing(model: Model) -> None:
    """A flat book has no cost, in the model as in the records."""
    for (owner, market), book in model.account.books.items():
        model.require(book.size or not book.cost, "a flat book has no cost", owner, market, book)


def nothing_opens_after_a_stop_is_answered(model: Model) -> None:
    """During a halt or a pause no open order is live without a cancel on its way."""
    for order in model.orders.values():
        if order.ended or order.role != OPEN:
            continue
        stopped = model.halted or order.market in model.halted_markets or order.owner in model.failed
        model.require(
            order.asked or not stopped, "a halt or a failure cancels open orders", order, "is not canceled"
        )


CHECKS: tuple[Callable[[Model], None], ...] = (
    books_change_by_booked_fills_only,
    approved_orders_are_submitted,
    requested_cancels_are_commanded,
    every_call_of_target_is_recorded,
    resting_exits_fit_the_position,
    one_live_order_of_a_target,
    targets_are_what_calls_and_fills_lead_to,
    orders_that_are_no_longer_wanted_are_canceled,
    no_exit_of_a_target_is_lost,
    a_fill_of_a_group_cancels_its_other_openings,
    a_flat_book_costs_nothing,
    nothing_opens_after_a_stop_is_answered,
)


def check_turn(model: Model) -> None:
    """Check every invariant after a turn. Raises Broken."""
    for check in CHECKS:
        check(model)


def check_end(model: Model) -> None:
    """Check that a sequence that ended calmly left nothing: no order, no position of a strategy."""
    live = [order for order in model.orders.values() if order.live]
    model.require(not live, "at the end no order is live", _names(live))
    for (owner, market), book in model.account.books.items():
        if owner in (MANUAL, EXTERNAL):
            continue
        model.require(
            not book.size,
            "at the end every strategy is flat",
            f"{owner} {market}: {book.size}, {model.shown.get((owner, market))}",
        )


def _live_by_book(model: Model) -> dict[tuple[str, int], list[Order]]:
    """Return the live orders of every book that has one, oldest first."""
    found: dict[tuple[str, int], list[Order]] = {}
    for order in model.orders.values():
        if not order.ended:
            found.setdefault((order.owner, order.market), []).append(order)
    return found


def _names(orders: Iterable[Order]) -> str:
    return ", ".join(
        f"{order.name} {order.purpose} {order.role} {order.side:+} {order.open} of {order.size}"
        f"{' asked' if order.asked else ''}"
        for order in orders
    )
