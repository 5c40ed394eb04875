"""The venue's listing: spot pairs under their present names, their grids, and the names that REST takes.

Owns the names. The websocket says BTC/USD; REST has three older names for the same pair: its key XXBTZUSD,
its `altname` XBTUSD and its `wsname` XBT/USD. Promises: an instrument has the websocket's name, and is found
by any of the others; only a pair that the venue lists becomes an instrument. Called at start-up by
`client.py`. Source: docs.kraken.com, "Get Tradable Asset Pairs" and "WebSocket v2 symbols", 2026-11.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec.structs import replace

from adapters.kraken.answers import AssetPair
from adapters.kraken.rules import RULES, SPOT
from adapters.transport.text import clip
from engine.errors import NumberError, UsageError, VenueProtocolError
from engine.events import InstrumentListed
from engine.values import format_scaled, parse_scaled

__all__ = ["list_instruments", "name_of", "rest_names"]

_RENAMED: Final = {"XBT": "BTC", "XDG": "DOGE"}
"""Assets whose name differs between REST and the websocket."""

_SHOWN: Final = 8
_COMPARED_MAX: Final = 10_000


def list_instruments(
    pairs: Mapping[str, AssetPair], names: Sequence[str], recv_ns: int
) -> list[InstrumentListed]:
    """Return the listing of the pairs named, in their order, numbered from 1.

    Raises UsageError for a name that the venue does not have, VenueProtocolError for an impossible grid.
    """
    known = _by_name(pairs)
    keys = {key: name_of(pair) for key, pair in pairs.items() if name_of(pair)}
    found = dict.fromkeys(_own_name(text, known, keys) for text in names)
    return [_listed(number, name, known[name], recv_ns) for number, name in enumerate(found, start=1)]


def name_of(pair: AssetPair) -> str:
    """Return the websocket's name of a pair; "" for one that it does not have."""
    base, slash, quote = pair.wsname.partition("/")
    return f"{_RENAMED.get(base, base)}/{_RENAMED.get(quote, quote)}" if slash else ""


def rest_names(pairs: Mapping[str, AssetPair]) -> dict[str, str]:
    """Return the name that REST takes of each pair, by the websocket's."""
    return {name: pair.altname for name, pair in _by_name(pairs).items()}


def _by_name(pairs: Mapping[str, AssetPair]) -> dict[str, AssetPair]:
    found: dict[str, AssetPair] = {}
    for pair in pairs.values():
        name = name_of(pair)
        if name and found.setdefault(name, pair) is not pair:
            raise VenueProtocolError(f"kraken lists {clip(name)} twice")
    return found


def _listed(number: int, name: str, pair: AssetPair, recv_ns: int) -> InstrumentListed:
    base, _, quote = name.partition("/")
    price_scale = pair.pair_decimals
    try:
        price_step = parse_scaled(pair.tick_size, price_scale) if pair.tick_size else 1
        value_min = format_scaled(parse_scaled(pair.costmin, 12), 12)
    except NumberError as error:
        raise VenueProtocolError(f"{clip(name)}: {error}") from error
    if not price_step:
        raise VenueProtocolError(f"{clip(name)}: its tick size is zero")
    rules = replace(
        SPOT,
        base=base,
        quote=quote,
        value_min=value_min,
        taker_fee=_fraction(pair.fees, SPOT.taker_fee),
        maker_fee=_fraction(pair.fees_maker, SPOT.maker_fee),
    )
    return InstrumentListed(
        recv_ns,
        number,
        "kraken",
        name,
        price_scale,
        pair.lot_decimals,
        price_step=price_step,
        kind="spot",
        silence=RULES.silence,
        ids=RULES.ids,
        rules=rules,
    )


def _fraction(fees: Sequence[tuple[float, float]], default: str) -> str:
    """Return the fee of the first tier, which the venue gives in percent, as a fraction."""
    if not fees:
        return default
    return format_scaled(round(fees[0][1] * 10_000), 6)


def _own_name(text: str, known: Mapping[str, AssetPair], keys: Mapping[str, str]) -> str:
    """Return the websocket's name of the pair that `text` means. Raises UsageError with the nearest names."""
    if text in known:
        return text
    older = {other: name for name, pair in known.items() for other in (pair.altname, pair.wsname)}
    older |= keys
    if text in older:
        return older[text]
    spelled = {_letters(name): name for name in islice(known, _COMPARED_MAX)}
    spelled |= {_letters(other): name for other, name in islice(older.items(), _COMPARED_MAX)}
    wanted = _letters(text)
    tried = [wanted, *difflib.get_close_matches(wanted, spelled, n=1)]
    near = next((spelled[one] for one in tried if one in spelled), "")
    if near:
        raise UsageError(f"kraken has no pair {clip(text, 40)}; did you mean {near}?")
    shown = ", ".join(islice(known, _SHOWN))
    more = " and others" if len(known) > _SHOWN else ""
    raise UsageError(f"kraken has no pair {clip(text, 40)}; it has {shown}{more}")


def _letters(text: str) -> str:
    """Return the letters and digits of a name in lower case: spellings differ in the rest."""
    return "".join(one for one in text.casefold() if one.isalnum())
