"""Begins a view with the state that a day opens with (`DayOpened`).

Reads the stored states of the books, the order manager and the execution actor, and turns them into the
records that a view remembers, with seq 0: the record that led to them is on an earlier day. Called by `View`
for the first record it gets.
"""

from __future__ import annotations

from typing import Any, TypeVar

from engine.actors import Books, Execution, OrderManager
from engine.actors.base import Actor
from engine.actors.order import Order
from engine.actors.orders.state import Live
from engine.errors import JournalError
from engine.events import (
    AccountMarked,
    Candle,
    ContextRead,
    DayOpened,
    EquityMarked,
    PositionChanged,
    ProtectionChanged,
    StopChanged,
    TargetChanged,
    TrailChanged,
)
from engine.opening import Opening, read_opening
from engine.snapshot import classes_with
from engine.states import decode_state
from engine.values import wide
from engine.views.account import Account
from engine.views.health import HealthState
from engine.views.markets import Markets
from engine.views.orders import Orders, OrderState
from engine.views.trading import Trading

__all__ = ["seed"]

A = TypeVar("A", bound=Actor)


def seed(
    opened: DayOpened,
    markets: Markets,
    account: Account,
    orders: Orders,
    trading: Trading,
    health: HealthState,
) -> None:
    """Set the parts of a view to what a day opens with. Raises JournalError for a state it cannot read."""
    opening = read_opening(opened)
    for listed in opened.instruments:
        markets.list(0, listed)
    if opened.started is not None:
        trading.use(opened.started)
        account.real = trading.real
    books = _state(opening, "books", Books)
    manager = _state(opening, "orders", OrderManager)
    execution = _state(opening, "execution", Execution)
    at_ns = opened.at_ns
    _seed_prices(books, at_ns, markets)
    _seed_books(books, at_ns, markets, account)
    _seed_orders(manager, execution, opened, orders)
    _seed_plans(manager, at_ns, account, orders)
    if "counted" in manager:
        account.counted = manager["counted"]
    _seed_conditions(manager, at_ns, trading, health)


def _state(opening: Opening, name: str, kind: type[Actor]) -> dict[str, Any]:
    """Return the stored attributes of an actor, {} if there are none."""
    _, blob = opening.actors.get(name, ("", b""))
    if not blob:
        return {}
    state = decode_state(blob, classes_with(kind), opening.shapes)  # type: ignore[arg-type]
    if not isinstance(state, dict):
        raise JournalError(f"the state of {name} that the day opens with cannot be read")
    return state


def _seed_prices(books: dict[str, Any], at_ns: int, markets: Markets) -> None:
    """Set the prices that positions are valued at."""
    for number, (mark, scale) in books.get("marks", {}).items():
        market = markets.by_number.get(number)
        if market is not None:
            market.context = 0, ContextRead(at_ns, number, scale, wide(mark), None, None, None, None, None)
    for prices in (books.get("closes", {}), books.get("last", {})):
        for number, price in prices.items():
            market = markets.by_number.get(number)
            if market is not None:
                market.last = 0, Candle(at_ns, at_ns, number, 0, at_ns, price, price, price, price, 0)


def _seed_books(books: dict[str, Any], at_ns: int, markets: Markets, account: Account) -> None:
    for number, owners in books.get("books", {}).items():
        market = markets.by_number.get(number)
        if market is None:
            continue
        finer = books["scale"] - market.listed.money_scale
        for owner, book in owners.items():
            money = wide(book.cost), wide(book.realized), wide(book.fees)
            changed = PositionChanged(at_ns, owner, number, book.size, *money, finer, wide(book.funding))
            account.books[number, owner] = 0, changed
    if books.get("marked"):
        account.equity = 0, EquityMarked(at_ns, *books["marked"])
    for venue, purse in books.get("purses", {}).items():
        if purse.marked is not None:
            currency = next(
                (one.rules.quote for one in markets.instruments.values() if one.venue == venue), ""
            )
            equity, unrealized = (wide(amount) for amount in purse.marked)
            marked = AccountMarked(at_ns, venue, currency, books["scale"], equity, unrealized)
            account.accounts[venue] = 0, marked


def _seed_orders(
    manager: dict[str, Any], execution: dict[str, Any], opened: DayOpened, orders: Orders
) -> None:
    live: dict[str, Live] = manager.get("live", {})
    known: dict[str, Order] = execution.get("_orders", {})
    for client_order_id, order in known.items():
        managed = live.get(client_order_id)
        if managed is None:
            continue
        orders.live[client_order_id] = OrderState(
            order.strategy,
            order.instrument,
            managed.terms,
            order.state,
            order.filled,
            max(0, order.size - order.filled),
            _seq_of(client_order_id),
            None,
            0,
            opened.at_ns,
            order.canceling or managed.why,
            order.venue_order_id,
            managed.fired,
        )


def _seed_plans(manager: dict[str, Any], at_ns: int, account: Account, orders: Orders) -> None:
    """Set targets, protection, stops and trails."""
    sizes = manager.get("books", {})
    for number, targets in manager.get("aims", {}).items():
        for owner, target in targets.items():
            wanted, state, reason = target.shown
            held = sizes.get(number, {}).get(owner, 0)
            changed = TargetChanged(at_ns, owner, number, wanted, held, 0, state, reason)
            account.targets[number, owner] = 0, changed
    for number, protected in manager.get("protected", {}).items():
        for owner, parts in protected.items():
            account.protection[number, owner] = 0, ProtectionChanged(at_ns, owner, number, *parts)
    for number, stops in manager.get("stops", {}).items():
        for stop in stops.values():
            size, trigger, limit, state = stop.shown
            if not state:
                continue
            orders.stops[number, stop.owner, stop.handle] = (
                0,
                StopChanged(
                    at_ns,
                    stop.owner,
                    number,
                    stop.handle,
                    stop.side,
                    size,
                    stop.kind,
                    trigger,
                    state,
                    limit,
                    stop.reason,
                ),
            )
    for number, trails in manager.get("trails", {}).items():
        for owner, trail in trails.items():
            changed_trail = TrailChanged(
                at_ns, owner, number, trail.side, max(0, trail.size), trail.stop, trail.state
            )
            orders.trails[number, owner] = 0, changed_trail


def _seed_conditions(manager: dict[str, Any], at_ns: int, trading: Trading, health: HealthState) -> None:
    gate = manager.get("gate")
    if gate is None:
        return
    trading.stopping = bool(gate.stop_ns)
    if gate.halted:
        trading.halted = gate.halted, at_ns, 0
    trading.markets = {number: (reason, at_ns, 0) for number, reason in gate.markets.items()}
    trading.quarantined = {name: (reason, at_ns, 0) for name, reason in gate.quarantined.items()}
    trading.failed = dict(trading.quarantined)
    trading.stopped = dict.fromkeys(gate.stopped, ("stopped", at_ns, 0))
    if gate.disarmed:
        trading.disarmed = gate.disarmed, at_ns, 0
    for strategy, setting in manager.get("settings", {}).items():
        trading.params[strategy] = dict(setting.values)
    trading.paused = dict.fromkeys(gate.paused, ("paused", at_ns, 0))
    for name, reason in gate.feeds.items():
        edge = health.of(name, "feed")
        edge.state, edge.reason, edge.since_ns = ("down" if reason else "up"), reason, at_ns
        edge.heard_ns, edge.proved_ns = gate.heard_ns, gate.proved_ns
        edge.lag_ms = gate.late.get(name, 0)
    health.lag_ms = gate.lag_ms
    health.offset_ns = gate.skew_ns or None
    health.offsets_ns = gate.clocks | {
        name: one.skew_ns for name, one in gate.accounts.items() if one.skew_ns
    }
    if trading.real:
        accounts = {name: one.unreconciled for name, one in gate.accounts.items()}
        health.unread = accounts or {"": gate.unreconciled}
    health.commands_ns.extend(sorted(at for one in (gate, *gate.accounts.values()) for at in one.commands_ns))
    health.approvals_ns.extend(gate.approvals_ns)


def _seq_of(client_order_id: str) -> int:
    """Return the seq of an order's approval, which its id ends with; 0 for an id of another form."""
    try:
        return int(client_order_id[18:], 16)
    except ValueError:
        return 0
