"""The venue's rules as data, read by the listing, the feed and the sandbox exchange.

Sources: the venue's pages "tick and lot size", "fees" (tier 0) and "error responses", 2026-08.
"""

from __future__ import annotations

from typing import Final

from engine.venue import Rules

__all__ = ["RULES"]

RULES: Final = Rules(
    price_figures=5,  # unless the price is an integer
    price_decimals={"perp": 6, "spot": 8},
    value_min="10",
    taker_fee="0.00045",
    maker_fee="0.00015",
    quiet_s=60.0,
    trades_oldest_first=True,  # within a message; equal times in the order of the trades
)
