"""Rows written to PostgreSQL, as a ratio to a plain bulk insert of the same rows into the same table.

The plain insert copies rows that are ready, in batches of the same size. The store makes them of records and
writes the cursor. Measured where the server of `make test-stores` is installed. Called by `benchmarks.run`.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

from benchmarks.tape import market
from engine.events.codec import Record

__all__ = ["measure_stores"]

TRADES: Final = 100_000
BATCH: Final = 20_000
ROUNDS: Final = 3
GOAL: Final = 0.5


def measure_stores() -> None:
    """Write trades to PostgreSQL both ways, and print rows a second and the ratio."""
    from tests.stores.servers.postgres import Postgres
    from tests.stores.servers.running import Missing

    try:
        server = Postgres()
    except Missing as missing:
        print(f"\nstores: not measured: {missing}")
        return
    try:
        server.start()
        ratios = [_measure(server.url(), f"round{number}") for number in range(ROUNDS)]
    finally:
        server.remove()
    plain, ours = (statistics.median(column) for column in zip(*ratios, strict=True))
    ratio = statistics.median(mine / theirs for theirs, mine in ratios)
    print(f"\nstores: PostgreSQL {server.version}, {TRADES:,} trades in batches of {BATCH:,}")
    print(f"  plain bulk insert  {plain:>10,.0f} rows/s")
    print(f"  store              {ours:>10,.0f} rows/s  ratio {ratio:.2f}, goal {GOAL}{_missed(ratio)}")


def _measure(url: str, schema: str) -> tuple[float, float]:
    """Return rows a second of a plain insert and of the store."""
    from engine.stores.postgres.connecting import connect
    from engine.stores.postgres.store import PostgresSettings, PostgresStore
    from engine.stores.rows.builder import RowBuilder
    from engine.stores.writer import StoreWriter

    events = [event for batch in market(TRADES) for event in batch]
    records: list[Record] = [(seq, 0, event) for seq, event in enumerate(events, 1)]
    batches = [records[at : at + BATCH] for at in range(0, len(records), BATCH)]
    store = PostgresStore(PostgresSettings(url, schema=schema, tables=("trades",)))
    with StoreWriter(store, bytes(16)) as writer:
        builder = RowBuilder({}, store)
        ready: list[list[tuple[object, ...]]] = []
        for batch in batches:
            for seq, cause, event in batch:
                builder.add(seq, cause, event)
            ready.append(builder.appended["trades"])
            builder.appended["trades"] = []
        conn: Any = connect(store.address, "plain")
        conn.execute(f"create table {schema}.plain (like {schema}.trades including all)")
        began = time.perf_counter()
        for rows in ready:
            with (
                conn.transaction(),
                conn.cursor() as cursor,
                cursor.copy(f"copy {schema}.plain from stdin") as copy,
            ):
                for row in rows:
                    copy.write_row(row)
        plain_s = time.perf_counter() - began
        conn.close()
        began = time.perf_counter()
        for batch in batches:
            writer.apply(batch, seq=batch[-1][0], digest=bytes(32))
        store_s = time.perf_counter() - began
    return TRADES / plain_s, TRADES / store_s


def _missed(ratio: float) -> str:
    return "" if ratio >= GOAL else " MISSED"
