"""The venue's rules as data, read by its listing and its history.

Sources: the venue's pages "market data", "trading" and "account types", 2026; live figures of 2026 for the
unit of funding. What no source says is assumed and marked so in docs/lighter.md: whether a window without
trades has a candle (assumed: not), and how late a candle may still change (assumed: 3 s).
"""

from __future__ import annotations

from typing import Final

from engine.events import MarketRules
from engine.venue import Rules

__all__ = ["CANDLES_PAGE", "INTERVALS", "PERP", "RULES", "SPOT"]

INTERVALS: Final = ("1m", "5m", "15m", "30m", "1h", "4h", "12h", "1d")
"""The venue's resolutions that divide a day."""

CANDLES_PAGE: Final = 500
"""The most rows of one answer."""

PERP: Final = MarketRules(
    stated=True,
    quote="USDC",
    value_min="10",
    tifs=("Gtc", "Ioc", "Alo"),
    trigger_price="mark",
    attached=False,
    leverage=20,
    leverage_max=20,
    taker_fee="0",
    maker_fee="0",
    funding_s=3600,
    funding_price="mark",
    requests_per_minute=60,
)

SPOT: Final = MarketRules(
    stated=True,
    on_margin=False,
    quote="USDC",
    value_min="10",
    value_min_exempts_close=False,
    triggers=False,
    reduce_only=False,
    attached=False,
    leverage=1,
    leverage_max=1,
    taker_fee="0",
    maker_fee="0",
    requests_per_minute=60,
)

RULES: Final = Rules(
    silence="none",
    ids="sequence",
    candle_grace_s=3,
    markets={"perp": PERP, "spot": SPOT},
)
