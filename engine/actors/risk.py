"""Approves or refuses every order wish; nothing reaches the venue without its `OrderApproved`.

Owns the limits and what they are measured against: last prices, positions, and the worst case of all
orders on their way. A refusal names the limit and the numbers. An order that only reduces the position
passes the position limits. After a halt nothing is approved until an operator resumes.

With real orders there is one gate more (`gate.py`): no new risk while the account is not reconciled, the
feed is down, the clocks differ, or too many orders are Unknown; and a market order is bounded by the touch.
"""

from __future__ import annotations

from decimal import Context, Decimal

from engine.actors.base import Actor, Emit, Once, RoutesChanged, State, handles, remember
from engine.actors.gate import Gate
from engine.clock import SECOND_NS
from engine.config import MONEY_TEXT_SCALE, RiskConfig, VenueConfig
from engine.events import (
    ENDED,
    ActorFailed,
    ActorRestarted,
    BarClosed,
    EngineHalted,
    Event,
    InstrumentListed,
    MarketHalted,
    ModifyApproved,
    ModifyRequested,
    OperatorCommand,
    OrderApproved,
    OrderChanged,
    OrderFilled,
    OrderModified,
    OrderRefused,
    OrderRequested,
    PositionDiffers,
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
    """An order that may still fill. One that only reduces is no exposure: the venue never lets it flip."""

    strategy: str
    instrument: int
    side: int
    remaining: int
    reduce_only: bool


class Risk(Actor):
    """State: prices, exposures and orders by instrument, times of the last minute's approvals, latches."""

    WIRING = Actor.WIRING | {"_limits", "_order_notional", "_position_notional", "_real"}

    def __init__(self, config: RiskConfig, venue: VenueConfig | None = None) -> None:
        super().__init__("risk")
        self._limits = config
        self._real = venue is not None
        self._gate = Gate(slippage_bps=venue.slippage_bps if venue else 0)
        self._order_notional = parse_scaled(config.max_order_notional, MONEY_TEXT_SCALE)
        self._position_notional = parse_scaled(config.max_position_notional, MONEY_TEXT_SCALE)
        self._prices: dict[int, int] = {}
        self._exposures: dict[int, Exposure] = {}
        self._orders: dict[str, OnTheWay] = {}
        self._ended: dict[str, int] = {}
        self._approvals_ns: list[int] = []
        self._fills = Once()
        self._halted = ""
        self._quarantined: list[str] = []
        self._halted_markets: dict[int, str] = {}

    @property
    def halted(self) -> str:
        """Why no order is approved, "" while they are. An orderly stop is none: it ends with its session."""
        return "" if self._halted == _STOPPED else self._halted

    def listens(self, event_type: type[Event]) -> bool:
        """Prints matter only until every instrument has a price: from then on bars tell it.

        What only real orders need reaches nobody else.
        """
        if event_type in Gate.WATCHES:
            return self._real
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
        if bar.instrument not in self._prices:
            emit(RoutesChanged())
        self._prices[bar.instrument] = bar.close

    @handles(OrderRequested)
    def judge(self, wish: OrderRequested, emit: Emit) -> None:
        """Approve or refuse a wish."""
        broken = self._broken_limit(wish)
        if broken is not None:
            self._refuse(wish, wish.side, wish.size, wish.reduce_only, broken, emit)
            return
        limit_price, tif = wish.limit_price, wish.tif
        if self._real and not limit_price and not wish.trigger:
            limit_price = self._gate.bound(self.instruments[wish.instrument], wish.side)
            tif = "Ioc"
        if not wish.reduce_only:
            self._reserve(wish.instrument, wish.side, wish.size)
        self._approvals_ns.append(wish.at_ns)
        emit(
            OrderApproved(
                wish.at_ns,
                self.turn.seq,
                wish.strategy,
                wish.instrument,
                wish.side,
                wish.size,
                limit_price,
                tif,
                wish.reduce_only,
                wish.trigger,
                wish.trigger_price,
                wish.stop_loss,
                wish.take_profit,
            )
        )

    @handles(ModifyRequested)
    def judge_modify(self, wish: ModifyRequested, emit: Emit) -> None:
        """Approve or refuse a change of an own order: what it adds is judged as an order of its own."""
        order = self._orders.get(wish.client_order_id)
        if order is None or order.strategy != wish.strategy:
            # It ended while the wish was made: nothing is left to change, and nothing to refuse.
            return
        more = max(0, wish.size - order.remaining)
        as_order = OrderRequested(
            wish.at_ns, wish.strategy, wish.instrument, order.side, wish.size, wish.limit_price
        )
        broken = self._broken_limit(as_order, counted=min(order.remaining, wish.size))
        if broken is not None:
            # Nothing was counted as on its way for this wish: as for a wish that only reduces.
            self._refuse(wish, order.side, wish.size, True, broken, emit)
            return
        order.remaining += more
        if not order.reduce_only:
            self._reserve(order.instrument, order.side, more)
        self._approvals_ns.append(wish.at_ns)
        emit(
            ModifyApproved(
                wish.at_ns,
                self.turn.seq,
                wish.strategy,
                wish.client_order_id,
                wish.instrument,
                wish.size,
                wish.limit_price,
            )
        )

    @handles(SubmitOrder)
    def note_order(self, order: SubmitOrder, emit: Emit) -> None:
        """Remember what an approved order can still do."""
        self._orders[order.client_order_id] = OnTheWay(
            order.strategy, order.instrument, order.side, order.size, order.reduce_only
        )

    @handles(OrderFilled)
    def note_fill(self, fill: OrderFilled, emit: Emit) -> None:
        """Move the size from on-its-way to held."""
        if not self._fills.first(fill):
            return
        self._exposure(fill.instrument).position += fill.side * fill.size
        order = self._orders.get(fill.client_order_id)
        if order is not None:
            self._release(order, min(fill.size, order.remaining))
            order.remaining -= fill.size
        elif fill.client_order_id in self._ended:
            # A fill told after the end of its order: it may use up what was not filled, and no more.
            self._ended[fill.client_order_id] -= fill.size
        else:
            return
        if (order.remaining if order else self._ended[fill.client_order_id]) < 0 and self._real:
            self._halt(fill.recv_ns, f"{fill.client_order_id} filled more than was ordered", emit)

    @handles(OrderModified)
    def note_change(self, report: OrderModified, emit: Emit) -> None:
        """From here on it can do what it was changed to: more than was wished if it filled meanwhile."""
        order = self._orders.get(report.client_order_id)
        if order is not None:
            self._release(order, order.remaining - report.size)
            order.remaining = report.size

    @handles(OrderChanged)
    def note_end(self, told: OrderChanged, emit: Emit) -> None:
        """What is left of an order that ended can no longer fill; an Unknown one counts against the gate."""
        self._gate.note_order(told.client_order_id, unknown=told.state == "Unknown")
        if told.state not in ENDED:
            return
        order = self._orders.pop(told.client_order_id, None)
        if order is not None:
            self._release(order, max(0, order.remaining))
            remember(self._ended, told.client_order_id, order.remaining)

    @handles(PositionDiffers)
    def note_position(self, differs: PositionDiffers, emit: Emit) -> None:
        """The venue's number is the true one; unless it was adopted, nothing is done on it until resumed."""
        self._exposure(differs.instrument).position = differs.venue
        if not differs.adopted and differs.instrument not in self._halted_markets:
            scale = self.instruments[differs.instrument].size_scale
            own, venue = format_scaled(differs.own, scale), format_scaled(differs.venue, scale)
            reason = f"own fills make a position of {own}, the venue says {venue}"
            self._halted_markets[differs.instrument] = reason
            emit(MarketHalted(differs.at_ns, differs.instrument, reason))

    @handles(*Gate.WATCHES)
    def watch(self, event: Event, emit: Emit) -> None:
        """Keep what the gate goes by."""
        self._gate.watch(event)

    @handles(ActorFailed)
    def stop_risk(self, failed: ActorFailed, emit: Emit) -> None:
        """Halt, or shut out one strategy, as its policy says."""
        if failed.policy == "quarantine":
            self._quarantined = sorted({*self._quarantined, failed.actor})
        else:
            self._halt(failed.at_ns, f"{failed.actor} failed: {failed.error}", emit)

    @handles(ActorRestarted)
    def let_back(self, restarted: ActorRestarted, emit: Emit) -> None:
        """A restarted strategy may trade again."""
        self._quarantined = [name for name in self._quarantined if name != restarted.actor]

    @handles(SessionStarted)
    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """A stop ends with its session; every other halt outlives it. The gate is closed until reconciled."""
        self._gate.begin()
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
            self._halted_markets.clear()

    def _halt(self, at_ns: int, reason: str, emit: Emit) -> None:
        """Refuse everything from here on; the first reason stays."""
        if self._halted in ("", _STOPPED):
            self._halted = reason
            emit(EngineHalted(at_ns, reason))

    def _refuse(
        self,
        wish: OrderRequested | ModifyRequested,
        side: int,
        size: int,
        reduce_only: bool,
        broken: tuple[str, str],
        emit: Emit,
    ) -> None:
        limit, reason = broken
        emit(
            OrderRefused(
                wish.at_ns,
                self.turn.seq,
                wish.strategy,
                wish.instrument,
                side,
                size,
                limit,
                reason,
                reduce_only,
            )
        )

    def _broken_limit(self, wish: OrderRequested, counted: int = 0) -> tuple[str, str] | None:
        """Return (limit, reason) of the first limit a wish breaks, or None.

        `counted` is how much of its size is on its way already.
        """
        if self._halted:
            return "halted", self._halted
        if wish.strategy in self._quarantined:
            return "quarantined", f"{wish.strategy} is quarantined"
        if wish.instrument in self._halted_markets:
            return "market_halted", self._halted_markets[wish.instrument]
        if wish.size <= 0:
            return "size", "the size is 0 on the venue's grid"
        listed = self.instruments[wish.instrument]
        scale, name = listed.size_scale, listed.name
        size = format_scaled(wish.size, scale)
        order_max = self._limits.max_order_size.get(name, "0")
        if _more(wish.size, scale, order_max):
            return "max_order_size", f"{size} {name} is more than {order_max}"
        price = self._prices.get(wish.instrument, 0)
        asked = wish.limit_price or wish.trigger_price
        if asked:
            price = asked if wish.side == BUY else max(price, asked)
        if not price:
            return "no_price", f"no price of {name} is known yet"
        exposure = self._exposure(wish.instrument)
        more = wish.size - counted
        if wish.side == BUY:
            worst = exposure.position + exposure.buying + more
        else:
            worst = exposure.position - exposure.selling - more
        if self._real:
            closed = self._gate.closed(wish, reduces=wish.reduce_only or abs(worst) <= abs(exposure.position))
            if closed is not None:
                return closed
        if abs(worst) > abs(exposure.position) and not wish.reduce_only:
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
        if per_minute and len(self._approvals_ns) >= per_minute and not wish.reduce_only:
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

    def _reserve(self, instrument: int, side: int, size: int) -> None:
        exposure = self._exposure(instrument)
        if side == BUY:
            exposure.buying += size
        else:
            exposure.selling += size

    def _release(self, order: OnTheWay, size: int) -> None:
        if not order.reduce_only:
            self._reserve(order.instrument, order.side, -size)


def _more(size: int, scale: int, limit: str) -> bool:
    """Compare a size with a limit in base units, exactly; limit 0 is none."""
    most = Decimal(limit)
    return bool(most) and Decimal(size) > most.scaleb(scale, _EXACT)
