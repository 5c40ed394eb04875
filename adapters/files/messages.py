"""Messages of venues' websockets, as they were recorded, to what they say: trades, quotes, books, contexts.

Owns which messages are read, and their fields; numbers keep their exact text. Promises that a message is read
whole or refused with a NumberError that names the field; one of a kind that is not known is not read. The
wire formats are those of recorded messages of Binance (spot, USD-M, COIN-M) and Hyperliquid; see
`docs/importing.md`. Pure. Called by `recordings`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from adapters.files.kinds import BOOKS, CONTEXTS, QUOTES, TRADES
from engine.errors import NumberError

__all__ = ["AGGREGATED", "LAYOUTS", "MARKERS", "Piece", "Seen", "read_binance", "read_hyperliquid"]

AGGREGATED: Final = "aggregated trades"
"""The kind of Binance's aggregated trades: they stand for trades where a recording has no others."""

_MS: Final = 1_000_000
_LIMITS: Final = (5, 10, 20, 50, 100, 500, 1000, 5000)
_PARTIAL: Final = re.compile(r"@depth(?:5|10|20)(?:@|$)")

MARKERS: Final[dict[str, tuple[str, ...]]] = {
    TRADES: ('"trade', "Trade"),
    AGGREGATED: ("aggTrade",),
    QUOTES: ("bookTicker", '"bbo"', '"B":'),
    BOOKS: ("epth", '"lastUpdateId"', '"l2Book"'),
    CONTEXTS: ('"markPriceUpdate"', "AssetCtx"),
}
"""Text of which every message of a kind has some, so that the others need not be decoded."""


class Seen(NamedTuple):
    """What a book message shows: levels of both sides as (price, size, orders).

    `whole`: the complete book, else changes. `after` and `last`: see `books.Update`. `limits`: a whole side
    with so many levels was cut there.
    """

    bids: list[tuple[str, str, int]]
    asks: list[tuple[str, str, int]]
    whole: bool
    after: int | None = None
    last: int | None = None
    limits: tuple[int, ...] = ()


class Piece(NamedTuple):
    """One thing that a message says. `venue_ns` is the venue's time, 0 if it does not say.

    `data` of TRADES: (price, size, side, id); of QUOTES: (bid, size, ask, size), "" for none; of BOOKS a
    `Seen`; of CONTEXTS: (mark, oracle, mid, funding, premium, open interest), "" for none.
    """

    kind: str
    symbol: str
    venue_ns: int
    data: Any


def read_hyperliquid(message: Any) -> Iterator[Piece]:
    """Yield what a message of Hyperliquid says. Raises NumberError."""
    channel, data = message.get("channel"), message.get("data")
    if channel == "trades":
        for one in _of(list, data, "data"):
            side = _text(one, "side")
            if side not in ("A", "B"):
                raise NumberError(f"side {side[:40]!r} is not A or B")
            trade = _text(one, "px"), _text(one, "sz"), 1 if side == "B" else -1, _whole(one, "tid")
            yield Piece(TRADES, _text(one, "coin"), _whole(one, "time") * _MS, trade)
    elif channel == "l2Book":
        sides = _of(list, _get(data, "levels"), "levels")
        if len(sides) != 2:
            raise NumberError("levels do not have two sides")
        bids, asks = (
            [
                (_text(level, "px"), _text(level, "sz"), _whole(level, "n"))
                for level in _of(list, side, "levels")
            ]
            for side in sides
        )
        yield Piece(BOOKS, _text(data, "coin"), _whole(data, "time") * _MS, Seen(bids, asks, whole=True))
    elif channel == "bbo":
        sides = _of(list, _get(data, "bbo"), "bbo")
        if len(sides) != 2:
            raise NumberError("bbo does not have two sides")
        cells = [
            text for side in sides for text in ((_text(side, "px"), _text(side, "sz")) if side else ("", ""))
        ]
        yield Piece(QUOTES, _text(data, "coin"), _whole(data, "time") * _MS, tuple(cells))
    elif channel in ("activeAssetCtx", "activeSpotAssetCtx"):
        context = _of(dict, _get(data, "ctx"), "ctx")
        names = ("markPx", "oraclePx", "midPx", "funding", "premium", "openInterest")
        yield Piece(CONTEXTS, _text(data, "coin"), 0, tuple(_cell(context, name) for name in names))


def read_binance(message: Any) -> Iterator[Piece]:
    """Yield what a message of Binance says: of a combined or a single stream, or an answer with a snapshot.

    A snapshot that was read over HTTP names no symbol: then that of the piece is "". Raises NumberError.
    """
    stream = message.get("stream", "")
    data = message["data"] if stream and isinstance(message.get("data"), dict) else message
    what, symbol = data.get("e"), data.get("s", "")
    if what in ("trade", "aggTrade"):
        if data.get("X") == "NA":
            return  # no trade: a place holder without a price
        kind = TRADES if what == "trade" else AGGREGATED
        maker = _get(data, "m")
        if not isinstance(maker, bool):
            raise NumberError("m is not true or false")
        number = _whole(data, "t" if kind == TRADES else "a")
        trade = _short(_text(data, "p")), _short(_text(data, "q")), -1 if maker else 1, number
        yield Piece(kind, _text(data, "s"), _whole(data, "T") * _MS, trade)
    elif what == "bookTicker" or (what is None and {"u", "s", "b", "B", "a", "A"} <= data.keys()):
        quote = tuple(_short(_text(data, name)) for name in ("b", "B", "a", "A"))
        yield Piece(QUOTES, _text(data, "s"), _time(data), quote)
    elif what == "depthUpdate":
        bids, asks = _levels(data, "b"), _levels(data, "a")
        after = _whole(data, "pu") if "pu" in data else _whole(data, "U") - 1
        whole = _PARTIAL.search(str(stream)) is not None
        seen = Seen(bids, asks, whole, after, _whole(data, "u"), _LIMITS if whole else ())
        yield Piece(BOOKS, _text(data, "s"), _time(data), seen)
    elif what == "markPriceUpdate":
        context = _cell(data, "p"), _cell(data, "i"), "", "", "", ""
        yield Piece(CONTEXTS, _text(data, "s"), _time(data), context)
    elif "lastUpdateId" in data:
        symbol = str(stream).partition("@")[0].upper() if stream else symbol
        last = _whole(data, "lastUpdateId")
        seen = Seen(_levels(data, "bids"), _levels(data, "asks"), True, None, last, _LIMITS)
        yield Piece(BOOKS, symbol, _time(data), seen)


LAYOUTS: Final[dict[str, Callable[[Any], Iterator[Piece]]]] = {
    "hyperliquid-messages": read_hyperliquid,
    "binance-messages": read_binance,
}
"""Known layouts of recordings."""


def _get(found: Any, name: str) -> Any:
    try:
        return found[name]
    except (KeyError, TypeError, IndexError):
        raise NumberError(f"the message has no {name!r}") from None


def _of(kind: type, found: Any, name: str) -> Any:
    if not isinstance(found, kind):
        raise NumberError(f"{name} is not {'an array' if kind is list else 'an object'}")
    return found


def _text(found: Any, name: str) -> str:
    value = _get(found, name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise NumberError(f"{name} is not text or a number")
    return str(value)


def _cell(found: Any, name: str) -> str:
    """Return a value that may be absent or null as text, "" if it is."""
    return "" if found.get(name) is None else _text(found, name)


def _whole(found: Any, name: str) -> int:
    value = _get(found, name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise NumberError(f"{name} is not a whole number")
    return value


def _time(data: Any) -> int:
    """Return the time of the change, else of the message; 0 if it has none. Spot book tickers have none."""
    name = "T" if "T" in data else "E"
    return _whole(data, name) * _MS if name in data else 0


def _levels(data: Any, name: str) -> list[tuple[str, str, int]]:
    found = []
    for level in _of(list, _get(data, name), name):
        try:
            price, size = level[:2]
            found.append((_short(price), _short(size), 0))
        except (TypeError, ValueError, AttributeError):
            raise NumberError(f"a level of {name} is not a price and a size") from None
    return found


def _short(text: str) -> str:
    """Return a number without the zeros that Binance fills its decimals up with."""
    return text.rstrip("0").rstrip(".") or "0" if "." in text else text
