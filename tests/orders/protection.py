"""What stops, brackets and trails may and must do: the part of the model that follows protection.

Written from the rules alone. `Protection` keeps each stop with its size and what its orders have closed, each
trail with its best price, and says after every turn what is wrong: more closed than a stop protects, a trail
that fired early or not at all, a stop that the price has passed and that nothing works.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from engine.events import (
    BookRead,
    CancelRequested,
    Event,
    FillBooked,
    ModifyRequested,
    OperatorCommand,
    OrderApproved,
    OrderRefused,
    OrderRequested,
    PositionChanged,
    Quote,
    SessionStarted,
    StopRequested,
    Trade,
    TrailChanged,
    TrailRequested,
)
from tests.orders.facts import CLOSE, OPEN
from tests.orders.ledger import ZERO, sign
from tests.orders.model import Model

__all__ = ["Protection"]

SECOND_NS = 1_000_000_000
PASSED_NS = 12 * SECOND_NS
"""How long the price may be beyond a stop while nothing works: two tries, and their way."""


@dataclass
class Stop:
    """A stop, or a child of a bracket, under its handle."""

    owner: str
    market: int
    handle: str
    side: int
    size: Fraction
    kind: str
    trigger: Fraction
    limit: bool
    closed: Fraction = ZERO
    late: Fraction = ZERO  # of it, by orders that were being canceled
    dead: bool = False
    passed_ns: int = 0
    events: int = 0


@dataclass
class Trail:
    """The trailing stop of a book. `best` is None until it is armed."""

    side: int
    size: Fraction
    distance: Fraction
    asked_ns: int
    best: Fraction | None = None
    firing: bool = False
    parked: bool = False  # at the venue, while the engine is stopped
    closed: Fraction = ZERO

    @property
    def stop(self) -> Fraction:
        assert self.best is not None
        return self.best + self.side * self.distance


@dataclass
class Protection:
    """Follows the stops and trails of a session. Used together with `Model`."""

    model: Model
    candles: bool
    stops: dict[str, Stop] = field(default_factory=dict)
    trails: dict[tuple[str, int], Trail] = field(default_factory=dict)
    tried_ns: dict[tuple[str, int], int] = field(default_factory=dict)
    quotes: dict[tuple[int, int], Fraction] = field(default_factory=dict)
    crossed: list[tuple[str, int]] = field(default_factory=list)

    def follow(self, event: Event) -> None:
        """Take a record, after the model has."""
        handler: Any = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    # Stops.

    def stop_requested(self, asked: StopRequested) -> None:
        """A stop is asked for."""
        self._add(
            asked, asked.handle, asked.side, asked.size, asked.kind, asked.trigger_price, asked.limit_price
        )

    def order_requested(self, request: OrderRequested) -> None:
        """A bracket: its children wait under the handle of the order."""
        profits = 0
        for kind, trigger, size in request.children:
            profits += kind == "tp"
            name = f"{request.terms.handle}/{'sl' if kind == 'sl' else f'tp{profits}'}"
            self._add(request, name, -request.terms.side, size, kind, trigger, 0)

    def _add(
        self, asked: Any, handle: str, side: int, size: int, kind: str, trigger: int, limit: int
    ) -> None:
        listed = self.model.listed[asked.instrument]
        self.stops[handle] = Stop(
            asked.strategy,
            asked.instrument,
            handle,
            side,
            listed.size(size),
            kind,
            listed.price(trigger),
            bool(limit),
        )

    def refused(self, refused: OrderRefused) -> None:
        """What is refused protects nothing."""
        self._end(refused.handle)

    def cancel_requested(self, request: CancelRequested) -> None:
        """A strategy cancels what lives under a handle."""
        if request.handle:
            self._end(request.handle)

    def _end(self, handle: str) -> None:
        for name, stop in self.stops.items():
            if name == handle or name.startswith(f"{handle}/"):
                stop.dead = True

    def modify_requested(self, request: ModifyRequested) -> None:
        """A stop is changed: what it must do from now on is followed no further."""
        stop = self.stops.get(request.handle)
        if stop is not None:
            stop.size = max(stop.size, stop.closed + self.model.listed[stop.market].size(request.size))
            stop.dead = True

    def booked(self, booked: FillBooked) -> None:
        """An exit of a stop or a trail closes no more than it protects."""
        listed = self.model.listed[booked.instrument]
        size = listed.size(booked.size)
        stop = self.stops.get(booked.handle)
        if booked.purpose in ("stop", "take") and stop is not None and not booked.over:
            order = self.model.orders.get(booked.client_order_id)
            late = order is not None and order.asked
            stop.late += size if late else ZERO
            stop.closed += size
            rule = "a stop closes no more than its size, but for what fills before a cancel arrives"
            most = max(stop.size, self._filled(stop)) if stop.kind == "sl" else stop.size
            self.model.require(stop.closed - stop.late <= most, rule, stop, booked)
        trail = self.trails.get((booked.owner, booked.instrument))
        if booked.purpose == "trail" and trail is not None and not booked.over:
            trail.closed += size
            self.model.require(
                trail.closed <= trail.size, "a trail closes no more than its size", trail, booked
            )

    def position_changed(self, changed: PositionChanged) -> None:
        """What protected a position ends with it."""
        held = self.model.position(changed.strategy, changed.instrument)
        for stop in self.stops.values():
            if (stop.owner, stop.market) == (changed.strategy, changed.instrument) and not held:
                stop.dead = True
        trail = self.trails.get((changed.strategy, changed.instrument))
        if trail is not None and trail.best is not None and sign(held) != -trail.side:
            del self.trails[changed.strategy, changed.instrument]

    def approved(self, approval: OrderApproved) -> None:
        """An exit is tried."""
        if approval.terms.role == CLOSE and not approval.terms.trigger:
            self.tried_ns[approval.strategy, approval.instrument] = approval.at_ns

    def started(self, started: SessionStarted) -> None:
        """While the engine was down the price may have passed a stop: count from now on."""
        for stop in self.stops.values():
            stop.passed_ns = 0

    def commanded(self, command: OperatorCommand) -> None:
        """An operator cancels stops: what they must do from now on is followed no further."""
        given = dict(command.arguments)
        if command.command != "cancel" or not command.nonce:
            return
        order = self.model.orders.get(given.get("order", ""))
        handle = given.get("order") if order is None else order.handle
        for name, stop in self.stops.items():
            listed = self.model.listed[stop.market]
            here = given.get("strategy", stop.owner) == stop.owner
            here &= given.get("market", listed.name) == listed.name
            stop.dead |= here and handle in (None, name, name.partition("/")[0])

    # Prices.

    def trade(self, trade: Trade) -> None:
        """A trade may arm, move or fire trails, and passes stops."""
        if not self.model.known:
            return  # what is held is not known for sure
        price = self.model.listed[trade.instrument].price(trade.price)
        for (owner, market), trail in self.trails.items():
            if market != trade.instrument or trail.firing or trail.parked:
                continue
            held = self.model.position(owner, market)
            if sign(held) != -trail.side:
                continue
            if trail.best is None:
                trail.best = price
            elif (price - trail.stop) * -trail.side <= 0:
                self.crossed.append((owner, market))
            else:
                trail.best = max(trail.best, price) if trail.side < 0 else min(trail.best, price)
        self._pass(trade.instrument)

    def quote(self, quote: Quote | BookRead) -> None:
        """A quote passes stops too."""
        listed = self.model.listed[quote.instrument]
        if isinstance(quote, Quote):
            best = {1: quote.ask, -1: quote.bid}
        else:
            best = {1: quote.asks[0][0] if quote.asks else 0, -1: quote.bids[0][0] if quote.bids else 0}
        for side, price in best.items():
            if price:
                self.quotes[quote.instrument, side] = listed.price(price)
        self._pass(quote.instrument)

    def _pass(self, market: int) -> None:
        """Note since when every price known is at or beyond the trigger of a stop."""
        known = [self.model.last.get(market), self.model.marks.get(market)]
        known += [self.quotes.get((market, side)) for side in (1, -1)]
        prices = [price for price in known if price is not None]
        for stop in self.stops.values():
            if stop.market != market or stop.dead:
                continue
            falls = (stop.side < 0) == (stop.kind == "sl")
            beyond = all(price <= stop.trigger if falls else price >= stop.trigger for price in prices)
            held = self.model.position(stop.owner, market)
            idle = sign(held) != -stop.side or not self._protects(stop)
            if not beyond or idle or not self.model.reconciled or self.model.disarmed:
                stop.passed_ns = stop.events = 0
                continue
            stop.passed_ns = stop.passed_ns or self.model.now_ns
            stop.events += 1

    def _protects(self, stop: Stop) -> Fraction:
        """Return what a stop has left to close: a child of a bracket, no more than its order has filled."""
        parent, slash, _ = stop.handle.partition("/")
        if not slash:
            return stop.size - stop.closed
        filled = self._filled(stop)
        siblings = [other for name, other in self.stops.items() if name.startswith(f"{parent}/")]
        return min(stop.size, filled) - sum((other.closed for other in siblings), ZERO)

    def _filled(self, stop: Stop) -> Fraction:
        """Return what the order of a child has filled, which may have been changed to a larger size."""
        parent, slash, _ = stop.handle.partition("/")
        orders = [
            order
            for order in self.model.orders.values()
            if slash and order.handle == parent and order.role == OPEN
        ]
        return sum((order.filled for order in orders), ZERO)

    # Trails.

    def trail_requested(self, asked: TrailRequested) -> None:
        """A trail is asked for, replaced, or dropped with a size of 0."""
        key = (asked.strategy, asked.instrument)
        known = self.trails.get(key)
        if known is not None and known.firing:
            return
        if not asked.size:
            self.trails.pop(key, None)
            return
        listed = self.model.listed[asked.instrument]
        self.trails[key] = Trail(
            asked.side, listed.size(asked.size), listed.price(asked.distance), asked.at_ns
        )

    def trail_changed(self, changed: TrailChanged) -> None:
        """Compare a trail's stop with the model's, and when it fires."""
        key = (changed.strategy, changed.instrument)
        trail = self.trails.get(key)
        if changed.state in ("dropped", "fired"):
            self.trails.pop(key, None)
            return
        if trail is None or self.candles:
            return
        stop = self.model.listed[changed.instrument].price(changed.stop)
        if changed.state == "parked":
            trail.parked = True
        elif changed.state == "armed" and trail.parked:
            trail.parked, trail.best = False, stop - trail.side * trail.distance
        elif changed.state == "armed" and self.model.stopping and trail.best is None:
            trail.best = self.model.last[changed.instrument]
        if changed.state in ("armed", "firing") and trail.best is not None:
            self.model.require(stop == trail.stop, "a trail follows the best trade", changed, trail)
        if changed.state == "firing":
            # One that was at the venue may have been fired there.
            rule = "a trail fires on a trade at its stop only"
            self.model.require(trail.parked or key in self.crossed, rule, changed, trail)
            self.crossed = [one for one in self.crossed if one != key]
            trail.firing = True

    def check_turn(self) -> None:
        """After a turn: trails that were reached have fired, and no stop is passed and idle for long."""
        model = self.model
        model.require(not self.crossed or self.candles, "a trail that is reached fires", self.crossed)
        self.crossed.clear()
        self._end_with_entries()
        for stop in self.stops.values():
            if stop.dead or stop.limit or not stop.passed_ns or stop.events < 6 or self.candles:
                continue
            if model.now_ns - stop.passed_ns < PASSED_NS:
                continue
            held = model.position(stop.owner, stop.market)
            if sign(held) != -stop.side or stop.closed >= stop.size:
                continue
            live = model.live_orders(stop.owner, stop.market, CLOSE)
            # What a real venue holds it works by itself, and the report of a fill can be lost.
            held_there = model.real and any(order.handle == stop.handle for order in live)
            working = [order for order in live if not order.waiting or held_there]
            tried_ns = self.tried_ns.get((stop.owner, stop.market), 0)
            model.require(
                working or tried_ns > model.now_ns - PASSED_NS or tried_ns > stop.passed_ns,
                "a stop that the price has passed is worked",
                stop,
                "position",
                held,
            )

    def _end_with_entries(self) -> None:
        """End the stops of flat books that no opening works for any more; a child waits with its order."""
        model = self.model
        for stop in self.stops.values():
            if stop.dead or "/" in stop.handle or model.position(stop.owner, stop.market):
                continue
            opening = model.live_orders(stop.owner, stop.market, OPEN)
            _, missing = model.target(stop.owner, stop.market).distance(ZERO)
            stop.dead = all(order.side == stop.side for order in opening) and sign(missing) != -stop.side


_HANDLERS: dict[type[Event], Any] = {
    StopRequested: Protection.stop_requested,
    OrderRequested: Protection.order_requested,
    OrderRefused: Protection.refused,
    CancelRequested: Protection.cancel_requested,
    ModifyRequested: Protection.modify_requested,
    FillBooked: Protection.booked,
    PositionChanged: Protection.position_changed,
    OrderApproved: Protection.approved,
    OperatorCommand: Protection.commanded,
    SessionStarted: Protection.started,
    Trade: Protection.trade,
    Quote: Protection.quote,
    BookRead: Protection.quote,
    TrailRequested: Protection.trail_requested,
    TrailChanged: Protection.trail_changed,
}
