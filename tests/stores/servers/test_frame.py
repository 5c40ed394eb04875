"""The servers themselves: they start, keep what they have stored, and leave nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.stores.servers.running import Server

KINDS = [pytest.param(name, marks=pytest.mark.server(name)) for name in ("postgres", "timescale")]


def connected(server: Server) -> Any:
    """Connect; again while a server that takes one connection at a time still holds the one before."""
    import psycopg

    until = time.monotonic() + 10
    while True:
        try:
            return psycopg.connect(server.url())
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("name", KINDS)
def test_a_server_keeps_its_rows_when_it_is_killed_and_leaves_nothing_when_removed(
    own_server: Callable[[str], Server], name: str
) -> None:
    import psycopg

    server = own_server(name)
    with connected(server) as conn:
        conn.execute("create table kept (number int)")
        conn.execute("insert into kept values (1)")
    server.kill() if name == "postgres" else server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url(), connect_timeout=2)
    server.start()
    with connected(server) as conn:
        assert conn.execute("select * from kept").fetchall() == [(1,)]
    server.remove()
    assert not server.folder.exists()
