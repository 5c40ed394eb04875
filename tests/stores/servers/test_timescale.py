"""The store in TimescaleDB: the contract, as far as a server with one session can show it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.clock import DAY_NS, SECOND_NS
from engine.events import InstrumentListed, Trade
from engine.events.codec import Record
from engine.records import open_day, records_of
from engine.stores.writer import StoreWriter
from tests.commands.kit import engine
from tests.stores.record_streams import BTC, JOURNAL_ID, T, digest_at
from tests.stores.servers.running import Server
from tests.stores.servers.test_postgres import OnPostgres

pytestmark = pytest.mark.usefixtures("one_at_a_time")


class TestTimescale(OnPostgres):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, timescale: Server) -> None:
        cls.url = timescale.url()

    # Two connections are one session here, so there is no second writer and no reader beside a writer.
    test_a_store_has_one_writer = None
    test_the_witness_is_read_beside_a_writer = None
    # Locks and transactions are those of PostgreSQL, and to create a hundred stores takes minutes here.
    test_killed_at_every_step_each_row_is_there_once = None
    test_live_caught_up_and_rebuilt_rows_are_the_same = None


# Candles.

SAMPLE = Path(__file__).resolve().parents[3] / "journal" / "2024-12-05"
SPANS = {"10s": 10, "1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what a test has opened: the server takes one connection at a time."""
    yield
    for writer in Candles.opened:
        writer.close()
    Candles.opened.clear()


class Candles:
    """A store in a schema of its own, written frame by frame."""

    opened: list[StoreWriter] = []

    def __init__(self, url: str, schema: str, journal_id: bytes, **settings: Any) -> None:
        from engine.stores.postgres.store import PostgresSettings, PostgresStore

        self.store = PostgresStore(PostgresSettings(url, schema=schema, **settings), busy_s=0.5)
        self.schema = schema
        self.writer = StoreWriter(self.store, journal_id)
        self.opened.append(self.writer)
        self.records: list[Record] = []

    def write(self, records: list[Record]) -> None:
        """Write the next records of a journal, one frame."""
        self.records += records
        seq = self.records[-1][0]
        self.writer.apply(records, seq=seq, digest=digest_at(seq))

    def stored(self, name: str) -> dict[tuple[int, int], tuple[Any, ...]]:
        """Return the candles of a view by (instrument, start)."""
        sql = (
            "select instrument_id, (extract(epoch from bucket) * 1000000000)::bigint, open, high, low, close,"
            f" volume, quote_volume, buy_volume, trades::bigint from {self.schema}.ohlcv_{name}"
        )
        return {(row[0], row[1]): tuple(row[2:]) for row in self.asked(sql)}

    def asked(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask on the connection of the writer: the server has one."""
        return self.store._ready().execute(sql).fetchall()


def expected(records: list[Record], seconds: int, from_ns: int = 0) -> dict[tuple[int, int], tuple[Any, ...]]:
    """Make the candles of the trades, in the order of their times, then of their seqs."""

    scales = {one.instrument: one for _, _, one in records if isinstance(one, InstrumentListed)}
    trades = sorted((one.venue_ns, seq, one) for seq, _, one in records if isinstance(one, Trade))
    windows: dict[tuple[int, int], list[Trade]] = {}
    span_ns = seconds * SECOND_NS
    for venue_ns, _, trade in trades:
        if venue_ns >= from_ns:
            windows.setdefault((trade.instrument, venue_ns // span_ns * span_ns), []).append(trade)
    found = {}
    for key, inside in windows.items():
        listed = scales[key[0]]
        prices = [Decimal(one.price).scaleb(-listed.price_scale) for one in inside]
        sizes = [Decimal(one.size).scaleb(-listed.size_scale) for one in inside]
        money = sum(price * size for price, size in zip(prices, sizes, strict=True))
        bought = sum(size for size, one in zip(sizes, inside, strict=True) if one.aggressor > 0)
        ohlc = (prices[0], max(prices), min(prices), prices[-1])
        found[key] = (*ohlc, sum(sizes), money, bought, len(inside))
    return found


def assert_equal(candles: Candles, from_ns: int = 0) -> None:
    for name, seconds in SPANS.items():
        assert candles.stored(name) == expected(candles.records, seconds, from_ns), name


def test_candles_equal_the_bars_of_a_recorded_day_and_of_a_part_of_it(timescale: Server) -> None:
    """Written in two parts: the views are right in the middle of a window, and at the end of the day."""
    day = open_day(SAMPLE)
    frames = list(day)
    candles = Candles(timescale.url(), "recorded", day.journal_id or b"", tables=("trades",))
    records = [record for frame in frames for record in records_of(frame)]
    middle = len(records) // 2
    candles.write(records[:middle])
    assert_equal(candles)
    candles.store.refresh()
    assert_equal(candles)
    candles.write(records[middle:])
    candles.store.refresh()
    assert_equal(candles)
    for name in SPANS:
        done = engine("bars", SAMPLE, "--interval", name, "--json", "--open")
        bars = [json.loads(line) for line in done.out.splitlines()]
        names = ("open", "high", "low", "close", "volume", "quote_volume", "buy_volume")
        own = {
            bar["start_ns"]: (*(Decimal(bar[key]) for key in names), bar["count"])
            for bar in bars
            if bar["count"]
        }
        assert {start: row for (_, start), row in candles.stored(name).items()} == own, name


def trade(seq: int, at_ns: int, price: int, venue_ns: int) -> Record:
    return seq, 0, Trade(at_ns, venue_ns, 1, price, 10 + seq, 1 if seq % 2 else -1, seq)


def test_candles_of_late_trades_and_late_days_are_made_again_and_dropped_trades_keep_theirs(
    timescale: Server,
) -> None:
    candles = Candles(timescale.url(), "late", JOURNAL_ID, tables=("trades",), retention={"trades": "2d"})
    now = T + 5 * DAY_NS
    hour = 3600 * SECOND_NS
    # The first two are of one moment.
    times = {seq: now + max(seq, 3) * hour for seq in range(2, 9)}
    candles.write([(1, 0, BTC), *(trade(seq, times[seq], 100 + seq, times[seq]) for seq in range(2, 8))])
    candles.store.refresh()
    assert_equal(candles)
    # The next of a window that still runs is there at once.
    candles.write([trade(8, times[8], 108, times[8])])
    assert_equal(candles)
    candles.store.refresh()
    assert_equal(candles)
    # A trade of a window that was refreshed, then a day before all others, of which nothing was there.
    candles.write([trade(9, now + 9 * hour, 7, now + 3 * hour + 1)])
    candles.store.refresh()
    assert_equal(candles)
    candles.write([trade(seq, now + 9 * hour, seq, now - DAY_NS + seq * hour) for seq in range(10, 14)])
    candles.store.refresh()
    assert_equal(candles)
    # One that is older than what is kept is left out.
    candles.write([trade(14, now + 10 * hour, 5, now - 3 * DAY_NS)])
    candles.store.refresh()
    assert_equal(candles, now - 2 * DAY_NS)
    before = {name: candles.stored(name) for name in SPANS}
    # Three days later the trades are dropped; their candles stay, whatever is refreshed.
    candles.write([trade(15, now + 4 * DAY_NS, 5, now + 4 * DAY_NS)])
    candles.store.refresh()
    candles.write(
        [trade(16, now + 4 * DAY_NS + 1, 5, now + hour), trade(17, now + 4 * DAY_NS + 2, 6, now + 3 * DAY_NS)]
    )
    candles.store.refresh()
    assert candles.asked("select seq from late.trades order by seq") == [(15,), (17,)]
    for name, seconds in SPANS.items():
        recent = {key: row for key, row in candles.stored(name).items() if key[1] >= now + 2 * DAY_NS}
        assert recent == expected(candles.records, seconds, now + 2 * DAY_NS), name
        assert before[name].items() <= candles.stored(name).items(), name


def test_old_chunks_are_compressed_and_take_late_rows(timescale: Server) -> None:
    candles = Candles(timescale.url(), "packed", JOURNAL_ID, tables=("trades",))
    candles.write([(1, 0, BTC), *(trade(seq, T + seq, 100 + seq, T + seq) for seq in range(2, 200))])
    ((job,),) = candles.asked(
        "select job_id from timescaledb_information.jobs where hypertable_schema = 'packed'"
        " and hypertable_name = 'trades' and proc_name like '%compression%'"
    )
    candles.store._ready().execute(f"call run_job({job})")
    packed = candles.asked(
        "select count(*) from timescaledb_information.chunks"
        " where is_compressed and hypertable_schema = 'packed'"
    )
    assert packed == [(1,)]
    candles.write([trade(200, T + 200, 5, T + 100)])
    candles.store.refresh()
    assert_equal(candles)
