"""Agents (API wallets): addresses that may sign for an account.

Handles approvals. An account can have one unnamed agent
and three named ones. Approving a name again moves it to the new address; the zero address removes it. A name
may end in ` valid_until <ms>`. On the venue an expired agent stays valid until it is pruned; here it expires
at once. Source: the venue's pages on the exchange endpoint and on API wallets, 2026-09.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from adapters.sandbox.exchange import refusals
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.actions import ApproveAgent
from adapters.sandbox.exchange.refusals import ActionRefused

__all__ = ["Agents"]

_NAMED_MAX: Final = 3
_NAME_CHARS_MAX: Final = 16
_DAY_MS: Final = 86_400_000
_VALID_MS: Final = 90 * _DAY_MS
_VALID_MS_MAX: Final = 180 * _DAY_MS
_ZERO_ADDRESS: Final = "0x" + "0" * 40
_UNTIL: Final = re.compile(r"(.*?) ?valid_until ([0-9]{1,15})")


class Agents:
    """The agents of all accounts."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts

    def master_of(self, address: str, now_ms: int) -> Account | None:
        """Return the account for which an address may sign, or None."""
        for account in self._accounts.values():
            for agent, until_ms in account.agents.values():
                if agent == address and until_ms > now_ms:
                    return account
        return None

    def approve(self, account: Account, action: ApproveAgent, now_ms: int) -> str | None:
        """Apply an approval; return the address that it replaced, if any. Raises ActionRefused."""
        name, until_ms = action.agentName or "", now_ms + _VALID_MS
        suffix = _UNTIL.fullmatch(name)
        if suffix is not None:
            name, until_ms = suffix[1], int(suffix[2])
        if not now_ms < until_ms <= now_ms + _VALID_MS_MAX:
            raise ActionRefused(refusals.AGENT_EXPIRED)
        if len(name) > _NAME_CHARS_MAX:
            raise ActionRefused("Agent name is too long.")  # not confirmed
        address = action.agentAddress.lower()
        before, _ = account.agents.get(name, (None, 0))
        if address == _ZERO_ADDRESS:
            account.agents.pop(name, None)
            return before
        if address in self._accounts or self._known(address):
            raise ActionRefused(refusals.AGENT_USED)
        others = sum(1 for other in account.agents if other and other != name)
        if name and others >= _NAMED_MAX:
            raise ActionRefused(refusals.AGENTS_MAX)
        account.agents[name] = (address, until_ms)
        return before

    def rows(self, account: Account) -> list[dict[str, Any]]:
        """Return `extraAgents`: the named agents."""
        return [
            {"name": name, "address": address, "validUntil": until_ms}
            for name, (address, until_ms) in account.agents.items()
            if name
        ]

    def _known(self, address: str) -> bool:
        agents = (agent for account in self._accounts.values() for agent, _ in account.agents.values())
        return address in agents
