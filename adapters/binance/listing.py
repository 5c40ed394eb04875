"""Binance's listing: the symbols of `exchangeInfo` as instruments, with grid and trading rules.

Owns the rules of names, filters and states. Promises: only a symbol that is traded now becomes an instrument;
a filter of an unknown type is ignored; a grid that cannot be is a VenueProtocolError. Called at start-up and
by the gateway. Source: the venue's page "filters", 2026.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from adapters.binance.markets import Market
from adapters.binance.rules import FUNDING_HOURS, PERP, RENAMED, SPOT_MARKET, SPOT_RULES, USDM_RULES
from adapters.binance.wire import Millis, Name, Number
from adapters.transport.text import clip
from engine.errors import NumberError, UsageError, VenueProtocolError
from engine.events import InstrumentListed
from engine.values import format_scaled, parse_scaled, to_grid

__all__ = ["ExchangeInfo", "Filter", "Symbol", "list_instruments", "symbol_named"]

_TRADED: Final = "TRADING"
_PERPETUAL: Final = ("PERPETUAL", "TRADIFI_PERPETUAL")
_SHOWN: Final = 8
_SCALE_MAX: Final = 18
_FAR_MAX: Final = 1000

Decimals = Annotated[int, msgspec.Meta(ge=0, le=_SCALE_MAX)]


class Filter(msgspec.Struct, frozen=True, rename="camel"):
    """One filter of a symbol. Only the members of its own type are set."""

    filter_type: str
    tick_size: Number = "0"
    step_size: Number = "0"
    min_qty: Number = "0"
    max_qty: Number = "0"
    min_notional: Number = "0"
    notional: Number = "0"
    multiplier_up: Number | None = None
    multiplier_down: Number | None = None


class Symbol(msgspec.Struct, frozen=True, rename="camel"):
    """One symbol of `exchangeInfo`. `contract_type` is "" for spot.

    `base_asset_precision` (spot), `price_precision` and `quantity_precision` (USD-M) are the most decimals
    that numbers have. Orders from before a step became coarser stay in the book, with sizes finer than the
    step.
    """

    symbol: Name
    status: str = ""
    base_asset: str = ""
    quote_asset: str = ""
    contract_type: str = ""
    base_asset_precision: Decimals = 0
    price_precision: Decimals = 0
    quantity_precision: Decimals = 0
    filters: Annotated[list[Filter], msgspec.Meta(max_length=100)] = []


class ExchangeInfo(msgspec.Struct, frozen=True, rename="camel"):
    """The listing, and the venue's clock in ms."""

    symbols: Annotated[list[Symbol], msgspec.Meta(max_length=50_000)]
    server_time: Millis = 0


def list_instruments(
    market: Market, symbols: Sequence[Symbol], names: Sequence[str], funding_hours: dict[str, int]
) -> list[InstrumentListed]:
    """Return the named symbols as instruments, in their order; all that are traded if `names` is empty.

    Their numbers are 1, 2, ... . Raises UsageError for a name that is not traded, VenueProtocolError for a
    grid that cannot be.
    """
    if names:
        chosen = list(dict.fromkeys(symbol_named(market, symbols, name).symbol for name in names))
    else:
        chosen = [one.symbol for one in symbols if not _why_not(market, one)]
    by_name = {one.symbol: one for one in symbols}
    return [
        _instrument(market, by_name[name], number, funding_hours.get(name, FUNDING_HOURS))
        for number, name in enumerate(chosen, start=1)
    ]


def symbol_named(market: Market, symbols: Sequence[Symbol], text: str) -> Symbol:
    """Return the symbol that `text` means: its name, or its assets as in BTC/USDT. Raises UsageError."""
    for one in symbols:
        if text in (one.symbol, f"{one.base_asset}/{one.quote_asset}") and (
            text == one.symbol or one.contract_type in ("", *_PERPETUAL)
        ):
            reason = _why_not(market, one)
            if reason:
                raise UsageError(f"{one.symbol} {reason} on {market.title}{_renamed(one, symbols)}")
            return one
    raise UsageError(f"{market.title} has no symbol {clip(text, 40)}{_nearest(text, symbols)}")


def _why_not(market: Market, one: Symbol) -> str:
    """Return why a symbol cannot be chosen, "" if it can."""
    if one.status != _TRADED:
        return f"is not traded (status {clip(one.status, 30)})"
    if market.kind == "perp" and one.contract_type not in _PERPETUAL:
        return f"is a contract that ends ({clip(one.contract_type, 30)}); only perpetuals are read"
    return ""


def _instrument(market: Market, one: Symbol, number: int, hours: int) -> InstrumentListed:
    filters = {found.filter_type: found for found in one.filters}
    price = filters.get("PRICE_FILTER", Filter("PRICE_FILTER"))
    size = filters.get("LOT_SIZE", Filter("LOT_SIZE"))
    spot = market.kind == "spot"
    price_scale, price_step = _grid(one.symbol, "tickSize", price.tick_size, one.price_precision)
    finest = one.base_asset_precision if spot else one.quantity_precision
    size_scale, size_step = _grid(one.symbol, "stepSize", size.step_size, finest)
    least = filters.get("NOTIONAL", filters.get("MIN_NOTIONAL"))
    largest = (size.max_qty, filters.get("MARKET_LOT_SIZE", size).max_qty)
    size_max = [_rounded_down(text, size_scale, size_step) for text in largest]
    rules = replace(
        SPOT_MARKET if spot else PERP,
        base=one.base_asset,
        quote=one.quote_asset,
        value_min=_value_min(one.symbol, least),
        size_max=min((found for found in size_max if found), default=0),
        far_percent=_far_percent(one.symbol, filters) if spot else 0,
        **({} if spot else {"funding_s": hours * 3600}),
    )
    venue_rules = SPOT_RULES if spot else USDM_RULES
    return InstrumentListed(
        recv_ns=0,
        instrument=number,
        venue=market.venue,
        name=one.symbol,
        price_scale=price_scale,
        size_scale=size_scale,
        price_step=price_step,
        size_step=size_step,
        kind=market.kind,
        silence=venue_rules.silence,
        ids=venue_rules.ids,
        rules=rules,
    )


def _grid(symbol: str, what: str, text: str, scale_min: int) -> tuple[int, int]:
    """Return scale and step of a grid: 0.00500000 is 3 and 5, or 4 and 50 with four decimals at least."""
    digits = text.partition(".")[2].rstrip("0")
    scale = max(len(digits), scale_min)
    step = _exact(symbol, text, scale) if scale <= _SCALE_MAX else 0
    if not step:
        raise VenueProtocolError(f"{clip(symbol)}: {what} {clip(text)} is no step of a grid")
    return scale, step


def _exact(symbol: str, text: str, scale: int) -> int:
    try:
        return parse_scaled(text, scale)
    except NumberError as error:
        raise VenueProtocolError(f"{clip(symbol)}: {error}") from error


def _rounded_down(text: str, scale: int, step: int) -> int:
    """Return a largest size on the grid; 0, no bound, for one that cannot be an order anyway."""
    try:
        return to_grid(text, scale=scale, step=step)
    except NumberError:
        return 0


def _value_min(symbol: str, least: Filter | None) -> str:
    """Return the smallest value of an order as plain text. USD-M calls the member `notional`."""
    if least is None:
        return "0"
    text = least.min_notional if _is_set(least.min_notional) else least.notional
    scale = len(text.partition(".")[2])
    return format_scaled(_exact(symbol, text, scale), scale).rstrip("0").rstrip(".") if scale else text


def _is_set(text: str) -> bool:
    """Return whether a text is a number above zero."""
    return bool(text.strip("0."))


def _far_percent(symbol: str, filters: dict[str, Filter]) -> int:
    """Return how far from the average price a limit may be, in percent: the nearer of both sides."""
    found = filters.get("PERCENT_PRICE") or filters.get("PERCENT_PRICE_BY_SIDE")
    if found is None or found.multiplier_up is None or found.multiplier_down is None:
        return 0
    up = _exact(symbol, found.multiplier_up, 8) - 10**8
    down = 10**8 - _exact(symbol, found.multiplier_down, 8)
    return max(0, min(up, down, _FAR_MAX * 10**6) // 10**6)


def _renamed(one: Symbol, symbols: Iterable[Symbol]) -> str:
    """Return what a symbol is called now, if its asset was renamed."""
    now = RENAMED.get(one.base_asset, "")
    names = {found.symbol for found in symbols if found.status == _TRADED}
    return f"; its asset is {now} now: {now}{one.quote_asset}" if now + one.quote_asset in names else ""


def _nearest(text: str, symbols: Sequence[Symbol]) -> str:
    names = [one.symbol for one in symbols if one.status == _TRADED]
    for old, now in RENAMED.items():
        if text.startswith(old) and (renamed := now + text.removeprefix(old)) in names:
            return f"; {old} is {now} now: {renamed}"
    plain = {_letters(name): name for name in names}
    wanted = _letters(text)
    for one in (wanted, *(wanted.removesuffix(end) for end in ("perp", "usdtusdt"))):
        if one in plain:
            return f"; did you mean {plain[one]}?"
    near = difflib.get_close_matches(wanted, plain, n=1)
    if near:
        return f"; did you mean {plain[near[0]]}?"
    return f"; it has {', '.join(names[:_SHOWN])}{' and others' if len(names) > _SHOWN else ''}"


def _letters(text: str) -> str:
    """Return the letters and digits of a name in lower case: spellings differ in the rest."""
    return "".join(one for one in text.casefold() if one.isalnum())
