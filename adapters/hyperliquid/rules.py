"""The venue's rules as data, read by the listing and the sandbox exchange.

Sources: the venue's pages "tick and lot size", "fees" (tier 0), "error responses", "margining", "funding" and
"order types", 2026-08. The venue does not say whether it holds stops on spot pairs: assumed that it does not.
A minute without trades has a flat candle of volume 0, which may be published late (observed by users of
passivbot, pull request 1410, 2026-07).
"""

from __future__ import annotations

from typing import Final

from engine.events import MarketRules
from engine.venue import Rules

__all__ = ["LEVERAGE_DEFAULT", "PERP", "RULES", "SPOT"]

LEVERAGE_DEFAULT: Final = 20
"""The leverage of a market for an account that never set one, unless the market's highest is lower."""

PERP: Final = MarketRules(
    stated=True,
    quote="USDC",
    value_min="10",
    far_percent=95,
    trigger_price="mark",
    leverage=LEVERAGE_DEFAULT,
    leverage_max=LEVERAGE_DEFAULT,
    taker_fee="0.00045",
    maker_fee="0.00015",
    funding_s=3600,
    funding_price="oracle",
    requests_per_minute=1200,
)

SPOT: Final = MarketRules(
    stated=True,
    on_margin=False,
    quote="USDC",
    value_min="10",
    value_min_exempts_close=False,
    far_percent=95,
    triggers=False,
    reduce_only=False,
    attached=False,
    leverage=1,
    leverage_max=1,
    taker_fee="0.0007",
    maker_fee="0.0004",
    fee_in="received",
    requests_per_minute=1200,
)

RULES: Final = Rules(
    price_figures=5,  # unless the price is an integer
    price_decimals={"perp": 6, "spot": 8},
    silence="flat",
    ids="arrival",
    candle_grace_s=3,
    candles_kept=5000,
    markets={"perp": PERP, "spot": SPOT},
)
