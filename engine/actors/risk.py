"""Approves or refuses every order wish; nothing reaches the venue without its `OrderApproved`.

Owns the limits and what they are measured against: last prices, positions, and the worst case of all
orders on their way. A refusal names the limit and the numbers. An order that only reduces the position
passes the position limits. After a halt nothing is approved until an operator resumes.
"""

from __future__ import annotations

from decimal import Context, Decimal

from engine.actors.base import Actor, Emit, Once, RoutesChanged, State, handles
from engine.clock import SECOND_NS
from engine.config import MONEY_TEXT_SCALE, RiskConfig
from engine.events import (
    ActorFailed,
    ActorRestarted,
    BarClosed,
    EngineHalted,
    Event,
    InstrumentListed,
    OperatorCommand,
    OrderApproved,
    OrderCanceled,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderRequested,
    SessionStarted,
    SubmitOrder,
    Trade,
)
from engine.values import BUY, format_scaled, parse_scaled

__all__ = ["Exposure", "Risk"]

_STOPPED = "operator: stop"
_EXACT = Context(prec=200)


class Exposure(State):
    """One instrument's signed position and the sizes that are on their way, per side (positive)."""

    position: int = 0
    buying: int = 0
    selling: int = 0


class OnTheWay(State):
    """An order that may still fill."""

    instrument: int
    side: int
    remaining: int


class Risk(Actor):
    """State: prices, exposures and orders by instrument, times of the last minute's approvals, latches."""

    WIRING = Actor.WIRING | {"_limits", "_order_notional", "_position_notional"}

    def __init__(self, config: RiskConfig) -> None:
        super().__init__("risk")
        self._limits = config
        self._order_notional = parse_scaled(config.max_order_notional, MONEY_TEXT_SCALE)
        self._position_notional = parse_scaled(config.max_position_notional, MONEY_TEXT_SCALE)
        self._prices: dict[int, int] = {}
        self._exposures: dict[int, Exposure] = {}
        self._orders: dict[str, OnTheWay] = {}
        self._approvals_ns: list[int] = []
        self._fills = Once()
        self._halted = ""
        self._quarantined: list[str] = []

    def listens(self, event_type: type[Event]) -> bool:
        """Prints matter only until every instrument has a price: from then on bars tell it."""
        return event_type is not Trade or len(self._prices) < len(self.instruments)

    @handles(InstrumentListed)
    def expect_price(self, listed: InstrumentListed, emit: Emit) -> None:
        """A new instrument needs a first price."""
        if listed.instrument not in self._prices:
            emit(RoutesChanged())

    @handles(Trade)
    def note_first_price(self, trade: Trade, emit: Emit) -> None:
        """Take the first print as the price until a bar closes."""
        if trade.instrument not in self._prices:
            self._prices[trade.instrument] = trade.price
            emit(RoutesChanged())

    @handles(BarClosed)
    def note_price(self, bar: BarClosed, emit: Emit) -> None:
        """Take the close as the price."""
        if not bar.revision:
            if bar.instrument not in self._prices:
                emit(RoutesChanged())
            self._prices[bar.instrument] = bar.close

    @handles(OrderRequested)
    def judge(self, wish: OrderRequested, emit: Emit) -> None:
        """Approve or refuse a wish."""
        broken = self._broken_limit(wish)
        if broken is not None:
            limit, reason = broken
            emit(
                OrderRefused(
                    wish.at_ns,
                    self.turn.seq,
                    wish.strategy,
                    wish.instrument,
                    wish.side,
                    wish.size,
                    limit,
                    reason,
                )
            )
            return
        exposure = self._exposure(wish.instrument)
        if wish.side == BUY:
            exposure.buying += wish.size
        else:
            exposure.selling += wish.size
        self._approvals_ns.append(wish.at_ns)
        emit(
            OrderApproved(
                wish.at_ns,
                self.turn.seq,
                wish.strategy,
                wish.instrument,
                wish.side,
                wish.size,
                wish.limit_price,
                wish.tif,
                wish.reduce_only,
            )
        )

    @handles(SubmitOrder)
    def note_order(self, order: SubmitOrder, emit: Emit) -> None:
        """Remember what an approved order can still do."""
        self._orders[order.client_order_id] = OnTheWay(order.instrument, order.side, order.size)

    @handles(OrderFilled)
    def note_fill(self, fill: OrderFilled, emit: Emit) -> None:
        """Move the size from on-its-way to held."""
        if not self._fills.first(fill):
            return
        exposure = self._exposure(fill.instrument)
        exposure.position += fill.side * fill.size
        order = self._orders.get(fill.client_order_id)
        if order is not None:
            order.remaining -= fill.size
            self._release(order, fill.size)
            if order.remaining <= 0:
                del self._orders[fill.client_order_id]

    @handles(OrderRejected, OrderCanceled)
    def note_end(self, report: OrderRejected | OrderCanceled, emit: Emit) -> None:
        """What is left of a closed order can no longer fill."""
        order = self._orders.pop(report.client_order_id, None)
        if order is not None:
            self._release(order, order.remaining)

    @handles(ActorFailed)
    def stop_risk(self, failed: ActorFailed, emit: Emit) -> None:
        """Halt, or shut out one strategy, as its policy says."""
        if failed.policy == "quarantine":
            self._quarantined = sorted({*self._quarantined, failed.actor})
        elif self._halted in ("", _STOPPED):
            self._halted = f"{failed.actor} failed: {failed.error}"
            emit(EngineHalted(failed.at_ns, self._halted))

    @handles(ActorRestarted)
    def let_back(self, restarted: ActorRestarted, emit: Emit) -> None:
        """A restarted strategy may trade again."""
        self._quarantined = [name for name in self._quarantined if name != restarted.actor]

    @handles(SessionStarted)
    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """A stop ends with its session; every other halt outlives it."""
        if self._halted == _STOPPED:
            self._halted = ""

    @handles(OperatorCommand)
    def obey(self, command: OperatorCommand, emit: Emit) -> None:
        """ "halt" and "stop" refuse all that follows; only "resume" lifts it."""
        halting = command.command == "halt" and self._halted in ("", _STOPPED)
        if halting or (command.command == "stop" and not self._halted):
            self._halted = f"operator: {command.command}"
            emit(EngineHalted(command.recv_ns, self._halted))
        elif command.command == "resume":
            self._halted = ""

    def _broken_limit(self, wish: OrderRequested) -> tuple[str, str] | None:
        """Return (limit, reason) of the first limit a wish breaks, or None."""
        if self._halted:
            return "halted", self._halted
        if wish.strategy in self._quarantined:
            return "quarantined", f"{wish.strategy} is quarantined"
        if wish.size <= 0:
            return "size", "the size is 0 on the venue's grid"
        listed = self.instruments[wish.instrument]
        scale, name = listed.size_scale, listed.name
        size = format_scaled(wish.size, scale)
        order_max = self._limits.max_order_size.get(name, "0")
        if _more(wish.size, scale, order_max):
            return "max_order_size", f"{size} {name} is more than {order_max}"
        price = self._prices.get(wish.instrument, 0)
        if wish.limit_price:
            price = wish.limit_price if wish.side == BUY else max(price, wish.limit_price)
        if not price:
            return "no_price", f"no price of {name} is known yet"
        exposure = self._exposure(wish.instrument)
        if wish.side == BUY:
            worst = exposure.position + exposure.buying + wish.size
        else:
            worst = exposure.position - exposure.selling - wish.size
        if abs(worst) > abs(exposure.position):
            position_max = self._limits.max_position_size.get(name, "0")
            if _more(abs(worst), scale, position_max):
                return (
                    "max_position_size",
                    f"{format_scaled(abs(worst), scale)} {name} would be more than {position_max}",
                )
            if self._exceeds(wish.size * price, self._order_notional, listed):
                return "max_order_notional", self._notional_text(
                    wish.size * price, self._order_notional, listed
                )
            if self._exceeds(abs(worst) * price, self._position_notional, listed):
                return (
                    "max_position_notional",
                    self._notional_text(abs(worst) * price, self._position_notional, listed),
                )
        per_minute = self._limits.max_orders_per_minute
        while self._approvals_ns and self._approvals_ns[0] <= wish.at_ns - 60 * SECOND_NS:
            del self._approvals_ns[0]
        if per_minute and len(self._approvals_ns) >= per_minute:
            return "max_orders_per_minute", f"{len(self._approvals_ns)} orders in the last minute"
        return None

    def _exceeds(self, money: int, limit: int, listed: InstrumentListed) -> bool:
        """Compare money at the instrument's scale with a limit at MONEY_TEXT_SCALE; limit 0 is none."""
        return bool(limit) and money * 10**MONEY_TEXT_SCALE > limit * 10**listed.money_scale

    def _notional_text(self, money: int, limit: int, listed: InstrumentListed) -> str:
        allowed = format_scaled(limit, MONEY_TEXT_SCALE)
        return f"{format_scaled(money, listed.money_scale)} is more than {allowed}"

    def _exposure(self, instrument: int) -> Exposure:
        exposure = self._exposures.get(instrument)
        if exposure is None:
            exposure = self._exposures[instrument] = Exposure()
        return exposure

    def _release(self, order: OnTheWay, size: int) -> None:
        exposure = self._exposure(order.instrument)
        if order.side == BUY:
            exposure.buying -= size
        else:
            exposure.selling -= size


def _more(size: int, scale: int, limit: str) -> bool:
    """Compare a size with a limit in base units, exactly; limit 0 is none."""
    most = Decimal(limit)
    return bool(most) and Decimal(size) > most.scaleb(scale, _EXACT)
