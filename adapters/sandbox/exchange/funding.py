"""Funding: a running rate per coin, settled on the hour of the sandbox's clock.

Payment = position size * oracle price * rate; where the rate is positive longs pay. The oracle is the mark
here, so there is no premium, and the rate is what the venue's formula gives then: 0.0001 for 8 hours,
0.0000125 an hour. Source: the venue's funding page, 2026-08.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.matching import Matching
from adapters.sandbox.exchange.money import SCALE, money_text
from adapters.sandbox.exchange.reports import Reports
from adapters.sandbox.played import PlayedMarket
from adapters.sandbox.wire import wire_number
from engine.values import power_of_ten

__all__ = ["RATE_TEXT", "Funding"]

RATE_TEXT: Final = "0.0000125"
_RATE: Final = 125
_RATE_SCALE: Final = 7
_HOUR_MS: Final = 3_600_000
_HOURS_MAX: Final = 5000


class Funding:
    """The hours that were settled, newest last, and the payments."""

    def __init__(
        self, market: PlayedMarket, matching: Matching, accounts: Mapping[str, Account], reports: Reports
    ) -> None:
        self._market = market
        self._matching = matching
        self._accounts = accounts
        self._reports = reports
        self._hour = 0
        self._hours: deque[int] = deque(maxlen=_HOURS_MAX)

    def tick(self, now_ms: int) -> None:
        """Settle the hours that have begun since the last call; one call never settles more than the last."""
        hour = now_ms // _HOUR_MS
        if self._hour and hour > self._hour:
            self._hours.append(hour * _HOUR_MS)
            self._settle(now_ms)
        self._hour = hour

    def rows(self, coin: str, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
        """Return `fundingHistory`, oldest first, at most 500."""
        found = [time_ms for time_ms in self._hours if start_ms <= time_ms <= end_ms]
        return [
            {"coin": coin, "fundingRate": RATE_TEXT, "premium": "0.0", "time": time_ms}
            for time_ms in found[:500]
        ]

    def _settle(self, now_ms: int) -> None:
        for account in self._accounts.values():
            for name, held in account.positions.items():
                if not held.size:
                    continue
                mark = self._matching.mark(self._market.by_name[name])
                unit = power_of_ten(SCALE - 6)
                paid = -(held.value(mark) * _RATE // power_of_ten(_RATE_SCALE)) // unit * unit
                account.cash += paid
                held.funding -= paid
                held.all_funding -= paid
                row = {
                    "time": now_ms,
                    "coin": name,
                    "usdc": money_text(paid),
                    "szi": wire_number(held.size, held.listed.size_scale),
                    "fundingRate": RATE_TEXT,
                    "nSamples": None,
                }
                self._reports.funding(account, row)
