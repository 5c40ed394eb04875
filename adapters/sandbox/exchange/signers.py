"""Authentication: recovers the signer of an action, finds its account, and checks the nonce.

Nonces as on the venue: the 100 highest of each signer are kept; a new one must be unused, larger than the
smallest of them, and at most two days before or one day after the sandbox's time. An incorrect signature
recovers to some other address, so the answer says that this address does not exist. There are no vaults or
sub-accounts. The signature of a user-signed action covers neither a vault nor an expiry, so such a request
with one of them is refused.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import Final

import msgspec

from adapters.sandbox.exchange import refusals
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.actions import Request, UserSigned, canonical, entries
from adapters.sandbox.exchange.agents import Agents
from adapters.sandbox.exchange.refusals import ActionRefused
from adapters.sandbox.exchange.user_signing import recover_user_signer
from engine.errors import UsageError

__all__ = ["Signers"]

_NONCES_MAX: Final = 100
_DAY_MS: Final = 86_400_000
_STALE_COST: Final = 5


class Signers:
    """Authenticates requests. `mainnet` decides for which network a signature must be."""

    def __init__(self, accounts: Mapping[str, Account], agents: Agents, *, mainnet: bool) -> None:
        self._accounts = accounts
        self._agents = agents
        self._mainnet = mainnet
        self._nonces: dict[str, list[int]] = {}

    def account_of(self, request: Request, now_ms: int) -> Account:
        """Return the account of a request and use up its nonce. Raises ActionRefused."""
        try:
            signer = self._signer(request)
        except UsageError:
            raise ActionRefused("Unable to recover signer") from None  # not confirmed
        account = self._accounts.get(signer)
        if isinstance(request.action, UserSigned):
            # A user-signed action applies to the signer's own account, which an agent does not have.
            if account is None:
                raise ActionRefused(f"Must deposit before performing actions. User: {signer}")
            if request.vault_address is not None or request.expires_after is not None:
                raise ActionRefused(refusals.USER_SIGNED)
        elif account is None:
            account = self._agents.master_of(signer, now_ms)
        if account is None:
            raise ActionRefused(f"User or API Wallet {signer} does not exist.")
        if request.vault_address is not None and request.vault_address.lower() != account.address:
            raise ActionRefused(f"Vault not registered: {request.vault_address.lower()}")
        if request.expires_after is not None and now_ms > request.expires_after:
            account.requests += _STALE_COST * entries(request.action)
            raise ActionRefused(refusals.ALREADY_EXPIRED)
        self._use(signer, request.nonce, now_ms)
        if not (account.cash or account.positions):
            raise ActionRefused(f"Must deposit before performing actions. User: {account.address}")
        return account

    def remove(self, signer: str) -> None:
        """Drop the nonces of an agent that was removed or replaced."""
        self._nonces.pop(signer, None)

    def _signer(self, request: Request) -> str:
        # Imported here, so that a sandbox without accounts does not need the signing libraries.
        try:
            from adapters.hyperliquid.signing import recover_l1_signer
        except ModuleNotFoundError as error:
            raise ActionRefused(
                f"the sandbox cannot check signatures: {error.name} is not installed"
            ) from None
        action = request.action
        if isinstance(action, UserSigned):
            chain = "Mainnet" if self._mainnet else "Testnet"
            if action.nonce != request.nonce or action.hyperliquidChain != chain:
                raise UsageError("the signed nonce or chain does not match the request")
            return recover_user_signer(action, request.signature)
        signature = msgspec.structs.asdict(request.signature)
        return recover_l1_signer(
            canonical(action),
            signature,
            request.nonce,
            request.vault_address,
            request.expires_after,
            self._mainnet,
        )

    def _use(self, signer: str, nonce: int, now_ms: int) -> None:
        """Use up a nonce, or raise ActionRefused. Only the text for a duplicate is confirmed."""
        used = self._nonces.setdefault(signer, [])
        if nonce in used:
            raise ActionRefused(f"Invalid nonce: duplicate nonce {nonce}")
        if not now_ms - 2 * _DAY_MS < nonce < now_ms + _DAY_MS:
            raise ActionRefused(
                f"Invalid nonce: {nonce} is not within two days before and one day after {now_ms}"
            )
        if len(used) == _NONCES_MAX and nonce < used[0]:
            raise ActionRefused(f"Invalid nonce: nonce too low, {nonce} < {used[0]}")
        insort(used, nonce)
        del used[:-_NONCES_MAX]
