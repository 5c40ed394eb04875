"""The venue's rules as data, read by the listing and the sandbox exchange.

Sources: the venue's pages "tick and lot size", "fees" (tier 0) and "error responses", 2026-08.
"""

from __future__ import annotations

from typing import Final

from engine.venue import Rules

__all__ = ["RULES"]

RULES: Final = Rules(
    price_figures=5,  # unless the price is an integer
    price_decimals={"perp": 6, "spot": 8},
    silence="flat",
    ids="arrival",
    value_min="10",
    taker_fee="0.00045",
    maker_fee="0.00015",
)
