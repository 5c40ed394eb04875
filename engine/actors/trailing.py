"""Trailing stops, kept by the engine because venues do not offer them.

Owns one stop per strategy and instrument. A stop follows the best price since it was armed, at a distance:
`best - distance` for a sell (protects a long), `best + distance` for a buy. When the price returns to it, the
stop is removed and a reduce-only market order is requested for the strategy. The rules:

- Trades move and fire a stop. In data without trades, candles do: first the end that could fire it, then the
  other end, then the close. Quotes do not, and neither does a trade older than the newest one so far.
- The first trade (or a candle's close) after the request arms a stop, so that trade never fires it.
- It fires once. Its order is checked and reported like any other order.
- A new request replaces the existing stop. A stop is dropped on request, when the strategy's position is flat
  or has turned, and when the strategy fails.
"""

from __future__ import annotations

from engine.actors.base import Actor, Emit, RoutesChanged, State, handles
from engine.events import (
    ActorFailed,
    Candle,
    Event,
    OrderRequested,
    PositionChanged,
    Trade,
    TrailChanged,
    TrailRequested,
)
from engine.values import SELL, format_scaled

__all__ = ["Trail", "Trailing"]


class Trail(State):
    """A trailing stop. `best` is 0 until a trade arms it. `seen_ns` is the venue time of the newest trade."""

    side: int
    size: int
    distance: int
    best: int = 0
    seen_ns: int = 0

    @property
    def stop(self) -> int:
        """The stop's price; 0 before it is armed, or if the distance is greater than the best price."""
        return max(0, self.best + self.side * self.distance) if self.best else 0

    def hit(self, price: int) -> bool:
        """Return whether a price is at or beyond the stop."""
        return price <= self.stop if self.side == SELL else price >= self.stop

    def follow(self, price: int) -> None:
        """Move the stop if a price is better than the best so far."""
        self.best = max(self.best, price) if self.side == SELL else min(self.best, price)


class Trailing(Actor):
    """State: the stops by instrument and strategy."""

    def __init__(self) -> None:
        super().__init__("trailing")
        self._trails: dict[int, dict[str, Trail]] = {}

    def listens(self, event_type: type[Event]) -> bool:
        """Return whether events of a type are needed now: trades and candles only while there is a stop."""
        return bool(self._trails) or event_type not in (Trade, Candle)

    @handles(TrailRequested)
    def set_stop(self, request: TrailRequested, emit: Emit) -> None:
        """Set a stop, which replaces an existing one; a size of 0 drops the existing one."""
        if not request.size:
            self._drop(request.at_ns, request.instrument, request.strategy, emit)
            return
        if not self._trails:
            emit(RoutesChanged())
        self._trails.setdefault(request.instrument, {})[request.strategy] = Trail(
            request.side, request.size, request.distance
        )

    @handles(Trade)
    def follow_trade(self, trade: Trade, emit: Emit) -> None:
        """Move or fire the stops of the trade's instrument."""
        self._apply(trade.instrument, trade.venue_ns, trade.recv_ns, (), trade.price, emit)

    @handles(Candle)
    def follow_candle(self, candle: Candle, emit: Emit) -> None:
        """Move or fire the stops of the candle's instrument."""
        ends = (candle.low, candle.high)
        self._apply(candle.instrument, candle.venue_ns, candle.recv_ns, ends, candle.close, emit)

    @handles(PositionChanged)
    def drop_closed(self, position: PositionChanged, emit: Emit) -> None:
        """Drop a stop when the position it protects is flat or has turned."""
        trail = self._trails.get(position.instrument, {}).get(position.strategy)
        if trail is not None and position.size * trail.side >= 0:
            self._drop(position.at_ns, position.instrument, position.strategy, emit)

    @handles(ActorFailed)
    def drop_of(self, failed: ActorFailed, emit: Emit) -> None:
        """Drop the stops of a strategy that failed; its orders are canceled too."""
        for instrument in list(self._trails):
            self._drop(failed.at_ns, instrument, failed.actor, emit)

    def _apply(
        self, instrument: int, venue_ns: int, at_ns: int, ends: tuple[int, ...], last: int, emit: Emit
    ) -> None:
        """Apply prices to an instrument's stops: a candle's low and high, if any, then the last price."""
        for strategy, trail in tuple(self._trails.get(instrument, {}).items()):
            if venue_ns < trail.seen_ns:
                continue
            trail.seen_ns = venue_ns
            if not trail.best:
                trail.best = last
                self._emit_change(at_ns, instrument, strategy, trail, "armed", emit)
                continue
            # The worse end comes first: for a long, the low can fire the stop before the high moves it.
            for price in (*ends[:: -trail.side], last):
                if trail.hit(price):
                    self._fire(at_ns, instrument, strategy, trail, emit)
                    break
                trail.follow(price)

    def _fire(self, at_ns: int, instrument: int, strategy: str, trail: Trail, emit: Emit) -> None:
        stop = format_scaled(trail.stop, self.instruments[instrument].price_scale)
        self._remove(instrument, strategy, emit)
        self._emit_change(at_ns, instrument, strategy, trail, "fired", emit)
        emit(
            OrderRequested(
                at_ns,
                strategy,
                instrument,
                trail.side,
                trail.size,
                reduce_only=True,
                reason=f"trailing stop at {stop}",
            )
        )

    def _drop(self, at_ns: int, instrument: int, strategy: str, emit: Emit) -> None:
        trail = self._trails.get(instrument, {}).get(strategy)
        if trail is not None:
            self._remove(instrument, strategy, emit)
            self._emit_change(at_ns, instrument, strategy, trail, "dropped", emit)

    def _remove(self, instrument: int, strategy: str, emit: Emit) -> None:
        trails = self._trails[instrument]
        del trails[strategy]
        if not trails:
            del self._trails[instrument]
            if not self._trails:
                emit(RoutesChanged())

    def _emit_change(
        self, at_ns: int, instrument: int, strategy: str, trail: Trail, state: str, emit: Emit
    ) -> None:
        emit(TrailChanged(at_ns, strategy, instrument, trail.side, trail.size, trail.stop, state))
