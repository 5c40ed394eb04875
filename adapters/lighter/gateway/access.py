"""Checks before the first order: the key belongs to the account, whose mode is one that the engine trades.

Promises: an account that counts its spot assets as collateral ("unified") is refused, since its equity is not
read, and so are spot markets and a key that the account does not have. Called when a session with real orders
connects.
"""

from __future__ import annotations

from collections.abc import Iterable

import httpx

from adapters.lighter.gateway.account_wire import AccountsAnswer, KeysAnswer
from adapters.lighter.gateway.keys import Signer
from adapters.lighter.gateway.rest import Rest
from adapters.lighter.signing import CHAINS
from adapters.transport.governor import Governor
from engine.errors import SafetyRefusal, VenueProtocolError
from engine.events import InstrumentListed

__all__ = ["check_access", "check_markets"]


async def check_access(
    base_url: str,
    signer: Signer,
    governor: Governor,
    transport: httpx.AsyncBaseTransport | None = None,
) -> None:
    """Raise SafetyRefusal for a key that is not the account's, or an account of another mode. Raises
    VenueError."""
    rest = Rest(base_url, CHAINS["sandbox"], signer, governor, lambda: 0, transport=transport)
    try:
        await _check(rest, signer)
    finally:
        await rest.aclose()


async def _check(rest: Rest, signer: Signer) -> None:
    asked = {"account_index": signer.account, "api_key_index": signer.index}
    try:
        keys = (await rest.read("apikeys", asked, KeysAnswer, signed=False)).api_keys or []
    except VenueProtocolError as error:
        raise SafetyRefusal(f"the keys of account {signer.account} cannot be read: {error}") from None
    public = next((one.public_key for one in keys if one.api_key_index == signer.index), "")
    if public.lower().removeprefix("0x") != signer.public.removeprefix("0x"):
        raise SafetyRefusal(
            f"account {signer.account} has another API key of number {signer.index} than the configured one; "
            "set key_index to the number under which this key was registered"
        )
    found = await rest.read("account", {"by": "index", "value": signer.account}, AccountsAnswer, signed=False)
    for row in found.accounts or []:
        if row.account_index == signer.account and row.account_trading_mode:
            raise SafetyRefusal(
                "the account is in unified mode, in which spot assets are collateral too; that is not "
                "supported, so set it to classic mode"
            )


def check_markets(instruments: Iterable[InstrumentListed]) -> None:
    """Raise SafetyRefusal for spot markets."""
    spot = [one.name for one in instruments if one.kind == "spot"]
    if spot:
        raise SafetyRefusal(
            f"real orders on lighter are for perpetuals only, and {', '.join(spot)} are spot markets; "
            "choose others with --instruments"
        )
