"""The SQLite store of a simulated machine: a file beside the simulated disk, written by a real projector.

The file is on another disk, one that loses nothing: after a loss of power it is as its last transaction left
it, and its cursor is a witness of what had been acknowledged. `Store.kill` ends the process within a
transaction. No threads: the work of a thread is done where it is waited for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import trio

from engine.errors import EngineError
from engine.journal import Disk, Witness, has_begun, list_days, read_identity
from engine.records import open_day
from engine.runtime import projector
from engine.runtime.projector import Projector
from engine.stores.catchup import catch_up, rebuild
from engine.stores.errors import StoreError
from engine.stores.sqlite.reading import first_difference
from engine.stores.sqlite.store import SqliteStore
from engine.stores.writer import StoreWriter

__all__ = ["Store", "stored"]


BATCH_S = 3.0
"""Rows are written in larger batches than in real sessions, which costs less."""


class Store:
    """The store. `disk` returns the disk of the present process; the journal is in `root` on it."""

    def __init__(self, folder: Path, root: Path, disk: Callable[[], Disk]) -> None:
        self.path = folder / "rows.db"
        self.kill: Callable[[], None] | None = None
        self._root = root
        self._disk = disk
        self._again = folder / "again.db"

    def make(self, journal_id: bytes, durable_seq: int) -> Projector:
        """Return a projector, for a new process."""
        writer = StoreWriter(SqliteStore(self.path), journal_id)
        writer.read_cursor()

        def from_journal(until_seq: int) -> int:
            frames = (frame for folder in self._days() for frame in open_day(folder, self._disk()))
            return catch_up(writer, frames, until_seq=until_seq)

        return Projector(writer, from_journal, durable_seq)

    def witness(self) -> Witness | None:
        """Return the store's cursor."""
        try:
            cursor = SqliteStore(self.path).witness()
        except StoreError:
            return None
        if cursor is None or cursor.journal_id != read_identity(self._root, self._disk()):
            return None
        return Witness(cursor.seq, cursor.digest, "the store")

    def difference(self) -> str:
        """Return what differs from rows that are made again from the journal, "" if nothing does."""
        again = SqliteStore(self._again)
        try:
            rebuild(again, self._days(), read=lambda folder: open_day(folder, self._disk()))
            return str(first_difference(self.path, self._again) or "")
        except EngineError as error:
            return str(error)
        finally:
            again.close()

    def _days(self) -> list[Path]:
        disk = self._disk()
        return [day.path for day in list_days(self._root, disk) if has_begun(day.path, disk)]


class _Trio:
    """Trio, whose threads are none."""

    class to_thread:  # noqa: N801
        @staticmethod
        async def run_sync(work: Callable[..., Any], *values: Any) -> Any:
            await trio.lowlevel.checkpoint()
            return work(*values)

    def __getattr__(self, name: str) -> Any:
        return getattr(trio, name)


@contextmanager
def stored(store: Store | None) -> Iterator[None]:
    """Let sessions have the store, if there is one."""

    def make_projectors(_root: Path, _stores: Mapping[str, Any]) -> dict[str, Any]:
        return {} if store is None else {"rows": store.make}

    def witness_of(_root: Path, _stores: Mapping[str, Any]) -> Witness | None:
        return None if store is None else store.witness()

    write_cursor = SqliteStore._write_cursor

    def killed(self: SqliteStore, cursor: Any) -> None:
        if store is not None and store.kill is not None and self.path == store.path:
            kill, store.kill = store.kill, None
            kill()
            raise sqlite3.OperationalError("the process was killed")
        write_cursor(self, cursor)

    with (
        patch("engine.commands.planning.make_projectors", make_projectors),
        patch("engine.commands.planning.witness_of", witness_of),
        patch.object(SqliteStore, "_write_cursor", killed),
        patch.object(projector, "trio", _Trio()),
        patch.object(projector, "PAUSE_S", BATCH_S),
    ):
        yield
