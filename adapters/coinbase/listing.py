"""The venue's listing: spot products, their grids, and products that share a market.

Owns the names. BTC-USDC shares the market of BTC-USD, and public channels answer with the latter; so it is
that instrument. Promises: only a product that the venue lists and that is traded becomes an instrument.
Called at start-up by `client.py`. Source: docs.cdp.coinbase.com, "List Public Products", 2026-11.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec.structs import replace

from adapters.coinbase.answers import Product
from adapters.coinbase.rules import RULES, SPOT
from adapters.transport.text import clip
from engine.errors import NumberError, UsageError, VenueProtocolError
from engine.events import InstrumentListed
from engine.values import format_scaled, parse_scaled

__all__ = ["list_instruments", "names_of"]

_FINEST: Final = 18
_SHOWN: Final = 8
_COMPARED_MAX: Final = 10_000


def list_instruments(
    products: Sequence[Product], names: Sequence[str], recv_ns: int
) -> list[InstrumentListed]:
    """Return the listing of the products named, in their order, numbered from 1.

    Raises UsageError for a name that the venue does not have or that is not traded, VenueProtocolError for an
    impossible grid.
    """
    known = {one.product_id: one for one in products if one.product_type == "SPOT"}
    found = dict.fromkeys(_own_name(text, known) for text in names)
    return [_listed(number, known[name], recv_ns) for number, name in enumerate(found, start=1)]


def names_of(products: Sequence[Product]) -> list[str]:
    """Return the names of the spot products that are traded in markets of their own."""
    return [
        one.product_id
        for one in products
        if one.product_type == "SPOT" and not one.alias and not _is_closed(one)
    ]


def _is_closed(product: Product) -> bool:
    return product.is_disabled or product.trading_disabled or product.status != "online"


def _listed(number: int, product: Product, recv_ns: int) -> InstrumentListed:
    name = product.product_id
    if _is_closed(product):
        raise UsageError(f"{name} is not traded on coinbase now ({product.status}); choose another product")
    price_scale, price_step = _grid(name, product.price_increment or product.quote_increment)
    size_scale, size_step = _grid(name, product.base_increment)
    try:
        value_min = format_scaled(parse_scaled(product.quote_min_size or "0", _FINEST), _FINEST)
    except NumberError as error:
        raise VenueProtocolError(f"{clip(name)}: {error}") from error
    base, _, quote = name.partition("-")
    rules = replace(
        SPOT,
        base=product.base_currency_id or base,
        quote=product.quote_currency_id or quote,
        value_min=value_min,
    )
    return InstrumentListed(
        recv_ns,
        number,
        "coinbase",
        name,
        price_scale,
        size_scale,
        price_step=price_step,
        size_step=size_step,
        kind="spot",
        silence=RULES.silence,
        ids=RULES.ids,
        rules=rules,
    )


def _grid(name: str, increment: str) -> tuple[int, int]:
    """Return scale and step of an increment: "0.01" is 2 and 1, "0.5" is 1 and 5."""
    scale = len(increment.rstrip("0").partition(".")[2])
    try:
        step = parse_scaled(increment, min(scale, _FINEST))
    except NumberError as error:
        raise VenueProtocolError(f"{clip(name)}: {error}") from error
    if not step:
        raise VenueProtocolError(f"{clip(name)}: an increment is zero")
    return scale, step


def _own_name(text: str, known: Mapping[str, Product]) -> str:
    """Return the product whose market `text` means. Raises UsageError with the nearest names."""
    product = known.get(text)
    if product is not None:
        return product.alias if product.alias in known else text
    spelled = {_letters(name): name for name in islice(known, _COMPARED_MAX)}
    wanted = _letters(text)
    tried = [wanted, *difflib.get_close_matches(wanted, spelled, n=1)]
    near = next((spelled[one] for one in tried if one in spelled), "")
    if near:
        raise UsageError(f"coinbase has no product {clip(text, 40)}; did you mean {near}?")
    shown = ", ".join(islice(known, _SHOWN))
    more = " and others" if len(known) > _SHOWN else ""
    raise UsageError(f"coinbase has no product {clip(text, 40)}; it has {shown}{more}")


def _letters(text: str) -> str:
    """Return the letters and digits of a name in lower case: spellings differ in the rest."""
    return "".join(one for one in text.casefold() if one.isalnum())
