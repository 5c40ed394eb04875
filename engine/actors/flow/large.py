"""Large trades: an event for each trade of at least a configured size."""

from __future__ import annotations

from engine.actors.base import Actor, Emit, handles
from engine.config import FlowConfig
from engine.errors import NumberError
from engine.events import InstrumentListed, LargePrintSeen, Trade
from engine.instruments import entry_of
from engine.values import INT64_MAX, to_grid

__all__ = ["LargePrints"]


class LargePrints(Actor):
    """State: the minimum size of a large trade by instrument.

    An instrument that is not configured has no large trades.
    """

    WIRING = Actor.WIRING | {"_large"}
    _sizes: dict[int, int]

    def __init__(self, config: FlowConfig) -> None:
        super().__init__("large-prints")
        self._large = config.large
        self._sizes = {}

    @handles(Trade)
    def check(self, trade: Trade, emit: Emit) -> None:
        """Emit an event for a trade that is large."""
        size = self._sizes.get(trade.instrument)
        if size is None:
            size = self._sizes[trade.instrument] = self._size_of(self.instruments[trade.instrument])
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

    def rescale(self, before: InstrumentListed, listed: InstrumentListed) -> None:
        """See `Actor.rescale`. The size is that of the configuration at the new scales."""
        super().rescale(before, listed)
        if listed.instrument in self._sizes:
            self._sizes[listed.instrument] = self._size_of(listed)

    def _size_of(self, listed: InstrumentListed) -> int:
        text = entry_of(self._large, listed, None)
        if text is None:
            return INT64_MAX
        try:
            return to_grid(text, scale=listed.size_scale, up=True)
        except NumberError:
            return INT64_MAX  # larger than a trade can be
