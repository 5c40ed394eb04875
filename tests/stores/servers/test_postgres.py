"""The promises of `store_contract.py`, held by the store in PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.stores.rows.tables import TABLES
from engine.stores.store import Store
from tests.profiles import pick
from tests.stores.servers.running import Server
from tests.stores.store_contract import Content, StoreContract, killed_process
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


def schema_of(place: Path) -> str:
    return "s" + hashlib.blake2b(str(place).encode(), digest_size=8).hexdigest()


class TestPostgres(OnPostgres):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, postgres: Server) -> None:
        cls.url = postgres.url()
