"""Leads books along candles, and matches their orders on the way.

Owns the path. Each book goes from the open to one end, to the other end, to the close; the first end is the
one that hurts it. At the open its orders meet the open price, oldest first. On the way to an end orders fill
in the order of their prices: limits at their limit, stops at their trigger made worse by slippage. Each price
is a `PathReached`; what a fill there causes is done before the next one, so a stop that a strategy asks for
in `on_fill` takes part in the rest of the path. Any other new order arrives after the candle.

A book that opened on the way can be closed with a profit within the candle only if the close proves it: which
of two prices came first is not known. An order that arrived at the end of a candle or later does not meet it.
All fills of a candle take no more than its volume, where that is known. The bound of a market order does not
apply: the best price at its arrival is the open.

A candle that nothing can come of is not led along: no order can meet it, no trail follows it, and the account
can carry its positions at every price of it. What is left is its close.

Called by the venue with each candle. Its state is the venue's `path`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from engine.actors.base import PATH, Emit, Later
from engine.actors.simulated.margin import UNSAFE, Outlook
from engine.actors.simulated.state import DORMANT, UNIT, WAITING, WORKING, At, Path, VenueOrder, worse
from engine.events import Candle, OrderFilled, PathReached
from engine.events.terms import CLOSE
from engine.values import BUY, SELL, format_scaled

if TYPE_CHECKING:
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["Candles"]

_KEY: Final = "path"
LOW, HIGH = "low", "high"


class Candles:
    """See the module."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.v = venue

    # A candle begins.

    def begin(self, candle: Candle, emit: Emit) -> None:
        """Begin to lead the books of a market along a candle, unless it covers a time that is done."""
        v = self.v
        market = v.market(candle.instrument)
        market.candles = market.priced = True
        if candle.start_ns < market.done_ns:
            return
        market.done_ns = candle.venue_ns
        # One that ends at midnight is received just before: what arrives then comes after it all the same.
        end_ns = min(candle.venue_ns, candle.recv_ns)
        owners = list(v.books.get(candle.instrument, ()))
        for order in v.orders.get(candle.instrument, ()):
            if order.owner not in owners and order.arrived_ns < end_ns:
                owners.append(order.owner)
        if not owners:
            market.last = candle.close
            return
        outlook = self._outlook(candle)
        if outlook.safe:
            market.last = candle.close
            v.passed(candle.recv_ns, emit, far=outlook.far)
            return
        volume = int(candle.volume)
        v.path = Path(
            candle.instrument,
            "",
            owners,
            (candle.open, candle.low, candle.high, candle.close),
            ("open", LOW, HIGH, "close"),
            candle.recv_ns,
            candle.start_ns,
            end_ns,
            volume if volume > 0 else -1,
        )
        self._begin_next(v.path, emit)

    def _outlook(self, candle: Candle) -> Outlook:
        """Return what a candle can do: if it is safe, no path along it would do anything."""
        v, instrument = self.v, candle.instrument
        if instrument in v.trailed:
            return UNSAFE
        prices = candle.open, candle.high, candle.low, candle.close
        low, high = min(prices), max(prices)
        for order in v.orders.get(instrument, ()):
            if order.phase == DORMANT or not order.remaining:
                continue
            waits = order.phase == WAITING
            if not order.judged or not (waits or order.resting):
                return UNSAFE
            price = order.terms.trigger_price if waits else order.limit
            rising = order.rising if waits else order.side == SELL
            if high >= price if rising else low <= price:
                return UNSAFE
        return v.margin.outlook(instrument, low, high)

    def end(self) -> None:
        """End the path: the bar of the candle comes next."""
        self.v.path = None

    def _begin_next(self, path: Path, emit: Emit) -> None:
        """Go on with the next book, if there is one."""
        if path.waiting:
            self._emit(path, path.waiting[0], path.points[0], "open", path.start_ns, emit)

    def _begin_book(self, path: Path, owner: str) -> None:
        """Take up the next book."""
        path.waiting.remove(owner)
        path.owner = owner
        low, high = sorted(path.points[1:3])
        if self._first_end(path, low, high) == LOW:
            path.points, path.parts = (path.points[0], low, high, path.close), ("open", LOW, HIGH, "close")
        else:
            path.points, path.parts = (path.points[0], high, low, path.close), ("open", HIGH, LOW, "close")
        path.leg = path.entered = path.entry = 0

    def _first_end(self, path: Path, low: int, high: int) -> str:
        """Return the end that comes first: the one that hurts the book, or what its orders would open.

        A stop entry is led to first, so that the other end comes after it. If both ends may hurt, the one
        nearer the close comes first.
        """
        held = self.v.account.book(path.owner, path.instrument)
        if held:
            return LOW if held > 0 else HIGH
        ends = [
            HIGH if (order.side == BUY) == (order.terms.trigger == "sl") else LOW
            for order in self._orders(path)
            if order.terms.role != CLOSE
        ]
        if LOW in ends and HIGH not in ends:
            return LOW
        if HIGH in ends and LOW not in ends:
            return HIGH
        return LOW if path.close - low <= high - path.close else HIGH

    # The path.

    def reach(self, reached: PathReached, emit: Emit) -> None:
        """Match the orders at the price that the book has been led to, and lead it on."""
        v, path = self.v, self.v.path
        assert path is not None, "a book is led only along a path"
        if reached.part == "open":
            self._begin_book(path, reached.owner)
        at = At(reached.at_ns, reached.venue_ns, emit)
        due = [order for order, price in self._levels(path) if price == reached.price] if path.leg else []
        path.start = path.points[max(path.leg - 1, 0)]
        path.at = v.market(path.instrument).last = reached.price
        if path.leg:
            self._meet(path, due, at)
        else:
            self._open(path, emit)
        for order in self._orders(path):
            self._fire_reached(path, order, path.at, at)
        v.margin.check(at)
        if reached.part:
            path.leg += 1
        self._go_on(path, emit)

    def _go_on(self, path: Path, emit: Emit) -> None:
        """Lead the book to the next price: that of the nearest order, or the end of this leg."""
        if path.leg > 3:
            self._begin_next(path, emit)
            return
        target, part = path.points[path.leg], path.parts[path.leg]
        prices = [price for _, price in self._levels(path)]
        level = self.v.margin.level(path.instrument)
        if level != path.at and min(path.at, target) <= level <= max(path.at, target):
            prices.append(level)
        nearest = min(prices, key=lambda price: abs(price - path.at), default=target)
        self._emit(path, path.owner, nearest, part if nearest == target else "", path.end_ns, emit)

    def _emit(self, path: Path, owner: str, price: int, part: str, venue_ns: int, emit: Emit) -> None:
        reached = PathReached(path.recv_ns, venue_ns, path.instrument, owner, price, part)
        emit(Later(reached, PATH, _KEY))

    def _levels(self, path: Path) -> Iterator[tuple[VenueOrder, int]]:
        """Yield the orders that fill on the rest of this leg, each with its price, oldest first."""
        target = path.points[path.leg]
        for order in self._orders(path):
            if order.phase == WAITING:
                price = order.terms.trigger_price
                met = (path.at < price <= target) if order.rising else (path.at > price >= target)
            else:
                price = order.limit
                beyond = (price - target) * order.side
                met = order.resting and (path.at - price) * order.side > 0 and self._passed(beyond)
            if met and self._closable(path, order, price):
                yield order, price

    def _passed(self, beyond: int) -> bool:
        """Return whether a limit fills that the price goes beyond by so much."""
        return beyond > 0 or (self.v.fill_on_touch and beyond == 0)

    def _orders(self, path: Path) -> list[VenueOrder]:
        """Return the orders of the book that meet this candle, oldest first."""
        return [
            order
            for order in self.v.orders.get(path.instrument, ())
            if order.owner == path.owner
            and order.remaining
            and order.phase != DORMANT
            and order.arrived_ns < path.end_ns
        ]

    # Orders at a price.

    def _open(self, path: Path, emit: Emit) -> None:
        """Match the orders with the open, oldest first."""
        price = path.at
        for order in self._orders(path):
            at = At(path.recv_ns, max(path.start_ns, order.arrived_ns), emit)
            if not order.remaining:
                continue
            if not order.judged:
                self.v.arrival.judge(order, at)
            if order.phase == WAITING and order.reached_by(price, order.terms.trigger_price):
                self._fire(path, order, price, at)
            elif order.phase == WORKING and order.resting:
                beyond = (order.limit - price) * order.side
                onward = (order.limit - path.points[1]) * order.side
                if beyond > 0 or (not beyond and self._passed(max(onward, 0))):
                    self._make(path, order, at)
            elif order.phase == WORKING and order.terms.trigger:
                # The mark fired it before this candle.
                self._take(path, order, worse(order.side, price, order.terms.trigger_price), at)
            elif order.phase == WORKING:
                self._take(path, order, price, at)

    def _meet(self, path: Path, orders: list[VenueOrder], at: At) -> None:
        """Fill orders at their own prices."""
        for order in orders:
            if order.remaining and order.phase == WAITING:
                self._fire(path, order, order.terms.trigger_price, at)
            elif order.remaining:
                self._make(path, order, at)

    def _fire_reached(self, path: Path, order: VenueOrder, price: int, at: At) -> None:
        """Fire a stop whose trigger the path has already passed when it became active."""
        trigger = order.terms.trigger_price
        if (
            order.phase == WAITING
            and order.reached_by(path.at, trigger)
            and self._closable(path, order, trigger)
        ):
            self._fire(path, order, price, at)

    def _fire(self, path: Path, order: VenueOrder, price: int, at: At) -> None:
        """Fire a stop at a price of the path. A take-profit fills at its trigger in any case."""
        self.v.arrival.fire(order, at)
        if order.remaining:
            self._take(path, order, order.terms.trigger_price if order.terms.trigger == "tp" else price, at)

    def _take(self, path: Path, order: VenueOrder, price: int, at: At) -> None:
        """Let an order trade at a price of the path, within its limit. The rest of it rests or ends."""
        fills = self.v.fills
        if order.allows(price, order.limit):
            if order.terms.tif == "Alo":
                shown = format_scaled(price, self.v.instruments[order.instrument].price_scale)
                fills.reject(order, f"Post only order would have immediately matched, bbo was {shown}.", at)
                return
            size = self._closable(path, order, price)
            size = size if path.left < 0 else min(size, path.left)
            if size:
                fills.take(order, price, size, self.v.slippage_bps, order.limit, at)
        if order.remaining and (order.immediate or not order.limit):
            fills.end(order, "Ioc found no match", at)
        elif order.remaining:
            order.resting = True

    def _make(self, path: Path, order: VenueOrder, at: At) -> None:
        size = self._closable(path, order, order.limit)
        self.v.fills.make(order, size if path.left < 0 else min(size, path.left), at)

    def _closable(self, path: Path, order: VenueOrder, price: int) -> int:
        """Return how much of an order may fill: what was opened within the candle is closed with a profit
        only if the candle's close proves it.

        A take-profit waits once the candle's volume is used up; a stop-loss fires all the same, for the
        engine to sell at the next price.
        """
        if not path.left and order.terms.trigger == "tp":
            return 0
        held = self.v.account.book(path.owner, path.instrument)
        way = 1 if held > 0 else -1
        if (
            not path.entered
            or order.side != -way
            or order.terms.trigger == "sl"
            or (price * UNIT - path.entry) * way <= 0
            or (path.close - price) * way >= 0
        ):
            return order.remaining
        return min(order.remaining, max(0, abs(held) - path.entered))

    # What happens meanwhile.

    def joins(self, order: VenueOrder, at_ns: int) -> bool:
        """Return whether an order that is sent now takes part in the rest of the path: a stop of the book."""
        path = self.v.path
        return (
            path is not None
            and path.recv_ns == at_ns
            and order.instrument == path.instrument
            and order.owner == path.owner
            and bool(order.terms.trigger)
            and order.terms.role == CLOSE
        )

    def join(self, order: VenueOrder, emit: Emit) -> None:
        """Let a stop take part that was sent along the path.

        If this leg has passed its trigger already, it fills there.
        """
        path = self.v.path
        assert path is not None, "joins() says so"
        at = At(path.recv_ns, path.end_ns if path.leg > 1 else path.start_ns, emit)
        order.judged = True
        self.v.arrival.accept(order, at)
        order.arrived_ns = path.start_ns
        self._fire_reached(path, order, worse(order.side, order.terms.trigger_price, path.start), at)
        self._go_on(path, emit)

    def note_fill(self, order: VenueOrder, fill: OrderFilled) -> None:
        """Count a fill along the path: what it leaves of the volume, and what the book opened on a leg."""
        path = self.v.path
        if path is None or path.instrument != order.instrument:
            return
        if path.left >= 0:
            path.left -= fill.size
        held = self.v.account.book(path.owner, path.instrument)
        if held * fill.side > 0 and path.leg:
            opened = min(fill.size, abs(held))
            path.entered = min(path.entered + opened, abs(held))
            path.entry = fill.price * (1 if fill.finer else UNIT)
        path.entered = min(path.entered, abs(held))
