"""The store in TimescaleDB: the contract, as far as a server with one session can show it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stores.servers.running import Server
from tests.stores.servers.test_postgres import OnPostgres


@pytest.fixture(scope="module", autouse=True)
def one_at_a_time() -> Iterator[None]:
    """Connect again while the server still holds the connection before: it takes one at a time."""
    from engine.stores.errors import StoreUnavailable
    from engine.stores.postgres import store

    connect = store.connect

    def patient(*args: Any) -> Any:
        until = time.monotonic() + 10
        while True:
            try:
                return connect(*args)
            except StoreUnavailable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "connect", patient)
        yield


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
