"""Which hook of a strategy an event calls. Used by its actor, which routes only the hooks that are there."""

from __future__ import annotations

from typing import Final

from engine.events import (
    BookRead,
    Event,
    FundingPaid,
    LiquidationRead,
    Quote,
    SessionStopped,
    Trade,
)
from engine.strategies.base import Strategy
from engine.strategies.flow_views import FLOW

__all__ = ["ALL_HOOKS", "BETWEEN_BARS", "HOOKS"]

HOOKS: Final[dict[type[Event], str]] = {
    Trade: "on_trade",
    Quote: "on_quote",
    BookRead: "on_book",
    LiquidationRead: "on_liquidation",
    **dict.fromkeys(FLOW, "on_flow"),
    FundingPaid: "on_funding",
    SessionStopped: "on_stop",
}
"""The hooks without which the actor does not need an event."""

ALL_HOOKS: Final = sorted(name for name in vars(Strategy) if name.startswith("on_"))

BETWEEN_BARS: Final = frozenset(
    {"on_trade", "on_quote", "on_book", "on_context", "on_liquidation", "on_flow", "on_timer"}
)
"""The hooks in which a strategy can act at another time than the close of a bar."""
