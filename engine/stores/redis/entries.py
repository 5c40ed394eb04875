"""What rows become in Redis: the newest of each key as a hash, and streams of those that others wait for.

    retape:price:hyperliquid:BTC              newest trade
    retape:quote:hyperliquid:BTC              newest best bid and ask
    retape:bar:hyperliquid:BTC:1m             newest closed bar
    retape:context:hyperliquid:BTC            newest open interest, running funding, mark
    retape:signal:ema:hyperliquid:BTC:fast    newest value of an indicator or signal of a strategy
    retape:position:ema:hyperliquid:BTC       position of a strategy
    retape:equity                             newest value of the account
    retape:bars:hyperliquid:BTC:1m            stream of closed and corrected bars
    retape:signals                            stream of signals

A hash has a `rank`, by which the newest is known: a row of lower rank never replaces it. An entry of a stream
has the id `SEQ-0`, which Redis accepts once. Called by `store.py`. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from engine.stores.rows.tables import TABLES
from engine.stores.store import Row, Rows

__all__ = ["HASHES", "STREAMS", "TABLES_HELD", "Entries", "entries_of"]


class _Hash(msgspec.Struct, frozen=True):
    """How rows of a table become hashes. `rank`: the columns that decide which row is newer."""

    name: str
    key: tuple[str, ...]
    rank: tuple[str, ...] = ("seq",)

    def key_of(self, row: Row) -> str:
        """Return the key of a row, without the prefix."""
        return _key(self.name, self.key, row)

    def rank_of(self, row: Row) -> str:
        """Return the rank of a row."""
        return "".join(f"{row[column]:0{_DIGITS}}" for column in self.rank)


class _Stream(msgspec.Struct, frozen=True):
    """How rows of a table become entries of streams."""

    name: str
    key: tuple[str, ...] = ()

    def key_of(self, row: Row) -> str:
        """Return the key of a row's stream, without the prefix."""
        return _key(self.name, self.key, row)


_MARKET: Final = ("venue", "instrument")
HASHES: Final = {
    "trades": _Hash("price", _MARKET),
    "quotes": _Hash("quote", _MARKET),
    "bars": _Hash("bar", (*_MARKET, "interval"), ("start_ns", "revision", "seq")),
    "open_interest": _Hash("context", _MARKET, ("time_ns", "seq")),
    "signals": _Hash("signal", ("strategy", *_MARKET, "name")),
    "positions": _Hash("position", ("strategy", *_MARKET)),
    "equity": _Hash("equity", ()),
}
STREAMS: Final = {"bars": _Stream("bars", (*_MARKET, "interval")), "signals": _Stream("signals")}

TABLES_HELD: Final = frozenset({"instruments", *HASHES})
"""The tables whose rows are used."""

_DIGITS: Final = 20
"""Digits of each part of a rank, so that texts compare as numbers do."""


class Entries(msgspec.Struct):
    """The newest row of each hash, and the entries of each stream by rising seq; keys without the prefix."""

    hashes: dict[str, tuple[str, list[str]]] = msgspec.field(default_factory=dict)
    streams: dict[str, list[tuple[int, list[str]]]] = msgspec.field(default_factory=dict)


def entries_of(rows: Rows, length: int) -> Entries:
    """Return what the rows of a batch become. Of a stream only the last `length` entries are kept."""
    entries = Entries()
    for table, row in _all_rows(rows):
        shape = HASHES[table]
        rank, key = shape.rank_of(row), shape.key_of(row)
        before = entries.hashes.get(key)
        fields = [text for name, value in row.items() if value is not None for text in (name, _text(value))]
        if before is None or before[0] <= rank:
            entries.hashes[key] = (rank, fields)
        stream = STREAMS.get(table)
        if stream is not None:
            entries.streams.setdefault(stream.key_of(row), []).append((row["seq"], fields))
    for key, added in entries.streams.items():
        entries.streams[key] = added[-length:]
    return entries


def _all_rows(rows: Rows) -> Iterable[tuple[str, Row]]:
    for table in HASHES:
        columns = tuple(TABLES[table].columns)
        appended: Sequence[tuple[object, ...]] = rows.appended.get(table, ())
        if table == "trades":  # only the newest of each instrument counts
            at = columns.index("instrument_id")
            appended = list({values[at]: values for values in appended}.values())
        for values in appended:
            yield table, dict(zip(columns, values, strict=True))
        changed: Mapping[object, Row] = rows.changed.get(table, {})
        for row in changed.values():
            yield table, row


def _key(name: str, columns: tuple[str, ...], row: Row) -> str:
    return ":".join([name, *(str(row[column]) for column in columns)])


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
