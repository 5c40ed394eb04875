"""What a row of the venue's ledger moved: deposits, withdrawals and transfers of one account.

The account is its collateral on the dexes that are read. Spot tokens are no part of it, since real orders are
for perps. Called by `reading.py`. Source: the info reference, 2026-08; types of rows as clients list them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any, Final

from adapters.transport.text import clip
from engine.errors import VenueProtocolError

__all__ = ["decimal_of", "moved"]

_DECIMAL: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_TYPES: Final = frozenset(
    {
        "deposit",
        "withdraw",
        "accountClassTransfer",
        "internalTransfer",
        "subAccountTransfer",
        "send",
        "vaultCreate",
        "vaultDeposit",
        "vaultDistribution",
        "vaultLeaderCommission",
        "vaultWithdraw",
    }
)
"""The types that move collateral."""


def moved(delta: dict[str, Any], user: str, dexes: Collection[str]) -> Decimal | None:
    """Return the signed amount that a row moved in the account `user` (lower case), fees included.

    `dexes` are the dexes that are read, "" for the venue's own. None for a type that moves no collateral.
    Raises VenueProtocolError.
    """
    kind = _text(delta, "type")
    if kind not in _TYPES:
        return None
    usdc, fee = _number(delta, "usdc"), _number(delta, "fee")
    into = _text(delta, "destination").lower() == user
    out_of = _text(delta, "user").lower() == user
    side = 1 if _text(delta, "vault").lower() == user else -1  # a vault has a ledger of its own
    match kind:
        case "withdraw":
            return -usdc - fee
        case "accountClassTransfer":
            return usdc if delta.get("toPerp") is True else -usdc
        case "internalTransfer" | "subAccountTransfer":
            return (usdc if into else 0) - (usdc + fee if out_of else Decimal(0))
        case "send":
            amount = _number(delta, "amount")
            into = into and _text(delta, "destinationDex") in dexes
            out_of = out_of and _text(delta, "sourceDex") in dexes
            return (amount if into else 0) - (amount + fee if out_of else Decimal(0))
        case "vaultCreate" | "vaultDeposit":
            return side * usdc - (fee if side < 0 else 0)
        case "vaultDistribution":
            return -side * usdc
        case "vaultWithdraw":
            return -side * _number(delta, "netWithdrawnUsd")
    return usdc


def decimal_of(text: str) -> Decimal:
    """Return a plain decimal number. Raises VenueProtocolError."""
    if not _DECIMAL.fullmatch(text):
        raise VenueProtocolError(f"{clip(text)} is not a plain decimal number")
    return Decimal(text)


def _number(delta: dict[str, Any], key: str) -> Decimal:
    return decimal_of(_text(delta, key) or "0")


def _text(delta: dict[str, Any], key: str) -> str:
    """Return a member of a row as text, "" for none."""
    value = delta.get(key, "")
    if not isinstance(value, str):
        raise VenueProtocolError(f"{key} of a row of the ledger is {clip(repr(value), 40)}, not text")
    return value
