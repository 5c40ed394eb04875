"""The order manager: everything between what a strategy asks for and an approved order.

Owns, in its state, the live orders, the size of every book, prices, targets, owed exits, stops and trails.
Promises: an exit never opens, no exit is lost, openings pass every gate, a target is worked until it is
reached, replaced or withdrawn. The parts are logic without state of their own: `requests` (divides a request
into what closes and what opens), `exits` (who may close how much), `targets`, `protection` (stops, brackets,
trails), `gates` (limits, halts, margin). All rules: docs/orders.md.

Decisions are recorded where they are made: role, bound and the venue's flags are terms of `OrderApproved`.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from engine.actors.base import PROTECTION, Actor, Emit, Later, RoutesChanged, SetTimer, handles, remember
from engine.actors.order import filled_ahead, is_decided, is_replaced, note_sent
from engine.actors.orders.commands import Commands
from engine.actors.orders.conditions import Conditions
from engine.actors.orders.exits import Exits
from engine.actors.orders.gates import Gates
from engine.actors.orders.losses import Counted
from engine.actors.orders.margin import Money
from engine.actors.orders.operated import Operated
from engine.actors.orders.protection import Protection
from engine.actors.orders.protection_state import Bracket, Stop, Trail
from engine.actors.orders.requests import Requests
from engine.actors.orders.state import ENGINE, Live, Owed, Prices, Target, Turn, Waiting
from engine.actors.orders.targets import Targets
from engine.config import Config
from engine.events import (
    ENDED,
    AccountMarked,
    AccountRead,
    BookAdjusted,
    BookRead,
    CancelOrder,
    CancelRequested,
    EquityMarked,
    Event,
    FillBooked,
    InstrumentListed,
    ModifyOrder,
    ModifyRejected,
    ModifyRequested,
    OrderAccepted,
    OrderCanceled,
    OrderChanged,
    OrderModified,
    OrderRead,
    OrderRefused,
    OrderRejected,
    OrderRequested,
    OrderTerms,
    PositionChanged,
    QueryOrder,
    Quote,
    SessionStarted,
    StopRequested,
    StrategyBegan,
    SubmitOrder,
    TargetChanged,
    TargetSet,
    TimerFired,
    Trade,
    TrailRequested,
)
from engine.instruments import is_of
from engine.values import InstrumentId, Size

__all__ = ["OrderManager"]


class OrderManager(Operated):
    """State: see `state.py`; books by instrument and owner; halts; what the parts keep under their names.

    `doubted`: markets in which the venue refused an exit as not reducing; no exit is tried there before the
    account has been read. `protected`: what protects each book, as last recorded: the position, sizes at the
    venue and in the engine, exits. `priced`: markets with a price in this session, and
    whether with a trade; `candles`: markets whose
    data has candles, each with the owner whose book is being led along one, "" between candles.
    `reconciled`: the account has been read in this session; of several accounts all, and `unread` are the
    venues of those that have not been. `parking`: the engine is stopping, so the venue
    is to hold what the engine watches.

    `gate`, `money` and `counted`: halts, feeds and account; what margin needs; what losses are counted from.
    `answers`, `working` and `settings`: see `operated`.

    `watches`: a strategy can act between bars, or orders are real, so prices are followed trade by trade.
    """

    WIRING = Actor.WIRING | {
        "config",
        "real",
        "watches",
        "gates",
        "exits",
        "requests",
        "targets",
        "protection",
        "commands",
    }
    books: dict[InstrumentId, dict[str, Size]]
    live: dict[str, Live]
    approved: list[Live]
    ended: dict[str, Live]
    prices: dict[InstrumentId, Prices]
    aims: dict[InstrumentId, dict[str, Target]]
    owed: dict[str, Owed]
    turns: dict[str, Turn]
    waiting: list[Waiting]
    doubted: dict[int, None]
    stops: dict[InstrumentId, dict[str, Stop]]
    brackets: dict[str, Bracket]
    trails: dict[InstrumentId, dict[str, Trail]]
    protected: dict[InstrumentId, dict[str, tuple[Size, Size, Size, Size]]]
    priced: dict[int, bool]
    candles: dict[int, str]
    unread: dict[str, None]

    def __init__(self, config: Config, *, real: bool = False, watches: bool = True) -> None:
        super().__init__(ENGINE)
        self.config = config
        self.real = real
        self.watches = watches or real
        self.books = {}
        self.live = {}
        self.approved = []
        self.ended = {}
        self.prices = {}
        self.aims = {}
        self.owed = {}
        self.turns = {}
        self.waiting = []
        self.doubted = {}
        self.stops = {}
        self.brackets = {}
        self.trails = {}
        self.protected = {}
        self.protections = 0
        self.priced = {}
        self.candles = {}
        self.reconciled = not real
        self.unread = {}
        self.parking = False
        self.gate = Conditions()
        self.money = Money()
        self.counted = Counted()
        self.answers = {}
        self.working = {}
        self.settings = {}
        self.gates = Gates(self)
        self.exits = Exits(self)
        self.requests = Requests(self)
        self.targets = Targets(self)
        self.protection = Protection(self)
        self.commands = Commands(self)

    # What the parts use.

    def book(self, owner: str, instrument: int) -> int:
        """Return the signed size of a book."""
        return self.books.get(instrument, {}).get(owner, 0)

    def account(self, instrument: int) -> int:
        """Return the signed position of the account: the sum of the books."""
        return sum(self.books.get(instrument, {}).values())

    def netted(self, instrument: int) -> bool:
        """Return whether a market has a long book and a short book."""
        sizes = self.books.get(instrument, {}).values()
        return any(size > 0 for size in sizes) and any(size < 0 for size in sizes)

    def markets_of(self, venue: str) -> dict[int, None]:
        """Return the markets of the account at a venue; "" has all."""
        return {number: None for number, listed in self.instruments.items() if is_of(venue, listed)}

    def known(self, instrument: int) -> bool:
        """Return whether the account of a market has been read in this session."""
        return self.reconciled or (
            bool(self.unread) and self.instruments[instrument].venue not in self.unread
        )

    def orders_of(self, owner: str, instrument: int) -> Iterator[tuple[str, Live]]:
        """Yield the orders of a book that may still fill, oldest first; the id of one on its way is ""."""
        for client_order_id, order in tuple(self.live.items()):
            if order.owner == owner and order.instrument == instrument:
                yield client_order_id, order
        for order in tuple(self.approved):
            if order.owner == owner and order.instrument == instrument:
                yield "", order

    def request(
        self, at_ns: int, owner: str, instrument: int, terms: OrderTerms, reason: str, emit: Emit
    ) -> None:
        """Request an order of the manager's own, with its role; it is judged after the turn's reports."""
        self.commands.expect(terms.handle)
        emit(Later(OrderRequested(at_ns, owner, instrument, terms, reason), PROTECTION))

    def cancel(self, at_ns: int, client_order_id: str, order: Live, reason: str, emit: Emit) -> None:
        """Request the cancel of a live order, once; of an approved one as soon as it is submitted."""
        if order.canceling:
            return
        order.canceling = True
        if client_order_id:
            emit(CancelRequested(at_ns, order.owner, client_order_id, reason))
        else:
            order.why = reason

    def timer(self, due_ns: int, key: str, emit: Emit) -> None:
        """Set a timer of the manager; the first word of its key names the part."""
        emit(SetTimer(self.name, due_ns, key))

    def listens(self, event_type: type[Event]) -> bool:
        """Return whether events of a type are needed now: trades and quotes only if followed."""
        if event_type in (Trade, Quote, BookRead):
            return (
                self.watches
                or bool(self.live or self.approved or self.owed)
                or len(self.prices) < len(self.instruments)
                or self.protection.follows()
                or self.gates.follows()
            )
        return True

    # Sessions.

    @handles(SessionStarted)
    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Begin a session: what was under way is asked about, what was owed is worked again."""
        self.approved.clear()
        self.gates.begin(started, emit)
        self.protection.begin(started, emit)
        self.exits.begin(started.recv_ns, emit)
        self.targets.begin(started.recv_ns, emit)
        self.commands.begin(started, emit)

    @handles(StrategyBegan)
    def note_beginning(self, began: StrategyBegan, emit: Emit) -> None:
        """Drop what a strategy without its state asked to open: only its position is kept, and its exits."""
        self.gates.halts.began(began, emit)

    @handles(InstrumentListed)
    def note_instrument(self, listed: InstrumentListed, emit: Emit) -> None:
        """Listen to trades until the new instrument has a price; put stops on its grid."""
        self.protection.stops.put_on_grid(listed, emit)
        emit(RoutesChanged())

    # Requests.

    @handles(TargetSet)
    def set_target(self, target: TargetSet, emit: Emit) -> None:
        """Work a target."""
        self.targets.set(target, emit)

    @handles(OrderRequested)
    def take_request(self, request: OrderRequested, emit: Emit) -> None:
        """Approve or refuse a request, in parts."""
        self.requests.take(request, emit)
        self.commands.judged(request.at_ns, request.terms.handle, emit)

    @handles(StopRequested)
    def take_stop(self, request: StopRequested, emit: Emit) -> None:
        """Protect a position with a stop."""
        self.protection.stop(request, emit)
        self.commands.judged(request.at_ns, request.handle, emit)

    @handles(TrailRequested)
    def take_trail(self, request: TrailRequested, emit: Emit) -> None:
        """Protect a position with a trailing stop, or drop it."""
        self.protection.trail(request, emit)

    @handles(CancelRequested)
    def take_cancel(self, request: CancelRequested, emit: Emit) -> None:
        """Cancel all that lives under a handle."""
        if not request.client_order_id:
            self.requests.cancel(request, emit)

    @handles(ModifyRequested)
    def take_change(self, request: ModifyRequested, emit: Emit) -> None:
        """Approve or refuse a change."""
        self.requests.modify(request, emit)

    # Orders and fills.

    @handles(SubmitOrder)
    def note_order(self, order: SubmitOrder, emit: Emit) -> None:
        """Move an approved order to the live ones, under its client order id."""
        for index, live in enumerate(self.approved):
            if (live.owner, live.instrument, live.terms) == (order.strategy, order.instrument, order.terms):
                del self.approved[index]
                break
        else:
            live = Live(order.strategy, order.instrument, order.terms, order.terms.size, self.turn.seq)
        if not self.live:
            emit(RoutesChanged())
        self.live[order.client_order_id] = live
        if live.canceling:
            emit(CancelRequested(order.at_ns, live.owner, order.client_order_id, live.why))
        self.gates.note_command(order.at_ns, order.instrument)
        self.targets.submitted(order, emit)
        self.exits.submitted(order, emit)
        self.protection.submitted(order, emit)

    @handles(FillBooked)
    def note_fill(self, fill: FillBooked, emit: Emit) -> None:
        """Move a book, then let exits, protection and targets follow."""
        books = self.books.setdefault(fill.instrument, {})
        before = books.get(fill.owner, 0)
        books[fill.owner] = before + fill.side * fill.size
        if fill.cause == "taken back":
            return  # The fill that explains it follows; what waits is looked at when both are booked.
        order = self.live.get(fill.client_order_id)
        asked = order or self.ended.get(fill.client_order_id)
        if asked is not None and not is_replaced(asked, fill.venue_order_id, fill.size):
            asked.left -= fill.size
        if asked is not None:
            self.commands.filled(fill, asked.terms.handle)
        if order is not None:
            order.fired = True
        canceled = asked is not None and asked.canceling and not asked.exits
        self.targets.filled(fill, before, canceled, emit)
        self.exits.filled(fill, before, emit)
        self.protection.filled(fill, emit)
        if order is not None and order.left <= 0:
            self._end(fill.at_ns, fill.client_order_id, emit)
        self.gates.note_fill(fill, 0 if asked is None else asked.left, emit)
        self.settle(fill.at_ns, fill.owner, fill.instrument, emit)

    @handles(BookAdjusted)
    def note_adjustment(self, adjusted: BookAdjusted, emit: Emit) -> None:
        """Look again at a book that something from outside has changed."""
        self.settle(adjusted.at_ns, adjusted.owner, adjusted.instrument, emit)

    @handles(OrderModified)
    def note_change(self, report: OrderModified, emit: Emit) -> None:
        """Use the open size and the limit that the venue reports."""
        order = self.live.get(report.client_order_id)
        if order is not None:
            order.left = report.size - filled_ahead(order, report.venue_order_id)
            order.modifying = not is_decided(order)
            order.left = max(order.left, order.cut_to) if order.modifying else order.left
            limit = report.limit_price if order.terms.limit else 0
            order.terms = msgspec.structs.replace(order.terms, limit=limit)
            self.settle(report.recv_ns, order.owner, order.instrument, emit)

    @handles(ModifyRejected)
    def note_unchanged(self, report: ModifyRejected, emit: Emit) -> None:
        """Note that a change was refused: the order may have ended, which execution asks about."""
        order = self.live.get(report.client_order_id)
        if order is not None:
            order.modifying = not is_decided(order)
            self.settle(report.recv_ns, order.owner, order.instrument, emit)

    @handles(OrderCanceled, OrderRejected)
    def note_refused_by_venue(self, report: OrderCanceled | OrderRejected, emit: Emit) -> None:
        """Note why the venue ended an order, before the end is handled."""
        order = self.live.get(report.client_order_id)
        if order is not None:
            order.why = report.reason
            self.exits.ended_by_venue(report, order, emit)

    @handles(OrderAccepted)
    def note_trigger(self, report: OrderAccepted, emit: Emit) -> None:
        """Note the venue's number of an order, and that a trigger price was reached."""
        order = self.live.get(report.client_order_id)
        if order is None:
            return
        order.venue_order_id = max(order.venue_order_id, report.venue_order_id)
        if report.triggered:
            self._fire(report.recv_ns, order, emit)

    @handles(OrderRead)
    def note_read(self, read: OrderRead, emit: Emit) -> None:
        """Use the venue's response to a query: a trigger price, the outcome of a change, or why it ended."""
        order = self.live.get(read.client_order_id)
        if order is None:
            return
        if read.triggered:
            self._fire(read.recv_ns, order, emit)
        order.venue_order_id = max(order.venue_order_id, read.venue_order_id)
        at_ns, name, number, left = read.recv_ns, read.client_order_id, read.instrument, read.size
        if read.state == "open" and order.modifying and order.proof_ns:
            order.read_limit = read.limit_price  # Execution decides whether it shows the change.
        elif read.state == "open" and order.modifying:
            venue_id, limit = read.venue_order_id, read.limit_price
            self.note_change(OrderModified(at_ns, read.venue_ns, name, number, venue_id, left, limit), emit)
        elif read.state in ("canceled", "rejected"):
            end = OrderCanceled(at_ns, read.venue_ns, name, number, left, read.reason)
            self.note_refused_by_venue(end, emit)

    def _fire(self, at_ns: int, order: Live, emit: Emit) -> None:
        """Count an order whose trigger price was reached as an exit on its way."""
        if not order.fired:
            order.fired = True
            self.protection.triggered(at_ns, order, emit)
            self.settle(at_ns, order.owner, order.instrument, emit)

    @handles(OrderChanged)
    def note_state(self, changed: OrderChanged, emit: Emit) -> None:
        """Follow the state of an order to its end."""
        self.gates.note_order(changed)
        order = self.live.get(changed.client_order_id)
        if order is None:
            return
        order.state = changed.state
        if order.modifying and order.read_limit and changed.state in ("New", "PartiallyFilled"):
            order.changes = 1  # Whatever was sent is decided.
            name, left = changed.client_order_id, changed.remaining
            shown = OrderModified(changed.at_ns, 0, name, order.instrument, 0, left, order.read_limit)
            self.note_change(shown, emit)
        if changed.state not in ENDED:
            self.protection.changed(changed.at_ns, order, emit)
        else:
            self._end(changed.at_ns, changed.client_order_id, emit)
            self.settle(changed.at_ns, order.owner, order.instrument, emit)

    @handles(TargetChanged, OrderRefused)
    def note_entry(self, event: TargetChanged | OrderRefused, emit: Emit) -> None:
        """Look again at the stops that wait for an entry: a target changed, or a part was refused."""
        self.protection.plan(event.at_ns, event.instrument, emit)

    @handles(PositionChanged)
    def note_position(self, changed: PositionChanged, emit: Emit) -> None:
        """Note the cost of a book, for margin."""
        self.gates.note_position(changed)

    def settle(self, at_ns: int, owner: str, instrument: int, emit: Emit) -> None:
        """Look again at all that waits for something in a book: turns, exits, protection, the target."""
        self.requests.settle(at_ns, owner, instrument, emit)
        self.exits.settle(at_ns, owner, instrument, emit)
        self.protection.settle(at_ns, owner, instrument, emit)
        self.targets.settle(at_ns, owner, instrument, emit)
        self.commands.look(at_ns, emit)

    def _end(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        order = self.live.pop(client_order_id)
        remember(self.ended, client_order_id, order, self.remembered)
        if order.left > 0:
            self.commands.note_end(order.terms.handle, (order.state.lower(), order.why))
        self.requests.ended(at_ns, client_order_id, order, emit)
        self.exits.ended(at_ns, client_order_id, order, emit)
        self.targets.ended(at_ns, client_order_id, order, emit)
        self.protection.ended(at_ns, client_order_id, order, emit)
        if not self.live:
            emit(RoutesChanged())

    # The account, time.

    @handles(AccountRead)
    def note_account(self, read: AccountRead, emit: Emit) -> None:
        """Work what waited for the account."""
        self.gates.note_account(read)
        markets = self.markets_of(read.venue)
        for number in markets:
            self.doubted.pop(number, None)
        self.protection.account_read(read.recv_ns, read.venue, markets, emit)
        self.exits.account_read(read.recv_ns, markets, emit)
        self.targets.retry(read.recv_ns, emit, markets)

    @handles(AccountMarked)
    def note_marked(self, marked: AccountMarked, emit: Emit) -> None:
        """Compare the money of one of several accounts with what its positions need."""
        self.gates.note_marked(marked, emit)

    @handles(EquityMarked)
    def note_equity(self, marked: EquityMarked, emit: Emit) -> None:
        """Compare the equity with the loss limits and with what positions need."""
        self.gates.note_equity(marked, emit)

    @handles(*Gates.WATCHES)
    def watch(self, event: Event, emit: Emit) -> None:
        """Update the conditions for openings."""
        self.gates.watch(event, emit)

    @handles(CancelOrder, ModifyOrder, QueryOrder)
    def count_command(self, command: CancelOrder | ModifyOrder | QueryOrder, emit: Emit) -> None:
        """Count a command to the venue. An Unknown order stays Unknown while its cancel is on the way."""
        self.gates.note_command(command.at_ns, command.instrument)
        order = self.live.get(command.client_order_id)
        if order is not None and isinstance(command, CancelOrder):
            order.canceling = True
        elif order is not None and isinstance(command, ModifyOrder):
            note_sent(order, command)
            order.read_limit = 0

    @handles(TimerFired)
    def fire(self, timer: TimerFired, emit: Emit) -> None:
        """Try again what is due."""
        part, _, rest = timer.key.partition(" ")
        match part:
            case "target":
                self.targets.due(timer.at_ns, rest, emit)
            case "exit":
                self.exits.due(timer.at_ns, rest, emit)
            case "protection":
                self.protection.due(timer.at_ns, rest, emit)
        self.commands.look(timer.at_ns, emit)
