"""Candles of TimescaleDB and QuestDB beside the engine's own bars, as a recorded day grows in every way.

Cut in the middle of a window, with late rows, and with a day of which nothing was there before.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine.clock import DAY_NS
from engine.events import InstrumentListed, Trade
from engine.events.codec import encode_derived, encode_inputs
from engine.journal import Draft, JournalWriter, Tail, ensure_identity
from engine.records import open_day, read_records
from engine.stores.catchup import catch_up
from engine.stores.questdb.schema import INTERVALS
from engine.stores.writer import StoreWriter
from tests.commands.kit import SAMPLE, days, engine
from tests.stores.record_streams import JOURNAL_ID
from tests.stores.servers.running import Server
from tests.stores.servers.test_questdb import ask, settled

TRADES = 6_000
PRICES = ("open", "high", "low", "close", "volume")

Candles = dict[tuple[str, int], tuple[Any, ...]]
"""open, high, low, close, volume and count by instrument and start of the window."""


def parts(chance: random.Random) -> Iterator[list[InstrumentListed | Trade]]:
    """Yield what is recorded, in four parts.

    The first ends in the middle of windows of every length. In the second every tenth trade has the
    time of an earlier one of its instrument. The third is a day before the recorded one; the last goes on.
    """
    events = [event for _, _, event in read_records(SAMPLE)]
    listed = [event for event in events if isinstance(event, InstrumentListed)]
    recorded = [event for event in events if isinstance(event, Trade)][:TRADES]
    third = TRADES // 3
    yield [*listed, *recorded[:third]]
    late = recorded[third : 2 * third]
    times = {one.instrument: [] for one in recorded}
    for one in recorded[:third]:
        times[one.instrument].append(one.venue_ns)
    for at, one in enumerate(late):
        if chance.random() < 0.1 and times[one.instrument]:
            late[at] = replace(one, venue_ns=chance.choice(times[one.instrument]))
    yield late
    now = late[-1].recv_ns
    yield [replace(one, venue_ns=one.venue_ns - DAY_NS, recv_ns=now) for one in recorded[: third // 2]]
    yield recorded[2 * third :]


def bars_of_the_engine(root: Path, interval: str) -> Candles:
    done = engine("bars", *days(root), "--interval", interval, "--json", "--open")
    found = [json.loads(line) for line in done.out.splitlines()]
    return {
        (bar["instrument"], bar["start_ns"]): (*(Decimal(bar[name]) for name in PRICES), bar["count"])
        for bar in found
        if bar["count"]
    }


@contextmanager
def opened(root: Path) -> Iterator[JournalWriter]:
    """Yield the writer of a new journal."""
    root.mkdir()
    tail = Tail(journal_id=ensure_identity(root, JOURNAL_ID))
    with JournalWriter(root, tail, salts=lambda: bytes(16), sync=False) as journal:
        yield journal


def append(journal: JournalWriter, seq: int, events: list[Any]) -> int:
    """Write inputs as one frame, and return the seq reached."""
    journal.append(Draft(seq + 1, len(events), encode_inputs(events), encode_derived([])), events[-1].recv_ns)
    return seq + len(events)


@contextmanager
def in_timescale(server: Server) -> Iterator[tuple[Any, Any]]:
    """Yield a writer, and what reads the candles of an interval."""
    from engine.stores.postgres.store import PostgresSettings, PostgresStore

    store = PostgresStore(PostgresSettings(server.url(), schema="growing", tables=("trades",)))

    def read(interval: str) -> Candles:
        sql = (
            "select symbol, (extract(epoch from bucket) * 1000000000)::bigint, open, high, low, close,"
            f" volume, trades::bigint from growing.ohlcv_{interval}"
        )
        store.refresh()
        return {(row[0], row[1]): tuple(row[2:]) for row in store._ready().execute(sql).fetchall()}

    with StoreWriter(store, JOURNAL_ID) as writer:
        yield writer, read


@contextmanager
def in_questdb(server: Server) -> Iterator[tuple[Any, Any]]:
    """Yield a writer, and what reads the candles of an interval."""
    from engine.stores.questdb.store import QuestdbStore

    def read(interval: str) -> Candles:
        settled(server, "growing_")
        sql = (
            "select instrument, cast(venue_time as long), open, high, low, close, volume, trades"
            f" from growing_ohlcv_{interval}"
        )
        rows = ask(server, sql)
        return {(name, at): (*map(Decimal, prices), count) for name, at, *prices, count in rows}

    store = QuestdbStore(server.url(), prefix="growing_", tables=["trades"])
    with StoreWriter(store, JOURNAL_ID) as writer:
        yield writer, read


@pytest.mark.usefixtures("one_at_a_time")
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.server(kind)) for kind in ("timescale", "questdb")]
)
def test_candles_equal_the_bars_of_the_engine_in_the_middle_of_a_window_and_after_late_rows_and_days(
    request: pytest.FixtureRequest, chance: random.Random, tmp_path: Path, kind: str
) -> None:
    """The bars of the day before are those of a journal of its own: the engine makes none so late."""
    server, grown = request.getfixturevalue(kind), list(parts(chance))
    listed = [event for event in grown[0] if isinstance(event, InstrumentListed)]
    received = [event.recv_ns - DAY_NS for event in grown[0]]
    with opened(tmp_path / "before") as journal:
        events = [replace(one, recv_ns=at) for one, at in zip([*listed, *grown[2]], received, strict=False)]
        append(journal, 0, events)
    root, seq = tmp_path / "journal", 0
    with (
        (in_timescale if kind == "timescale" else in_questdb)(server) as (writer, read),
        opened(root) as journal,
    ):
        for number, events in enumerate(grown):
            seq = append(journal, seq, events)
            assert catch_up(writer, (frame for day in days(root) for frame in open_day(day))) == seq
            for interval in INTERVALS:
                expected = bars_of_the_engine(root, interval)
                if number >= 2:
                    expected |= bars_of_the_engine(tmp_path / "before", interval)
                assert read(interval) == expected, (number, interval)
