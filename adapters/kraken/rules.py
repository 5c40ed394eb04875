"""The venue's rules as data, read by the listing and the sandbox.

Sources: docs.kraken.com, pages "Get OHLC Data" (at most 720 rows), "Get Recent Trades", "Get Tradable Asset
Pairs", 2026-11. An interval without trades is a row of `OHLC` with count 0 at the last close (capture of
2025-11-10, pair XBTUSDT); the websocket's `ohlc` sends nothing for it. Fees are those of the first tier.
"""

from __future__ import annotations

from typing import Final

from engine.events import MarketRules
from engine.venue import Rules

__all__ = ["DEPTHS", "RULES", "SPOT"]

DEPTHS: Final = (10, 25, 100, 500, 1000)
"""Levels of a book that can be subscribed to."""

SPOT: Final = MarketRules(
    stated=True,
    on_margin=False,
    reduce_only=False,
    attached=False,
    leverage=1,
    leverage_max=1,
    taker_fee="0.004",
    maker_fee="0.0025",
    requests_per_minute=60,
)

RULES: Final = Rules(
    silence="flat",
    ids="sequence",
    candle_grace_s=3,
    candles_kept=720,
    markets={"spot": SPOT},
)
