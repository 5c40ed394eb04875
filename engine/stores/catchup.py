"""From journal days to rows: going on where the rows end, and making them anew.

`catch_up` brings a projection to the end of the journal after a crash or a pause. `rebuild` makes all rows
again and puts them in the place of the old ones; whoever reads meanwhile sees the old rows or the new
ones, never some of each.

How the new rows get there. They are built in a scratch file beside the database. A database that can be
read is then overwritten by SQLite's own backup, as one transaction of one connection: a reader's next
query sees the new rows. The file is not renamed over a live one, because in WAL mode a database is three
files and a rename moves one of them: the new database would be read together with the old -wal. Only
where there is no readable database does a rename put the scratch file in place, and what lay there is
kept as `<name>.damaged`. Called by `engine project` and by the runtime at start.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Final, Protocol

from engine.events.codec import Record
from engine.journal import Frame, read_frames
from engine.records import records_of
from engine.stores.errors import StoreOutOfStep, StoreUnavailable
from engine.stores.sqlite.reading import BUSY_SECONDS, connect_readonly, unavailable
from engine.stores.sqlite.store import SqliteStore, WriterLock

__all__ = ["Progress", "catch_up", "rebuild"]

Progress = Callable[[int], None]
"""Told the seq reached, after each transaction."""

BATCH_RECORDS: Final = 20_000
"""Records in one transaction, at least, unless the journal ends: it always ends with a frame."""

_RETRY_SECONDS: Final = 0.05


class Frames(Protocol):
    """The frames of a day, and once the first is read, the id of the journal."""

    @property
    def journal_id(self) -> bytes | None:
        """Id of the journal."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames by rising seq."""
        ...


def catch_up(
    projection: SqliteStore,
    frames: Iterable[Frame],
    *,
    until_seq: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Apply what the frames hold beyond the projection's cursor, and return the seq reached.

    The frames are those of the journal's days, oldest first, from the one that holds the cursor on.
    While a writer is at work `until_seq` is its durable seq: a cursor beyond it could, after a power cut,
    remember more than the journal does. Frames that end beyond it are left.
    Raises StoreOutOfStep when the cursor is ahead of the frames, lies in none of them, or does not
    have their digest: then the rows come from another state of the journal.
    """
    start = projection.seq
    batch: list[Record] = []
    reached = 0
    last: Frame | None = None
    for frame in frames:
        end = frame.first_seq + frame.count - 1
        if until_seq is not None and end > max(until_seq, start):
            break
        reached = end
        if reached < start:
            continue
        if reached == start and frame.digest != projection.digest:
            raise _out_of_step(projection, f"its rows end at seq {start} of another state of the journal")
        if frame.first_seq <= start < reached:
            raise _out_of_step(projection, f"its rows end at seq {start}, within a frame of the journal")
        if reached > start:
            batch.extend(records_of(frame))
            last = frame
        if last is not None and len(batch) >= BATCH_RECORDS:
            _apply(projection, batch, last, progress)
            batch, last = [], None
    if reached < start:
        raise _out_of_step(projection, f"its rows go to seq {start}, but the journal ends at {reached}")
    if last is not None:
        _apply(projection, batch, last, progress)
    return reached


def rebuild(
    path: str | Path,
    days: Sequence[Path],
    *,
    with_trades: bool = False,
    progress: Progress | None = None,
    read: Callable[[Path], Frames] = read_frames,
) -> int:
    """Make the rows of these journal days (folders, oldest first) anew, and return the last seq.

    The rows are those that a projection had which was there from the first record on. Until they are
    complete the old ones stay. Raises what reading the journal raises, StoreUnavailable when the
    database has a writer or cannot be written, StoreOutOfStep when the days are of several
    journals or `path` holds a database that is not a projection.
    """
    path = Path(path)
    lock = WriterLock(path)
    scratch = path.with_name(f".{path.name}.rebuilding")
    try:
        healthy = _is_projection(path)
        _remove(scratch)
        reached = _build(scratch, _frames(days, read), with_trades, progress)
        if healthy and _copy_into(scratch, path):
            return reached
        _put_in_place(scratch, path)
        return reached
    except OSError as error:
        raise unavailable(path, error) from error
    finally:
        _remove(scratch)
        lock.release()


def _build(
    scratch: Path,
    frames: Iterator[tuple[bytes, Frame]],
    with_trades: bool,
    progress: Progress | None,
) -> int:
    """Fill the scratch database, sync it, and return the last seq."""
    first = next(frames, None)
    with SqliteStore(
        scratch,
        journal_id=first[0] if first else b"",
        with_trades=with_trades,
        scratch=True,
    ) as projection:
        if first is not None:
            catch_up(projection, (frame for _, frame in chain([first], frames)), progress=progress)
        reached = projection.seq
    with scratch.open("rb") as file:
        os.fsync(file.fileno())
    return reached


def _frames(days: Sequence[Path], read: Callable[[Path], Frames]) -> Iterator[tuple[bytes, Frame]]:
    """Yield (journal id, frame) of all days, which must be of one journal."""
    journal_id: bytes | None = None
    for day in days:
        frames = read(day)
        for frame in frames:
            found = frames.journal_id
            assert found is not None, "a reader that gave a frame knows its journal"
            if journal_id not in (None, found):
                raise StoreOutOfStep(f"{day}: of another journal than the days before it")
            journal_id = found
            yield found, frame


def _apply(projection: SqliteStore, batch: list[Record], last: Frame, progress: Progress | None) -> None:
    projection.apply(batch, seq=last.first_seq + last.count - 1, digest=last.digest)
    if progress is not None:
        progress(projection.seq)


def _is_projection(path: Path) -> bool:
    """Whether there is a database with our tables, or none yet in the file; False when none can be read.

    Raises StoreOutOfStep when the database is someone else's: it is never overwritten.
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
        raise StoreOutOfStep(f"{path}: this database is not a projection; give the rows a path of their own")
    return True


def _copy_into(scratch: Path, path: Path) -> bool:
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


def _put_in_place(scratch: Path, path: Path) -> None:
    """Rename the scratch file to `path`, where no database can be read; keep what lies there aside."""
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


def _remove(scratch: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal", ".lock"):
        scratch.with_name(scratch.name + suffix).unlink(missing_ok=True)


def _out_of_step(projection: SqliteStore, what: str) -> StoreOutOfStep:
    return StoreOutOfStep(f"{projection.path}: {what}; rebuild it with `engine project DAY`")
