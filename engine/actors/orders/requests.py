"""Divides requests into the part that closes and the part that opens, and approves or refuses each.

Owns the way from a request to its answer: which part is judged by which rule, what waits for what, and the
terms that an approval fixes (role, bound, the venue's reduce-only flag). Called by the manager. Its state is
`turns` (opening parts that wait for their closing part) and `waiting` (own exits that wait for evidence).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from engine.actors.base import Emit
from engine.actors.orders.halts import DISARMED
from engine.actors.orders.state import Live, Turn, Waiting
from engine.events import (
    CancelRequested,
    ModifyApproved,
    ModifyRequested,
    OrderApproved,
    OrderRefused,
    OrderRequested,
    OrderTerms,
)
from engine.events.terms import CLOSE, MARKET_TIF, OPEN, PROTECTIVE

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Requests"]

_REPLACED: Final = ("replaced", "the strategy wants something else by now")
_BELOW_GRID: Final = ("size", "the book holds less than one step of the venue's grid")
_NOTHING: Final = ("nothing_to_close", "the book holds nothing that this order could close")


class Requests:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager

    def take(self, request: OrderRequested, emit: Emit) -> None:
        """Answer a request. A strategy's own is divided by what its book holds at this moment."""
        terms = request.terms
        if terms.purpose == "target":
            # A call in the same turn may have changed what is wanted.
            wanted = self.m.targets.still_wants(request.strategy, request.instrument, terms)
            if not wanted:
                self.refuse(request, terms, _REPLACED, emit)
                return
            terms = replace(terms, size=wanted)
        elif terms.role == CLOSE and terms.purpose != "own":
            left = self._still_due(request, terms)
            if not left:
                self.refuse(request, terms, _REPLACED, emit)
                return
            terms = replace(terms, size=left)
        if terms.role:
            self._judge(request, terms, emit)
            return
        held = self.m.book(request.strategy, request.instrument)
        # What a book holds beyond the grid cannot be closed alone.
        closable = self.m.instruments[request.instrument].size_to_grid(abs(held))
        closes = min(terms.size, closable) if held * terms.side < 0 else 0
        opens = 0 if terms.reduce_only else terms.size - closes
        if terms.size > 0 and not closes and not opens:
            broken = _BELOW_GRID if held * terms.side < 0 else _NOTHING
            self.refuse(request, replace(terms, role=CLOSE), broken, emit)
            return
        if not closes:
            self._judge(request, replace(terms, role=OPEN), emit)
            return
        if opens:
            # The part that opens is judged once the other is wholly filled, on the book as it is then.
            following = replace(terms, size=opens, role=OPEN, trigger="", trigger_price=0)
            self.m.turns[terms.handle] = Turn(
                request.strategy,
                request.instrument,
                following,
                request.reason,
                request.children,
                self.m.turn.seq,
                closes,
            )
        self._judge(request, replace(terms, size=closes, role=CLOSE), emit)

    def _still_due(self, request: OrderRequested, terms: OrderTerms) -> int:
        """Return how much of a protective exit, requested earlier in the turn, is still due.

        Its stop may have been canceled, its position closed, or the exit done since.
        """
        m = self.m
        owner, instrument = request.strategy, request.instrument
        if not terms.trigger:
            return m.exits.still_owes(owner, instrument, terms)
        if terms.purpose == "trail":
            return terms.size
        if not m.protection.keeps(owner, instrument, terms.handle):
            return 0
        return terms.size if terms.parent or m.book(owner, instrument) * terms.side < 0 else 0

    def _judge(self, request: OrderRequested, terms: OrderTerms, emit: Emit) -> None:
        """Approve or refuse one part; an exit may have to wait."""
        m = self.m
        owner, instrument, at_ns = request.strategy, request.instrument, request.at_ns
        exits = terms.role == CLOSE and not terms.trigger and terms.size > 0
        if exits:
            room, holder = m.exits.budget(owner, instrument, terms)
            if not room:
                words = f"{holder} already closes it" if holder else _NOTHING[1]
                self.refuse(request, terms, ("exit_budget" if holder else _NOTHING[0], words), emit)
                return
        broken = m.gates.refusal(at_ns, owner, instrument, terms)
        if broken is None and terms.trigger and not m.protection.wants(owner, instrument, terms):
            broken = _NOTHING  # The stop ended while its order was on the way.
        if broken is None and request.children and terms.role == OPEN:
            broken = m.protection.broken(at_ns, instrument, terms, request.children)
        if broken is not None:
            if exits and broken[0] == "no_price" and terms.purpose == "own":
                m.waiting.append(Waiting(owner, instrument, terms, request.reason, m.turn.seq, True))
            else:
                self.refuse(request, terms, broken, emit)
            return
        if exits:
            room, waits, _ = m.exits.admit(at_ns, owner, instrument, terms, emit)
            terms = replace(terms, size=room)
            if waits and terms.purpose not in PROTECTIVE:
                m.waiting.append(Waiting(owner, instrument, terms, request.reason, m.turn.seq))
                return
        self.approve(at_ns, owner, instrument, terms, request.reason, request.children, m.turn.seq, emit)

    def approve(
        self,
        at_ns: int,
        owner: str,
        instrument: int,
        terms: OrderTerms,
        reason: str,
        children: tuple[tuple[str, int, int], ...],
        request_seq: int,
        emit: Emit,
    ) -> None:
        """Fix the last terms of a part, count it as live, and approve it.

        An exit that is larger than the venue's largest order goes in several.
        """
        m = self.m
        largest = m.gates.largest_order(instrument)
        if largest and terms.role == CLOSE:
            while terms.size > largest:
                part = replace(terms, size=largest)
                self.approve(at_ns, owner, instrument, part, reason, (), request_seq, emit)
                terms = replace(terms, size=terms.size - largest)
        # A stop is placed only on the side of the account, so the flag fits it in a netted market too.
        guards = bool(terms.trigger) and terms.purpose != "own"
        flag = terms.role == CLOSE and m.gates.flags_exits(instrument)
        flag = flag and (guards or not m.netted(instrument))
        terms = replace(terms, reduce_only=flag)
        if terms.market:
            terms = replace(terms, tif=MARKET_TIF, bound=m.exits.bound(instrument, terms))
        m.approved.append(Live(owner, instrument, terms, terms.size, request_seq))
        m.gates.note_approval(at_ns)
        fresh_ns = m.gates.fresh_until(at_ns, instrument, terms)
        emit(OrderApproved(at_ns, request_seq, owner, instrument, terms, reason, fresh_ns))
        if children:
            m.protection.attach(at_ns, owner, instrument, terms, children, emit)

    def refuse(self, request: OrderRequested, terms: OrderTerms, broken: tuple[str, str], emit: Emit) -> None:
        """Refuse a part; with a closing part goes the opening part that waits for it."""
        m = self.m
        self.report_refusal(
            request.at_ns, request.strategy, request.instrument, terms, broken, m.turn.seq, emit
        )
        turn = m.turns.pop(terms.handle, None) if terms.role == CLOSE else None
        if turn is not None:
            self.drop(request.at_ns, turn, "its closing part was refused", emit)
        if terms.purpose == "target":
            m.targets.refused(request.at_ns, request.strategy, request.instrument, terms, broken, emit)
        elif terms.purpose in PROTECTIVE and not terms.trigger:
            m.exits.refused(request.at_ns, request.strategy, request.instrument, terms, broken, emit)
        m.protection.refused(request.at_ns, request.strategy, request.instrument, terms, emit)

    def settle(self, at_ns: int, owner: str, instrument: int, emit: Emit) -> None:
        """Look again at the exits of a book that wait for evidence of the end of other orders."""
        m = self.m
        if not m.waiting:
            return
        mine = [one for one in m.waiting if (one.owner, one.instrument) == (owner, instrument)]
        m.waiting = [one for one in m.waiting if (one.owner, one.instrument) != (owner, instrument)]
        for one in mine:
            if one.unpriced and not m.price(instrument).any:
                m.waiting.append(one)
                continue
            one.unpriced = False
            if m.gate.disarmed:
                self._refuse_waiting(at_ns, one, ("disarmed", DISARMED), emit)
                continue
            room, waits, holder = m.exits.admit(at_ns, owner, instrument, one.terms, emit)
            if one.terms.purpose == "target":
                room = min(room, m.targets.still_wants(owner, instrument, one.terms))
            if not room:
                broken = ("exit_budget", f"{holder} closes it") if holder else _NOTHING
                self._refuse_waiting(at_ns, one, broken, emit)
            elif waits:
                m.waiting.append(one)
            else:
                terms = replace(one.terms, size=room)
                self.approve(at_ns, owner, instrument, terms, one.reason, (), one.request_seq, emit)

    def _refuse_waiting(self, at_ns: int, one: Waiting, broken: tuple[str, str], emit: Emit) -> None:
        m = self.m
        self.report_refusal(at_ns, one.owner, one.instrument, one.terms, broken, one.request_seq, emit)
        m.protection.refused(at_ns, one.owner, one.instrument, one.terms, emit)
        turn = m.turns.pop(one.terms.handle, None)
        if turn is not None:
            self.drop(at_ns, turn, "its closing part was refused", emit)
        if one.terms.purpose == "target":
            m.targets.refused(at_ns, one.owner, one.instrument, one.terms, broken, emit)

    def priced(self, at_ns: int, instrument: int, emit: Emit) -> None:
        """Look again at the exits that waited for the first price of a market."""
        owners = {one.owner: None for one in self.m.waiting if one.instrument == instrument and one.unpriced}
        for owner in owners:
            self.settle(at_ns, owner, instrument, emit)

    def ended(self, at_ns: int, client_order_id: str, order: Live, emit: Emit) -> None:
        """Judge the opening part of a turn once its closing part is wholly filled; drop it otherwise."""
        m = self.m
        turn = m.turns.get(order.terms.handle) if order.exits else None
        if turn is None or order.terms.purpose != "own":
            return
        turn.closes -= order.terms.size
        parts = (*m.live.values(), *m.approved)
        if (
            turn.closes > 0
            and order.left <= 0
            and any(one.terms.handle == order.terms.handle for one in parts)
        ):
            return
        del m.turns[order.terms.handle]
        if order.left > 0 or turn.closes > 0:
            self.drop(at_ns, turn, "its closing part was not wholly filled", emit)
            return
        # The book may have moved: the part is divided like a new request of its size.
        m.commands.expect(turn.terms.handle)
        terms = replace(turn.terms, role="")
        emit(OrderRequested(at_ns, turn.owner, turn.instrument, terms, turn.reason, turn.children))

    def cancel(self, request: CancelRequested, emit: Emit) -> None:
        """Cancel what lives under the handle of a request."""
        self.cancel_handle(request.at_ns, request.strategy, request.handle, request.reason, emit)

    def cancel_handle(self, at_ns: int, owner: str, handle: str, reason: str, emit: Emit) -> None:
        """Cancel what lives under a handle: orders, an opening part that waits, stops."""
        m = self.m
        turn = m.turns.pop(handle, None)
        if turn is not None:
            self.drop(at_ns, turn, "canceled", emit)
        for one in [one for one in m.waiting if one.terms.handle == handle]:
            m.waiting.remove(one)
            broken = ("canceled", reason or "canceled before it was sent")
            self.report_refusal(at_ns, one.owner, one.instrument, one.terms, broken, one.request_seq, emit)
            m.protection.refused(at_ns, one.owner, one.instrument, one.terms, emit)
        for client_order_id, order in [*m.live.items(), *(("", order) for order in m.approved)]:
            own = order.terms.purpose == "own" or (
                # What a stop with a limit became: a resting exit.
                order.terms.purpose in ("stop", "take") and order.resting
            )
            if order.terms.handle == handle and own:
                m.cancel(at_ns, client_order_id, order, reason, emit)
        m.protection.cancel(at_ns, owner, handle, reason, emit)

    def modify(self, request: ModifyRequested, emit: Emit) -> None:
        """Change an own order. More size is judged like a new request for the difference."""
        m = self.m
        if m.protection.modify(request, emit):
            return
        for client_order_id, order in [*m.live.items(), *(("", order) for order in m.approved)]:
            if order.terms.handle != request.handle or order.terms.purpose != "own" or order.canceling:
                continue
            listed = m.instruments[order.instrument]
            size = request.size or listed.size_to_grid(order.kept)
            limit = request.limit_price or listed.price_to_grid(order.terms.limit, order.terms.side)
            broken: tuple[str, str] | None = None
            if m.gate.disarmed:
                broken = "disarmed", DISARMED
            elif not client_order_id:
                broken = "modify", "the order has not been submitted yet"
            elif order.modifying and order.proof_ns and order.state == "Unknown":
                broken = "modify", "the outcome of an earlier change is not known yet"
            elif not order.terms.limit:
                broken = "modify", "a market order cannot be changed"
            elif order.exits and size > order.kept:
                # Of a book that has shrunk, its own size may be more than what is left.
                if size > m.exits.room(order):
                    broken = "exit_budget", "other exits already close the rest of the book"
            elif not order.exits:
                broken = m.gates.refusal_of_change(request.at_ns, order, size, limit)
            if broken is not None:
                terms = replace(order.terms, size=size, limit=limit)
                self.report_refusal(
                    request.at_ns, order.owner, order.instrument, terms, broken, m.turn.seq, emit
                )
                continue
            order.left = max(order.left, size)
            order.modifying, order.cut_to = True, size
            emit(
                ModifyApproved(
                    request.at_ns,
                    m.turn.seq,
                    order.owner,
                    client_order_id,
                    order.instrument,
                    size,
                    limit,
                    m.gates.fresh_until(request.at_ns, order.instrument, order.terms),
                )
            )

    def make_way(self, at_ns: int, owner: str, instrument: int, reason: str, emit: Emit) -> None:
        """Make way for what is wanted of a book from now on.

        Its own open orders are canceled, opening parts that wait are dropped, and so is an exit of the
        older target that was not sent yet.
        """
        m = self.m
        for one in [one for one in m.waiting if one.terms.purpose == "target"]:
            if (one.owner, one.instrument) == (owner, instrument):
                m.waiting.remove(one)
                self._refuse_waiting(at_ns, one, _REPLACED, emit)
        for handle, turn in tuple(m.turns.items()):
            if (turn.owner, turn.instrument) == (owner, instrument):
                del m.turns[handle]
                self.drop(at_ns, turn, reason, emit)
        for client_order_id, order in m.orders_of(owner, instrument):
            if not order.exits and order.terms.purpose == "own":
                m.cancel(at_ns, client_order_id, order, reason, emit)

    def drop_openings(self, at_ns: int, emit: Emit, *, owner: str = "", instrument: int = 0) -> None:
        """Drop the opening parts that wait: of all books, one owner, or one market."""
        for handle, turn in tuple(self.m.turns.items()):
            if owner in ("", turn.owner) and instrument in (0, turn.instrument):
                del self.m.turns[handle]
                self.drop(at_ns, turn, "openings were stopped", emit)
        for order in self.m.approved:
            if not order.exits and owner in ("", order.owner) and instrument in (0, order.instrument):
                self.m.cancel(at_ns, "", order, "openings were stopped", emit)

    def drop(self, at_ns: int, turn: Turn, why: str, emit: Emit) -> None:
        self.report_refusal(
            at_ns, turn.owner, turn.instrument, turn.terms, ("turn", why), turn.request_seq, emit
        )

    def report_refusal(
        self,
        at_ns: int,
        owner: str,
        instrument: int,
        terms: OrderTerms,
        broken: tuple[str, str],
        request_seq: int,
        emit: Emit,
    ) -> None:
        """Report that a part is refused: by which limit, and why."""
        limit, reason = broken
        self.m.commands.note_end(terms.handle, broken)
        emit(
            OrderRefused(
                at_ns,
                request_seq,
                owner,
                instrument,
                terms.side,
                terms.size,
                limit,
                reason,
                terms.reduce_only,
                terms.role,
                terms.handle,
                terms.purpose,
            )
        )
