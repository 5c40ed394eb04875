"""The promises of `store_contract.py`, held by the store in PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.clock import DAY_NS
from engine.events import SignalRaised
from engine.stores.rows.tables import TABLES
from engine.stores.store import Store
from engine.stores.writer import StoreWriter
from tests.profiles import pick
from tests.stores.full_day import full_day
from tests.stores.record_streams import JOURNAL_ID, T, digest_at
from tests.stores.servers.running import Server
from tests.stores.store_contract import Content, StoreContract, content_of, killed_process
from tests.stores.test_contract import NEVER_CHANGED


class OnPostgres(StoreContract):
    """The contract with a schema of one database for each place."""

    appends = NEVER_CHANGED
    url: str

    def make(self, place: Path) -> Store:
        from engine.stores.postgres.store import PostgresSettings, PostgresStore

        return PostgresStore(PostgresSettings(self.url, schema=schema_of(place)), busy_s=0.5)

    def content(self, place: Path) -> Content:
        with self.make(place).snapshot() as found:
            return [(table, row) for table in TABLES if table != "cursor" for row in found.rows(table)]

    def killed(self, step: int, work: Callable[[], None], place: Path) -> bool:
        return killed_process(1 + (step - 1) * pick(5, deep=1), work, "engine.stores.postgres.store")

    def age(self, place: Path) -> None:
        schema = schema_of(place)
        store = self.make(place)
        with store.transaction():
            store._ready().execute(f"alter table {schema}.position_changes drop column fees")
            store._ready().execute(f"update {schema}.cursor set version = version - 1")
        store.close()


def schema_of(place: Path) -> str:
    return "s" + hashlib.blake2b(str(place).encode(), digest_size=8).hexdigest()


class TestPostgres(OnPostgres):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, postgres: Server) -> None:
        cls.url = postgres.url()


def test_rows_that_are_copied_are_those_that_are_inserted(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also texts that a COPY must escape, numbers that are none, and times at the end of a day."""
    from engine.stores.postgres import store as module

    day = full_day()
    for text in (
        "",
        " ",
        "\\",
        "\\N",
        "\\.",
        "a\tb",
        "line\nbreak\r",
        "zero\0byte",
        "ünï",
        "x'; --",
        "\b\v\f",
    ):
        for value in (0.1, -1.5e-300, float("inf"), float("nan")):
            day.append((len(day) + 1, 1, SignalRaised(T + DAY_NS - 1, text, 1, text, value)))
    found = []
    for schema, least in (("copied", 1), ("inserted", 10**9)):
        monkeypatch.setattr(module, "COPY_ROWS", least)
        store = module.PostgresStore(module.PostgresSettings(postgres.url(), schema=schema))
        with StoreWriter(store, JOURNAL_ID) as writer:
            writer.apply(day, seq=len(day), digest=digest_at(len(day)))
        found.append([(table, repr(row)) for table, row in content_of(store)])
    assert found[0] == found[1]
    assert len(found[0]) > 100
