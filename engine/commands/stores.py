"""Projectors of a live session: one for SQLite, one for CSV files."""

from __future__ import annotations

from pathlib import Path

from engine.journal import belongs, list_days, read_headers
from engine.records import open_day
from engine.runtime.projector import Projector
from engine.stores import (
    CsvStore,
    SqliteStore,
    StoreOutOfStep,
    StoreUnavailable,
    catch_up,
    rebuild,
)

__all__ = ["make_csv_projector", "make_projector"]


def make_projector(root: Path, database: Path, journal_id: bytes, durable_seq: int) -> Projector:
    """Return the projector of the journal in `root` into a SQLite file. Raises StoreError."""
    projection = SqliteStore(database, journal_id=journal_id)

    def catch_up_from_journal(until_seq: int) -> int:
        """Go on from the rows that are there; where they cannot be used any more, make them anew."""
        own = [day.path for day in list_days(root) if belongs(day.path, journal_id)]
        frames = (frame for folder in own for frame in open_day(folder))
        try:
            return catch_up(projection, frames, until_seq=until_seq)
        except StoreOutOfStep:
            pass
        except StoreUnavailable as error:
            if error.reason not in ("corrupt", "deleted"):
                raise
        projection.close()
        return rebuild(database, own)

    return Projector(projection, catch_up_from_journal, durable_seq)


def make_csv_projector(root: Path, folder: Path, journal_id: bytes, durable_seq: int) -> Projector:
    """Return the projector of the journal in `root` into CSV files. Raises StoreError."""
    files = CsvStore(folder, journal_id=journal_id)

    def catch_up_from_journal(until_seq: int) -> int:
        """Read on in the day that the files have come to: the instruments are in it."""
        own = [day.path for day in list_days(root) if belongs(day.path, journal_id)]
        begun = [path for path in own if read_headers(path)[0].first_seq <= max(files.seq, 1)]
        frames = (frame for path in own[max(0, len(begun) - 1) :] for frame in open_day(path))
        return files.catch_up(frames, until_seq)

    return Projector(files, catch_up_from_journal, durable_seq)
