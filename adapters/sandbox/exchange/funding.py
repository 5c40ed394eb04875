"""Funding payments, settled every hour of the sandbox's clock.

Payment = position size * oracle price * rate. Longs pay, because the rate is positive. The oracle price is
the mark, so there is no premium, and the venue's formula gives a constant rate: 0.0001 for 8 hours, 0.0000125
per hour. Source: the venue's funding page, 2026-08.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.margin import Margin
from adapters.sandbox.exchange.money import UNIT, money_text
from adapters.sandbox.exchange.portfolio import take_sample
from adapters.sandbox.exchange.reports import Reports
from adapters.sandbox.market_state import FUNDING_RATE
from adapters.sandbox.wire import wire_number
from engine.values import parse_scaled, power_of_ten

__all__ = ["HOUR_MS", "Funding"]

HOUR_MS: Final = 3_600_000
_RATE_SCALE: Final = 7
_RATE: Final = parse_scaled(FUNDING_RATE, _RATE_SCALE)
_HOURS_MAX: Final = 5000
_ROWS_MAX: Final = 500


class Funding:
    """Settles funding and keeps the history of settled hours."""

    def __init__(self, accounts: Mapping[str, Account], margin: Margin, reports: Reports) -> None:
        self._accounts = accounts
        self._margin = margin
        self._reports = reports
        self._hour = 0
        self._hours: deque[int] = deque(maxlen=_HOURS_MAX)

    def advance(self, now_ms: int) -> int:
        """Settle each hour that began since the last call; return when the next one begins (ms)."""
        hour = now_ms // HOUR_MS
        for passed in range(self._hour + 1 if self._hour else hour + 1, hour + 1):
            self._hours.append(passed * HOUR_MS)
            for account in self._accounts.values():
                self._settle(account, passed * HOUR_MS)
                take_sample(account, self._margin, passed * HOUR_MS)
        self._hour = max(self._hour, hour)
        return (self._hour + 1) * HOUR_MS

    def rows(self, name: str, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
        """Return `fundingHistory`, oldest first, at most 500."""
        found = [time_ms for time_ms in self._hours if start_ms <= time_ms <= end_ms]
        return [
            {"coin": name, "fundingRate": FUNDING_RATE, "premium": "0.0", "time": time_ms}
            for time_ms in found[:_ROWS_MAX]
        ]

    def _settle(self, account: Account, time_ms: int) -> None:
        for held in self._margin.held(account):
            received = -(self._margin.value(held) * _RATE // power_of_ten(_RATE_SCALE)) // UNIT * UNIT
            account.cash += received
            if held.margin:
                held.margin += received
            held.funding -= received
            held.changed_funding -= received
            held.all_funding -= received
            row = {
                "time": time_ms,
                "coin": held.listed.name,
                "usdc": money_text(received),
                "szi": wire_number(held.size, held.listed.size_scale),
                "fundingRate": FUNDING_RATE,
                "nSamples": None,
            }
            self._reports.funding(account, row)
