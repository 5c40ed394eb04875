"""The promises of `store_contract.py`, held by each kind of store."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from engine.stores.csv_bars import CsvStore
from engine.stores.rows.tables import SCHEMA_VERSION, TABLES
from engine.stores.sqlite.reading import dump_rows
from engine.stores.sqlite.store import SqliteStore
from engine.stores.store import Store

from .key_value import KeyValueStore, Killed, Server
from .store_contract import Content, StoreContract, killed_process

NEVER_CHANGED = tuple(table for table, shape in TABLES.items() if shape.pk == "seq")


class TestSqlite(StoreContract):
    appends = NEVER_CHANGED

    def make(self, place: Path) -> Store:
        place.mkdir(exist_ok=True)
        return SqliteStore(place / "rows.db", busy_s=0.05)

    def content(self, place: Path) -> Content:
        return [(table, row) for table, row in dump_rows(place / "rows.db") if table != "cursor"]

    def killed(self, step: int, work: Callable[[], None], place: Path) -> bool:
        return killed_process(step, work, "engine.stores.sqlite.store")

    def age(self, place: Path) -> None:
        with closing(sqlite3.connect(place / "rows.db")) as conn:
            conn.execute("alter table position_changes drop column fees")
            conn.execute(f"pragma user_version = {SCHEMA_VERSION - 1}")


class TestCsv(StoreContract):
    appends = ("bars",)
    # Its columns have never changed, so it has no version.
    test_a_session_makes_the_rows_of_an_earlier_version_again_if_all_days_are_there = None

    def make(self, place: Path) -> Store:
        return CsvStore(place)

    def content(self, place: Path) -> Content:
        found: Content = []
        for path in sorted(place.glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file, strict=True):
                    if row["seq"]:  # else a line that a kill tore
                        found.append(("bars", {**row, "file": path.name, "seq": int(row["seq"])}))
        return found

    def killed(self, step: int, work: Callable[[], None], place: Path) -> bool:
        return killed_process(step, work, "engine.stores.csv_bars")


class TestKeyValue(StoreContract):
    appends = tuple(table for table in NEVER_CHANGED if table != "trades")
    test_a_session_makes_the_rows_of_an_earlier_version_again_if_all_days_are_there = None  # has no columns

    def setup_method(self) -> None:
        self.servers: dict[Path, Server] = {}

    def make(self, place: Path) -> Store:
        return KeyValueStore(self.servers.setdefault(place, Server()))

    def content(self, place: Path) -> Content:
        rows = self.servers[place].rows
        return [(table, rows[table, key]) for table, key in sorted(rows, key=str)]

    def killed(self, step: int, work: Callable[[], None], place: Path) -> bool:
        server = self.servers[place]
        server.kill_at = step - 1
        try:
            work()
        except Killed:
            return True
        finally:
            server.writer = server.kill_at = None
        return False
