"""The venue's listing: its perps and their grids.

Owns the rules of names. An instrument has the name with a dash (BTC-USDT), as orders and accounts have it;
market data have the same without (BTCUSDT), which is understood too. Promises: only a name that the venue
lists becomes an instrument; a market that is not traded is refused. Called by `client.py`. Source: the
venue's `symbols` answer, 2026.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from adapters.apex.channels import symbol_of
from adapters.apex.info_wire import WireContract
from adapters.apex.rules import PERP, RULES
from adapters.transport.text import clip
from adapters.transport.values import positive, rounded, within
from engine.config import nearest
from engine.errors import UsageError, VenueProtocolError
from engine.events import InstrumentListed, MarketRules

__all__ = ["list_instruments"]


def list_instruments(contracts: Sequence[WireContract], names: Sequence[str]) -> list[InstrumentListed]:
    """Return the listing of the instruments named, in their order, numbered from 1.

    Raises UsageError for a name that the venue does not have or has closed, VenueProtocolError for one that
    is listed twice or in two spellings.
    """
    by_symbol = {one.cross_symbol_name: one for one in contracts}
    times = Counter(one.cross_symbol_name for one in contracts)
    listed: list[InstrumentListed] = []
    for symbol in dict.fromkeys(symbol_of(name) for name in names):
        contract = by_symbol.get(symbol)
        if contract is None:
            known = nearest(symbol, [*by_symbol])
            raise UsageError(f"apex has no instrument {clip(symbol, 40)}; {known}")
        if times[symbol] > 1 or symbol_of(contract.symbol) != symbol:
            raise VenueProtocolError(f"apex lists {clip(symbol)} twice, or as {clip(contract.symbol)}")
        if not contract.enable_trade:
            raise UsageError(f"{contract.symbol} is not traded on apex; choose another instrument")
        listed.append(_listed(contract, len(listed) + 1))
    return listed


def _listed(contract: WireContract, number: int) -> InstrumentListed:
    name = contract.symbol
    price_scale, price_step = _grid(contract.tick_size, name)
    size_scale, size_step = _grid(contract.step_size, name)
    return InstrumentListed(
        recv_ns=0,
        instrument=number,
        venue="apex",
        name=name,
        price_scale=price_scale,
        size_scale=size_scale,
        price_step=price_step,
        size_step=size_step,
        kind="perp",
        silence=RULES.silence,
        ids=RULES.ids,
        rules=_rules_of(contract, size_scale),
    )


def _rules_of(contract: WireContract, size_scale: int) -> MarketRules:
    text = contract.display_max_leverage
    leverage_max = int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 5 else PERP.leverage_max
    return replace(
        PERP,
        base=contract.base_token_id or contract.symbol.partition("-")[0],
        quote=contract.settle_asset_id,
        size_max=within(rounded(contract.max_order_size, size_scale, contract.symbol), contract.symbol),
        leverage=min(PERP.leverage, max(1, leverage_max)),
        leverage_max=max(1, leverage_max),
    )


def _grid(step: str, name: str) -> tuple[int, int]:
    """Return the scale of a grid, and its step at that scale: "0.5" is (1, 5). Raises VenueProtocolError."""
    _, _, fraction = step.partition(".")
    scale = len(fraction.rstrip("0"))
    if scale > 18:
        raise VenueProtocolError(f"{clip(name)}: {clip(step)} is not the step of a grid")
    return scale, positive(step, scale, name)
