"""Trailing stops: kept by the engine, since venues have none.

Owns one stop per strategy and instrument. A stop follows the best price since it was armed at a distance:
`best - distance` for one that sells (protects a long), `best + distance` for one that buys. When the price
comes back to it, it is gone, and a reduce-only market order is wished for in the strategy's name. The rules:

- Only prints move a stop and fire it; where there are none, candles: first the end that could fire it, then
  the other end, then the close. Quotes do neither, nor does a print older than one it has seen.
- A stop is armed by the first print (or candle's close) after the wish, which therefore never fires it.
- It fires once. Whether its order passes risk and fills is told as of any other order.
- A new wish takes the place of the stop that is there. It is dropped on wish, when the strategy's position is
  flat or has turned, and when the strategy fails.
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
    """A trailing stop. `best` is 0 until a print has armed it; `seen_ns` is the newest print's venue time."""

    side: int
    size: int
    distance: int
    best: int = 0
    seen_ns: int = 0

    @property
    def stop(self) -> int:
        """The price it stands at; 0 before it is armed, or where no price is that far below the best."""
        return max(0, self.best + self.side * self.distance) if self.best else 0

    def hit(self, price: int) -> bool:
        """Return whether a price is at or beyond the stop."""
        return price <= self.stop if self.side == SELL else price >= self.stop

    def follow(self, price: int) -> None:
        """Move with a price that is better than the best."""
        self.best = max(self.best, price) if self.side == SELL else min(self.best, price)


class Trailing(Actor):
    """State: the stops by instrument and strategy."""

    def __init__(self) -> None:
        super().__init__("trailing")
        self._trails: dict[int, dict[str, Trail]] = {}

    def listens(self, event_type: type[Event]) -> bool:
        """The market matters only while there is a stop."""
        return bool(self._trails) or event_type not in (Trade, Candle)

    @handles(TrailRequested)
    def take(self, wish: TrailRequested, emit: Emit) -> None:
        """Put a stop in place of the one that is there, if any; or take that one away."""
        if not wish.size:
            self._drop(wish.at_ns, wish.instrument, wish.strategy, emit)
            return
        if not self._trails:
            emit(RoutesChanged())
        self._trails.setdefault(wish.instrument, {})[wish.strategy] = Trail(
            wish.side, wish.size, wish.distance
        )

    @handles(Trade)
    def follow_trade(self, trade: Trade, emit: Emit) -> None:
        """Move or fire the stops of a print's instrument."""
        self._see(trade.instrument, trade.venue_ns, trade.recv_ns, (), trade.price, emit)

    @handles(Candle)
    def follow_candle(self, candle: Candle, emit: Emit) -> None:
        """Move or fire the stops of a candle's instrument."""
        ends = (candle.low, candle.high)
        self._see(candle.instrument, candle.venue_ns, candle.recv_ns, ends, candle.close, emit)

    @handles(PositionChanged)
    def hold(self, position: PositionChanged, emit: Emit) -> None:
        """Drop a stop that has nothing left to protect."""
        trail = self._trails.get(position.instrument, {}).get(position.strategy)
        if trail is not None and position.size * trail.side >= 0:
            self._drop(position.at_ns, position.instrument, position.strategy, emit)

    @handles(ActorFailed)
    def drop_of(self, failed: ActorFailed, emit: Emit) -> None:
        """Drop the stops of a strategy that failed, as its orders are canceled."""
        for instrument in list(self._trails):
            self._drop(failed.at_ns, instrument, failed.actor, emit)

    def _see(
        self, instrument: int, venue_ns: int, at_ns: int, ends: tuple[int, ...], last: int, emit: Emit
    ) -> None:
        """Hold the stops of an instrument against a candle's low and high, or nothing, and the last price."""
        for strategy, trail in tuple(self._trails.get(instrument, {}).items()):
            if venue_ns < trail.seen_ns:
                continue
            trail.seen_ns = venue_ns
            if not trail.best:
                trail.best = last
                self._tell(at_ns, instrument, strategy, trail, "armed", emit)
                continue
            # A long's stop is reached by the low, and follows the high.
            for price in (*ends[:: -trail.side], last):
                if trail.hit(price):
                    self._fire(at_ns, instrument, strategy, trail, emit)
                    break
                trail.follow(price)

    def _fire(self, at_ns: int, instrument: int, strategy: str, trail: Trail, emit: Emit) -> None:
        stop = format_scaled(trail.stop, self.instruments[instrument].price_scale)
        self._remove(instrument, strategy, emit)
        self._tell(at_ns, instrument, strategy, trail, "fired", emit)
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
            self._tell(at_ns, instrument, strategy, trail, "dropped", emit)

    def _remove(self, instrument: int, strategy: str, emit: Emit) -> None:
        trails = self._trails[instrument]
        del trails[strategy]
        if not trails:
            del self._trails[instrument]
            if not self._trails:
                emit(RoutesChanged())

    def _tell(self, at_ns: int, instrument: int, strategy: str, trail: Trail, state: str, emit: Emit) -> None:
        emit(TrailChanged(at_ns, strategy, instrument, trail.side, trail.size, trail.stop, state))
