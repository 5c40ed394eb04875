"""Binance's trading rules as data, read by the listing and the sandbox.

What differs between symbols comes from `exchangeInfo`. Fees are those of an account without a discount.
Source: the venue's documentation and fee pages, 2026. A window without trades has a flat candle of volume 0:
its stream states such candles (first and last trade id -1).
"""

from __future__ import annotations

from typing import Final

from engine.events import MarketRules
from engine.venue import Rules

__all__ = [
    "CANDLE_GRACE_S",
    "FUNDING_HOURS",
    "INTEREST_KEPT_S",
    "INTEREST_S",
    "PERP",
    "RENAMED",
    "SPOT_MARKET",
    "SPOT_RULES",
    "USDM_RULES",
]

FUNDING_HOURS: Final = 8
"""Hours between two funding payments, where `fundingInfo` names no other number."""

CANDLE_GRACE_S: Final = 3

INTEREST_S: Final = 300
"""The finest period of `openInterestHist`."""

INTEREST_KEPT_S: Final = 30 * 86_400 - 600
"""How long it is kept: "the latest 1 month", of which the first minutes are left to chance."""

RENAMED: Final = {"MATIC": "POL", "FTM": "S", "RNDR": "RENDER", "EOS": "A"}
"""Assets that were renamed: what a symbol that is not traded any more is called now."""

SPOT_MARKET: Final = MarketRules(
    stated=True,
    on_margin=False,
    value_min="5",
    value_min_exempts_close=False,
    reduce_only=False,
    attached=False,
    leverage=1,
    leverage_max=1,
    taker_fee="0.001",
    maker_fee="0.001",
    fee_in="received",
    requests_per_minute=300,
)

PERP: Final = MarketRules(
    stated=True,
    value_min="5",
    attached=False,
    taker_fee="0.0005",
    maker_fee="0.0002",
    funding_s=FUNDING_HOURS * 3600,
    funding_price="mark",
    requests_per_minute=1200,
)

SPOT_RULES: Final = Rules(
    silence="flat", ids="sequence", candle_grace_s=CANDLE_GRACE_S, markets={"spot": SPOT_MARKET}
)
USDM_RULES: Final = Rules(
    silence="flat",
    ids="sequence",
    candle_grace_s=CANDLE_GRACE_S,
    markets={"perp": PERP},
    interest_s=INTEREST_S,
    interest_kept_s=INTEREST_KEPT_S,
)
