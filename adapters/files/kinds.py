"""The kinds of data that a file holds, the roles of their columns, and the usual names of these.

Owns which roles each kind needs and may have, and how a kind is known by its names. Promises nothing is
guessed: names that fit two kinds are an error that says how to choose. Called by `columns` and `layouts`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from adapters.files.merging import (
    BOOK_SERIES,
    CONTEXT_SERIES,
    PRICE_SERIES,
    QUOTE_SERIES,
    RATE_SERIES,
)

__all__ = [
    "BOOKS",
    "CANDLES",
    "CONTEXTS",
    "FUNDING",
    "KINDS_OF_DATA",
    "NAMES",
    "NEEDS",
    "OPTIONAL",
    "QUOTES",
    "RATE_UNITS",
    "SERIES_OF",
    "SIGNS",
    "TRADES",
    "UPDATES",
    "Known",
    "find_levels",
    "level_roles",
    "price_roles",
    "size_roles",
]

TRADES: Final = "trades"
CANDLES: Final = "candles"
QUOTES: Final = "quotes"
BOOKS: Final = "books"
"""A complete book in each row."""
UPDATES: Final = "updates"
"""A level of a book in each row: changes, and snapshots."""
FUNDING: Final = "funding"
CONTEXTS: Final = "contexts"
"""Marks, oracle prices and open interest."""

KINDS_OF_DATA: Final = (TRADES, CANDLES, QUOTES, BOOKS, UPDATES, FUNDING, CONTEXTS)

SERIES_OF: Final = {
    TRADES: PRICE_SERIES,
    CANDLES: PRICE_SERIES,
    QUOTES: QUOTE_SERIES,
    BOOKS: BOOK_SERIES,
    UPDATES: BOOK_SERIES,
    CONTEXTS: CONTEXT_SERIES,
    FUNDING: RATE_SERIES,
}

RATE_UNITS: Final = ("fraction", "percent", "money")
"""Units of a funding rate: of the position's value, or money in the quote currency for one unit of it."""

NAMES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "time": (
        ("timestamp", "time", "t", "ts", "datetime", "date", "transact_time", "trade_time", "open_time"),
        ("funding_time", "fundingtime", "calc_time", "create_time"),
    ),
    "price": (("price", "px", "p"),),
    # "volume" is a size only where nothing else is.
    "size": (("quantity", "size", "amount", "qty", "sz", "q"), ("volume",)),
    "id": (("id", "trade_id", "tid", "a", "agg_trade_id"),),
    "side": (("side", "taker_side", "aggressor"),),
    "maker": (("is_buyer_maker", "isbuyermaker", "m"),),
    "open": (("open", "o"),),
    "high": (("high", "h"),),
    "low": (("low", "l"),),
    "close": (("close", "c"),),
    "volume": (("volume", "v", "vol"),),
    "trades": (("trades", "count", "n", "num_trades", "number_of_trades"),),
    "symbol": (("symbol", "coin", "instrument", "ticker", "pair"),),
    "bid": (("bid", "bid_price", "bid_px", "best_bid", "best_bid_price", "bidprice"),),
    "bid_size": (("bid_size", "bid_qty", "bid_sz", "bid_amount", "best_bid_size", "best_bid_qty", "bidqty"),),
    "ask": (("ask", "ask_price", "ask_px", "best_ask", "best_ask_price", "askprice"),),
    "ask_size": (("ask_size", "ask_qty", "ask_sz", "ask_amount", "best_ask_size", "best_ask_qty", "askqty"),),
    "snapshot": (("is_snapshot", "snapshot"),),
    "seq": (("seq", "sequence"),),
    "rate": (("rate", "funding_rate", "fundingrate", "last_funding_rate"),),
    "mark": (("mark", "mark_price", "mark_px", "markprice"),),
    "oracle": (("oracle", "oracle_price", "oracle_px", "index_price", "index", "indexprice"),),
    "open_interest": (("open_interest", "openinterest", "oi", "sum_open_interest"),),
}
"""Usual names of each role, lower case with underscores; a later group counts only if an earlier has none."""

NEEDS: Final[dict[str, tuple[str, ...]]] = {
    TRADES: ("time", "price", "size"),
    CANDLES: ("time", "open", "high", "low", "close", "volume"),
    QUOTES: ("time", "bid", "bid_size", "ask", "ask_size"),
    BOOKS: ("time",),
    UPDATES: ("time", "side", "price", "size"),
    FUNDING: ("time", "rate"),
    CONTEXTS: ("time",),
}
OPTIONAL: Final[dict[str, tuple[str, ...]]] = {
    TRADES: ("id", "side", "maker", "symbol"),
    CANDLES: ("trades", "symbol"),
    QUOTES: ("symbol",),
    BOOKS: ("symbol",),
    UPDATES: ("snapshot", "seq", "symbol"),
    FUNDING: ("symbol",),
    CONTEXTS: ("mark", "oracle", "open_interest", "symbol"),
}

SIGNS: Final[tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]] = (
    (CANDLES, (("open", "high", "low", "close"),)),
    (QUOTES, (("bid", "ask"),)),
    (UPDATES, (("snapshot", "price"), ("seq", "price", "side"))),
    (TRADES, (("price",),)),
    (FUNDING, (("rate",),)),
    (CONTEXTS, (("mark",), ("oracle",), ("open_interest",))),
)
"""The roles that show a kind, any of the tuples, in the order in which they count."""

_LEVEL_FORMS: Final = (
    re.compile(
        r"(?P<side>bid|ask)s?[_.]?\[?(?P<level>[0-9]{1,4})\]?[_.]?"
        r"(?P<what>price|px|size|sz|amount|qty|quantity)"
    ),
    re.compile(r"(?P<side>bid|ask)s?_?(?P<what>price|px|size|sz|amount|qty|quantity)_?(?P<level>[0-9]{1,4})"),
)


class Known(msgspec.Struct, frozen=True):
    """One known layout.

    `columns` are names and what the cells are: `t` a time, `n` a number, `i` a whole number, `b` true or
    false, `x` anything. Without names a file has the first `widths` of them, () if it always has names.
    With names it has all of `needs`, and nothing else if `exact`. `roles` goes from role to name. `arrays`:
    without names only as JSON arrays. `units` are the units of the times. `rates` is the unit of its funding
    rates.
    """

    name: str
    title: str
    kind: str
    columns: tuple[tuple[str, str], ...]
    roles: dict[str, str]
    needs: tuple[str, ...]
    widths: tuple[int, ...] = ()
    exact: bool = False
    arrays: bool = False
    units: tuple[str, ...] = ()
    turned: bool = False
    silence: str | None = None
    sorts: bool = False
    says: str = ""
    rates: str = ""


def find_levels(names: Sequence[str]) -> dict[str, int]:
    """Return the positions of the columns of levels, by role; a level with price and size on its side.

    The roles are `bid0`, `bid_size0`, `ask0`, `ask_size0` and so on, best first.
    """
    found: dict[tuple[str, int], dict[bool, int]] = {}
    for at, name in enumerate(names):
        match = next((match for form in _LEVEL_FORMS if (match := form.fullmatch(name))), None)
        if match is not None:
            is_price = match["what"] in ("price", "px")
            found.setdefault((match["side"], int(match["level"])), {})[is_price] = at
    roles: dict[str, int] = {}
    for side in ("bid", "ask"):
        levels = sorted(level for each, level in found if each == side)
        for number, level in enumerate(levels):
            if len(found[side, level]) == 2:
                roles[f"{side}{number}"] = found[side, level][True]
                roles[f"{side}_size{number}"] = found[side, level][False]
    return roles if "bid0" in roles and "ask0" in roles else {}


def level_roles(at: Mapping[str, int], side: str) -> list[tuple[str, str]]:
    """Return the roles of price and size of the levels of a side, best first."""
    count = sum(1 for role in at if re.fullmatch(rf"{side}[0-9]+", role))
    return [(f"{side}{number}", f"{side}_size{number}") for number in range(count)]


def price_roles(kind: str, at: Collection[str]) -> list[str]:
    """Return the roles of the columns whose decimals count for the instrument's price."""
    if kind == BOOKS:
        return [role for role in at if re.fullmatch(r"(bid|ask)[0-9]+", role)]
    named = {TRADES: ("price",), UPDATES: ("price",), QUOTES: ("bid", "ask")}
    named[CANDLES] = ("open", "high", "low", "close")
    return list(named.get(kind, ()))


def size_roles(kind: str, at: Collection[str]) -> list[str]:
    """Return the roles of the columns whose decimals count for the instrument's size."""
    if kind == BOOKS:
        return [role for role in at if re.fullmatch(r"(bid|ask)_size[0-9]+", role)]
    named = {TRADES: ("size",), UPDATES: ("size",), QUOTES: ("bid_size", "ask_size"), CANDLES: ("volume",)}
    return list(named.get(kind, ()))
