"""Keeps positions, cost, realized gain, fees and equity, and turns targets into orders.

Owns the books: they follow from fills alone, in exact integers, so that at every moment
cash at start + realized + unrealized - fees equals the sum of what the fills paid and received plus the
position at its mark. Emits `OrderRequested` for targets, `PositionChanged` and `EquityMarked`.
"""

from __future__ import annotations

from engine.actors.base import Actor, Emit, Once, State, handles
from engine.config import MONEY_TEXT_SCALE, AccountConfig
from engine.events import (
    BarClosed,
    EquityMarked,
    OrderCanceled,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderRequested,
    PositionChanged,
    PriceMarked,
    SubmitOrder,
    TargetSet,
)
from engine.values import BUY, SELL, parse_scaled, rescale, wide

__all__ = ["Portfolio", "Position"]


class Position(State):
    """A strategy's holding of one instrument: signed sizes, money at price scale + size scale.

    `cost` is what the open size cost (negative for a short); `working` is the signed size on its way.
    """

    size: int = 0
    cost: int = 0
    realized: int = 0
    fees: int = 0
    working: int = 0

    def fill(self, side: int, size: int, price: int) -> None:
        """Apply an execution. Average cost: closing releases cost in proportion, rounded down once."""
        closing = min(size, abs(self.size)) if self.size * side < 0 else 0
        if closing:
            released = self.cost * closing // abs(self.size)
            self.realized -= side * closing * price + released
            self.cost -= released
        self.size += side * size
        self.cost += side * (size - closing) * price


class Working(State):
    """An order that may still fill."""

    strategy: str
    instrument: int
    side: int
    remaining: int


class Portfolio(Actor):
    """State: positions by strategy and instrument, working orders by client order id, marks."""

    WIRING = Actor.WIRING | {"_cash"}

    def __init__(self, config: AccountConfig) -> None:
        super().__init__("portfolio")
        self._cash = parse_scaled(config.cash, MONEY_TEXT_SCALE)
        self._positions: dict[str, dict[int, Position]] = {}
        self._orders: dict[str, Working] = {}
        self._marks: dict[int, int] = {}
        self._fills = Once()

    @handles(TargetSet)
    def reach(self, target: TargetSet, emit: Emit) -> None:
        """Ask for the difference between the target and what is held or on its way."""
        position = self._position(target.strategy, target.instrument)
        missing = target.size - position.size - position.working
        if not missing:
            return
        position.working += missing
        emit(
            OrderRequested(
                target.at_ns,
                target.strategy,
                target.instrument,
                BUY if missing > 0 else SELL,
                abs(missing),
                reason=target.reason,
                for_target=True,
            )
        )

    @handles(OrderRequested)
    def note_wish(self, wish: OrderRequested, emit: Emit) -> None:
        """Count a strategy's own order as on its way."""
        if not wish.for_target:
            self._position(wish.strategy, wish.instrument).working += wish.side * wish.size

    @handles(OrderRefused)
    def forget_wish(self, refused: OrderRefused, emit: Emit) -> None:
        """A refused order is not on its way."""
        self._position(refused.strategy, refused.instrument).working -= refused.side * refused.size

    @handles(SubmitOrder)
    def note_order(self, order: SubmitOrder, emit: Emit) -> None:
        """Remember whose order it is."""
        self._orders[order.client_order_id] = Working(
            order.strategy, order.instrument, order.side, order.size
        )

    @handles(OrderRejected, OrderCanceled)
    def forget_order(self, report: OrderRejected | OrderCanceled, emit: Emit) -> None:
        """What is left of a closed order is no longer on its way."""
        order = self._orders.pop(report.client_order_id, None)
        if order is not None:
            self._position(order.strategy, order.instrument).working -= order.side * order.remaining

    @handles(OrderFilled)
    def book(self, fill: OrderFilled, emit: Emit) -> None:
        """Book an execution and tell the new position and equity. A fill of no known order is "external"."""
        if not self._fills.first(fill):
            return
        order = self._orders.get(fill.client_order_id)
        strategy = order.strategy if order else "external"
        position = self._position(strategy, fill.instrument)
        position.fill(fill.side, fill.size, fill.price)
        position.fees += int(fill.fee)
        if order is not None:
            order.remaining -= fill.size
            position.working -= fill.side * fill.size
            if order.remaining <= 0:
                del self._orders[fill.client_order_id]
        self._marks.setdefault(fill.instrument, fill.price)
        emit(
            PositionChanged(
                fill.recv_ns,
                strategy,
                fill.instrument,
                position.size,
                wide(position.cost),
                wide(position.realized),
                wide(position.fees),
            )
        )
        self._tell_equity(fill.recv_ns, emit)

    @handles(BarClosed)
    def mark_bar(self, bar: BarClosed, emit: Emit) -> None:
        """Value the account at the close, when it holds the instrument and the price moved."""
        if bar.revision or self._marks.get(bar.instrument) == bar.close:
            return
        self._marks[bar.instrument] = bar.close
        if any(bar.instrument in held and held[bar.instrument].size for held in self._positions.values()):
            self._tell_equity(bar.at_ns, emit)

    @handles(PriceMarked)
    def mark_last(self, mark: PriceMarked, emit: Emit) -> None:
        """Value the account at the last print."""
        self._marks[mark.instrument] = mark.price
        self._tell_equity(mark.at_ns, emit)

    def _position(self, strategy: str, instrument: int) -> Position:
        held = self._positions.setdefault(strategy, {})
        position = held.get(instrument)
        if position is None:
            position = held[instrument] = Position()
        return position

    def _tell_equity(self, at_ns: int, emit: Emit) -> None:
        scale = max([MONEY_TEXT_SCALE, *(listed.money_scale for listed in self.instruments.values())])
        realized = unrealized = fees = 0
        for held in self._positions.values():
            for instrument, position in held.items():
                own_scale = self.instruments[instrument].money_scale
                value = position.size * self._marks.get(instrument, 0)
                realized += rescale(position.realized, own_scale, scale)
                unrealized += rescale(value - position.cost, own_scale, scale)
                fees += rescale(position.fees, own_scale, scale)
        cash = rescale(self._cash, MONEY_TEXT_SCALE, scale)
        equity = cash + realized + unrealized - fees
        emit(EquityMarked(at_ns, scale, wide(realized), wide(unrealized), wide(fees), wide(equity)))
