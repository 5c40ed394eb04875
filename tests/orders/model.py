"""The plain model of a session: follows its records and says what positions, targets and money have to be.

It takes only facts from the records: what strategies called, what was submitted, what the venue reported, and
prices. From these it works out whose a fill is, every book and its money, and every target, in exact
fractions and without code of the engine's actors. What the engine derives (`FillBooked`, `PositionChanged`,
`EquityMarked`, `TargetChanged`, approvals) is compared, and the first difference raises `Broken`.

`Model.follow` takes one record; `invariants.py` has what must hold after a turn, `paper_fills.py` what
a simulated fill may be. The names of the checks are the rules in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from engine.events import (
    AccountAdjusted,
    AccountRead,
    ActorFailed,
    ActorRestarted,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    Candle,
    ContextRead,
    EngineHalted,
    EngineLagging,
    EquityMarked,
    Event,
    ExitDelayed,
    FeedLagging,
    FillBooked,
    FundingPaid,
    GatewayDown,
    InstrumentListed,
    MarketHalted,
    ModifyApproved,
    ModifyOrder,
    ModifyRequested,
    OperatorCommand,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderChanged,
    OrderFilled,
    OrderModified,
    OrderRead,
    OrderRejected,
    OrderRequested,
    PositionChanged,
    QueryAccount,
    SessionStarted,
    SubmitOrder,
    TargetChanged,
    TargetSet,
    Trade,
)
from tests.orders.facts import CLOSE, OPEN, Broken, Listed, Order, Read
from tests.orders.ledger import MANUAL, ZERO, sign
from tests.orders.operators import carry_out
from tests.orders.reports import Reports
from tests.orders.wanted import TARGET

__all__ = ["Broken", "Listed", "Model", "Order", "Read"]

PRICE_AGE_MS_MAX = 5000  # as `[risk] max_price_age_ms` of every session here


@dataclass
class Model(Reports):
    """The state of a session as its facts so far lead to it."""

    shown: dict[tuple[str, int], TargetChanged] = field(default_factory=dict)
    requests: dict[int, OrderRequested] = field(default_factory=dict)
    approved: dict[int, list[OrderApproved]] = field(default_factory=dict)
    pending: list[OrderApproved] = field(default_factory=list)
    yielding: list[OrderApproved] = field(default_factory=list)  # of them, those to be canceled at once
    failed: set[str] = field(default_factory=set)
    failed_seq: dict[str, int] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    halted: bool = False
    halted_markets: set[int] = field(default_factory=set)
    stopping: bool = False
    stopped: set[str] = field(default_factory=set)  # strategies, by an operator
    disarmed: bool = False
    lags_ms: dict[str, int] = field(default_factory=dict)  # how late the engine is (""), and each feed
    reconciled: bool = True  # with real orders: the account has been read since the stream is up
    known: bool = True  # the same, since the session began
    asking: bool = False  # the engine has asked for a reading of the account
    delayed: set[tuple[str, int]] = field(default_factory=set)  # books that an exit is owed to
    flattened_seq: int = 0  # in this turn
    called: list[tuple[str, int, Fraction | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._follow: dict[type[Event], Callable[[Any], None]] = {
            InstrumentListed: self._list,
            Trade: self._trade,
            Candle: self._candle,
            ContextRead: self._context,
            TargetSet: self._call,
            TargetChanged: self._target_changed,
            OrderRequested: self._request,
            OrderApproved: self._approve,
            SubmitOrder: self._submit,
            CancelRequested: self._ask_cancel,
            CancelOrder: self._cancel,
            CancelRejected: self._cancel_rejected,
            ModifyRequested: self._ask_modify,
            ModifyApproved: self._modify,
            ModifyOrder: self._modify,
            OrderModified: self._modified,
            OrderAccepted: self._accepted,
            OrderRejected: self._end,
            OrderCanceled: self._end,
            OrderRead: self._read,
            OrderChanged: self._changed,
            OrderFilled: self._filled,
            FillBooked: self._booked,
            PositionChanged: self._position,
            FundingPaid: self._funding,
            AccountAdjusted: self._adjust,
            AccountRead: self._account_read,
            QueryAccount: self._ask_account,
            GatewayDown: self._gateway_down,
            EquityMarked: self._equity,
            ExitDelayed: self._delayed,
            OperatorCommand: self._operate,
            EngineHalted: self._halt,
            EngineLagging: self._lag,
            FeedLagging: self._lag,
            MarketHalted: self._halt_market,
            ActorFailed: self._fail,
            ActorRestarted: self._restarted,
            SessionStarted: self._start,
        }

    def begin_turn(self, turn: Sequence[tuple[int, int, Event]]) -> None:
        """Take the cancels of a turn before its records: each is decided by the record that causes it."""
        self.flattened_seq = 0
        self.canceled_by = {
            event.client_order_id: cause
            for _, cause, event in reversed(turn)
            if isinstance(event, CancelRequested) and event.client_order_id and not event.handle
        }

    def follow(self, seq: int, event: Event, now_ns: int) -> None:
        """Take one record. Raises Broken if it is not what the facts so far lead to."""
        self.seq, self.now_ns = seq, max(self.now_ns, now_ns)
        handler = self._follow.get(type(event))
        if handler is not None:
            handler(event)

    def live_orders(self, owner: str, market: int, role: str = "") -> list[Order]:
        """Return the live orders of a book, oldest first; of one role if given."""
        return [
            order
            for order in self.orders.values()
            if not order.ended and (order.owner, order.market) == (owner, market) and role in ("", order.role)
        ]

    # Targets.

    def hear(self, read: Read) -> None:
        """Take what a strategy read or called. A call of `target` that changes anything is recorded next."""
        for market, held, wanted, orders in read.held:
            self._check_read(read, market, held, wanted, orders)
        # A call in `on_order` may come between a target and what became of it in the same turn.
        if not read.what.startswith("call") or read.what == "call order" or self.stopping:
            return
        if read.owner in self.stopped:
            return
        if read.action[0] != "target":
            return
        _, name, size, _ = read.action
        market = next(number for number, listed in self.listed.items() if listed.name == name)
        wanted = None if size is None else Fraction(size)
        target = self.target(read.owner, market)
        earlier = [one for one in self.called if one[:2] == (read.owner, market)]
        if earlier:
            changes = earlier[-1][2] != wanted
        else:
            changes = target.size != wanted or target.withdrawn
            if wanted is not None:
                opening = self.live_orders(read.owner, market, OPEN)
                changes |= any(
                    order.purpose != TARGET and not (order.dropped or order.asked) for order in opening
                )
        if changes:
            self.called.append((read.owner, market, wanted))

    def _check_read(
        self, read: Read, market: int, held: Fraction, wanted: Fraction | None, orders: frozenset[str]
    ) -> None:
        owner = read.owner
        right = self.position(owner, market)
        self.require(held == right, "position() is true in every hook", read, "instead of", right)
        if read.what not in ("trade", "quote"):
            return  # what the turn still leads to is not known to the strategy yet
        target = self.target(owner, market).size
        self.require(wanted == target, "wanted() is true in every hook", read, "instead of", target)
        # A stop is one thing of several orders: it is read under its handle.
        ours = {order.name for order in self.orders.values() if order.purpose in ("own", TARGET)}
        live = {order.name for order in self.live_orders(owner, market)} & ours
        self.require(orders & ours == live, "orders() has every live order", read, "instead of", live)

    def _call(self, call: TargetSet) -> None:
        owner, market = call.strategy, call.instrument
        target = self.target(owner, market)
        wanted = None if call.withdrawn else self.listed[market].size(call.size)
        if (owner, market, wanted) in self.called:
            self.called.remove((owner, market, wanted))
        if self.stopping and wanted is not None:
            return  # It is refused, and what stood before stands.
        self.call_seq[owner, market] = self.seq
        if target.withdrawn or target.size != wanted:
            # A call that says what is wanted already leaves its pace.
            self.touched_ns[owner, market] = self.now_ns
        target.call(wanted)
        for order in self.live_orders(owner, market, OPEN):
            if order.purpose != TARGET:
                order.dropped = True
        self._clamp_if_stopped(owner, market)

    def booked(self, owner: str, market: int) -> None:
        """See `Bookings`: what is left to open during a halt is withdrawn."""
        if owner in self.owners and not self.target(owner, market).withdrawn:
            self._clamp_if_stopped(owner, market)

    def _clamp_if_stopped(self, owner: str, market: int) -> None:
        if self.halted or self.stopping or market in self.halted_markets or owner in self.failed:
            self.target(owner, market).clamp(self.position(owner, market))

    def _target_changed(self, changed: TargetChanged) -> None:
        self.shown[changed.strategy, changed.instrument] = changed
        target = self.target(changed.strategy, changed.instrument)
        if changed.strategy == MANUAL and changed.wanted is None:
            target.call(None)  # a later order by hand
            return
        called_seq = self.call_seq.get((changed.strategy, changed.instrument), 0)
        if self.flattened_seq > called_seq and changed.wanted == 0:
            # Of a flat book with nothing but orders, or nothing, either may be said.
            target.size, target.withdrawn = ZERO, changed.state == "withdrawn"
        if changed.state != "withdrawn" or changed.wanted is None or target.withdrawn:
            return
        # An opening that has waited for a fresh price or a reconciled account for a minute is given up.
        waited_ns = self.now_ns - self.touched_ns.get((changed.strategy, changed.instrument), 0)
        if waited_ns >= 60_000_000_000:
            target.clamp(self.position(changed.strategy, changed.instrument))

    # Orders.

    def _request(self, request: OrderRequested) -> None:
        self.requests[self.seq] = request

    def _approve(self, approval: OrderApproved) -> None:
        self.approved.setdefault(approval.request_seq, []).append(approval)
        listed, terms = self.listed[approval.instrument], approval.terms
        owner, market = approval.strategy, approval.instrument
        held, size = self.position(owner, market), listed.size(terms.size)
        role = terms.role
        self.require(role in (OPEN, CLOSE), "every order has one role", approval)
        self.require(size > 0, "an order has a size", approval)
        if role == CLOSE and not terms.trigger:
            self.require(
                sign(held) == -terms.side, "an exit is against its position", approval, "position", held
            )
            taken = sum((order.counted() for order in self.live_orders(owner, market, CLOSE)), ZERO)
            taken += self._taken_in_turn(approval, abs(held) - taken - size)
            self.require(
                taken + size <= abs(held),
                "exits never exceed the position",
                f"{taken} on the way and {size} more, position {held}:",
                approval,
            )
        if role == OPEN:
            self._check_opening(approval)
        if terms.purpose == TARGET:
            target = self.target(owner, market)
            self.require(
                target.may_trade(terms.side, size, held),
                "an order of a target moves the position towards it and not past it",
                f"wanted {target}, position {held}:",
                approval,
            )
            others = [order.name for order in self.live_orders(owner, market) if order.purpose == TARGET]
            self.require(not others, "a target has one live order", others, approval)
        self.pending.append(approval)

    def _taken_in_turn(self, approval: OrderApproved, room: Fraction) -> Fraction:
        """Return what exits have that were approved in this turn and are not submitted yet.

        A resting one that has no room beside an immediate one is to be canceled once it is submitted.
        """
        owner, market, listed = approval.strategy, approval.instrument, self.listed[approval.instrument]
        exits = [
            one
            for one in self.pending
            if (one.strategy, one.instrument) == (owner, market)
            and one.terms.role == CLOSE
            and not one.terms.trigger
            and not any(one is other for other in self.yielding)
        ]
        taken = sum((listed.size(one.terms.size) for one in exits), ZERO)
        for one in reversed(exits):
            if taken > room and one.terms.rests and not approval.terms.rests:
                taken -= listed.size(one.terms.size)
                self.yielding.append(one)
        return taken

    def _check_opening(self, approval: OrderApproved) -> None:
        owner, market = approval.strategy, approval.instrument
        rule = "nothing opens during a halt, a pause or after a failure"
        self.require(not self.halted, rule, approval)
        self.require(market not in self.halted_markets, rule, approval)
        # An order that was asked for before the failure, in its turn, is canceled at once.
        failed = owner in self.failed and approval.request_seq >= self.failed_seq.get(owner, 0)
        self.require(not failed and not {owner, ""} & self.paused, rule, approval)
        self.require(not self.disarmed and owner not in self.stopped, rule, approval)
        late = max(self.lags_ms.values(), default=0) > PRICE_AGE_MS_MAX
        self.require(not late, "nothing opens while engine or feed are too late", self.lags_ms, approval)

    def _submit(self, command: SubmitOrder) -> None:
        terms, listed = command.terms, self.listed[command.instrument]
        self.require(command.client_order_id not in self.orders, "an order is submitted once", command)
        for index, approval in enumerate(self.pending):
            if (approval.strategy, approval.instrument) == (command.strategy, command.instrument) and (
                approval.terms.side,
                approval.terms.size,
                approval.terms.role,
                approval.terms.purpose,
            ) == (terms.side, terms.size, terms.role, terms.purpose):
                del self.pending[index]
                older = approval.request_seq < self.call_seq.get((command.strategy, command.instrument), 0)
                yields = any(approval is one for one in self.yielding)
                break
        else:
            raise Broken(self.seq, "only approved orders are submitted", str(command))
        self.orders[command.client_order_id] = Order(
            name=command.client_order_id,
            owner=command.strategy,
            market=command.instrument,
            seq=self.seq,
            at_ns=command.at_ns,
            side=terms.side,
            size=listed.size(terms.size),
            limit=listed.price(terms.limit),
            bound=listed.price(terms.bound),
            tif=terms.tif,
            role=terms.role,
            purpose=terms.purpose,
            trigger=terms.trigger,
            trigger_price=listed.price(terms.trigger_price),
            reduce_only=terms.reduce_only,
            handle=terms.handle,
            parent=terms.parent,
            group=terms.group,
            expires_ns=command.expires_ns,
            dropped=yields
            or (
                terms.role == OPEN
                and terms.purpose != TARGET
                and (older or bool(terms.handle and terms.handle in self.asked_handles))
            ),
        )

    def _delayed(self, delayed: ExitDelayed) -> None:
        self.delayed.add((delayed.owner, delayed.instrument))

    # Operators and failures.

    def _operate(self, command: OperatorCommand) -> None:
        carry_out(self, command)

    def _ask_account(self, query: QueryAccount) -> None:
        self.asking = True

    def _account_read(self, read: AccountRead) -> None:
        self.reconciled = self.known = True
        self.asking = False

    def _gateway_down(self, down: GatewayDown) -> None:
        self.reconciled = False

    def _lag(self, lagging: EngineLagging | FeedLagging) -> None:
        self.lags_ms[lagging.feed if isinstance(lagging, FeedLagging) else ""] = lagging.lag_ms

    def _start(self, started: SessionStarted) -> None:
        self.lags_ms.clear()
        self.disarmed = False
        self.reconciled = self.known = not self.real
        self.stopping = False
        for owner in self.failed:  # it begins without its state
            for name, market in self.wanted:
                if name == owner:
                    self.target(owner, market).call(None)
        self.failed.clear()

    def _halt(self, halted: EngineHalted) -> None:
        self.halted |= halted.reason != "operator: stop"  # that one ends with the session
        self.clamp_all()

    def _halt_market(self, halted: MarketHalted) -> None:
        self.halted_markets.add(halted.instrument)
        self.clamp_all()

    def _fail(self, failed: ActorFailed) -> None:
        self.failed.add(failed.actor)
        self.failed_seq[failed.actor] = self.seq
        # What a handler called before it raised is not recorded.
        self.called = [one for one in self.called if one[0] != failed.actor]
        self.clamp_all()

    def _restarted(self, restarted: ActorRestarted) -> None:
        self.failed.discard(restarted.actor)

    def clamp_all(self) -> None:
        for owner, market in self.wanted:
            self._clamp_if_stopped(owner, market)
