"""The store in QuestDB: tables by day, candles as materialized views, over HTTP.

Owns the tables under its prefix. Promises, in addition to those of every store:

- A row stands under its deduplication keys, so that one that is sent again replaces itself. Rows are sent by
  rising seq: the server keeps rows of equal time in the order in which they came, and so the first and last
  price of a view are those of the engine's bars.
- The cursor is written after the server has applied the rows (`wal_tables()`): a reader who sees a cursor
  sees the rows up to it.
- A line that the server refuses is an error that names the record; nothing is left out silently.
- One writer on this machine, by a lock in the folder for temporary files. QuestDB has no locks: writers on
  two machines would send the same rows to the same keys.
- No wait is longer than WAIT_S.

Registered as "questdb". httpx is the client; the server's own weighs 150 MB.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from engine.errors import ConfigError, NumberError, UsageError
from engine.stores.errors import StoreForeign, StoreOutdated, StoreOutOfStep, StoreUnavailable, first_line
from engine.stores.kinds import StoreKind
from engine.stores.lock import WriterLock
from engine.stores.questdb.lines import decimal_text, line
from engine.stores.questdb.reading import QuestdbSnapshot
from engine.stores.questdb.schema import (
    INTERVALS,
    SHOWN,
    TIME_NS,
    cursor_table,
    instruments_table,
    table,
    view,
)
from engine.stores.rows.tables import SCHEMA_VERSION, TABLES
from engine.stores.settings import Address, chosen_tables, retention_ns
from engine.stores.store import Cursor, Row, Rows, Store
from engine.values import parse_span

__all__ = ["QUESTDB", "QuestdbSettings", "QuestdbStore"]

WAIT_S: Final = 10.0
LINES_MAX: Final = 20_000
"""Lines of one request."""
_PAGE: Final = 20_000


class QuestdbStore:
    """The tables of one journal in one server. `kept_ns`, `views_kept_ns`: nanoseconds until rows expire."""

    kind = "questdb"
    remedy = "give another prefix, or rebuild it with `engine project`"

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "",
        tables: Iterable[str] = (),
        decimals: int = 18,
        kept_ns: Mapping[str, int] | None = None,
        intervals: Iterable[str] = INTERVALS,
        views_kept_ns: Mapping[str, int] | None = None,
    ) -> None:
        self._address = Address(url, "http", "https")
        self.place = f"{self._address.shown} {prefix}".strip()
        self._shown = (chosen_tables(tables) & SHOWN) if tables else SHOWN
        self.tables = chosen_tables(self._shown) if self._shown else frozenset({"instruments"})
        self.number = decimal_text(decimals)
        self._prefix = prefix
        self._decimals = decimals
        self._kept_ns = dict(kept_ns or {})
        self._intervals = tuple(intervals) if "trades" in self._shown else ()
        self._views_kept_ns = dict(views_kept_ns or {})
        self._client: httpx.Client | None = None
        self._lock: WriterLock | None = None
        self._had_rows = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Store`. Nothing is undone."""
        with self._errors():
            if self._client is None:
                self._open()
            yield

    def cursor(self) -> Cursor | None:
        """See `Store`."""
        cursor = self._read_cursor(self._opened())
        if cursor is None and self._had_rows:
            raise StoreUnavailable(f"{self.place}: the tables are gone; {self.remedy}", reason="deleted")
        self._had_rows |= cursor is not None
        return cursor

    def instruments(self) -> Iterable[Row]:
        """See `Store`."""
        client = self._opened()
        return self._listed(client, self._read_cursor(client))

    def time(self, ns: int) -> int:
        """Return a time as a row has it: lines hold it as a number, made of the one beside it."""
        return ns

    def row(self, table: str, key: str) -> Row | None:
        """See `RowSource`. Always None: no row here depends on an earlier one."""
        return None

    def trade_ids(self, client_order_id: str) -> dict[str, int]:
        """See `RowSource`. Always empty: there are no fills."""
        return {}

    def write(self, rows: Rows, cursor: Cursor | None) -> None:
        """See `Store`. A line that the server refuses raises ValueError."""
        client = self._opened()
        written = set()
        for name in sorted(self._shown):
            shape, at_ns = TABLES[name], TIME_NS[name]
            new = [dict(zip(shape.columns, one, strict=True)) for one in rows.appended.get(name, ())]
            new += rows.changed.get(name, {}).values()
            if shape.newest:
                new = self._newest(client, name, new)
            if new:
                full = f"{self._prefix}{name}"
                self._send(client, [line(full, shape, row, row[at_ns]) for row in new])
                written.add(full)
        if cursor is None:
            return
        if listed := rows.changed.get("instruments"):
            full, shape = f"{self._prefix}instruments", TABLES["instruments"]
            since = f"since={cursor.seq}i"
            self._send(client, [line(full, shape, row, 0, since) for row in listed.values()])
            written.add(full)
        self._wait(client, written)
        self._write_cursor(client, cursor)
        self._had_rows = True

    def witness(self) -> Cursor | None:
        """See `Store`. What a writer has sent before it was killed may be written, but not applied yet."""
        with self._errors(), self._connect() as client:
            self._wait(client, {f"{self._prefix}retape_cursor"})
            return self._read_cursor(client)

    def rebuild(self, fill: Callable[[Store], int]) -> int:
        """See `Store`. Drops the tables first."""
        self.close()
        with self._errors(), self._locked(), self._connect() as client:
            self._refuse_other_data(client)
            for interval in INTERVALS:
                self._exec(client, f'drop materialized view if exists "{self._prefix}ohlcv_{interval}"')
            for name in ("retape_cursor", "instruments", *sorted(SHOWN)):
                self._exec(client, f'drop table if exists "{self._prefix}{name}"')
            self._had_rows = False
        try:
            return fill(self)
        finally:
            self.close()

    def close(self) -> None:
        """See `Store`."""
        client, lock, self._client, self._lock = self._client, self._lock, None, None
        if client is not None:
            client.close()
        if lock is not None:
            lock.release()

    @contextmanager
    def snapshot(self) -> Iterator[QuestdbSnapshot]:
        """See `engine.stores.checking.Checkable`."""
        with self._errors(), self._connect() as client:
            cursor = self._read_cursor(client)
            there = self._present(client)
            names = {name: f"{self._prefix}{name}" for name in self._shown}
            yield QuestdbSnapshot(
                lambda sql: self._exec(client, sql),
                cursor,
                self._listed(client, cursor),
                {name: full for name, full in names.items() if full in there},
                self._kept_ns,
            )

    def query(self, sql: str) -> tuple[list[str], Iterator[tuple[object, ...]]]:
        """Return the columns and the rows of a query; it cannot change anything. Raises UsageError."""
        sql = sql.strip().rstrip(";")
        with self._errors(), self._connect() as client:
            self._ask(client, f"select * from (\n{sql}\n) limit 0")  # only a query can stand in brackets
            found = self._ask(client, sql)
        return [column["name"] for column in found["columns"]], map(tuple, found["dataset"])

    # The server.

    def _listed(self, client: httpx.Client, cursor: Cursor | None) -> list[Row]:
        """Return the instruments as they were at a cursor."""
        if cursor is None:
            return []
        where = f"where since <= {cursor.seq} order by instrument_id, since"
        found = self._rows(client, "instruments", TABLES["instruments"].columns, where)
        return list({row["instrument_id"]: row for row in found}.values())

    def _newest(self, client: httpx.Client, name: str, new: list[Row]) -> list[Row]:
        """Return the rows that are not older than the one of their key, in this batch or stored."""
        shape, at_ns = TABLES[name], TIME_NS[name]
        if not new:
            return new
        times = [row[at_ns] for row in new]
        where = f"where {at_ns} >= {min(times)} and {at_ns} <= {max(times)} and {shape.newest} > 0"
        held = {
            tuple(row[one] for one in shape.key): row[shape.newest]
            for row in self._rows(client, name, (*shape.key, shape.newest), where)
        }
        latest: dict[tuple[object, ...], Row] = {}
        for row in new:
            key = tuple(row[one] for one in shape.key)
            if row[shape.newest] >= held.get(key, 0):
                held[key] = row[shape.newest]
                latest[key] = row
        return list(latest.values())

    def _send(self, client: httpx.Client, lines: list[str]) -> None:
        for begin in range(0, len(lines), LINES_MAX):
            data = "".join(lines[begin : begin + LINES_MAX]).encode()
            answer = client.post("/write", params={"precision": "n"}, content=data)
            if answer.status_code == 400:
                raise ValueError(f"the server refused a line: {_message(answer)}")
            self._check(answer)

    def _wait(self, client: httpx.Client, tables: set[str]) -> None:
        """Wait until the server has applied what was written to tables."""
        until = time.monotonic() + WAIT_S
        while True:
            behind = []
            for row in self._exec(client, "wal_tables()"):
                name, suspended, applied, written, why = (
                    row[key] for key in ("name", "suspended", "writerTxn", "sequencerTxn", "errorMessage")
                )
                if name in tables and suspended:
                    raise StoreUnavailable(
                        f"{self.place}: the server has suspended the table {name} ({why}); when that is "
                        f'mended, run: alter table "{name}" resume wal',
                        reason="unreachable",
                    )
                if name in tables and applied < written:
                    behind.append(name)
            if not behind:
                return
            if time.monotonic() > until:
                raise StoreUnavailable(
                    f"{self.place}: the server has not applied the rows of {behind[0]} in {WAIT_S:g} s; "
                    "the next attempt follows",
                    reason="unreachable",
                )
            time.sleep(0.01)

    def _write_cursor(self, client: httpx.Client, cursor: Cursor) -> None:
        name = f"{self._prefix}retape_cursor"
        made_with = json.dumps(self._made_with()).replace('"', '\\"')
        text = (
            f'{name} made_with="{made_with}",journal_id="{cursor.journal_id.hex()}",seq={cursor.seq}i,'
            f'digest="{cursor.digest.hex()}",epoch={cursor.epoch}i 0\n'
        )
        self._send(client, [text])
        self._wait(client, {name})

    def _read_cursor(self, client: httpx.Client) -> Cursor | None:
        if f"{self._prefix}retape_cursor" not in self._present(client):
            return None
        found = self._exec(client, f'select * from "{self._prefix}retape_cursor"')
        if not found:
            return None
        [row] = found
        made_with = json.loads(row["made_with"])
        if made_with != self._made_with():
            kind = StoreOutdated if made_with[0] < SCHEMA_VERSION else StoreOutOfStep
            raise kind(f"{self.place}: has other tables or columns; {self.remedy}")
        return Cursor(
            bytes.fromhex(row["journal_id"]), row["seq"], bytes.fromhex(row["digest"]), row["epoch"]
        )

    def _rows(self, client: httpx.Client, name: str, columns: Iterable[str], rest: str) -> Iterator[Row]:
        names = ", ".join(f'"{column}"' for column in columns)
        sql = f'select {names} from "{self._prefix}{name}" {rest}'
        begin = 0
        while page := self._exec(client, sql, f"{begin},{begin + _PAGE}"):
            yield from page
            begin += len(page)
            if len(page) < _PAGE:
                return

    def _present(self, client: httpx.Client) -> set[str]:
        return {row["table_name"] for row in self._exec(client, "select table_name from tables()")}

    def _exec(self, client: httpx.Client, sql: str, limit: str = "") -> list[Row]:
        answer = client.get("/exec", params={"query": sql} | ({"limit": limit} if limit else {}))
        if answer.status_code == 400:
            raise StoreUnavailable(
                f"{self.place}: the server refused a statement ({_message(answer)}); {self.remedy}",
                reason="corrupt",
            )
        self._check(answer)
        found = msgspec.json.decode(answer.content)
        names = [column["name"] for column in found.get("columns", ())]
        return [dict(zip(names, row, strict=True)) for row in found.get("dataset", ())]

    def _ask(self, client: httpx.Client, sql: str) -> dict[str, Any]:
        """Return the answer to what a user asks."""
        answer = client.get("/exec", params={"query": sql})
        if answer.status_code == 400:
            raise UsageError(f"{self.place}: {_message(answer)}")
        self._check(answer)
        return msgspec.json.decode(answer.content, type=dict[str, Any])

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code >= 300:
            what = "refused the login" if answer.status_code in (401, 403) else "is not well"
            raise StoreUnavailable(
                f"{self.place}: the server {what} (status {answer.status_code}: {_message(answer)}); "
                "the next attempt follows",
                reason="unreachable",
            )

    def _opened(self) -> httpx.Client:
        assert self._client is not None, "called in a transaction"
        return self._client

    def _connect(self) -> httpx.Client:
        return httpx.Client(base_url=self._address.url, timeout=WAIT_S, trust_env=False)

    @contextmanager
    def _locked(self) -> Iterator[WriterLock]:
        lock = self._take_lock()
        try:
            yield lock
        finally:
            lock.release()

    def _take_lock(self) -> WriterLock:
        name = hashlib.sha256(f"{self._address.shown} {self._prefix}".encode()).hexdigest()[:16]
        try:
            return WriterLock(Path(tempfile.gettempdir()) / f"retape-questdb-{name}")
        except StoreUnavailable as error:
            what = "the store already has a writer; stop that one first"
            raise StoreUnavailable(f"{self.place}: {what}", reason=error.reason) from error

    def _open(self) -> None:
        lock, client = self._take_lock(), self._connect()
        try:
            self._refuse_other_data(client)
            self._read_cursor(client)
            # The cursor's table is the first: with it all others are this store's.
            self._exec(client, cursor_table(self._prefix))
            self._exec(client, instruments_table(self._prefix, self._decimals))
            for name in sorted(self._shown):
                self._exec(client, table(self._prefix, name, self._decimals, self._kept_ns.get(name)))
            for interval in self._intervals:
                self._exec(client, view(self._prefix, interval, self._views_kept_ns.get(interval)))
            self._wait(client, {f"{self._prefix}{name}" for name in ("retape_cursor", "instruments")})
        except BaseException:
            client.close()
            lock.release()
            raise
        self._client, self._lock = client, lock

    def _refuse_other_data(self, client: httpx.Client) -> None:
        present = self._present(client)
        if f"{self._prefix}retape_cursor" in present:
            return
        for name in sorted(SHOWN | {"instruments"}):
            if f"{self._prefix}{name}" in present:
                raise StoreForeign(
                    f"{self.place}: the table {self._prefix}{name} is not of this store; give another prefix"
                )

    def _made_with(self) -> list[object]:
        return [SCHEMA_VERSION, self._decimals, sorted(self._shown)]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            why = self._address.hide(first_line(error))
            raise StoreUnavailable(
                f"{self.place}: the server is unreachable ({why}); the next attempt follows",
                reason="unreachable",
            ) from error


def _message(answer: httpx.Response) -> str:
    try:
        found: Any = msgspec.json.decode(answer.content)
        text = str(found.get("message") or found.get("error"))
    except (msgspec.DecodeError, AttributeError):
        text = answer.text
    return " ".join(text.split())[:200]


class QuestdbSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a QuestDB store. `url` is the address of its HTTP server, `prefix` begins all names.

    `retention`: how long rows are kept, by table. `intervals`: those of the views `ohlcv_1m` and so on,
    `view_retention` how long their rows are kept, by interval. `decimals`: those of every exact number.
    """

    url: str
    prefix: str = ""
    tables: tuple[str, ...] = ()
    decimals: int = 18
    retention: dict[str, str] = {}
    intervals: tuple[str, ...] = INTERVALS
    view_retention: dict[str, str] = {}


def _from_settings(settings: QuestdbSettings, root: Path) -> QuestdbStore:
    if settings.prefix and not (settings.prefix.isascii() and settings.prefix.isidentifier()):
        raise ConfigError("prefix: must be letters, digits and underscores")
    if not 0 <= settings.decimals <= 37:
        raise ConfigError("decimals: must be 0 to 37")
    for name in settings.tables:
        if not (chosen_tables([name]) - {"instruments"}) & SHOWN:
            raise ConfigError(f"tables: {name} is not held by this kind of store; leave it out")
    for name in (*settings.intervals, *settings.view_retention):
        if name not in INTERVALS:
            raise ConfigError(f"intervals: there is no view of {name!r}; there are {', '.join(INTERVALS)}")
    try:
        views = {name: parse_span(text) for name, text in settings.view_retention.items()}
    except NumberError as error:
        raise ConfigError(f"view_retention: {error}") from None
    held = (chosen_tables(settings.tables) & SHOWN) if settings.tables else SHOWN
    return QuestdbStore(
        settings.url,
        prefix=settings.prefix,
        tables=settings.tables,
        decimals=settings.decimals,
        kept_ns=retention_ns(settings.retention, held),
        intervals=settings.intervals,
        views_kept_ns=views,
    )


QUESTDB: Final = StoreKind(QuestdbSettings, _from_settings)
