"""Checks before the first order: the key works, and the account is in a mode that the engine trades.

Promises: hedge mode is refused, since there an order needs a side of its own and reduce-only does not exist;
so are a key that may not trade, and instruments of more than one quote currency, since the account's money
is counted in one. Called when a session with real orders connects.
"""

from __future__ import annotations

from collections.abc import Iterable

import httpx

from adapters.binance.gateway.account_wire import PositionMode, SpotAccount, VenueTime
from adapters.binance.gateway.dialects import Dialect
from adapters.binance.gateway.keys import Signer
from adapters.binance.gateway.rest import Rest, VenueRefused
from adapters.transport.governor import Governor
from engine.errors import SafetyRefusal
from engine.events import InstrumentListed

__all__ = ["check_access", "check_quotes"]


async def check_access(
    base_url: str,
    dialect: Dialect,
    signer: Signer,
    governor: Governor,
    transport: httpx.AsyncBaseTransport | None = None,
) -> None:
    """Raise SafetyRefusal for a key that is refused, or an account in hedge mode. Raises VenueError."""
    time_ms = 0
    rest = Rest(base_url, signer, governor, lambda: time_ms, transport=transport)
    try:
        # Requests are dated by the venue's clock: that of a sandbox may be far from ours.
        time_ms = (await rest.read(dialect.path("time"), {}, VenueTime, signed=False)).server_time
        await _check(rest, dialect)
    finally:
        await rest.aclose()


async def _check(rest: Rest, dialect: Dialect) -> None:
    try:
        if dialect.spot:
            account = await rest.read(dialect.path("account"), {}, SpotAccount, 20)
            if not account.can_trade:
                raise SafetyRefusal("this account may not trade; look at it on the venue's page")
            return
        mode = await rest.read(dialect.path("positionSide/dual"), {}, PositionMode, 30)
    except VenueRefused as refused:
        raise SafetyRefusal(f"the venue refuses the key: {refused}") from None
    if mode.dual_side_position:
        raise SafetyRefusal(
            "the account is in hedge mode, which is not supported; close its positions and set its position "
            "mode to one-way"
        )


def check_quotes(instruments: Iterable[InstrumentListed]) -> None:
    """Raise SafetyRefusal for instruments of more than one quote currency."""
    quotes = sorted({one.rules.quote for one in instruments if one.rules.quote})
    if len(quotes) > 1:
        raise SafetyRefusal(
            f"real orders need one quote currency, and these instruments have {', '.join(quotes)}; "
            "choose one of them with --instruments"
        )
