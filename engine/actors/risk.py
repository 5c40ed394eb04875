"""Approves or refuses every order request. No order is sent to the venue without an `OrderApproved`.

Owns the limits and what they are measured against: last prices, positions, and the worst case of all working
orders. A refusal names the limit and the numbers. An order that only reduces the position passes the
position limits. After a halt nothing is approved until an operator resumes.

Real orders have further preconditions (`gate.py`). No new risk is taken while the account is not
reconciled, a feed is down, the clocks differ, or too many orders are Unknown. A market order is sent with a
limit price close to the best bid or ask.
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
    """One instrument's signed position, and the sizes of its working orders per side (not negative)."""

    position: int = 0
    buying: int = 0
    selling: int = 0


class OnTheWay(State):
    """An order that may still fill. A reduce-only order adds no exposure: it cannot turn the position."""

    strategy: str
    instrument: int
    side: int
    remaining: int
    reduce_only: bool


class Risk(Actor):
    """State: prices and exposures by instrument, working orders, approval times of the last minute, halts."""

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
        """Reason of the current halt, "" if there is none.

        A graceful stop is not a halt: it ends with its session.
        """
        return "" if self._halted == _STOPPED else self._halted

    def listens(self, event_type: type[Event]) -> bool:
        """Return whether events of a type are needed now.

        Trades are needed until every instrument has a price; from then on bars give it. The events that
        `Gate` watches are needed with real orders only.
        """
        if event_type in Gate.WATCHES:
            return self._real
        return event_type is not Trade or len(self._prices) < len(self.instruments)

    @handles(InstrumentListed)
    def expect_price(self, listed: InstrumentListed, emit: Emit) -> None:
        """Listen to trades until the new instrument has a price."""
        if listed.instrument not in self._prices:
            emit(RoutesChanged())

    @handles(Trade)
    def note_first_price(self, trade: Trade, emit: Emit) -> None:
        """Use the first trade's price until a bar closes."""
        if trade.instrument not in self._prices:
            self._prices[trade.instrument] = trade.price
            emit(RoutesChanged())

    @handles(BarClosed)
    def note_price(self, bar: BarClosed, emit: Emit) -> None:
        """Use the close as the price."""
        if bar.instrument not in self._prices:
            emit(RoutesChanged())
        self._prices[bar.instrument] = bar.close

    @handles(OrderRequested)
    def check_order(self, request: OrderRequested, emit: Emit) -> None:
        """Approve or refuse an order request."""
        broken = self._broken_limit(request)
        if broken is not None:
            self._refuse(request, request.side, request.size, request.reduce_only, broken, emit)
            return
        limit_price, tif = request.limit_price, request.tif
        if self._real and not limit_price and not request.trigger:
            limit_price = self._gate.bound(self.instruments[request.instrument], request.side)
            tif = "Ioc"
        if not request.reduce_only:
            self._reserve(request.instrument, request.side, request.size)
        self._approvals_ns.append(request.at_ns)
        emit(
            OrderApproved(
                request.at_ns,
                self.turn.seq,
                request.strategy,
                request.instrument,
                request.side,
                request.size,
                limit_price,
                tif,
                request.reduce_only,
                request.trigger,
                request.trigger_price,
                request.stop_loss,
                request.take_profit,
            )
        )

    @handles(ModifyRequested)
    def check_modify(self, request: ModifyRequested, emit: Emit) -> None:
        """Approve or refuse a change of the strategy's own order.

        The added size is checked like a new order.
        """
        order = self._orders.get(request.client_order_id)
        if order is None or order.strategy != request.strategy:
            # The order ended before the request was handled: there is nothing to change or refuse.
            return
        more = max(0, request.size - order.remaining)
        as_order = OrderRequested(
            request.at_ns, request.strategy, request.instrument, order.side, request.size, request.limit_price
        )
        broken = self._broken_limit(as_order, counted=min(order.remaining, request.size))
        if broken is not None:
            # This request reserved nothing, so the refusal is marked reduce-only: nothing is to be released.
            self._refuse(request, order.side, request.size, True, broken, emit)
            return
        order.remaining += more
        if not order.reduce_only:
            self._reserve(order.instrument, order.side, more)
        self._approvals_ns.append(request.at_ns)
        emit(
            ModifyApproved(
                request.at_ns,
                self.turn.seq,
                request.strategy,
                request.client_order_id,
                request.instrument,
                request.size,
                request.limit_price,
            )
        )

    @handles(SubmitOrder)
    def note_order(self, order: SubmitOrder, emit: Emit) -> None:
        """Remember an approved order and its open size."""
        self._orders[order.client_order_id] = OnTheWay(
            order.strategy, order.instrument, order.side, order.size, order.reduce_only
        )

    @handles(OrderFilled)
    def note_fill(self, fill: OrderFilled, emit: Emit) -> None:
        """Move a filled size from the working orders to the position."""
        if not self._fills.first(fill):
            return
        self._exposure(fill.instrument).position += fill.side * fill.size
        order = self._orders.get(fill.client_order_id)
        if order is not None:
            self._release(order, min(fill.size, order.remaining))
            order.remaining -= fill.size
        elif fill.client_order_id in self._ended:
            # A fill reported after its order ended. It can use up the unfilled size, but no more.
            self._ended[fill.client_order_id] -= fill.size
        else:
            return
        if (order.remaining if order else self._ended[fill.client_order_id]) < 0 and self._real:
            self._halt(fill.recv_ns, f"{fill.client_order_id} filled more than was ordered", emit)

    @handles(OrderModified)
    def note_change(self, report: OrderModified, emit: Emit) -> None:
        """Take the open size the venue reports.

        It exceeds the requested one if the order filled in the meantime.
        """
        order = self._orders.get(report.client_order_id)
        if order is not None:
            self._release(order, order.remaining - report.size)
            order.remaining = report.size

    @handles(OrderChanged)
    def note_end(self, changed: OrderChanged, emit: Emit) -> None:
        """Release the unfilled size of an order that ended, and count the Unknown orders."""
        self._gate.note_order(changed.client_order_id, unknown=changed.state == "Unknown")
        if changed.state not in ENDED:
            return
        order = self._orders.pop(changed.client_order_id, None)
        if order is not None:
            self._release(order, max(0, order.remaining))
            remember(self._ended, changed.client_order_id, order.remaining)

    @handles(PositionDiffers)
    def note_position(self, differs: PositionDiffers, emit: Emit) -> None:
        """Take over the venue's position.

        Unless it was adopted, halt the instrument until an operator resumes.
        """
        self._exposure(differs.instrument).position = differs.venue
        if not differs.adopted and differs.instrument not in self._halted_markets:
            scale = self.instruments[differs.instrument].size_scale
            own, venue = format_scaled(differs.own, scale), format_scaled(differs.venue, scale)
            reason = f"own fills make a position of {own}, the venue says {venue}"
            self._halted_markets[differs.instrument] = reason
            emit(MarketHalted(differs.at_ns, differs.instrument, reason))

    @handles(*Gate.WATCHES)
    def watch(self, event: Event, emit: Emit) -> None:
        """Update the preconditions for real orders."""
        self._gate.watch(event)

    @handles(ActorFailed)
    def note_failure(self, failed: ActorFailed, emit: Emit) -> None:
        """Halt, or quarantine the strategy, according to its policy."""
        if failed.policy == "quarantine":
            self._quarantined = sorted({*self._quarantined, failed.actor})
        else:
            self._halt(failed.at_ns, f"{failed.actor} failed: {failed.error}", emit)

    @handles(ActorRestarted)
    def end_quarantine(self, restarted: ActorRestarted, emit: Emit) -> None:
        """Let a restarted strategy trade again."""
        self._quarantined = [name for name in self._quarantined if name != restarted.actor]

    @handles(SessionStarted)
    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Begin a session. A stop ends with its session; any other halt stays in force.

        With real orders no new risk is taken until the account is reconciled.
        """
        self._gate.begin()
        if self._halted == _STOPPED:
            self._halted = ""

    @handles(OperatorCommand)
    def apply_command(self, command: OperatorCommand, emit: Emit) -> None:
        """Refuse every request after "halt" and "stop"; "resume" ends that."""
        halting = command.command == "halt" and self._halted in ("", _STOPPED)
        if halting or (command.command == "stop" and not self._halted):
            self._halted = f"operator: {command.command}"
            emit(EngineHalted(command.recv_ns, self._halted))
        elif command.command == "resume":
            self._halted = ""
            self._halted_markets.clear()

    def _halt(self, at_ns: int, reason: str, emit: Emit) -> None:
        """Refuse every request from now on. The reason of an earlier halt is kept."""
        if self._halted in ("", _STOPPED):
            self._halted = reason
            emit(EngineHalted(at_ns, reason))

    def _refuse(
        self,
        request: OrderRequested | ModifyRequested,
        side: int,
        size: int,
        reduce_only: bool,
        broken: tuple[str, str],
        emit: Emit,
    ) -> None:
        limit, reason = broken
        emit(
            OrderRefused(
                request.at_ns,
                self.turn.seq,
                request.strategy,
                request.instrument,
                side,
                size,
                limit,
                reason,
                reduce_only,
            )
        )

    def _broken_limit(self, request: OrderRequested, counted: int = 0) -> tuple[str, str] | None:
        """Return (limit, reason) of the first limit that a request breaks, or None.

        `counted` is the part of its size that is already reserved.
        """
        if self._halted:
            return "halted", self._halted
        if request.strategy in self._quarantined:
            return "quarantined", f"{request.strategy} is quarantined"
        if request.instrument in self._halted_markets:
            return "market_halted", self._halted_markets[request.instrument]
        if request.size <= 0:
            return "size", "the size is 0 on the venue's grid"
        listed = self.instruments[request.instrument]
        scale, name = listed.size_scale, listed.name
        size = format_scaled(request.size, scale)
        order_max = self._limits.max_order_size.get(name, "0")
        if _more(request.size, scale, order_max):
            return "max_order_size", f"{size} {name} is more than {order_max}"
        price = self._prices.get(request.instrument, 0)
        requested = request.limit_price or request.trigger_price
        if requested:
            price = requested if request.side == BUY else max(price, requested)
        if not price:
            return "no_price", f"no price of {name} is known yet"
        exposure = self._exposure(request.instrument)
        more = request.size - counted
        if request.side == BUY:
            worst = exposure.position + exposure.buying + more
        else:
            worst = exposure.position - exposure.selling - more
        if self._real:
            closed = self._gate.closed(
                request, reduces=request.reduce_only or abs(worst) <= abs(exposure.position)
            )
            if closed is not None:
                return closed
        if abs(worst) > abs(exposure.position) and not request.reduce_only:
            position_max = self._limits.max_position_size.get(name, "0")
            if _more(abs(worst), scale, position_max):
                return (
                    "max_position_size",
                    f"{format_scaled(abs(worst), scale)} {name} would be more than {position_max}",
                )
            if self._exceeds(request.size * price, self._order_notional, listed):
                return "max_order_notional", self._notional_text(
                    request.size * price, self._order_notional, listed
                )
            if self._exceeds(abs(worst) * price, self._position_notional, listed):
                return (
                    "max_position_notional",
                    self._notional_text(abs(worst) * price, self._position_notional, listed),
                )
        per_minute = self._limits.max_orders_per_minute
        while self._approvals_ns and self._approvals_ns[0] <= request.at_ns - 60 * SECOND_NS:
            del self._approvals_ns[0]
        if per_minute and len(self._approvals_ns) >= per_minute and not request.reduce_only:
            return "max_orders_per_minute", f"{len(self._approvals_ns)} orders in the last minute"
        return None

    def _exceeds(self, money: int, limit: int, listed: InstrumentListed) -> bool:
        """Return whether money at the instrument's scale exceeds a limit at MONEY_TEXT_SCALE, if not 0."""
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
    """Return whether a size exceeds a limit in base units, compared exactly; 0 is no limit."""
    most = Decimal(limit)
    return bool(most) and Decimal(size) > most.scaleb(scale, _EXACT)
