"""Targets: the position that a strategy wants in a market, worked until it is reached, replaced or withdrawn.

What counts is the position and what the target's own live order can still fill, never an earlier target. One
order at a time: while it is live nothing else is sent. A target that crosses 0 closes first, then opens. A
fill that the target did not order (a stop, an own order, a fill from outside) never withdraws an exit, and
caps what may be opened again. Called by the manager. State: the manager's `aims`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from engine.actors.base import DECISIONS, Emit, Later
from engine.actors.books.book import EXTERNAL
from engine.actors.orders.pace import DUST_NS, HOPELESS_NS, REPORT_NS, is_hopeless, wait_ns
from engine.actors.orders.state import Live, Target
from engine.clock import SECOND_NS
from engine.events import (
    ExitDelayed,
    FillBooked,
    OrderRequested,
    OrderTerms,
    SubmitOrder,
    TargetChanged,
    TargetSet,
)
from engine.events.terms import CLOSE, OPEN
from engine.values import BUY, SELL

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Targets"]

GIVE_UP_NS: Final = 60 * SECOND_NS
"""How long an opening waits for a fresh price or for the account before it is given up."""

_UNKNOWN: Final = (None, "", "")

_GIVEN_UP: Final = frozenset({"stale", "unreconciled", "no_price"})
"""The limits that an opening waits for no longer than `GIVE_UP_NS`."""

_CLAMPED: Final = frozenset({"halted", "market_halted", "quarantined", "stopping"})
"""The limits that withdraw an opening at once."""


class Targets:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager

    def of(self, owner: str, instrument: int) -> Target | None:
        """Return the target of a book, if it ever had one."""
        return self.m.aims.get(instrument, {}).get(owner)

    def set(self, event: TargetSet, emit: Emit) -> None:
        """Take a strategy's call: the last word counts."""
        m = self.m
        owner, instrument, at_ns = event.strategy, event.instrument, event.at_ns
        target = m.aims.setdefault(instrument, {}).setdefault(owner, Target())
        if event.withdrawn:
            target.wanted = None
            m.requests.make_way(at_ns, owner, instrument, "a newer target", emit)
            self._show(at_ns, owner, instrument, target, "none", "", emit)
            return
        if m.gate.stop_ns:
            self._refuse_at_stop(event, emit)
            return
        # Each call is answered, also one that changes nothing: the strategy may know less.
        target.shown = _UNKNOWN
        same = target.wanted == event.size and target.state not in ("none", "withdrawn")
        if not same:
            target.wanted = event.size
            target.given = event.reason
            target.state = "waiting"
            self._reset(target)
            if m.gates.halts.withdraws(owner, instrument) and self._cap(owner, instrument, target):
                target.state, target.reason = "withdrawn", "openings are stopped"
                self._refuse_opening(at_ns, owner, instrument, event.size - target.wanted, emit)
        m.requests.make_way(at_ns, owner, instrument, "a newer target", emit)
        self.work(at_ns, owner, instrument, target, emit)

    def work(
        self,
        at_ns: int,
        owner: str,
        instrument: int,
        target: Target,
        emit: Emit,
    ) -> None:
        """Send the order for what is missing, unless one is live or the next try is not due yet."""
        m = self.m
        if target.wanted is None:
            return
        only_closes = target.state == "withdrawn"
        if not only_closes and m.gates.halts.withdraws(owner, instrument):
            only_closes = self._cap(owner, instrument, target)
            if only_closes:
                self._show(at_ns, owner, instrument, target, "withdrawn", "openings are stopped", emit)
        if target.order or (target.requested and target.judged):
            self._show(at_ns, owner, instrument, target, self._stay(target, "working", only_closes), "", emit)
            return
        held = m.book(owner, instrument)
        missing = target.wanted - held
        if not missing:
            self._reset(target)
            self._show(at_ns, owner, instrument, target, self._stay(target, "reached", only_closes), "", emit)
            return
        listed = m.instruments[instrument]
        side = BUY if missing > 0 else SELL
        against = min(abs(missing), abs(held)) if held * side < 0 else 0
        closes = listed.size_to_grid(against)
        if only_closes and not against:
            self._show(at_ns, owner, instrument, target, "withdrawn", target.reason, emit)
            return
        if closes and not target.closing:
            # The pace of an opening does not hold an exit back.
            target.tries = target.next_ns = 0
        if target.next_ns > at_ns:
            state = self._stay(target, "waiting", only_closes)
            self._show(at_ns, owner, instrument, target, state, target.reason, emit)
            return
        size = closes or listed.size_to_grid(abs(missing))
        if not size or (against and not closes and target.wanted * held >= 0):
            # Less than one step of the grid.
            self._wait_for_event(at_ns, owner, instrument, target, "dust", emit)
            return
        role = CLOSE if closes else OPEN
        largest = m.gates.largest_order(instrument)
        size = min(size, largest) if largest else size
        terms = OrderTerms(side, size, role=role, purpose="target")
        if not closes and m.gates.halts.paused(owner):
            self._wait_for_event(at_ns, owner, instrument, target, "paused", emit)
            return
        if closes and m.gates.is_dust(instrument, terms):
            self._wait_for_event(at_ns, owner, instrument, target, "dust", emit)
            m.timer(at_ns + DUST_NS, f"target {instrument} {owner}", emit)
            return
        if closes:
            # What a protective exit owes is its own to close, also between two tries.
            due = closes - m.exits.exiting(owner, instrument)
            if due <= 0:
                self._wait_for_event(at_ns, owner, instrument, target, "another exit works", emit)
                return
            terms = replace(terms, size=min(size, due))
            room, waits, _ = m.exits.admit(at_ns, owner, instrument, terms, emit)
            if waits or not room or instrument in m.doubted:
                words = "orders that it replaces are being canceled" if waits else "another exit works"
                self._wait_for_event(
                    at_ns, owner, instrument, target, words if room else "another exit works", emit
                )
                return
            terms = replace(terms, size=room)
            if target.tries:
                terms = m.exits.carried(owner, instrument, terms)
        target.requested, target.judged = True, False
        if role == CLOSE and not target.since_ns:
            target.since_ns = at_ns
        self._show(at_ns, owner, instrument, target, self._stay(target, "working", only_closes), "", emit)
        request = OrderRequested(at_ns, owner, instrument, terms, target.given)
        emit(Later(request, DECISIONS, f"target {instrument} {owner}"))

    def _refuse_opening(self, at_ns: int, owner: str, instrument: int, opening: int, emit: Emit) -> None:
        """Answer a call whose opening part a halt withdraws at once."""
        broken = self.m.gates.halts.refusal(owner, instrument)
        assert broken is not None, "only a halt withdraws"
        terms = OrderTerms(BUY if opening > 0 else SELL, abs(opening), role=OPEN, purpose="target")
        self.m.requests.report_refusal(at_ns, owner, instrument, terms, broken, self.m.turn.seq, emit)

    def _refuse_at_stop(self, event: TargetSet, emit: Emit) -> None:
        """Refuse a call while the session stops: nothing begins any more, what has begun may end.

        The strategy is told what stands.
        """
        missing = event.size - self.m.book(event.strategy, event.instrument)
        if missing:
            terms = OrderTerms(BUY if missing > 0 else SELL, abs(missing), purpose="target")
            broken = "stopping", "the session is stopping"
            self.m.requests.report_refusal(
                event.at_ns, event.strategy, event.instrument, terms, broken, self.m.turn.seq, emit
            )
        target = self.m.aims[event.instrument][event.strategy]
        target.shown = _UNKNOWN
        self._show(event.at_ns, event.strategy, event.instrument, target, target.state, target.reason, emit)

    def still_wants(self, owner: str, instrument: int, terms: OrderTerms) -> int:
        """Return how much of a target's order, requested earlier in the turn, is still wanted."""
        target = self.of(owner, instrument)
        if target is None or target.wanted is None:
            return 0
        target.judged = True
        held = self.m.book(owner, instrument)
        missing = target.wanted - held
        if missing * terms.side <= 0:
            return 0
        to_grid = self.m.instruments[instrument].size_to_grid
        closes = to_grid(min(abs(missing), abs(held))) if held * terms.side < 0 else 0
        if (terms.role == CLOSE) != bool(closes):
            return 0
        return min(terms.size, closes or to_grid(abs(missing)))

    def submitted(self, order: SubmitOrder, emit: Emit) -> None:
        """Note the client order id of a target's order."""
        target = self.of(order.strategy, order.instrument)
        if order.terms.purpose == "target" and target is not None:
            target.order, target.requested, target.refused_ns = order.client_order_id, False, 0

    def refused(
        self, at_ns: int, owner: str, instrument: int, terms: OrderTerms, broken: tuple[str, str], emit: Emit
    ) -> None:
        """Plan the next try after a refusal, or withdraw an opening that must not wait."""
        target = self.of(owner, instrument)
        if target is None:
            return
        target.requested = False
        if target.wanted is None:
            return
        limit = broken[0]
        if limit == "replaced":
            self.work(at_ns, owner, instrument, target, emit)
            return
        if terms.role == OPEN:
            if limit in _CLAMPED:
                self._clamp(at_ns, owner, instrument, target, limit, emit)
                return
            if limit not in _GIVEN_UP:
                target.refused_ns = 0
            else:
                target.refused_ns = target.refused_ns or at_ns
                if at_ns >= target.refused_ns + GIVE_UP_NS:
                    self._clamp(at_ns, owner, instrument, target, limit, emit)
                    return
        if limit == "exit_budget":
            self._wait_for_event(at_ns, owner, instrument, target, "another exit works", emit)
        else:
            self._wait(at_ns, owner, instrument, target, terms.role == CLOSE, limit, emit)

    def ended(self, at_ns: int, client_order_id: str, order: Live, emit: Emit) -> None:
        """Plan the next try when the target's order ended; what is missing is computed again."""
        target = self.of(order.owner, order.instrument)
        if target is None or target.order != client_order_id:
            return
        target.order = ""
        if target.wanted is None or (order.left <= 0 and order.state != "Rejected"):
            return
        held = self.m.book(order.owner, order.instrument)
        missing = target.wanted - held
        if not missing:
            self.work(at_ns, order.owner, order.instrument, target, emit)
            return
        # What is missing now counts, not what the order was for: a later call may want more than is left.
        closing = order.exits and missing * held < 0
        why = order.why or ("rejected" if order.state == "Rejected" else "not wholly filled")
        self._wait(at_ns, order.owner, order.instrument, target, closing, why, emit)

    def filled(self, fill: FillBooked, before: int, canceling: bool, emit: Emit) -> None:
        """Apply a fill to the target of its book: see the table in docs/orders.md."""
        target = self.of(fill.owner, fill.instrument)
        if target is None:
            return
        if fill.client_order_id and fill.client_order_id == target.order:
            target.tries = 0
            target.next_ns = 0
        wanted = target.wanted
        if fill.cause == "fee" and wanted is not None and wanted * before > 0:
            # What the fee took of a purchase is not bought again.
            target.wanted = max(0, wanted + fill.side * fill.size)
            return
        if wanted is None or fill.purpose == "target" or fill.over or canceling:
            return
        after = self.m.book(fill.owner, fill.instrument)
        if fill.cause in ("liquidation", "adl"):
            target.wanted = after
        elif fill.role == CLOSE:
            target.wanted = min(wanted, after) if before > 0 else max(wanted, after)
        else:
            target.wanted = wanted + fill.side * fill.size
        if target.wanted != wanted:
            target.tries = target.next_ns = target.refused_ns = 0
        if fill.role == OPEN and fill.cause not in ("liquidation", "adl"):
            return
        if target.wanted != wanted or fill.cause in ("liquidation", "adl"):
            self._show(fill.at_ns, fill.owner, fill.instrument, target, "withdrawn", fill.purpose, emit)

    def zero(self, at_ns: int, owner: str, instrument: int, why: str, emit: Emit) -> None:
        """Want nothing in a book any more; the exit that is owed for that closes it."""
        known = self.of(owner, instrument)
        idle = known is None or known.wanted is None
        if owner == EXTERNAL or (idle and not self.m.book(owner, instrument)):
            return
        target = self.m.aims.setdefault(instrument, {}).setdefault(owner, Target())
        target.wanted = 0
        if target.state == "none":
            target.state = "waiting"
        self._reset(target)
        if self.m.book(owner, instrument):
            self._wait_for_event(at_ns, owner, instrument, target, why, emit)
        else:
            self.work(at_ns, owner, instrument, target, emit)

    def forget(self, at_ns: int, owner: str, why: str, emit: Emit) -> None:
        """Want nothing in particular for a strategy that begins without its state; its books stay."""
        for instrument, targets in self.m.aims.items():
            target = targets.get(owner)
            if target is not None:
                target.wanted = None
                self.m.requests.make_way(at_ns, owner, instrument, why, emit)
                self._show(at_ns, owner, instrument, target, "none", "", emit)

    def release(self, at_ns: int, owner: str, instrument: int, emit: Emit) -> None:
        """Want nothing in particular in a book any more: a later order by hand is the last word."""
        target = self.of(owner, instrument)
        if target is not None and target.wanted is not None:
            target.wanted = None
            self._show(at_ns, owner, instrument, target, "none", "", emit)

    def welcomes(self, owner: str, instrument: int) -> bool:
        """Return whether a book beyond 0 is on the way to its target."""
        target = self.of(owner, instrument)
        held = self.m.book(owner, instrument)
        return (
            target is not None
            and target.wanted is not None
            and target.wanted * held > 0
            and abs(held) <= abs(target.wanted)
        )

    def clamp(self, at_ns: int, emit: Emit, *, owner: str = "", instrument: int = 0) -> None:
        """Withdraw the openings of targets: of all books, one owner, or one market. Closing goes on."""
        for number, targets in self.m.aims.items():
            for name, target in targets.items():
                if owner in ("", name) and instrument in (0, number):
                    self._clamp(at_ns, name, number, target, "openings were stopped", emit)

    def begin(self, at_ns: int, emit: Emit) -> None:
        """Begin a session: what was wanted stands. With real orders the account is read first."""
        for number, targets in self.m.aims.items():
            for name, target in targets.items():
                target.requested = False
                if target.order not in self.m.live:
                    target.order = ""
                if target.wanted is not None:
                    target.next_ns = at_ns + SECOND_NS
                    if not self.m.real:
                        self.m.timer(target.next_ns, f"target {number} {name}", emit)

    def retry(self, at_ns: int, emit: Emit, markets: Collection[int] | None = None) -> None:
        """Try the targets now, all or those of markets: the account was read, or an operator resumed."""
        for number, targets in self.m.aims.items():
            for name, target in targets.items() if markets is None or number in markets else ():
                target.next_ns = 0
                self.work(at_ns, name, number, target, emit)

    def settle(self, at_ns: int, owner: str, instrument: int, emit: Emit) -> None:
        """Look again at the target of a book after anything changed in it."""
        target = self.of(owner, instrument)
        if target is not None:
            if target.blocked:
                target.blocked = False
                target.next_ns = 0
            self.work(at_ns, owner, instrument, target, emit)

    def due(self, at_ns: int, key: str, emit: Emit) -> None:
        """Try a target whose wait is over."""
        number, _, owner = key.partition(" ")
        target = self.of(owner, int(number))
        if target is not None and target.next_ns <= at_ns:
            self.work(at_ns, owner, int(number), target, emit)

    def _wait(
        self, at_ns: int, owner: str, instrument: int, target: Target, closing: bool, why: str, emit: Emit
    ) -> None:
        """Set the next try by the pace, and report an exit that is late."""
        target.tries += 1
        target.closing = closing
        wait = HOPELESS_NS if is_hopeless(why) else wait_ns(target.tries, closing=closing)
        target.next_ns = at_ns + wait
        self.m.timer(target.next_ns, f"target {instrument} {owner}", emit)
        state = self._stay(target, "waiting", target.state == "withdrawn")
        self._show(at_ns, owner, instrument, target, state, why, emit)
        if closing and (not target.reported_ns or at_ns >= target.reported_ns + REPORT_NS):
            target.reported_ns = at_ns
            left = abs(self.m.book(owner, instrument))
            emit(ExitDelayed(at_ns, owner, instrument, left, target.tries, target.since_ns or at_ns, why))

    def _wait_for_event(
        self, at_ns: int, owner: str, instrument: int, target: Target, why: str, emit: Emit
    ) -> None:
        target.blocked = True
        self._show(
            at_ns,
            owner,
            instrument,
            target,
            self._stay(target, "waiting", target.state == "withdrawn"),
            why,
            emit,
        )

    def _clamp(self, at_ns: int, owner: str, instrument: int, target: Target, why: str, emit: Emit) -> None:
        if target.wanted is None:
            return
        if not self._cap(owner, instrument, target):
            return
        self._show(at_ns, owner, instrument, target, "withdrawn", why, emit)
        self.work(at_ns, owner, instrument, target, emit)

    def _cap(self, owner: str, instrument: int, target: Target) -> bool:
        """Want no more than the position, on its side; return whether that withdraws anything."""
        held, wanted = self.m.book(owner, instrument), target.wanted or 0
        target.wanted = min(max(wanted, min(0, held)), max(0, held))
        return target.wanted != wanted

    def _reset(self, target: Target) -> None:
        target.tries = target.next_ns = target.refused_ns = target.since_ns = target.reported_ns = 0
        target.blocked = False

    def _stay(self, target: Target, state: str, only_closes: bool) -> str:
        """Return the state, or "withdrawn" while only closing goes on."""
        return "withdrawn" if only_closes else state

    def _show(
        self, at_ns: int, owner: str, instrument: int, target: Target, state: str, reason: str, emit: Emit
    ) -> None:
        """Set the state, and emit a change of what is wanted, of the state or of its reason."""
        reason = reason or (target.reason if state == target.state == "withdrawn" else "")
        target.state, target.reason = state, reason
        shown = (target.wanted, state, reason)
        if shown == target.shown:
            return
        target.shown = shown
        live = self.m.live.get(target.order)
        working = live.terms.side * live.left if live is not None else 0
        held = self.m.book(owner, instrument)
        emit(
            TargetChanged(
                at_ns, owner, instrument, target.wanted, held, working, state, reason, target.next_ns
            )
        )
