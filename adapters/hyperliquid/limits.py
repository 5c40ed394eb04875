"""Hyperliquid's limits per IP address, and what a request weighs in them.

Source: the venue's "rate limits" page, 2026-08. Called by `info.py` and the gateway, which pass weights to
the governor (`adapters/transport/governor.py`).
"""

from __future__ import annotations

from typing import Final

from adapters.transport.governor import Limits, Rate

__all__ = ["LIMITS", "action_weight", "info_weight", "rows_weight"]

LIMITS: Final = Limits(
    weight=Rate(1200),
    messages=Rate(2000),
    connections=Rate(30),
    connections_open=10,
    subscriptions=1000,
    posts_in_flight=100,
)
"""Per minute, or at a time."""

_LIGHT: Final = frozenset(
    {"l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"}
)
_BY_20_ROWS: Final = frozenset(
    {
        "recentTrades",
        "historicalOrders",
        "userFills",
        "userFillsByTime",
        "fundingHistory",
        "userFunding",
        "userNonFundingLedgerUpdates",
    }
)


def info_weight(kind: str) -> int:
    """Return the weight of an info request, rows not counted."""
    if kind == "userRole":
        return 60
    return 2 if kind in _LIGHT else 20


def rows_weight(kind: str, rows: int) -> int:
    """Return the additional weight of the rows of an answer."""
    if kind == "candleSnapshot":
        return -(-rows // 60)
    return -(-rows // 20) if kind in _BY_20_ROWS else 0


def action_weight(batch: int = 1) -> int:
    """Return the weight of an exchange action with `batch` entries."""
    return 1 + batch // 40
