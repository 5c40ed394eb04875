"""Owns the life cycle of orders and is the only emitter of commands.

Turns each approval into `SubmitOrder` with a client order id made of the session and the approval's seq
(the same on replay, never reused), follows the venue's reports, and tells each change of state. Reports
may come doubled, late, or in any order: a state only moves forward, a fill is counted once by its trade id.

With a real venue an answer can be lost. Such an order is Unknown: the venue is asked about it again and
again (`QueryOrder`), it is never sent again, and it leaves that state only on evidence: what the venue
says of it, or that the venue did not know it after the time at which it would have refused it.
"""

from __future__ import annotations

from engine.actors.base import Actor, Emit, Once, SetTimer, State, handles, remember
from engine.clock import SECOND_NS
from engine.config import VenueConfig
from engine.events import (
    AccountRead,
    ActorFailed,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    EngineHalted,
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
    TimerFired,
)

__all__ = ["Execution", "Order"]

QUERY_WAITS_MAX = 6
"""The waits between two questions about an order double, up to so many times `answer_ms`."""

_DEAD_MAN = "dead man's switch"


class Order(State):
    """An order. `state` follows FIX; `size` is what is filled and open together, at the size scale.

    `canceling` (the reason) and `modifying` (the new limit price) were asked for and have no evidence yet.
    """

    strategy: str
    instrument: int
    side: int
    size: int
    limit_price: int
    tif: str
    reduce_only: bool
    expires_ns: int = 0
    state: str = "PendingNew"
    filled: int = 0
    venue_order_id: int = 0
    canceling: str = ""
    modifying: int = 0
    queries: int = 0

    @property
    def working_state(self) -> str:
        """What the order is once the venue has it."""
        if self.canceling:
            return "PendingCancel"
        if self.modifying:
            return "PendingReplace"
        return "PartiallyFilled" if self.filled else "New"


class Execution(Actor):
    """State: the session's id, the live orders by client order id in the order they were sent, the last ended
    ones, and `reconciled_ns`, the venue's time up to which the account is known.

    With `venue` orders are real: they expire, and are asked about.
    """

    WIRING = Actor.WIRING | {"_venue", "_answer_ns"}

    def __init__(self, venue: VenueConfig | None = None) -> None:
        super().__init__("execution")
        self._venue = venue
        self._answer_ns = venue.answer_ms * 1_000_000 if venue else 0
        self._session = "0" * 16
        self._orders: dict[str, Order] = {}
        self._ended: dict[str, Order] = {}
        self._fills = Once()
        self._leverage_asked = False
        self._dead_man = False
        self.reconciled_ns = 0

    @property
    def live_orders(self) -> int:
        """How many orders may still fill."""
        return len(self._orders)

    @property
    def working(self) -> list[str]:
        """The client ids of the orders that may still fill."""
        return list(self._orders)

    def knows(self, client_order_id: str) -> bool:
        """Return whether an order is one of this session's, or one that is remembered from before."""
        return (
            client_order_id.startswith(f"0x{self._session}")
            or client_order_id in self._orders
            or client_order_id in self._ended
        )

    @handles(SessionStarted)
    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Ids of this session carry its name. What an earlier session left open is asked about."""
        self._session = started.session
        if self._venue is None or started.mode != "live":
            return
        self._leverage_asked = False
        self._dead_man = bool(self._venue.dead_man_s)
        for client_order_id, order in list(self._orders.items()):
            order.state = "Unknown"
            order.queries = 0
            self._tell(started.recv_ns, client_order_id, emit)
            self._ask(started.recv_ns, client_order_id, emit)

    # From wishes to commands.

    @handles(OrderApproved)
    def submit(self, approved: OrderApproved, emit: Emit) -> None:
        """Send an approved order, and with it the two that are attached to it."""
        expires_ns = 0 if self._venue is None else approved.at_ns + self._venue.expires_ms * 1_000_000
        parent = f"0x{self._session}{self.turn.seq:016x}"
        self._send(
            emit,
            SubmitOrder(
                approved.at_ns,
                parent,
                approved.strategy,
                approved.instrument,
                approved.side,
                approved.size,
                approved.limit_price,
                approved.tif,
                approved.reduce_only,
                approved.trigger,
                approved.trigger_price,
                "",
                expires_ns,
            ),
        )
        attached = ((1, "sl", approved.stop_loss), (2, "tp", approved.take_profit))
        for digit, trigger, price in attached:
            if price:
                child = SubmitOrder(
                    approved.at_ns,
                    f"0x{self._session}{digit}{self.turn.seq:015x}",
                    approved.strategy,
                    approved.instrument,
                    -approved.side,
                    approved.size,
                    0,
                    "Gtc",
                    True,
                    trigger,
                    price,
                    parent,
                    expires_ns,
                )
                self._send(emit, child)

    def _send(self, emit: Emit, command: SubmitOrder) -> None:
        self._orders[command.client_order_id] = Order(
            command.strategy,
            command.instrument,
            command.side,
            command.size,
            command.limit_price,
            command.tif,
            command.reduce_only,
            command.expires_ns,
        )
        emit(command)
        self._tell(command.at_ns, command.client_order_id, emit)
        self._expect_answer(command.at_ns, command.client_order_id, emit)

    @handles(ModifyApproved)
    def modify(self, approved: ModifyApproved, emit: Emit) -> None:
        """Have a live order changed."""
        order = self._orders.get(approved.client_order_id)
        if order is None or order.canceling:
            return
        order.modifying = approved.limit_price
        order.state = order.working_state
        expires_ns = 0 if self._venue is None else approved.at_ns + self._venue.expires_ms * 1_000_000
        emit(
            ModifyOrder(
                approved.at_ns,
                approved.client_order_id,
                order.instrument,
                order.side,
                approved.size,
                approved.limit_price,
                order.tif,
                order.reduce_only,
                expires_ns,
            )
        )
        self._tell(approved.at_ns, approved.client_order_id, emit)
        self._expect_answer(approved.at_ns, approved.client_order_id, emit)

    @handles(CancelRequested)
    def cancel(self, wish: CancelRequested, emit: Emit) -> None:
        """Cancel a live order of the strategy that asks."""
        order = self._orders.get(wish.client_order_id)
        if order is not None and order.strategy == wish.strategy:
            self._cancel(wish.at_ns, wish.client_order_id, wish.reason, emit)

    @handles(EngineHalted)
    def cancel_all(self, halted: EngineHalted, emit: Emit) -> None:
        """Cancel everything that may still fill."""
        for client_order_id in list(self._orders):
            self._cancel(halted.at_ns, client_order_id, "halted", emit)

    @handles(MarketHalted)
    def cancel_market(self, halted: MarketHalted, emit: Emit) -> None:
        """Cancel what may still fill on a market that is halted."""
        for client_order_id, order in list(self._orders.items()):
            if order.instrument == halted.instrument:
                self._cancel(halted.at_ns, client_order_id, "market halted", emit)

    @handles(ActorFailed)
    def cancel_of(self, failed: ActorFailed, emit: Emit) -> None:
        """Cancel the orders of a strategy that failed; all of them when risk itself did."""
        for client_order_id, order in list(self._orders.items()):
            if failed.actor in (order.strategy, "risk"):
                self._cancel(failed.at_ns, client_order_id, f"{failed.actor} failed", emit)

    def _cancel(self, at_ns: int, client_order_id: str, reason: str, emit: Emit) -> None:
        order = self._orders[client_order_id]
        if order.canceling:
            return
        order.canceling = reason or "canceled"
        if order.state != "Unknown":
            order.state = order.working_state
        emit(CancelOrder(at_ns, client_order_id, order.instrument, reason))
        self._tell(at_ns, client_order_id, emit)
        self._expect_answer(at_ns, client_order_id, emit)

    # What the venue reports.

    @handles(OrderAccepted)
    def accept(self, report: OrderAccepted, emit: Emit) -> None:
        """The venue has it."""
        order = self._orders.get(report.client_order_id)
        if order is None:
            return
        order.venue_order_id = report.venue_order_id or order.venue_order_id
        if order.state in ("PendingNew", "Unknown"):
            self._work(report.recv_ns, report.client_order_id, emit)

    @handles(OrderFilled)
    def fill(self, report: OrderFilled, emit: Emit) -> None:
        """Count an execution; the last one ends the order. One may come after its order ended otherwise."""
        client_order_id = report.client_order_id
        order = self._orders.get(client_order_id) or self._ended.get(client_order_id)
        if order is None or not self._fills.first(report):
            return
        order.filled += report.size
        if client_order_id in self._ended:
            order.state = "Filled" if order.filled >= order.size else "Canceled"
            self._tell(report.recv_ns, client_order_id, emit)
        elif order.filled >= order.size:
            self._end(report.recv_ns, client_order_id, "Filled", emit)
        else:
            self._work(report.recv_ns, client_order_id, emit)

    @handles(OrderCanceled)
    def end_canceled(self, report: OrderCanceled, emit: Emit) -> None:
        """The venue no longer works it."""
        if report.client_order_id in self._orders:
            self._end(report.recv_ns, report.client_order_id, "Canceled", emit)

    @handles(OrderRejected)
    def end_rejected(self, report: OrderRejected, emit: Emit) -> None:
        """The venue refused it."""
        order = self._orders.get(report.client_order_id)
        if order is not None:
            self._end(
                report.recv_ns, report.client_order_id, "Canceled" if order.filled else "Rejected", emit
            )

    @handles(OrderModified)
    def end_modify(self, report: OrderModified, emit: Emit) -> None:
        """The venue works the order's new values."""
        order = self._orders.get(report.client_order_id)
        if order is None:
            return
        order.venue_order_id = report.venue_order_id
        order.limit_price = report.limit_price
        order.size = order.filled + report.size
        order.modifying = 0
        self._work(report.recv_ns, report.client_order_id, emit)

    @handles(ModifyRejected, CancelRejected)
    def doubt_refusal(self, report: ModifyRejected | CancelRejected, emit: Emit) -> None:
        """The venue would not: perhaps the order is no more. That is asked, not guessed."""
        order = self._orders.get(report.client_order_id)
        if order is None:
            return
        if isinstance(report, ModifyRejected):
            order.modifying = 0
            if order.state != "Unknown":
                self._work(report.recv_ns, report.client_order_id, emit)
        if self._venue is not None:
            order.queries = 0
            self._ask(report.recv_ns, report.client_order_id, emit)

    @handles(OrderUnknown)
    def doubt(self, report: OrderUnknown, emit: Emit) -> None:
        """An answer is lost: whatever has no evidence yet is asked about."""
        order = self._orders.get(report.client_order_id)
        if order is None or order.state in ("New", "PartiallyFilled", "Unknown"):
            return
        order.state = "Unknown"
        order.queries = 0
        self._tell(report.recv_ns, report.client_order_id, emit)
        if self._venue is not None:
            self._ask(report.recv_ns, report.client_order_id, emit)

    @handles(OrderRead)
    def learn(self, read: OrderRead, emit: Emit) -> None:
        """Take what the venue says when asked."""
        client_order_id = read.client_order_id
        order = self._orders.get(client_order_id)
        if order is None:
            return
        order.venue_order_id = read.venue_order_id or order.venue_order_id
        if read.state == "canceled":
            self._end(read.recv_ns, client_order_id, "Canceled", emit)
        elif read.state == "rejected":
            self._end(read.recv_ns, client_order_id, "Canceled" if order.filled else "Rejected", emit)
        elif read.state == "open":
            self._learn_open(order, read, emit)
        elif read.state == "absent" and self._proved_absent(order, read):
            self._end(read.recv_ns, client_order_id, "Rejected", emit)
        else:
            # Filled, but its fills are still to come; or not known yet, which proves nothing.
            self._ask_later(read.recv_ns, client_order_id, emit)

    def _learn_open(self, order: Order, read: OrderRead, emit: Emit) -> None:
        """The venue works it: so a cancel or a change that was asked for has not been done."""
        client_order_id = read.client_order_id
        if order.modifying and read.limit_price != order.limit_price:
            order.limit_price = read.limit_price
            order.size = order.filled + read.size
        order.modifying = 0
        if order.state != order.working_state:
            self._work(read.recv_ns, client_order_id, emit)
        if order.canceling:
            emit(CancelOrder(read.recv_ns, client_order_id, order.instrument, order.canceling))
            self._ask_later(read.recv_ns, client_order_id, emit)

    def _proved_absent(self, order: Order, read: OrderRead) -> bool:
        """Return whether the venue did not know it long enough after it would have refused it."""
        return (
            not order.filled
            and not order.venue_order_id
            and bool(order.expires_ns)
            and read.venue_ns > order.expires_ns + self._answer_ns
        )

    # Asking.

    @handles(TimerFired)
    def wake(self, timer: TimerFired, emit: Emit) -> None:
        """Ask about an order that has no answer yet, or tell the venue that we still live."""
        if timer.key == _DEAD_MAN:
            self._renew(timer.at_ns, emit)
            return
        order = self._orders.get(timer.key)
        if order is None or order.state in ("New", "PartiallyFilled"):
            return
        if order.state != "Unknown":
            order.state = "Unknown"
            self._tell(timer.at_ns, timer.key, emit)
        self._ask(timer.at_ns, timer.key, emit)

    def _expect_answer(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        if self._venue is not None:
            self._orders[client_order_id].queries = 0
            emit(_timer(at_ns + self._answer_ns, client_order_id))

    def _ask(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        order = self._orders[client_order_id]
        order.queries += 1
        emit(QueryOrder(at_ns, client_order_id, order.instrument, order.queries))
        self._ask_later(at_ns, client_order_id, emit)

    def _ask_later(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        fifths = 1 << min(self._orders[client_order_id].queries, 10)
        wait_ns = min(self._answer_ns * fifths // 5, self._answer_ns * QUERY_WAITS_MAX)
        emit(_timer(at_ns + wait_ns, client_order_id))

    # The account.

    @handles(AccountRead)
    def prepare(self, read: AccountRead, emit: Emit) -> None:
        """Once a session, when the account is known: set leverages, start the dead man's switch."""
        self.reconciled_ns = read.venue_ns
        if self._venue is None or self._leverage_asked:
            return
        self._leverage_asked = True
        numbers = {listed.name: number for number, listed in self.instruments.items()}
        for coin, leverage in sorted(self._venue.leverage.items()):
            if coin in numbers:
                emit(SetLeverage(read.recv_ns, numbers[coin], leverage, True))
        self._renew(read.recv_ns, emit)

    @handles(ScheduleAnswered)
    def note_schedule(self, answer: ScheduleAnswered, emit: Emit) -> None:
        """A venue that refuses the switch is not asked again in this session."""
        if not answer.accepted:
            self._dead_man = False

    @handles(OperatorCommand)
    def take_back(self, command: OperatorCommand, emit: Emit) -> None:
        """An orderly stop cancels its own orders: the switch must not fire at those of others later."""
        if command.command == "stop" and self._dead_man:
            self._dead_man = False
            emit(ScheduleCancel(command.recv_ns, 0))

    def _renew(self, at_ns: int, emit: Emit) -> None:
        if self._venue is not None and self._dead_man:
            span_ns = self._venue.dead_man_s * SECOND_NS
            emit(ScheduleCancel(at_ns, at_ns + span_ns))
            emit(_timer(at_ns + span_ns // 3, _DEAD_MAN))

    # Telling.

    def _work(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        order = self._orders[client_order_id]
        order.state = order.working_state
        self._tell(at_ns, client_order_id, emit)

    def _end(self, at_ns: int, client_order_id: str, state: str, emit: Emit) -> None:
        self._orders[client_order_id].state = state
        self._tell(at_ns, client_order_id, emit)
        # Kept, so that a late fill finds its order.
        remember(self._ended, client_order_id, self._orders.pop(client_order_id))

    def _tell(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        order = self._orders.get(client_order_id) or self._ended[client_order_id]
        emit(
            OrderChanged(
                at_ns,
                client_order_id,
                order.strategy,
                order.instrument,
                order.state,
                order.filled,
                max(0, order.size - order.filled),
            )
        )


def _timer(due_ns: int, key: str) -> SetTimer:
    return SetTimer("execution", due_ns, key)
