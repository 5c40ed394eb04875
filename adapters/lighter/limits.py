"""Lighter's limits per IP address, and what a request weighs in them.

Source: the venue's page "rate limits", 2026. A standard account has 60 requests a minute whatever they weigh,
but never more than a premium account could make with 24,000 of weight: so a request weighs at least 400 of
24,000. The page was changed several times; the lower of its numbers are used.
"""

from __future__ import annotations

from typing import Final

from adapters.transport.governor import Limits, Rate

__all__ = ["LIMITS", "SUBSCRIPTIONS_MAX", "weight_of"]

LIMITS: Final = Limits(
    weight=Rate(24_000),
    messages=Rate(200),
    connections=Rate(80),
    connections_open=100,
    subscriptions=1000,
    posts_in_flight=50,
)
"""Per minute, or at a time."""

SUBSCRIPTIONS_MAX: Final = 100
"""Of one connection. Another page says 500."""

_STANDARD: Final = 400
_TRADES: Final = 600


def weight_of(path: str) -> int:
    """Return the weight of a request."""
    return _TRADES if path in ("trades", "recentTrades") else _STANDARD
