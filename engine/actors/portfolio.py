"""Keeps positions, cost, realized gain, fees and equity, and turns targets into orders.

Owns the books: they follow from fills and funding alone, in exact integers, so that at every moment
cash at start + realized + unrealized - fees + funding equals the sum of what was paid and received plus the
position at its mark. Emits `OrderRequested` for targets, `PositionChanged` and `EquityMarked`.

A real venue's own word on a position is compared with the fills up to the same time (`PositionRead`); where
they differ both numbers are told, and only at the start of a session that is configured so is it adopted.
"""

from __future__ import annotations

from engine.actors.base import Actor, Emit, Once, State, handles, remember
from engine.config import MONEY_TEXT_SCALE, AccountConfig, VenueConfig
from engine.events import (
    ENDED,
    AccountRead,
    BarClosed,
    EquityMarked,
    FundingPaid,
    OrderChanged,
    OrderFilled,
    OrderModified,
    OrderRefused,
    OrderRequested,
    PositionChanged,
    PositionDiffers,
    PositionRead,
    PriceMarked,
    SessionStarted,
    SubmitOrder,
    TargetSet,
)
from engine.values import BUY, SELL, parse_scaled, power_of_ten, rescale, wide

__all__ = ["Portfolio", "Position"]

EXTERNAL = "external"
"""Whose the position is that no order of this journal made."""

_RECENT_MAX = 64


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
    reduce_only: bool


class Portfolio(Actor):
    """State: positions by strategy and instrument, working orders by client order id, marks, funding.

    `_recent` holds, per instrument, (venue time, signed size) of the last fills: what a position read at an
    earlier time did not include yet.
    """

    WIRING = Actor.WIRING | {"_cash", "_adopts"}

    def __init__(self, config: AccountConfig, venue: VenueConfig | None = None) -> None:
        super().__init__("portfolio")
        self._cash = parse_scaled(config.cash, MONEY_TEXT_SCALE)
        self._adopts = venue is not None and venue.adopt
        self._starting = True
        self._ended: dict[str, str] = {}
        self._recent: dict[int, list[tuple[int, int]]] = {}
        self._funding: dict[int, int] = {}
        self._funded_ns: dict[int, int] = {}
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
        """Count a strategy's own order as on its way; one that only reduces changes no target."""
        if not wish.for_target and not wish.reduce_only:
            self._position(wish.strategy, wish.instrument).working += wish.side * wish.size

    @handles(OrderRefused)
    def forget_wish(self, refused: OrderRefused, emit: Emit) -> None:
        """A refused order is not on its way."""
        if not refused.reduce_only:
            self._position(refused.strategy, refused.instrument).working -= refused.side * refused.size

    @handles(SubmitOrder)
    def note_order(self, order: SubmitOrder, emit: Emit) -> None:
        """Remember whose order it is."""
        self._orders[order.client_order_id] = Working(
            order.strategy, order.instrument, order.side, order.size, order.reduce_only
        )

    @handles(OrderModified)
    def note_change(self, report: OrderModified, emit: Emit) -> None:
        """Another size is on its way now."""
        order = self._orders.get(report.client_order_id)
        if order is not None:
            self._move_working(order, report.size - order.remaining)
            order.remaining = report.size

    @handles(OrderChanged)
    def forget_order(self, told: OrderChanged, emit: Emit) -> None:
        """What is left of an order that ended is not on its way; a late fill still finds its strategy."""
        order = self._orders.get(told.client_order_id)
        if order is None or told.state not in ENDED:
            return
        del self._orders[told.client_order_id]
        self._move_working(order, -order.remaining)
        remember(self._ended, told.client_order_id, order.strategy)

    @handles(OrderFilled)
    def book(self, fill: OrderFilled, emit: Emit) -> None:
        """Book an execution and tell the new position and equity. A fill of no known order is "external"."""
        if not self._fills.first(fill):
            return
        order = self._orders.get(fill.client_order_id)
        strategy = order.strategy if order else self._ended.get(fill.client_order_id, EXTERNAL)
        position = self._position(strategy, fill.instrument)
        position.fill(fill.side, fill.size, fill.price)
        position.fees += int(fill.fee)
        if order is not None:
            done = min(fill.size, order.remaining)
            order.remaining -= done
            self._move_working(order, -done)
        recent = self._recent.setdefault(fill.instrument, [])
        recent.append((fill.venue_ns, fill.side * fill.size))
        del recent[:-_RECENT_MAX]
        self._marks.setdefault(fill.instrument, fill.price)
        self._tell_position(fill.recv_ns, strategy, fill.instrument, emit)
        self._tell_equity(fill.recv_ns, emit)

    # The account at a real venue.

    @handles(SessionStarted)
    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Until the account was read once, what the venue holds may be adopted."""
        self._starting = True

    @handles(PositionRead)
    def compare(self, read: PositionRead, emit: Emit) -> None:
        """Compare the venue's position with what the fills up to the same time add up to."""
        held = sum(positions[read.instrument].size for positions in self._held(read.instrument))
        recent = self._recent.get(read.instrument, ())
        own = held - sum(size for venue_ns, size in recent if venue_ns > read.venue_ns)
        if own == read.size:
            return
        adopted = self._starting and self._adopts
        emit(PositionDiffers(read.recv_ns, read.instrument, own, read.size, adopted))
        if adopted:
            missing = read.size - own
            position = self._position(EXTERNAL, read.instrument)
            entry = _coarser(int(read.entry), read.scale, self.instruments[read.instrument].price_scale)
            position.fill(BUY if missing > 0 else SELL, abs(missing), entry)
            self._marks.setdefault(read.instrument, entry)
            self._tell_position(read.recv_ns, EXTERNAL, read.instrument, emit)

    @handles(AccountRead)
    def note_account(self, read: AccountRead, emit: Emit) -> None:
        """The account was read: from here on a position that differs is a fault."""
        self._starting = False

    @handles(FundingPaid)
    def fund(self, paid: FundingPaid, emit: Emit) -> None:
        """Book a funding payment, once: they come in the order of their times."""
        if paid.venue_ns > self._funded_ns.get(paid.instrument, 0):
            self._funded_ns[paid.instrument] = paid.venue_ns
            self._funding[paid.scale] = self._funding.get(paid.scale, 0) + int(paid.amount)
            self._tell_equity(paid.recv_ns, emit)

    # Marks and equity.

    @handles(BarClosed)
    def mark_bar(self, bar: BarClosed, emit: Emit) -> None:
        """Value the account at the close, when it holds the instrument and the price moved."""
        if self._marks.get(bar.instrument) == bar.close:
            return
        self._marks[bar.instrument] = bar.close
        if any(bar.instrument in held and held[bar.instrument].size for held in self._positions.values()):
            self._tell_equity(bar.at_ns, emit)

    @handles(PriceMarked)
    def mark_last(self, mark: PriceMarked, emit: Emit) -> None:
        """Value the account at the last print."""
        self._marks[mark.instrument] = mark.price
        self._tell_equity(mark.at_ns, emit)

    def _held(self, instrument: int) -> list[dict[int, Position]]:
        """Return the holdings of each strategy that ever held an instrument."""
        return [held for held in self._positions.values() if instrument in held]

    def _move_working(self, order: Working, size: int) -> None:
        if not order.reduce_only:
            self._position(order.strategy, order.instrument).working += order.side * size

    def _tell_position(self, at_ns: int, strategy: str, instrument: int, emit: Emit) -> None:
        position = self._position(strategy, instrument)
        emit(
            PositionChanged(
                at_ns,
                strategy,
                instrument,
                position.size,
                wide(position.cost),
                wide(position.realized),
                wide(position.fees),
            )
        )

    def _position(self, strategy: str, instrument: int) -> Position:
        held = self._positions.setdefault(strategy, {})
        position = held.get(instrument)
        if position is None:
            position = held[instrument] = Position()
        return position

    def _tell_equity(self, at_ns: int, emit: Emit) -> None:
        scales = [listed.money_scale for listed in self.instruments.values()]
        scale = max([MONEY_TEXT_SCALE, *scales, *self._funding])
        realized = unrealized = fees = 0
        for held in self._positions.values():
            for instrument, position in held.items():
                own_scale = self.instruments[instrument].money_scale
                value = position.size * self._marks.get(instrument, 0)
                realized += rescale(position.realized, own_scale, scale)
                unrealized += rescale(value - position.cost, own_scale, scale)
                fees += rescale(position.fees, own_scale, scale)
        cash = rescale(self._cash, MONEY_TEXT_SCALE, scale)
        funding = sum(rescale(amount, own_scale, scale) for own_scale, amount in self._funding.items())
        equity = cash + realized + unrealized - fees + funding
        marked = EquityMarked(
            at_ns, scale, wide(realized), wide(unrealized), wide(fees), wide(equity), wide(funding)
        )
        emit(marked)


def _coarser(value: int, scale: int, to: int) -> int:
    """Return a price moved to the scale `to`, rounded down where that is coarser."""
    return value * power_of_ten(to - scale) if to >= scale else value // power_of_ten(scale - to)
