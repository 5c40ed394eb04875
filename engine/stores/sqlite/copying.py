"""Replaces rows by rebuilt ones: readers see the old rows or the new ones, never a mix.

The new rows are built in a scratch file beside the database. A database that can be read is then overwritten
by SQLite's own backup, as one transaction of one connection: a reader's next query sees the new rows. The
file is not renamed over a live one, because in WAL mode a database is three files and a rename moves one of
them: the new database would be read together with the old -wal. Only where there is no readable database does
a rename put the scratch file in place, and the file it replaces is kept as `<name>.damaged`. Called by
`SqliteStore.rebuild`.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from engine.stores.errors import StoreForeign, StoreUnavailable
from engine.stores.sqlite.reading import BUSY_SECONDS, connect_readonly, unavailable

__all__ = ["copy_into", "holds_rows", "put_in_place", "remove"]

_RETRY_SECONDS: Final = 0.05


def holds_rows(path: Path) -> bool:
    """Return whether there is a readable database that has our tables or no tables.

    Raises StoreForeign when it has other tables: such a database is never overwritten.
    """
    if not path.exists() or not path.stat().st_size:
        return False
    try:
        with closing(connect_readonly(path)) as conn:
            names = {row[0] for row in conn.execute("select name from sqlite_master where type = 'table'")}
    except sqlite3.DatabaseError as error:
        failure = unavailable(path, error)
        if failure.reason != "corrupt":
            raise failure from error
        return False
    if names and "cursor" not in names:
        raise StoreForeign(f"{path}: holds other data, not rows of this engine; give another path")
    return True


def copy_into(scratch: Path, path: Path) -> bool:
    """Overwrite the database at `path` in one transaction; False when it is too damaged for that."""
    waited = 0

    def bounded(status: int, _remaining: int, _total: int) -> None:
        nonlocal waited
        waited += status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        if waited * _RETRY_SECONDS > BUSY_SECONDS:
            raise StoreUnavailable(f"{path}: the database stays locked; try again later", reason="locked")

    try:
        with closing(sqlite3.connect(scratch)) as source, closing(sqlite3.connect(path)) as target:
            target.execute("PRAGMA busy_timeout = 0")
            source.backup(target, progress=bounded, sleep=_RETRY_SECONDS)
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.DatabaseError as error:
        failure = unavailable(path, error)
        if failure.reason != "corrupt":
            raise failure from error
        return False
    return True


def put_in_place(scratch: Path, path: Path) -> None:
    """Rename the scratch file to `path`, where no database can be read; move the file that is there aside."""
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if path.exists() and path.stat().st_size:
        path.replace(path.with_name(path.name + ".damaged"))
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove(scratch: Path) -> None:
    """Remove a scratch database and the files beside it."""
    for suffix in ("", "-wal", "-shm", "-journal", ".lock"):
        scratch.with_name(scratch.name + suffix).unlink(missing_ok=True)
