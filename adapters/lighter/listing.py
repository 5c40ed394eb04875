"""The venue's listing: its perps and spot markets, their grids, and the numbers that the wire uses for them.

Owns the rules of names and numbers. Promises: only a name that the venue lists becomes an instrument; a
market that is not active is refused. A market keeps its number when it is renamed, so a name of old is not
found, and the nearest names are shown. Called by `client.py`. Source: the venue's page "market data" and
captures of 2026.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from adapters.lighter.info_wire import WireMarket
from adapters.lighter.rules import PERP, RULES, SPOT
from adapters.transport.text import clip
from adapters.transport.values import rounded
from engine.config import nearest
from engine.errors import UsageError, VenueProtocolError
from engine.events import InstrumentListed, MarketRules
from engine.values import format_scaled

__all__ = ["list_instruments", "listed_market"]

_FEE_SCALE: Final = 12
_FRACTION: Final = 10_000


def list_instruments(markets: Sequence[WireMarket], names: Sequence[str]) -> list[InstrumentListed]:
    """Return the listing of the instruments named, in their order, numbered from 1.

    Raises UsageError for a name that the venue does not have or has closed, VenueProtocolError for a name or
    a number that is listed twice.
    """
    by_name = {market.symbol: market for market in markets}
    times = Counter(market.symbol for market in markets)
    numbers = Counter(market.market_id for market in markets)
    listed: list[InstrumentListed] = []
    for name in dict.fromkeys(names):
        market = by_name.get(name)
        if market is None:
            raise UsageError(f"lighter has no instrument {clip(name, 40)}; {nearest(name, [*by_name])}")
        if times[name] > 1 or numbers[market.market_id] > 1:
            raise VenueProtocolError(f"lighter lists {clip(name)} or market {market.market_id} twice")
        if market.status != "active":
            raise UsageError(
                f"{name} is {clip(market.status, 40)} on lighter, not active; choose another instrument"
            )
        listed.append(listed_market(market, len(listed) + 1))
    return listed


def listed_market(market: WireMarket, number: int) -> InstrumentListed:
    """Return a market as an instrument."""
    return InstrumentListed(
        recv_ns=0,
        instrument=number,
        venue="lighter",
        name=market.symbol,
        price_scale=market.supported_price_decimals,
        size_scale=market.supported_size_decimals,
        kind=market.market_type,
        silence=RULES.silence,
        ids=RULES.ids,
        rules=_rules_of(market),
    )


def _rules_of(market: WireMarket) -> MarketRules:
    fees = {
        "taker_fee": _percent(market.taker_fee, market.symbol),
        "maker_fee": _percent(market.maker_fee, market.symbol),
    }
    value_min = format_scaled(rounded(market.min_quote_amount, _FEE_SCALE, market.symbol), _FEE_SCALE)
    base, _, quote = market.symbol.partition("/")
    if market.market_type == "spot":
        return replace(SPOT, base=base, quote=quote or "USDC", value_min=value_min, **fees)
    leverage = _leverage(market.default_initial_margin_fraction)
    leverage_max = max(leverage, _leverage(market.min_initial_margin_fraction))
    return replace(PERP, base=base, value_min=value_min, leverage=leverage, leverage_max=leverage_max, **fees)


def _leverage(fraction: int) -> int:
    """Return the leverage of an initial margin in units of 1/10,000; that of the rules if it is not given."""
    return max(1, _FRACTION // fraction) if fraction else PERP.leverage


def _percent(text: str, name: str) -> str:
    """Return percent as a fraction."""
    return format_scaled(rounded(text, _FEE_SCALE, name), _FEE_SCALE + 2)
