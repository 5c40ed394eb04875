"""The venue's rules as data, read by its listing and its history.

Sources: the venue's SDK and `symbols` answers, 2026. What no source says is assumed and marked so in
docs/apex.md: whether a window without trades has a candle (assumed: not), how late a candle may still change
(assumed: 3 s), and the fees of the lowest tier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.events import MarketRules
from engine.venue import Rules

__all__ = ["CANDLES_PAGE", "INTERVALS", "PERP", "RULES"]

INTERVALS: Final[Mapping[str, str]] = {
    "1m": "1",
    "5m": "5",
    "15m": "15",
    "30m": "30",
    "1h": "60",
    "2h": "120",
    "4h": "240",
    "12h": "720",
    "1d": "D",
}
"""The venue's names of the intervals that divide a day, shortest first."""

CANDLES_PAGE: Final = 200
"""The most rows of one answer."""

PERP: Final = MarketRules(
    stated=True,
    quote="USDT",
    trigger_price="mark",
    attached=False,
    taker_fee="0.0005",
    maker_fee="0.0002",
    funding_s=3600,
    funding_price="oracle",
    requests_per_minute=500,
)

RULES: Final = Rules(silence="none", ids="arrival", candle_grace_s=3, markets={"perp": PERP})
