"""The request budget of an account: 10,000 requests, plus one for each dollar traded.

Each entry of a batch counts as one request, even if it fails; an action refused as a whole counts as none.
Cancels may go up to min(limit + 100,000, 2 * limit). Beyond the limit, one action is allowed every 10 s; a
refused one neither counts nor restarts these 10 s. Source: the venue's rate limits page, 2026-08.
"""

from __future__ import annotations

from typing import Any, Final

from adapters.sandbox.exchange import refusals
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.actions import Action, Cancel, CancelByCloid, ReserveRequestWeight, entries
from adapters.sandbox.exchange.margin import Margin
from adapters.sandbox.exchange.money import DOLLAR, money_text
from adapters.sandbox.exchange.refusals import ActionRefused

__all__ = ["Budget"]

_REQUESTS: Final = 10_000
_CANCELS_MORE: Final = 100_000
_PAUSE_MS: Final = 10_000
_PRICE: Final = 5 * DOLLAR // 10_000
"""Price of a reserved request: 0.0005 USDC."""


class Budget:
    """Counts requests, and refuses actions beyond the limit if `limited`."""

    def __init__(self, margin: Margin, *, limited: bool) -> None:
        self._margin = margin
        self._limited = limited

    def admit(self, account: Account, action: Action, now_ms: int) -> None:
        """Raise ActionRefused if the action exceeds the account's budget."""
        if self._limited and self._over(account, action) and now_ms < account.paused_until_ms:
            raise ActionRefused(
                f"Too many cumulative requests sent ({_used(account)} > {_cap(account)}) for "
                f"cumulative volume traded ${money_text(account.volume, 2)}. Place taker orders to free up "
                "1 request per USDC traded."
            )

    def charge(self, account: Account, action: Action, now_ms: int) -> None:
        """Count an action that was accepted."""
        if self._over(account, action):
            account.paused_until_ms = now_ms + _PAUSE_MS
        account.requests += entries(action)

    def reserve(self, account: Account, action: ReserveRequestWeight) -> None:
        """Charge for requests and add them to the budget. Raises ActionRefused."""
        cost = action.weight * _PRICE
        if cost > self._margin.withdrawable(account):
            raise ActionRefused(refusals.MARGIN_MISSING)
        account.cash -= cost
        account.reserved += action.weight

    @staticmethod
    def row(account: Account) -> dict[str, Any]:
        """Return `userRateLimit`."""
        return {
            "cumVlm": money_text(account.volume),
            "nRequestsUsed": _used(account),
            "nRequestsCap": _cap(account),
            "nRequestsSurplus": max(0, account.reserved - account.requests),
        }

    @staticmethod
    def _over(account: Account, action: Action) -> bool:
        limit = _cap(account)
        if isinstance(action, Cancel | CancelByCloid):
            limit = min(limit + _CANCELS_MORE, 2 * limit)
        return _used(account) + entries(action) > limit


def _used(account: Account) -> int:
    return max(0, account.requests - account.reserved)


def _cap(account: Account) -> int:
    return _REQUESTS + account.volume // DOLLAR
