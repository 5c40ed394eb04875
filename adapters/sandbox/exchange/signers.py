"""Who signed an action, for whom, and whether its nonce is still good.

Owns signature recovery and nonces. The venue keeps the 100 highest nonces of each signer: a new one must be
larger than the smallest of them, unused, and within two days before and one day after its own time, which is
the sandbox's. A signature that is wrong recovers to some other address, which then does not exist: that is
what a client gets to read. There are no vaults and no sub-accounts. What a user signs covers neither a vault
nor an expiry, so a request for one of them is refused: nobody signed it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import Final

import msgspec

from adapters.sandbox.exchange import refusals
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.actions import ApproveAgent, Request, canonical, entries
from adapters.sandbox.exchange.agents import Agents, recover_user_signer
from adapters.sandbox.exchange.refusals import Refused
from engine.errors import UsageError

__all__ = ["Signers"]

_NONCES_MAX: Final = 100
_DAY_MS: Final = 86_400_000
_STALE_COST: Final = 5


class Signers:
    """The nonces of every signer. `mainnet` decides which signatures are good."""

    def __init__(self, accounts: Mapping[str, Account], agents: Agents, *, mainnet: bool) -> None:
        self._accounts = accounts
        self._agents = agents
        self._mainnet = mainnet
        self._nonces: dict[str, list[int]] = {}

    def account_of(self, request: Request, now_ms: int) -> Account:
        """Return the account a request acts for, its nonce used up. Raises Refused."""
        try:
            signer = self._signer(request)
        except UsageError:
            raise Refused("Unable to recover signer") from None  # not confirmed
        account = self._accounts.get(signer)
        if isinstance(request.action, ApproveAgent):
            # Signed by a user, it is about that user: an agent has no account of its own.
            if account is None:
                raise Refused(f"Must deposit before performing actions. User: {signer}")
            if request.vault_address is not None or request.expires_after is not None:
                raise Refused(refusals.USER_SIGNED)
        elif account is None:
            account = self._agents.master_of(signer, now_ms)
        if account is None:
            raise Refused(f"User or API Wallet {signer} does not exist.")
        if request.vault_address is not None and request.vault_address.lower() != account.address:
            raise Refused(f"Vault not registered: {request.vault_address.lower()}")
        if request.expires_after is not None and now_ms > request.expires_after:
            account.requests += _STALE_COST * entries(request.action)
            raise Refused(refusals.ALREADY_EXPIRED)
        self._use(signer, request.nonce, now_ms)
        if not (account.cash or account.positions):
            raise Refused(f"Must deposit before performing actions. User: {account.address}")
        return account

    def forget(self, signer: str) -> None:
        """Drop the nonces of an agent that is none any more."""
        self._nonces.pop(signer, None)

    def _signer(self, request: Request) -> str:
        # Only here, so that a sandbox without accounts needs nothing to sign with.
        try:
            from adapters.hyperliquid.signing import recover_l1_signer
        except ModuleNotFoundError as error:
            raise Refused(f"this sandbox reads no signatures: {error.name} is not installed") from None
        action = request.action
        if isinstance(action, ApproveAgent):
            chain = "Mainnet" if self._mainnet else "Testnet"
            if action.nonce != request.nonce or action.hyperliquidChain != chain:
                raise UsageError("the signed nonce or chain is another one")
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
        """Take a nonce. Of the texts only the one of a duplicate is confirmed."""
        used = self._nonces.setdefault(signer, [])
        if nonce in used:
            raise Refused(f"Invalid nonce: duplicate nonce {nonce}")
        if not now_ms - 2 * _DAY_MS < nonce < now_ms + _DAY_MS:
            raise Refused(f"Invalid nonce: {nonce} is not within two days before and one day after {now_ms}")
        if len(used) == _NONCES_MAX and nonce < used[0]:
            raise Refused(f"Invalid nonce: nonce too low, {nonce} < {used[0]}")
        insort(used, nonce)
        del used[:-_NONCES_MAX]
