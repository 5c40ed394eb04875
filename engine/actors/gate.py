"""Preconditions for orders at a real venue: what must hold before new risk is taken.

Owns the known condition of the venue and the account. Risk checks every request against it. A request that
only reduces a position passes, unless it is a market order without a quote to bound its price. Not used in
paper mode.
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
"""With more Unknown orders than this, no new risk is taken."""

SKEW_NS_MAX = SECOND_NS
"""Upper bound on the difference to the venue's clock. Beyond it, expiries and nonces are not reliable."""


class Gate(State):
    """State: best prices by instrument, feeds that are down, Unknown orders, and the clock's difference.

    `touch` holds the best (bid, ask). `unreconciled` is the reason why the account is not reconciled, or "".
    """

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
        """Begin a session: the account has to be read before new risk is taken."""
        self.unreconciled = "the account has not been read yet"
        self.touch.clear()
        self.down.clear()

    def watch(self, event: Event) -> None:
        """Apply an event of one of the types in `WATCHES`."""
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
        """Record whether an order is Unknown."""
        if unknown:
            self.unknown[client_order_id] = None
        else:
            self.unknown.pop(client_order_id, None)

    def closed(self, request: OrderRequested, *, reduces: bool) -> tuple[str, str] | None:
        """Return the (limit, reason) to refuse a request with, or None."""
        is_market = not request.limit_price and not request.trigger
        if is_market and not self._best(request.instrument, request.side):
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
        """Return the limit price of a market order: `slippage_bps` beyond the best opposite price."""
        best = self._best(listed.instrument, side)
        return listed.bounded_price(best, side, self.slippage_bps, up=side == SELL)

    def _best(self, instrument: int, side: int) -> int:
        bid, ask = self.touch.get(instrument, (0, 0))
        return ask if side == BUY else bid
