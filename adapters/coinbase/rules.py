"""The venue's rules as data, read by the listing and the sandbox.

Sources: docs.cdp.coinbase.com, pages "Get Public Product Candles", "Advanced Trade WebSocket Channels" and
"Rate limits", 2026-11. A window without trades has no candle. Public answers may be a second old, so a candle
waits a little longer. Fees are those of the first tier.
"""

from __future__ import annotations

from typing import Final

from engine.events import MarketRules
from engine.venue import Rules

__all__ = ["RULES", "SPOT"]

SPOT: Final = MarketRules(
    stated=True,
    on_margin=False,
    reduce_only=False,
    attached=False,
    triggers=True,
    leverage=1,
    leverage_max=1,
    taker_fee="0.012",
    maker_fee="0.006",
)

RULES: Final = Rules(
    silence="none",
    ids="sequence",
    candle_grace_s=5,
    candles_kept=0,
    markets={"spot": SPOT},
)
