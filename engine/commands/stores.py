"""The stores of a live session: builds them, their projectors, and the witness of their cursors.

Called by `engine live`, and by the tests of whole sessions.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from engine.config import Config, load_config, nearest
from engine.errors import UsageError
from engine.journal import Witness, read_headers, read_identity
from engine.records import open_day
from engine.runtime.plan import MakeProjector
from engine.runtime.projector import Projector
from engine.stores.catchup import catch_up, days_from, rebuild
from engine.stores.csv_bars import CsvStore
from engine.stores.errors import StoreError, StoreForeign, StoreOutdated, StoreOutOfStep, StoreUnavailable
from engine.stores.kinds import make_store, store_at
from engine.stores.sqlite.store import SqliteStore
from engine.stores.store import Cursor, Store
from engine.stores.writer import StoreWriter

__all__ = [
    "DEFAULT_STORE",
    "make_projector",
    "make_projectors",
    "named_store",
    "session_stores",
    "witness_of",
]

DEFAULT_STORE: Final = "projector"
"""The name of the SQLite store that a session has without `[[stores]]`, or by --db: its name in journals."""


def session_stores(
    config: Config, root: Path, *, db: Path | None = None, no_db: bool = False, csv: Path | None = None
) -> dict[str, Store]:
    """Return the stores of a session by name, without any I/O on them.

    Those of the configuration's `[[stores]]`, else SQLite in `root`. `db` and `csv` are added, and replace
    a store of the same name; with `no_db` there is no SQLite store. Raises ConfigError, UsageError.
    """
    stores: dict[str, Store] = {}
    for section in () if config.stores is msgspec.UNSET else config.stores:
        stores[section.get("name", section["kind"])] = make_store(section, root)
    if db is not None or config.stores is msgspec.UNSET:
        stores[DEFAULT_STORE] = SqliteStore(db or root / "retape.db")
    if csv is not None:
        stores["csv"] = CsvStore(csv)
    if no_db:
        stores = {name: store for name, store in stores.items() if not isinstance(store, SqliteStore)}
    for store in stores.values():
        if isinstance(store, SqliteStore) and not (store.path.parent.is_dir() or store.path.parent == root):
            raise UsageError(f"{store.place}: there is no folder {store.path.parent}; give another path")
    places: dict[tuple[str, str], str] = {}
    for name, store in stores.items():
        other = places.setdefault((store.kind, os.path.realpath(store.place)), name)
        if other != name:
            raise UsageError(
                f"the stores {other!r} and {name!r} are both at {store.place}; give one another path"
            )
    return stores


def named_store(text: str, config: Path | None) -> Store:
    """Return the store at an address, or the one with this name in a configuration. Raises ConfigError."""
    if "://" in text:
        return store_at(text, Path())
    sections = msgspec.UNSET if config is None else load_config(config).stores
    found = {} if sections is msgspec.UNSET else {one.get("name", one["kind"]): one for one in sections}
    if text not in found:
        where = "give its file with --config" if config is None else nearest(text, sorted(found))
        raise UsageError(
            f"there is no store {text!r}; {where}, or give an address such as postgresql://HOST/NAME"
        )
    return make_store(found[text], Path())


def make_projectors(root: Path, stores: Mapping[str, Store]) -> dict[str, MakeProjector]:
    """Return a factory of the projector of each store, by name."""
    return {name: functools.partial(make_projector, root, store) for name, store in stores.items()}


def make_projector(root: Path, store: Store, journal_id: bytes, durable_seq: int) -> Projector:
    """Return the projector of the journal in `root` into a store.

    A store that is unavailable now is tried again while the session runs, and the rows of one with the tables
    of an earlier version are made again. Raises StoreOutOfStep for one whose rows are those of another
    journal or have other tables.
    """
    writer = StoreWriter(store, journal_id)
    with contextlib.suppress(StoreUnavailable, StoreOutdated):
        writer.read_cursor()

    def catch_up_from_journal(until_seq: int) -> int:
        """Continue after the existing rows; if they are unusable, rebuild them."""
        try:
            start = writer.read_cursor()
            if start == until_seq == 0:
                return 0
            folders = days_from(root, journal_id, start)
            frames = (frame for folder in folders for frame in open_day(folder))
            return catch_up(writer, frames, until_seq=until_seq)
        except StoreForeign:
            raise
        except StoreOutOfStep:
            if not _begins_with_its_first_record(root, journal_id):
                raise  # there may be rows of days that are gone
        except StoreUnavailable as error:
            if error.reason not in ("corrupt", "deleted"):
                raise
        writer.close()
        rebuild(store, days_from(root, journal_id, 0), until_seq=until_seq)
        return writer.read_cursor()

    return Projector(writer, catch_up_from_journal, durable_seq)


def _begins_with_its_first_record(root: Path, journal_id: bytes) -> bool:
    days = days_from(root, journal_id, 0)
    return not days or read_headers(days[0])[0].first_seq <= 1


def witness_of(root: Path, stores: Mapping[str, Store]) -> Witness | None:
    """Return the cursor of the store furthest ahead, so that recovery detects a shortened journal."""
    found: list[tuple[Cursor, str]] = []
    for store in stores.values():
        with contextlib.suppress(StoreError):
            cursor = store.witness()
            if cursor is not None and cursor.journal_id == read_identity(root):
                found.append((cursor, store.place))
    if not found:
        return None
    cursor, place = max(found, key=lambda one: one[0].seq)
    return Witness(cursor.seq, cursor.digest, place)
