"""Movements of USDC into accounts and out of them, each with a row in the ledger.

The first deposit of an account is what it starts with. Transfers go to other accounts of the sandbox, and a
withdrawal leaves it, at the venue's fee of 1 USDC. Called by the exchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adapters.sandbox.exchange import refusals
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.actions import UsdSend, Withdraw
from adapters.sandbox.exchange.margin import Margin
from adapters.sandbox.exchange.money import DOLLAR, UNIT, money_text
from adapters.sandbox.exchange.refusals import ActionRefused
from adapters.sandbox.exchange.reports import Reports, hash_of
from engine.errors import NumberError
from engine.values import parse_scaled

__all__ = ["Transfers"]

_WITHDRAWAL_FEE: Final = DOLLAR


class Transfers:
    """Moves USDC between accounts."""

    def __init__(self, accounts: Mapping[str, Account], margin: Margin, reports: Reports) -> None:
        self._accounts = accounts
        self._margin = margin
        self._reports = reports
        self._count = 0

    def note_deposit(self, account: Account, now_ms: int) -> None:
        """Report what an account starts with."""
        account.deposited = account.cash
        self._report(account, {"type": "deposit", "usdc": money_text(account.cash)}, now_ms)

    def send(self, account: Account, action: UsdSend, now_ms: int) -> None:
        """Send USDC to another account. Raises ActionRefused."""
        other = self._accounts.get(action.destination.lower())
        if other is None or other is account:
            raise ActionRefused(refusals.NO_DESTINATION)
        amount = self._amount(account, action.amount)
        account.cash -= amount
        other.cash += amount
        account.deposited -= amount
        other.deposited += amount
        delta = {
            "type": "internalTransfer",
            "usdc": money_text(amount),
            "user": account.address,
            "destination": other.address,
            "fee": "0.0",
        }
        for one in (account, other):
            self._report(one, delta, now_ms)

    def withdraw(self, account: Account, action: Withdraw, now_ms: int) -> None:
        """Withdraw USDC; the fee is part of the amount. Raises ActionRefused."""
        amount = self._amount(account, action.amount)
        if amount <= _WITHDRAWAL_FEE:
            raise ActionRefused(refusals.AMOUNT)
        account.cash -= amount
        account.deposited -= amount
        delta = {
            "type": "withdraw",
            "usdc": money_text(amount - _WITHDRAWAL_FEE),
            "nonce": action.time,
            "fee": money_text(_WITHDRAWAL_FEE),
        }
        self._report(account, delta, now_ms)

    def _amount(self, account: Account, text: str) -> int:
        """Return an amount that the account can spare. Raises ActionRefused."""
        try:
            amount = parse_scaled(text, 6) * UNIT
        except NumberError:
            raise ActionRefused(refusals.AMOUNT) from None
        if not 0 < amount <= self._margin.withdrawable(account):
            raise ActionRefused(refusals.AMOUNT)
        return amount

    def _report(self, account: Account, delta: dict[str, Any], now_ms: int) -> None:
        self._count += 1
        digest = hash_of(delta["type"], account.address, self._count)
        self._reports.ledger(account, {"time": now_ms, "hash": digest, "delta": delta})
