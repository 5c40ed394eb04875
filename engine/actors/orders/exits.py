"""Exits: who may close how much of a book, and protective exits that are owed until they are done.

Owns the exit budget: the open sizes of a book's live exits never sum to more than the book, so together they
cannot carry it beyond 0. An immediate exit takes its size from resting exits, youngest first; a resting one
gets what no exit has. Owns also the price bound of market orders, and owed exits: a fired stop, a fired
trail, `flatten`, a correction. They are tried until the size is closed or the book is flat, and reported
while they are late. Called by the manager and its parts. State: the manager's `owed`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.actors.base import Emit, RoutesChanged
from engine.actors.orders.pace import DUST_NS, HOPELESS_NS, REPORT_NS, is_hopeless, wait_ns
from engine.actors.orders.state import Live, Owed
from engine.events import (
    ExitDelayed,
    FillBooked,
    ModifyApproved,
    OrderCanceled,
    OrderRejected,
    OrderTerms,
    QueryAccount,
    SubmitOrder,
)
from engine.events.terms import CLOSE, PROTECTIVE
from engine.values import BUY, SELL

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Exits"]


class Exits:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager

    # The budget.

    def room(self, order: Live) -> int:
        """Return the size of its book that no exit but `order` is about to close."""
        others = [one for _, one in self._exits(order.owner, order.instrument) if one is not order]
        taken = sum(one.left for one in others if not one.waiting)
        return max(0, abs(self.m.book(order.owner, order.instrument)) - taken)

    def in_flight(self, owner: str, instrument: int) -> int:
        """Return the open size of the immediate exits of a book."""
        return sum(order.left for _, order in self._exits(owner, instrument) if order.immediate)

    def budget(self, owner: str, instrument: int, terms: OrderTerms) -> tuple[int, str]:
        """Return what a new exit may have of the book, and who has the rest of it: (size, holder).

        The size is on the grid; `holder` is "" if the book holds nothing to close.
        """
        listed = self.m.instruments[instrument]
        held = self.m.book(owner, instrument)
        closable = listed.size_to_grid(abs(held)) if held * terms.side < 0 else 0
        exits = [one for one in self._exits(owner, instrument) if not one[1].waiting]
        immediate = not terms.rests
        taken = sum(order.left for _, order in exits if order.immediate or not immediate)
        room = listed.size_to_grid(min(terms.size, closable - taken))
        return (room, "") if room > 0 else (0, self._name(exits) if closable else "")

    def admit(
        self, at_ns: int, owner: str, instrument: int, terms: OrderTerms, emit: Emit
    ) -> tuple[int, bool, str]:
        """Return what a new exit gets of the book: (size, waits, holder).

        A size of 0 is a refusal; `holder` then names the exit that has it, "" if the book holds nothing to
        close. `waits`: it takes its size from orders whose end is not proved yet.
        """
        room, holder = self.budget(owner, instrument, terms)
        if not room:
            return 0, False, holder
        exits = self._exits(owner, instrument)
        resting = [one for one in exits if one[1].resting]
        if not terms.rests:
            free = abs(self.m.book(owner, instrument))
            free -= sum(order.left for _, order in exits if order.immediate)
            self._cut(at_ns, resting, free - room, emit)
        waits = any(order.canceling or order.modifying for _, order in resting) or any(
            order.canceling and not order.exits and order.terms.side == terms.side
            for _, order in self.m.orders_of(owner, instrument)
        )
        return room, waits, ""

    def fit(self, at_ns: int, owner: str, instrument: int, emit: Emit) -> None:
        """Cut the resting exits of a book that has shrunk, youngest first; cancel all if it is closed."""
        held = self.m.book(owner, instrument)
        exits = list(self._exits(owner, instrument))
        for client_order_id, order in exits:
            if order.resting and held * order.terms.side >= 0:
                self.m.cancel(at_ns, client_order_id, order, "the position is closed", emit)
        resting = [one for one in exits if one[1].resting and not one[1].canceling]
        free = abs(held) - sum(order.left for _, order in exits if order.immediate)
        self._cut(at_ns, resting, free, emit)

    def _cut(self, at_ns: int, resting: list[tuple[str, Live]], room: int, emit: Emit) -> None:
        """Reduce resting exits, youngest first, until they fit into `room`."""
        working = [one for one in resting if not one[1].canceling]
        excess = sum(order.kept for _, order in working) - max(room, 0)
        for client_order_id, order in reversed(working):
            if excess <= 0:
                return
            less = min(excess, order.kept)
            excess -= less
            kept = self.m.instruments[order.instrument].size_to_grid(order.left - less)
            if less == order.kept or not kept or order.modifying or not client_order_id:
                self.m.cancel(at_ns, client_order_id, order, "another exit takes its size", emit)
            else:
                order.modifying, order.cut_to = True, kept
                emit(
                    ModifyApproved(
                        at_ns,
                        self.m.turn.seq,
                        order.owner,
                        client_order_id,
                        order.instrument,
                        kept,
                        order.terms.limit,
                    )
                )

    def carried(self, owner: str, instrument: int, terms: OrderTerms) -> OrderTerms:
        """Return the terms of another try: half the size if the venue refused the last one for margin.

        In a netted market an exit may open at the venue. What passes frees margin for the rest.
        """
        m = self.m
        if not m.netted(instrument):
            return terms
        for last in reversed(m.ended.values()):
            alike = (last.owner, last.instrument, last.terms.purpose, last.terms.handle)
            if alike == (owner, instrument, terms.purpose, terms.handle):
                if "margin" in last.why.lower():
                    half = m.instruments[instrument].size_to_grid(last.terms.size // 2)
                    if half and not m.gates.is_dust(instrument, replace(terms, size=half)):
                        return replace(terms, size=min(terms.size, half))
                    return replace(terms, size=min(terms.size, last.terms.size))
                break
        return terms

    def _exits(self, owner: str, instrument: int) -> list[tuple[str, Live]]:
        return [one for one in self.m.orders_of(owner, instrument) if one[1].exits]

    def _name(self, exits: list[tuple[str, Live]]) -> str:
        for _, order in exits:
            return order.terms.handle or order.terms.purpose
        return ""

    # Bounds of market orders.

    def bound(self, instrument: int, terms: OrderTerms) -> int:
        """Return the worst price of a market order: its distance depends on what the order is for."""
        m = self.m
        listed = m.instruments[instrument]
        side = terms.side
        if terms.role == CLOSE:
            risk = m.config.risk
            protects = terms.purpose in PROTECTIVE
            bps = risk.protect_bps if protects else risk.exit_bps
        else:
            bps = m.config.venue.slippage_bps
        reference = terms.trigger_price or self.reference(instrument, side, closing=terms.role == CLOSE)
        return listed.bounded_price(reference, side, bps, up=side == SELL) if reference else 0

    def reference(self, instrument: int, side: int, *, closing: bool) -> int:
        """Return the price that a market order is measured from; 0 if none is known.

        An opening is measured from the best opposite price, else from the last one: an older mark does not
        count beside it. An exit is measured from the worst of what is known, so that an old quote is no
        reason for it to miss.
        """
        prices = self.m.price(instrument)
        if not closing:
            return prices.best(side) or prices.last or prices.any
        known = [price for price in (prices.best(side), prices.last, prices.mark) if price]
        if not known:
            return prices.any
        return max(known) if side == BUY else min(known)

    # Owed exits.

    def owe(
        self,
        at_ns: int,
        owner: str,
        instrument: int,
        purpose: str,
        size: int,
        handle: str,
        reason: str,
        emit: Emit,
        *,
        late: str = "",
    ) -> None:
        """Owe an exit of `size`, and try it at once. One with the same handle is replaced.

        `late`: why an order at the venue that should have closed it did not.
        """
        key = f"{instrument} {owner} {handle or purpose}"
        owed = self.m.owed.get(key)
        if owed is None:
            owed = self.m.owed[key] = Owed(owner, instrument, purpose, size, handle, reason, at_ns)
        else:
            owed.left = size
        if late:
            self._report(at_ns, owed, late, emit)
        self._work(at_ns, key, owed, emit)

    def exiting(self, owner: str, instrument: int) -> int:
        """Return the size of a book that owed exits still have to close."""
        return sum(
            owed.left for owed in self.m.owed.values() if (owed.owner, owed.instrument) == (owner, instrument)
        )

    def still_owes(self, owner: str, instrument: int, terms: OrderTerms) -> int:
        """Return how much of an exit, requested earlier in the turn, is still owed."""
        if terms.purpose not in PROTECTIVE or terms.limit:
            return terms.size  # It is sent once and never owed.
        owed = self._owed_of(owner, instrument, terms)
        return 0 if owed is None else min(terms.size, max(owed.left, 0))

    def begin(self, at_ns: int, emit: Emit) -> None:
        """Begin a session: what is owed is tried again; with real orders once the account has been read."""
        for key, owed in tuple(self.m.owed.items()):
            owed.requested = False
            if owed.order not in self.m.live:
                owed.order = ""
            if not self.m.real:
                owed.next_ns = at_ns
                self.m.timer(at_ns + wait_ns(1, closing=True), f"exit {key}", emit)

    def account_read(self, at_ns: int, markets: Collection[int], emit: Emit) -> None:
        """Try what is owed in these markets now that their account is known."""
        for key, owed in tuple(self.m.owed.items()):
            if owed.instrument in markets:
                owed.next_ns = 0
                self._work(at_ns, key, owed, emit)

    def submitted(self, order: SubmitOrder, emit: Emit) -> None:
        """Note the client order id of an owed exit."""
        if order.terms.purpose in PROTECTIVE and not order.terms.trigger:
            owed = self._owed_of(order.strategy, order.instrument, order.terms)
            if owed is not None:
                owed.order, owed.requested = order.client_order_id, False
                key = f"{order.instrument} {order.strategy} {owed.handle or owed.purpose}"
                self.m.timer(order.at_ns + REPORT_NS, f"exit {key}", emit)

    def filled(self, fill: FillBooked, before: int, emit: Emit) -> None:
        """Follow a book: what an owed exit closed is no longer owed; resting exits have to fit."""
        m = self.m
        for owed in m.owed.values():
            if owed.order and owed.order == fill.client_order_id and not fill.over:
                owed.left -= fill.size
                owed.tries = 0
        if fill.over and not m.targets.welcomes(fill.owner, fill.instrument):
            size = abs(m.book(fill.owner, fill.instrument))
            self.owe(
                fill.at_ns, fill.owner, fill.instrument, "correct", size, "", "an exit went beyond 0", emit
            )

    def ended_by_venue(self, report: OrderCanceled | OrderRejected, order: Live, emit: Emit) -> None:
        """Doubt the books where the venue refuses an exit as not reducing; the account is read first."""
        m = self.m
        if m.real and _not_reducing(order) and not m.netted(order.instrument):
            m.doubted[order.instrument] = None
            venue = m.instruments[order.instrument].venue if m.gate.accounts else ""
            emit(QueryAccount(report.recv_ns, f"the venue refused an exit: {report.reason}", venue))

    def ended(self, at_ns: int, client_order_id: str, order: Live, emit: Emit) -> None:
        """Plan the next try of an owed exit whose order ended.

        In a netted market the venue's reduce-only flag goes by the account: a resting exit that it cut is
        placed again without the flag.
        """
        for key, owed in tuple(self.m.owed.items()):
            if owed.order == client_order_id:
                owed.order = ""
                if owed.left > 0 and (order.left > 0 or order.state == "Rejected"):
                    self._delay(at_ns, key, owed, order.why or "not wholly filled", emit)
        held = self.m.book(order.owner, order.instrument)
        if (
            order.left > 0
            and order.resting
            and order.terms.purpose == "own"
            and _not_reducing(order)
            and self.m.netted(order.instrument)
            and held * order.terms.side < 0
        ):
            terms = replace(order.terms, size=min(order.left, abs(held)))
            self.m.request(at_ns, order.owner, order.instrument, terms, "placed again", emit)

    def refused(
        self,
        at_ns: int,
        owner: str,
        instrument: int,
        terms: OrderTerms,
        broken: tuple[str, str],
        emit: Emit,
    ) -> None:
        """Plan the next try of an owed exit whose request was refused."""
        owed = self._owed_of(owner, instrument, terms)
        if owed is not None:
            owed.requested = False
            self._delay(at_ns, f"{instrument} {owner} {owed.handle or owed.purpose}", owed, broken[0], emit)

    def settle(self, at_ns: int, owner: str, instrument: int, emit: Emit) -> None:
        """Look again at the exits of a book: resting ones have to fit, owed ones are tried."""
        self.fit(at_ns, owner, instrument, emit)
        for key, owed in tuple(self.m.owed.items()):
            if (owed.owner, owed.instrument) == (owner, instrument):
                self._work(at_ns, key, owed, emit)

    def due(self, at_ns: int, key: str, emit: Emit) -> None:
        """Try an owed exit whose wait is over."""
        owed = self.m.owed.get(key)
        if owed is not None:
            owed.next_ns = min(owed.next_ns, at_ns)
            if owed.order:
                self._report(at_ns, owed, "its order is still working", emit)
                self.m.timer(at_ns + REPORT_NS, f"exit {key}", emit)
            self._work(at_ns, key, owed, emit)

    def _work(self, at_ns: int, key: str, owed: Owed, emit: Emit) -> None:
        """Try an owed exit unless it is on its way or has to wait; drop it when nothing is left."""
        m = self.m
        held = m.book(owed.owner, owed.instrument)
        owed.left = min(owed.left, abs(held))
        if owed.left <= 0:
            if not owed.order:
                del m.owed[key]
                emit(RoutesChanged())
            return
        if owed.order or owed.requested or owed.next_ns > at_ns or owed.instrument in m.doubted:
            return
        side = SELL if held > 0 else BUY
        if self.in_flight(owed.owner, owed.instrument) >= abs(held):
            return  # Another exit closes it; its end or its fill leads back here.
        size = m.instruments[owed.instrument].size_to_grid(owed.left)
        terms = OrderTerms(side, size, role=CLOSE, purpose=owed.purpose, handle=owed.handle)
        largest = m.gates.largest_order(owed.instrument)
        if largest and size > largest:
            terms = replace(terms, size=largest)
        if owed.tries:
            terms = self.carried(owed.owner, owed.instrument, terms)
        if not size or m.gates.is_dust(owed.instrument, terms):
            if not owed.reported_ns:
                self._report(at_ns, owed, "dust", emit)
            m.timer(at_ns + DUST_NS, f"exit {key}", emit)
            return
        owed.requested = True
        m.request(at_ns, owed.owner, owed.instrument, terms, owed.reason, emit)

    def _delay(self, at_ns: int, key: str, owed: Owed, why: str, emit: Emit) -> None:
        owed.tries += 1
        owed.next_ns = at_ns + (HOPELESS_NS if is_hopeless(why) else wait_ns(owed.tries, closing=True))
        self.m.timer(owed.next_ns, f"exit {key}", emit)
        self._report(at_ns, owed, why, emit)

    def _report(self, at_ns: int, owed: Owed, why: str, emit: Emit) -> None:
        """Report that an exit is late: at the first end that leaves something, then every ten seconds."""
        if owed.reported_ns and at_ns < owed.reported_ns + REPORT_NS:
            return
        owed.reported_ns = at_ns
        emit(ExitDelayed(at_ns, owed.owner, owed.instrument, owed.left, owed.tries, owed.since_ns, why))

    def _owed_of(self, owner: str, instrument: int, terms: OrderTerms) -> Owed | None:
        return self.m.owed.get(f"{instrument} {owner} {terms.handle or terms.purpose}")


def _not_reducing(order: Live) -> bool:
    """Return whether the venue ended an exit by itself because it would not reduce the account."""
    words = order.why.lower().replace(" ", "").replace("-", "")
    return order.exits and not order.canceling and "reduceonly" in words
