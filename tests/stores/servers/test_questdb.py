"""The store in QuestDB on a real server: the promises of every store, exact values, candles, faults."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.clock import DAY_NS
from engine.config import AccountConfig, BarsConfig, Config, StrategyConfig
from engine.errors import ConfigError
from engine.events import LiquidationRead, PositionChanged, PriceMarked, SignalRaised, Trade
from engine.events.codec import Record
from engine.journal import JournalWriter, Tail, ensure_identity, list_days, read_identity
from engine.loading.strategies import make_builder
from engine.records import open_day
from engine.stores.catchup import catch_up, rebuild
from engine.stores.errors import RowFailed, StoreForeign, StoreOutOfStep, StoreUnavailable
from engine.stores.kinds import make_store
from engine.stores.questdb.schema import INTERVALS, SHOWN
from engine.stores.questdb.store import QuestdbStore
from engine.stores.rows.tables import SCHEMA_VERSION
from engine.stores.store import Store
from engine.stores.writer import StoreWriter
from engine.values import BUY, SELL, parse_span
from replay.backtesting import JournalSink, run_backtest
from tests.commands.kit import until
from tests.profiles import pick
from tests.stores.record_streams import (
    BTC,
    JOURNAL_ID,
    T,
    digest_at,
    filled_before_and_after,
    frames_of,
    reader_of,
)
from tests.stores.servers.cutting import relay_to
from tests.stores.servers.questdb import Questdb
from tests.stores.servers.running import ROOT
from tests.stores.store_contract import Content, StoreContract, a_day, bar, content_of, killed_process

SAMPLE = ROOT / "journal" / "2024-12-05"
MODULES = ("engine.stores.questdb.store",)
DECIMALS = 12  # the drawn amounts need more digits before the point than markets do


def odd_texts() -> list[Record]:
    texts = ("", " ", "a b,c=d", 'say "x"', "back\\slash", "line\nbreak", "zero\0byte", "ünï", "x'; --")
    made: list[Record] = [(1, 0, BTC)]
    for seq, text in enumerate(texts, 2):
        made.append((seq, 1, SignalRaised(T + seq, text, 1, text, -1.5e-300)))
    for seq, number in enumerate((0, -1, 10**20, -(10**20)), len(made) + 1):
        made.append((seq, 1, PositionChanged(T, "ema", 1, 5, str(number), str(number), 3)))
    return made


def ask(server: Questdb, sql: str) -> list[list[Any]]:
    """Return the rows of a query, as users ask it."""
    answer = httpx.get(f"{server.url()}/exec", params={"query": sql}, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json().get("dataset", [])


class TestQuestdb(StoreContract):
    """Few tables and no views: a server has room for hundreds of tables, and a test makes many stores."""

    appends = ("marks", "equity", "signals")
    tables = ("bars", "equity", "marks", "position_changes", "signals", "funding_rates")
    # It makes hundreds of stores; below are its examples and days of other kinds.
    test_live_caught_up_and_rebuilt_rows_are_the_same = None

    @pytest.fixture(autouse=True)
    def _server(self, questdb: Questdb) -> Iterator[None]:
        self.server = questdb
        self.names: dict[Path, str] = {}
        yield
        for (name,) in ask(questdb, "select table_name from tables()"):
            if name.startswith(tuple(self.names.values()) or "-"):
                ask(questdb, f"drop table {name}")

    @pytest.mark.parametrize("size", [1, 50])
    def test_live_caught_up_and_rebuilt_rows_of_these_days_are_the_same(
        self, tmp_path: Path, size: int
    ) -> None:
        for number, records in enumerate((filled_before_and_after(), a_day(), odd_texts())):
            live, late, again = (tmp_path / f"{name}{number}" for name in ("live", "late", "again"))
            expected = self.written(live, records, size)
            frames = frames_of(records, size)
            for end in (len(frames) // 2, len(frames)):
                self.caught_up(late, frames[:end]) if end else None
            assert self.content(late) == expected
            rebuild(self.make(again), [Path("day")], read=reader_of({"day": frames}))
            assert self.content(again) == expected
            rebuild(self.make(live), [Path("day")], read=reader_of({"day": frames}))
            assert self.content(live) == expected
            assert expected or number == 0

    def make(self, place: Path) -> Store:
        return self._store(place)

    def _store(self, place: Path) -> QuestdbStore:
        name = self.names.setdefault(place, f"t{time.monotonic_ns()}_")
        return QuestdbStore(self.server.url(), prefix=name, tables=self.tables, decimals=DECIMALS)

    def content(self, place: Path) -> Content:
        return content_of(self._store(place))

    def age(self, place: Path) -> None:
        prefix = self.names[place]
        ask(self.server, f"alter table {prefix}position_changes drop column fees")
        [[made_with]] = ask(self.server, f"select made_with from {prefix}retape_cursor")
        older = json.dumps([SCHEMA_VERSION - 1, *json.loads(made_with)[1:]])
        ask(self.server, f"update {prefix}retape_cursor set made_with = '{older}'")
        until(lambda: ask(self.server, f"select made_with from {prefix}retape_cursor") == [[older]])

    def killed(self, step: int, work: Callable[[], None], place: Path) -> bool:
        was_killed = killed_process(1 + (step - 1) * pick(19, deep=1), work, *MODULES)
        self.server.wait_for_clients()  # the server may still read what the process has sent
        return was_killed


def settled(server: Questdb, prefix: str) -> None:
    """Wait until the views have seen every row."""
    until = time.monotonic() + 20
    sql = (
        "select count() from materialized_views() where view_status <> 'valid'"
        " or refresh_base_table_txn <> base_table_txn"
    )
    mine = f"{sql} and view_name like '{prefix}%'".replace("where ", "where (").replace(" and ", ") and ")
    while ask(server, mine) != [[0]]:
        assert time.monotonic() < until, ask(server, "materialized_views()")
        time.sleep(0.05)


def candles(server: Questdb, prefix: str, interval: str) -> list[list[Any]]:
    settled(server, prefix)
    sql = (
        f"select cast(venue_time as long), instrument, open, high, low, close, volume, trades"
        f" from {prefix}ohlcv_{interval} order by instrument, venue_time"
    )
    rows = ask(server, sql)
    return [[at, name, *map(Decimal, prices), count] for at, name, *prices, count in rows]


def folded(trades: list[Trade], interval: str) -> list[list[Any]]:
    """Return the candles of trades, which are in order of seq, by a plain loop."""
    made: dict[tuple[str, int], list[Any]] = {}
    for trade in sorted(trades, key=lambda one: one.venue_ns):
        span = parse_span(interval)
        price, size = Decimal(trade.price).scaleb(-2), Decimal(trade.size).scaleb(-5)
        start = trade.venue_ns // span * span
        candle = made.setdefault(("BTC", start), [start, "BTC", price, price, price, price, Decimal(0), 0])
        candle[3], candle[4] = max(candle[3], price), min(candle[4], price)
        candle[5], candle[6], candle[7] = price, candle[6] + size, candle[7] + 1
    return [made[key] for key in sorted(made)]


def test_candles_follow_trades_with_equal_times_late_rows_and_late_days(
    questdb: Questdb, chance: random.Random
) -> None:
    """In the middle of a window too: after each batch the candles are those of all trades so far."""
    trades, seq = list[Trade](), 1
    store = QuestdbStore(questdb.url(), prefix="late_", tables=["trades"])
    with StoreWriter(store, JOURNAL_ID) as writer:
        writer.apply([(1, 0, BTC)], seq=1, digest=digest_at(1))
        for day, count in ((1, 60), (1, 60), (0, 60), (1, 1), (0, 3)):
            batch: list[Record] = []
            for _ in range(count):
                seq += 1
                at = T + day * DAY_NS + chance.randrange(400) * 500_000_000  # many have one time
                trade = Trade(at, at, 1, 4_300_000 + chance.randrange(99), chance.randrange(1, 9), 1, seq)
                trades.append(trade)
                batch.append((seq, 0, trade))
            writer.apply(batch, seq=seq, digest=digest_at(seq))
            for interval in INTERVALS:
                assert candles(questdb, "late_", interval) == folded(trades, interval), (seq, interval)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample day is not there")
def test_candles_equal_the_bars_of_the_engine_on_a_recorded_day(questdb: Questdb, tmp_path: Path) -> None:
    """Every interval, in windows with trades."""
    tail = Tail(journal_id=ensure_identity(tmp_path, bytes(16)))
    config = Config(
        strategies=(StrategyConfig(params={"interval": "1m"}),),
        bars=BarsConfig(intervals=INTERVALS),
        account=AccountConfig(cash="10000000"),
    )
    with JournalWriter(tmp_path, tail, salts=lambda: bytes(16), sync=False) as writer:
        run_backtest([SAMPLE], make_builder(), config, JournalSink(writer))
    store = QuestdbStore(questdb.url(), prefix="day_", tables=["trades", "bars"])
    with StoreWriter(store, read_identity(tmp_path) or b"") as rows:
        for day in list_days(tmp_path):
            catch_up(rows, open_day(day.path))
    compared = 0
    for interval in INTERVALS:
        sql = (
            "select cast(start as long), instrument, open, high, low, close, volume, trades from day_bars"
            f" where interval = '{interval}' and trades > 0 order by instrument, start"
        )
        bars = [[at, name, *map(Decimal, prices), n] for at, name, *prices, n in ask(questdb, sql)]
        views = candles(questdb, "day_", interval)
        closed = {(one[0], one[1]) for one in bars}
        assert [one for one in views if (one[0], one[1]) in closed] == bars, interval
        open_windows = len(views) - len(bars)
        assert 0 <= open_windows <= len({one[1] for one in views})  # the last window of each may be open
        compared += len(bars)
    assert compared > 100


def records(count: int) -> list[Record]:
    made: list[Record] = [(1, 0, BTC)]
    for seq in range(2, count + 2):
        at = T + seq * 1_000_000
        made.append(
            (
                bar(seq, seq // 3, 100 + seq),
                (seq, 0, Trade(at, at, 1, 4_300_000 + seq, 10, 1, seq)),
                (seq, 1, SignalRaised(at, "ema", 1, "fast", seq / 8)),
            )[seq % 3]
        )
    return made


def test_engine_and_server_that_are_killed_in_any_order_leave_each_row_once(
    own_server: Callable[[str], Questdb], chance: random.Random
) -> None:
    server, day = own_server("questdb"), records(600)
    frames = frames_of(day, 5)

    def made(prefix: str = "killed_") -> QuestdbStore:
        return QuestdbStore(server.url(), prefix=prefix, tables=["trades", "bars", "signals"], intervals=())

    def follow(until: int) -> None:
        with StoreWriter(made(), JOURNAL_ID) as writer:
            catch_up(writer, frames[:until])

    for _ in range(pick(10, deep=60)):
        cursor = made().witness()
        begin = cursor.seq // 5 if cursor else 0
        end = min(len(frames), begin + chance.randrange(2, 14))
        if chance.random() < 0.5:
            killed_process(chance.randrange(1, 90), lambda end=end: follow(end), *MODULES)
            continue
        with StoreWriter(made(), JOURNAL_ID) as writer:
            catch_up(writer, frames[:end])
            server.kill()
            with pytest.raises(StoreUnavailable) as caught:
                writer.apply(day, seq=len(day), digest=frames[-1].digest)
            assert caught.value.reason == "unreachable"
        server.start()
    follow(len(frames))
    with StoreWriter(made("whole_"), JOURNAL_ID) as writer:
        catch_up(writer, frames)
    assert content_of(made()) == content_of(made("whole_"))
    assert ask(server, "select count(), count_distinct(seq) from killed_trades") == [[200, 200]]


def test_connections_that_are_cut_within_a_request_or_its_answer_leave_each_row_once(
    questdb: Questdb, chance: random.Random
) -> None:
    """Ten cuts after a random number of bytes: what was sent before counts once, and the rest follows."""
    day = records(400)
    frames = frames_of(day, 40)
    options = {"tables": ["trades", "bars", "signals"], "intervals": ()}
    with relay_to(questdb.port) as relay:
        with StoreWriter(QuestdbStore(relay.url, prefix="cut_", **options), JOURNAL_ID) as writer:
            for cut in range(pick(10, deep=60)):
                relay.left = chance.randrange(1, 12_000)
                with suppress(StoreUnavailable):
                    catch_up(writer, frames[: cut + 1])
                relay.left = None
            assert relay.cuts
            assert catch_up(writer, frames) == len(day)
        with StoreWriter(QuestdbStore(questdb.url(), prefix="uncut_", **options), JOURNAL_ID) as writer:
            catch_up(writer, frames)
        assert content_of(QuestdbStore(relay.url, prefix="cut_", **options)) == content_of(
            QuestdbStore(questdb.url(), prefix="uncut_", **options)
        )


def test_liquidations_are_a_table_of_their_own(questdb: Questdb) -> None:
    store = QuestdbStore(questdb.url(), prefix="liq_", tables=["liquidations"])
    made: list[Record] = [
        (1, 0, BTC),
        (2, 0, LiquidationRead(T + 9, T + 1, 1, SELL, 4_300_050, 150_000, "a7", True)),
        (3, 0, LiquidationRead(T + 9, T + 1, 1, BUY, 4_300_000, 100_000)),
    ]
    with StoreWriter(store, JOURNAL_ID) as writer:
        writer.apply(made, seq=3, digest=digest_at(3))
    sql = "select seq, side, price, size, trade_id, sampled, cast(venue_time as long)"
    assert ask(questdb, f"{sql} from liq_liquidations order by seq") == [
        [2, "sell", "43000.500000000000000000", "1.500000000000000000", "a7", True, T + 1],
        [3, "buy", "43000.000000000000000000", "1.000000000000000000", None, False, T + 1],
    ]


def test_other_tables_and_lines_that_are_refused_are_named(questdb: Questdb, tmp_path: Path) -> None:
    ask(questdb, "create table theirs_trades (x int)")
    with (
        pytest.raises(StoreForeign, match="theirs_trades is not of this store"),
        StoreWriter(QuestdbStore(questdb.url(), prefix="theirs_"), JOURNAL_ID),
    ):
        pass
    options = {"prefix": "named_", "tables": ["marks"], "intervals": ()}
    with StoreWriter(QuestdbStore(questdb.url(), **options), JOURNAL_ID) as writer:
        writer.apply([(1, 0, BTC)], seq=1, digest=digest_at(1))
        ask(questdb, "alter table named_marks drop column price")
        ask(questdb, "alter table named_marks add column price long")
        with pytest.raises(RowFailed, match=r"PriceMarked at seq 2 .* refused a line: .*price"):
            writer.apply([(2, 0, PriceMarked(T, 1, 150))], seq=2, digest=digest_at(2))
    with pytest.raises(StoreOutOfStep, match="other tables or columns"):
        QuestdbStore(questdb.url(), **{**options, "decimals": 9}).witness()
    for section, text in (
        ({"tables": ["orders"]}, "orders is not held"),
        ({"intervals": ["7m"]}, "there is no view of '7m'"),
        ({"prefix": "a b"}, "letters, digits"),
    ):
        with pytest.raises(ConfigError, match=text):
            make_store({"kind": "questdb", "url": questdb.url(), **section}, tmp_path)


def test_rows_of_every_table_are_accepted_and_expire_by_table(questdb: Questdb) -> None:
    kept = {"trades": 30 * DAY_NS}
    store = QuestdbStore(questdb.url(), prefix="all_", kept_ns=kept, views_kept_ns={"1m": 90 * DAY_NS})
    with StoreWriter(store, JOURNAL_ID) as writer:
        day = [*a_day(), (23, 0, Trade(T, T, 1, 4305997, 1, -1, 9))]
        writer.apply(day, seq=23, digest=digest_at(23))
    ttls = ask(questdb, "select table_name, ttlValue, ttlUnit from tables() where ttlValue > 0")
    mine = sorted(row for row in ttls if row[0].startswith("all_"))
    assert mine == [["all_ohlcv_1m", 90, "DAY"], ["all_trades", 30, "DAY"]]
    assert {name for name, _ in content_of(store)} >= {"bars", "trades", "equity", "position_changes"}
    assert {row[0] for row in ask(questdb, "select table_name from tables()")} >= {
        f"all_{one}" for one in SHOWN
    }


def test_a_cursor_that_is_sent_but_not_applied_is_not_passed_over(questdb: Questdb) -> None:
    """A writer may have been killed after it sent its cursor: an older one is not its witness."""
    store = QuestdbStore(questdb.url(), prefix="sent_", tables=["marks"])
    with StoreWriter(store, JOURNAL_ID) as writer:
        writer.apply([(1, 0, BTC)], seq=1, digest=digest_at(1))
        ask(questdb, "alter table sent_retape_cursor suspend wal")
        with pytest.raises(StoreUnavailable, match="suspended"):
            writer.apply([(2, 0, PriceMarked(T, 1, 150))], seq=2, digest=digest_at(2))
    with pytest.raises(StoreUnavailable, match="suspended"):
        store.witness()
    ask(questdb, "alter table sent_retape_cursor resume wal")
    cursor = store.witness()
    assert cursor is not None
    assert cursor.seq == 2
