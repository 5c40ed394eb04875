"""The gate in front of real orders: what must hold before any new risk is taken at a real venue.

Owns what is known of the venue's and the account's condition. Risk asks it about every wish; a wish that
only reduces a position passes unless it could not be priced. In paper mode nobody asks.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.actors.base import State
from engine.clock import SECOND_NS
from engine.events import (
    AccountRead,
    ClockChecked,
    Event,
    FeedDown,
    FeedPolling,
    FeedUp,
    GatewayDown,
    InstrumentListed,
    OrderRequested,
    Quote,
)
from engine.values import BUY, SELL

__all__ = ["Gate"]

UNKNOWN_MAX = 3
"""With more Unknown orders than this nothing new is risked."""

SKEW_NS_MAX = SECOND_NS
"""A clock further than this off the venue's makes expiries and nonces meaningless."""


class Gate(State):
    """State: the touch by instrument, the feeds that are down, the Unknown orders, what else closes it."""

    WATCHES: ClassVar[tuple[type[Event], ...]] = (
        Quote,
        FeedUp,
        FeedDown,
        FeedPolling,
        GatewayDown,
        AccountRead,
        ClockChecked,
    )

    slippage_bps: int
    touch: dict[int, tuple[int, int]] = msgspec.field(default_factory=dict)
    down: dict[str, str] = msgspec.field(default_factory=dict)
    unknown: dict[str, None] = msgspec.field(default_factory=dict)
    unreconciled: str = "the account has not been read yet"
    skew_ns: int = 0

    def begin(self) -> None:
        """A session begins: the account has to be read first."""
        self.unreconciled = "the account has not been read yet"
        self.touch.clear()
        self.down.clear()

    def watch(self, event: Event) -> None:
        """Take one of `WATCHES`."""
        if isinstance(event, Quote):
            self.touch[event.instrument] = (event.bid, event.ask)
        elif isinstance(event, FeedUp):
            self.down.pop(event.feed, None)
        elif isinstance(event, FeedDown):
            self.down[event.feed] = event.reason
        elif isinstance(event, FeedPolling):
            if event.active:
                self.down[event.feed] = event.reason
        elif isinstance(event, GatewayDown):
            self.unreconciled = f"the account's stream is lost: {event.reason}"
        elif isinstance(event, AccountRead):
            self.unreconciled = ""
        elif isinstance(event, ClockChecked):
            self.skew_ns = event.offset_ns

    def note_order(self, client_order_id: str, *, unknown: bool) -> None:
        """Count the Unknown orders."""
        if unknown:
            self.unknown[client_order_id] = None
        else:
            self.unknown.pop(client_order_id, None)

    def closed(self, wish: OrderRequested, *, reduces: bool) -> tuple[str, str] | None:
        """Return (limit, reason) of what keeps a wish back, or None."""
        if not wish.limit_price and not wish.trigger and not self._best(wish.instrument, wish.side):
            return "no_touch", "a market order needs the other side of the touch for its bound; there is none"
        if reduces:
            return None
        if self.unreconciled:
            return "unreconciled", self.unreconciled
        if self.down:
            feed, reason = next(iter(self.down.items()))
            return "stale", f"{feed} is down: {reason}"
        if abs(self.skew_ns) > SKEW_NS_MAX:
            return "clock", f"this machine's clock is {self.skew_ns / SECOND_NS:+.3f} s off the venue's"
        if len(self.unknown) > UNKNOWN_MAX:
            return "unknown_orders", f"the fate of {len(self.unknown)} orders is not known"
        return None

    def bound(self, listed: InstrumentListed, side: int) -> int:
        """Return the price a market order may reach: `slippage_bps` beyond the touch, on the grid inwards."""
        best = self._best(listed.instrument, side)
        return listed.bounded_price(best, side, self.slippage_bps, up=side == SELL)

    def _best(self, instrument: int, side: int) -> int:
        bid, ask = self.touch.get(instrument, (0, 0))
        return ask if side == BUY else bid
