"""Rows written to stores, as a ratio to a plain bulk insert of the same rows in the same run.

The plain insert writes rows that are ready, in batches of the same size, by the means of the store: COPY,
Parquet files, pipelined XADD, lines over HTTP. The store makes the rows of records and writes the cursor.
Servers are those of `make test-stores`; one that is not installed is left out. Called by `benchmarks.run`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.tape import START_NS, market
from engine.clock import iso_text
from engine.events import SignalRaised
from engine.events.codec import Record
from engine.stores.rows.builder import RowBuilder
from engine.stores.rows.tables import TABLES
from engine.stores.store import Store
from engine.stores.writer import StoreWriter

__all__ = ["measure_stores", "running"]

TRADES: Final = 100_000
BATCH: Final = 20_000
ROUNDS: Final = 3
GOAL: Final = 0.5

Batch = list[tuple[object, ...]]
Plain = Callable[[Batch], None]


def measure_stores() -> None:
    """Write rows both ways to each store, and print rows a second and the ratio."""
    print(f"\nstores: {TRADES:,} rows in batches of {BATCH:,}, beside a plain bulk insert")
    for name, ways in (
        ("PostgreSQL", _postgres),
        ("Parquet", _parquet),
        ("Redis", _redis),
        ("QuestDB", _questdb),
    ):
        _measure(name, ways)


def _measure(name: str, ways: Callable[[], Any]) -> None:
    from tests.stores.servers.running import Missing

    try:
        with ways() as (table, made):
            found = [_round(table, *made(f"round{number}")) for number in range(ROUNDS)]
    except Missing as missing:
        print(f"  {name:<11} not measured: {missing}")
        return
    plain, ours = (statistics.median(column) for column in zip(*found, strict=True))
    ratio = statistics.median(mine / theirs for theirs, mine in found)
    missed = "" if ratio >= GOAL else " MISSED"
    print(
        f"  {name:<11} plain {plain:>9,.0f} rows/s, store {ours:>9,.0f} rows/s of {table},"
        f" ratio {ratio:.2f}, goal {GOAL}{missed}"
    )


def _round(table: str, store: Store, plain: Plain) -> tuple[float, float]:
    """Return rows a second of a plain insert and of the store. `plain` is called after the store is open."""
    records = _records(table)
    batches = [records[at : at + BATCH] for at in range(0, len(records), BATCH)]
    with StoreWriter(store, bytes(16)) as writer:
        writer.read_cursor()
        ready = list(_ready(table, store, batches))
        began = time.perf_counter()
        for rows in ready:
            plain(rows)
        plain_s = time.perf_counter() - began
        began = time.perf_counter()
        for batch in batches:
            writer.apply(batch, seq=batch[-1][0], digest=bytes(32))
        store_s = time.perf_counter() - began
    return TRADES / plain_s, TRADES / store_s


def _records(table: str) -> list[Record]:
    events = [event for batch in market(TRADES if table == "trades" else 0) for event in batch]
    if table == "signals":
        events += [SignalRaised(START_NS + at, "ema", 1, "fast", at / 8) for at in range(TRADES)]
    return [(seq, 0, event) for seq, event in enumerate(events, 1)]


def _ready(table: str, store: Store, batches: list[list[Record]]) -> Iterator[Batch]:
    builder = RowBuilder({}, store)
    builder.time = iso_text
    for batch in batches:
        for seq, cause, event in batch:
            builder.add(seq, cause, event)
        yield builder.appended[table]
        builder.appended[table] = []


@contextmanager
def _postgres() -> Iterator[tuple[str, Callable[[str], tuple[Store, Plain]]]]:
    from tests.stores.servers.postgres import Postgres

    with running(Postgres()) as server:
        from engine.stores.postgres.connecting import connect
        from engine.stores.postgres.store import PostgresSettings, PostgresStore

        def made(schema: str) -> tuple[Store, Plain]:
            store = PostgresStore(PostgresSettings(server.url(), schema=schema, tables=("trades",)))
            conn: Any = connect(store.address, "plain")

            def plain(rows: Batch) -> None:
                conn.execute(
                    f"create table if not exists {schema}.plain (like {schema}.trades including all)"
                )
                with (
                    conn.transaction(),
                    conn.cursor() as cursor,
                    cursor.copy(f"copy {schema}.plain from stdin") as copy,
                ):
                    for row in rows:
                        copy.write_row(row)

            return store, plain

        yield "trades", made


@contextmanager
def _parquet() -> Iterator[tuple[str, Callable[[str], tuple[Store, Plain]]]]:
    from engine.stores.parquet.columns import arrow_table, schema_of
    from engine.stores.parquet.parts import replace_part
    from engine.stores.parquet.store import ParquetStore

    shape = TABLES["trades"]
    schema = schema_of(shape, 18)
    with tempfile.TemporaryDirectory() as scratch:

        def made(name: str) -> tuple[Store, Plain]:
            folder, numbers = Path(scratch) / f"{name} plain", iter(range(TRADES))

            def plain(rows: Batch) -> None:
                replace_part(folder / f"{next(numbers)}.parquet", arrow_table(shape, schema, rows))

            return ParquetStore(Path(scratch) / name, tables=("trades",)), plain

        yield "trades", made


@contextmanager
def _redis() -> Iterator[tuple[str, Callable[[str], tuple[Store, Plain]]]]:
    from tests.stores.servers.redis import Redis

    with running(Redis()) as server:
        import redis

        from engine.stores.redis.store import RedisStore

        columns = tuple(TABLES["signals"].columns)
        client = redis.Redis.from_url(server.url())

        def made(name: str) -> tuple[Store, Plain]:
            def plain(rows: Batch) -> None:
                pipeline = client.pipeline(transaction=False)
                for row in rows:
                    pairs = zip(columns, row, strict=True)
                    fields: Any = {column: value for column, value in pairs if value is not None}
                    pipeline.xadd(f"{name}-plain", fields, id=f"{row[0]}-0")
                pipeline.execute()

            return RedisStore(server.url(), prefix=name, length=TRADES), plain

        yield "signals", made


@contextmanager
def _questdb() -> Iterator[tuple[str, Callable[[str], tuple[Store, Plain]]]]:
    from tests.stores.servers.questdb import Questdb

    with running(Questdb()) as server:
        import httpx

        from engine.stores.questdb.lines import line
        from engine.stores.questdb.schema import TIME_NS, table
        from engine.stores.questdb.store import QuestdbStore

        shape, at_ns = TABLES["trades"], TIME_NS["trades"]
        client = httpx.Client(base_url=server.url(), timeout=30)

        def made(name: str) -> tuple[Store, Plain]:
            made_plain = table(f"{name}_plain_", "trades", 18, None)
            client.get("/exec", params={"query": made_plain}).raise_for_status()

            def plain(rows: Batch) -> None:
                named = (dict(zip(shape.columns, row, strict=True)) for row in rows)
                lines = [line(f"{name}_plain_trades", shape, row, row[at_ns]) for row in named]
                sent = client.post("/write", params={"precision": "n"}, content="".join(lines).encode())
                sent.raise_for_status()

            store = QuestdbStore(server.url(), prefix=f"{name}_", tables=("trades",), intervals=())
            return store, plain

        yield "trades", made


@contextmanager
def running(server: Any) -> Iterator[Any]:
    """Run a server of the tests."""
    try:
        server.start()
        yield server
    finally:
        server.remove()
