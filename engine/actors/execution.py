"""Owns the life cycle of orders. It is the only actor that emits commands.

Turns each approval into a `SubmitOrder`, applies the venue's reports, and emits `OrderChanged` for each
change of state. The client order id is made of the session and the approval's seq: the same on replay,
never reused. Reports may be duplicated, late, or in any order: a state only moves forward, and a fill is
counted once, by its trade id.

With a real venue a response can be lost. The order is then Unknown. It is never sent again; the venue is
queried (`QueryOrder`) until there is proof of the order's state. Proof is the venue's report, or that the
venue does not know the order after its expiry, when it would have refused it. An exit expires sooner than an
opening, so that a lost one is replaced within seconds (decision 0062).
"""

from __future__ import annotations

from engine.actors import expiry
from engine.actors.at_venues import DEAD_MAN, AtVenues, timer_of
from engine.actors.base import Emit, handles, remember
from engine.actors.order import Order, filled_ahead, is_decided, is_replaced, note_sent
from engine.config import AccountConfig, VenueConfig
from engine.events import (
    ActorFailed,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    EngineHalted,
    FillBooked,
    MarketHalted,
    ModifyApproved,
    ModifyOrder,
    ModifyRejected,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderChanged,
    OrderModified,
    OrderRead,
    OrderRejected,
    OrderUnknown,
    QueryOrder,
    SessionStarted,
    SubmitOrder,
    TimerFired,
)
from engine.events.terms import CLOSE
from engine.instruments import is_of

__all__ = ["Execution"]

QUERY_WAITS_MAX = 6
"""The wait between two queries of an order doubles each time, up to this multiple of `answer_ms`."""


class Execution(AtVenues):
    """State: the session's id, the live orders by client order id in order of submission, the latest ended
    orders, and what is known of each account (`AtVenues`).

    With `venue` orders are real: they expire by the venue's clock, and the venue is queried about them.
    """

    WIRING = AtVenues.WIRING | {"_answer_ns"}
    _ended: dict[str, Order]

    def __init__(
        self,
        venue: VenueConfig | None = None,
        account: AccountConfig | None = None,
        accounts: tuple[str, ...] = (),
    ) -> None:
        super().__init__(venue, account or AccountConfig(), accounts)
        self._answer_ns = venue.answer_ms * 1_000_000 if venue else 0
        self._session = "0" * 16
        self._ended = {}

    @property
    def live_orders(self) -> int:
        """The number of orders that may still fill."""
        return len(self._orders)

    @property
    def working(self) -> list[str]:
        """The client order ids of the orders that may still fill."""
        return list(self._orders)

    def working_at(self, venue: str) -> list[str]:
        """Return the client order ids of the orders that may still fill at a venue; "" has all."""
        return [
            name for name, order in self._orders.items() if is_of(venue, self.instruments[order.instrument])
        ]

    @handles(SessionStarted)
    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Begin a session: its id becomes part of order ids.

        Query the orders an earlier session left open.
        """
        self._session = started.session
        if self._venue is None or started.mode != "live":
            return
        self.begin_accounts(self._venue)
        for client_order_id in list(self._orders):
            self._doubt(started.recv_ns, client_order_id, emit)

    # From approvals and requests to commands.

    @handles(OrderApproved)
    def submit(self, approved: OrderApproved, emit: Emit) -> None:
        """Submit an approved order."""
        terms = approved.terms
        is_exit = expiry.is_exit(approved)
        due_ns = self._expires_ns(approved, self.exits_missed(approved.instrument) if is_exit else -1)
        client_order_id = f"0x{self._session}{self.turn.seq:016x}"
        self._orders[client_order_id] = Order(
            approved.strategy,
            approved.instrument,
            terms.side,
            terms.size,
            terms.worst,
            terms.tif,
            terms.reduce_only,
            due_ns,
            role=terms.role,
            trigger=terms.trigger,
            parent=terms.parent,
            margin_ns=expiry.margin_ns(self._venue, approved, self.instruments) if is_exit else 0,
        )
        emit(
            SubmitOrder(
                approved.at_ns,
                client_order_id,
                approved.strategy,
                approved.instrument,
                terms,
                due_ns,
                approved.reason,
            )
        )
        self._report(approved.at_ns, client_order_id, emit)
        self._await_response(approved.at_ns, client_order_id, emit)
        self.suspend_dead_man(approved.at_ns, emit)

    @handles(ModifyApproved)
    def modify(self, approved: ModifyApproved, emit: Emit) -> None:
        """Send an approved change of a live order."""
        order = self._orders.get(approved.client_order_id)
        if order is None or order.canceling:
            return
        order.modifying, order.changing = approved.limit_price, approved.size
        order.state = order.working_state
        missed = self.exits_missed(order.instrument) if order.role == CLOSE else -1
        due_ns = self._expires_ns(approved, missed)
        proof_ns = expiry.change_proof_ns(self._venue, order, due_ns, self._answer_ns)
        change = ModifyOrder(
            approved.at_ns,
            approved.client_order_id,
            order.instrument,
            order.side,
            approved.size,
            approved.limit_price,
            order.tif,
            order.reduce_only,
            due_ns,
            proof_ns,
            order.venue_order_id if proof_ns else 0,
        )
        note_sent(order, change)
        emit(change)
        self._report(approved.at_ns, approved.client_order_id, emit)
        self._await_response(approved.at_ns, approved.client_order_id, emit)

    @handles(CancelRequested)
    def cancel(self, request: CancelRequested, emit: Emit) -> None:
        """Cancel a live order at the request of the strategy that owns it."""
        order = self._orders.get(request.client_order_id)
        if order is not None and order.strategy == request.strategy:
            self._cancel(request.at_ns, request.client_order_id, request.reason, emit)

    @handles(EngineHalted)
    def cancel_all(self, halted: EngineHalted, emit: Emit) -> None:
        """Cancel every live order that opens. Exits and protection stay."""
        self._cancel_openings(halted.at_ns, "halted", emit)

    @handles(MarketHalted)
    def cancel_market(self, halted: MarketHalted, emit: Emit) -> None:
        """Cancel the live orders that open in a market that is halted."""
        self._cancel_openings(halted.at_ns, "market halted", emit, instrument=halted.instrument)

    @handles(ActorFailed)
    def cancel_of(self, failed: ActorFailed, emit: Emit) -> None:
        """Cancel the orders that open of a strategy that failed; all if the books or the manager failed."""
        owner = "" if failed.actor in ("orders", "books") else failed.actor
        self._cancel_openings(failed.at_ns, f"{failed.actor} failed", emit, owner=owner)

    def _cancel_openings(
        self, at_ns: int, reason: str, emit: Emit, *, owner: str = "", instrument: int = 0
    ) -> None:
        """Cancel the live orders that open: all, those of one owner, or of one market."""
        for client_order_id, order in list(self._orders.items()):
            if owner in ("", order.strategy) and instrument in (0, order.instrument) and order.role != CLOSE:
                self._cancel(at_ns, client_order_id, reason, emit)

    def _expires_ns(self, approved: OrderApproved | ModifyApproved, missed: int = -1) -> int:
        """Return the venue's time after which an order is neither sent nor taken; 0 on paper."""
        if self._venue is None:
            return 0
        return expiry.expires_ns(self._venue, approved, missed) + self.clock_ns(approved.instrument)

    def _cancel(self, at_ns: int, client_order_id: str, reason: str, emit: Emit) -> None:
        order = self._orders[client_order_id]
        if order.canceling:
            return
        order.canceling = reason or "canceled"
        if order.state != "Unknown":
            order.state = order.working_state
        emit(CancelOrder(at_ns, client_order_id, order.instrument, reason))
        self._report(at_ns, client_order_id, emit)
        self._await_response(at_ns, client_order_id, emit)

    # Reports of the venue.

    @handles(OrderAccepted)
    def accept(self, report: OrderAccepted, emit: Emit) -> None:
        """Note that the venue works the order."""
        order = self._orders.get(report.client_order_id)
        if order is None:
            return
        order.venue_order_id = max(order.venue_order_id, report.venue_order_id)
        self._note_arrival(order)
        if order.state in ("PendingNew", "Unknown"):
            self._work(report.recv_ns, report.client_order_id, emit)

    @handles(FillBooked)
    def fill(self, report: FillBooked, emit: Emit) -> None:
        """Count an execution. The last one ends the order. One may follow a cancel or a rejection."""
        client_order_id = report.client_order_id
        order = self._orders.get(client_order_id) or self._ended.get(client_order_id)
        if order is None:
            return
        order.filled += report.size
        self._note_arrival(order)
        if is_replaced(order, report.venue_order_id, report.size):
            order.size += report.size  # What is open since the change is open still.
            order.filled_at_end += report.size if order.filled_at_end else 0
        if client_order_id in self._ended:
            order.state = "Filled" if order.filled >= order.size else "Canceled"
            self._report(report.at_ns, client_order_id, emit)
        elif order.filled >= order.size and order.may_grow:
            self._doubt(report.at_ns, client_order_id, emit)
        elif order.filled >= order.size:
            self._end(report.at_ns, client_order_id, "Filled", emit)
        elif 0 < order.filled_at_end <= order.filled:
            self._end(report.at_ns, client_order_id, "Canceled", emit)
        else:
            self._work(report.at_ns, client_order_id, emit)

    @handles(OrderCanceled)
    def end_canceled(self, report: OrderCanceled, emit: Emit) -> None:
        """End an order that the venue no longer works.

        If less remains than is open here, fills are still to be reported: the end waits for them, or for the
        answer to a query, which comes after all fills.
        """
        client_order_id = report.client_order_id
        order = self._orders.get(client_order_id)
        if order is None:
            return
        filled = order.size - report.remaining
        if self._venue is not None and order.filled < filled:
            order.filled_at_end = filled
            self._doubt(report.recv_ns, client_order_id, emit)
        else:
            self._end(report.recv_ns, client_order_id, "Canceled", emit)

    @handles(OrderRejected)
    def end_rejected(self, report: OrderRejected, emit: Emit) -> None:
        """End an order that the venue refused."""
        order = self._orders.get(report.client_order_id)
        if order is not None:
            self._end_refused(report.recv_ns, report.client_order_id, emit)

    @handles(OrderModified)
    def note_modified(self, report: OrderModified, emit: Emit) -> None:
        """Take over the values that the venue now works the order with."""
        order = self._orders.get(report.client_order_id)
        if order is None:
            return
        order.limit_price = report.limit_price
        order.size = order.filled + report.size - filled_ahead(order, report.venue_order_id)
        if is_decided(order):
            order.modifying = 0
        if order.filled < order.size or order.may_grow:
            self._work(report.recv_ns, report.client_order_id, emit)
        else:
            self._end(report.recv_ns, report.client_order_id, "Filled", emit)

    @handles(ModifyRejected, CancelRejected)
    def query_refused(self, report: ModifyRejected | CancelRejected, emit: Emit) -> None:
        """Query an order whose change or cancel was refused: it may have ended."""
        order = self._orders.get(report.client_order_id)
        if order is None:
            return
        if isinstance(report, ModifyRejected):
            order.modifying = 0 if is_decided(order) else order.modifying
            if order.state != "Unknown":
                self._work(report.recv_ns, report.client_order_id, emit)
        if self._venue is not None:
            order.queries = 0
            self._query(report.recv_ns, report.client_order_id, emit)

    @handles(OrderUnknown)
    def note_unknown(self, report: OrderUnknown, emit: Emit) -> None:
        """Mark an order as Unknown and query it, unless the venue has already confirmed it."""
        order = self._orders.get(report.client_order_id)
        if order is None or order.state in ("New", "PartiallyFilled", "Unknown"):
            return
        if self._venue is not None:
            self._doubt(report.recv_ns, report.client_order_id, emit)
            return
        order.state = "Unknown"
        order.queries = 0
        self._report(report.recv_ns, report.client_order_id, emit)

    @handles(OrderRead)
    def apply_read(self, read: OrderRead, emit: Emit) -> None:
        """Apply the venue's response to a query."""
        client_order_id = read.client_order_id
        order = self._orders.get(client_order_id)
        if order is None:
            return
        number = order.venue_order_id
        order.venue_order_id = max(number, read.venue_order_id)
        if read.state == "canceled":
            self._end(read.recv_ns, client_order_id, "Canceled", emit)
        elif read.state == "rejected":
            self._end_refused(read.recv_ns, client_order_id, emit)
        elif read.state == "open":
            self._apply_open(order, read, number, emit)
        elif read.state == "filled" and order.filled >= order.size:
            self._end(read.recv_ns, client_order_id, "Filled", emit)  # the change came too late
        elif read.state == "absent" and expiry.is_absent(order, read, self._answer_ns):
            self._end_refused(read.recv_ns, client_order_id, emit)
        elif read.state == "filled" and expiry.is_cut(order, read, self._answer_ns):
            self._end(read.recv_ns, client_order_id, "Canceled", emit)
        else:
            # Filled, but its fills are not reported yet; or absent, but too early for that to be proof.
            self._query_later(read.recv_ns, client_order_id, emit, read.venue_ns)

    def _apply_open(self, order: Order, read: OrderRead, number: int, emit: Emit) -> None:
        """Handle an order that the venue still works: a pending cancel was not carried out.

        A pending change was carried out if the order shows it. If not, it may still arrive until its proof.
        """
        client_order_id = read.client_order_id
        undecided = expiry.is_undecided(order, read, number)
        if order.modifying and not undecided:
            order.limit_price = read.limit_price
            order.size = order.filled + read.size
            order.modifying = order.changes = 0
        if not undecided and order.state != order.working_state:
            self._work(read.recv_ns, client_order_id, emit)
        if order.canceling:
            emit(CancelOrder(read.recv_ns, client_order_id, order.instrument, order.canceling))
        if order.canceling or undecided:
            self._query_later(read.recv_ns, client_order_id, emit, read.venue_ns if undecided else 0)

    # Queries.

    @handles(TimerFired)
    def fire(self, timer: TimerFired, emit: Emit) -> None:
        """Query an order without a response, or postpone the dead man's switch."""
        what, _, venue = timer.key.partition(DEAD_MAN)
        if not what and timer.key:
            self.postpone_dead_man(timer.at_ns, venue.strip(), emit)
            return
        order = self._orders.get(timer.key)
        if order is None or order.state in ("New", "PartiallyFilled"):
            return
        if order.state != "Unknown":
            order.state = "Unknown"
            self._report(timer.at_ns, timer.key, emit)
        self._query(timer.at_ns, timer.key, emit)

    def _await_response(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        if self._venue is not None:
            order = self._orders[client_order_id]
            order.queries = 0
            venue_ns = at_ns + self.clock_ns(order.instrument)
            wait_ns = expiry.until_proof(self._venue, order, venue_ns, self._answer_ns)
            emit(timer_of(at_ns + wait_ns, client_order_id))

    def _doubt(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        """Mark an order as Unknown and query it."""
        order = self._orders[client_order_id]
        order.state, order.queries = "Unknown", 0
        self._report(at_ns, client_order_id, emit)
        self._query(at_ns, client_order_id, emit)

    def _query(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        order = self._orders[client_order_id]
        order.queries += 1
        emit(QueryOrder(at_ns, client_order_id, order.instrument, order.queries))
        self._query_later(at_ns, client_order_id, emit)

    def _query_later(self, at_ns: int, client_order_id: str, emit: Emit, venue_ns: int = 0) -> None:
        """Set the next query. `venue_ns`: the venue's time of the last answer, by default by our clock."""
        order = self._orders[client_order_id]
        fifths = 1 << min(order.queries, expiry.DOUBLINGS_MAX)
        wait_ns = min(self._answer_ns * fifths // 5, self._answer_ns * QUERY_WAITS_MAX)
        venue_ns = venue_ns or at_ns + self.clock_ns(order.instrument)
        wait_ns = expiry.until_proof(self._venue, order, venue_ns, wait_ns)
        emit(timer_of(at_ns + wait_ns, client_order_id))

    # Changes of state.

    def _note_arrival(self, order: Order) -> None:
        """Note that an exit has reached the venue's book, if this order is one."""
        if order.role == CLOSE:
            self.note_exit(order.instrument, missed=False)

    def _end_refused(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        """End an order that the venue refused, does not know, or was not sent."""
        order = self._orders[client_order_id]
        if order.role == CLOSE and not order.filled:
            self.note_exit(order.instrument, missed=True)
        self._end(at_ns, client_order_id, "Canceled" if order.filled else "Rejected", emit)

    def _work(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        order = self._orders[client_order_id]
        order.state = order.working_state
        self._report(at_ns, client_order_id, emit)

    def _end(self, at_ns: int, client_order_id: str, state: str, emit: Emit) -> None:
        self._orders[client_order_id].state = state
        self._report(at_ns, client_order_id, emit)
        # A fill can still be reported for it.
        remember(self._ended, client_order_id, self._orders.pop(client_order_id), self.remembered)
        self.suspend_dead_man(at_ns, emit)

    def _report(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        order = self._orders.get(client_order_id) or self._ended[client_order_id]
        left = max(0, order.size - order.filled)
        market = order.strategy, order.instrument
        emit(OrderChanged(at_ns, client_order_id, *market, order.state, order.filled, left))
