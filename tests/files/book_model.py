"""A plain book, messages that change it, and the files in which each layout writes them.

The model shares nothing with the importer: two dictionaries, and the rules of sequence in a few lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from engine.clock import day_start_ns

__all__ = ["LAYOUTS", "START_MS", "Message", "Shown", "damaged", "messages", "shown"]

START_MS = day_start_ns("2024-01-30") // 1_000_000

Shown = tuple[list[tuple[int, int]], list[tuple[int, int]]]
"""Bids and asks, best first, as (price, size) in steps."""

UNKNOWN: Shown = ([], [])


class Message(NamedTuple):
    """A snapshot or an update, in steps of price and size. `seq` counts messages up by one."""

    ms: int
    seq: int
    snapshot: bool
    bids: dict[int, int]
    asks: dict[int, int]


def shown(given: Sequence[Message], depth: int = 20, *, numbered: bool = True) -> list[Shown]:
    """Return what the book shows after each message; `UNKNOWN` where it is not known, or crossed."""
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    known, last = False, -1
    found = []
    for one in given:
        if one.snapshot and not (known and numbered and one.seq <= last):
            bids, asks, known, last = dict(one.bids), dict(one.asks), True, one.seq
        elif known and not one.snapshot and numbered and one.seq > last + 1:
            known = False
        elif known and not one.snapshot and (not numbered or one.seq == last + 1):
            bids |= one.bids
            asks |= one.asks
            last = one.seq
        bids = {price: size for price, size in bids.items() if size}
        asks = {price: size for price, size in asks.items() if size}
        if not known or (bids and asks and max(bids) >= min(asks)):
            found.append(UNKNOWN)
        else:
            best = sorted(bids.items(), reverse=True)[:depth], sorted(asks.items())[:depth]
            found.append(best)
    return found


@st.composite
def messages(draw: st.DrawFn) -> list[Message]:
    """Messages of a book that stays in order: the first is a snapshot, bids lie below asks.

    No snapshot follows another one: without numbers these are one.
    """
    found = []
    ms, middle = START_MS, 1000
    held: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for seq in range(1, draw(st.integers(2, 14)) + 1):
        ms += draw(st.integers(1, 500))
        after_update = bool(found) and not found[-1].snapshot
        snapshot = seq == 1 or (after_update and draw(st.integers(0, 7)) == 0)
        # Binance cuts a snapshot at 5 levels or more, which says nothing of those beyond.
        most = 4 if snapshot else 6
        below = st.dictionaries(st.integers(middle - 30, middle - 1), st.integers(0, 50), max_size=most)
        above = st.dictionaries(st.integers(middle, middle + 30), st.integers(0, 50), max_size=most)
        bids, asks = draw(below), draw(above)
        if snapshot:
            bids = {price: size for price, size in bids.items() if size}
            asks = {price: size for price, size in asks.items() if size}
            held = ({}, {})
        held = held[0] | bids, held[1] | asks
        found.append(Message(ms, seq, snapshot, bids, asks))
    return found


@st.composite
def damaged(draw: st.DrawFn) -> list[Message]:
    """Messages as above, of which some are missing, come again later, or cross the book."""
    found = draw(messages().filter(lambda given: not all(one.snapshot for one in given)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(1, len(found) - 1))
        what = draw(st.sampled_from(["missing", "again", "crossed"]))
        if what == "missing" and sum(not one.snapshot for one in found) > 1:
            del found[at]
        elif what == "again":
            again = found[draw(st.integers(0, at - 1))]
            if not again.snapshot:
                found.insert(at + 1, again._replace(ms=found[at].ms))
        else:
            found[at] = found[at]._replace(bids={**found[at].bids, 1020: 7}, asks={**found[at].asks, 1010: 3})
    return found


def price(steps: int) -> str:
    return f"{steps / 4:.2f}"


def size(steps: int) -> str:
    return f"{steps / 8:.3f}"


def rows(given: Sequence[Message]) -> str:
    """A level in each row, found by the names of the columns."""
    text = "timestamp,is_snapshot,side,price,size,seq\n"
    for one in given:
        levels = [("bid", *level) for level in one.bids.items()]
        levels += [("ask", *level) for level in one.asks.items()]
        # A message without levels has no row; one that changes nothing has its number.
        for side, at, count in levels or [("bid", 1, 0)]:
            text += f"{one.ms},{str(one.snapshot).lower()},{side},{price(at)},{size(count)},{one.seq}\n"
    return text


def tardis(given: Sequence[Message]) -> str:
    """Tardis' incremental books; without numbers."""
    text = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
    for one in given:
        levels = [("bid", *level) for level in one.bids.items()]
        levels += [("ask", *level) for level in one.asks.items()]
        for side, at, count in levels or [("bid", 1, 0)]:
            us = one.ms * 1000
            text += f"x,COIN,{us},{us + 7},{str(one.snapshot).lower()},{side},{price(at)},{size(count)}\n"
    return text


def spot(given: Sequence[Message]) -> str:
    """Binance spot messages: U and u."""
    return "".join(_binance(one, {"U": one.seq, "u": one.seq}, "") for one in given)


def futures(given: Sequence[Message]) -> str:
    """Binance USD-M messages: pu is the last change of the message before; numbers leave some out."""
    return "".join(
        _binance(one, {"U": one.seq * 10 - 3, "u": one.seq * 10, "pu": one.seq * 10 - 10, "T": one.ms}, "0")
        for one in given
    )


def _binance(one: Message, numbers: dict[str, int], tail: str) -> str:
    bids = [[price(at) + "000", size(count)] for at, count in one.bids.items()]
    asks = [[price(at) + "000", size(count)] for at, count in one.asks.items()]
    recv_ns = one.ms * 1_000_000
    if one.snapshot:
        message: dict[str, object] = {"lastUpdateId": int(f"{one.seq}{tail}"), "bids": bids, "asks": asks}
        return f"{recv_ns} {json.dumps(message)}\n"
    data = {"e": "depthUpdate", "E": one.ms, "s": "COIN", **numbers, "b": bids, "a": asks}
    return f"{recv_ns} {json.dumps({'stream': 'coin@depth@100ms', 'data': data})}\n"


def hyperliquid(given: Sequence[Message]) -> str:
    """Hyperliquid's messages: a complete book each, here only of books that are known and not crossed."""
    text = ""
    for one, book in zip(given, shown(given), strict=True):
        levels = [[{"px": price(at), "sz": size(count), "n": 3} for at, count in side] for side in book]
        data = {"coin": "COIN", "time": one.ms - 1, "levels": levels}
        text += f"{one.ms * 1_000_000} {json.dumps({'channel': 'l2Book', 'data': data})}\n"
    return text


def wide(given: Sequence[Message]) -> str:
    """A complete book in each row, of 20 levels; also Tardis' snapshots have such names."""
    sides = ("bids", "asks")
    names = [f"{side}[{at}].{what}" for at in range(20) for side in sides for what in ("price", "amount")]
    text = ",".join(("exchange", "symbol", "timestamp", "local_timestamp", *names)) + "\n"
    for one, book in zip(given, shown(given), strict=True):
        cells = [
            cell
            for at in range(20)
            for side in book
            for cell in ((price(side[at][0]), size(side[at][1])) if at < len(side) else ("", ""))
        ]
        text += ",".join(("x", "COIN", str(one.ms * 1000), str(one.ms * 1000), *cells)) + "\n"
    return text


LAYOUTS: dict[str, tuple[str, Callable[[Sequence[Message]], str], bool]] = {
    "columns": ("updates.csv", rows, True),
    "tardis-book-updates": ("updates.csv.gz", tardis, False),
    "binance-messages spot": ("spot", spot, True),
    "binance-messages futures": ("futures.gz", futures, True),
    "hyperliquid-messages": ("messages.jsonl", hyperliquid, True),
    "tardis-books": ("books.csv", wide, True),
}
"""By layout: the name of the file, what writes it, and whether its messages have numbers."""
