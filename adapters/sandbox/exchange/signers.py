"""Who signed an action, for whom, and whether its nonce is still good.

Owns signature recovery and nonces. The venue keeps the 100 highest nonces of each signer: a new one must be
larger than the smallest of them, unused, and within two days before and one day after its own time. A
signature that is wrong recovers to some other address, which then does not exist: that is what a client
gets to read.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from adapters.hyperliquid.signing import recover_l1_signer
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.actions import ApproveAgent, Request, canonical
from adapters.sandbox.exchange.refusals import Refused
from engine.errors import UsageError

__all__ = ["Signers"]

_NONCES_MAX: Final = 100
_DAY_MS: Final = 86_400_000


class Signers:
    """The nonces of every signer. `mainnet` decides which signatures are good."""

    def __init__(self, accounts: Mapping[str, Account], *, mainnet: bool) -> None:
        self._accounts = accounts
        self._mainnet = mainnet
        self._nonces: dict[str, list[int]] = {}

    def account_of(self, request: Request, now_ms: int) -> Account:
        """Return the account a request acts for, its nonce used up. Raises Refused."""
        if request.vault_address is not None and request.vault_address.lower() not in self._accounts:
            raise Refused(f"Vault not registered: {request.vault_address.lower()}")
        try:
            signer = self._signer(request)
        except UsageError:
            raise Refused("Unable to recover signer") from None
        account = self._accounts.get(signer)
        if account is None:
            account = next(
                (one for one in self._accounts.values() if one.agents.get(signer, ("", 0))[1] > now_ms), None
            )
        if account is None:
            raise Refused(f"User or API Wallet {signer} does not exist.")
        if request.vault_address is not None and request.vault_address.lower() != account.address:
            raise Refused(f"Vault not registered: {request.vault_address.lower()}")
        if request.expires_after is not None and now_ms > request.expires_after:
            raise Refused(f"Action expired: expiresAfter {request.expires_after}, now {now_ms}")
        self._use(signer, request.nonce, now_ms)
        if not (account.cash or account.positions):
            raise Refused(f"Must deposit before performing actions. User: {account.address}")
        return account

    def _signer(self, request: Request) -> str:
        signature = msgspec.structs.asdict(request.signature)
        action = canonical(request.action)
        if isinstance(request.action, ApproveAgent):
            return _user_signer(action, signature)
        return recover_l1_signer(
            action, signature, request.nonce, request.vault_address, request.expires_after, self._mainnet
        )

    def _use(self, signer: str, nonce: int, now_ms: int) -> None:
        """Take a nonce. The venue's words for a bad one are not confirmed by anyone."""
        used = self._nonces.setdefault(signer, [])
        if not now_ms - 2 * _DAY_MS < nonce < now_ms + _DAY_MS:
            raise Refused(f"Invalid nonce: {nonce} is not within two days before and one day after {now_ms}")
        if nonce in used or (len(used) == _NONCES_MAX and nonce < used[0]):
            raise Refused(f"Invalid nonce: {nonce} was used, or is too low")
        insort(used, nonce)
        del used[:-_NONCES_MAX]


def _user_signer(action: dict[str, Any], signature: Mapping[str, Any]) -> str:
    """Return who signed an `approveAgent`. Raises UsageError."""
    from eth_account import Account as EthAccount
    from eth_account.messages import encode_typed_data

    fields = [
        ("hyperliquidChain", "string"),
        ("agentAddress", "address"),
        ("agentName", "string"),
        ("nonce", "uint64"),
    ]
    message = {"agentName": "", **{name: action[name] for name, _ in fields if action.get(name) is not None}}
    try:
        signable = encode_typed_data(
            domain_data={
                "name": "HyperliquidSignTransaction",
                "version": "1",
                "chainId": int(action["signatureChainId"], 16),
                "verifyingContract": "0x" + "0" * 40,
            },
            message_types={
                "HyperliquidTransaction:ApproveAgent": [{"name": name, "type": kind} for name, kind in fields]
            },
            message_data=message,
        )
        vrs = (int(signature["v"]), int(signature["r"], 16), int(signature["s"], 16))
        recovered: str = EthAccount.recover_message(signable, vrs=vrs)
    except Exception as error:
        raise UsageError(f"not a signature: {type(error).__name__}") from None
    return recovered.lower()
