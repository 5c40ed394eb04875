"""A session with real orders in one process, in which the test is the venue.

    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.fill(100)                     # the newest order, whole
        s.others(-1, "0.4", 99)         # somebody else sells on the same account

The venue answers what it is sent: it accepts, cancels and changes orders, and answers queries from what is
true. `hold` keeps its answers back until `release`; `deaf` loses what it is sent. Fills are the test's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from engine.config import EXIT_EXPIRES_MS, Config, VenueConfig
from engine.events import (
    COMMANDS,
    AccountRead,
    CancelOrder,
    CancelRejected,
    Event,
    GatewayDown,
    GatewayUp,
    ModifyOrder,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRead,
    OrderRejected,
    OrderUnknown,
    PositionRead,
    QueryAccount,
    QueryOrder,
    SubmitOrder,
)
from tests.orders.sequences import AAA, NAMES
from tests.orders.session import MS, Number, Session

__all__ = ["ACCOUNT", "RealSession", "VenueOrder", "real_config"]

ACCOUNT = "0x" + "11" * 20
CHANGED = 1000
"""What a change adds to an order's number: the venue gives it another, a higher one."""


def real_config(config: Config) -> Config:
    """Return a configuration for real orders."""
    venue = VenueConfig(network="sandbox", account=ACCOUNT, exit_expires_ms=EXIT_EXPIRES_MS)
    return msgspec.structs.replace(config, mode="live", venue=venue)


@dataclass
class VenueOrder:
    """An order as the venue knows it. Sizes and prices are in steps."""

    command: SubmitOrder
    number: int
    open: int
    limit: int
    state: str = "open"

    @property
    def name(self) -> str:
        return self.command.client_order_id


class RealSession(Session):
    """A session with real orders. `orders` are those the venue has received, oldest first."""

    mode = "live"

    def __init__(self, *, held: dict[int, Number] | None = None, cash: Number = 1000, **more: Any) -> None:
        self.orders: dict[str, VenueOrder] = {}
        self.positions = {market: self.size(size, market) for market, size in (held or {}).items()}
        self.equity = cash
        self.held_back: list[Event] = []
        self.on_the_way: list[Event] = []
        self.deaf = False
        self.holding = False
        self._frames = 0
        super().__init__(**more)
        self.connect()

    def make_config(self, scripts: dict[str, str]) -> Config:
        """See `Session`. Real orders of an account on the sandbox."""
        return real_config(super().make_config(scripts))

    # The connection and its readings.

    def connect(self) -> None:
        """Connect the account's stream, and read the account."""
        self.send(GatewayUp(self.now_ns, "sim", ACCOUNT, "sandbox"))
        self.read_account()

    def disconnect(self) -> None:
        """Lose the account's stream."""
        self.send(GatewayDown(self.now_ns, "sim", "test"))

    def read_account(self) -> None:
        """Report every live order, the positions and the equity, as they are at the venue."""
        unknown = set(self.live())
        events: list[Event] = [self._answer(name) for name in self.orders if name in unknown]
        for market in NAMES:
            size = self.positions.get(market, 0)
            events.append(PositionRead(self.now_ns, self.now_ns, market, size, 6, 0))
        working = sum(order.state == "open" for order in self.orders.values())
        money = int(self.equity) * 10**6
        events.append(AccountRead(self.now_ns, self.now_ns, "sim", 6, money, money, working, 0))
        self.send(*events)

    def restart(self, *, after_s: Number = 1, orderly: bool = True) -> None:
        """See `Session`; the new process connects and reads the account."""
        super().restart(after_s=after_s, orderly=orderly)
        self.connect()

    # What the venue does.

    def order(self, **fields: Any) -> VenueOrder:
        """Return the newest open order at the venue whose terms have these values."""
        for order in reversed(self.orders.values()):
            if order.state == "open" and all(
                getattr(order.command.terms, name) == value for name, value in fields.items()
            ):
                return order
        raise AssertionError(f"the venue has no open order with {fields}")

    def fill(
        self,
        price: Number,
        size: Number | None = None,
        order: VenueOrder | None = None,
        *,
        fee: int = 0,
        silent: bool = False,
    ) -> OrderFilled:
        """Fill an order (by default the newest) at a price, whole or in part.

        `silent`: the report is lost; it is returned, and can be sent later.
        """
        order = order or self.order()
        market = order.command.instrument
        steps = order.open if size is None else self.size(size, market)
        order.open -= steps
        if not order.open:
            order.state = "filled"
        side = order.command.terms.side
        return self._fill(order.name, market, side, price, steps, fee=fee, silent=silent, number=order.number)

    def others(
        self,
        side: int,
        size: Number,
        price: Number,
        *,
        market: int = AAA,
        cause: str = "",
        silent: bool = False,
    ) -> OrderFilled:
        """Somebody else trades on the account, or the venue does (`cause`)."""
        steps = self.size(size, market)
        return self._fill("", market, side, price, steps, cause=cause, silent=silent)

    def end(self, order: VenueOrder | None = None, reason: str = "canceled", *, silent: bool = False) -> None:
        """The venue ends an order, by default the newest: the rest of an Ioc, a cancel by a person."""
        order = order or self.order()
        order.state = "canceled"
        left, market = order.open, order.command.instrument
        self.now_ns += MS
        children = self._end_children(order)
        if not silent:
            report = OrderCanceled(self.now_ns, self.now_ns, order.name, market, left, reason)
            self.send(report, *children)

    def reject(self, order: VenueOrder | None = None, reason: str = "rejected") -> None:
        """The venue refuses an order. Use with `hold`, or the order has been accepted."""
        order = order or self.order()
        order.state = "rejected"
        self.now_ns += MS
        self._drop_answers(order.name)
        self.send(OrderRejected(self.now_ns, self.now_ns, order.name, reason))

    def lose(self, order: VenueOrder | None = None) -> None:
        """The answer to an order is lost. Use with `hold`."""
        order = order or self.order()
        self.now_ns += MS
        self._drop_answers(order.name)
        self.send(OrderUnknown(self.now_ns, order.name, "no response"))

    def hold(self) -> None:
        """From now on answers are kept back, and cancels and changes do not arrive."""
        self.holding = True

    def release(self) -> None:
        """Send what was kept back; cancels and changes arrive now."""
        self.now_ns += MS
        events, self.held_back = self.held_back, []
        self.send(*events, *self.arrive())

    def arrive(self) -> list[Event]:
        """Let the cancels and changes on their way arrive; return the answers, which are not sent."""
        self.holding = False
        commands, self.on_the_way = self.on_the_way, []
        return [answer for command in commands for answer in self._take(command)]

    # The engine's commands.

    def after_send(self) -> None:
        """Take the commands that the engine has recorded since."""
        commands = [
            event
            for _, _, _, derived in self.memory.frames[self._frames :]
            for _, _, event in derived
            if isinstance(event, COMMANDS)
        ]
        self._frames = len(self.memory.frames)
        answers = [answer for command in commands for answer in self._take(command)]
        if self.holding:
            self.held_back += answers
        elif answers:
            self.send(*answers)
        if any(isinstance(command, QueryAccount) for command in commands):
            self.read_account()

    def _take(self, command: Event) -> list[Event]:
        now = self.now_ns
        if self.deaf:
            return []
        if isinstance(command, SubmitOrder):
            number = len(self.orders) + 1
            terms = command.terms
            order = VenueOrder(command, number, terms.size, terms.limit or terms.bound)
            assert order.name not in self.orders, "placed twice"
            self.orders[order.name] = order
            return [OrderAccepted(now, now, order.name, number)]
        if self.holding and isinstance(command, CancelOrder | ModifyOrder):
            self.on_the_way.append(command)
            return []
        if isinstance(command, CancelOrder):
            known = self.orders.get(command.client_order_id)
            if known is None or known.state != "open":
                return [CancelRejected(now, now, command.client_order_id, "never placed, canceled or filled")]
            return [self._canceled(known), *self._end_children(known)]
        if isinstance(command, ModifyOrder):
            order = self.orders[command.client_order_id]
            order.open, order.limit = command.size, command.limit_price
            order.number += CHANGED
            size, limit = order.open, order.limit
            return [OrderModified(now, now, order.name, order.command.instrument, order.number, size, limit)]
        if isinstance(command, QueryOrder):
            return [self._answer(command.client_order_id)]
        return []

    def _end_children(self, parent: VenueOrder) -> list[Event]:
        """Cancel the orders that are attached to one that ended before it was whole."""
        waiting = [order for order in self.orders.values() if order.command.terms.parent == parent.name]
        return [self._canceled(order) for order in waiting if order.state == "open"]

    def _canceled(self, order: VenueOrder, reason: str = "canceled") -> OrderCanceled:
        order.state = "canceled"
        now = self.now_ns
        return OrderCanceled(now, now, order.name, order.command.instrument, order.open, reason)

    def _answer(self, name: str) -> OrderRead:
        order = self.orders.get(name)
        if order is None:
            return OrderRead(self.now_ns, self.now_ns, name, AAA, "absent")
        return OrderRead(
            self.now_ns,
            self.now_ns,
            name,
            order.command.instrument,
            order.state,
            order.number,
            order.open,
            order.limit,
        )

    def _drop_answers(self, name: str) -> None:
        self.held_back = [one for one in self.held_back if getattr(one, "client_order_id", "") != name]

    def _fill(
        self,
        name: str,
        market: int,
        side: int,
        price: Number,
        size: int,
        *,
        fee: int = 0,
        cause: str = "",
        silent: bool = False,
        number: int = 0,
    ) -> OrderFilled:
        self.now_ns += MS
        self.positions[market] = self.positions.get(market, 0) + side * size
        self.trades += 1
        report = OrderFilled(
            self.now_ns,
            self.now_ns,
            name,
            market,
            side,
            self.price(price, market),
            size,
            fee,
            "taker",
            self.trades,
            number,
            cause=cause,
        )
        if not silent:
            self.send(report, *self._cut(market))
        return report

    def _cut(self, market: int) -> list[Event]:
        """Cancel reduce-only orders that have nothing left to reduce."""
        held = self.positions.get(market, 0)
        return [
            self._canceled(order, "reduceOnlyCanceled")
            for order in self.orders.values()
            if order.state == "open"
            and order.command.instrument == market
            and order.command.terms.reduce_only
            and not order.command.terms.parent
            and held * order.command.terms.side >= 0
        ]
