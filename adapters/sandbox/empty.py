"""Questions about what the sandbox does not have: vaults, staking, TWAPs, loans, builders, outcomes.

Owns their members and the venue's answer for an account or a market without any of it. Called by `info.py`.
Source of the shapes: the venue's pages "info endpoint", "perpetuals" and "spot", 2026-08, and the response
types of the client nktkas/hyperliquid, 2026-08.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from adapters.sandbox.wire import Address, encode

__all__ = ["EMPTY", "empty_answer"]

_USER: Final[Mapping[str, Any]] = {"user": Address}
_NOTHING_DELEGATED: Final = {
    "delegated": "0.0",
    "undelegated": "0.0",
    "totalPendingWithdrawal": "0.0",
    "nPendingWithdrawals": 0,
}
_ALLOWED: Final = {"ipAllowed": True, "acceptedTerms": True, "userAllowed": True}
_NO_LOANS: Final[Mapping[str, Any]] = {"tokenToState": [], "health": "healthy", "healthFactor": None}


class _Empty(NamedTuple):
    """The members that a question needs, and its answer."""

    members: Mapping[str, Any]
    answer: Any


EMPTY: Final[Mapping[str, _Empty]] = {
    # Vaults.
    "userVaultEquities": _Empty(_USER, []),
    "leadingVaults": _Empty(_USER, []),
    "vaultDetails": _Empty({"vaultAddress": Address}, None),
    "vaultSummaries": _Empty({}, []),
    # Sub-accounts, agents, several signers.
    "subAccounts": _Empty(_USER, []),
    "subAccounts2": _Empty(_USER, []),
    "userToMultiSigSigners": _Empty(_USER, None),
    # TWAPs.
    "userTwapSliceFills": _Empty(_USER, []),
    "userTwapSliceFillsByTime": _Empty({**_USER, "startTime": int}, []),
    "twapHistory": _Empty(_USER, []),
    # Staking.
    "delegations": _Empty(_USER, []),
    "delegatorSummary": _Empty(_USER, _NOTHING_DELEGATED),
    "delegatorHistory": _Empty(_USER, []),
    "delegatorRewards": _Empty(_USER, []),
    # Loans.
    "borrowLendUserState": _Empty(_USER, _NO_LOANS),
    "userBorrowLendInterest": _Empty({**_USER, "startTime": int}, []),
    "allBorrowLendReserveStates": _Empty({}, []),
    # Builders and how accounts are kept: one perp account, never changed.
    "maxBuilderFee": _Empty({**_USER, "builder": Address}, 0),
    "approvedBuilders": _Empty(_USER, []),
    "userAbstraction": _Empty(_USER, "default"),
    "userDexAbstraction": _Empty(_USER, None),
    "isVip": _Empty(_USER, False),
    "legalCheck": _Empty(_USER, _ALLOWED),
    # Markets.
    "perpDexLimits": _Empty({"dex": str}, None),
    "perpAnnotation": _Empty({"coin": str}, None),
    "perpCategories": _Empty({}, []),
    "perpConciseAnnotations": _Empty({}, []),
    "liquidatable": _Empty({}, []),
    "outcomeMeta": _Empty({}, {"outcomes": [], "questions": []}),
}
"""By type of the request."""


class _Typed(msgspec.Struct, frozen=True):
    type: str


_type_of: Final = msgspec.json.Decoder(_Typed).decode
_DECODERS: Final = {
    kind: msgspec.json.Decoder(msgspec.defstruct(kind, list(one.members.items())))
    for kind, one in EMPTY.items()
}


def empty_answer(body: bytes | msgspec.Raw) -> tuple[str, str] | None:
    """Return the type and the answer of a valid question of the table, None for every other body."""
    try:
        kind = _type_of(body).type
        if kind not in EMPTY:
            return None
        _DECODERS[kind].decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return kind, encode(EMPTY[kind].answer).decode()
