"""Keeps positions, cost, realized profit, fees and equity, and turns targets into order requests.

Owns the books. They follow from fills and funding alone, in exact integers, so at any time cash at start +
realized + unrealized - fees + funding equals the sum of payments plus the position at its mark. Emits
`OrderRequested` for targets, `PositionChanged` and `EquityMarked`.

The position that a real venue reports (`PositionRead`) is compared with the fills up to the same time. If
they differ, `PositionDiffers` carries both numbers. The venue's number is adopted only at the start of a
session, and only if that is configured.
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
"""Strategy name of positions that do not come from an order of this journal."""

_RECENT_MAX = 64


class Position(State):
    """A strategy's holding of one instrument: signed sizes, money at price scale + size scale.

    `cost` is what the open size cost (negative for a short). `working` is the signed size of open orders.
    """

    size: int = 0
    cost: int = 0
    realized: int = 0
    fees: int = 0
    working: int = 0

    def fill(self, side: int, size: int, price: int) -> None:
        """Apply an execution at average cost. Closing releases cost in proportion, rounded down once."""
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

    `_recent` holds (venue time, signed size) of the latest fills per instrument. A position that the venue
    reports for an earlier time does not include them.
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
        """Request an order for the difference between the target and the position with its working orders."""
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
    def note_request(self, request: OrderRequested, emit: Emit) -> None:
        """Count a strategy's own order as working, unless it is reduce-only: that one changes no target."""
        if not request.for_target and not request.reduce_only:
            self._position(request.strategy, request.instrument).working += request.side * request.size

    @handles(OrderRefused)
    def note_refusal(self, refused: OrderRefused, emit: Emit) -> None:
        """Subtract a refused order from the working size."""
        if not refused.reduce_only:
            self._position(refused.strategy, refused.instrument).working -= refused.side * refused.size

    @handles(SubmitOrder)
    def note_order(self, order: SubmitOrder, emit: Emit) -> None:
        """Remember the strategy of an order."""
        self._orders[order.client_order_id] = Working(
            order.strategy, order.instrument, order.side, order.size, order.reduce_only
        )

    @handles(OrderModified)
    def note_change(self, report: OrderModified, emit: Emit) -> None:
        """Take over the open size of a modified order."""
        order = self._orders.get(report.client_order_id)
        if order is not None:
            self._move_working(order, report.size - order.remaining)
            order.remaining = report.size

    @handles(OrderChanged)
    def note_end(self, changed: OrderChanged, emit: Emit) -> None:
        """Subtract the unfilled size of an order that ended. Remember its strategy for late fills."""
        order = self._orders.get(changed.client_order_id)
        if order is None or changed.state not in ENDED:
            return
        del self._orders[changed.client_order_id]
        self._move_working(order, -order.remaining)
        remember(self._ended, changed.client_order_id, order.strategy)

    @handles(OrderFilled)
    def book(self, fill: OrderFilled, emit: Emit) -> None:
        """Book an execution and emit the new position and equity.

        A fill of an unknown order is "external".
        """
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
        self._emit_position(fill.recv_ns, strategy, fill.instrument, emit)
        self._emit_equity(fill.recv_ns, emit)

    # The account at a real venue.

    @handles(SessionStarted)
    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Begin a session: positions at the venue may be adopted until the account has been read once."""
        self._starting = True

    @handles(PositionRead)
    def compare(self, read: PositionRead, emit: Emit) -> None:
        """Compare the venue's position with the sum of the fills up to the same time."""
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
            self._emit_position(read.recv_ns, EXTERNAL, read.instrument, emit)

    @handles(AccountRead)
    def note_account(self, read: AccountRead, emit: Emit) -> None:
        """End the adoption of positions: from now on a difference is an error."""
        self._starting = False

    @handles(FundingPaid)
    def fund(self, paid: FundingPaid, emit: Emit) -> None:
        """Book a funding payment once. Payments arrive in order of their times."""
        if paid.venue_ns > self._funded_ns.get(paid.instrument, 0):
            self._funded_ns[paid.instrument] = paid.venue_ns
            self._funding[paid.scale] = self._funding.get(paid.scale, 0) + int(paid.amount)
            self._emit_equity(paid.recv_ns, emit)

    # Marks and equity.

    @handles(BarClosed)
    def mark_bar(self, bar: BarClosed, emit: Emit) -> None:
        """Value the account at the close if it holds the instrument and the price changed."""
        if self._marks.get(bar.instrument) == bar.close:
            return
        self._marks[bar.instrument] = bar.close
        if any(bar.instrument in held and held[bar.instrument].size for held in self._positions.values()):
            self._emit_equity(bar.at_ns, emit)

    @handles(PriceMarked)
    def mark_last(self, mark: PriceMarked, emit: Emit) -> None:
        """Value the account at the last trade."""
        self._marks[mark.instrument] = mark.price
        self._emit_equity(mark.at_ns, emit)

    def _held(self, instrument: int) -> list[dict[int, Position]]:
        """Return the positions of each strategy that has ever held an instrument."""
        return [held for held in self._positions.values() if instrument in held]

    def _move_working(self, order: Working, size: int) -> None:
        if not order.reduce_only:
            self._position(order.strategy, order.instrument).working += order.side * size

    def _emit_position(self, at_ns: int, strategy: str, instrument: int, emit: Emit) -> None:
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

    def _emit_equity(self, at_ns: int, emit: Emit) -> None:
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
    """Return a price converted to the scale `to`, rounded down if that is coarser."""
    return value * power_of_ten(to - scale) if to >= scale else value // power_of_ten(scale - to)
