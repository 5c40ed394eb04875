"""Reads the tables of a QuestDB store in the order of their keys, beside a writer.

The server has no state of several tables at one moment. So the cursor is read first, and rows that are newer
are known by their seq. Called by `store.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from engine.clock import DAY_NS, iso_text
from engine.stores.questdb.lines import HELD_SYMBOL, HELD_TEXT
from engine.stores.questdb.schema import SYMBOLS, TIME_NS
from engine.stores.rows.tables import TABLES
from engine.stores.selecting import EVERYTHING, Selection
from engine.stores.store import Cursor, Row

__all__ = ["QuestdbSnapshot"]

PAGE: Final = 20_000
"""Rows of one answer. More rows of one seq than this are not expected."""


class QuestdbSnapshot:
    """The rows at the cursor, and those ahead of it (`engine.stores.checking.Snapshot`).

    `ask` returns the rows of a query. `kept_ns`: how long rows are kept, by table.
    """

    ahead = True

    def __init__(
        self,
        ask: Callable[[str], list[Row]],
        cursor: Cursor | None,
        instruments: list[Row],
        present: Mapping[str, str],
        kept_ns: Mapping[str, int],
    ) -> None:
        self.cursor = cursor
        self.tables = frozenset((*present, "instruments"))
        self._ask = ask
        self._names = present
        self._instruments = sorted(instruments, key=lambda row: int(row["instrument_id"]))
        self._kept_ns = kept_ns

    def rows(self, table: str, only: Selection = EVERYTHING) -> Iterator[Row]:
        """See `Snapshot`."""
        if table == "instruments":
            yield from self._instruments
            return
        shape = TABLES[table]
        columns = ", ".join(f'"{column}"' for column in shape.columns)
        where = only.where(lambda *term: _condition(table, *term))
        sql = f'select {columns} from "{self._names[table]}"{where}'
        if shape.key[0] != "seq":
            yield from sorted(self._ask(sql), key=lambda row: [row[column] for column in shape.key])
            return
        order, after = ", ".join(shape.key), 0
        while True:
            page = self._ask(
                f"{sql} {'and' if where else 'where'} seq > {after} order by {order} limit {PAGE}"
            )
            last = page[-1]["seq"] if len(page) == PAGE else None  # of the last seq rows may be left
            for row in page:
                if row["seq"] != last:
                    yield row
                    after = row["seq"]
            if last is None:
                return

    def held(self, table: str, rows: Iterator[Row]) -> Iterator[Row]:
        """See `Snapshot`. An empty symbol and a boolean without a value are those that the server knows, and
        characters that it cannot hold are replaced.
        """
        shape = TABLES[table]
        from_ns = self._kept_from(table)
        flags = [name for name, kind in shape.columns.items() if kind is bool]
        texts = [name for name, kind in shape.columns.items() if kind is str and name not in shape.times]
        for row in rows:
            if from_ns and row[TIME_NS[table]] < from_ns:
                continue
            for name in flags:
                row[name] = bool(row[name])
            for name in texts:
                if name in SYMBOLS:
                    row[name] = row[name].translate(HELD_SYMBOL) if row[name] else None
                elif row[name]:
                    row[name] = row[name].translate(HELD_TEXT)
            yield row

    def _kept_from(self, table: str) -> int:
        """Return the time from which rows must be there: older ones may have expired, in whole days."""
        if table not in self._kept_ns:
            return 0
        column = TIME_NS[table]
        [found] = self._ask(f'select min({column}) oldest, max({column}) newest from "{self._names[table]}"')
        if found["newest"] is None:
            return 0
        due_ns = found["newest"] - self._kept_ns[table]
        return int(min(found["oldest"] // DAY_NS * DAY_NS, due_ns))


def _condition(table: str, column: str, operator: str, value: str | int) -> str:
    """Return a condition of a query. For the time that orders a table it is one that finds partitions."""
    if isinstance(value, str):
        text = value.replace("'", "''")
        return f"\"{column}\" {operator} '{text}'"
    if column == TIME_NS[table]:
        return f"\"{TABLES[table].time}\" {operator} '{iso_text(value)}'"
    return f'"{column}" {operator} {value}'
