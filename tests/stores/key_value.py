"""A small key-value store in memory: the example of a store without transactions.

`Server` stands for the database, which outlives the engine. A put is atomic and durable; nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from engine.stores.errors import StoreUnavailable
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import as_text
from engine.stores.store import Cursor, Row, Rows, Store


class Killed(BaseException):
    """The process of the engine has ended."""


class Server:
    """The database. It kills the engine before the put number `kill_at`, if that is set."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, object], Row] = {}
        self.cursor: tuple[Cursor, dict[object, Row]] | None = None
        self.writer: object = None
        self.kill_at: int | None = None

    def put(self, table: str, key: object, row: Row) -> None:
        self._step()
        newest = TABLES[table].newest
        before = self.rows.get((table, key))
        if before is None or not newest or row[newest] >= before[newest]:
            self.rows[table, key] = row

    def put_cursor(self, cursor: Cursor, instruments: dict[object, Row]) -> None:
        self._step()
        self.cursor = (cursor, instruments)

    def _step(self) -> None:
        if self.kill_at is not None:
            self.kill_at -= 1
            if self.kill_at < 0:
                raise Killed


class KeyValueStore:
    """All tables but the trades, each row under (table, key); the instruments in the record of the cursor."""

    kind = "key-value"
    place = "memory"
    remedy = "clear it"
    tables = frozenset(TABLES) - {"trades"}
    number = staticmethod(as_text)

    def __init__(self, server: Server) -> None:
        self._server = server

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._server.writer not in (None, self):
            raise StoreUnavailable("memory: the store already has a writer", reason="locked")
        self._server.writer = self
        yield

    def cursor(self) -> Cursor | None:
        return self._server.cursor[0] if self._server.cursor else None

    def instruments(self) -> Iterable[Row]:
        return list(self._server.cursor[1].values()) if self._server.cursor else []

    def row(self, table: str, key: str) -> Row | None:
        found = self._server.rows.get((table, key))
        return None if found is None else dict(found)

    def trade_ids(self, client_order_id: str) -> dict[str, int]:
        fills = [row for (table, _), row in self._server.rows.items() if table == "fills"]
        mine = [row for row in fills if row["client_order_id"] == client_order_id]
        return {row["trade_id"]: row["seq"] for row in sorted(mine, key=lambda row: -row["seq"])}

    def write(self, rows: Rows, cursor: Cursor | None) -> None:
        for table, appended in rows.appended.items():
            shape = TABLES[table]
            for values in appended:
                row: Row = dict(zip(shape.columns, values, strict=True))
                self._server.put(table, tuple(row[column] for column in shape.key), row)
        for table, changed in rows.changed.items():
            for key, row in changed.items():
                self._server.put(table, key, dict(row))
        if cursor is not None:
            instruments = self._server.cursor[1] if self._server.cursor else {}
            self._server.put_cursor(cursor, instruments | rows.changed.get("instruments", {}))

    def witness(self) -> Cursor | None:
        return self.cursor()

    def rebuild(self, fill: Callable[[Store], int]) -> int:
        self._server.cursor = None
        self._server.rows.clear()
        return fill(self)

    def close(self) -> None:
        if self._server.writer is self:
            self._server.writer = None
