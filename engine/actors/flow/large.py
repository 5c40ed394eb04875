"""Large trades: an event for each trade of at least a configured size."""

from __future__ import annotations

from engine.actors.base import Actor, Emit, handles
from engine.config import FlowConfig
from engine.errors import NumberError
from engine.events import LargePrintSeen, Trade
from engine.values import INT64_MAX, to_grid

__all__ = ["LargePrints"]


class LargePrints(Actor):
    """State: the minimum size of a large trade by instrument.

    An instrument that is not configured has no large trades.
    """

    WIRING = Actor.WIRING | {"_large"}

    def __init__(self, config: FlowConfig) -> None:
        super().__init__("large-prints")
        self._large = config.large
        self._sizes: dict[int, int] = {}

    @handles(Trade)
    def check(self, trade: Trade, emit: Emit) -> None:
        """Emit an event for a trade that is large."""
        size = self._sizes.get(trade.instrument)
        if size is None:
            size = self._sizes[trade.instrument] = self._size_of(trade.instrument)
        if trade.size >= size:
            emit(
                LargePrintSeen(
                    trade.recv_ns,
                    trade.venue_ns,
                    trade.instrument,
                    trade.price,
                    trade.size,
                    trade.aggressor,
                    trade.trade_id,
                )
            )

    def _size_of(self, instrument: int) -> int:
        listed = self.instruments[instrument]
        text = self._large.get(listed.name)
        if text is None:
            return INT64_MAX
        try:
            return to_grid(text, scale=listed.size_scale, up=True)
        except NumberError:
            return INT64_MAX  # larger than a trade can be
